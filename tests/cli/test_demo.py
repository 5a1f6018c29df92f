"""The demo as a whole: every output is there, and its numbers are those of its own map and truth."""

import json

import numpy as np
import pytest
from astropy.io import fits

from extmap_tf.cli import main
from extmap_tf.demo import _tell, run_demo
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import ProfileEstimate
from extmap_tf.evaluation.metrics import evaluate
from extmap_tf.files import unfinished_folder
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.steps import Steps


@pytest.fixture(scope="module")
def config(tiny_config):
    return tiny_config.replace(**{"training.epochs": 1, "mocks.n_pairs": 160})


@pytest.fixture(scope="module")
def demo(config, tmp_path_factory):
    """(folder, what run_demo returned), of a demo that failed in its last step and was started again."""
    out = tmp_path_factory.mktemp("demo") / "demo"

    def fail(*_, **__):
        raise DataError("half-way")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("extmap_tf.figures.gallery.draw_all", fail)
        with pytest.raises(DataError, match="half-way"):
            run_demo(config, out)
        assert [path.name for path in out.parent.iterdir()] == ["demo.unfinished"]
    with pytest.MonkeyPatch.context() as patch:
        # Nothing that is done is done again.
        for step in ("_make_mocks", "train_network", "export_model", "_observe", "map_with_samples"):
            patch.setattr(f"extmap_tf.demo.{step}", fail)
        return out, run_demo(config, out)


def test_every_output_is_there_and_nothing_else_beside_it(demo):
    out, _ = demo
    assert [path.name for path in out.parent.iterdir()] == ["demo"]
    assert sorted(path.name for path in out.iterdir()) == [
        "config.toml",
        "figures",
        "map.fits",
        "mocks",
        "model",
        "sky.parquet",
        "steps.json",
        "summary.json",
        "survey",
        "training",
        "truth.fits",
    ]
    figures = sorted(path.name for path in (out / "figures").iterdir())
    names = ("errors", "face_on", "latitudes", "profiles", "sky", "slices", "trust")
    assert figures == [f"{name}.png" for name in names]
    parts = [str(out / name) for name in ("mocks", "training", "model", "survey", "map.fits", "truth.fits")]
    assert main(["info", "--verify", *parts]) == 0


def test_a_demo_of_two_surveys_tells_what_the_second_adds(config, tmp_path, capsys):
    out = tmp_path / "demo"
    run_demo(config.replace(surveys=["2mass", "gaia_dr3"]), out)
    what = "the same network from 2MASS alone"
    assert f"The same sky by {what}:" in capsys.readouterr().err
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary["errors_of_other_maps"]) == [what]
    both, alone = (ExtinctionMap.read(out / name) for name in ("map.fits", "map_from_2mass.fits"))
    assert (both.surveys == 3).all()
    assert (alone.surveys == 1).all()
    assert (out / "figures" / "surveys.png").exists()
    with fits.open(out / "map.fits") as hdus:
        # As 0.5.0 wrote it.
        del hdus["ODD_SURVEYS"]
        for hdu in hdus:
            hdu.header["EXTMAPV"] = 5
        hdus.writeto(tmp_path / "old.fits", checksum=True)
    assert not ExtinctionMap.read(tmp_path / "old.fits", verify=True).odd_surveys.any()
    assert main(["info", "--verify", str(out)]) == 0
    assert "of something else" not in capsys.readouterr().out


def test_info_tells_a_demo_and_its_parts(demo, capsys):
    out, evaluation = demo
    assert main(["info", "--verify", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(out)
    text = "\n".join(lines)
    assert f"at 1 kpc mean absolute error {evaluation.overall[0].mean_absolute_error_mag:.4f} mag" in text
    told = [line.split()[1].rstrip(":") for line in lines if line.startswith("part ")]
    assert told == sorted(path.name for path in out.iterdir())
    assert "of something else" not in text
    (out / "summary.json").rename(out / "gone")
    assert main(["info", str(out)]) == 0
    assert "not finished; start it again" in capsys.readouterr().out
    (out / "gone").rename(out / "summary.json")


def test_the_summary_is_what_the_map_and_the_truth_give(demo):
    out, evaluation = demo
    summary = json.loads((out / "summary.json").read_text())
    assert summary["errors"] == evaluation.to_dict()
    estimate, truth = (ExtinctionMap.read(out / name) for name in ("map.fits", "truth.fits"))
    assert (summary["config_digest"], summary["model_digest"]) == (
        estimate.provenance.config_digest,
        estimate.provenance.model_digest,
    )
    rows = summary["errors"]["overall"]
    assert [row["distance_kpc"] for row in rows] == [1.0, 2.0, 3.0]
    for row in rows:
        k = round(row["distance_kpc"] / estimate.distance.step_kpc) - 1
        error = (estimate.extinction[..., k].astype(float) - truth.extinction[..., k]).ravel()
        assert row["n"] == estimate.grid.n_sightlines
        assert row["mean_absolute_error_mag"] == pytest.approx(np.abs(error).mean(), rel=1e-5)
        assert row["bias_mag"] == pytest.approx(error.mean(), rel=1e-5, abs=1e-7)
        assert row["rmse_mag"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-5)
        assert row["mean_truth_mag"] == pytest.approx(truth.extinction[..., k].mean(), rel=1e-5)


def test_a_second_demo_needs_overwrite(demo, tiny_config, capsys):
    out, _ = demo
    before = (out / "summary.json").read_bytes()
    assert main(["demo", "--out", str(out)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert (out / "summary.json").read_bytes() == before


def test_a_configuration_that_the_demo_cannot_show_is_refused_before_the_work(tiny_config, tmp_path):
    near = tiny_config.replace(**{"distance.n_distances": 9})
    with pytest.raises(ConfigError, match=r"distance grid that reaches 1 kpc, got: 0\.9 kpc"):
        run_demo(near, tmp_path / "demo")
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_demo_is_resumed_by_the_same_command_alone(config, tmp_path):
    out = tmp_path / "demo"
    work = tmp_path / "demo.unfinished"
    work.mkdir()
    Steps.of(work, "demo", "another").run("mocks", "mocks", lambda: None)
    with pytest.raises(DataError, match="holds an unfinished demo of another, this one is a demo of config"):
        run_demo(config, out)
    with (
        pytest.raises(DataError, match="another run is at work there"),
        unfinished_folder(out, False, "summary.json"),
    ):
        run_demo(config, out)
    (work / "steps.json").write_text("{")
    with pytest.raises(DataError, match="damaged list of steps"):
        run_demo(config, out)
    assert [path.name for path in tmp_path.iterdir()] == ["demo.unfinished"]


def test_a_finished_demo_stays_until_the_new_one_is_done(tmp_path):
    out = tmp_path / "demo"
    for number in (1, 2):
        with unfinished_folder(out, number == 2, "summary.json") as folder:
            (folder / "summary.json").write_text(str(number))
            if number == 2:
                assert (out / "summary.json").read_text() == "1"
    assert (out / "summary.json").read_text() == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_demo_without_intervals_tells_the_errors_alone(config, capsys):
    density = np.full((3, config.distance.n_distances), 0.1)
    known = ProfileEstimate.of_density(density, config.distance.step_kpc)
    found = evaluate(known, known, np.full(3, 1000), config.distance, "Ks")
    _tell("Ks", found, {})
    out, err = capsys.readouterr()
    assert "mean |error|" in out
    assert "intervals" not in err
