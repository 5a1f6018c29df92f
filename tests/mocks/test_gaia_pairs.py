"""Pairs with Gaia beside 2MASS: the same stars, with parallaxes and extinction in broad bands."""

import dataclasses

import numpy as np
import pytest

from extmap_tf.catalogs.survey_tables import read_survey_table
from extmap_tf.errors import ConfigError
from extmap_tf.extinction.dust import draw_dust
from extmap_tf.mocks.fields import dim_and_count, dimmed_magnitudes, visible_limits_mag
from extmap_tf.mocks.nuisances import AS_MODELLED, Nuisances, SurveyOffsets, draw_nuisances
from extmap_tf.mocks.pairs import simulate_pair
from extmap_tf.mocks.pools import sightline_catalog
from extmap_tf.mocks.reference import reference_diagrams
from extmap_tf.mocks.sky import write_sky
from extmap_tf.surveys.parallaxes import ParallaxOffsets

GAIA = "counts_gaia_dr3"


@pytest.fixture(scope="module")
def config(tiny_config):
    return tiny_config.replace(surveys=["2mass", "gaia_dr3"])


@pytest.fixture(scope="module")
def stars(config):
    return sightline_catalog(config, 284.0, -1.0, "train")


def quantile(counts, axis, share):
    """The quantity along an axis of a diagram below which a share of its stars is."""
    along = counts.sum(axis=1 if axis == "y" else 0)
    return np.interp(share, np.cumsum(along) / along.sum(), np.arange(along.size))


def test_a_pair_has_the_diagrams_of_both_surveys(config):
    first, again = simulate_pair(config, 3), simulate_pair(config, 3)
    assert list(first.diagrams) == ["counts", GAIA, f"{GAIA}_2"]
    for name, counts in first.diagrams.items():
        assert counts.sum() > 100
        np.testing.assert_array_equal(counts, again.diagrams[name])
    assert first.diagrams[GAIA].shape == config.diagrams[1].shape


def test_without_gaia_pairs_are_as_they_were(tiny_config, config):
    # Nothing more is drawn of a configuration that does not ask for it.
    alone = draw_nuisances(tiny_config.nuisances, np.random.default_rng(1), tiny_config.surveys)
    both = draw_nuisances(config.nuisances, np.random.default_rng(1), config.surveys)
    assert alone == draw_nuisances(tiny_config.nuisances, np.random.default_rng(1))
    assert dataclasses.replace(both, ln_optical=0.0, others={}) == alone
    assert both.ln_optical
    assert both.others["gaia_dr3"].parallaxes != ParallaxOffsets()


def test_stars_are_drawn_as_deep_as_either_survey_reaches(config, stars, tiny_config):
    limits = visible_limits_mag(config.surveys, AS_MODELLED)
    assert limits["G"] == pytest.approx(18.6)
    assert limits["Ks"] == visible_limits_mag(tiny_config.surveys, AS_MODELLED)["Ks"]
    assert set(stars.magnitudes) == {"J", "Ks", "BP", "RP", "G"}
    ks, g = stars.magnitudes["Ks"], stars.magnitudes["G"]
    # Some are seen by the one survey alone, some by the other.
    assert (g[ks < limits["Ks"]] > limits["G"]).any()
    assert (ks[g < limits["G"]] > limits["Ks"]).any()


def test_parts_of_parts_have_their_stars_columns(stars):
    some = stars.take(slice(100, 400), 1.0)
    bright = some.magnitudes["G"] < np.median(some.magnitudes["G"])
    first = some.take(bright, 1.0).take(np.arange(10), 1.0)
    index = 100 + np.flatnonzero(bright)[:10]
    np.testing.assert_array_equal(first.distance_kpc, stars.distance_kpc[index])
    np.testing.assert_array_equal(first.log_t, stars.log_t[index])
    for band, magnitudes in first.magnitudes.items():
        np.testing.assert_array_equal(magnitudes, stars.magnitudes[band][index])


