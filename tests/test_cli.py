"""The command line as a user meets it: one line for every error, nothing half-written, nothing lost."""

import json
import os
import re
import resource
import subprocess
import sys

import numpy as np
import pytest

from extmap_tf.cli import main
from extmap_tf.map.provenance import Provenance
from extmap_tf.map.volume import ExtinctionMap

COMMANDS = [
    ["demo"],
    ["records", "mocks"],
    ["records", "survey"],
    ["train"],
    ["export"],
    ["evaluate"],
    ["score"],
    ["query"],
    ["merge"],
    ["plot"],
    ["info"],
]


def fails(capsys, *argv):
    """Run a command that must fail; returns its one line."""
    assert main([str(word) for word in argv]) == 1
    lines = [line for line in re.split(r"[\r\n]", capsys.readouterr().err) if "error:" in line]
    assert len(lines) == 1
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
        grid,
        tiny_config.distance,
        observed_sky[1].field_density(grid),
        np.ones(grid.shape),
        np.zeros(grid.shape, int),
        Provenance.of(tiny_config, "truth"),
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
    assert (np.diff(volume.cumulative, axis=-1) >= 0).all()


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
    argv = ["evaluate", "--map", map_file, "--truth", truth_file, "--out", out]
    assert main([str(word) for word in argv]) == 0
    assert "mean |error|" in capsys.readouterr().out
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
        "profiles.png",
        "sky.png",
        "slices.png",
        "trust.png",
    ]
    assert "outside the map" in fails(
        capsys, "plot", map_file, "--out", tmp_path / "other", "--sightline", "10,0"
    )
    assert not (tmp_path / "other").exists()


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
        (lambda p: p, "neither records, nor a model, nor a map"),
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
    from extmap_tf.config import Config

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
        (["--config", "demo", "--set", "training.epoch=3"], "unknown key 'epoch'"),
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
    command += ["--set", "mocks.n_pairs=300", "--set", "mocks.pool_fields=1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 1
    lines = [line for line in re.split(r"[\r\n]", done.stderr) if "error:" in line]
    assert len(lines) == 1
    assert "File too large" in lines[0]
    assert list(tmp_path.iterdir()) == []
