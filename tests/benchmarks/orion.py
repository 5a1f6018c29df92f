"""How the map of Orion A compares with the reddening of the same stars.

Command::

    python tests/benchmarks/orion.py orion/map.fits ORION_TABLE --figure orion.png

The excess of a field is the median J - Ks of its stars, less that of the table's clearest tenth of fields; it
knows nothing of distances, models or networks. Only fields of a 30-arcmin grid are compared, so that no star
counts twice.
"""

import argparse

import numpy as np
from scipy.stats import spearmanr

from extmap_tf.catalogs.survey_tables import read_survey_table
from extmap_tf.estimate import PERCENTILES
from extmap_tf.extinction.profiles import profiles_at
from extmap_tf.figures.style import COLORS, TWO_COLUMNS, save, styled
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.settings.config import Config

CLOUD_KPC = (0.30, 0.55)
MIDDLE_KPC = 0.4
STEP_DEG = 0.5


def color_excess(table, config, grid):
    """Median J - Ks of each field's stars less that of the clearest tenth, mag [n_sightlines]."""
    with open(table, "rb") as stream:
        batches = list(read_survey_table(stream, str(table), config.survey))
    rows = [(batch.l_deg, batch.b_deg, *batch.magnitudes.values()) for batch in batches]
    l, b, blue, red = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    star, field = grid.fields_of(l, b)
    color = (blue - red)[star]
    median = np.full(grid.n_sightlines, np.nan)
    for index in np.unique(field):
        median[index] = np.median(color[field == index])
    return median - np.nanquantile(median, 0.1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("map")
    parser.add_argument("table")
    parser.add_argument("--config", default="orion")
    parser.add_argument("--figure")
    args = parser.parse_args()

    volume, config = ExtinctionMap.read(args.map), Config.load(args.config)
    whole = config.sightlines
    n_l = int((whole.l_max_deg - whole.l_min_deg) / STEP_DEG)
    n_b = int((whole.b_max_deg - whole.b_min_deg) / STEP_DEG)
    grid = SightlineGrid(
        whole.l_min_deg,
        whole.l_min_deg + n_l * STEP_DEG,
        whole.b_min_deg,
        whole.b_min_deg + n_b * STEP_DEG,
        STEP_DEG,
        whole.field_deg,
    )
    excess = color_excess(args.table, config, grid)
    index = volume.grid.sightline_of(*grid.centers_deg())
    i_b, i_l = np.divmod(index, volume.grid.n_l)
    cumulative = volume.extinction[i_b, i_l]
    good = np.isfinite(cumulative[:, -1]) & np.isfinite(excess)
    excess, cumulative = excess[good], cumulative[good]
    # Such as the Orion Nebula Cluster, whose young stars no Galaxy model has.
    odd = volume.flag[i_b, i_l][good] != 0
    total = cumulative[:, -1]
    near, far = profiles_at(cumulative, volume.distance, CLOUD_KPC).T
    percentiles = profiles_at(volume.extinction_percentiles[i_b, i_l][good], volume.distance, [MIDDLE_KPC])
    p16, p50, p84 = (percentiles[:, PERCENTILES.index(p), 0] for p in (16.0, 50.0, 84.0))
    clean = excess < np.quantile(excess, 0.1)
    cloud = (excess > np.quantile(excess, 0.75)) & ~odd
    share = (far - near) / total
    half_kpc = np.array(
        [np.interp(0.5 * a[-1], [0, *a], [0, *volume.distance.outer_kpc]) for a in cumulative]
    )

    rho = spearmanr(total, excess).statistic
    print(f"fields                                     {good.sum()}")
    print(f"flagged as unlike the training CMDs        {odd.sum()}")
    print(f"Spearman, total A(Ks) and E(J-Ks) excess   {rho:.3f}")
    print(f"total A(Ks), clearest tenth                median {np.median(total[clean]):.3f} mag")
    print(f"reddest quarter, without the flagged       {cloud.sum()} fields")
    print(f"total A(Ks) of these                       median {np.median(total[cloud]):.3f} mag")
    print(
        f"share of it between {CLOUD_KPC[0]:g} and {CLOUD_KPC[1]:g} kpc       "
        f"median {np.median(share[cloud]):.2f}, 16-84 % "
        f"{np.quantile(share[cloud], 0.16):.2f}-{np.quantile(share[cloud], 0.84):.2f}"
    )
    print(
        f"distance of half of it, kpc                median {np.median(half_kpc[cloud]):.3f}, 16-84 % "
        f"{np.quantile(half_kpc[cloud], 0.16):.3f}-{np.quantile(half_kpc[cloud], 0.84):.3f}"
    )
    width = np.median(((p84 - p16) / p50)[cloud])
    print(f"68 % interval at {MIDDLE_KPC:g} kpc over its median   median {width:.2f}")
    if args.figure:
        save(draw(volume, excess, total, cumulative, cloud, clean, odd), args.figure, overwrite=True)


@styled
def draw(volume, excess, total, cumulative, cloud, clean, odd):
    from matplotlib.figure import Figure

    red, blue, grey = COLORS[1], COLORS[0], "0.45"
    figure = Figure(figsize=(TWO_COLUMNS, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.scatter(excess, total, s=10, color=grey)
    left.scatter(excess[cloud], total[cloud], s=10, color=red, label="reddest quarter")
    left.scatter(excess[odd], total[odd], s=30, facecolor="none", edgecolor="black", label="flagged")
    left.scatter(excess[clean], total[clean], s=10, color=blue, label="clearest tenth")
    left.set_xlabel("excess of the median J − Ks of the stars (mag)")
    left.set_ylabel(f"A(Ks) of the map to {volume.distance.max_kpc:g} kpc (mag)")
    left.legend()
    for chosen, color, style in ((clean, blue, "-"), (cloud, red, "-"), (odd, grey, ":")):
        profiles = np.pad(cumulative[chosen], ((0, 0), (1, 0)))
        right.plot(volume.distance.edges_kpc, profiles.T, style, color=color, linewidth=0.7, alpha=0.7)
    right.axvspan(*CLOUD_KPC, color="0.9", zorder=0, label="around the cloud")
    right.set(xlim=(0.0, 1.2), ylim=(0.0, None))
    right.set_xlabel("distance (kpc)")
    right.set_ylabel("A(Ks) from the Sun (mag)")
    right.legend(loc="upper left")
    return figure


if __name__ == "__main__":
    main()