def test_stars_beyond_a_survey_s_reach_are_left_out_before_its_random_numbers(config, stars, monkeypatch):
    # Behind dust, too, and where magnitudes and depths are off: the field is the same to the bit.
    field = stars.take(slice(0, stars.n_stars // 4), 1.0)
    off = draw_nuisances(config.nuisances, np.random.default_rng(5), config.surveys)
    dusty = np.full(40, 0.1, np.float32)

    def counted():
        return dim_and_count(field, dusty, config, np.random.default_rng(1), nuisances=off)

    some = counted()
    monkeypatch.setattr("extmap_tf.mocks.fields._limits_of", lambda survey, offsets: {survey.red.name: 99.0})
    for name, counts in counted().items():
        np.testing.assert_array_equal(counts, some[name])


def test_extinction_in_broad_bands_is_that_of_each_star(config, stars):
    gaia = config.surveys[1]
    a_ks = np.full(stars.n_stars, 0.3, np.float32)
    dimmed = dimmed_magnitudes(stars, a_ks, config, gaia)
    a_g = dimmed["G"] - stars.magnitudes["G"]
    hot, cool = stars.log_t > np.log10(8000), stars.log_t < np.log10(4000)
    assert a_g[hot].mean() > 1.15 * a_g[cool].mean()
    more = dimmed_magnitudes(stars, a_ks, config, gaia, Nuisances(ln_optical=np.log(1.1)))
    ratio = (more["G"] - stars.magnitudes["G"]) / a_g
    assert (ratio > 1.05).all()
    assert (ratio < 1.101).all()
    # What the factor is on is not the infrared.
    for off in (AS_MODELLED, Nuisances(ln_optical=0.3)):
        seen = dimmed_magnitudes(stars, a_ks, config, config.survey, off)
        np.testing.assert_array_equal(seen["Ks"], stars.magnitudes["Ks"] + a_ks)


def test_dust_reddens_and_takes_far_stars_away(config, stars):
    field = stars.take(slice(0, stars.n_stars // 4), 1.0)
    clear, dusty = (
        dim_and_count(field, np.full(40, rate, np.float32), config, np.random.default_rng(1))[GAIA]
        for rate in (0.0, 0.15)
    )
    assert dusty.sum() < 0.7 * clear.sum()
    assert quantile(dusty, "x", 0.5) > quantile(clear, "x", 0.5) + 2
    assert quantile(dusty, "y", 0.5) > quantile(clear, "y", 0.5)


def test_parallaxes_move_with_their_zero_point(config, stars):
    field = stars.take(slice(0, stars.n_stars // 4), 1.0)
    no_dust = np.zeros(40, np.float32)
    off = {"gaia_dr3": SurveyOffsets(parallaxes=ParallaxOffsets(0.2))}
    plain, moved = (
        dim_and_count(field, no_dust, config, np.random.default_rng(1), nuisances=nuisances)[GAIA]
        for nuisances in (AS_MODELLED, Nuisances(others=off))
    )
    pixel_mas = config.diagrams[1].y.width
    assert quantile(moved, "y", 0.3) - quantile(plain, "y", 0.3) == pytest.approx(0.2 / pixel_mas, abs=0.5)


def test_the_reference_is_the_field_without_dust(config, stars):
    reference = reference_diagrams(config, 284.0, -1.0)[GAIA]
    per_field = config.sightlines.area_deg2 / stars.area_deg2
    counts = dim_and_count(stars, np.zeros(40, np.float32), config, np.random.default_rng(2))[GAIA]
    assert reference.sum() == pytest.approx(counts.sum() * per_field, rel=0.1)


def test_its_mock_sky_is_a_table_of_gaia(config, tmp_path):
    path = tmp_path / "gaia.parquet"
    dust = draw_dust(config.dust, config.sightlines, config.distance, seed=1)
    n_rows = write_sky(config, dust, path, which=1)
    with path.open("rb") as stream:
        batches = list(read_survey_table(stream, str(path), config.surveys[1]))
    assert sum(batch.n_rows for batch in batches) == n_rows
    assert sum(batch.n_stars for batch in batches) > 0.999 * n_rows
    assert batches[0].parallax_mas.min() < 0.0
    assert batches[0].magnitudes["G"].max() <= 18.5


def test_gaia_cannot_be_the_survey_whose_red_band_has_the_extinction(tiny_config):
    with pytest.raises(ConfigError, match="its bands are broad, so that it cannot be the first survey"):
        tiny_config.replace(surveys=["gaia_dr3", "2mass"])


def test_a_ratio_of_two_bands_is_not_enough_for_gaia(config):
    with pytest.raises(ConfigError, match="Gaia DR3: its bands need a law of all wavelengths such as G23"):
        config.replace(**{"law.model": "ratio", "law.blue_over_red": 2.6})
