"""The standard set: what is in it, what is checked before anything is drawn, how it is saved."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.figures.gallery import draw_all, spread_sightlines, standard_figures
from extmap_tf.figures.profiles import profiles
from extmap_tf.figures.sky import sky
from extmap_tf.figures.style import ONE_COLUMN, TWO_COLUMNS, save
from extmap_tf.galaxy.arms import PUBLISHED, mock_arms
from extmap_tf.grids.distance import DistanceGrid


def test_the_set_is_written_whole_and_fits_the_page(sure, make_map, tmp_path):
    truth = make_map(seed=2, kind="truth")
    paths = draw_all(sure, tmp_path / "a", truth=truth, arms=True)
    names = ["face_on", "sky", "slices", "latitudes", "profiles", "trust", "errors"]
    assert [path.stem for path in paths] == names
    for path in paths:
        image = imread(path)
        assert image.shape[1] <= 200 * (TWO_COLUMNS + 0.3), path
        assert image.shape[0] <= 200 * 10.0, path
    assert [path.stem for path in draw_all(make_map(), tmp_path / "b", suffix="pdf")] == names[:5]
    assert all(path.read_bytes().startswith(b"%PDF") for path in (tmp_path / "b").iterdir())


def test_in_one_column_all_is_as_wide_as_one(sure, make_map, tmp_path):
    truth = make_map(seed=2, kind="truth")
    for path in draw_all(sure, tmp_path, truth=truth, width=ONE_COLUMN):
        assert imread(path).shape[1] <= 200 * (ONE_COLUMN + 0.3), path


def test_errors_are_curves_over_all_distances(volume, make_map):
    truth = make_map(seed=2, kind="truth")
    size, bias, _ = standard_figures(volume, truth)["errors"]().axes
    error = (volume.extinction - truth.extinction)[volume.has_profile & truth.has_profile].astype(float)
    curve = size.lines[0]
    np.testing.assert_allclose(curve.get_xdata(), volume.distance.outer_kpc)
    np.testing.assert_allclose(curve.get_ydata(), np.abs(error).mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(bias.lines[0].get_ydata(), error.mean(axis=0), rtol=1e-3, atol=1e-6)


def test_arms_over_a_mock_sky_are_those_of_its_dust(make_map):
    def local_arm(volume, truth):
        axis = standard_figures(volume, truth, arms=["Local"])["face_on"]().axes[0]
        return next(np.hypot(*line.get_data()) for line in axis.lines if line.get_label() == "Local arm")

    far = DistanceGrid(1.0, 10)
    volume, truth = make_map(distance=far), make_map(distance=far, seed=2, kind="truth")
    for arms, found in ((PUBLISHED, local_arm(volume, None)), (mock_arms(12.0), local_arm(volume, truth))):
        expected = next(arm for arm in arms if arm.name == "Local").xy_kpc()
        np.testing.assert_allclose(found, np.hypot(*expected))


def test_nothing_is_read_or_written_where_one_figure_exists(volume, tmp_path):
    def never():
        raise AssertionError("the records were read")

    (tmp_path / "sky.png").write_text("mine")
    with pytest.raises(DataError, match=r"sky\.png exists already"):
        draw_all(volume, tmp_path, cmds=never)
    with pytest.raises(DataError, match="outside the map"):
        draw_all(volume, tmp_path / "new", sightlines=[(10.0, 0.0)], cmds=never)
    assert [path.name for path in tmp_path.iterdir()] == ["sky.png"]


def test_nothing_is_written_where_one_figure_cannot_be_drawn(volume, tmp_path):
    def refused():
        raise ConfigError("records of another configuration")

    with pytest.raises(ConfigError, match="another configuration"):
        draw_all(volume, tmp_path / "new", cmds=refused)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_the_same_figure_gives_the_same_bytes(volume, tmp_path, suffix):
    for name in ("first", "second"):
        save(profiles(volume, [(258.5, 0.5)]), tmp_path / f"{name}.{suffix}", dpi=40)
    assert (tmp_path / f"first.{suffix}").read_bytes() == (tmp_path / f"second.{suffix}").read_bytes()


def test_other_formats_and_existing_files_are_refused(volume, tmp_path):
    figure = sky(volume)
    with pytest.raises(ConfigError, match=r"\.png or \.pdf, got: .*map\.jpg"):
        save(figure, tmp_path / "map.jpg")
    (tmp_path / "map.png").write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        save(figure, tmp_path / "map.png")


def test_a_band_with_a_dollar_is_text(make_sure_map, tmp_path):
    volume = make_sure_map(band="K$s", blue_band="J$")
    draw_all(volume, tmp_path)
    (axis,) = (axis for axis in sky(volume).axes if "A(" in axis.get_ylabel())
    assert axis.get_ylabel() == "A(K$s) (mag)"


def test_sightlines_are_spread_over_the_extinction(volume):
    chosen = spread_sightlines(volume, n=3)
    totals = [volume.query_gal(l, b).value[-1] for l, b in chosen]
    good = volume.extinction[..., -1][volume.has_profile]
    assert totals == sorted(totals)
    assert (totals[0], totals[-1]) == (good.min(), good.max())


def test_reading_a_map_loads_no_pictures():
    code = (
        "import sys, extmap_tf.map.volume, extmap_tf.evaluation.metrics; print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
