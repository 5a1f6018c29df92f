import dataclasses

import numpy as np
import pytest

from extmap_tf.config import Config
from extmap_tf.survey import (
    counted_probability,
    detection_probability,
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


def test_the_chance_to_be_counted_is_that_of_drawn_stars():
    n = 200_000
    for red_mag in (14.8, 15.2, 15.6):
        red = np.full(n, red_mag, np.float32)
        index, _, _ = observe(red - 3, red, SURVEY, np.random.default_rng(5))
        chance = counted_probability(red_mag, SURVEY.red, SURVEY.cuts)
        assert index.size / n == pytest.approx(chance, abs=0.004)


@pytest.mark.parametrize("half_complete_mag", [14.0, 14.9, 17.0])
def test_beyond_the_faint_limit_one_star_in_a_thousand_is_counted(half_complete_mag):
    band = dataclasses.replace(SURVEY.red, half_complete_mag=half_complete_mag)
    limit = faint_limit_mag(band, SURVEY.cuts)
    assert counted_probability(limit, band, SURVEY.cuts) == pytest.approx(1e-3, rel=0.05)
    beyond = limit + np.linspace(0.01, 5, 100)
    assert (counted_probability(beyond, band, SURVEY.cuts) < 1e-3).all()


def test_nothing_is_counted_where_the_error_floor_is_above_the_cut():
    band = dataclasses.replace(SURVEY.red, error_floor_mag=0.2)
    assert faint_limit_mag(band, SURVEY.cuts) == -np.inf


def test_mock_stars_pass_the_cuts_of_real_ones(monkeypatch):
    def none_passes(survey, blue_mag, red_mag, blue_error_mag, red_error_mag):
        return np.zeros(blue_mag.size, bool), {}

    monkeypatch.setattr("extmap_tf.survey.apply_cuts", none_passes)
    red = np.full(100, 12.0, np.float32)
    assert observe(red, red, SURVEY, np.random.default_rng(1))[0].size == 0
