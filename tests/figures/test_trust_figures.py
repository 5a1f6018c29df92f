"""Figures of what a map is sure of, of spiral arms, and of comparisons."""

import numpy as np
import pytest
from matplotlib.image import imread

from extmap_tf.compare.maps import compare
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.figures import comparison as compare_figures
from extmap_tf.figures import maps as figures
from extmap_tf.galaxy.arms import PUBLISHED
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.squares import SightlineGrid

NARROW = SightlineGrid(206.0, 216.0, -20.5, -18.5, 1.0, 1.0)
WIDE = SightlineGrid(257.0, 303.0, -5.0, 5.0, 2.0, 1.0)


def meshes(figure):
    return [axis.collections[0] for axis in figure.axes if axis.get_title()]


def test_intervals_and_the_reliable_distance_are_drawn_as_the_map_has_them(sure):
    figure = figures.profiles(sure, [(258.5, 0.5)])
    left, right = figure.axes
    for shade, percentiles in zip(left.collections, ((5, 95), (16, 84)), strict=True):
        low, high = sure.query_gal(258.5, 0.5, mode="percentile", percentile=percentiles).value
        y = shade.get_paths()[0].vertices[:, 1]
        assert np.isin(low.astype(float), y).all()
        assert np.isin(high.astype(float), y).all()
    low, high = sure.query_gal(258.5, 0.5, quantity="density", mode="percentile", percentile=[5, 95]).value
    shades = [patch.get_data() for patch in right.patches if patch.get_fill()]
    np.testing.assert_array_equal(shades[0].values, high)
    np.testing.assert_array_equal(shades[0].baseline, low)
    assert left.lines[-1].get_xdata()[0] == sure.reliable_distance_kpc[3, 3]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["estimate, median", "90 % interval", "68 % interval", "reliable to"]


def test_trust_shows_the_uncertainty_the_reliable_distance_and_the_doubtful_fields(make_sure_map, volume):
    sure = make_sure_map(NARROW)
    figure = figures.trust(sure, d_kpc=0.65)
    std, reliable = meshes(figure)
    expected = 0.5 * (sure.extinction_std[..., 5] + sure.extinction_std[..., 6])
    np.testing.assert_allclose(std.get_array(), expected, rtol=1e-5)
    np.testing.assert_array_equal(reliable.get_array(), sure.reliable_distance_kpc)
    marks = figure.axes[0].collections[1].get_offsets()
    np.testing.assert_allclose(marks, [[NARROW.l_deg[3], NARROW.b_deg[2]]])
    with pytest.raises(DataError, match="no uncertainty to draw"):
        figures.trust(volume)
    with pytest.raises(ConfigError, match=r"at most 1\.2, got: 3"):
        figures.trust(sure, d_kpc=3.0)


def test_arms_are_drawn_in_the_turned_frame_and_named(make_map):
    figure = figures.face_on(make_map(NARROW, DistanceGrid(0.8, 12)), arms=PUBLISHED)
    axis = next(axis for axis in figure.axes if axis.get_title())
    drawn = {line.get_label(): np.array(line.get_data()) for line in axis.lines}
    x, y = drawn["Perseus arm"]
    expected = next(arm for arm in PUBLISHED if arm.name == "Perseus").xy_kpc()
    np.testing.assert_allclose(np.hypot(x, y), np.hypot(*expected))
    turned = np.degrees(np.arctan2(*expected[::-1]) - np.arctan2(y, x))
    np.testing.assert_allclose((turned - 211.0 + 180.0) % 360.0, 180.0)
    assert len(figure.legends[0].get_texts()) == 5


def test_a_comparison_is_drawn_with_its_numbers(make_sure_map, make_map, tmp_path):
    for grid in (WIDE, NARROW, SightlineGrid(350.0, 370.0, -2.0, 2.0, 1.0, 1.0)):
        other = make_map(grid, seed=4)
        found = compare(make_sure_map(grid), other, distances_kpc=(0.3, 0.6, 0.9, 1.2), name="other")
        against = compare_figures.against(found)
        axis = against.axes[1]
        both = np.isfinite(found.other_mag[:, 1]) & np.isfinite(found.extinction_mag[:, 1])
        points = np.stack([found.other_mag[both, 1], found.extinction_mag[both, 1]], axis=1)
        np.testing.assert_allclose(axis.collections[-1].get_offsets(), points)
        difference = compare_figures.difference(found)
        colors = difference.axes[1].collections[1].get_array()
        np.testing.assert_allclose(colors, (found.extinction_mag - found.other_mag)[both, 1], rtol=1e-5)
        agreement = compare_figures.agreement(found)
        expected = [row.correlation for row in found.rows]
        np.testing.assert_allclose(agreement.axes[0].lines[0].get_ydata(), expected)
        for name, figure in (("a", against), ("d", difference), ("g", agreement)):
            figures.save(figure, tmp_path / f"{name}.png", overwrite=True, dpi=40)
            assert imread(tmp_path / f"{name}.png")[..., :3].std() > 0.01
