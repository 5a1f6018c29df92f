import json
import shutil

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from beam_jobs.graphs import mocks_to_records as job
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.mocks import pairs as mocks
from extmap_tf.mocks.pools import SPLITS
from extmap_tf.mocks.reference import reference_diagrams, reference_nodes
from extmap_tf.records.dataset import serialized_examples
from extmap_tf.records.manifest import MANIFEST_NAME, Records


def examples_of(path, split):
    return list(serialized_examples(Records.open(path).shard_paths(split)).as_numpy_iterator())


def test_block_to_shards_gives_every_pair_one_shard(tiny_config):
    n_shards = {"train": 3, "validation": 1, "test": 2}
    found = job.block_to_shards(0, tiny_config, n_shards)
    numbers = sorted(number for _, part in found for number in part)
    assert numbers == list(range(tiny_config.mocks.n_pairs))
    assert all(0 <= index < n_shards[split] for (split, index), _ in found)
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        gathered = pipeline | beam.Create([0]) | beam.FlatMap(job.block_to_shards, tiny_config, n_shards)
        assert_that(gathered, equal_to(found))


def test_the_job_writes_what_the_functions_make_in_memory(tiny_config, mock_records):
    for split in SPLITS:
        numbers = [
            number
            for number in range(tiny_config.mocks.n_pairs)
            if mocks.split_of(
                mocks.place_of(mocks.pair_key(tiny_config.mocks, number), tiny_config.mocks.split_salt),
                tiny_config.mocks,
            )[0]
            == split
        ]
        assert examples_of(mock_records, split) == job.pairs_to_examples(numbers, tiny_config)


def test_an_example_gives_back_the_pair(tiny_config, mock_records):
    example = tf.train.Example.FromString(examples_of(mock_records, "test")[0])
    features = example.features.feature
    number = features["pair"].int64_list.value[0]
    pair = mocks.simulate_pair(tiny_config, number)
    counts = np.frombuffer(features["counts"].bytes_list.value[0], "<u2").reshape(64, 64)
    np.testing.assert_array_equal(counts, pair.counts)
    np.testing.assert_array_equal(np.float32(features["density"].float_list.value), pair.density)
    assert features["seed"].int64_list.value[0] == tiny_config.seed
    assert features["key"].bytes_list.value[0].decode() == mocks.pair_key(tiny_config.mocks, number)
    assert features["n_stars"].int64_list.value[0] == pair.counts.sum()


def test_two_worker_processes_with_other_shards_make_the_same_records_and_say_nothing(
    tiny_config, mock_records, tmp_path, monkeypatch, capfd
):
    out = tmp_path / "again"
    # A name of the standard library that Beam imports: nothing of the current folder is.
    (tmp_path / "html.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    workers = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    job.make_records(tiny_config, str(out), beam_argv=workers, examples_per_shard=37)
    assert not (tmp_path / "imported").exists()
    told = capfd.readouterr().err.replace("\r", "\n").split("\n")
    assert all(line.startswith("mocks (") for line in told if line), told
    first, again = Records.open(mock_records).manifest, Records.open(out).manifest
    assert len(again.splits["train"]) > len(first.splits["train"])
    for split in SPLITS:
        assert examples_of(out, split) == examples_of(mock_records, split)
    assert again.others == first.others


def test_a_rerun_gives_the_same_bytes(tiny_config, mock_records, tmp_path):
    out = tmp_path / "again"
    job.make_records(tiny_config, str(out), examples_per_shard=100)
    names = sorted(path.name for path in mock_records.iterdir())
    assert sorted(path.name for path in out.iterdir()) == names
    for name in names:
        assert (out / name).read_bytes() == (mock_records / name).read_bytes()


def test_the_manifest_says_what_is_there(tiny_config, mock_records):
    stated = json.loads((mock_records / MANIFEST_NAME).read_text())
    assert stated["config_digest"] == tiny_config.digest
    assert stated["kind"] == "mocks"
    assert sum(stated["n_examples"].values()) == tiny_config.mocks.n_pairs
    assert "mag / kpc" in stated["contents"]["density"]
    records = Records.open(mock_records)
    assert records.manifest.config == tiny_config
    records.verify()
    for split in SPLITS:
        assert records.manifest.n_examples(split) == len(examples_of(mock_records, split))


def test_reference_cmds_are_those_of_the_nodes(tiny_config, mock_records):
    l_deg, b_deg, counts = Records.open(mock_records).reference()
    assert tuple(zip(l_deg, b_deg, strict=True)) == reference_nodes(tiny_config.mocks, tiny_config.sightlines)
    expected = reference_diagrams(tiny_config, l_deg[2], b_deg[2])["counts"]
    np.testing.assert_array_equal(counts["counts"][2], expected)


def test_an_existing_folder_is_kept_unless_told_otherwise(tiny_config, tmp_path):
    out = tmp_path / "records"
    out.mkdir()
    (out / "precious.txt").write_text("x")
    with pytest.raises(DataError, match=r"records exists already: .* --overwrite"):
        job.make_records(tiny_config, str(out))
    assert [path.name for path in tmp_path.iterdir()] == ["records"]
    assert (out / "precious.txt").read_text() == "x"


def test_a_failed_run_leaves_nothing_and_loses_nothing(tiny_config, mock_records, tmp_path):
    out = tmp_path / "records"
    shutil.copytree(mock_records, out)
    few = tiny_config.replace(**{"mocks.n_pairs": 2})
    with pytest.raises(ConfigError, match=r"^mocks: none of 2 pairs fell into the \w+ split"):
        job.make_records(few, str(out), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["records"]
    Records.open(out).verify()


def test_overwrite_replaces_records_when_done(tiny_config, mock_records, tmp_path):
    out = tmp_path / "records"
    shutil.copytree(mock_records, out)
    job.make_records(tiny_config.replace(**{"mocks.n_pairs": 60}), str(out), overwrite=True)
    assert sum(Records.open(out).manifest.n_examples(split) for split in SPLITS) == 60
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_overwrite_never_replaces_a_folder_of_somebodys_own(tiny_config, tmp_path):
    out = tmp_path / "records"
    out.mkdir()
    (out / "thesis.txt").write_text("x")
    with pytest.raises(DataError, match="this command did not make"):
        job.make_records(tiny_config, str(out), overwrite=True)
    assert (out / "thesis.txt").read_text() == "x"
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_an_unknown_pipeline_option_is_refused(tiny_config, tmp_path):
    with pytest.raises(ConfigError, match="unknown option '--no_such_option=1'"):
        job.make_records(tiny_config, str(tmp_path / "x"), beam_argv=["--no_such_option=1"])
    assert list(tmp_path.iterdir()) == []
