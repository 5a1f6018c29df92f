import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import ProfileEstimate
from extmap_tf.evaluation import metrics
from extmap_tf.figures import maps as figures
from extmap_tf.galaxy.arms import PUBLISHED, arms_named
from extmap_tf.grids.cmd import CmdGrid
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.squares import SightlineGrid

NARROW = SightlineGrid(206.0, 216.0, -20.5, -18.5, 1.0, 1.0)
WIDE = SightlineGrid(257.0, 303.0, -5.0, 5.0, 2.0, 1.0)
AROUND = SightlineGrid(0.0, 350.0, -10.0, 10.0, 10.0, 2.0)


def meshes(figure):
    return [axis.collections[0] for axis in figure.axes if axis.get_title()]


def texts(figure):
    figure.draw_without_rendering()
    return [t for axis in figure.axes for t in axis.texts if t.get_text()]


def test_every_figure_is_written_as_png_and_pdf(make_map, tmp_path):
    volume, truth = make_map(WIDE), make_map(WIDE, seed=2, kind="truth")
    rows = metrics.compare_maps(volume, truth, (0.5, 1.0)).by_total
    made = {
        "face_on": figures.face_on(volume, z_max_kpc=0.05, truth=truth),
        "sky": figures.sky(volume, d_max_kpc=0.5, truth=truth),
        "profiles": figures.profiles(volume, [(280.0, 0.0), (100.0, 0.0)], truth=truth),
        "errors": figures.errors_against_distance(rows),
    }
    for name, figure in made.items():
        figures.save(figure, tmp_path / f"{name}.png", dpi=40)
        assert imread(tmp_path / f"{name}.png")[..., :3].std() > 0.01
        figures.save(figure, tmp_path / f"{name}.pdf", dpi=40)
        assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_the_same_figure_gives_the_same_bytes(volume, tmp_path, suffix):
    for name in ("first", "second"):
        figures.save(figures.profiles(volume, [(258.5, 0.5)]), tmp_path / f"{name}.{suffix}", dpi=40)
    assert (tmp_path / f"first.{suffix}").read_bytes() == (tmp_path / f"second.{suffix}").read_bytes()


def test_other_formats_and_existing_files_are_refused(volume, tmp_path):
    figure = figures.sky(volume)
    with pytest.raises(ConfigError, match=r"\.png or \.pdf, got: .*map\.jpg"):
        figures.save(figure, tmp_path / "map.jpg")
    (tmp_path / "map.png").write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        figures.save(figure, tmp_path / "map.png")


def test_estimate_and_truth_share_one_colour_scale(make_map):
    volume, truth = make_map(WIDE), make_map(WIDE, seed=2, kind="truth")
    for figure in (figures.sky(volume, truth=truth), figures.face_on(volume, truth=truth)):
        first, second = meshes(figure)
        assert first.norm is second.norm


def test_face_on_cells_lie_at_their_longitude_and_distance(make_map):
    volume = make_map(WIDE, holes=False)
    (mesh,) = meshes(figures.face_on(volume))
    corners = mesh.get_coordinates()
    assert corners.shape == (WIDE.n_l + 1, volume.distance.n_distances + 1, 2)
    np.testing.assert_allclose(np.hypot(*np.moveaxis(corners, -1, 0))[0], volume.distance.edges_kpc)
    l_deg = np.degrees(np.arctan2(corners[:, -1, 1], corners[:, -1, 0])) % 360.0
    np.testing.assert_allclose(l_deg, np.append(WIDE.l_deg - 1.0, 304.0))
    np.testing.assert_allclose(mesh.get_array(), volume.density.mean(axis=0), rtol=1e-5)


def test_face_on_averages_only_what_is_near_the_plane(make_map):
    volume = make_map(WIDE, holes=False)
    (mesh,) = meshes(figures.face_on(volume, b_max_deg=1.0))
    np.testing.assert_allclose(mesh.get_array(), volume.density[2:4].mean(axis=0), rtol=1e-5)
    (mesh,) = meshes(figures.face_on(volume, z_max_kpc=0.01))
    z_kpc = np.abs(np.sin(np.radians(WIDE.b_deg))[:, None] * volume.distance.centers_kpc)
    near = np.where((z_kpc <= 0.01)[:, None, :], volume.density, np.nan)
    k = volume.distance.n_distances // 2
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(mesh.get_array()[:, 0], np.nanmean(near[..., 0], axis=0), rtol=1e-5)
    assert np.ma.getmaskarray(mesh.get_array())[:, k:].all() == np.isnan(near[..., k:]).all()
    with pytest.raises(ConfigError, match="widen"):
        figures.face_on(volume, b_max_deg=0.5)


def test_longitude_increases_to_the_left(volume):
    (axis,) = (axis for axis in figures.sky(volume).axes if axis.get_title())
    left, right = axis.get_xlim()
    assert left > right


