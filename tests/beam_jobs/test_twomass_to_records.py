import gzip
import logging
import threading

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that

from beam_jobs.graphs import twomass_to_records as job
from extmap_tf.catalogs.stars import StarBatch
from extmap_tf.catalogs.survey_tables import Reading
from extmap_tf.cli import main
from extmap_tf.diagrams import (
    add_partial_counts,
    block_to_field_counts,
    count_stars,
    pack_partial_counts,
)
from extmap_tf.errors import DataError
from extmap_tf.grids.squares import sightline_name
from extmap_tf.records.dataset import serialized_examples
from extmap_tf.records.manifest import Records


def fields_of(path):
    """{name: features} of survey records."""
    records = Records.open(path)
    examples = [
        tf.train.Example.FromString(text).features.feature
        for text in serialized_examples(records.shard_paths("all")).as_numpy_iterator()
    ]
    return {features["sightline"].bytes_list.value[0].decode(): features for features in examples}


def counts_of(features):
    return np.frombuffer(features["counts"].bytes_list.value[0], "<u2").reshape(64, 64)


def test_every_fields_cmd_is_that_of_its_stars(tiny_config, observed_sky, survey_records):
    table = pq.read_table(observed_sky[0])
    l, b, j, k = (table[name].to_numpy() for name in ("glon", "glat", "j_m", "k_m"))
    fields = fields_of(survey_records)
    assert len(fields) == tiny_config.sightlines.n_sightlines
    centers = zip(*tiny_config.sightlines.centers_deg(), strict=True)
    assert list(fields) == [sightline_name(l0, b0) for l0, b0 in centers]
    for features in fields.values():
        l0, b0 = features["l_deg"].float_list.value[0], features["b_deg"].float_list.value[0]
        half = 0.5 * tiny_config.sightlines.field_deg
        inside = (np.abs((l - l0) * np.cos(np.radians(b0))) < half) & (np.abs(b - b0) < half)
        np.testing.assert_array_equal(
            counts_of(features), count_stars({"J": j[inside], "Ks": k[inside]}, tiny_config.diagrams[0])
        )
        # More cells than expected may be empty by chance.
        assert features["coverage"].float_list.value[0] > 0.9


def test_the_job_counts_what_the_functions_count_in_memory(tiny_config, observed_sky, survey_records):
    how = tiny_config.views, 0, tiny_config.sightlines
    found = list(job.table_to_partial_counts(str(observed_sky[0]), *how))
    reports = [value for tag, value in found if tag == "report"]
    partial = add_partial_counts(part for tag, (_, part) in found[:-1] if tag == "block")
    whole = block_to_field_counts(partial, tiny_config.views, tiny_config.sightlines.n_sightlines)
    for features, (expected,) in zip(fields_of(survey_records).values(), whole, strict=True):
        np.testing.assert_array_equal(counts_of(features), expected.counts["counts"])
        assert features["n_outside"].int64_list.value[0] == expected.n_outside
    report = Records.open(survey_records).manifest.report
    assert report == job.add_reports(reports)
    assert report["rows"] == report["counted"] + report["in_no_field"] + sum(report["rejected"].values())


def test_add_partial_counts_twin_agrees(tiny_config):
    rng = np.random.default_rng(0)
    partials = [
        (block, (np.unique(rng.integers(0, 4096, 30)).astype(np.int32),) * 2) for block in (3, 5, 3, 3)
    ]
    expected = {key: add_partial_counts(part for block, part in partials if block == key) for key in (3, 5)}

    def check(found):
        assert sorted(key for key, _ in found) == [3, 5]
        for key, partial in found:
            np.testing.assert_array_equal(partial, expected[key])

    packed = [(block, pack_partial_counts(partial)) for block, partial in partials]
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        assert_that(pipeline | beam.Create(packed) | beam.CombinePerKey(job.AddPartialCounts()), check)


@pytest.mark.parametrize("waiting", [1, 40, 10_000])
def test_partial_counts_add_up_in_any_order_and_whenever_they_are_compacted(monkeypatch, waiting):
    monkeypatch.setattr(job, "_BYTES_WAITING", waiting)
    rng = np.random.default_rng(1)
    parts = [(np.unique(rng.integers(0, 300, 50)).astype(np.int32),) * 2 for _ in range(9)]
    total = job.AddPartialCounts()
    accumulators = [total.create_accumulator() for _ in range(3)]
    for i, part in enumerate(parts):
        accumulators[i % 2] = total.add_input(accumulators[i % 2], pack_partial_counts(part))
    assert total.merge_accumulators([[], []]) == []
    merged = total.merge_accumulators([total.compact(accumulators[0]), *accumulators[1:]])
    slots, counts = total.extract_output(merged)
    expected = sum(np.bincount(slot, count, 300) for slot, count in parts)
    assert slots.tolist() == np.flatnonzero(expected).tolist()
    assert counts.tolist() == expected[slots].tolist()


