"""Running jobs: what cannot start is told in a line, and what is stopped leaves nothing behind."""

import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from beam_jobs import start_beam
from beam_jobs.graphs.mocks_to_records import make_records
from beam_jobs.pipeline import run
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.records.manifest import Records

TWO_PROCESSES = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
without_cloud = pytest.mark.skipif(
    importlib.util.find_spec("apitools") or importlib.util.find_spec("boto3"),
    reason="the extras gcp or aws are installed",
)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--runner=Foo", "Unexpected pipeline runner: Foo"),
        ("--direct_num_workers=x", "options of Beam: argument --direct_num_workers: invalid int value: 'x'"),
        ("--direct_num_workers=-3", "--direct_num_workers must be 0 .all processors. or more, got: -3"),
        ("--direct_running_mode=fast", "options of Beam: .*invalid choice: 'fast'"),
        ("--job_endpoint=localhost:1", "--job_endpoint=localhost:1: no job server answers there; start it"),
        pytest.param(
            "--runner=DataflowRunner", r"DataflowRunner needs .*'extmap_tf\[gcp\]'", marks=without_cloud
        ),
    ],
)
def test_options_that_cannot_be_are_one_line_and_leave_nothing(
    flag, message, tiny_config, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("beam_jobs.pipeline._SECONDS_TO_ANSWER", 1.0)
    with pytest.raises((ConfigError, DataError), match=message) as caught:
        make_records(tiny_config, str(tmp_path / "r"), beam_argv=[flag])
    assert "\n" not in str(caught.value)
    assert "usage" not in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param("gs://bucket/r", r"gs://bucket/r: .*'extmap_tf\[gcp\]'", marks=without_cloud),
        pytest.param("s3://bucket/r", r"s3://bucket/r: .*'extmap_tf\[aws\]'", marks=without_cloud),
        ("http://host/r", "http://host/r: cannot use http://; give a local path, gs:// or s3://"),
        ("", "a path is empty"),
    ],
)
def test_paths_that_no_file_system_has_are_one_line(path, message, tiny_config):
    with pytest.raises(DataError, match=message) as caught:
        make_records(tiny_config, path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_the_folder_we_are_in_is_never_replaced(name, tiny_config, tmp_path, monkeypatch):
    (tmp_path / "inner").mkdir()
    for folder in (tmp_path, tmp_path / "inner"):
        (folder / "manifest.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "inner")
    with pytest.raises(DataError, match="choose another name"):
        make_records(tiny_config, name, overwrite=True)
    assert (tmp_path / "inner" / "manifest.json").exists()


def test_a_job_that_fails_half_way_keeps_the_records_that_were_there(
    tiny_config, mock_records, tmp_path, monkeypatch
):
    out = tmp_path / "records"
    shutil.copytree(mock_records, out)

    def fail(folder, name, data):
        raise DataError("half-way")

    monkeypatch.setattr("beam_jobs.shards.write_bytes", fail)
    with pytest.raises(DataError, match="half-way"):
        make_records(tiny_config, str(out), overwrite=True)
    Records.open(out).verify()
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_a_job_says_nothing_of_optional_packages():
    command = [sys.executable, "-m", "beam_jobs.mocks_to_records", "--config", "demo", "--out", "gs://a/b"]
    done = subprocess.run([*command, "--direct_num_workers=-1"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("extmap-tf: error: --direct_num_workers must be")


def test_a_job_that_fails_takes_the_parents_it_made_with_it(tiny_config, tmp_path, monkeypatch):
    def fail(build, argv, progress):
        raise DataError("half-way")

    monkeypatch.setattr("beam_jobs.graphs.mocks_to_records.run", fail)
    with pytest.raises(DataError, match="half-way"):
        make_records(tiny_config, str(tmp_path / "a" / "b" / "records"))
    assert list(tmp_path.iterdir()) == []


def start_job(tmp_path, *more):
    command = [sys.executable, "-m", "extmap_tf", "records", "mocks", "--config", "demo", "--out", "r", *more]
    command += ["--set", "mocks.pool_fields=2"]
    environment = os.environ | {"TMPDIR": str(tmp_path / "scratch")}
    (tmp_path / "scratch").mkdir()
    return subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def children_of(pid):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stream:
                parent = int(stream.read().rsplit(")", 1)[1].split()[1])
        except (OSError, ProcessLookupError):
            continue
        if parent == pid:
            found.append(int(name))
    return found


def wait_for(something, job):
    until = time.monotonic() + 120
    while not (found := something()):
        assert job.poll() is None, job.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.2)
    return found


def told(job):
    """The last line of a job that ended; the lines before are progress alone."""
    *before, last = job.communicate(timeout=60)[1].replace("\r", "\n").strip().split("\n")
    assert all(line.startswith("mocks (") for line in before if line), before
    return last


@pytest.mark.parametrize(
    ("number", "status", "line", "workers"),
    [
        (signal.SIGTERM, 143, "terminated", []),
        (signal.SIGINT, 130, "interrupted", TWO_PROCESSES),
    ],
)
def test_a_stopped_job_says_so_in_a_line_and_leaves_nothing(number, status, line, workers, tmp_path):
    job = start_job(tmp_path, *workers)
    if workers:
        wait_for(lambda: len(children_of(job.pid)) >= 2, job)
    else:
        wait_for(lambda: list(tmp_path.glob(".r.*.incomplete/r/*tfrecord*")), job)
    time.sleep(1.0)
    workers_before = children_of(job.pid)
    # The terminal sends Ctrl-C to the whole group.
    os.killpg(job.pid, number) if number == signal.SIGINT else job.send_signal(number)
    stopped = time.monotonic()
    assert told(job) == f"extmap-tf: error: {line}"
    assert job.returncode == status
    assert time.monotonic() - stopped < 20.0
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]
    assert not [pid for pid in workers_before if os.path.exists(f"/proc/{pid}")]
    assert list((tmp_path / "scratch").glob(".extmap_tf.*")) == []


@pytest.mark.parametrize("seconds", [0.5, 6.0])
def test_a_worker_that_is_killed_ends_the_job_with_a_line(seconds, tmp_path):
    job = start_job(tmp_path, *TWO_PROCESSES)
    worker = wait_for(lambda: children_of(job.pid), job)[0]
    time.sleep(seconds)
    os.kill(worker, signal.SIGKILL)
    assert "a worker process was killed by signal 9 (out of memory?)" in told(job)
    assert job.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_workers_that_end_at_once_end_the_job_with_a_line(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr("beam_jobs.local.WORKER", [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(DataError, match="a worker process ended by itself"):
        make_records(tiny_config, str(tmp_path / "r"), beam_argv=TWO_PROCESSES)
    assert list(tmp_path.iterdir()) == []


def test_workers_end_with_a_job_that_was_killed(tmp_path):
    job = start_job(tmp_path, *TWO_PROCESSES)
    workers = wait_for(lambda: len(found := children_of(job.pid)) >= 2 and found, job)
    job.kill()
    job.communicate()
    until = time.monotonic() + 30
    while any(os.path.exists(f"/proc/{pid}") for pid in workers):
        assert time.monotonic() < until
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Traceback (most recent call last):\n  File x\nValueError: no", "ValueError: no"),
        ("no:\nproject\nregion", "no: project region"),
    ],
)
def test_errors_of_the_runner_come_in_one_line(text, line):
    def build(pipeline):
        raise ValueError(text)

    with pytest.raises(DataError) as caught:
        run(build, [])
    assert str(caught.value) == f"the pipeline failed: {line}"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("errors.ConfigError", ConfigError), ("catalogs.survey_tables.OtherSurveyError", DataError)],
)
def test_errors_of_a_worker_are_those_that_it_raised(name, kind):
    def build(pipeline):
        raise RuntimeError(f"Traceback:\n  File x\nextmap_tf.{name}: t.csv: no [while running 'Read']")

    with pytest.raises(kind) as caught:
        run(build, [])
    assert str(caught.value) == "t.csv: no"


def test_warnings_of_readers_are_shown_beside_the_lines_of_the_jobs(caplog):
    start_beam()
    # It has taken pytest's handler away from the root.
    logging.getLogger().addHandler(caplog.handler)
    logging.getLogger("extmap_tf.catalogs.tables").warning("rows are missing")
    logging.getLogger("apache_beam").warning("not ours")
    assert [record.getMessage() for record in caplog.records] == ["rows are missing"]
