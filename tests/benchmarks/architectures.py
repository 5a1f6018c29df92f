"""Networks side by side: the same pairs, the same time.

    python tests/benchmarks/architectures.py RECORDS [--seconds S | --epochs N] [--only NAME ...] [--json F]

Each network is trained on the training split of mock RECORDS for S seconds, or for N epochs, with optimizer
and schedule of 'extmap-tf train'; how many batches that is follows from its rate over the first ones. Printed
are weights, images/s of training, images seen, and on the test split the loss (of another kind where a
network gives one profile) and the mean absolute error of the median cumulative extinction. No intervals are
fitted afterwards, so the errors are not quite those of finished models. The networks are those of
`extmap_tf.networks` and more that are registered here in the same way.
"""

import argparse
import dataclasses
import json
import time
from dataclasses import dataclass

import numpy as np

from extmap_tf.estimate import ProfileEstimate
from extmap_tf.evaluation.metrics import evaluate
from extmap_tf.evaluation.profile_errors import DISTANCES_KPC
from extmap_tf.networks import PRESETS, Dense, network, network_class
from extmap_tf.quiet import start_tensorflow
from extmap_tf.records.manifest import Records

BATCHES_FOR_THE_RATE = 24


@network
@dataclass(frozen=True)
class Pooled(Dense):
    """log(1 + counts) of blocks of pixels, of several sizes, beside or in place of the image."""

    preset: str = "dense, pooled CMDs too"
    sizes: tuple[int, ...] = (2, 4, 8)
    with_image: bool = True

    def body(self, seen):
        from keras import layers, ops

        x = seen.diagrams[0].channels
        counts = layers.Lambda(ops.expm1)(x)
        parts = [layers.Flatten()(x)] if self.with_image else []
        for k in self.sizes:
            blocks = layers.AveragePooling2D(k)(counts)
            parts.append(layers.Flatten()(layers.Lambda(lambda x, k=k: ops.log1p(k**2 * x))(blocks)))
        return self.dense_layers(layers.Concatenate()(parts))


@network
@dataclass(frozen=True)
class PooledAlone(Pooled):
    preset: str = "dense, pooled CMDs alone"
    widths: tuple[int, ...] = (1024, 1024, 1024)
    with_image: bool = False


@network
@dataclass(frozen=True)
class PublishedFront(Dense):
    """The convolution of the published network before the dense layers."""

    preset: str = "C5x5.12-P2, dense"

    def body(self, seen):
        from keras import layers

        x = layers.Conv2D(12, 5, padding="same", activation="relu")(seen.diagrams[0].channels)
        return self.dense_layers(layers.Flatten()(layers.MaxPooling2D(2)(x)))


@network
@dataclass(frozen=True)
class Strided(Dense):
    """Strided convolutions before the dense layers."""

    preset: str = "two strided convolutions, dense"
    filters: tuple[int, ...] = (16, 32)

    def body(self, seen):
        from keras import layers

        x = seen.diagrams[0].channels
        for n in self.filters:
            x = layers.Conv2D(n, 5, strides=2, padding="same", activation="relu")(x)
        return self.dense_layers(layers.Flatten()(x))


def loaded(records, split):
    """Inputs and density of a split, in memory."""
    from extmap_tf.records.dataset import evaluation_dataset

    inputs, density = zip(*evaluation_dataset(records, split), strict=True)
    whole = {name: np.concatenate([x[name] for x in inputs]) for name in inputs[0]}
    return whole, np.concatenate(density)


def train(model, head, records, data, args):
    """Train for the time or the epochs asked for; batches trained on, and seconds of all of them."""
    from extmap_tf.model.training import compile_network

    config = records.manifest.config
    training = config.training
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
        compile_network(model, head, training, BATCHES_FOR_THE_RATE)
        seconds_of(4)
        steps = int(args.seconds * BATCHES_FOR_THE_RATE / seconds_of(BATCHES_FOR_THE_RATE))
        model.set_weights(fresh)
    compile_network(model, head, training, steps)
    return steps, seconds_of(steps)


def errors_and_score(model, head, data, distance):
    """Mean absolute errors of the median cumulative extinction, mag, and the network's own loss."""
    import tensorflow as tf

    inputs, density = data
    score = model.evaluate(inputs, density, verbose=0)
    outputs = head.summarize(tf.constant(model.predict(inputs, verbose=0)))
    outputs = {name: value.numpy() for name, value in outputs.items()}
    estimate = ProfileEstimate(**outputs, flag=np.zeros(len(density), np.uint8))
    truth = ProfileEstimate.of_density(density, distance.step_kpc)
    found = evaluate(truth, estimate, inputs["counts"].sum(axis=(1, 2)), distance)
    return [row.mean_absolute_error_mag for row in found.overall], score


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--epochs", type=int, help="in place of --seconds")
    parser.add_argument(
        "--only", nargs="+", help="names of networks, by default all of the registry and of this file"
    )
    parser.add_argument("--json")
    args = parser.parse_args()
    start_tensorflow()
    import keras

    from extmap_tf.model.build import build_network, fill_tables, n_weights
    from extmap_tf.model.heads import head_of
    from extmap_tf.model.training import facts_of

    records = Records.open(args.records)
    config = records.manifest.config
    facts = facts_of(records)
    data, test = loaded(records, "train"), loaded(records, "test")
    print(f"{len(data[1])} training pairs, {len(test[1])} test pairs")
    print(
        f"{'network':32s} {'weights':>11s} {'images/s':>8s} {'seen':>9s} {'score':>7s}  mean |error| / mag at"
    )
    print(f"{'':72s}" + " ".join(f"{d:g} kpc".rjust(6) for d in DISTANCES_KPC))
    rows = {}
    for name in args.only or PRESETS:
        keras.backend.clear_session()
        chosen = network_class(name)()
        head = head_of(chosen, config.distance)
        model = build_network(dataclasses.replace(config, network=chosen), facts.n_nodes, config.seed)
        fill_tables(model, facts)
        steps, seconds = train(model, head, records, data, args)
        seen = steps * config.training.batch_size
        errors, score = errors_and_score(model, head, test, config.distance)
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
