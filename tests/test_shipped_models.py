"""The trained models that come with the package."""

import json
from importlib import resources

import numpy as np
import pytest
import tensorflow as tf

from extmap_tf.cli import main
from extmap_tf.errors import DataError
from extmap_tf.mocks.pairs import simulate_pair
from extmap_tf.model.scoring import Scorer
from extmap_tf.model.versions import find_saved_model, shipped_models
from extmap_tf.serving.check import signature_inputs


@pytest.fixture(scope="module")
def fresh_pairs():
    """Pairs of a sightline between those that the model was trained on, with stars of their own."""
    _, card = find_saved_model("carina")
    config = card.config.replace(
        **{"seed": 77, "mocks.l_deg": [285.0], "mocks.b_deg": [-2.0], "mocks.pool_fields": 4.0}
    )
    return config, [simulate_pair(config, number) for number in range(150)]


def test_a_shipped_model_is_whole_and_says_what_it_is(capsys):
    for name, folder in shipped_models().items():
        assert main(["info", "--verify", str(folder)]) == 0
        assert name in capsys.readouterr().out
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        assert size <= (16 if name == "carina" else 32) * 2**20
        _, card = find_saved_model(name)
        documented = json.loads((folder / "evaluation.json").read_text())
        assert documented["model_digest"] == card.digest


def test_a_check_of_a_server_asks_for_every_signature_that_a_model_has():
    for folder in shipped_models().values():
        version, card = find_saved_model(folder)
        found = {
            name: {*signature.structured_input_signature[1]}
            for name, signature in tf.saved_model.load(str(version)).signatures.items()
        }
        assert signature_inputs(card.config) == found


def test_carina_gives_no_profile_without_a_position():
    folder, card = find_saved_model("carina")
    counts = np.ones((3, *card.config.diagrams[0].shape), np.float32)
    found = Scorer(folder).score_counts(counts, [280.0, np.nan, 280.0], [0.0, 0.0, np.inf])
    assert np.isfinite(found.extinction_median).all(axis=1).tolist() == [True, False, False]
    assert found.reliable.any(axis=1).tolist() == [True, False, False]


def test_carina_keeps_its_documented_errors_on_a_sightline_it_never_saw(fresh_pairs):
    config, pairs = fresh_pairs
    documented = json.loads(resources.files("saved_models").joinpath("carina/evaluation.json").read_text())
    folder, _ = find_saved_model("carina")
    counts, l_deg, b_deg = (
        np.array([getattr(pair, name) for pair in pairs]) for name in ("counts", "l_deg", "b_deg")
    )
    found = Scorer(folder).score_counts(counts, l_deg, b_deg).extinction_median
    truth = np.cumsum([pair.density for pair in pairs], axis=1) * config.distance.step_kpc
    for row in documented["overall"]:
        k = round(row["distance_kpc"] / config.distance.step_kpc) - 1
        error = np.abs(found[:, k] - truth[:, k]).mean()
        # 150 pairs with a few hard ones among them, at a place between the training sightlines.
        assert error < 2.0 * row["mean_absolute_error_mag"], row["distance_kpc"]


def test_a_folder_of_the_name_hides_the_shipped_model_only_if_it_is_a_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "carina").mkdir()
    (tmp_path / "carina" / "notes.txt").write_text("mine")
    assert find_saved_model("carina")[0] == shipped_models()["carina"] / "1"
    (tmp_path / "carina" / "1").mkdir()
    with pytest.raises(DataError, match="carina: no SavedModel there"):
        find_saved_model("carina")
