"""Servers that jobs run on, in processes of their own: Beam's job server and workers, a Flink cluster."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLINK_JARS = Path(os.environ.get("EXTMAP_FLINK_JARS", ROOT / ".ci" / "flink"))

_JOB_MANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_TASK_MANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
_JOB_SERVER = "org.apache.beam.runners.flink.FlinkJobServerDriver"
_BOOT = Path(__file__).parent / "flink" / "boot.py"
_SECONDS_TO_START = 120
# Flink 1.19 reaches into these packages, which Java 17 keeps closed.
_PACKAGES = ["lang", "lang.reflect", "net", "io", "nio", "text", "time", "util"]
_PACKAGES += ["util.concurrent", "util.concurrent.atomic"]
_OPEN_PACKAGES = [
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in [*(f"java.{name}" for name in _PACKAGES), "sun.nio.ch"]
]
_MEMORY = {
    "framework.heap.size": "128m",
    "framework.off-heap.size": "128m",
    "task.heap.size": "384m",
    "task.off-heap.size": "64m",
    "network.min": "64m",
    "network.max": "64m",
    "managed.size": "128m",
    "jvm-metaspace.size": "256m",
    "jvm-overhead.min": "192m",
    "jvm-overhead.max": "192m",
}


def free_port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def wait_until(ready, what, seconds=_SECONDS_TO_START):
    """What `ready` returns once it is true; a failure if that takes too long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := ready():
            return found
        time.sleep(0.2)
    pytest.fail(f"{what}: not within {seconds} s")


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1.0):
        return True
    return False


@contextlib.contextmanager
def server(command, port=None, log=os.devnull):
    """A process, and all that it starts, until the end of the block; it answers on `port` from its begin."""
    # Beam's pool starts its workers as "python", which must be the one that has our packages.
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        if port is not None:
            wait_until(lambda: process.poll() is not None or answers(port), f"{command[-1]} on port {port}")
            assert process.poll() is None, f"{command} did not start"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def beam_job_server():
    """Beam's own job server in Python, and its pool of workers; gives the options of a job."""
    module = [sys.executable, "-m"]
    jobs, workers = free_port(), free_port()
    job_server = [*module, "apache_beam.runners.portability.local_job_service_main", "-p", str(jobs)]
    pool = [*module, "apache_beam.runners.worker.worker_pool_main", "--service_port", str(workers)]
    with server(job_server, jobs), server(pool, workers):
        yield [
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{jobs}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{workers}",
        ]


class FlinkCluster:
    """A job manager, task managers and Beam's job server for Flink, on this machine.

    Attributes
    ----------
    argv : list of str
        Options of a job that runs on it.
    """

    def __init__(self, folder, n_task_managers=3):
        self._rest = free_port()
        self._task_managers = {}
        self._folder, self._n = Path(folder), n_task_managers
        self._open = contextlib.ExitStack()

    def __enter__(self):
        settings = {
            "jobmanager.rpc.address": "localhost",
            "jobmanager.rpc.port": free_port(),
            "rest.address": "localhost",
            "rest.port": self._rest,
            "taskmanager.host": "localhost",
            "taskmanager.numberOfTaskSlots": 1,
            "taskmanager.cpu.cores": 1,
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 3,
            "restart-strategy.fixed-delay.delay": "1s",
            "heartbeat.interval": 1000,
            "heartbeat.timeout": 10000,
            "io.tmp.dirs": self._folder,
        }
        settings |= {f"taskmanager.memory.{name}": size for name, size in _MEMORY.items()}
        text = "".join(f"{name}: {value}\n" for name, value in settings.items())
        (self._folder / "config.yaml").write_text(text)
        with contextlib.ExitStack() as opening:
            configured = ["--configDir", self._folder]
            opening.enter_context(self._java("job_manager", _JOB_MANAGER, *configured))
            for i in range(self._n):
                name = f"tm{i}"
                self._task_managers[name] = opening.enter_context(
                    self._java(name, _TASK_MANAGER, *configured, "-D", f"taskmanager.resource-id={name}")
                )
            port = free_port()
            options = [f"--flink-master=localhost:{self._rest}", f"--job-port={port}", "--artifact-port=0"]
            options += ["--expansion-port=-1", f"--artifacts-dir={self._folder / 'staged'}"]
            opening.enter_context(self._java("job_server", _JOB_SERVER, *options, port=port))
            wait_until(lambda: len(self.get("taskmanagers")["taskmanagers"]) == self._n, "task managers")
            self._open = opening.pop_all()
        # Task managers number their workers alike, so a pool of Beam's can serve one to a machine, not three.
        boot = self._folder / "worker.sh"
        boot.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{_BOOT}" "$@"\n')
        boot.chmod(0o755)
        self.argv = ["--runner=PortableRunner", f"--job_endpoint=localhost:{port}", "--parallelism=2"]
        config = json.dumps({"command": str(boot)})
        self.argv += ["--environment_type=PROCESS", f"--environment_config={config}"]
        return self

    def __exit__(self, *error):
        return self._open.__exit__(*error)

    def _java(self, name, main, *options, port=None):
        command = ["java", "-Xmx700m", *_OPEN_PACKAGES, "-cp", f"{FLINK_JARS}/*", main, *map(str, options)]
        return server(command, port, self._folder / f"{name}.log")

    def get(self, path):
        """An answer of Flink's REST interface; an empty dict of lists while it has none."""
        address = f"http://localhost:{self._rest}/{path}"
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5.0) as answer:
            return json.load(answer)
        return {"taskmanagers": [], "jobs": [], "vertices": [], "subtasks": []}

    def running_in(self, step):
        """Ids of the task managers that run a step right now, by a part of its name."""
        return {
            subtask["taskmanager-id"]
            for job in self.get("jobs")["jobs"]
            if job["status"] == "RUNNING"
            for vertex in self.get(f"jobs/{job['id']}")["vertices"]
            if step in vertex["name"]
            for subtask in self.get(f"jobs/{job['id']}/vertices/{vertex['id']}")["subtasks"]
            if subtask["status"] == "RUNNING"
        }

    def kill_task_manager(self, name):
        self._task_managers[name].kill()

    def kill_workers(self):
        """Kill the processes that run our code for the task managers; how many of these had any."""
        kills = [["pkill", "-KILL", "-P", str(process.pid)] for process in self._task_managers.values()]
        return sum(subprocess.run(kill, check=False).returncode == 0 for kill in kills)

    def was_restarted(self):
        """Whether the last job was begun again, because a part of it had failed."""
        last = max(self.get("jobs/overview")["jobs"], key=lambda job: job["start-time"])
        return self.get(f"jobs/{last['jid']}")["timestamps"]["RESTARTING"] > 0


def flink_cluster(folder):
    """A `FlinkCluster`, or a skip where Java or the jars are not at hand."""
    if shutil.which("java") is None:
        pytest.skip("no java on the PATH, so not tried on Flink")
    if not list(FLINK_JARS.glob("beam-runners-flink-*.jar")):
        pytest.skip(
            f"no jars in {FLINK_JARS}, so not tried on Flink: mvn -f tests/beam_jobs/flink/pom.xml "
            f"dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory={FLINK_JARS}"
        )
    return FlinkCluster(folder)
