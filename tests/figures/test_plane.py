"""The view from above: each cell where it is, the dust it has, and labels that one can read."""

import numpy as np
import pytest

from extmap_tf.compare.published_clouds import TableCloud
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import ProfileEstimate
from extmap_tf.figures.dust import half_interval_in_steps
from extmap_tf.figures.plane import PlaneView, face_on
from extmap_tf.figures.style import ONE_COLUMN
from extmap_tf.galaxy.arms import PUBLISHED, arms_named
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map.volume import ExtinctionMap

NARROW = SightlineGrid(206.0, 216.0, -20.5, -18.5, 1.0, 1.0)
WIDE = SightlineGrid(257.0, 303.0, -5.0, 5.0, 2.0, 1.0)
AROUND = SightlineGrid(0.0, 350.0, -10.0, 10.0, 10.0, 2.0)
ACROSS = SightlineGrid(350.0, 370.0, -2.0, 2.0, 1.0, 1.0)


def drawn(figure):
    """Panels by title: axis and mesh."""
    return {axis.get_title(): (axis, axis.collections[0]) for axis in figure.axes if axis.get_title()}


def test_cells_lie_at_their_longitude_and_distance(make_map):
    volume = make_map(WIDE, holes=False)
    ((_, mesh),) = drawn(face_on(volume)).values()
    corners = mesh.get_coordinates()
    assert corners.shape == (WIDE.n_l + 1, volume.distance.n_distances + 1, 2)
    np.testing.assert_allclose(np.hypot(*np.moveaxis(corners, -1, 0))[0], volume.distance.edges_kpc)
    l_deg = np.degrees(np.arctan2(corners[:, -1, 1], corners[:, -1, 0])) % 360.0
    np.testing.assert_allclose(l_deg, np.append(WIDE.l_deg - 1.0, 304.0))
    np.testing.assert_allclose(mesh.get_array(), volume.density.mean(axis=0), rtol=1e-4, atol=1e-6)


def test_the_dust_adds_up_to_the_column(make_sure_map):
    """Medians of single bins would add up to less than the median column."""
    volume = make_sure_map(WIDE)
    total = volume.rise.sum(axis=-1) * volume.distance.step_kpc
    np.testing.assert_allclose(total, volume.extinction[..., -1], rtol=1e-5)
    assert np.nansum(volume.density) * volume.distance.step_kpc < 0.95 * np.nansum(total)
    _, mesh = drawn(face_on(volume))["estimate: dust seen from above"]
    np.testing.assert_allclose(mesh.get_array(), np.nanmean(volume.rise, axis=0), rtol=1e-5)


def test_the_uncertainty_is_half_the_interval_in_the_colours_of_the_dust(make_sure_map, make_map):
    volume, truth = make_sure_map(WIDE), make_map(WIDE, kind="truth")
    figure = face_on(volume, truth=truth)
    found = drawn(figure)
    titles = ["estimate: dust seen from above", "truth: dust seen from above"]
    assert list(found) == [*titles, "half its 68 % interval in one sightline"]
    estimate, true, uncertain = (mesh for _, mesh in found.values())
    half = half_interval_in_steps(volume)
    np.testing.assert_allclose(uncertain.get_array(), np.nanmean(half, axis=0), rtol=1e-5)
    rises = np.diff(volume.samples, axis=-1, prepend=0.0) / volume.distance.step_kpc
    low, high = np.percentile(rises, (16, 84), axis=2)
    np.testing.assert_allclose(half, 0.5 * (high - low), rtol=1e-4)
    assert estimate.norm is true.norm is uncertain.norm
    labels = [axis.get_ylabel() for axis in figure.axes]
    assert "rise of A(Ks) with distance (mag/kpc),\nin steps of 10 % of the distance" in labels


