"""The jobs behind job servers, in worker processes: Beam's own, and a Flink cluster whose workers die."""

import threading

import numpy as np
import pytest
from astropy.io import fits
from beam_servers import beam_job_server, flink_cluster, wait_until

from beam_jobs.graphs import mocks_to_records, score_to_map, twomass_to_records
from extmap_tf.records.manifest import Records

_SECONDS = 300


@pytest.fixture(scope="module")
def flink(tmp_path_factory):
    with flink_cluster(tmp_path_factory.mktemp("flink")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def beam_argv():
    with beam_job_server() as argv:
        yield argv


@pytest.fixture(params=["beam", "flink"])
def portable_argv(request):
    """Options of a job for a job server and worker processes that run on this machine."""
    if request.param == "beam":
        return request.getfixturevalue("beam_argv")
    return request.getfixturevalue("flink").argv


def files_of(records):
    return {entry.name: entry.sha256 for entry in Records.open(records).manifest.entries()}


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


@pytest.mark.parametrize("killed", ["the workers", "a task manager"])
def test_workers_that_are_killed_amid_a_job_change_nothing(
    killed, flink, tiny_config, mock_records, tmp_path
):
    out = tmp_path / "mocks"
    job = threading.Thread(
        target=mocks_to_records.make_records,
        args=(tiny_config, str(out)),
        kwargs={"beam_argv": flink.argv, "examples_per_shard": 100},
        daemon=True,
    )
    job.start()
    if killed == "the workers":
        wait_until(lambda: any(tmp_path.rglob("*.tfrecord.gz")), "a first shard")
        assert flink.kill_workers() > 0
    else:
        drawing = wait_until(lambda: flink.running_in("Assign pairs to shards"), "pairs being drawn")
        flink.kill_task_manager(min(drawing))
    job.join(_SECONDS)
    assert not job.is_alive()
    assert flink.was_restarted()
    assert files_of(out) == files_of(mock_records)
