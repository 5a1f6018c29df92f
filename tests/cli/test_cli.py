"""The command line as a user meets it: one line for every error, nothing half-written, nothing lost."""

import importlib.util
import json
import logging
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from beam_jobs import start_beam
from extmap_tf.cli import main
from extmap_tf.estimate import ProfileEstimate
from extmap_tf.files import whole_file
from extmap_tf.map.header import MapHeader
from extmap_tf.map.provenance import Provenance
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.program import Command, run_command
from extmap_tf.records.manifest import Records
from extmap_tf.settings.config import Config

COMMANDS = [
    ["demo"],
    ["fetch"],
    ["map"],
    ["records", "mocks"],
    ["records", "survey"],
    ["train"],
    ["export"],
    ["serve-check"],
    ["evaluate"],
    ["fit"],
    ["score"],
    ["query"],
    ["compare"],
    ["clouds"],
    ["merge"],
    ["convert"],
    ["plot"],
    ["report"],
    ["config"],
    ["info"],
]

ASIDE = re.compile(r"(mocks|survey|score) \(.*shard|extmap-tf: warning: ")


def fails(capsys, *argv):
    """Run a command that must fail; returns its one line."""
    assert main([str(word) for word in argv]) == 1
    return one_line(capsys.readouterr().err)


def one_line(err):
    """The only line on standard error, next to warnings and those of a progress bar."""
    lines = [line for line in re.split(r"[\r\n]", err) if line and not ASIDE.match(line)]
    assert len(lines) == 1, lines
    assert lines[0].startswith("extmap-tf: error: ")
    return lines[0]


@pytest.fixture(scope="module")
def map_file(tiny_config, saved_model, survey_records, tmp_path_factory):
    """A map of the tiny survey records, made by the command."""
    out = tmp_path_factory.mktemp("map") / "map.fits"
    assert (
        main(["score", "--records", str(survey_records), "--model", str(saved_model), "--out", str(out)]) == 0
    )
    return out


@pytest.fixture
def truth_file(tiny_config, observed_sky, tmp_path):
    grid = tiny_config.sightlines
    truth = ExtinctionMap(
        MapHeader(grid, tiny_config.distance, Provenance.of(tiny_config, "truth")),
        ProfileEstimate.of_density(observed_sky[1].field_density(grid), tiny_config.distance.step_kpc),
        np.ones(grid.shape),
        np.zeros(grid.shape, int),
    )
    truth.write(tmp_path / "truth.fits")
    return tmp_path / "truth.fits"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*words, "--help"])
    assert caught.value.code == 0
    assert "usage: extmap-tf " + " ".join(words) in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["fly"], ["train", "--fast"], ["query", "m.fits", "--l", "3"]])
def test_wrong_usage_exits_with_2(argv):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2


def test_the_map_carries_its_origin_and_counts(map_file, tiny_config, saved_model):
    volume = ExtinctionMap.read(map_file, verify=True)
    assert volume.provenance.config_digest == tiny_config.digest
    assert volume.provenance.kind == "estimate"
    assert volume.grid == tiny_config.sightlines
    assert (volume.n_stars > 0).all()
    assert (np.diff(volume.extinction, axis=-1) >= 0).all()


