import numpy as np
import pytest

from extmap_tf.config import Config
from extmap_tf.survey import (
    detection_probability,
    error_cut_mag,
    faint_limit_mag,
    observe,
    photometric_error,
)

SURVEY = Config.named("demo").survey


def test_error_has_the_floor_and_snr_10_where_they_are_stated():
    band = SURVEY.red
    assert photometric_error(5.0, band) == pytest.approx(band.error_floor_mag, rel=1e-3)
    at_snr10 = photometric_error(band.snr10_mag, band)
    assert at_snr10 == pytest.approx(np.hypot(0.10857, band.error_floor_mag), rel=1e-4)


def test_error_cut_is_where_the_error_reaches_it():
    for band in (SURVEY.blue, SURVEY.red):
        cut = error_cut_mag(band, SURVEY.cuts)
        assert photometric_error(cut, band) == pytest.approx(SURVEY.cuts.max_error_mag, rel=1e-6)


def test_half_the_stars_are_detected_at_the_half_complete_magnitude():
    assert detection_probability(SURVEY.red.half_complete_mag, SURVEY.red) == 0.5
    assert detection_probability(8.0, SURVEY.red) == pytest.approx(1.0)


def test_observed_magnitudes_scatter_as_the_errors_say():
    n = 100_000
    rng = np.random.default_rng(3)
    blue, red = np.full(n, 14.0, np.float32), np.full(n, 13.0, np.float32)
    index, blue_seen, red_seen = observe(blue, red, SURVEY, rng)
    assert index.size == pytest.approx(n, rel=0.01)
    for seen, true, band in ((blue_seen, 14.0, SURVEY.blue), (red_seen, 13.0, SURVEY.red)):
        assert seen.mean() == pytest.approx(true, abs=5e-4)
        assert seen.std() == pytest.approx(photometric_error(true, band), rel=0.02)


def test_no_star_beyond_the_faint_limit_or_the_cuts_is_seen():
    rng = np.random.default_rng(4)
    red = rng.uniform(3, 20, 200_000).astype(np.float32)
    index, blue_seen, red_seen = observe(red + 0.5, red, SURVEY, rng)
    assert (red[index] < faint_limit_mag(SURVEY.red, SURVEY.cuts)).all()
    assert (photometric_error(blue_seen, SURVEY.blue) <= SURVEY.cuts.max_error_mag * (1 + 1e-5)).all()
    assert (photometric_error(red_seen, SURVEY.red) <= SURVEY.cuts.max_error_mag * (1 + 1e-5)).all()
    assert red_seen.min() >= SURVEY.cuts.bright_mag


def test_the_faint_limit_loses_next_to_no_star():
    limit = faint_limit_mag(SURVEY.red, SURVEY.cuts)
    chance = detection_probability(limit, SURVEY.red)
    sigma = photometric_error(limit, SURVEY.red)
    beyond = (limit - error_cut_mag(SURVEY.red, SURVEY.cuts)) / sigma
    assert chance < 1 / 400 or beyond > 1.5