def test_sky_shows_the_extinction_of_the_slice(make_map):
    volume = make_map(WIDE, holes=False)
    (mesh,) = meshes(figures.sky(volume, slices_kpc=(0.3, 0.8)))
    expected = volume.extinction[..., 7] - volume.extinction[..., 2]
    np.testing.assert_allclose(mesh.get_array(), expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(ConfigError, match=r"ascend within 0 to 1\.2 kpc"):
        figures.sky(volume, d_max_kpc=3.0)


@pytest.mark.parametrize("grid", [NARROW, WIDE, AROUND, SightlineGrid(350.0, 370.0, -2.0, 2.0, 1.0, 1.0)])
@pytest.mark.parametrize("max_kpc", [1.2, 10.0])
def test_labels_of_the_plane_do_not_overlap_or_leave_the_frame(make_map, grid, max_kpc):
    figure = figures.face_on(make_map(grid, DistanceGrid(max_kpc / 12, 12)))
    axis = next(axis for axis in figure.axes if axis.get_title())
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    frame = axis.get_window_extent()
    assert len(boxes) >= 5
    for i, (name, box) in enumerate(boxes):
        assert frame.x0 <= box.x0, name
        assert box.x1 <= frame.x1, name
        assert frame.y0 <= box.y0, name
        assert box.y1 <= frame.y1, name
        for other, second in boxes[:i]:
            assert not box.overlaps(second), (name, other)


def test_profile_without_data_says_why(volume):
    words = [text.get_text() for text in texts(figures.profiles(volume, [(258.0, -0.5), (100.0, 0.0)]))]
    assert words == ["estimate: no star in the field", "estimate: outside the sky grid"]


def test_profile_curves_are_those_of_the_map(volume):
    figure = figures.profiles(volume, [(258.5, 0.5)])
    left, right = figure.axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), np.append(0.0, volume.extinction[3, 3]))
    np.testing.assert_array_equal(right.patches[0].get_data().values, volume.density[3, 3])


def test_maps_of_different_grids_are_not_drawn_side_by_side(make_map):
    with pytest.raises(DataError, match="same grids"):
        figures.sky(make_map(WIDE), truth=make_map(NARROW, kind="truth"))


def test_errors_need_rows():
    with pytest.raises(DataError, match="no errors to draw"):
        figures.errors_against_distance([])


def test_map_of_no_data_can_be_drawn(make_map, tmp_path):
    empty = make_map(WIDE)
    profiles = ProfileEstimate.of_density(empty.density * np.nan, empty.distance.step_kpc)
    nothing = type(empty)(empty.header, profiles, empty.coverage, empty.n_stars)
    figures.save(figures.sky(nothing), tmp_path / "sky.png", dpi=40)
    figures.save(figures.face_on(nothing), tmp_path / "plane.png", dpi=40)
    figures.save(figures.profiles(nothing, [(280.0, 0.0)]), tmp_path / "profiles.png", dpi=40)
    assert len(list(tmp_path.iterdir())) == 3


def test_reading_a_map_loads_no_pictures():
    code = (
        "import sys, extmap_tf.map.volume, extmap_tf.evaluation.metrics; print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_latitude_cuts_are_columns_of_the_density(make_map):
    volume, truth = make_map(WIDE), make_map(WIDE, seed=2, kind="truth")
    figure = figures.latitude_cuts(volume, l_deg=[283.4, 257.0], truth=truth)
    drawn = meshes(figure)
    assert [axis.get_title() for axis in figure.axes if axis.get_title()] == [
        "estimate, l = 283°",
        "truth, l = 283°",
        "estimate, l = 257°",
        "truth, l = 257°",
    ]
    for mesh, (one, column) in zip(drawn, ((volume, 13), (truth, 13), (volume, 0), (truth, 0)), strict=True):
        np.testing.assert_array_equal(
            np.ma.filled(mesh.get_array(), np.nan).reshape(one.density[:, column].shape),
            one.density[:, column],
        )
    assert len({mesh.norm.vmax for mesh in drawn}) == 1
    assert len(meshes(figures.latitude_cuts(volume))) == 4
    with pytest.raises(DataError, match="l = 100 is outside the map"):
        figures.latitude_cuts(volume, l_deg=[100.0])


def test_profiles_stand_beside_their_diagrams(volume):
    diagram = CmdGrid().diagram("2MASS", "J", "Ks")
    counts = np.zeros((2, *diagram.shape))
    counts[0, 10:30, 5:9] = 3
    counts[1, 20, 20] = 400
    figure = figures.profiles(volume, [(258.5, 0.5), (257.5, 0.0)], cmds=(diagram, counts))
    first, second = (axis for axis in figure.axes if axis.get_ylabel() == "Ks (mag)")
    assert second.get_xlabel() == "J − Ks (mag)"
    for axis, image in ((first, counts[0]), (second, counts[1])):
        np.testing.assert_array_equal(
            np.ma.filled(axis.collections[0].get_array(), 0.0).reshape(diagram.shape), image
        )
        assert axis.get_ylim() == (diagram.y.edges[30], diagram.y.edges[10])
        assert axis.get_xlim() == (diagram.x.edges[5], diagram.x.edges[21])


def test_only_arms_in_the_frame_are_in_the_legend(make_map):
    figure = figures.face_on(make_map(NARROW, DistanceGrid(0.1, 20)), arms=PUBLISHED)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Local arm", "Perseus arm"]
    assert (
        figures.face_on(
            make_map(NARROW, DistanceGrid(0.1, 20)), arms=arms_named(["Outer"], PUBLISHED)
        ).legends
        == []
    )
