"""The jobs behind a job server, in worker processes: the protocol of Flink, Spark and Dataflow."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from beam_jobs import mocks_to_records, score_to_map, twomass_to_records
from extmap_tf.records.manifest import Records

_SECONDS_TO_START = 120


def free_port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def server(module, port, *arguments):
    """A module of Beam that serves on a port, in a process of its own."""
    # Beam's pool starts its workers as "python", which must be the one that has our packages.
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", f"apache_beam.runners.{module}", *arguments]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        until = time.monotonic() + _SECONDS_TO_START
        while process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1.0):
                break
            time.sleep(0.2)
        else:
            pytest.fail(f"{module} did not start")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


@pytest.fixture(scope="module")
def portable_argv():
    """Options of Beam for a job server and a pool of worker processes that run on this machine."""
    jobs, workers = free_port(), free_port()
    with (
        server("portability.local_job_service_main", jobs, "-p", str(jobs)),
        server("worker.worker_pool_main", workers, "--service_port", str(workers)),
    ):
        yield [
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{jobs}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{workers}",
        ]


def files_of(records):
    return {entry.name: entry.sha256 for entry in Records.open(records).entries()}


def test_the_three_jobs_give_the_same_files_and_map(
    portable_argv, tiny_config, mock_records, observed_sky, survey_records, saved_model, tmp_path
):
    mocks, survey = tmp_path / "mocks", tmp_path / "survey"
    mocks_to_records.make_records(tiny_config, str(mocks), beam_argv=portable_argv, examples_per_shard=100)
    assert files_of(mocks) == files_of(mock_records)
    twomass_to_records.make_records(tiny_config, [str(observed_sky[0])], str(survey), beam_argv=portable_argv)
    assert files_of(survey) == files_of(survey_records)
    for name, argv in (("here", []), ("there", portable_argv)):
        score_to_map.make_map(survey_records, saved_model, tmp_path / f"{name}.fits", beam_argv=argv)
    with fits.open(tmp_path / "here.fits") as here, fits.open(tmp_path / "there.fits") as there:
        assert [hdu.name for hdu in there] == [hdu.name for hdu in here]
        for ours, theirs in zip(here, there, strict=True):
            np.testing.assert_array_equal(theirs.data, ours.data)
