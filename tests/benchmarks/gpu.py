"""Training and inference of the networks on this machine's GPUs, beside the published network's rate.

    python tests/benchmarks/gpu.py

For `cornu2022`, `dense` and `planes` in float32, bfloat16 and float16, images a second by the clock, on one
GPU and, where there are several, mirrored over all. In inference the diagrams stand on the device, and each
batch waits for the one before; training is Keras' own loop, to which each batch comes from the processor,
as in ``extmap-tf train``. The published network ran at 120,000 images/s on an RTX 4090 in inference
(CIANNA, half precision). No measurement begins after ``--minutes``; one that fails is named, and the others
go on. Without a GPU it says so; ``--cpu`` shows on any machine that the script runs.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from networks import network_and_inputs

from extmap_tf.quiet import start_tensorflow

PUBLISHED_PER_S = 120_000
PRESETS = ("cornu2022", "dense", "planes")
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


def rates(preset, policy, strategy, batch, train_batch, seconds):
    """Images a second in inference and in training, each measured for about so many seconds.

    A batch is divided among the replicas.
    """
    import keras
    import tensorflow as tf

    from extmap_tf.model.heads import head_of
    from extmap_tf.model.training import compile_network

    n = strategy.num_replicas_in_sync
    keras.config.set_dtype_policy(policy)
    try:
        with strategy.scope():
            config, model, inputs = network_and_inputs(preset, batch // n)
            compile_network(model, head_of(config.network, config.distance), config.training, 10_000)
    finally:
        keras.config.set_dtype_policy("float32")

    @tf.function
    def infer(steps):
        def run():
            total = tf.constant(0.0)
            for _ in tf.range(steps):
                # Of the last batch, so that none is taken out of the loop as always the same.
                given = {name: value + 1e-30 * total for name, value in inputs.items()}
                total = tf.reduce_mean(tf.cast(model(given, training=False), tf.float32))
            return total

        return strategy.experimental_local_results(strategy.run(run))

    few = {name: tf.repeat(value[:1], train_batch, axis=0) for name, value in inputs.items()}
    truth = tf.fill([train_batch, config.distance.n_distances], 0.1)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    pairs = tf.data.Dataset.from_tensors((few, truth)).cache().repeat().prefetch(2).with_options(options)

    def rate_of(function, steps):
        start = time.perf_counter()
        function(steps)
        return steps / (time.perf_counter() - start)

    def steps_a_second(function):
        function(1)
        return rate_of(function, max(2, round(seconds * rate_of(function, 2))))

    inference = steps_a_second(lambda steps: [value.numpy() for value in infer(tf.constant(steps))])
    training = steps_a_second(lambda steps: model.fit(pairs, steps_per_epoch=steps, epochs=1, verbose=0))
    return inference * (batch // n * n), training * train_batch


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=4096, help="of inference (default: %(default)s)")
    parser.add_argument("--train-batch", type=int, default=1024, help="of training (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="of each measurement (default: %(default)s)"
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="of them all (default: %(default)s)")
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=PRESETS)
    parser.add_argument("--cpu", action="store_true", help="on the processor, to show that the script runs")
    parser.add_argument("--json", help="write the figures to this file")
    args = parser.parse_args()
    start_tensorflow()
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus and not args.cpu:
        sys.exit("gpu.py: TensorFlow finds no GPU here (its GPU build: pip install 'tensorflow[and-cuda]')")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus]
    print(f"{len(gpus)} GPU(s): {', '.join(names) or 'none, on the processor'}; TensorFlow {tf.__version__}")
    strategies = {"single": tf.distribute.OneDeviceStrategy("GPU:0" if gpus else "CPU:0")}
    if len(gpus) > 1:
        strategies["mirrored"] = tf.distribute.MirroredStrategy()
    figures, end = {}, time.monotonic() + 60.0 * args.minutes
    print(f"{'images/s':42s} {'inference':>12s} {'of 120,000':>12s} {'training':>12s}")
    for preset in args.presets:
        for policy in POLICIES:
            for how, strategy in strategies.items():
                name = f"{preset} {policy} {how}"
                if time.monotonic() > end:
                    print(f"{name:42s} left out: {args.minutes:g} minutes are over")
                    continue
                try:
                    found = rates(preset, policy, strategy, args.batch, args.train_batch, args.seconds)
                except (tf.errors.OpError, ValueError, TypeError, RuntimeError) as error:
                    print(f"{name:42s} cannot be measured: {str(error).splitlines()[0][:100]}", flush=True)
                    continue
                figures |= {f"{name} inference": found[0], f"{name} training": found[1]}
                share = found[0] / PUBLISHED_PER_S
                print(f"{name:42s} {found[0]:12,.0f} {share:12.3f} {found[1]:12,.0f}", flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps({"devices": names, "figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
