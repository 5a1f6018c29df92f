import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extmap_tf.figures.projection import Projection, projection_of


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 359), st.floats(-90, 90), st.booleans(), st.integers(0, 1000))
def test_a_position_comes_back_from_the_page(l0_deg, b0_deg, whole, seed):
    rng = np.random.default_rng(seed)
    l_deg, b_deg = rng.uniform(0.0, 360.0, 50), np.degrees(np.arcsin(rng.uniform(-0.999, 0.999, 50)))
    projection = Projection("MOL") if whole else Projection("ZEA", l0_deg, b0_deg)
    x, y = projection.to_plane(l_deg, b_deg)
    again_l, again_b = projection.to_sky(x, y)
    # The place opposite to the middle becomes a circle.
    known = np.hypot(x, y) < 110.0 if not whole else np.full(50, True)
    np.testing.assert_allclose(again_b[known], b_deg[known], atol=1e-5)
    off = (again_l - l_deg + 180.0) % 360.0 - 180.0
    np.testing.assert_allclose((off * np.cos(np.radians(b_deg)))[known], 0.0, atol=1e-5)


@pytest.mark.parametrize(
    "projection", [Projection("ZEA", 40.0, 70.0), Projection("ZEA", 0.0, -90.0), Projection("MOL")]
)
def test_areas_are_equal_and_l_increases_to_the_left(projection):
    step = 1e-4
    areas = []
    for l, b in ((10.0, 20.0), (60.0, 80.0), (100.0, -30.0), (250.0, -70.0)):
        corners = np.array([(l, b), (l + step, b), (l + step, b + step), (l, b + step)]).T
        x, y = projection.to_plane(*corners)
        signed = 0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)
        # Seen from inside the sphere the order of the corners is turned around.
        areas.append(-signed / np.cos(np.radians(b + 0.5 * step)))
    np.testing.assert_allclose(areas, step**2, rtol=1e-3)


def test_nothing_lies_beyond_the_sky():
    beyond = ("MOL", 170.0, 0.0), ("MOL", 150.0, 60.0), ("ZEA", 120.0, 0.0)
    for code, x, y in beyond:
        assert np.isnan(Projection(code).to_sky(np.float64(x), np.float64(y))).all()


def test_a_region_is_drawn_around_its_middle_and_the_whole_sky_around_the_centre():
    l_deg = np.arange(0.0, 360.0, 10.0)
    polar = projection_of(l_deg, np.full(36, -80.0))
    assert (polar.l_deg, polar.b_deg) == (0.0, -90.0)
    assert polar.at_a_pole
    across = projection_of(np.array([350.0, 10.0]), np.array([5.0, 5.0]))
    assert min(across.l_deg, 360.0 - across.l_deg) < 1e-9
    assert projection_of(l_deg, np.zeros(36)).whole
    assert projection_of(np.array([0.0, 0.0]), np.array([90.0, -90.0])).whole
