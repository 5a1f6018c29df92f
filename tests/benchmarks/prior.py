"""Figure of draws from the prior of extinction profiles, whose equations `extmap_tf.extinction.profiles` has.

    python tests/benchmarks/prior.py [--config NAME] [--l LONGITUDE] [--b LATITUDE] [--figure FILE]

Left and middle: profiles drawn one after the other, as density and as cumulative extinction. Right:
percentiles of many draws against distance.
"""

import argparse

import numpy as np
from matplotlib.figure import Figure

from extmap_tf import Config
from extmap_tf.extinction.profiles import density_to_cumulative, draw_densities
from extmap_tf.figures.style import COLORS, save

N_DRAWN, N_COUNTED = 7, 4000
PERCENT = (2.5, 16, 50, 84, 97.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="carina")
    parser.add_argument("--l", type=float, default=280.0)
    parser.add_argument("--b", type=float, default=0.0)
    parser.add_argument("--figure", default="tests/benchmarks/figures/prior.png")
    args = parser.parse_args()
    config = Config.load(args.config)
    distance = config.distance
    rngs = [np.random.default_rng([config.seed, number]) for number in range(N_COUNTED)]
    density = draw_densities(config.profiles, distance, args.l, args.b, rngs)
    cumulative = density_to_cumulative(density, distance.step_kpc)

    figure = Figure(figsize=(13, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, sharex=True)
    for color, rho, total in zip(COLORS, density[:N_DRAWN], cumulative[:N_DRAWN], strict=True):
        left.stairs(rho, distance.edges_kpc, color=color, lw=1)
        middle.plot(distance.outer_kpc, total, color=color)
    for percent, at in zip(PERCENT, np.percentile(cumulative, PERCENT, axis=0), strict=True):
        right.plot(distance.outer_kpc, at, color="k", lw=2 if percent == 50 else 0.8)
        right.annotate(
            f"{percent:g} %", (distance.max_kpc, at[-1]), xytext=(3, 0), textcoords="offset points"
        )
    left.set(ylabel="density of A(Ks) / mag kpc$^{-1}$", yscale="log", ylim=(1e-3, None))
    middle.set(ylabel="cumulative A(Ks) / mag", yscale="log", ylim=(1e-3, None))
    right.set(ylabel="cumulative A(Ks) / mag", yscale="log", ylim=(1e-3, None))
    for axis in (left, middle, right):
        axis.set(xlabel="distance / kpc", xlim=(0, distance.max_kpc))
    figure.suptitle(
        f"{config.name}, l = {args.l:g}, b = {args.b:g} deg: draws, and percentiles of {N_COUNTED:,} draws"
    )
    save(figure, args.figure, overwrite=True, dpi=110)
    print(args.figure)


if __name__ == "__main__":
    main()