@pytest.mark.parametrize("fields_per_shard", [1, 4, 6])
def test_a_fields_counts_do_not_depend_on_blocks_nor_on_how_many_stars_are_held(
    tiny_config, observed_sky, survey_records, tmp_path, monkeypatch, fields_per_shard
):
    monkeypatch.setattr(job, "FIELDS_PER_SHARD", fields_per_shard)
    monkeypatch.setattr(job, "_SLOTS_HELD", 1000)
    out = tmp_path / "records"
    job.make_records(tiny_config, [str(observed_sky[0])], str(out))
    assert len(Records.open(out).manifest.splits["all"]) == -(-6 // fields_per_shard)
    assert list(fields_of(out).items()) == list(fields_of(survey_records).items())


def test_parts_of_a_table_give_the_records_of_the_whole(tiny_config, observed_sky, survey_records, tmp_path):
    table = pq.read_table(observed_sky[0])
    cut = table.num_rows // 3
    pq.write_table(table.slice(0, cut), tmp_path / "part1.parquet")
    pq.write_table(table.slice(cut), tmp_path / "part2.parquet")
    out = tmp_path / "records"
    workers = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    job.make_records(tiny_config, [str(tmp_path / "part*.parquet")], str(out), beam_argv=workers)
    for whole, part in zip(
        Records.open(survey_records).manifest.splits["all"],
        Records.open(out).manifest.splits["all"],
        strict=True,
    ):
        assert whole.sha256 == part.sha256


def test_tables_are_counted_side_by_side(tiny_config, tmp_path, monkeypatch):
    all_there = threading.Barrier(2)
    count = job.table_to_partial_counts

    def wait_and_count(*args):
        all_there.wait(60)
        yield from count(*args)

    monkeypatch.setattr(job, "table_to_partial_counts", wait_and_count)
    row = [ROW.format(12.5, 12.0, "AAA")]
    tables = [write_csv(tmp_path / f"{name}.csv", row) for name in "ab"]
    workers = ["--direct_running_mode=multi_threading", "--direct_num_workers=2"]
    manifest = job.make_records(tiny_config, tables, str(tmp_path / "r"), beam_argv=workers)
    assert manifest.report["counted"] == 2


def write_csv(path, rows, header="RAJ2000,DEJ2000,GLON,GLAT,Jmag,e_Jmag,Kmag,e_Kmag,Qflg"):
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


ROW = "0,0,284.05,-0.95,{},0.02,{},0.02,{}"


def test_upper_limits_and_missing_magnitudes_are_no_detections(tiny_config, tmp_path):
    rows = [
        ROW.format(12.5, 12.0, "AAA"),
        ROW.format(12.5, 12.0, "UAA"),
        ROW.format(12.5, 12.0, "AAU"),
        ROW.format("", 12.0, "AAA"),
        ROW.format("nan", 12.0, "AAA"),
    ]
    out = tmp_path / "records"
    job.make_records(tiny_config, [write_csv(tmp_path / "a.csv", rows)], str(out))
    report = Records.open(out).manifest.report
    assert report["rows"] == 5
    assert report["counted"] == 1
    assert sum(report["rejected"].values()) == 4
    assert max(counts_of(f).sum() for f in fields_of(out).values()) == 1


def test_sightlines_without_stars_are_there_and_empty(tiny_config, tmp_path):
    out = tmp_path / "records"
    job.make_records(tiny_config, [write_csv(tmp_path / "a.csv", [ROW.format(12.5, 12.0, "AAA")])], str(out))
    fields = fields_of(out)
    assert len(fields) == tiny_config.sightlines.n_sightlines
    empty = [f for f in fields.values() if counts_of(f).sum() == 0]
    assert empty
    assert all(f["coverage"].float_list.value[0] == 0.0 for f in empty)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda p: [write_csv(p / "a.csv", ["1,2"], "GLON,GLAT")],
            r"a\.csv: .*no column for.*name it with --column blue=NAME",
        ),
        (
            lambda p: [write_csv(p / "a.csv", [ROW.format(12, 11, "AAA").replace("284", "100")])],
            r"no star was counted \(l 284 to 284\.2.*\): 1 table with 1 row; "
            r"1 star elsewhere, at l 100 to 100, b -0\.95 to -0\.95$",
        ),
        (
            lambda p: [write_csv(p / "a.csv", [ROW.format(12, 11, "AAU")])],
            r"no star .*; rows left out: Ks upper limit \(1\)$",
        ),
        (lambda p: [str(p / "nothing*.csv")], r"nothing\*\.csv: no such file"),
        (lambda p: [str(p)], r"a folder, not a table; give its tables, such as '.*/\*'"),
        (lambda p: [truncated_gzip(p / "a.csv.gz")], r"a\.csv\.gz.*truncated"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tiny_config, tmp_path, make, message):
    inputs = make(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(DataError, match=message) as caught:
        job.make_records(tiny_config, inputs, str(tmp_path / "records"))
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def truncated_gzip(path):
    whole = gzip.compress(
        "\n".join(
            ["GLON,GLAT,Jmag,e_Jmag,Kmag,e_Kmag,Qflg"]
            + [f"284.{i % 1000:03d},-0.9,12.{i},0.02,11.{i},0.02,AAA" for i in range(20000)]
        ).encode()
    )
    path.write_bytes(whole[: len(whole) // 2])
    return str(path)


def test_a_table_given_twice_counts_once_and_that_is_said(
    tiny_config, observed_sky, survey_records, tmp_path, monkeypatch, caplog
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sky.parquet").write_bytes(observed_sky[0].read_bytes())
    (tmp_path / "link.parquet").symlink_to("sky.parquet")
    with caplog.at_level(logging.INFO, "beam_jobs"):
        inputs = ["sky.parquet", "./sky.parquet", str(tmp_path / "*.parquet")]
        manifest = job.make_records(tiny_config, inputs, "records")
    assert manifest.report == Records.open(survey_records).manifest.report
    said = [line for line in caplog.messages if "given more than once" in line]
    assert len(said) == 3
    assert f"{tmp_path / 'link.parquet'}: given more than once, as sky.parquet; it is read once" in said


def test_a_name_that_exists_is_no_pattern(tiny_config, tmp_path):
    (tmp_path / "a[1].csv").write_text("x")
    (tmp_path / "a1.csv").write_text("y")
    assert job.match_tables([str(tmp_path / "a[1].csv")]) == [str(tmp_path / "a[1].csv")]
    assert job.match_tables([str(tmp_path / "a?.csv")]) == [str(tmp_path / "a1.csv")]


def test_one_column_cannot_play_two_roles(tiny_config, tmp_path):
    table = write_csv(tmp_path / "a.csv", [ROW.format(12.5, 12.0, "AAA")])
    message = r"a\.csv: column Qflg cannot be both red and ph_qual; name another with --column ph_qual=NAME"
    with pytest.raises(DataError, match=message):
        job.make_records(tiny_config, [table], str(tmp_path / "r"), Reading({"red": "Qflg"}))


def test_the_extent_of_several_tables_goes_through_longitude_zero():
    def report(l_deg, b_deg):
        magnitudes = {"J": np.full(len(l_deg), 12.0)}
        batch = StarBatch(np.array(l_deg), np.array(b_deg), magnitudes, len(l_deg))
        return job.add_reports([]) | {"extent_deg": job._extent_of(batch)}

    reports = [report([359.0, 358.5], [1.0, 2.0]), report([0.5], [-1.0]), report([], [])]
    assert job.extent_text(job.add_reports(reports)["extent_deg"]) == "l -1.5 to 0.5, b -1 to 2"
    assert job.extent_text(job.add_reports(reports[:1])["extent_deg"]) == "l 358.5 to 359, b 1 to 2"
    assert job.add_reports(reports[2:])["extent_deg"] == {}


def test_a_column_that_is_not_there_is_told_before_beam_loads(observed_sky, tmp_path, capsys, monkeypatch):
    def fail():
        raise AssertionError("Beam was loaded")

    monkeypatch.setattr("beam_jobs.twomass_to_records.start_beam", fail)
    given = ["records", "survey", str(observed_sky[0]), "--config", "demo", "--out", str(tmp_path / "r")]
    for column, said in (("rot=j_m", "no column role 'rot'"), ("red=kk", "no column 'kk' for red")):
        assert main([*given, "--column", column]) == 1
        assert said in capsys.readouterr().err
