"""What kills, full disks and runs at once do to every job, and damaged files to every reader.

    python tests/benchmarks/campaign.py --kills 20 --disks 5 --pairs 2 --work /tmp/campaign
    python tests/benchmarks/campaign.py --kills 5 --jobs "records survey" merge
    python tests/benchmarks/campaign_files.py --number 100000
    python tests/benchmarks/mutations.py --number 100000

A trial runs one job in a folder of its own. A kill is SIGKILL, SIGTERM or a terminal's Ctrl-C at a random
moment of the processor time that the job takes, or SIGKILL of one of its worker processes; then the same
command is given again, and killed again: after five kills it runs to its end, and its result must be that
of an unbroken run. A full disk is a tmpfs (for root) or a limit on the size of a file. A pair is two runs
into one output at once. Counted are trials that went well and, of the others, what was wrong: no right
result after the restart, a traceback, more or fewer than one line of error, a hang, a half-written output,
an orphan, a leftover. Each is printed with its number, and its folder stays.
"""

import argparse
import collections
import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path

from campaign_jobs import JOBS, MARK, digest, environment, make_inputs
from mutations import used_seconds

# The machine may be busy: a job that works on is none that hangs.
HANG_SECONDS = 1200.0
# Within which a job ends that was told to, and workers whose job is gone.
STOP_SECONDS = 120.0
KINDS = ("KILL", "TERM", "INT", "worker")
KILLS_A_RESULT = 5


class Trial:
    """One folder in which a job is run; `wrong` gathers what went wrong."""

    def __init__(self, job, work, inputs, name):
        self.job, self.inputs = job, inputs
        self.folder = work / "trials" / f"{job.name} {name}".replace(" ", "-").replace(",", "")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.mark = uuid.uuid4().hex
        self.wrong = []
        self.out = self.folder / job.out

    def start(self, command=None, prepare=None, log="log"):
        return subprocess.Popen(
            command or self.job.command(self.inputs),
            cwd=self.folder,
            env=environment(self.folder, self.mark),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=open(self.folder / log, "wb"),
            start_new_session=True,
            preexec_fn=prepare,
        )

    def wait(self, process, seconds, what):
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.wrong.append(f"hang: {what}")
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None

    def told(self, log="log"):
        """The lines of error on standard error; a traceback is noted."""
        text = (self.folder / log).read_text(errors="replace").replace("\r", "\n")
        if "Traceback" in text or "Fatal Python error" in text:
            self.wrong.append("traceback")
        return [line for line in text.splitlines() if line.startswith("extmap-tf: error:")]

    def one_line(self, log="log"):
        lines = self.told(log)
        if len(lines) != 1:
            self.wrong.append(f"{len(lines)} lines of error")
        return lines

    def processes(self):
        """Those of this trial that are alive, by their environment."""
        mark, found = f"{MARK}={self.mark}".encode(), []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
        return found

    def no_orphans(self):
        until = time.monotonic() + STOP_SECONDS
        while self.processes() and time.monotonic() < until:
            time.sleep(0.2)
        for pid in self.processes():
            self.wrong.append("orphan")
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def no_leftovers(self, allowed):
        names = {path.name for path in self.folder.iterdir()} - {"tmp", "disk", *allowed}
        names = {name for name in names if not name.startswith("log")}
        names |= {f"tmp/{path.name}" for path in (self.folder / "tmp").iterdir()}
        if names:
            self.wrong.append(f"leftover: {', '.join(sorted(names))}")

    def right(self, reference):
        if not self.out.exists():
            self.wrong.append("no result")
        elif digest(self.out) != reference:
            self.wrong.append("wrong result")

    def finish(self):
        if not self.wrong:
            shutil.rmtree(self.folder)
        return self.wrong