def test_without_samples_the_uncertainty_of_a_step_is_that_of_its_bins(make_sure_map):
    volume = make_sure_map(WIDE, samples=False)
    low, high = (volume.density_percentiles[..., volume.percentiles.index(p), :] for p in (16.0, 84.0))
    np.testing.assert_allclose(half_interval_in_steps(volume), 0.5 * (high - low), rtol=1e-5)


def test_only_what_is_near_the_plane_is_averaged(make_map):
    volume = make_map(WIDE, holes=False)
    dust = volume.rise
    ((_, mesh),) = drawn(face_on(volume, b_max_deg=1.0)).values()
    np.testing.assert_allclose(mesh.get_array(), dust[2:4].mean(axis=0), rtol=1e-5)
    ((_, mesh),) = drawn(face_on(volume, z_max_kpc=0.01)).values()
    z_kpc = np.abs(np.sin(np.radians(WIDE.b_deg))[:, None] * volume.distance.centers_kpc)
    near = np.where((z_kpc <= 0.01)[:, None, :], dust, np.nan)
    k = volume.distance.n_distances // 2
    np.testing.assert_allclose(mesh.get_array()[:, 0], np.nanmean(near[..., 0], axis=0), rtol=1e-5)
    assert np.ma.getmaskarray(mesh.get_array())[:, k:].all() == np.isnan(near[..., k:]).all()
    with pytest.raises(ConfigError, match="widen"):
        face_on(volume, b_max_deg=0.5)


@pytest.mark.parametrize("grid", [NARROW, ACROSS])
def test_a_narrow_sector_fills_the_frame_along_its_middle(make_map, grid):
    figure = face_on(make_map(grid, DistanceGrid(0.5, 20)))
    ((axis, mesh),) = drawn(figure).values()
    corners = mesh.get_coordinates()
    x, y = corners[..., 0], corners[..., 1]
    np.testing.assert_allclose(y[0], -y[-1], atol=1e-9)
    assert np.ptp(x) > 0.8 * np.ptp(axis.get_xlim())
    assert np.ptp(y) > 0.7 * np.ptp(axis.get_ylim())
    middle = 0.5 * (grid.l_min_deg + grid.l_max_deg) % 360
    along, across = axis.get_xlabel().splitlines()
    assert along == f"distance along l = {middle:g}° (kpc)"
    stretch = axis.get_aspect()
    assert (f"stretched {stretch:g} times" in across) == (stretch > 1)
    shape = np.ptp(axis.get_ylim()) * stretch / np.ptp(axis.get_xlim())
    assert shape > 0.2


@pytest.mark.parametrize("grid", [NARROW, WIDE, AROUND, ACROSS])
@pytest.mark.parametrize("max_kpc", [1.2, 10.0])
@pytest.mark.parametrize("beside", [False, True])
def test_labels_do_not_overlap_or_leave_the_frame(make_map, grid, max_kpc, beside):
    distance = DistanceGrid(max_kpc / 12, 12)
    truth = make_map(grid, distance, kind="truth") if beside else None
    figure = face_on(make_map(grid, distance), truth=truth)
    figure.draw_without_rendering()
    axis, _ = drawn(figure)["estimate: dust seen from above"]
    boxes = [(text.get_text(), text.get_window_extent()) for text in axis.texts if text.get_text()]
    frame = axis.get_window_extent()
    assert len(boxes) >= 5
    for i, (name, box) in enumerate(boxes):
        assert frame.x0 <= box.x0, name
        assert box.x1 <= frame.x1, name
        assert frame.y0 <= box.y0, name
        assert box.y1 <= frame.y1, name
        for other, second in boxes[:i]:
            assert not box.overlaps(second), (name, other)


