"""Star counts of the Galaxy model against those published by the Besançon model, sightline by sightline.

Command: ``python tests/benchmarks/galaxy_counts.py COUNTS [--figure FILE]`` with COUNTS the file
``besancon/k_counts_av0.txt`` of the reference data. It prints, for each limit of K, the median ratio ours to
theirs and the share of sightlines within the tolerance, and the speed of drawing.

Their counts are drawn, not expected, numbers: at K < 10 on a high latitude they hold 15 stars. A sightline
counts as within the tolerance if it is, or if it is off by less than 2 standard deviations of that noise;
the strict share is printed beside.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

from extmap_tf.galaxy import Galaxy

LIMITS_MAG = np.arange(10, 17)


def read_counts(path):
    """Published counts: (l_deg, b_deg, counts [n_sightlines, n_limits] per deg2 brighter than LIMITS_MAG)."""
    table = np.loadtxt(path, skiprows=1)
    return table[:, 0], table[:, 1], table[:, LIMITS_MAG - 1]


def regions(l_deg, b_deg):
    """Masks [n_sightlines] by name, each with its tolerance; nothing is asked of the bulge, it is shown."""
    sector = (l_deg >= 240) & (l_deg <= 310) & (np.abs(b_deg) <= 10)
    from_center = np.abs((l_deg + 180) % 360 - 180)
    bulge = (from_center <= 20) & (np.abs(b_deg) <= 20)
    return {"sector": (sector, 0.15), "elsewhere": (~sector & ~bulge, 0.25), "bulge": (bulge, 0.25)}


def count_ratios(galaxy, l_deg, b_deg, counts):
    """Ratios ours to theirs, and the relative noise of theirs, both [n_sightlines, n_limits]."""
    ours = np.array(
        [galaxy.expected_counts(l, b, LIMITS_MAG).sum(0) for l, b in zip(l_deg, b_deg, strict=True)]
    )
    return ours / np.maximum(counts, 1), 1 / np.sqrt(np.maximum(counts, 1))


def drawing_speed(galaxy):
    """Stars per second on one core, the table of bands being at hand."""
    galaxy.draw(280, 0, 0.01, 12, np.random.default_rng(1))
    start = time.perf_counter()
    catalog = galaxy.draw(280, 0, 5, 18, np.random.default_rng(1))
    return catalog.n_stars / (time.perf_counter() - start)


def figure(path, l_deg, b_deg, ratio):
    """Ratio against latitude for three limits, coloured by longitude."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(3, 1, figsize=(8, 9), sharex=True, sharey=True, layout="constrained")
    for ax, limit in zip(axes, (11, 13, 15), strict=True):
        points = ax.scatter(
            b_deg, ratio[:, limit - LIMITS_MAG[0]], c=l_deg, s=8, cmap="twilight", vmin=0, vmax=360
        )
        ax.axhspan(0.85, 1.15, color="0.9", zorder=0)
        ax.axhline(1, color="0.6", lw=0.8)
        ax.set(ylabel=f"ours / theirs, K < {limit}", ylim=(0.5, 1.8))
    axes[-1].set_xlabel("Galactic latitude (deg)")
    fig.colorbar(points, ax=axes, label="Galactic longitude (deg)")
    fig.savefig(path, dpi=120)
    plt.close(fig)


def main():
    shared = Path(os.environ.get("EXTMAP_SHARED_DATA", "../shared/data"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts", nargs="?", type=Path, default=shared / "besancon" / "k_counts_av0.txt")
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    galaxy = Galaxy()
    l_deg, b_deg, counts = read_counts(args.counts)
    ratio, noise = count_ratios(galaxy, l_deg, b_deg, counts)
    print("K <                    " + "".join(f"{limit:7d}" for limit in LIMITS_MAG) + "    all")
    for name, (mask, tolerance) in regions(l_deg, b_deg).items():
        strict = np.abs(ratio[mask] - 1) <= tolerance
        fair = np.abs(ratio[mask] - 1) <= tolerance + 2 * noise[mask]
        print(f"{name}: {mask.sum()} sightlines, tolerance {tolerance:.0%}")
        print("  median ratio         " + "".join(f"{x:7.2f}" for x in np.median(ratio[mask], 0)))
        for label, within in (("within", fair), ("within, strictly", strict)):
            row = "".join(f"{x:7.2f}" for x in within.mean(0))
            print(f"  {label:21s}{row}{within.all(1).mean():7.2f}")
    print(f"drawing: {drawing_speed(galaxy) / 1e6:.2f} million stars per second")
    if args.figure:
        figure(args.figure, l_deg, b_deg, ratio)


if __name__ == "__main__":
    main()
