"""Latency and throughput of a SavedModel's signatures.

    python tests/benchmarks/serving.py run/model

The first line is a cold start: loading, and the first answer. Then, for each signature and batch size, calls
one after another and from several threads at once: the wall-clock time of a call (p50, p95, p99), images a
second, and processor time an image, which a busy machine changes least. `magnitudes` gets the stars of the
same CMDs.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from extmap_tf.model.known_answer import KnownAnswer
from extmap_tf.model.versions import EXTRA, find_saved_model
from extmap_tf.quiet import start_tensorflow

start_tensorflow()
import tensorflow as tf  # noqa: E402


def requests_of(known, config, n_stars, batch):
    """Inputs of the compared signatures for CMDs of `n_stars` stars."""
    rng = np.random.default_rng(0)
    share = known.inputs["counts"][0] / known.inputs["counts"].sum()
    counts = rng.poisson(n_stars * share, (batch, *share.shape)).astype(np.float32)
    place = {name: np.repeat(known.inputs[name], batch) for name in ("l_deg", "b_deg")}
    stars = [KnownAnswer({"counts": image[None]}, {}, "").stars(config.views[0]) for image in counts]
    blue_mag, red_mag = (np.concatenate([s[name] for s in stars]) for name in ("blue_mag", "red_mag"))
    splits = np.cumsum([0, *(len(s["red_mag"]) for s in stars)])
    arrays = {
        "serving_default": {"counts": counts, **place},
        "magnitudes": {"blue_mag": blue_mag, "red_mag": red_mag, "row_splits": splits, **place},
    }
    return {
        name: {key: tf.constant(value) for key, value in inputs.items()} for name, inputs in arrays.items()
    }


def measure(call, n_calls, n_threads):
    """Seconds of each call, wall-clock seconds and processor seconds of all."""

    def timed(_):
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    wall, cpu = time.perf_counter(), time.process_time()
    if n_threads == 1:
        seconds = [timed(i) for i in range(n_calls)]
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            seconds = list(pool.map(timed, range(n_calls)))
    return np.array(seconds), time.perf_counter() - wall, time.process_time() - cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder of 'extmap-tf export'")
    parser.add_argument("--stars", type=int, default=3000, help="in a CMD (default: %(default)s)")
    parser.add_argument("--images", type=int, default=1024, help="of each line (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=4)
    args = parser.parse_args()
    folder, card = find_saved_model(args.model)
    known = KnownAnswer.from_json((folder / EXTRA / "known_answer.json").read_text(), str(folder))

    start = time.perf_counter()
    signatures = tf.saved_model.load(str(folder)).signatures
    loaded = time.perf_counter() - start
    one = requests_of(known, card.config, args.stars, 1)["serving_default"]
    start = time.perf_counter()
    signatures["serving_default"](**one)
    first = time.perf_counter() - start
    network = f"{card.config.network.preset}, {card.n_weights:,} weights"
    print(f"{network}; cold: loaded in {loaded:.2f} s, first answer in {1e3 * first:.0f} ms")

    print("signature        batch threads  p50 ms  p95 ms  p99 ms  images/s  cpu ms/image")
    for batch in (1, 8, 64, 512):
        for name, inputs in requests_of(known, card.config, args.stars, batch).items():
            signature = signatures[name]
            for n_threads in (1, args.threads):
                signature(**inputs)
                n_calls = max(args.images // batch, 3 * n_threads)
                if batch == 1:
                    n_calls = min(n_calls, 300)
                seconds, wall, cpu = measure(lambda: signature(**inputs), n_calls, n_threads)  # noqa: B023
                p50, p95, p99 = 1e3 * np.quantile(seconds, [0.5, 0.95, 0.99])
                n = n_calls * batch
                print(
                    f"{name:<16} {batch:5d} {n_threads:7d} {p50:7.1f} {p95:7.1f} {p99:7.1f} {n / wall:9.1f}"
                    f" {1e3 * cpu / n:13.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
