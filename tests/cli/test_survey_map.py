"""``extmap-tf map``: every output is there, finished steps are not done again, wrong input is told first."""

import json
import shutil

import pytest

from extmap_tf.cli import main
from extmap_tf.errors import DataError
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.model.versions import find_saved_model
from extmap_tf.records.manifest import Records
from extmap_tf.settings.config import Config
from extmap_tf.survey_map import Order, run_map, serving_model

PARTS = ["config.toml", "figures", "map.fits", "map.json", "report.html", "steps.json", "survey"]


@pytest.fixture(scope="module")
def made(tiny_config, observed_sky, mock_records, trained, tmp_path_factory):
    """(folder, what run_map returned), of a map that failed in its last step and was started again."""
    out = tmp_path_factory.mktemp("map") / "map"
    order = Order.of(tiny_config, [str(observed_sky[0])])

    def fail(*_, **__):
        raise DataError("half-way")

    with pytest.MonkeyPatch.context() as patch:
        # These two are made elsewhere, of the same configuration.
        patch.setattr(
            "extmap_tf.survey_map.make_mocks", lambda _, path, n: shutil.copytree(mock_records, path)
        )
        patch.setattr(
            "extmap_tf.survey_map.train_network",
            lambda _, folder: shutil.copytree(trained, folder / "training"),
        )
        patch.setattr("extmap_tf.survey_map._draw", fail)
        with pytest.raises(DataError, match="half-way"):
            run_map(order, out)
        assert [path.name for path in out.parent.iterdir()] == ["map.unfinished"]
    with pytest.MonkeyPatch.context() as patch:
        # Nothing that is done is done again.
        for step in ("_count", "make_mocks", "train_network", "export_model", "map_with_samples"):
            patch.setattr(f"extmap_tf.survey_map.{step}", fail)
        return out, run_map(order, out)


def test_every_output_is_there_and_nothing_else_beside_it(made):
    out, _ = made
    assert [path.name for path in out.parent.iterdir()] == ["map"]
    assert sorted(path.name for path in out.iterdir()) == sorted([*PARTS, "mocks", "model", "training"])
    assert main(["info", "--verify", str(out / "map.fits"), str(out / "survey"), str(out / "model")]) == 0
    assert (out / "figures" / "profiles.png").exists()
    assert ExtinctionMap.read(out / "map.fits").samples is not None


def test_the_summary_is_of_the_map_and_its_errors_are_those_of_the_test_pairs(made, tiny_config, capsys):
    out, evaluation = made
    summary = json.loads((out / "map.json").read_text())
    volume = ExtinctionMap.read(out / "map.fits")
    assert summary["model_digest"] == volume.provenance.model_digest
    assert summary["config_digest"] == tiny_config.digest
    assert summary["errors"] == evaluation.to_dict()
    assert evaluation.overall[0].n == Records.open(out / "mocks").manifest.n_examples("test")
    assert summary["stars"] == Records.open(out / "survey").manifest.report["counted"]
    assert main(["info", str(out)]) == 0
    text = capsys.readouterr().out
    assert f"{summary['stars']:,} stars" in text
    assert "of something else" not in text


def test_a_model_that_is_given_is_used_and_tested_on_a_few_pairs(
    tiny_config, observed_sky, saved_model, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("extmap_tf.survey_map._PAIRS_FOR_ERRORS", 60)
    tiny_config.write(tmp_path / "tiny.toml")
    given = ["map", "--config", str(tmp_path / "tiny.toml"), "--table", f"2mass={observed_sky[0]}"]
    assert main([*given, "--model", str(saved_model), "--out", str(tmp_path / "map"), "--workers", "1"]) == 0
    out, err = capsys.readouterr()
    assert "Errors of A(Ks) of the model on mock pairs that it has not seen:" in err
    assert "mean |error|" in out
    assert sorted(path.name for path in (tmp_path / "map").iterdir()) == sorted([*PARTS, "tests"])
    assert json.loads((tmp_path / "map" / "map.json").read_text())["model"] == str(saved_model)
    # With the seed of the training they would be its first pairs again.
    trained_with = find_saved_model(saved_model)[1].config.seed
    assert Records.open(tmp_path / "map" / "tests").manifest.config.seed != trained_with


def test_an_unfinished_map_is_resumed_by_the_same_command_alone(
    tiny_config, observed_sky, tmp_path, monkeypatch
):
    def fail(*_, **__):
        raise DataError("half-way")

    monkeypatch.setattr("extmap_tf.survey_map.make_mocks", fail)
    monkeypatch.setattr("extmap_tf.survey_map._count", lambda *_: None)
    order = Order.of(tiny_config, [str(observed_sky[0])])
    with pytest.raises(DataError, match="half-way"):
        run_map(order, tmp_path / "map")
    another = Order.of(tiny_config.replace(seed=7), [str(observed_sky[0])])
    with pytest.raises(
        DataError, match=r"unfinished map of configuration \w+, 1 table .* this one is a map of"
    ):
        run_map(another, tmp_path / "map")
    copy = shutil.copy(observed_sky[0], tmp_path / "more.parquet")
    with pytest.raises(DataError, match=r"unfinished map of configuration"):
        run_map(Order.of(tiny_config, [str(observed_sky[0]), copy]), tmp_path / "map")


def test_a_shipped_model_serves_where_all_fields_are_its_own():
    carina = Config.named("carina")
    assert serving_model(carina) == "carina"
    beyond = carina.replace(**{"sightlines.l_max_deg": 304.0})
    assert serving_model(beyond) is None
    assert serving_model(carina.replace(**{"distance.n_distances": 50})) is None


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--table", "nowhere.csv"], "nowhere.csv: no such file"),
        (["--table", "gaia_dr3=TABLE"], "no survey 'gaia_dr3' in tiny; it has 2mass"),
        (["--table", "TABLE", "--model", "nowhere"], "nowhere: no SavedModel there"),
        (["--table", "TABLE", "--model", "carina"], "observation"),
        (["--table", "TABLE", "--column", "red=kk"], "no column 'kk' for red"),
        (["--table", "TABLE", "--workers", "-1"], "--workers must be 0 or more"),
        (["--table", "CONFIG"], "not a 2MASS PSC file"),
    ],
)
def test_wrong_input_is_one_line_before_the_libraries_load(
    options, line, tiny_config, observed_sky, tmp_path, capsys, monkeypatch
):
    def fail():
        raise AssertionError("TensorFlow was loaded")

    monkeypatch.setattr("extmap_tf.cli.map.start_tensorflow", fail)
    config = tmp_path / "tiny.toml"
    tiny_config.write(config)
    words = [word.replace("TABLE", str(observed_sky[0])).replace("CONFIG", str(config)) for word in options]
    assert main(["map", "--config", str(config), "--out", str(tmp_path / "map"), *words]) == 1
    errors = [said for said in capsys.readouterr().err.splitlines() if "warning" not in said]
    (said,) = errors
    assert line in said
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]
