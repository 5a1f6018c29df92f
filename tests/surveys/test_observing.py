import dataclasses

import numpy as np
import pytest

from extmap_tf.catalogs.cuts import apply_cuts
from extmap_tf.settings.config import Config
from extmap_tf.settings.survey import Band, Cuts
from extmap_tf.surveys.limits import error_cut_mag
from extmap_tf.surveys.observing import (
    counted_probability,
    crowding_loss_mag,
    detection_probability,
    faint_limit_mag,
    observe,
    photometric_error,
    reach_mag,
)

SURVEY = Config.named("carina").survey
AREA_DEG2 = 1000.0  # So large that no field here is crowded.


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
    seen = observe({"J": blue, "Ks": red}, SURVEY, AREA_DEG2, rng)
    assert seen.index.size == pytest.approx(n, rel=0.01)
    for mag, true, band in zip(seen.magnitudes.values(), (14.0, 13.0), SURVEY.bands, strict=True):
        assert mag.mean() == pytest.approx(true, abs=5e-4)
        assert mag.std() == pytest.approx(photometric_error(true, band), rel=0.02)


def test_no_star_beyond_the_faint_limit_or_the_cuts_is_seen():
    rng = np.random.default_rng(4)
    red = rng.uniform(3, 20, 200_000).astype(np.float32)
    seen = observe({"J": red + 0.5, "Ks": red}, SURVEY, AREA_DEG2, rng)
    assert (red[seen.index] < faint_limit_mag(SURVEY.red, SURVEY.cuts)).all()
    for band in SURVEY.bands:
        mag, error = seen.magnitudes[band.name], seen.errors[band.name]
        np.testing.assert_allclose(error, photometric_error(mag, band), rtol=1e-5)
        assert error.max() <= SURVEY.cuts.max_error_mag * (1 + 1e-5)
    assert seen.magnitudes["Ks"].min() >= SURVEY.cuts.bright_mag


def test_the_chance_to_be_counted_is_that_of_drawn_stars():
    n = 200_000
    for red_mag in (14.8, 15.2, 15.5):
        red = np.full(n, red_mag, np.float32)
        seen = observe({"J": red - 3, "Ks": red}, SURVEY, AREA_DEG2, np.random.default_rng(5))
        chance = counted_probability(red_mag, SURVEY.red, SURVEY.cuts)
        assert seen.index.size / n == pytest.approx(chance, abs=0.004)


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


def test_mock_stars_are_cut_as_real_ones_are():
    bright_and_noisy = dataclasses.replace(SURVEY, cuts=Cuts(max_error_mag=0.06, bright_mag=13.5))
    uncut = dataclasses.replace(SURVEY, cuts=Cuts(max_error_mag=1.0, bright_mag=0.0))
    red = np.random.default_rng(1).uniform(12, 15, 20_000).astype(np.float32)
    observed = [
        observe({"J": red + 0.5, "Ks": red}, survey, AREA_DEG2, np.random.default_rng(2))
        for survey in (bright_and_noisy, uncut)
    ]
    seen, everything = observed
    cuts, bands = bright_and_noisy.cuts, ("J", "Ks")
    kept, _ = apply_cuts(cuts, bands, everything.magnitudes, everything.errors)
    assert 0.1 < kept.mean() < 0.9
    kept_of_seen, _ = apply_cuts(cuts, bands, seen.magnitudes, seen.errors)
    assert kept_of_seen.all()
    assert seen.index.size == pytest.approx(np.count_nonzero(kept), rel=0.02)


def test_crowded_fields_lose_depth_as_stated():
    limit, start = SURVEY.crowding.limit_mag, SURVEY.crowding.log10_stars_per_deg2
    bright = np.full(int(10 ** (start + 1)), limit - 1, np.float32)
    faint = np.full(10**6, limit + 0.5, np.float32)
    for area_deg2, loss in ((1.0, SURVEY.crowding.loss_mag_per_dex), (10.0, 0.0), (100.0, 0.0)):
        found = crowding_loss_mag(np.concatenate([bright, faint]), SURVEY, area_deg2)
        assert found == pytest.approx(loss, abs=1e-4)
    assert crowding_loss_mag(faint, SURVEY, 1e-9) <= 10


