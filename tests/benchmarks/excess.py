"""Whether a model's intervals of the colour excess hold, which a map takes from those of A(red).

    python tests/benchmarks/excess.py RECORDS [MODEL] [--pairs N]

A map's E(blue-red) is its A(red) times the mean ratio less one, its interval too, though the law's scatter
moves A(red) more than the excess. The true excess of test pairs follows from their law, which is drawn again
by the pair's number. By distance, and by the extinction that the model gives: the mean absolute error of the
excess over that of A(red), both in A(red); truths in the central 68 and 90 % of A(red) and of the excess; and
the factor on the half of its 68 % interval that would hold 68 %.
"""

import argparse
from itertools import pairwise

import numpy as np

from extmap_tf.estimate import PERCENTILES
from extmap_tf.extinction.law import blue_over_red, mean_blue_over_red
from extmap_tf.extinction.profiles import draw_densities
from extmap_tf.mocks.nuisances import draw_nuisances
from extmap_tf.mocks.seeds import PAIR
from extmap_tf.quiet import start_tensorflow
from extmap_tf.records.manifest import Records
from extmap_tf.text_tables import aligned

AT_KPC = (1.0, 3.0, 5.0, 8.0)
EDGES_MAG = (0.0, 0.1, 0.3, 0.7, 1.5, 3.0, 20.0)
BATCH_SIZE = 512
HEADER = [
    ("A(red)", "mag"),
    ("at", "kpc"),
    ("n", ""),
    ("error", "/ that of A"),
    ("A in 68", "%"),
    ("90 %", ""),
    ("excess in 68", "%"),
    ("90 %", ""),
    ("factor", ""),
]


def law_of_pair(config, number):
    """True A(blue)/A(red) of a pair."""
    places = config.mocks.sightlines_deg()
    rng = np.random.Generator(np.random.SFC64([config.seed, PAIR, number]))
    draw_densities(config.profiles, config.distance, *places[number % len(places)], [rng])
    off = draw_nuisances(config.nuisances, rng, config.surveys)
    return blue_over_red(config.law, config.survey) + off.law_ratio


def scored(records, scorer, n_pairs):
    """Percentiles [n, n_percentiles, n_at] of A(red), the truth [n, n_at], and true A(blue)/A(red) [n]."""
    import tensorflow as tf

    from extmap_tf.records.dataset import serialized_examples
    from extmap_tf.records.example import parse_examples

    config, found = records.manifest.config, []
    at = [round(d / config.distance.step_kpc) - 1 for d in AT_KPC]
    examples = serialized_examples(records.shard_paths("test")).take(n_pairs).batch(BATCH_SIZE)
    for serialized in examples:
        parsed = parse_examples(serialized, config.views, "mocks", config.distance.n_distances)
        numbers = tf.io.parse_example(serialized, {"pair": tf.io.FixedLenFeature([], tf.int64)})["pair"]
        names = (*config.input_names, "coverage")
        estimate = scorer.score_counts(**{name: parsed[name].numpy() for name in dict.fromkeys(names)})
        truth = np.cumsum(parsed["density"].numpy(), axis=1)[:, at] * config.distance.step_kpc
        laws = np.array([law_of_pair(config, int(number)) for number in numbers])
        found.append((estimate.extinction_percentiles[:, :, at], truth, laws))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def inside(percentiles, truth, low, high):
    """Share of truths in an interval, in percent."""
    levels = list(PERCENTILES)
    low, high = (percentiles[:, levels.index(p)] for p in (low, high))
    return 100.0 * np.mean((truth >= low) & (truth <= high))


def row_of(what, distance_kpc, percentiles, extinction, excess):
    """A row of the table, of percentiles [n, n_percentiles] and truths [n]."""
    low, median, high = (percentiles[:, list(PERCENTILES).index(p)] for p in (16.0, 50.0, 84.0))
    half = np.where(excess > median, high - median, median - low)
    factor = np.quantile(np.abs(excess - median) / np.maximum(half, 1e-9), 0.68)
    errors = [np.abs(median - truth).mean() for truth in (extinction, excess)]
    shares = [
        f"{inside(percentiles, truth, *ends):.0f}"
        for truth in (extinction, excess)
        for ends in ((16.0, 84.0), (5.0, 95.0))
    ]
    ratio = f"{errors[1] / errors[0]:.2f}"
    return [what, f"{distance_kpc:g}", str(len(median)), ratio, *shares, f"{factor:.2f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records")
    parser.add_argument("model", nargs="?", default="carina")
    parser.add_argument("--pairs", type=int, default=6144)
    args = parser.parse_args()
    start_tensorflow()
    from extmap_tf.model.scoring import Scorer
    from extmap_tf.model.versions import find_saved_model

    records = Records.open(args.records)
    config = records.manifest.config
    percentiles, truth, laws = scored(records, Scorer(find_saved_model(args.model)[0]), args.pairs)
    mean = mean_blue_over_red(config.law, config.survey, config.nuisances)
    # In mag of A(red), as a map has it before the ratio.
    excess = truth * (laws[:, None] - 1.0) / (mean - 1.0)
    median = percentiles[:, list(PERCENTILES).index(50.0)]
    lines = []
    for k, distance_kpc in enumerate(AT_KPC):
        parts = percentiles[:, :, k], truth[:, k], excess[:, k]
        lines.append(row_of("all", distance_kpc, *parts))
    for low, high in pairwise(EDGES_MAG):
        for k, distance_kpc in enumerate(AT_KPC):
            here = (median[:, k] >= low) & (median[:, k] < high)
            if here.sum() > 1:
                parts = percentiles[here, :, k], truth[here, k], excess[here, k]
                lines.append(row_of(f"{low:g} to {high:g}", distance_kpc, *parts))
    print(aligned(HEADER, lines))


if __name__ == "__main__":
    main()
