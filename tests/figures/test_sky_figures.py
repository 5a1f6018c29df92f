"""A map on the sky, in slices, in cuts of latitude, and what is sure of it."""

import itertools

import numpy as np
import pytest

from extmap_tf.compare.published_clouds import TableCloud
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.figures.dust import rise_in_steps, step_bins
from extmap_tf.figures.sky import latitude_cuts, sky, slices
from extmap_tf.figures.trust import reliable_share, trust
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.squares import SightlineGrid


def meshes(figure):
    return [axis.collections[0] for axis in figure.axes if axis.get_title()]


def titles(figure):
    return [axis.get_title() for axis in figure.axes if axis.get_title()]


def bar_labels(figure):
    return [axis.get_ylabel() for axis in figure.axes if not axis.get_title() and axis.get_ylabel()]


def test_longitude_increases_to_the_left(volume):
    (axis,) = (axis for axis in sky(volume).axes if axis.get_title())
    left, right = axis.get_xlim()
    assert left > right


def test_the_sky_shows_the_extinction_to_a_distance_on_one_scale(make_map, wide):
    volume, truth = make_map(wide, holes=False), make_map(wide, seed=2, kind="truth")
    figure = sky(volume, d_max_kpc=0.8, truth=truth)
    assert titles(figure) == ["estimate, 0 to 0.8 kpc", "truth, 0 to 0.8 kpc"]
    first, second = meshes(figure)
    np.testing.assert_allclose(first.get_array(), volume.extinction[..., 7], rtol=1e-4, atol=1e-6)
    assert first.norm is second.norm
    assert bar_labels(figure) == ["A(Ks) (mag)"]
    with pytest.raises(ConfigError, match=r"ascend within 0 to 1\.2 kpc"):
        sky(volume, d_max_kpc=3.0)


def test_each_slice_has_a_scale_of_its_own_shared_with_the_truth(make_map, wide):
    volume, truth = make_map(wide, holes=False), make_map(wide, seed=2, kind="truth")
    figure = slices(volume, (0.0, 0.1, 1.2), truth=truth)
    near, near_truth, far, far_truth = meshes(figure)
    np.testing.assert_allclose(near.get_array(), volume.extinction[..., 0], rtol=1e-4, atol=1e-6)
    expected = truth.extinction[..., 11] - truth.extinction[..., 0]
    np.testing.assert_allclose(far_truth.get_array(), expected, rtol=1e-4, atol=1e-6)
    assert near.norm is near_truth.norm
    assert far.norm is far_truth.norm
    # The near slice is not blank: its brightest fields have the darkest colour.
    assert near.norm.vmax < 0.7 * far.norm.vmax
    assert near.norm(near.get_array()).max() >= 1.0
    assert bar_labels(figure).count("A(Ks) (mag)") == 2
    assert len(bar_labels(slices(volume, (0.0, 0.1, 1.2)))) >= 2
    with pytest.raises(ConfigError, match=r"ascend within 0 to 1\.2 kpc"):
        slices(volume, (0.5, 0.1))


def test_beside_a_slice_is_half_its_interval_in_the_same_colours(make_sure_map, narrow, wide):
    sure = make_sure_map(narrow)
    near, near_half, far, far_half = meshes(slices(sure, (0.0, 0.1, 1.2)))
    rises = np.diff(sure.samples[..., [0, 11]], axis=-1)[..., 0]
    low, high = np.percentile(rises, (16, 84), axis=-1)
    drawn = np.ma.filled(far_half.get_array(), np.nan)
    np.testing.assert_allclose(drawn, 0.5 * (high - low), rtol=1e-5)
    assert far_half.norm is far.norm
    assert near_half.cmap.name == near.cmap.name
    # Without samples it is known from the Sun on only.
    bare = make_sure_map(narrow, samples=False)
    assert "half its 68 % interval" in titles(sky(bare))
    assert len(meshes(slices(bare, (0.0, 0.1, 1.2)))) == 2
    # Nor where three panels beside one another would be too low.
    truth = make_sure_map(wide)
    assert len(meshes(slices(truth, (0.0, 0.1, 1.2), truth=truth))) == 4


def test_doubtful_fields_are_marked_and_set_no_scale(make_sure_map, narrow):
    sure = make_sure_map(narrow)
    good = sure.has_profile & (sure.flag == 0)
    figure = sky(sure)
    first, _ = meshes(figure)
    assert first.norm.vmax == pytest.approx(np.percentile(sure.extinction[good][:, -1], 99.5), rel=1e-4)
    marks = figure.axes[0].collections[1].get_offsets()
    np.testing.assert_allclose(marks, [[narrow.l_deg[3], narrow.b_deg[2]]])
    assert figure.legends[0].get_texts()[0].get_text().startswith("doubtful")


