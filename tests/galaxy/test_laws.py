"""Every density law passes the same invariants."""

import dataclasses

import numpy as np
import pytest

from extmap_tf.galaxy import besancon_components
from extmap_tf.galaxy.laws.base import DensityLaw
from extmap_tf.galaxy.laws.spiral_disc import SpiralDisc
from extmap_tf.galaxy.laws.thick_disc import ThickDisc
from extmap_tf.galaxy.laws.thin_disc import ThinDisc, YoungDisc


def subclasses(cls):
    return {child for sub in cls.__subclasses__() for child in (sub, *subclasses(sub))}


LAWS = sorted(subclasses(DensityLaw), key=lambda cls: cls.__name__)
every_law = pytest.mark.parametrize("law", [law() for law in LAWS], ids=lambda law: type(law).__name__)


@pytest.fixture
def points_kpc():
    """Random points of the Galaxy, x, y, z."""
    rng = np.random.default_rng(1)
    return rng.uniform(-15, 15, 4000), rng.uniform(-15, 15, 4000), rng.normal(0, 1.0, 4000)


def test_every_law_is_one_of_the_besancon_model():
    assert {type(component.law) for component in besancon_components()} <= set(LAWS)
    assert len(LAWS) >= 6


@every_law
def test_density_is_finite_and_nowhere_negative(law, points_kpc):
    density = law.relative_density(*points_kpc)
    assert np.isfinite(density).all()
    assert (density >= 0).all()


@every_law
def test_density_is_one_at_the_reference_point(law):
    assert law.relative_density(*map(np.float64, law.reference_kpc)) == pytest.approx(1.0, rel=1e-12)


@every_law
def test_density_is_defined_at_the_centre(law):
    assert np.isfinite(law.relative_density(np.float64(0), np.float64(0), np.float64(0)))


@every_law
def test_density_is_continuous(law, points_kpc):
    # Where there are stars at all, 1 pc changes no law by much: the thinnest disc is 70 pc high.
    x, y, z = points_kpc
    here = law.relative_density(x, y, z)
    for step in ((1e-3, 0, 0), (0, 1e-3, 0), (0, 0, 1e-3)):
        there = law.relative_density(x + step[0], y + step[1], z + step[2])
        assert (np.abs(there - here) <= 0.12 * np.maximum(here, there) + 1e-6).all()


@every_law
def test_mirror_images_are_alike_where_the_law_says_so(law, points_kpc):
    x, y, z = points_kpc
    same = np.allclose(law.relative_density(x, y, z), law.relative_density(x, y, -z), rtol=1e-10)
    assert same == law.mirror_z


@every_law
def test_rotation_changes_nothing_where_the_law_says_so(law, points_kpc):
    x, y, z = points_kpc
    turned = law.relative_density(x * np.cos(1) - y * np.sin(1), x * np.sin(1) + y * np.cos(1), z)
    assert np.allclose(law.relative_density(x, y, z), turned, rtol=1e-6) == law.axisymmetric


@every_law
def test_density_falls_off_far_above_the_plane(law):
    x, y = law.reference_kpc[:2]
    z = np.array([0.0, 1.0, 3.0, 10.0])
    assert (np.diff(law.relative_density(x, y, z)) <= 0).all()


def test_disc_without_warp_is_symmetric_and_round(points_kpc):
    x, y, z = points_kpc
    law = ThinDisc(warp_slope=0.0)
    density = law.relative_density(x, y, z)
    np.testing.assert_allclose(density, law.relative_density(-y, x, -z), rtol=1e-10)


def test_disc_is_warped_upwards_towards_longitude_90():
    law = ThinDisc()
    assert law.warp_height_kpc(0.0, 12.0) == pytest.approx(law.warp_slope * (12.0 - law.warp_kpc))
    assert law.warp_height_kpc(0.0, -12.0) == -law.warp_height_kpc(0.0, 12.0)
    assert law.warp_height_kpc(0.0, 8.0) == 0
    above, below = (law.relative_density(0.0, -12.0, z) for z in (0.3, -0.3))
    assert below > above


def test_flare_thickens_the_disc_and_keeps_its_surface_density():
    z = np.linspace(-6, 6, 24001)
    flat = ThinDisc(warp_slope=0.0, flare_slope_per_kpc=0.0).relative_density(12.0, 0.0, z)
    flared = ThinDisc(warp_slope=0.0, flare_slope_per_kpc=0.3).relative_density(12.0, 0.0, z)
    assert flared[12000] < 0.8 * flat[12000]
    assert flared.sum() == pytest.approx(flat.sum(), rel=1e-6)


def test_older_discs_are_thicker():
    height = np.array([0.2])
    densities = [
        ThinDisc(axis_ratio=ratio).relative_density(8.5, 0.0, height)[0] for ratio in (0.0268, 0.0551, 0.0791)
    ]
    assert densities == sorted(densities)
    assert YoungDisc().relative_density(8.5, 0.0, height)[0] < densities[0]


def test_thick_disc_joins_smoothly():
    law, step = ThickDisc(), 1e-6
    below, at, above = law.relative_density(8.5, 0.0, law.join_kpc + step * np.arange(-1, 2))
    assert (at - below) == pytest.approx(above - at, rel=1e-3)


def test_line_of_sight_is_tangent_to_an_arm_at_its_longitude():
    law = SpiralDisc()
    radius, azimuth = law.tangent_point()
    x, y = radius * np.cos(azimuth), radius * np.sin(azimuth)
    l = np.degrees(np.arctan2(y, law.sun_kpc - x)) % 360
    assert l == pytest.approx(law.tangent_deg)
    assert law.arms(x, y) == pytest.approx(1.0)
    # The line of sight touches the crest: it leaves it only to second order.
    along = np.radians(law.tangent_deg)
    for step in (-0.05, 0.05):
        near = law.arms(x - step * np.cos(along), y + step * np.sin(along))
        assert near > 1 - 1e-3


def test_spiral_arms_leave_the_local_density_and_raise_the_crest():
    law, smooth = SpiralDisc(), YoungDisc()
    radius, azimuth = law.tangent_point()
    crest = (radius * np.cos(azimuth), radius * np.sin(azimuth), 0.0)
    ratio = law.relative_density(*crest) / smooth.relative_density(*crest)
    local = 1 + law.contrast * law.arms(law.sun_kpc, 0.0)
    assert ratio == pytest.approx((1 + law.contrast) / local)
    flat = dataclasses.replace(law, contrast=0.0)
    assert flat.relative_density(*crest) == pytest.approx(smooth.relative_density(*crest))