def test_a_shift_of_the_depth_acts_as_fainter_stars_do():
    rng = np.random.default_rng(6)
    red = rng.uniform(12, 16, 200_000).astype(np.float32)
    stars, rng = {"J": red + 0.6, "Ks": red}, np.random.default_rng(7)
    shifted = observe(stars, SURVEY, AREA_DEG2, rng, depth_shift_mag=0.4)
    plain = observe({"J": red + 0.2, "Ks": red - 0.4}, SURVEY, AREA_DEG2, np.random.default_rng(7))
    assert shifted.index.size == pytest.approx(plain.index.size, rel=1e-3)
    same = np.intersect1d(shifted.index, plain.index)
    assert same.size > 0.999 * plain.index.size


def test_dense_mock_fields_are_seen_less_deep():
    rng = np.random.default_rng(8)
    red = np.concatenate([np.full(60_000, 13.0), rng.uniform(14.2, 15.6, 60_000)]).astype(np.float32)
    seen = [
        observe({"J": red + 0.3, "Ks": red}, SURVEY, area_deg2, np.random.default_rng(9)).magnitudes["Ks"]
        for area_deg2 in (100.0, 1.0)
    ]
    faint = [np.quantile(mag, 0.99) for mag in seen]
    assert faint[0] - faint[1] == pytest.approx(np.log10(6.0) * SURVEY.crowding.loss_mag_per_dex, abs=0.1)


GAIA_LIKE = Band("BP", 0.511, 0.001, 20.98, 21.3, 0.3, photon_error_mag=0.02, faint_mag=17.0)


def test_errors_of_photons_and_sky_are_those_that_gaia_publishes():
    # Means of DR3 for BP from 15 to 20, mmag.
    published = np.array([1.3, 2.3, 4.6, 9.5, 21.0, 44.0])
    ours = 1e3 * photometric_error(np.arange(15.0, 21.0), GAIA_LIKE)
    np.testing.assert_allclose(ours, published, rtol=0.2, atol=0.6)


def test_the_cut_in_error_is_where_the_error_with_photons_reaches_it():
    cuts = Cuts(max_error_mag=0.15)
    cut_mag = error_cut_mag(GAIA_LIKE, cuts)
    assert photometric_error(cut_mag, GAIA_LIKE) == pytest.approx(0.15, rel=1e-6)
    assert error_cut_mag(dataclasses.replace(GAIA_LIKE, error_floor_mag=0.2), cuts) == -np.inf


@pytest.mark.parametrize("shift_mag", [-0.5, 0.0, 0.5])
def test_a_faint_limit_stays_where_it_is_whatever_the_depth(shift_mag):
    survey = dataclasses.replace(
        Config.named("carina").survey,
        blue=dataclasses.replace(GAIA_LIKE, name="J", wavelength_um=1.2),
        lost_share=0.25,
    )
    mag = np.linspace(15, 18, 30_001, dtype=np.float32)
    magnitudes = {"J": mag, "Ks": np.full(mag.size, 10.0, np.float32)}
    seen = observe(magnitudes, survey, 1.0, np.random.default_rng(1), shift_mag)
    assert seen.magnitudes["J"].max() <= 17.0
    # Errors are 0.005 mag there; a quarter is lost whatever the magnitude.
    for low in (15.0, 16.0, 16.9):
        inside = (mag >= low) & (mag < low + 0.09)
        kept = np.count_nonzero(inside[seen.index])
        assert kept == pytest.approx(0.75 * inside.sum(), abs=5 * np.sqrt(0.19 * inside.sum()))


def test_what_a_survey_reaches_is_its_depth_or_its_faint_limit():
    cuts = Cuts()
    assert reach_mag(GAIA_LIKE, cuts, 5.0) == pytest.approx(17.1)
    no_limit = dataclasses.replace(GAIA_LIKE, faint_mag=99.0)
    assert reach_mag(no_limit, cuts, 0.3) == pytest.approx(faint_limit_mag(no_limit, cuts) + 0.3)