def test_only_arms_in_the_frame_are_drawn_each_with_its_name(make_map):
    def names(arms):
        ((axis, _),) = drawn(face_on(volume, arms=arms)).values()
        words = [text.get_text() for text in axis.texts]
        return [arm.name for arm in PUBLISHED if arm.name in words]

    volume = make_map(NARROW, DistanceGrid(0.1, 20))
    assert names(PUBLISHED) == ["Local"]
    assert names(arms_named(["Outer"], PUBLISHED)) == []
    volume = make_map(WIDE, DistanceGrid(0.5, 20))
    assert names(PUBLISHED) == [arm.name for arm in PUBLISHED]


def test_published_clouds_stand_at_their_distance_with_its_error(make_map):
    volume = make_map(WIDE, DistanceGrid(0.5, 20))
    clouds = {
        "A": TableCloud(2.0, 0.3, 280.0, 0.0),
        "far": TableCloud(20.0, 0.3, 280.0, 0.0),
        "elsewhere": TableCloud(2.0, 0.3, 10.0, 0.0),
        "no place": TableCloud(2.0, 0.3),
    }
    ((axis, _),) = drawn(face_on(volume, clouds=clouds)).values()
    assert {"A", "far", "elsewhere", "no place"} & {text.get_text() for text in axis.texts} == {"A"}
    toward = np.array([np.cos(np.radians(280.0)), np.sin(np.radians(280.0))])
    np.testing.assert_allclose(axis.collections[1].get_offsets(), [2.0 * toward])
    bars = [line.get_xydata() for line in axis.lines if len(line.get_xdata()) == 2]
    assert any(
        np.allclose(np.hypot(*bar.T), [1.7, 2.3]) and np.allclose(bar[0], 1.7 * toward) for bar in bars
    )
    with pytest.raises(ConfigError, match="no published cloud is inside the map"):
        face_on(volume, clouds={"no place": TableCloud(2.0, 0.3)})


def test_one_column_is_as_wide_as_one(make_sure_map):
    for grid in (NARROW, WIDE, AROUND):
        figure = face_on(make_sure_map(grid), width=ONE_COLUMN)
        assert figure.get_figwidth() <= ONE_COLUMN + 0.1


def test_arms_are_drawn_in_the_turned_frame_and_named(make_map):
    figure = face_on(make_map(NARROW, DistanceGrid(0.8, 12)), arms=PUBLISHED)
    ((axis, _),) = drawn(figure).values()
    lines = {line.get_label(): np.array(line.get_data()) for line in axis.lines}
    x, y = lines["Perseus arm"]
    expected = next(arm for arm in PUBLISHED if arm.name == "Perseus").xy_kpc()
    np.testing.assert_allclose(np.hypot(x, y), np.hypot(*expected))
    turned = np.degrees(np.arctan2(*expected[::-1]) - np.arctan2(y, x))
    np.testing.assert_allclose((turned - 211.0 + 180.0) % 360.0, 180.0)


def test_a_place_is_found_in_its_cell(make_map):
    volume = make_map(ACROSS)
    view = PlaneView.of(volume)
    l_deg, d_kpc = np.array([350.0, 5.4, 30.0, 0.0]), np.array([0.05, 0.75, 0.5, 5.0])
    x, y = d_kpc * np.cos(np.radians(l_deg)), d_kpc * np.sin(np.radians(l_deg))
    column, k, inside = view.cells_at(x, y)
    assert inside.tolist() == [True, True, False, False]
    assert column[:2].tolist() == [0, 15]
    assert k[:2].tolist() == [0, 7]


def test_maps_of_different_grids_are_not_drawn_side_by_side(make_map):
    with pytest.raises(DataError, match="same grids"):
        face_on(make_map(WIDE), truth=make_map(NARROW, kind="truth"))


def test_a_map_of_no_data_is_grey(make_map):
    full = make_map(WIDE)
    profiles = ProfileEstimate.of_density(full.density * np.nan, full.distance.step_kpc)
    nothing = ExtinctionMap(full.header, profiles, full.coverage, full.n_stars)
    ((_, mesh),) = drawn(face_on(nothing)).values()
    assert np.ma.getmaskarray(mesh.get_array()).all()