def test_steps_grow_with_distance_and_keep_the_column(make_map):
    distance = DistanceGrid(0.1, 100)
    bins = step_bins(100)
    assert (bins[0], bins[-1]) == (0, 100)
    assert np.diff(bins).tolist()[:11] == [2] * 11
    assert (np.diff(bins)[11:] >= 0.1 * bins[11:-1] - 1).all()
    assert step_bins(12).tolist() == list(range(13))
    volume = make_map(SightlineGrid(0.0, 2.0, 0.0, 1.0, 1.0, 1.0), distance, holes=False)
    dust = rise_in_steps(volume)
    np.testing.assert_allclose(dust.sum(axis=-1) * 0.1, volume.extinction[..., -1], rtol=1e-5)
    for first, last in itertools.pairwise(bins):
        assert (dust[..., first:last] == dust[..., first : first + 1]).all()


def test_latitude_cuts_are_columns_of_the_dust(make_map, wide):
    volume, truth = make_map(wide), make_map(wide, seed=2, kind="truth")
    figure = latitude_cuts(volume, l_deg=[283.4, 257.0], truth=truth)
    assert titles(figure) == [
        "estimate, l = 283°",
        "truth, l = 283°",
        "estimate, l = 257°",
        "truth, l = 257°",
    ]
    drawn = meshes(figure)
    for mesh, (one, column) in zip(drawn, ((volume, 13), (truth, 13), (volume, 0), (truth, 0)), strict=True):
        np.testing.assert_array_equal(np.ma.filled(mesh.get_array(), np.nan), rise_in_steps(one)[:, column])
    assert len({mesh.norm.vmax for mesh in drawn}) == 1
    assert "rise of A(Ks) with distance (mag/kpc), in steps of 10 % of the distance" in bar_labels(figure)
    assert len(meshes(latitude_cuts(volume))) == 4
    with pytest.raises(DataError, match="l = 100 is outside the map"):
        latitude_cuts(volume, l_deg=[100.0])


def test_trust_shows_the_uncertainty_where_it_is_reliable_and_the_doubtful_fields(
    make_sure_map, volume, narrow
):
    sure = make_sure_map(narrow)
    figure = trust(sure, d_kpc=0.65)
    std, reliable, below = meshes(figure)
    expected = 0.5 * (sure.extinction_std[..., 5] + sure.extinction_std[..., 6])
    np.testing.assert_allclose(std.get_array(), expected, rtol=1e-5)
    often = np.where(sure.has_profile, 100.0 * sure.reliable.mean(axis=-1), np.nan)
    np.testing.assert_allclose(np.ma.filled(reliable.get_array(), np.nan), often)
    assert {"standard deviation (mag)", "share (%)"} <= set(bar_labels(figure))
    marks = figure.axes[0].collections[1].get_offsets()
    np.testing.assert_allclose(marks, [[narrow.l_deg[3], narrow.b_deg[2]]])
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told == ["doubtful: field unlike the training diagrams"]
    # Below, by latitude and distance.
    b_edges, share = reliable_share(sure)
    np.testing.assert_allclose(b_edges, np.append(narrow.b_deg - 0.5, narrow.b_deg[-1] + 0.5))
    good = sure.has_profile
    expected = [sure.reliable[row][good[row]].mean(axis=0) for row in range(narrow.n_b)]
    np.testing.assert_allclose(share, expected)
    np.testing.assert_allclose(below.get_array(), 100.0 * share)
    with pytest.raises(DataError, match="no uncertainty to draw"):
        trust(volume)
    with pytest.raises(ConfigError, match=r"at most 1\.2, got: 3"):
        trust(sure, d_kpc=3.0)


def test_a_sector_across_zero_stays_in_one_piece(make_map):
    grid = SightlineGrid(350.0, 370.0, -2.0, 2.0, 1.0, 1.0)
    figure = sky(make_map(grid))
    figure.draw_without_rendering()
    (axis,) = (axis for axis in figure.axes if axis.get_title())
    assert axis.get_xlim() == (370.5, 349.5)
    labels = [text.get_text() for text in axis.get_xticklabels()]
    assert "0" in labels
    assert not any(float(label) > 360 for label in labels if label)


def test_clouds_stand_in_the_slice_of_their_distance(make_map, wide):
    clouds = {
        "near": TableCloud(0.05, l_deg=270.0, b_deg=1.0),
        "far": TableCloud(0.5, l_deg=280.0, b_deg=-1.0),
    }
    figure = slices(make_map(wide), (0.0, 0.1, 1.2), clouds=clouds)
    named = {axis.get_title(): [text.get_text() for text in axis.texts] for axis in figure.axes if axis.texts}
    assert named == {"estimate, 0 to 0.1 kpc": ["near"], "estimate, 0.1 to 1.2 kpc": ["far"]}
    axis = next(axis for axis in figure.axes if axis.texts)
    np.testing.assert_allclose(axis.collections[1].get_offsets(), [[270.0, 1.0]])


def test_a_strip_around_the_sky_is_stretched_so_that_one_sees_it(make_map):
    grid = SightlineGrid(0.0, 358.0, -4.0, 4.0, 2.0, 2.0)
    figure = sky(make_map(grid))
    figure.draw_without_rendering()
    (axis,) = (axis for axis in figure.axes if axis.get_title())
    box = axis.get_window_extent()
    assert box.height > 0.1 * box.width
    assert axis.get_xlabel() == "Galactic longitude l (deg); b is stretched 5 times"
