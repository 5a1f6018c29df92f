"""Known clouds on mock skies: how many of them a model's map shows, and how many of those it shows are there.

    python tests/benchmarks/clouds.py [MODEL] [--skies N] [--seed S] [--varied] [--truth] [--json FILE]

Every sky is 9 x 9 fields behind smooth dust with one cloud in the middle, of 0.1, 0.3, 1 and 2 mag of A(Ks)
through its centre, at 0.5, 1, 2 and 4 kpc; across, it falls like a Gaussian with a standard deviation of one
field. Stars are those of a training sightline, with nothing off and with nuisances as trained. First a row
for each column and distance: skies, share of the clouds found (completeness), found distance over the true
one, found mass over the true one, share of the true distances in the 68 % interval. Then, by the distance at
which a cloud is found, how many are one of the true ones (purity), and how many are on the true cloud's
sightlines but at another distance. With --truth, of maps of the true dust: what the search itself loses.
With --varied each sky is at a training sightline of its own, and its cloud has a centre within one field of
the middle, widths of 0.7 to 1.6 fields along two axes at any angle, and a depth of up to a tenth of its
distance (standard deviation).
"""

import argparse
import dataclasses
import itertools
from dataclasses import dataclass

import numpy as np

from extmap_tf.compare.clouds import find_clouds
from extmap_tf.compare.steps import StepRule
from extmap_tf.estimate import ProfileEstimate
from extmap_tf.evaluation.metrics import write_json
from extmap_tf.evaluation.walls import wall_density
from extmap_tf.extinction.dust import relative_density
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map.header import MapHeader
from extmap_tf.map.provenance import Provenance
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.mocks.fields import dim_and_count, one_field, visible_limits_mag
from extmap_tf.mocks.nuisances import draw_nuisances, nothing_off
from extmap_tf.mocks.pools import sightline_catalog
from extmap_tf.quiet import start_tensorflow
from extmap_tf.settings.dust import DustConfig
from extmap_tf.text_tables import aligned, row_to_dict

COLUMNS_MAG, DISTANCES_KPC, SIDE = (0.1, 0.3, 1.0, 2.0), (0.5, 1.0, 2.0, 4.0), 9
GROUPS = ("nothing off", "as trained")
NEAR_SHARE = 0.3
# A cloud is found if its core is, and what is found belongs to it where it has this share of its column.
CORE, ANYWHERE = 0.5, 0.1
PURITY_EDGES_KPC = (0.0, 0.7, 1.4, 2.8, 5.6, np.inf)


@dataclass(frozen=True, eq=False)
class Sky:
    """A mock sky: its one cloud, its column over that of the centre, its group, place, true density and
    diagrams."""

    group: str
    column_mag: float
    distance_kpc: float
    across: np.ndarray
    place: tuple[float, float]
    density: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class Completeness:
    """What became of the clouds of one column and distance."""

    group: str
    column_mag: float
    distance_kpc: float
    n: int
    found: float
    distance_over_true: float
    mass_over_true: float
    in_interval: float

    to_dict = row_to_dict


@dataclass(frozen=True)
class Purity:
    """Clouds found in a range of distance, over all skies of a group."""

    group: str
    from_kpc: float
    to_kpc: float
    n: int
    true: float
    displaced: float

    to_dict = row_to_dict


def across(rng):
    """The cloud's column over that of its centre [SIDE, SIDE]: a round one, or with `rng` any."""
    y, x = np.indices((SIDE, SIDE)) - SIDE // 2
    if rng is None:
        return np.exp(-0.5 * (x**2 + y**2))
    (x0, y0), angle = rng.uniform(-1.0, 1.0, 2), rng.uniform(0.0, np.pi)
    along = (x - x0) * np.cos(angle) + (y - y0) * np.sin(angle)
    aside = (y - y0) * np.cos(angle) - (x - x0) * np.sin(angle)
    width, height = rng.uniform(0.7, 1.6, 2)
    return np.exp(-0.5 * ((along / width) ** 2 + (aside / height) ** 2))


