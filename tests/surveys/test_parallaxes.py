"""Parallaxes as a survey measures them."""

import numpy as np
import pytest

from extmap_tf.errors import ConfigError
from extmap_tf.settings.survey import Parallax
from extmap_tf.surveys.parallaxes import ParallaxOffsets, measure_parallaxes, parallax_error, zero_point

GAIA = Parallax("G", (40.0, 800.0, 30.0), 13.0, 0.76, (13.0, 16.0, 19.0), (-0.038, -0.038, -0.018))


def test_errors_are_those_of_the_published_formula():
    # PyGaia at G = 15: sqrt(40 + 800 + 30) microarcsec.
    assert parallax_error(15.0, GAIA) == pytest.approx(0.76 * 0.0295, rel=2e-3)
    z = 10 ** (0.4 * 3.0)
    assert parallax_error(18.0, GAIA) == pytest.approx(0.76e-3 * np.sqrt(40 + 800 * z + 30 * z**2))
    assert parallax_error(5.0, GAIA) == parallax_error(13.0, GAIA)


def test_measured_parallaxes_scatter_about_the_true_ones_and_the_zero_point():
    n = 40_000
    distance_kpc, mag = np.full(n, 5.0, np.float32), np.full(n, 18.0, np.float32)
    measured = measure_parallaxes(distance_kpc, mag, GAIA, np.random.default_rng(1))
    error = float(parallax_error(18.0, GAIA))
    assert measured.dtype == np.float32
    assert measured.mean() == pytest.approx(0.2 + zero_point(18.0, GAIA), abs=5 * error / n**0.5)
    assert measured.std() == pytest.approx(error, rel=0.02)
    assert (measured < 0).mean() == pytest.approx(0.05, abs=0.02)


def test_a_field_can_have_another_zero_point_and_other_errors():
    distance_kpc, mag = np.full(9, 2.0, np.float32), np.linspace(13, 18, 9, dtype=np.float32)
    plain, off = (
        measure_parallaxes(distance_kpc, mag, GAIA, np.random.default_rng(1), offsets)
        for offsets in (ParallaxOffsets(), ParallaxOffsets(0.01, np.log(2.0)))
    )
    base = 0.5 + zero_point(mag, GAIA)
    np.testing.assert_allclose(off - 0.01 - base, 2 * (plain - base), atol=1e-6)


def test_without_points_there_is_no_zero_point():
    assert zero_point(np.array([15.0]), Parallax("G", (40.0,))).tolist() == [0.0]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"error_uas2": ()}, "error_uas2 must be given where band is"),
        ({"zero_point_mas": (0.0,)}, "zero_point_mas must be as many as zero_point_mag"),
        ({"zero_point_mag": (16.0, 13.0), "zero_point_mas": (0.0, 0.0)}, "zero_point_mag must be ascending"),
    ],
)
def test_impossible_sections_are_refused(wrong, reason):
    with pytest.raises(ConfigError, match=reason):
        Parallax(**{"band": "G", "error_uas2": (40.0,), "zero_point_mag": (13.0, 16.0)} | wrong)
