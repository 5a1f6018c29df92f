"""Networks side by side: the same pairs, the same time.

    python tests/benchmarks/architectures.py RECORDS [--seconds S | --epochs N] [--only NAME ...] [--json F]

Each network is trained on the training split of mock RECORDS for S seconds, or for N epochs, with optimizer
and schedule of 'extmap-tf train'; how many batches that is follows from its rate over the first ones. Printed
are weights, images/s of training, images seen, and on the test split the score and the mean absolute error of
the median cumulative extinction. No intervals are fitted afterwards, so the errors are not quite those of
finished models. All but `cornu2022` give the distribution of the default network.
"""

import argparse
import json
import time

import numpy as np

from extmap_tf.estimate import ProfileEstimate
from extmap_tf.evaluation.metrics import evaluate
from extmap_tf.evaluation.profile_errors import DISTANCES_KPC
from extmap_tf.quiet import start_tensorflow
from extmap_tf.records.manifest import Records

BATCHES_FOR_THE_RATE = 24


def networks():
    """Name -> what stands between the CMD channels and the output, or None for a preset as it is."""
    import keras
    from keras import layers, ops

    class PooledCmd(keras.layers.Layer):
        """log(1 + counts) of blocks of k x k pixels."""

        def __init__(self, k):
            super().__init__()
            self.k = k

        def call(self, x):
            return ops.log1p(ops.average_pool(ops.expm1(x), self.k, self.k) * float(self.k**2))

    def flat(x):
        return layers.Flatten()(x)

    def pooled(x, *sizes):
        return [flat(PooledCmd(k)(x)) for k in sizes]

    def convolved(x, *filters):
        for n in filters:
            x = layers.Conv2D(n, 5, strides=2, padding="same", activation="relu")(x)
        return flat(x)

    def published(x):
        return flat(layers.MaxPooling2D(2)(layers.Conv2D(12, 5, padding="same", activation="relu")(x)))

    def concatenated(*parts):
        return layers.Concatenate()(list(parts))

    narrow, wide = (512, 512, 512), (1024, 1024, 1024)
    return {
        "dense": (flat, narrow),
        "dense, pooled CMDs too": (lambda x: concatenated(flat(x), *pooled(x, 2, 4, 8)), narrow),
        "dense, pooled CMDs alone": (lambda x: concatenated(*pooled(x, 2, 4, 8)), wide),
        "C5x5.12-P2, dense": (published, narrow),
        "two strided convolutions, dense": (lambda x: convolved(x, 16, 32), narrow),
        "cornu2022": None,
    }


def build(config, parts, n_nodes):
    """The network of `parts`, see `networks`; the preset cornu2022 where there are none."""
    import keras
    from keras import layers

    from extmap_tf.model.networks import build_network, distribution_head

    if parts is None:
        return build_network(config.replace(**{"network.preset": "cornu2022"}), n_nodes, config.seed)
    front, widths = parts
    model = build_network(config, n_nodes, config.seed)
    x = front(model.get_layer("channels").output)
    for units in widths:
        x = layers.Dense(units, activation="relu")(x)
    return keras.Model(model.input, distribution_head(x, config.distance.n_distances, config.network.rank))


def loaded(records, split):
    """Inputs and density of a split, in memory."""
    from extmap_tf.records.dataset import evaluation_dataset

    inputs, density = zip(*evaluation_dataset(records, split), strict=True)
    whole = {name: np.concatenate([x[name] for x in inputs]) for name in inputs[0]}
    return whole, np.concatenate(density)


def train(model, records, data, args):
    """Train for the time or the epochs asked for; batches trained on, and seconds of all of them."""
    from extmap_tf.model.training import compile_network

    config = records.manifest.config
    training, step_kpc = config.training, config.distance.step_kpc
    inputs, density = data
    n, size = len(density), training.batch_size
    rng = np.random.default_rng(config.seed)

    def batches():
        while True:
            order = rng.permutation(n)
            for first in range(0, n - size + 1, size):
                rows = np.sort(order[first : first + size])
                yield {name: value[rows] for name, value in inputs.items()}, density[rows]

    def seconds_of(n_steps):
        start = time.perf_counter()
        for _, batch in zip(range(n_steps), source, strict=False):
            model.train_on_batch(*batch)
        return time.perf_counter() - start

    source, fresh = batches(), model.get_weights()
    steps = args.epochs * (n // size) if args.epochs else 0
    if not steps:
        compile_network(model, training, BATCHES_FOR_THE_RATE, step_kpc)
        seconds_of(4)
        steps = int(args.seconds * BATCHES_FOR_THE_RATE / seconds_of(BATCHES_FOR_THE_RATE))
        model.set_weights(fresh)
    compile_network(model, training, steps, step_kpc)
    return steps, seconds_of(steps)


def errors_and_score(model, data, distance):
    """Mean absolute errors of the median cumulative extinction, mag, and the score; NaN for one profile."""
    import tensorflow as tf

    from extmap_tf.model.distribution import summarize, summarize_point
    from extmap_tf.model.networks import gives_distribution

    inputs, density = data
    output, score = tf.constant(model.predict(inputs, verbose=0)), np.nan
    if gives_distribution(model):
        score = model.evaluate(inputs, density, verbose=0)
        outputs = summarize(output, distance.step_kpc)
    else:
        outputs = summarize_point(output, distance.step_kpc)
    outputs = {name: value.numpy() for name, value in outputs.items()}
    nothing = np.zeros(len(density), np.uint8)
    estimate = ProfileEstimate(**outputs, flag=nothing, reliable_distance_kpc=nothing)
    truth = ProfileEstimate.of_density(density, distance.step_kpc)
    found = evaluate(truth, estimate, inputs["counts"].sum(axis=(1, 2)), distance)
    return [row.mean_absolute_error_mag for row in found.overall], score


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--epochs", type=int, help="in place of --seconds")
    parser.add_argument("--only", nargs="+", help="names of networks, by default all")
    parser.add_argument("--json")
    args = parser.parse_args()
    start_tensorflow()
    import keras

    from extmap_tf.model.networks import fill_tables, n_weights
    from extmap_tf.model.training import mean_density

    records = Records.open(args.records)
    config = records.manifest.config
    reference, mean = records.reference(), mean_density(records)
    data, test = loaded(records, "train"), loaded(records, "test")
    print(f"{len(data[1])} training pairs, {len(test[1])} test pairs")
    print(
        f"{'network':32s} {'weights':>11s} {'images/s':>8s} {'seen':>9s} {'score':>7s}  mean |error| / mag at"
    )
    print(f"{'':72s}" + " ".join(f"{d:g} kpc".rjust(6) for d in DISTANCES_KPC))
    rows = {}
    for name, parts in networks().items():
        if args.only and name not in args.only:
            continue
        keras.backend.clear_session()
        model = build(config, parts, len(reference[0]))
        fill_tables(model, reference, mean)
        steps, seconds = train(model, records, data, args)
        seen = steps * config.training.batch_size
        errors, score = errors_and_score(model, test, config.distance)
        print(
            f"{name:32s} {n_weights(model):11,d} {seen / seconds:8,.0f} {seen:9,d} {score:7.4f}  "
            + " ".join(f"{error:6.4f}" for error in errors),
            flush=True,
        )
        rows[name] = {
            "weights": n_weights(model),
            "training images/s": seen / seconds,
            "images seen": seen,
            "score": score,
            "mean absolute error, mag": errors,
        }
    if args.json:
        with open(args.json, "w") as stream:
            json.dump({"distances, kpc": DISTANCES_KPC, "networks": rows}, stream, indent=1)


if __name__ == "__main__":
    main()