def along(column_mag, kpc, distance, rng):
    """The cloud's density along its centre, mag/kpc: in one bin, or with `rng` deeper."""
    if rng is None:
        return wall_density(column_mag, kpc, distance)
    depth_kpc = max(rng.uniform(0.0, 0.1) * kpc, 0.3 * distance.step_kpc)
    shape = np.exp(-0.5 * ((distance.centers_kpc - kpc) / depth_kpc) ** 2)
    return column_mag * shape / (shape.sum() * distance.step_kpc)


def draw_skies(config, n_skies, rng, varied):
    """Skies of every group, column and distance."""
    places, pools = config.mocks.sightlines_deg(), {}
    shapes = rng if varied else None
    for group in GROUPS:
        for column_mag in COLUMNS_MAG:
            for kpc in DISTANCES_KPC:
                for _ in range(n_skies):
                    place = places[rng.integers(len(places)) if varied else len(places) // 2]
                    if place not in pools:
                        pools[place] = sightline_catalog(config, *place, "test")
                    l_deg, b_deg = np.array(place)[:, None]
                    dust = DustConfig(arm_contrast=0.0)
                    smooth = relative_density(dust, l_deg, b_deg, config.distance.centers_kpc).ravel()
                    shape, cloud = across(shapes), along(column_mag, kpc, config.distance, shapes)
                    density = dust.local_mag_per_kpc * smooth + shape[..., None] * cloud
                    off = nothing_off(config.nuisances)
                    if group == "as trained":
                        off = draw_nuisances(config.nuisances, rng)
                    counts = counts_behind(density.reshape(SIDE**2, -1), config, pools[place], off, rng)
                    yield Sky(group, column_mag, kpc, shape, place, density, counts)


def counts_behind(density, config, pool, off, rng):
    """Diagrams of fields of one sightline behind the dust of each."""
    limits_mag, counts = visible_limits_mag(config.surveys, off), []
    for one in density:
        stars = one_field(pool, config.sightlines.area_deg2, rng, off, limits_mag)
        counts.append(dim_and_count(stars, one, config, rng, nuisances=off)["counts"])
    return np.array(counts)


def map_of(sky, config, scorer):
    """The map of a sky by a model, or of its true dust without one."""
    size, place = config.sightlines.field_deg, sky.place
    low, high = np.array(place) - (SIDE // 2) * size, np.array(place) + (SIDE // 2) * size
    grid = SightlineGrid(low[0], high[0], low[1], high[1], size, size)
    step_kpc = config.distance.step_kpc
    if scorer is None:
        profiles = ProfileEstimate.of_density(sky.density, step_kpc)
    else:
        # All are stars of one place, whatever the grid says.
        where = (np.full(SIDE**2, place[0]), np.full(SIDE**2, place[1]))
        found = scorer.score_counts(sky.counts, *where)
        found = dataclasses.replace(found, flag=np.zeros_like(found.flag))
        samples = scorer.sample_counts(sky.counts, *where)
        profiles = found.with_samples(samples, step_kpc).reshaped(SIDE, SIDE)
    header = MapHeader(grid, config.distance, Provenance.of(config, "estimate"))
    return ExtinctionMap(
        header, profiles, np.ones(grid.shape), sky.counts.sum(axis=(1, 2)).reshape(grid.shape)
    )


def is_on_true(cloud, sky, least):
    """Whether a found cloud is on a sightline with this share of the column of its sky's cloud, or more."""
    there = np.flatnonzero(sky.across.ravel() > least)
    return bool(set(there.tolist()) & set(cloud.sightlines))


def is_near(cloud, sky):
    """Whether a found cloud is at about the distance of its sky's."""
    return abs(cloud.distance_kpc - sky.distance_kpc) <= NEAR_SHARE * sky.distance_kpc


def true_mass_share(cloud, sky, volume):
    """Mass of a found cloud over that of its sky's."""
    cells = volume.grid.cells_deg2().reshape(SIDE, SIDE)
    true = np.sum(cells * sky.across) * sky.column_mag * sky.distance_kpc**2
    return cloud.column_mag * cloud.area_deg2 * cloud.distance_kpc**2 / true


def completeness_of(skies):
    """A row for each group, column and distance, of (sky, volume, clouds)."""
    rows = []
    for key in dict.fromkeys((sky.group, sky.column_mag, sky.distance_kpc) for sky, *_ in skies):
        here = [one for one in skies if (one[0].group, one[0].column_mag, one[0].distance_kpc) == key]
        best = []
        for sky, volume, clouds in here:
            true = [cloud for cloud in clouds if is_near(cloud, sky) and is_on_true(cloud, sky, CORE)]
            if true:
                cloud = max(true, key=lambda cloud: cloud.mass_msun)
                inside = cloud.distance_low_kpc <= sky.distance_kpc <= cloud.distance_high_kpc
                best.append(
                    (cloud.distance_kpc / sky.distance_kpc, true_mass_share(cloud, sky, volume), inside)
                )
        means = np.mean(best, axis=0) if best else [np.nan] * 3
        rows.append(Completeness(*key, len(here), len(best) / len(here), *map(float, means)))
    return rows


def purity_of(skies):
    """A row for each group and range of distance."""
    rows = []
    for group in GROUPS:
        found = [
            (cloud.distance_kpc, is_near(cloud, sky), is_on_true(cloud, sky, ANYWHERE))
            for sky, _, clouds in skies
            if sky.group == group
            for cloud in clouds
        ]
        for low, high in itertools.pairwise(PURITY_EDGES_KPC):
            here = [(near and on, on and not near) for kpc, near, on in found if low <= kpc < high]
            shares = np.mean(here, axis=0) if here else [np.nan] * 2
            rows.append(Purity(group, low, high, len(here), *map(float, shares)))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="carina")
    parser.add_argument("--skies", type=int, default=6, help="for each column, distance and group")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--varied", action="store_true", help="clouds of any shape, depth and place")
    parser.add_argument("--truth", action="store_true", help="maps of the true dust, by no model")
    parser.add_argument("--min-sigma", type=float, default=StepRule.min_sigma)
    parser.add_argument("--resolutions", type=float, nargs="+", default=StepRule.resolutions)
    parser.add_argument("--json")
    args = parser.parse_args()
    start_tensorflow()
    from extmap_tf.model.scoring import Scorer
    from extmap_tf.model.versions import find_saved_model

    folder, card = find_saved_model(args.model)
    config, rng = card.config, np.random.default_rng(args.seed)
    scorer = None if args.truth else Scorer(folder)
    rule, skies = StepRule(min_sigma=args.min_sigma, resolutions=tuple(args.resolutions)), []
    for sky in draw_skies(config, args.skies, rng, args.varied):
        volume = map_of(sky, config, scorer)
        skies.append((sky, volume, find_clouds(volume, rule)))
    complete, pure = completeness_of(skies), purity_of(skies)
    header = [("fields", ""), ("column", "mag"), ("at", "kpc"), ("skies", ""), ("found", "")]
    header += [("distance", "/ true"), ("mass", "/ true"), ("in 68 %", "")]
    lines = []
    for row in complete:
        shares = (row.found, row.distance_over_true, row.mass_over_true, row.in_interval)
        what = (row.group, f"{row.column_mag:g}", f"{row.distance_kpc:g}", str(row.n))
        lines.append((*what, *(f"{share:.2f}" for share in shares)))
    print(aligned(header, lines))
    header = [("fields", ""), ("from", "kpc"), ("to", "kpc"), ("clouds", "found"), ("true", "")]
    lines = []
    for row in pure:
        what = (row.group, f"{row.from_kpc:g}", f"{row.to_kpc:g}", str(row.n))
        lines.append((*what, f"{row.true:.2f}", f"{row.displaced:.2f}"))
    print(aligned([*header, ("displaced", "")], lines))
    if args.json:
        rows = {"completeness": complete, "purity": pure}
        write_json({name: [row.to_dict() for row in some] for name, some in rows.items()}, args.json, True)


if __name__ == "__main__":
    main()
