import dataclasses

import numpy as np
import pytest

from extmap_tf.settings.config import Config
from extmap_tf.surveys.limits import (
    error_cut_mag,
    is_deep_enough,
    is_error_allowed,
    is_faint_enough,
    is_magnitude,
)
from extmap_tf.surveys.observing import photometric_error

SURVEY = Config.named("carina").survey


@pytest.mark.parametrize("max_error_mag", [0.03, 0.15, 1.0])
@pytest.mark.parametrize("band", SURVEY.bands, ids=lambda band: band.name)
def test_a_stars_magnitude_decides_as_its_stated_error_does(band, max_error_mag):
    cuts = dataclasses.replace(SURVEY.cuts, max_error_mag=max_error_mag)
    mag = np.arange(10.0, 20.0, 1e-3)
    mag = mag[np.abs(mag - error_cut_mag(band, cuts)) > 2e-4]
    by_error = is_error_allowed(photometric_error(mag, band), cuts)
    np.testing.assert_array_equal(is_deep_enough(mag, band, cuts), by_error)
    assert 0 < by_error.mean() < 1


def test_no_star_is_deep_enough_where_the_error_floor_is_above_the_cut():
    band = dataclasses.replace(SURVEY.red, error_floor_mag=0.2)
    assert not is_deep_enough(np.array([0.0, 10.0]), band, SURVEY.cuts).any()


def test_limits_are_inclusive_and_what_is_no_number_is_outside():
    cuts = SURVEY.cuts
    assert is_error_allowed(np.float32([0.15, 0.1501, np.nan]), cuts).tolist() == [True, False, False]
    assert is_faint_enough(np.array([4.0, 3.999, np.nan]), cuts).tolist() == [True, False, False]
    assert is_faint_enough(np.array([3.6, 3.4]), cuts, shift_mag=0.5).tolist() == [True, False]
    assert is_magnitude(np.array([12.0, 99.999, -999.0, np.nan, np.inf])).tolist() == [True] + 4 * [False]