def reference(job, work, inputs):
    """Digest of an unbroken run's result, and the processor seconds of its main process."""
    trial = Trial(job, work, inputs, "unbroken")
    process, seconds = trial.start(), 0.0
    until = time.monotonic() + HANG_SECONDS
    while process.poll() is None and time.monotonic() < until:
        seconds = max(seconds, used_seconds(process.pid))
        time.sleep(0.05)
    if trial.wait(process, 0.0, "the unbroken run") != 0:
        raise SystemExit(f"{job.name} fails unbroken: {trial.folder}/log")
    trial.no_leftovers([job.out])
    found = digest(trial.out)
    if trial.finish():
        print(f"{job.name}: unbroken: {'; '.join(trial.wrong)}", flush=True)
    return found, seconds


def kills(job, work, inputs, unbroken, numbers, seed):
    """Kill the job again and again; yields the kind of each kill and what was wrong after it."""
    trial = None
    for number in numbers:
        if trial is None:
            trial, n_killed = Trial(job, work, inputs, f"kill {number}"), 0
        rng = random.Random(f"{seed} {job.name} {number}")
        kind = KINDS[number % len(KINDS)]
        if kind == "worker" and "workers" not in job.name:
            kind = rng.choice(KINDS[:3])
        ended = _killed(trial, kind, unbroken, rng, f"log {number}")
        n_killed += 1
        last = ended or trial.wrong or n_killed == KILLS_A_RESULT or number == numbers[-1]
        if last and not ended:
            again = trial.wait(trial.start(log="log end"), HANG_SECONDS, "the restart")
            trial.told("log end")
            if again not in (0, None):
                trial.wrong.append(f"restart: exit status {again}")
            trial.right(unbroken[0])
            trial.no_leftovers([job.out])
        yield kind, trial.finish() if last else trial.wrong
        if last:
            trial = None


def _killed(trial, kind, unbroken, rng, log):
    """Start the job and kill it; whether it has made its result all the same."""
    job, (good, seconds) = trial.job, unbroken
    process = trial.start(log=log)
    moment = rng.uniform(0.02, 1.0) * seconds
    while process.poll() is None and used_seconds(process.pid) < moment:
        time.sleep(0.01)
    _strike(kind, process, trial, rng)
    status = trial.wait(process, STOP_SECONDS if kind in ("TERM", "INT") else HANG_SECONDS, f"after {kind}")
    trial.no_orphans()
    lines = trial.told(log)
    # Before the program heeds signals, Python ends by the signal itself.
    expected = {"KILL": (-9, 0), "TERM": (143, -15, 0), "INT": (130, -2, 0), "worker": (1, 0)}[kind]
    early = kind == "INT" and trial.wrong == ["traceback"] and not lines
    if early and "run_program" not in (trial.folder / log).read_text(errors="replace"):
        trial.wrong.append("(before the program began)")
    if status is not None and status not in expected:
        trial.wrong.append(f"exit status {status}")
    if status in (1, 130, 143) and len(lines) != 1:
        trial.wrong.append(f"{len(lines)} lines of error")
    made = trial.out.exists() and job.out not in job.may_stay
    if made and digest(trial.out) != good:
        trial.wrong.append("half-written")
    if kind != "KILL":
        trial.no_leftovers([job.out, *job.may_stay])
    if status == 0 or made:
        trial.right(good)
    return status == 0 or made


def _strike(kind, process, trial, rng):
    with contextlib.suppress(ProcessLookupError):
        if kind == "worker":
            workers = [pid for pid in trial.processes() if pid != process.pid]
            if workers:
                os.kill(rng.choice(workers), signal.SIGKILL)
        elif kind == "INT":
            os.killpg(process.pid, signal.SIGINT)
        else:
            os.kill(process.pid, getattr(signal, f"SIG{kind}"))


def full_disks(job, work, inputs, unbroken, numbers, seed):
    """Runs whose output does not fit; yields what was full and what was wrong."""
    for number in numbers:
        yield _full_disk(job, work, inputs, unbroken, number, seed)


