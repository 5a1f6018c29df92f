"""How much of a training's time is spent waiting for data.

    python tests/benchmarks/training_data.py RECORDS [--steps N] [--repeats N]

The default network is trained on mock RECORDS, read, shuffled and parsed as by `extmap-tf train`, and in turn
on one of their batches, kept in memory. What the first takes longer is waiting, or cores taken from training.
"""

import argparse
import statistics
import time

from extmap_tf.quiet import start_tensorflow
from extmap_tf.records.manifest import Records


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    start_tensorflow()
    import keras
    import tensorflow as tf

    from extmap_tf.model.networks import build_network, fill_tables
    from extmap_tf.model.objective import ProfileScore
    from extmap_tf.model.training import mean_density
    from extmap_tf.records.dataset import training_dataset

    records = Records.open(args.records)
    config, reference = records.manifest.config, records.reference()
    model = build_network(config, len(reference[0]), config.seed)
    fill_tables(model, reference, mean_density(records))
    model.compile(keras.optimizers.AdamW(1e-4), ProfileScore(config.distance.step_kpc), jit_compile=False)
    read = training_dataset(records, config.training, config.seed)
    kept = tf.data.Dataset.from_tensors(next(iter(read))).repeat()
    seconds = {"records": [], "memory": []}
    for repeat in range(args.repeats + 1):
        for name, batches in (("records", read), ("memory", kept)):
            batches = iter(batches)
            # The shuffle buffer fills and the graph is traced before the clock starts.
            model.fit(batches, steps_per_epoch=5, verbose=0)
            start = time.perf_counter()
            model.fit(batches, steps_per_epoch=args.steps, verbose=0)
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    images = args.steps * config.training.batch_size
    for name, times in seconds.items():
        print(f"{name}: {images / statistics.median(times):,.0f} images/s")
    shares = [1.0 - kept / read for read, kept in zip(*seconds.values(), strict=True)]
    print(f"waiting: {100 * statistics.median(shares):.1f} % of the time, median of {len(shares)}")


if __name__ == "__main__":
    main()
