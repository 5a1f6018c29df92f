import json

import numpy as np
import pytest

from beam_jobs.graphs.refining import Refine
from beam_jobs.graphs.score_to_map import make_map
from extmap_tf.cli import main
from extmap_tf.fit import refining
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.settings.config import Config

GIVEN = {"color_mag": {"value": 0.0, "error": 0.01}}


@pytest.fixture(scope="module")
def refined(survey_records, saved_model, tmp_path_factory):
    """The network's map, a refined one with given offsets, and what was printed."""
    folder = tmp_path_factory.mktemp("refined")
    (folder / "offsets.json").write_text(json.dumps({"format": "extmap_tf offsets", "offsets": GIVEN}))
    make_map(survey_records, saved_model, folder / "plain.fits")
    refine = Refine(str(folder / "offsets.json"), law=(2.6, 0.05))
    with pytest.MonkeyPatch.context() as patch:
        # The briefly trained network sees far too much dust: what it says is refined all the same.
        patch.setattr(refining, "_LARGEST_MAG", 10.0)
        patch.setattr(refining, "_MOST_OUTSIDE", 1.0)
        make_map(survey_records, saved_model, folder / "refined.fits", n_samples=4, refine=refine)
    return folder


def test_a_refined_map_says_so_and_differs(refined):
    plain, found = (
        ExtinctionMap.read(refined / f"{name}.fits", verify=True) for name in ("plain", "refined")
    )
    assert plain.provenance.offsets == ""
    assert found.provenance.offsets.startswith("colour +0.000 +- 0.010 mag")
    assert any("the likelihood; colour" in text for _, text in found.summary())
    assert found.n_samples == 4
    assert found.provenance.law_ratio_sigma == pytest.approx(0.05)
    assert any("= 2.6000 +- 0.050" in text for _, text in found.summary())
    changed = np.abs(found.extinction - plain.extinction).max(axis=-1) > 1e-3
    assert changed.mean() > 0.5
    # What fields have in common is a part of their errors, and none of those that were not refined.
    common = found.extinction_common_std
    assert ((common > 0).all(axis=-1) == changed).all()
    assert (common[changed] < 1.2 * found.extinction_std[changed]).mean() > 0.95
    assert sorted(path.name for path in refined.iterdir()) == ["offsets.json", "plain.fits", "refined.fits"]


def test_a_belief_of_the_law_moves_its_prior(tiny_config):
    believed = Refine(law=(3.0, 0.05)).believed(tiny_config)
    assert isinstance(believed, Config)
    assert believed.nuisances.law_ratio_sigma == 0.05
    assert believed.nuisances.law_ratio_mean == pytest.approx(3.0 - 2.571, abs=0.01)
    assert Refine().believed(tiny_config) is tiny_config


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--offsets", "x.json"], "give --refine"),
        (["--refine", "--law", "3"], "--law must be RATIO,SIGMA"),
        (["--refine", "--law", "3,0"], "an error above 0"),
        (["--refine", "--offsets", "nowhere.json"], "nowhere.json: no such file"),
    ],
)
def test_wrong_options_are_one_line(options, words, survey_records, saved_model, tmp_path, capsys):
    out = tmp_path / "map.fits"
    argv = ["score", "--records", survey_records, "--model", saved_model, "--out", out, *options]
    assert main([str(word) for word in argv]) == 1
    line = capsys.readouterr().err
    assert words in line
    assert line.count("\n") == 1
    assert not out.exists()