def _full_disk(job, work, inputs, unbroken, number, seed):
    rng = random.Random(f"{seed} {job.name} disk {number}")
    trial = Trial(job, work, inputs, f"disk {number}")
    size = 4096 * rng.randrange(1, 64)
    if os.geteuid() or number % 2:
        kind = "file size"
        process = trial.start(prepare=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
        status = trial.wait(process, HANG_SECONDS, "file size")
        place = trial.folder
    else:
        kind, place = "tmpfs", trial.folder / "disk"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
        command = job.command(inputs)
        command[len(command) - command[::-1].index(job.out) - 1] = f"disk/{job.out}"
        status = trial.wait(trial.start(command), HANG_SECONDS, "full disk")
    try:
        trial.no_orphans()
        if status == 0:
            # It fitted.
            trial.out = place / job.out
            trial.right(unbroken[0])
        else:
            if status is not None and status != 1:
                trial.wrong.append(f"exit status {status}")
            lines = trial.one_line()
            if lines and not any(word in lines[0] for word in ("No space left", "File too large")):
                trial.wrong.append(f"told: {lines[0]}")
            left = {path.name for path in place.iterdir()} - {"tmp", "log", *job.may_stay}
            if left:
                trial.wrong.append(f"leftover: {', '.join(sorted(left))}")
            trial.no_leftovers(job.may_stay)
    finally:
        if kind == "tmpfs":
            subprocess.run(["umount", place], check=True)
    return kind, trial.finish()


def pairs(job, work, inputs, unbroken, numbers, seed):
    """Two runs into one output at once: one is right, the other too or refused in one line."""
    for number in numbers:
        yield _pair(job, work, inputs, unbroken, number, seed)


def _pair(job, work, inputs, unbroken, number, seed):
    rng = random.Random(f"{seed} {job.name} pair {number}")
    trial = Trial(job, work, inputs, f"pair {number}")
    one = trial.start()
    time.sleep(rng.uniform(0, 0.7) * unbroken[1] if number else 0.0)
    other = trial.start(log="log2")
    statuses = [trial.wait(process, HANG_SECONDS, "a pair") for process in (one, other)]
    for status, log in zip(statuses, ("log", "log2"), strict=True):
        if status:
            trial.one_line(log)
        else:
            trial.told(log)
    # `export` makes a version each.
    if sorted(map(str, statuses)) != ["0", "1"] and job.name != "export":
        trial.wrong.append(f"exit statuses {statuses}")
    if job.name != "export":
        trial.right(unbroken[0])
    trial.no_leftovers([job.out])
    trial.no_orphans()
    return "pair", trial.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("/tmp/extmap_campaign"), help="folder to work in")
    parser.add_argument("--jobs", nargs="+", default=[job.name for job in JOBS], help="default: all")
    parser.add_argument("--kills", type=int, default=20, help="of each job (default: %(default)s)")
    parser.add_argument("--disks", type=int, default=4, help="full, for each job (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=2, help="of runs at once (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first trial")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    inputs = args.work.resolve() / "inputs"
    make_inputs(inputs)
    table = collections.Counter()
    for job in (job for job in JOBS if job.name in args.jobs):
        unbroken = reference(job, args.work.resolve(), inputs)
        print(f"{job.name}: {unbroken[1]:.0f} processor s unbroken", flush=True)
        for attack, n in ((kills, args.kills), (full_disks, args.disks), (pairs, args.pairs)):
            numbers = range(args.first, args.first + n)
            found = attack(job, args.work.resolve(), inputs, unbroken, numbers, args.seed)
            for number, (kind, wrong) in zip(numbers, found, strict=True):
                table[job.name, attack.__name__, "well" if not wrong else "badly"] += 1
                if wrong:
                    print(f"{job.name}: {attack.__name__} {number} ({kind}): {'; '.join(wrong)}", flush=True)
    print(f"{'job':18}{'kills':>12}{'full disks':>12}{'at once':>12}   (well / all)")
    for name in args.jobs:
        cells = []
        for attack in (kills, full_disks, pairs):
            well, badly = (table[name, attack.__name__, how] for how in ("well", "badly"))
            cells.append(f"{well} / {well + badly}")
        print(f"{name:18}" + "".join(f"{cell:>12}" for cell in cells))


if __name__ == "__main__":
    main()
