import numpy as np
import pytest

from extmap_tf.extinction.dust import DustCube, draw_dust, relative_density
from extmap_tf.galaxy.arms import mock_arms
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.regions import SkyRegion
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.mocks.sky import TILE_DEG
from extmap_tf.settings.config import Config
from extmap_tf.settings.dust import DustConfig

SKY = SightlineGrid(281, 283, -1, 1, 0.5, 0.5)
GRID = DistanceGrid(0.1, 80)


def test_same_seed_same_dust_and_other_clouds_with_another():
    dust = Config.named("carina").dust
    first, again, other = (draw_dust(dust, SKY, GRID, seed).density for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first >= 0).all()


def test_smooth_dust_falls_away_from_the_plane_with_the_scale_height():
    dust = DustConfig(arm_contrast=0.0)
    d_kpc = 1.0
    b = np.degrees(np.arcsin(0.12))
    ratio = relative_density(dust, 90.0, b, d_kpc) / relative_density(dust, 90.0, 0.0, d_kpc)
    assert ratio == pytest.approx(np.exp(-0.12 / dust.scale_height_kpc), rel=0.01)


def test_the_carina_arm_stands_out_along_its_tangent():
    dust = DustConfig(arm_contrast=4.0, arm_width_kpc=0.25)
    l_deg, d_kpc = np.arange(275, 295, 0.5)[:, None], np.arange(0.05, 8, 0.1)
    plain = relative_density(DustConfig(arm_contrast=0.0), l_deg, 0.0, d_kpc)
    contrast = relative_density(dust, l_deg, 0.0, d_kpc) / plain
    assert contrast.max() == pytest.approx(1 + dust.arm_contrast, rel=0.01)
    assert contrast.min() < 1.1
    # The longest way inside the arm is where the line of sight touches it: about l = 282 (Carina).
    tangent = l_deg[np.argmax((contrast > 3).sum(axis=1)), 0]
    assert 278 <= tangent <= 290


WIDE = SightlineGrid(265, 295, -3, 3, 1.0, 1.0)
PATCH = HealpixGrid(32, (SkyRegion(l_deg=280.0, b_deg=0.0, radius_deg=8.0),))
POLE = HealpixGrid(32, (SkyRegion(b_deg=90.0, radius_deg=10.0),))


def mean_columns(clouds_per_deg2, sky, distance_kpc):
    """Mean A(red) over a sky, smooth and clouds, at distances in kpc."""
    density = draw_dust(DustConfig(clouds_per_deg2=clouds_per_deg2), sky, GRID, 1).field_density(sky)
    cumulative = GRID.step_kpc * np.cumsum(density.reshape(-1, GRID.n_distances), axis=1).mean(axis=0)
    return cumulative[[round(d / GRID.step_kpc) - 1 for d in distance_kpc]]


@pytest.mark.parametrize("sky", [WIDE, PATCH])
def test_clouds_add_in_proportion_to_their_number_and_to_the_smooth_dust(sky):
    smooth, some, many = (mean_columns(n, sky, [1.0, 4.0, 8.0]) for n in (0.0, 0.6, 6.0))
    # Near the Sun a region holds few clouds; further out their number evens out.
    assert some[0] < 3 * smooth[0]
    assert 1.2 < (some / smooth)[2] < 2.2
    assert (many - smooth)[1:] == pytest.approx(10 * (some - smooth)[1:], rel=0.5)
    assert (many - smooth)[2] / (many - smooth)[1] == pytest.approx(smooth[2] / smooth[1], rel=0.3)


def test_no_clouds_where_there_is_no_dust_for_them():
    assert mean_columns(0.6, POLE, [8.0])[0] < 1.2 * mean_columns(0.0, POLE, [8.0])[0]


def test_stars_behind_all_dust_see_the_whole_column():
    cube = draw_dust(DustConfig(), SKY, GRID, 1)
    l, b = cube.l_deg[10], cube.b_deg[12]
    total = cube.density[12, 10].sum() * GRID.step_kpc
    at = cube.cumulative_at(np.array([l, l, l]), np.array([b, b, b]), np.array([0.0, 8.0, 50.0]))
    np.testing.assert_allclose(at, [0.0, total, total], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("l_min_deg", [0.2, 281.0, 359.7])
def test_stars_just_outside_the_first_sightline_see_its_dust(l_min_deg):
    cube = linear_cube(l_min_deg + np.arange(20) / 10, slope_l=1.0)
    first, last = cube.l_deg[0], cube.l_deg[-1]
    l = np.mod([first - 1e-9, first, first - 0.3, last, last + 0.3], 360.0)
    at = cube.cumulative_at(l, np.zeros(5), np.full(5, 9.0))
    np.testing.assert_allclose(at, [1.0, 1.0, 1.0, 1.0 + 1.9, 1.0 + 1.9], atol=1e-4)


def linear_cube(l_deg, slope_l, slope_b=0.0):
    """Density 1 at the first longitude and b = 0, changing linearly; one bin of 1 kpc."""
    b_deg = -2 + np.arange(41) / 10
    density = 1 + slope_l * (l_deg - l_deg[0]) + slope_b * b_deg[:, None]
    return DustCube(l_deg, b_deg, 1.0, density[..., None].astype(np.float32))


def test_the_arms_that_are_drawn_are_those_that_made_the_dust():
    dust = DustConfig(arm_contrast=6.0, scale_length_kpc=1e3)
    for arm in mock_arms(dust.pitch_deg):
        x, y = arm.xy_kpc(np.linspace(-60.0, 60.0, 50))
        ridge = relative_density(dust, np.degrees(np.arctan2(y, x)), 0.0, np.hypot(x, y))
        assert ridge == pytest.approx(7.0, rel=0.02)


def test_dust_reaches_as_far_as_the_mock_skys_stars():
    for sky in (SightlineGrid(281, 283, -1, 1, 0.5, 0.5), SightlineGrid(100, 101, 70, 71, 0.5, 1.5)):
        cube = draw_dust(DustConfig(clouds_per_deg2=0.0), sky, DistanceGrid(1.0, 2), 1)
        tiles = np.array([(tile.l_deg, tile.b_deg) for tile in sky.tiles(TILE_DEG)])
        for axis, at in ((cube.l_deg, tiles[:, 0]), (cube.b_deg, tiles[:, 1])):
            assert axis[0] <= at.min() - 0.5 * TILE_DEG + 1e-9
            assert axis[-1] >= at.max() + 0.5 * TILE_DEG - 1e-9


def test_a_fields_truth_is_the_mean_over_the_field():
    cube = draw_dust(DustConfig(), SKY, GRID, 1)
    truth = cube.field_density(SKY)
    assert truth.shape == (*SKY.shape, 80)
    l, b = np.meshgrid(cube.l_deg, cube.b_deg)
    l0, b0 = SKY.l_deg[2], SKY.b_deg[1]
    inside = (np.abs((l - l0) * np.cos(np.radians(b0))) < 0.25) & (np.abs(b - b0) < 0.25)
    np.testing.assert_allclose(truth[1, 2], cube.density[inside].mean(axis=0), rtol=0.1)


def test_a_fields_truth_is_centred_on_the_field():
    cube = linear_cube(280.03 + np.arange(40) / 10, slope_l=1.0, slope_b=1.0)
    sky = SightlineGrid(281.0, 282.9, -1.0, 1.0, 0.1, 0.5)
    truth = cube.field_density(sky)[..., 0]
    np.testing.assert_allclose(truth, 1 + (sky.l_deg - 280.03) + sky.b_deg[:, None], atol=1e-5)
