"""Figures of a map beside another, with the numbers of the comparison."""

import dataclasses

import numpy as np
import pytest

from extmap_tf.compare.maps import compare
from extmap_tf.errors import DataError
from extmap_tf.figures import comparison as figures
from extmap_tf.grids.squares import SightlineGrid


def a_few(found):
    """The first two positions of a comparison."""
    arrays = ("l_deg", "b_deg", "extinction_mag", "other_mag", "std_mag")
    return dataclasses.replace(found, **{name: getattr(found, name)[:2] for name in arrays})


@pytest.fixture(scope="module", params=["wide", "narrow", "across"])
def found(request, make_sure_map, make_map):
    grid = {
        "wide": SightlineGrid(257.0, 303.0, -5.0, 5.0, 2.0, 1.0),
        "narrow": SightlineGrid(206.0, 216.0, -20.5, -18.5, 1.0, 1.0),
        "across": SightlineGrid(350.0, 370.0, -2.0, 2.0, 1.0, 1.0),
    }[request.param]
    other = make_map(grid, seed=4)
    return compare(make_sure_map(grid), other, distances_kpc=(0.3, 0.6, 0.9, 1.2), name="other")


def panels(figure):
    return [axis for axis in figure.axes if axis.get_title()]


def test_values_are_drawn_against_values(found):
    axis = panels(figures.against(found))[1]
    both = np.isfinite(found.other_mag[:, 1]) & np.isfinite(found.extinction_mag[:, 1])
    points = np.stack([found.other_mag[both, 1], found.extinction_mag[both, 1]], axis=1)
    np.testing.assert_allclose(axis.collections[-1].get_offsets(), points)
    assert axis.get_title() == "0.6 kpc"
    assert axis.get_xlim() == axis.get_ylim()


def test_differences_fill_the_fields_of_the_map(found):
    figure = figures.difference(found)
    meshes = [axis.collections[0] for axis in panels(figure)]
    expected = np.full(found.grid.n_sightlines, np.nan)
    index = found.grid.sightline_of(found.l_deg, found.b_deg)
    expected[index] = (found.extinction_mag - found.other_mag)[:, 1]
    drawn = np.ma.filled(meshes[1].get_array(), np.nan)
    np.testing.assert_allclose(drawn, expected.reshape(found.grid.shape), rtol=1e-5)
    # None is blank: each has a scale of its own around zero.
    assert all(mesh.norm.vmin == -mesh.norm.vmax for mesh in meshes)
    assert all(np.abs(mesh.norm(mesh.get_array()) - 0.5).max() >= 0.5 for mesh in meshes)
    # Without empty bands: the panels take most of the page.
    figure.draw_without_rendering()
    boxes = [axis.get_window_extent() for axis in panels(figure)]
    page = figure.get_window_extent()
    assert sum(box.width * box.height for box in boxes) > 0.45 * page.width * page.height


def test_a_few_positions_are_dots_of_their_difference(found):
    few = a_few(found)
    axis = panels(figures.difference(few))[1]
    dots = axis.collections[-1]
    values = (few.extinction_mag - few.other_mag)[:, 1]
    good = np.isfinite(values)
    np.testing.assert_allclose(dots.get_array(), values[good])
    np.testing.assert_allclose(dots.get_offsets()[:, 0] % 360, few.l_deg[good] % 360)


def test_agreement_has_the_rows(found):
    left, right = figures.agreement(found).axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), [row.correlation for row in found.rows])
    np.testing.assert_allclose(left.lines[1].get_ydata(), [row.rank_correlation for row in found.rows])
    offsets = np.array([row.offset_mag for row in found.rows])
    np.testing.assert_allclose(right.lines[0].get_ydata(), offsets)
    shaded = right.collections[0].get_paths()[0].vertices[:, 1]
    assert np.isin(offsets + [row.scatter_mag for row in found.rows], shaded).all()


def test_profiles_are_drawn_side_by_side_from_zero(found):
    axis = figures.side_by_side(a_few(found)).axes[0]
    ours, theirs = axis.lines[:2]
    np.testing.assert_allclose(ours.get_ydata(), np.append(0.0, found.extinction_mag[0]))
    np.testing.assert_allclose(theirs.get_ydata(), np.append(0.0, found.other_mag[0]))


def test_all_figures_are_written_or_none(found, tmp_path):
    paths = figures.draw_comparison(found, found, a_few(found), tmp_path / "a", suffix="pdf")
    assert [path.stem for path in paths] == list(figures.FIGURES)
    assert all(path.is_file() for path in paths)
    (tmp_path / "agreement.png").write_text("mine")
    with pytest.raises(DataError, match=r"agreement\.png exists already"):
        figures.draw_comparison(found, found, a_few(found), tmp_path)
    assert not (tmp_path / "difference.png").exists()
