"""What percentiles cost beside the network that they are of, and how near they are to those of many profiles.

    python tests/benchmarks/percentiles.py

On one thread, by processor time, in one process: the networks `dense` and `planes` from diagram to profiles,
then percentiles of density and extinction by the network of comparisons of `extmap_tf.model.order` and by
sorting, and the summary as a whole. Then, for sightlines whose distribution is known, how far the percentiles
of the 256 fixed profiles are from those of 100,000 random ones, in standard deviations of the extinction.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from networks import network_and_inputs

from extmap_tf.quiet import start_tensorflow

N_TRUTH = 100_000
STEP_KPC, N_DISTANCES, RANK = 0.1, 100, 8


def processor_ms(function, repeats, n):
    """Least processor time of a call after a first one, ms for each of n rows."""
    function()
    least = np.inf
    for _ in range(repeats):
        start = time.process_time()
        function()
        least = min(least, time.process_time() - start)
    return 1e3 * least / n


def sorted_percentiles(ensembles):
    """The percentiles [rows, n_percentiles, m] of ensembles [rows, n_members, m] by sorting."""
    import tensorflow as tf

    from extmap_tf.model.order import percentile_places

    below, fraction = percentile_places(ensembles.shape[1])
    ordered = tf.sort(tf.transpose(ensembles, [0, 2, 1]), axis=-1)
    low, high = (tf.gather(ordered, places, axis=-1) for places in (below, below + 1))
    return tf.transpose(low + fraction * (high - low), [0, 2, 1])


def costs(preset, rows, repeats, figures):
    """Print and keep processor milliseconds a field."""
    import tensorflow as tf

    from extmap_tf.model.distribution import N_QUANTILE
    from extmap_tf.model.heads import head_of
    from extmap_tf.model.order import in_blocks, percentiles_of

    config, model, inputs = network_and_inputs(preset, rows)
    head = head_of(config.network, config.distance)
    run = tf.function(lambda x: model(x, training=False))
    output = run(inputs)
    whole = tf.function(head.summarize)
    # Density and extinction side by side where both have no closed form.
    n_columns = (2 if preset == "planes" else 1) * config.distance.n_distances
    ensembles = tf.random.stateless_gamma([rows, N_QUANTILE, n_columns], [1, 2], alpha=2.0)
    shape = [[9, n_columns]]
    ways = [
        tf.function(lambda x, way=way: in_blocks(lambda some: [way(some)], x, shape)[0])
        for way in (sorted_percentiles, percentiles_of)
    ]
    np.testing.assert_array_equal(*(way(ensembles) for way in ways))
    found = {
        "network": processor_ms(lambda: run(inputs), repeats, rows),
        "percentiles, sorted": processor_ms(lambda: ways[0](ensembles), repeats, rows),
        "percentiles, compared": processor_ms(lambda: ways[1](ensembles), repeats, rows),
        "summary, with percentiles compared": processor_ms(lambda: whole(output), repeats, rows),
    }
    for name, value in found.items():
        print(f"{preset:8s} {name:36s} {value:8.3f} ms a field", flush=True)
    figures |= {f"{preset} {name} ms": value for name, value in found.items()}
    return found


def known_distributions(n, rng):
    """Profiles from noise, by head: function of noise [1, n_samples, width], and the width."""
    import tensorflow as tf

    from extmap_tf.model.distribution import profiles_from_noise
    from extmap_tf.model.generator import ProfileGenerator

    bins = (n, N_DISTANCES)
    own = [np.full(bins, 0.3), rng.normal(-2.0, 1.5, bins), rng.uniform(0.05, 1.5, bins)]
    own += [rng.normal(0, 0.2, bins), rng.uniform(0.5, 1.2, bins)]
    factor = rng.normal(0, 0.4, (*bins, RANK))
    parameters = tf.constant(np.concatenate([np.stack(own, axis=-1), factor], axis=-1), tf.float32)
    generator, features = ProfileGenerator(N_DISTANCES), tf.constant(rng.normal(size=(n, 64)), tf.float32)
    generator(features[:1])
    # As uncertain as a trained one: a fresh one gives nearly the same profile whatever the noise.
    generator._outer.kernel.assign(20.0 * generator._outer.kernel)
    return {
        "distribution": (lambda noise: profiles_from_noise(parameters, noise), N_DISTANCES + RANK),
        "generator": (lambda noise: generator.profiles(features, noise), N_DISTANCES + generator.n_noise),
    }


def accuracy(n, figures):
    """Print and keep how far the percentiles of the extinction are from those of many profiles."""
    import tensorflow as tf

    from extmap_tf.estimate import PERCENTILES
    from extmap_tf.model.distribution import quantile_noise
    from extmap_tf.model.order import percentiles_of

    for name, (profiles, width) in known_distributions(n, np.random.default_rng(2)).items():
        few = tf.cumsum(profiles(quantile_noise(width)), axis=-1) * STEP_KPC
        found, by_sort = percentiles_of(few).numpy(), sorted_percentiles(few).numpy()
        parts = [
            np.cumsum(profiles(tf.random.stateless_normal([1, 5000, width], [3, i])), axis=-1) * STEP_KPC
            for i in range(N_TRUTH // 5000)
        ]
        many = np.concatenate(parts, axis=1)
        expected = np.moveaxis(np.percentile(many, PERCENTILES, axis=1), 0, 1)
        spread = many.std(axis=1)[:, None]
        off = np.abs(found - expected) / spread
        print(
            f"\n{name}: |percentile - that of {N_TRUTH:,} profiles| in standard deviations, median and 95 %"
        )
        for k, percent in enumerate(PERCENTILES):
            print(f"  {percent:5.1f} {np.median(off[:, k]):8.3f} {np.quantile(off[:, k], 0.95):8.3f}")
        apart = float((np.abs(found - by_sort) / spread).max())
        print(f"  from sorting the same {few.shape[1]} profiles: at most {apart:.1e}")
        figures[f"{name} percentiles off, median"] = float(np.median(off))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=512, help="diagrams of a batch (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sightlines", type=int, default=4, help="of the accuracy (default: %(default)s)")
    parser.add_argument("--json", help="write figures and ratios to this file")
    args = parser.parse_args()
    start_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    figures, ratios = {}, {}
    for preset in ("dense", "planes"):
        found = costs(preset, args.rows, args.repeats, figures)
        ratios |= {
            f"{preset} sorted over compared": found["percentiles, sorted"] / found["percentiles, compared"],
            f"{preset} network over percentiles": found["network"] / found["percentiles, compared"],
        }
    accuracy(args.sightlines, figures)
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f}")
    if args.json:
        Path(args.json).write_text(json.dumps({"figures": figures, "ratios": ratios}, indent=1) + "\n")


if __name__ == "__main__":
    main()
