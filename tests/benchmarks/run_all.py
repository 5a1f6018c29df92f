"""All benchmarks of speed in one command, and what got worse since the baseline.

    python tests/benchmarks/run_all.py [--json FILE] [--keep-as-baseline] [--quick]

Each runs by itself, one after the other, in all about a quarter of an hour of two idle cores. Of its
results the ratios are compared with those kept in ``baseline.json``: they are made within one run on one
machine, and more is better. One that is lower by more than 20 % is named at the end, and the exit status is
1. What fails, or is not done within ``--minutes`` from the start of all, is named too; the others' results
are kept. With ``--quick`` each does as little as it can, which shows that all of them run and says nothing
of speed.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from extmap_tf import __version__

HERE = Path(__file__).parent
BASELINE = HERE / "baseline.json"
ALLOWED = 0.8
COMMANDS = {
    "ingest": ["ingest.py", "--rows", "1000000", "--grid-rows", "300000"],
    "pairs": ["pairs.py"],
    "networks": ["networks.py", "--repeats", "3"],
    "percentiles": ["percentiles.py"],
    "query": ["query_speed.py"],
}
QUICK = {
    "ingest": ["ingest.py", "--rows", "20000", "--grid-rows", "5000", "--repeats", "1"],
    "pairs": ["pairs.py", "--pairs", "50", "100"],
    "networks": ["networks.py", "--batch", "64", "--repeats", "1"],
    "percentiles": ["percentiles.py", "--rows", "32", "--repeats", "1", "--sightlines", "1"],
    "query": ["query_speed.py", "--positions", "10000", "--repeats", "1"],
}


def worse(ratios, baseline):
    """Lines on the ratios that fell by more than a fifth, and on those that are gone."""
    lines = [f"{name}: not measured any more" for name in baseline if name not in ratios]
    for name, ratio in ratios.items():
        if name in baseline and ratio < ALLOWED * baseline[name]:
            lines.append(f"{name}: {ratio:.3f}, the baseline has {baseline[name]:.3f}")
    return lines


def run(name, command, folder, seconds):
    """Figures and ratios of one benchmark, and what went wrong."""
    script, *options = command
    print(f"\n{name}: python tests/benchmarks/{script} {' '.join(options)}", flush=True)
    out = Path(folder, f"{name}.json")
    command = [sys.executable, HERE / script, *options, "--json", out]
    # A group of its own, so that the processes that it starts end with it.
    process = subprocess.Popen(command, start_new_session=True)
    try:
        status = process.wait(max(seconds, 1.0))
    except subprocess.TimeoutExpired:
        return {}, {}, f"{name}: not done in time"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if status:
        return {}, {}, f"{name}: failed with exit status {status}"
    found = json.loads(out.read_text())
    return found["figures"], {f"{name}: {what}": ratio for what, ratio in found["ratios"].items()}, ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write all figures and ratios to this file")
    parser.add_argument("--keep-as-baseline", action="store_true", help="later runs compare with this one")
    parser.add_argument("--quick", action="store_true", help="only see that all of them run")
    parser.add_argument("--minutes", type=float, default=25.0, help="for all of them (default: %(default)s)")
    args = parser.parse_args()
    if args.quick and args.keep_as_baseline:
        parser.error("--quick makes no baseline")
    end = time.monotonic() + 60.0 * args.minutes
    figures, ratios, wrong = {}, {}, []
    with tempfile.TemporaryDirectory() as folder:
        for name, command in (QUICK if args.quick else COMMANDS).items():
            figures[name], found, error = run(name, command, folder, end - time.monotonic())
            ratios |= found
            wrong += [error] if error else []
    kept = {"version": __version__, "ratios": ratios}
    if args.json:
        args.json.write_text(json.dumps({"figures": figures, **kept}, indent=1) + "\n")
    if wrong:
        print("\nwithout a result:", *wrong, sep="\n  ")
        return 1
    if args.quick:
        print("\nall of them run; their ratios say nothing")
        return 0
    if args.keep_as_baseline:
        BASELINE.write_text(json.dumps(kept, indent=1) + "\n")
    if not BASELINE.exists():
        print("\nno baseline to compare with: --keep-as-baseline makes one")
        return 1
    baseline = json.loads(BASELINE.read_text())
    lines = worse(ratios, baseline["ratios"])
    print(
        f"\nworse than the baseline, of version {baseline['version']}, by more than 20 %:",
        *(lines or ["nothing"]),
        sep="\n  ",
    )
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main())
