"""Regions of mock fields that share what is off: errors and intervals of a network, and of its refinement.

    python tests/benchmarks/refine.py [MODEL] [--regions N] [--fields N] [--seed N]
                                      [--offsets told,prior] [--json FILE]

Each region is a patch of sky, with offsets drawn once from the training's distribution, and profiles of the
training prior, one for each field. The refinement is told the offsets, or knows their prior alone. Rows: mean
and median absolute errors of A, coverage of the central 68 % interval, and the same of windows from samples.
"""

import argparse
import time

import numpy as np

from extmap_tf.evaluation.metrics import write_json
from extmap_tf.evaluation.windows import format_windows, window_scores
from extmap_tf.extinction.profiles import density_to_cumulative, draw_densities
from extmap_tf.galaxy import Galaxy
from extmap_tf.mocks.fields import dim_and_count, one_field, visible_limits_mag
from extmap_tf.mocks.nuisances import draw_nuisances
from extmap_tf.mocks.patchiness import draw_patchiness
from extmap_tf.quiet import start_tensorflow
from extmap_tf.text_tables import aligned

AT_KPC = (1.0, 2.0, 3.0, 5.0, 8.0, 10.0)
SIDE_DEG = 1.5
# Enough that no star need occur more often than the pool has it.
POOL_FIELDS = 4


def region(config, n_fields, rng, area=1.0, largest_mag=np.inf):
    """Fields of a place that share their offsets: l, b, counts, densities, patchiness; and the offsets.

    They have `area` times the area of the configuration's, and no more dust than `largest_mag`.
    """
    l_low, l_high, b_low, b_high = config.region_deg()
    center = rng.uniform(l_low + 1, l_high - 1), rng.uniform(b_low + 1, b_high - 1)
    off, area_deg2 = draw_nuisances(config.nuisances, rng), area * config.sightlines.area_deg2
    limit_mag = visible_limits_mag(config.surveys, off)[config.survey.red.name]
    fields = []
    for _ in range(n_fields):
        l, b = (float(x + rng.uniform(-0.5, 0.5) * SIDE_DEG) for x in center)
        stars = Galaxy.of(config.galaxy).draw(l, b, POOL_FIELDS * area_deg2, limit_mag, rng)
        density = draw_densities(config.profiles, config.distance, l, b, [rng])[0]
        density *= min(1.0, largest_mag / (density.sum() * config.distance.step_kpc))
        patchiness = draw_patchiness(config.profiles, config.distance.max_kpc, rng)
        field = one_field(stars, area_deg2, rng, off)
        (counts,) = dim_and_count(field, density, config, rng, patchiness, off).values()
        fields.append((l, b, counts, density, patchiness))
    *arrays, patchiness = zip(*fields, strict=True)
    return (*map(np.array, arrays), patchiness), off


def true_offsets(config, off):
    from extmap_tf.fit.expected import NUISANCES

    values = np.array([getattr(off, name) for name in NUISANCES])
    values[NUISANCES.index("law_ratio")] -= config.nuisances.law_ratio_mean
    return values


def offsets_of(how, config, seen, true):
    """The offsets of a region as they are told, or known before, and the table that has them."""
    from extmap_tf.fit.offsets import RegionOffsets
    from extmap_tf.fit.refining import losses_mag, with_offsets

    told = RegionOffsets(true, np.zeros((len(true), len(true))))
    offsets = told if how == "told" else RegionOffsets.of_prior(config.nuisances)
    return offsets, with_offsets(config, offsets, losses_mag(config, seen))


def tables(density, estimates, samples, distance):
    """Print errors and coverage of estimates by name; returns them for a file."""
    at = [round(d / distance.step_kpc) - 1 for d in AT_KPC]
    truth = density_to_cumulative(density, distance.step_kpc)[:, at]
    total, lines, scores = truth[:, -1], [], []
    groups = (("all", total > 0), ("< 0.25", total < 0.25), ("0.25 to 1.2", (total >= 0.25) & (total < 1.2)))
    groups += (("> 1.2", total >= 1.2),)
    for group, rows in groups:
        for name, parts in estimates.items():
            p16, p50, p84 = (
                np.concatenate([part.percentile("extinction", q) for part in parts])[rows][:, at]
                for q in (16.0, 50.0, 84.0)
            )
            error, inside = np.abs(p50 - truth[rows]), (truth[rows] >= p16) & (truth[rows] <= p84)
            for what, values in (
                ("mean", error.mean(axis=0)),
                ("median", np.median(error, axis=0)),
                ("in 68 %", inside.mean(axis=0)),
            ):
                lines.append([group, str(rows.sum()), name, what, *(f"{x:.3f}" for x in values)])
                scores.append({"group": group, "by": name, "what": what, "values": values.tolist()})
    columns = [
        ("A(Ks)", "mag"),
        ("n", ""),
        ("by", ""),
        ("error", "mag"),
        *((f"{d:g}", "kpc") for d in AT_KPC),
    ]
    print(aligned(columns, lines))
    for name, parts in samples.items():
        windows = window_scores(np.concatenate(parts), density, distance.step_kpc, (0.5, 1.0, 2.0))
        print(f"windows, {name}:", format_windows(windows), sep="\n")
    return scores


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="carina")
    parser.add_argument("--regions", type=int, default=4)
    parser.add_argument("--fields", type=int, default=49)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--offsets", default="told,prior")
    parser.add_argument("--json")
    args = parser.parse_args()
    start_tensorflow()
    from extmap_tf.fit.refining import Refiner, Seen
    from extmap_tf.model.scoring import Scorer
    from extmap_tf.model.versions import find_saved_model

    folder, card = find_saved_model(args.model)
    config, scorer, ways = card.config, Scorer(folder), args.offsets.split(",")
    rng, densities, not_refined = np.random.default_rng(args.seed), [], []
    estimates, samples = ({name: [] for name in ("network", *ways)} for _ in range(2))
    seconds = dict.fromkeys(("table", "fields"), 0.0)
    for _ in range(args.regions):
        (l, b, counts, density, _), off = region(config, args.fields, rng)
        inputs = (counts.astype(np.float32), l, b, np.ones(len(l), np.float32))
        seen = Seen(*inputs, scorer.score_counts(*inputs), scorer.sample_counts(*inputs))
        densities.append(density)
        estimates["network"].append(seen.estimate)
        samples["network"].append(seen.samples)
        true = true_offsets(config, off)
        for how in ways:
            start = time.process_time()
            offsets, table = offsets_of(how, config, seen, true)
            table_at = time.process_time()
            refined = Refiner(config, table, offsets).refine(seen)
            seconds["fields"] += time.process_time() - table_at
            seconds["table"] += table_at - start
            estimates[how].append(refined)
            step_kpc = config.distance.step_kpc
            samples[how].append(np.diff(refined.samples, axis=2, prepend=0.0) / step_kpc)
            not_refined.append(np.mean(refined.flag != seen.estimate.flag))
    scores = tables(np.concatenate(densities), estimates, samples, config.distance)
    n_refined = args.regions * args.fields * len(ways)
    print(f"not refined: {100 * np.mean(not_refined):.1f} %")
    print(f"core seconds a field: {seconds['fields'] / n_refined:.3f}")
    print(f"core seconds a table: {seconds['table'] / args.regions / len(ways):.1f}")
    if args.json:
        write_json({"refine": scores}, args.json, overwrite=True)


if __name__ == "__main__":
    main()
