"""What it costs to make training pairs, through the Beam job as it is run, shards written.

    python tests/benchmarks/pairs.py [--json FILE]

The `carina` configuration with fields of 20 arcmin, in which about 3,000 stars survive, for ever more pairs
in one process, and the most pairs in two. Each job runs in a new process; its processor time, that of workers
included, is what a busy machine changes least. The slope between numbers of pairs is the cost of a pair
without start-up. Beside it: as many normal numbers as a pair has stars, drawn by numpy in this process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from extmap_tf.quiet import start_tensorflow


def run_job(folder, n_pairs, n_workers):
    """Wall and processor seconds of one job, and the mean number of stars of its pairs."""
    out = Path(folder, f"pairs-{n_pairs}-{n_workers}")
    command = [sys.executable, "-m", "extmap_tf", "records", "mocks", "--config", "carina", "--out", str(out)]
    command += ["--set", f"mocks.n_pairs={n_pairs}", "--set", "sightlines.field_deg=0.3333"]
    command += ["--set", "mocks.validation_fraction=0.1", "--set", "mocks.test_fraction=0.1"]
    if n_workers > 1:
        command += ["--direct_running_mode=multi_processing", f"--direct_num_workers={n_workers}"]
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, spent, mean_stars(out)


def mean_stars(path):
    """Mean number of stars in the CMDs of some records' test split."""
    start_tensorflow()
    from extmap_tf.records.dataset import evaluation_dataset
    from extmap_tf.records.manifest import Records

    batches = evaluation_dataset(Records.open(path), "test")
    return float(np.mean(np.concatenate([x["counts"].numpy().sum(axis=(1, 2)) for x, _ in batches])))


def normal_seconds(n, repeats=200):
    """Processor seconds numpy takes to draw n normal numbers in single precision."""
    rng = np.random.default_rng(1)
    times = []
    for _ in range(repeats):
        start = time.process_time()
        rng.standard_normal(n, dtype=np.float32)
        times.append(time.process_time() - start)
    return float(np.median(times))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, nargs="+", default=[200, 2000, 20000])
    parser.add_argument("--json", help="write figures and ratios to this file")
    args = parser.parse_args()
    jobs = [(n, 1) for n in args.pairs] + [(args.pairs[-1], 2)]
    figures, found = {}, {}
    print(f"{'pairs':>8s} {'workers':>8s} {'s':>8s} {'processor s':>12s} {'stars':>8s}")
    with tempfile.TemporaryDirectory() as folder:
        for n_pairs, n_workers in jobs:
            wall, spent, stars = found[n_pairs, n_workers] = run_job(folder, n_pairs, n_workers)
            print(f"{n_pairs:>8,} {n_workers:>8} {wall:>8.1f} {spent:>12.1f} {stars:>8,.0f}", flush=True)
            figures[f"{n_pairs} pairs, {n_workers} workers"] = {"s": wall, "processor s": spent}
    few, many = args.pairs[-2:]
    per_pair = (found[many, 1][1] - found[few, 1][1]) / (many - few)
    stars = found[many, 1][2]
    ratios = {
        "normal numbers of a pair's stars over the pair": normal_seconds(int(stars)) / per_pair,
        "one worker over two, wall time": found[many, 1][0] / found[many, 2][0],
        "one worker over two, processor time": found[many, 1][1] / found[many, 2][1],
    }
    if len(args.pairs) > 2:
        fewest = args.pairs[-3]
        first = (found[few, 1][1] - found[fewest, 1][1]) / (few - fewest)
        ratios["cost of a pair, few over many"] = first / per_pair
    print(f"a pair of {stars:,.0f} stars: {1000 * per_pair:.2f} ms of a core, {1 / per_pair:,.0f} a second")
    print(f"start: {found[few, 1][1] - few * per_pair:.1f} s of a core")
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.3f}")
    if args.json:
        figures["processor ms a pair"] = 1000 * per_pair
        Path(args.json).write_text(json.dumps({"figures": figures, "ratios": ratios}, indent=1) + "\n")


if __name__ == "__main__":
    main()
