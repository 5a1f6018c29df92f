"""Profiles of single sightlines, their intervals, and the diagrams behind them."""

import numpy as np
import pytest

from extmap_tf.errors import ConfigError
from extmap_tf.extinction.profiles import profiles_at
from extmap_tf.figures.profiles import profiles
from extmap_tf.figures.style import ONE_COLUMN, TWO_COLUMNS
from extmap_tf.grids.diagram import Axis, Diagram
from extmap_tf.settings.config import Config


def test_curves_are_those_of_the_map(volume):
    left, right = profiles(volume, [(258.5, 0.5)]).axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), np.append(0.0, volume.extinction[3, 3]))
    np.testing.assert_allclose(right.patches[0].get_data().values, volume.density[3, 3], rtol=1e-4, atol=1e-6)
    assert left.get_ylabel() == "A(Ks) (mag)"
    assert right.get_ylabel() == "rise of A(Ks)\n(mag/kpc)"


def test_intervals_and_what_is_not_reliable_are_drawn_as_the_map_has_them(sure):
    figure = profiles(sure, [(258.5, 0.5)])
    left, right = figure.axes
    *shades, bar = left.collections
    for shade, percentiles in zip(shades, ((5, 95), (16, 84)), strict=True):
        low, high = sure.query_gal(258.5, 0.5, mode="percentile", percentile=percentiles).value
        y = shade.get_paths()[0].vertices[:, 1]
        assert np.isin(low.astype(float), y).all()
        assert np.isin(high.astype(float), y).all()
    edges = sure.distance.edges_kpc
    samples = profiles_at(sure.samples[3, 3], sure.distance, edges)
    low, high = np.percentile(np.diff(samples, axis=-1) / np.diff(edges), (5, 95), axis=0)
    shade = next(patch.get_data() for patch in right.patches if patch.get_fill())
    np.testing.assert_allclose(shade.values, high, rtol=1e-6)
    np.testing.assert_allclose(shade.baseline, low, rtol=1e-6)
    starts = [path.vertices[:, 0].min() for path in bar.get_paths()]
    np.testing.assert_allclose(starts, sure.distance.edges_kpc[:-1][~sure.reliable[3, 3]])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    known = ["estimate, median", "single profiles of it", "90 % interval", "68 % interval", "not reliable"]
    assert names == known
    legends = [profiles(sure, [(258.5, 0.5)], width=width).legends[0] for width in (ONE_COLUMN, TWO_COLUMNS)]
    assert [legend._ncols for legend in legends] == [2, 6]
    curves = [line.get_ydata()[1:] for line in left.lines[1:6]]
    np.testing.assert_array_equal(curves, sure.samples[3, 3, :5])


def test_without_samples_the_rise_has_no_interval(make_sure_map):
    _, right = profiles(make_sure_map(samples=False), [(258.5, 0.5)]).axes
    assert not any(patch.get_fill() for patch in right.patches)


def test_a_profile_without_data_says_why(volume):
    figure = profiles(volume, [(258.0, -0.5), (100.0, 0.0)])
    words = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert words == ["estimate: no star in the field", "estimate: outside the sky grid"]
    with pytest.raises(ConfigError, match="one or more sightlines"):
        profiles(volume, [])


def test_profiles_stand_beside_their_diagrams(volume):
    diagram = Diagram(
        "2MASS", Axis("magnitude", ("Ks",), 4.0, 16.0, 60), Axis("color", ("J", "Ks"), 0.0, 3.0, 30)
    )
    counts = np.zeros((2, *diagram.shape))
    counts[0, 10:30, 5:9] = 3
    counts[1, 20, 20] = 400
    figure = profiles(volume, [(258.5, 0.5), (257.5, 0.0)], cmds=[(diagram, counts)])
    first, second = (axis for axis in figure.axes if axis.get_ylabel() == "Ks (mag)")
    assert second.get_xlabel() == "J − Ks (mag)"
    y_edges, x_edges = diagram.edges
    for axis, image in ((first, counts[0]), (second, counts[1])):
        np.testing.assert_array_equal(
            np.ma.filled(axis.collections[0].get_array(), 0.0).reshape(diagram.shape), image
        )
        assert axis.get_ylim() == (y_edges[30], y_edges[10])
        assert axis.get_xlim() == (x_edges[5], x_edges[21])


def test_of_each_survey_one_diagram_is_drawn_and_near_stars_are_up(volume):
    views = Config.named("carina_gaia").views
    cmds = [(d, np.ones((1, *d.shape))) for view in views for d in view.diagrams]
    figure = profiles(volume, [(258.5, 0.5)], cmds=cmds)
    drawn = {axis.get_ylabel(): axis for axis in figure.axes}
    labels = [label for label in drawn if label in ("Ks (mag)", "parallax (mas)", "G (mag)")]
    assert labels == ["Ks (mag)", "parallax (mas)"]
    low, high = drawn["parallax (mas)"].get_ylim()
    assert low < high
    assert [drawn[label].get_title(loc="left") for label in labels] == ["2MASS", "Gaia DR3"]