def test_query_prints_one_value_or_a_profile(map_file, capsys):
    assert main(["query", str(map_file), "--l", "284.1", "--b", "-1", "--distance", "2.05"]) == 0
    value = float(capsys.readouterr().out.split()[0])
    expected = ExtinctionMap.read(map_file).query_gal(284.1, -1.0, 2.05).value
    assert value == pytest.approx(float(expected), abs=1e-4)
    assert main(["query", str(map_file), "--l", "284.1", "--b", "-1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 41
    assert main(["query", str(map_file), "--l", "10", "--b", "5", "--distance", "1"]) == 0
    captured = capsys.readouterr()
    assert "nan" in captured.out
    assert "outside the sky grid" in captured.err


def test_equatorial_positions_are_those_on_the_sky(map_file, capsys):
    from astropy.coordinates import SkyCoord

    place = SkyCoord(284.1, -0.95, unit="deg", frame="galactic").icrs
    where = ["--ra", str(place.ra.deg), f"--dec={place.dec.deg}"]
    assert main(["query", str(map_file), *where, "--distance", "1"]) == 0
    by_ra = capsys.readouterr().out
    assert main(["query", str(map_file), "--l", "284.1", "--b=-0.95", "--distance", "1"]) == 0
    assert capsys.readouterr().out == by_ra


def test_evaluate_of_a_map_prints_and_writes_the_errors(map_file, truth_file, tmp_path, capsys):
    out = tmp_path / "errors.json"
    figures = tmp_path / "figures"
    argv = ["evaluate", "--map", map_file, "--truth", truth_file, "--out", out, "--figures", figures]
    assert main([str(word) for word in argv]) == 0
    printed = capsys.readouterr().out
    for words in ("mean |error|", "mag/kpc", "fingers of God"):
        assert words in printed
    assert {"errors.png", "density_errors.png", "fingers_of_god.png"} <= {p.name for p in figures.iterdir()}
    rows = json.loads(out.read_text())["overall"]
    assert [row["distance_kpc"] for row in rows] == [1.0, 2.0, 3.0]
    assert fails(capsys, *argv).endswith("choose another name or give --overwrite")


def test_evaluate_of_a_model_reads_the_test_split(saved_model, mock_records, capsys):
    assert main(["evaluate", "--model", str(saved_model), "--records", str(mock_records)]) == 0
    assert "mean |error|" in capsys.readouterr().out
    line = fails(capsys, "evaluate", "--model", saved_model, "--records", mock_records, "--split", "x")
    assert "no split 'x'; there are: train, validation, test" in line


def test_plot_draws_every_figure(map_file, truth_file, tmp_path, capsys):
    out = tmp_path / "figures"
    assert main(["plot", str(map_file), "--truth", str(truth_file), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "errors.png",
        "face_on.png",
        "latitudes.png",
        "profiles.png",
        "sky.png",
        "slices.png",
        "trust.png",
    ]
    assert "outside the map" in fails(
        capsys, "plot", map_file, "--out", tmp_path / "other", "--sightline", "10,0"
    )
    assert not (tmp_path / "other").exists()


def test_plot_and_report_show_the_diagrams_behind_the_map(
    map_file, survey_records, mock_records, tmp_path, monkeypatch, capsys
):
    argv = ["plot", map_file, "--records", survey_records, "--sightline", "284.1,-1", "--out", tmp_path / "f"]
    assert main([str(word) for word in [*argv, "--format", "pdf", "--arms", "Carina"]]) == 0
    assert (tmp_path / "f" / "profiles.pdf").exists()
    from extmap_tf.records import dataset
    from extmap_tf.report import report

    read, shown = [], {}
    fields, write = dataset.survey_fields, report.write_report
    monkeypatch.setattr(dataset, "survey_fields", lambda *how: read.append(1) or fields(*how))
    monkeypatch.setattr(report, "write_report", lambda *args, **how: shown.update(how) or write(*args, **how))
    argv = ["report", map_file, "--records", survey_records, "--out", tmp_path / "r.html", "--arms"]
    assert main([str(word) for word in argv]) == 0
    # The shards are read once, and the diagrams beside the profiles are those of their sightlines.
    assert len(read) == 1
    expected = fields(Records.open(survey_records), shown["sightlines"])["counts"]
    ((_, counts),) = shown["cmds"]()
    np.testing.assert_array_equal(counts, expected)
    capsys.readouterr()
    line = fails(capsys, "plot", map_file, "--records", mock_records, "--out", tmp_path / "g")
    assert "holds mocks records" in line
    line = fails(capsys, "plot", map_file, "--arms", "Andromeda", "--out", tmp_path / "g")
    assert "no spiral arm 'Andromeda'" in line
    assert not (tmp_path / "g").exists()


def test_info_describes_records_models_and_maps(
    mock_records, survey_records, trained, saved_model, map_file, capsys
):
    paths = [mock_records, survey_records, trained, saved_model, map_file]
    assert main(["info", "--verify", *map(str, paths)]) == 0
    out = capsys.readouterr().out
    for text in ("training pairs", "fields of a survey", "training folder", "SavedModel", "A(Ks)"):
        assert text in out
    assert out.count("tiny (") == 5


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (lambda p: p / "nothing", "no such file or folder"),
        (lambda p: p, "not a folder that info knows: neither records, nor a model, nor a fit"),
        (lambda p: p / "foreign.txt", "foreign.txt"),
    ],
)
def test_info_of_foreign_things_is_one_line(what, message, tmp_path, capsys):
    (tmp_path / "foreign.txt").write_text("hello")
    assert message in fails(capsys, "info", what(tmp_path))


def copy_of(folder, to):
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_records_without_manifest_or_damaged_are_named(mock_records, tmp_path, capsys):
    bare = copy_of(mock_records, tmp_path / "bare")
    (bare / "manifest.json").unlink()
    assert "no manifest.json" in fails(capsys, "train", "--records", bare, "--out", tmp_path / "t")

    short = copy_of(mock_records, tmp_path / "short")
    shard = next(short.glob("train-*"))
    shard.write_bytes(shard.read_bytes()[:-100])
    line = fails(capsys, "train", "--records", short, "--out", tmp_path / "t")
    assert f"{shard}: " in line
    assert "truncated or changed" in line

    rotten = copy_of(mock_records, tmp_path / "rotten")
    shard = next(rotten.glob("train-*"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = os.urandom(64)
    shard.write_bytes(data)
    line = fails(capsys, "train", "--records", rotten, "--out", tmp_path / "t")
    assert f"{shard}: corrupted" in line

    edited = copy_of(mock_records, tmp_path / "edited")
    manifest = edited / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"rv": 3.1', '"rv": 4.1'))
    assert "it was edited" in fails(capsys, "info", edited)


def test_a_corrupted_shard_stops_scoring_by_name_and_leaves_no_map(
    saved_model, survey_records, tmp_path, capsys
):
    rotten = copy_of(survey_records, tmp_path / "rotten")
    shard = next(rotten.glob("all-*"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = os.urandom(64)
    shard.write_bytes(data)
    line = fails(capsys, "score", "--records", rotten, "--model", saved_model, "--out", tmp_path / "map.fits")
    assert f"{shard}: corrupted" in line
    assert [path.name for path in tmp_path.iterdir()] == ["rotten"]


def test_a_model_for_other_fields_is_refused_by_both_names(saved_model, survey_records, tmp_path, capsys):
    other = copy_of(survey_records, tmp_path / "other")
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["config"]["sightlines"]["field_deg"] = 0.2
    manifest["config_digest"] = Config.from_dict(manifest["config"]).digest
    (other / "manifest.json").write_text(json.dumps(manifest))
    line = fails(capsys, "score", "--records", other, "--model", saved_model, "--out", tmp_path / "map.fits")
    for part in (str(saved_model), str(other), "field_deg", "0.1", "0.2"):
        assert part in line
    assert not (tmp_path / "map.fits").exists()


def test_an_existing_map_is_kept(map_file, saved_model, survey_records, capsys):
    before = map_file.read_bytes()
    argv = ["score", "--records", survey_records, "--model", saved_model, "--out", map_file]
    assert "exists already" in fails(capsys, *argv)
    assert map_file.read_bytes() == before
    assert main([*map(str, argv), "--overwrite"]) == 0
    assert map_file.read_bytes() == before


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--config", "nowhere.toml"], "nowhere.toml: no such file"),
        (["--config", "demo", "--set", "training.epoch=3"], "--set training.epoch: unknown key 'epoch'"),
        (["--config", "demo", "--set", "training"], "--set needs KEY=VALUE"),
        (["--config", "demo", "--set", "law.model=Nobody"], "no extinction law 'Nobody'"),
        (["--config", "demo", "--examples-per-shard", "0"], "--examples-per-shard must be 1 or more"),
        (["--config", "demo", "--direct_num_wrkers=2"], "unknown option '--direct_num_wrkers=2'"),
    ],
)
def test_bad_configurations_are_one_line_and_leave_nothing(argv, message, tmp_path, capsys):
    assert message in fails(capsys, "records", "mocks", "--out", tmp_path / "r", *argv)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    """A limit on file size stands for a full disk: writes fail half-way with an error of the system."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    command = [sys.executable, "-m", "extmap_tf", "records", "mocks", "--config", "demo", "--out", "r"]
    command += ["--set", "mocks.n_pairs=300", "--set", "mocks.pool_fields=2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 1
    assert "File too large" in one_line(done.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--l", "--b", "--distance"])
@pytest.mark.parametrize("text", ["nan", "inf", "far"])
def test_query_takes_finite_numbers_only(option, text, map_file, capsys):
    argv = ["query", str(map_file), "--l", "284", "--b", "-1", "--distance", "1", option, text]
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert option in capsys.readouterr().err


def test_evaluate_refuses_an_unwritable_output_before_the_work(map_file, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    argv = ["evaluate", "--map", tmp_path / "none", "--truth", map_file, "--out"]
    for out in (tmp_path / "file" / "e.json", tmp_path / "file" / "x" / "e.json"):
        assert "is a file, not a folder" in fails(capsys, *argv, out)
    line = fails(capsys, *argv, tmp_path / "a" / "b" / "e.json")
    assert "no such file" in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    (tmp_path / "ranks.png").write_text("mine")
    line = fails(capsys, *argv[:-1], "--figures", tmp_path)
    assert "ranks.png exists already" in line


def test_plot_refuses_a_truth_of_other_grids_before_it_draws(map_file, tiny_config, tmp_path, capsys):
    grid = tiny_config.replace(**{"sightlines.l_max_deg": 284.3}).sightlines
    density = np.ones((*grid.shape, tiny_config.distance.n_distances))
    counts = np.zeros(grid.shape, int)
    header = MapHeader(grid, tiny_config.distance, Provenance.of(tiny_config, "truth"))
    profiles = ProfileEstimate.of_density(density, tiny_config.distance.step_kpc)
    ExtinctionMap(header, profiles, np.ones(grid.shape), counts).write(tmp_path / "truth.fits")
    line = fails(capsys, "plot", map_file, "--truth", tmp_path / "truth.fits", "--out", tmp_path / "figures")
    assert "sightlines.l_max_deg = 284.2" in line
    assert "284.3" in line
    assert not (tmp_path / "figures").exists()


def test_a_folder_as_a_map_is_called_one(tmp_path, capsys):
    assert "a folder; give the path of a map" in fails(capsys, "query", tmp_path, "--l", "1", "--b", "1")


@pytest.mark.parametrize(
    "argv",
    [
        ["train", "--records", "gs://a/r", "--out", "t"],
        ["train", "--records", "MOCKS", "--out", "gs://a/t"],
        ["export", "--model", "gs://a/t", "--out", "m"],
        ["export", "--model", "TRAINED", "--out", "gs://a/m"],
        ["query", "gs://a/map.fits", "--l", "1", "--b", "1"],
        ["plot", "gs://a/map.fits", "--out", "figures"],
        ["plot", "MAP", "--out", "gs://a/figures"],
        ["evaluate", "--model", "MODEL", "--records", "MOCKS", "--out", "gs://a/e.json"],
        ["info", "gs://a/r"],
        ["demo", "--out", "gs://a/demo"],
        ["records", "mocks", "--config", "s3://a/c.toml", "--out", "r"],
    ],
    ids=" ".join,
)
def test_other_file_systems_are_refused_where_only_local_paths_work(
    argv, mock_records, survey_records, trained, saved_model, map_file, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    known = {
        "MOCKS": mock_records,
        "SURVEY": survey_records,
        "TRAINED": trained,
        "MODEL": saved_model,
        "MAP": map_file,
    }
    line = fails(capsys, *(known.get(word, word) for word in argv))
    assert re.search("(gs|s3)://a/.*only local paths can be used here", line)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(importlib.util.find_spec("apitools") is not None, reason="the extra gcp is installed")
@pytest.mark.parametrize("there", ["--records", "--model", "--out"])
def test_scoring_in_a_bucket_says_what_it_needs(
    there, survey_records, saved_model, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    paths = {"--records": survey_records, "--model": saved_model, "--out": "map.fits"} | {there: "gs://a/x"}
    line = fails(capsys, "score", *(word for pair in paths.items() for word in pair))
    assert re.search(r"gs://a/x: gs:// needs more packages: pip install 'extmap_tf\[gcp\]'", line)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_model_survives_an_export_that_fails(trained, saved_model, tmp_path, monkeypatch, capsys):
    out = tmp_path / "model"
    shutil.copytree(saved_model, out)
    before = contents_of(out)

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("tensorflow.saved_model.save", fail)
    assert "disk full" in fails(capsys, "export", "--model", trained, "--out", out)
    assert contents_of(out) == before


def test_an_existing_map_survives_a_score_that_fails(
    map_file, saved_model, survey_records, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "map.fits"
    out.write_bytes(map_file.read_bytes())
    before = contents_of(tmp_path)

    def fail(*_, **__):
        raise OSError("disk full")

    argv = ["score", "--records", survey_records, "--model", saved_model, "--out", out, "--overwrite"]
    for what in ("beam_jobs.graphs.score_to_map.put_tiles", "os.posix_fallocate", "os.replace"):
        with monkeypatch.context() as patch:
            patch.setattr(what, fail)
            assert "disk full" in fails(capsys, *argv)
        assert contents_of(tmp_path) == before


def contents_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def nothing_heavy(monkeypatch):
    """Neither TensorFlow nor Beam may be started."""

    def never():
        raise AssertionError("started")

    modules = [f"beam_jobs.{name}" for name in ("mocks_to_records", "twomass_to_records", "score_to_map")]
    modules += [f"extmap_tf.cli.{name}" for name in ("demo", "train", "export", "evaluate", "fit")]
    for module in modules:
        monkeypatch.setattr(f"{module}.start_tensorflow", never, raising=False)
        monkeypatch.setattr(f"{module}.start_beam", never, raising=False)


@pytest.mark.parametrize("words", [["records", "mocks", "--config"], ["demo", "--config"]])
def test_laws_are_checked_before_any_work(words, tmp_path, nothing_heavy, capsys):
    out = ["--out", str(tmp_path / "r")]
    for law in ("Nobody", "BaseExtRvModel", "os"):
        assert f"no extinction law '{law}'" in fails(
            capsys, *words, "demo", *out, "--set", f"law.model={law}"
        )
    line = fails(capsys, *words, "demo", *out, "--set", "law.rv=99")
    assert "cannot have rv = 99" in line


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("demo --out MAP", "exists already"),
        ("demo --out d --set distance.n_distances=9", "reaches 1 kpc, got: 0.9 kpc"),
        ("demo --out d --set seed=x", "seed"),
        ("records mocks --config demo --out MOCKS", "exists already"),
        ("records survey none.csv --config demo --out r", "none.csv: no such file"),
        ("records survey MAP --config demo --out MOCKS", "exists already"),
        ("records survey MAP --config demo --out r --column l", "--column needs ROLE=NAME"),
        ("train --records none --out t", "none"),
        ("train --records MOCKS --out TRAINED", "holds a finished model"),
        ("train --records SURVEY --out t", "survey records carry no profiles"),
        ("train --records MOCKS --out t --set sightlines.field_deg=0.2", "field_deg"),
        ("export --model none --out m", "none"),
        ("evaluate --model none --records MOCKS", "no SavedModel there"),
        ("fit --records MOCKS --out MAP", "exists already"),
        ("fit --records MOCKS --out f --model none", "no SavedModel there"),
        ("fit --records SURVEY --out f", "--sightline L,B"),
        ("score --records SURVEY --model none --out m.fits", "no SavedModel there"),
        ("score --records none --model MODEL --out m.fits", "none"),
        ("score --records SURVEY --model MODEL --out MAP", "exists already"),
        ("score --records SURVEY --model MODEL --out m.fits --samples 99", "samples must be 0 to 32"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_heavy_is_loaded(
    argv, message, mock_records, survey_records, trained, saved_model, map_file, nothing_heavy, capsys
):
    known = {
        "MOCKS": mock_records,
        "SURVEY": survey_records,
        "TRAINED": trained,
        "MODEL": saved_model,
        "MAP": map_file,
    }
    assert message in fails(capsys, *(known.get(word, word) for word in argv.split()))


def test_options_have_no_abbreviations(capsys):
    for argv in ("export --mod m --out o", "info --verif x", "demo --o x"):
        with pytest.raises(SystemExit) as caught:
            main(argv.split())
        assert caught.value.code == 2
    capsys.readouterr()
    assert "unknown option '--overwrit'" in fails(
        capsys, "records", "mocks", "--config", "demo", "--out", "r", "--overwrit"
    )


def test_info_takes_the_version_that_score_takes(saved_model, tmp_path, capsys):
    for version in ("2", "10"):
        shutil.copytree(saved_model / "1", tmp_path / "model" / version)
    assert main(["info", str(tmp_path / "model")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == str(tmp_path / "model" / "10")


@pytest.mark.parametrize("kind", ["training folder", "SavedModel"])
def test_info_verify_names_what_is_damaged_in_a_model(kind, trained, saved_model, tmp_path, capsys):
    model = tmp_path / "model"
    shutil.copytree(trained if kind == "training folder" else saved_model / "1", model)
    weights = next(model.glob("model.keras" if kind == "training folder" else "variables/*.data-*"))
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    assert main(["info", str(model)]) == 0
    capsys.readouterr()
    assert f"{weights}: corrupted" in fails(capsys, "info", "--verify", model)
    weights.unlink()
    assert f"{weights}: missing" in fails(capsys, "info", "--verify", model)
    next(model.rglob("SHA256SUMS")).unlink()
    assert "SHA256SUMS: missing, so nothing can be verified" in fails(capsys, "info", "--verify", model)


def test_checksums_are_those_that_sha256sum_checks(trained, saved_model):
    for folder, sums in ((trained, "SHA256SUMS"), (saved_model / "1", "assets.extra/SHA256SUMS")):
        subprocess.run(["sha256sum", "--check", "--quiet", "--strict", sums], cwd=folder, check=True)


def test_info_tells_which_columns_of_a_table_are_read(observed_sky, tmp_path, capsys):
    import pyarrow.parquet as pq
    from astropy.table import Table

    Table(pq.read_table(observed_sky[0]).to_pydict()).write(tmp_path / "sky.fits")
    for path, kind in ((observed_sky[0], "Parquet"), (tmp_path / "sky.fits", "FITS")):
        assert main(["info", str(path)]) == 0
        out = capsys.readouterr().out
        assert f"a table 'records survey' can read: {kind}" in out
        assert "l = glon, b = glat, blue = j_m, red = k_m" in out


def test_info_knows_a_table_of_gaia(tmp_path, capsys):
    columns = "ra,dec,phot_g_mean_mag,phot_bp_mean_mag,phot_rp_mean_mag,parallax"
    whole, part = tmp_path / "gaia.csv", tmp_path / "part.csv"
    whole.write_text(f"{columns}\n10.5,60.1,15.2,15.9,14.4,-0.1\n")
    part.write_text(f"{columns.removesuffix(',parallax')}\n10.5,60.1,15.2,15.9,14.4\n")
    assert main(["info", str(whole)]) == 0
    assert "CSV, as of Gaia DR3" in capsys.readouterr().out
    assert "no column for the parallax" in fails(capsys, "info", part)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_clean_up_and_set_the_exit_status(number, status, tmp_path, capsys):
    def half(args):
        with whole_file(tmp_path / "a" / "b.txt") as stream:
            stream.write("half")
            os.kill(os.getpid(), number)
            time.sleep(5)

    before = signal.getsignal(number)
    assert run_command(Command("half", "Half a file.", lambda parser: None, half), []) == status
    assert one_line(capsys.readouterr().err).endswith(("interrupted", "terminated"))
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) is before


def test_a_signal_inside_exec_sets_the_exit_status(tmp_path):
    (tmp_path / "stopped.py").write_text(
        "import os, signal, sys, time\n"
        "from extmap_tf.program import Command, run_command\n"
        "text = f'os.kill(os.getpid(), {int(signal.SIGTERM)}); time.sleep(5)'\n"
        "sys.exit(run_command(Command('x', 'X.', lambda parser: None, lambda args: exec(text)), []))\n"
    )
    python = [sys.executable, "-m", "stopped"]
    path = os.pathsep.join([str(tmp_path), *sys.path])
    result = subprocess.run(python, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert (result.returncode, one_line(result.stderr)) == (143, "extmap-tf: error: terminated")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize(("fails", "status"), [(False, 0), (True, 1)])
def test_a_job_whose_log_is_on_a_full_disk_goes_on(fails, status, tmp_path):
    program = (
        "import logging, sys\n"
        "from extmap_tf.errors import DataError\n"
        "from extmap_tf.program import Command, run_command\n"
        "def work(args):\n"
        "    print('x' * 10_000, file=sys.stderr, flush=True)\n"
        "    logging.getLogger('extmap_tf').warning('y')\n"
        "    print('done')\n"
        f"    if {fails}: raise DataError('z')\n"
        "sys.exit(run_command(Command('x', 'X.', lambda parser: None, work), []))\n"
    )
    with open("/dev/full", "w") as full:
        result = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=full)
    assert (result.returncode, result.stdout) == (status, b"done\n")


def test_an_ignored_signal_stays_ignored():
    def interrupt(args):
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert run_command(Command("stop", "Stop.", lambda parser: None, interrupt), []) == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_fit_of_survey_fields_writes_a_folder(survey_records, tmp_path, capsys):
    out = tmp_path / "fit"
    argv = ["fit", "--records", survey_records, "--out", out, "--fields", "2", "--iterations", "3"]
    assert "name those to fit by --sightline L,B" in fails(capsys, *argv)
    assert "outside the records' grid" in fails(capsys, *argv, "--sightline", "10,0")
    assert "--sightline needs L,B" in fails(capsys, *argv, "--sightline", "284")
    assert list(tmp_path.iterdir()) == []
    argv = [str(word) for word in (*argv, "--sightline", "284.1,-1")]
    assert main(argv) == 0
    assert f"{out}/profiles.ecsv" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {
        "fit.json",
        "profiles.ecsv",
        "l284.100b-01.000.png",
    }
    assert "exists already" in fails(capsys, *argv)


def test_fit_of_pairs_prints_its_errors_beside_a_models(saved_model, mock_records, tmp_path, capsys):
    out = tmp_path / "fit"
    argv = ["fit", "--records", mock_records, "--out", out, "--fields", "2", "--iterations", "3"]
    assert main([str(word) for word in (*argv, "--pairs", "2", "--model", saved_model)]) == 0
    printed = capsys.readouterr().out
    assert printed.index("Direct fit:") < printed.index("in 68 %") < printed.index("Model:")
    assert "in 68 %" in printed[printed.index("Model:") :]
    assert len(json.loads((out / "fit.json").read_text())["sightlines"]) == 2


def test_config_shows_a_configuration_that_is_the_same_when_it_is_read(tmp_path, capsys):
    assert main(["config", "--show", "demo"]) == 0
    shown = tmp_path / "shown.toml"
    shown.write_text(capsys.readouterr().out)
    assert Config.load(shown) == Config.named("demo")
    assert "no such file" in fails(capsys, "config", "--show", "nowhere.toml")
    assert main(["config", "--reference"]) == 0
    assert "- `n_pairs` (" in capsys.readouterr().out


@pytest.mark.parametrize("beam", [False, True])
def test_what_is_logged_as_a_warning_is_one_line_of_the_program(beam, capsys):
    def warn(args):
        if beam:
            start_beam()
        logging.getLogger("extmap_tf.map.table_query").warning("all of %s", "them")

    assert run_command(Command("odd", "Warn.", lambda parser: None, warn), []) == 0
    assert capsys.readouterr().err == "extmap-tf: warning: all of them\n"
    assert not logging.getLogger("extmap_tf").handlers


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize("options", [["--reference"], ["--around", "285,0", "--radius", "2"]])
def test_a_full_disk_behind_the_standard_output_is_named(options):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "extmap_tf", "config", *options]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (
        1,
        "extmap-tf: error: standard output: No space left on device\n",
    )
