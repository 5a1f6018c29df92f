"""The expected stars behind `score --refine`, at the truth: what would bias offsets found with it.

    python tests/benchmarks/refine_model.py [CONFIG] [--regions N] [--fields N] [--area K]

Mock fields of K times the area, so of little noise, are compared with what the model expects of their true
profiles, patchiness and offsets. One step of Newton from there says where the likelihood would rather have
the offsets: with the profiles held, and with the profiles free. Beside it stand the noise of this
measurement, and the errors that 48 fields would state. Nothing is fitted, and there is no network.
"""

import argparse

import numpy as np
from refine import region, true_offsets
from scipy.special import ndtri

from extmap_tf.fit.expected import NUISANCES, State
from extmap_tf.fit.offsets import RegionOffsets
from extmap_tf.fit.refining import Refiner, Seen, baked_offsets, losses_mag, with_offsets
from extmap_tf.settings.config import Config
from extmap_tf.text_tables import aligned

LARGEST_MAG = 1.5
N_STATED = 48


def normals_of(patchiness, config):
    """The normal numbers [n, 3] of two layers."""
    prior, max_kpc = config.profiles, config.distance.max_kpc
    rows = [
        (
            (p.sigma / prior.patchiness_max) ** (1.0 / prior.patchiness_power),
            (p.sigma_beyond / prior.patchiness_max) ** (1.0 / prior.patchiness_power),
            np.log(min(p.beyond_kpc, max_kpc) / 0.3) / np.log(max_kpc / 0.3),
        )
        for p in patchiness
    ]
    return ndtri(np.clip(rows, 1e-4, 1.0 - 1e-4))


def pulls(config, n_fields, area, rng):
    """Slopes of the likelihood by offsets at the truth, and Fisher's matrices: sums over a region's fields.

    Returns
    -------
    dict of str to (ndarray [7], ndarray [7, 7])
        With the profiles held and free, for one area.
    """
    (l, b, counts, density, patchiness), off = region(config, n_fields, rng, area, LARGEST_MAG)
    true = true_offsets(config, off)
    seen = Seen(counts, l, b, np.full(n_fields, float(area)), l, l)
    offsets = RegionOffsets(true, np.zeros((7, 7)))
    table = with_offsets(config, offsets, losses_mag(config, seen))
    refiner = Refiner(config, table, RegionOffsets.of_prior(config.nuisances))
    found = {how: (np.zeros(7), np.zeros((7, 7))) for how in ("profiles held", "profiles free")}
    for i in range(n_fields):
        one, node = seen[i : i + 1], refiner.node_of(seen[i : i + 1])[0]
        posterior = refiner.posterior_at(*node.tolist())
        profile = posterior.model.tree.of_increments(density[i : i + 1] * config.distance.step_kpc)
        left = (true - baked_offsets(config, table))[None]
        state = State(profile, normals_of(patchiness[i : i + 1], config), left)
        slope, fisher = posterior.likelihood_at(state, table.summed(one.counts), refiner.fields_of(one, node))
        slope, fisher = -slope[0] / area, fisher[0] / area
        inner = fisher[:-7, :-7] + posterior.precision[:-7, :-7]
        through = np.linalg.solve(inner, fisher[:-7, -7:]).T
        parts = {"profiles held": (slope[-7:], fisher[-7:, -7:])}
        free = slope[-7:] - through @ slope[:-7], fisher[-7:, -7:] - through @ fisher[:-7, -7:]
        for how, (gradient, matrix) in (parts | {"profiles free": free}).items():
            found[how] = found[how][0] + gradient, found[how][1] + matrix
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="?", default="carina")
    parser.add_argument("--regions", type=int, default=4)
    parser.add_argument("--fields", type=int, default=12)
    parser.add_argument("--area", type=int, default=16)
    args = parser.parse_args()
    config, rng, lines = Config.named(args.config), np.random.default_rng(7), []
    parts = [pulls(config, args.fields, args.area, rng) for _ in range(args.regions)]
    for how in parts[0]:
        slope, fisher = (sum(part[how][i] for part in parts) for i in (0, 1))
        variance = np.diag(np.linalg.inv(fisher))
        rows = {
            "bias": np.linalg.solve(fisher, slope),
            "+-": np.sqrt(variance / args.area),
            f"{N_STATED} fields": np.sqrt(variance * args.regions * args.fields / N_STATED),
        }
        lines += [[how, what, *(f"{x:.4f}" for x in values)] for what, values in rows.items()]
    print(aligned([("", ""), ("", ""), *((name, "") for name in NUISANCES)], lines))


if __name__ == "__main__":
    main()
