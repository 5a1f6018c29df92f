import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extmap_tf.extinction.profiles import (
    cumulative_at,
    density_to_cumulative,
    draw_densities,
    draw_density,
    gaussian_random_field,
)
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.settings.config import Config
from extmap_tf.settings.profiles import ProfilePrior

GRID = DistanceGrid(0.1, 100)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.floats(-80, 80))
def test_cumulative_extinction_never_falls_and_ends_in_the_prior(seed, b_deg):
    prior = ProfilePrior()
    density = draw_density(prior, GRID, 280.0, b_deg, np.random.default_rng(seed))
    cumulative = density_to_cumulative(density, GRID.step_kpc)
    assert density.shape == (100,)
    assert np.isfinite(density).all()
    assert (density >= 0).all()
    assert (np.diff(cumulative) >= 0).all()
    assert prior.total_min_mag * 0.999 <= cumulative[-1] <= prior.total_max_mag * 1.001


def test_random_field_has_unit_variance_and_the_stated_spectrum():
    rng = np.random.default_rng(1)
    for index in (1.0, 2.0, 2.6):
        draws = gaussian_random_field(index, rng.standard_normal((4000, 2, 128)))
        assert draws.std() == pytest.approx(1.0, abs=0.03)
        assert abs(draws.mean()) < 0.05
        # Half a period is seen; differences at lag 1 and 2 still tell the spectrum from white noise.
        lag1 = np.mean((draws[:, 1:] - draws[:, :-1]) ** 2)
        k = np.arange(1, 129)
        power = k**-index / np.sum(k**-index)
        expected = 2 * np.sum(power * (1 - np.cos(np.pi * k / 128)))
        assert lag1 == pytest.approx(expected, rel=0.05)


def test_far_from_the_plane_the_dust_is_near():
    prior = ProfilePrior(clouds_mean=0.0)
    rng = np.random.default_rng(2)
    for b_deg, beyond in ((30.0, 0.01), (0.0, 0.3)):
        share = []
        for _ in range(300):
            cumulative = density_to_cumulative(draw_density(prior, GRID, 280.0, b_deg, rng), GRID.step_kpc)
            share.append(1 - cumulative[29] / cumulative[-1])
        assert (np.mean(share) < beyond) if b_deg else (np.mean(share) > beyond)


def test_a_cloud_holds_its_share_where_it_is():
    prior = ProfilePrior(
        clouds_mean=20.0, cloud_fraction_max=1.0, cloud_fwhm_min_kpc=0.02, cloud_fwhm_max_kpc=0.02
    )
    density = np.array([draw_density(prior, GRID, 280.0, 0.0, np.random.default_rng(s)) for s in range(200)])
    cloudless = np.array(
        [
            draw_density(ProfilePrior(clouds_mean=0.0), GRID, 280.0, 0.0, np.random.default_rng(s))
            for s in range(200)
        ]
    )
    peak = (density.max(axis=1) / density.mean(axis=1)).mean()
    assert peak > (cloudless.max(axis=1) / cloudless.mean(axis=1)).mean()


def test_cumulative_at_is_linear_in_bins_and_constant_past_the_last():
    density = np.array([1.0, 0.0, 3.0], np.float32)
    at = cumulative_at(density, 0.5, np.array([0.0, 0.25, 0.5, 0.9, 1.25, 1.5, 40.0]))
    np.testing.assert_allclose(at, [0.0, 0.25, 0.5, 0.5, 1.25, 2.0, 2.0], atol=1e-6)


def test_cumulative_at_agrees_with_numpys_interpolation():
    rng = np.random.default_rng(5)
    density = draw_density(ProfilePrior(), GRID, 280.0, 1.0, rng)
    d_kpc = rng.uniform(0, 14, 1000)
    edges = np.concatenate([[0], density_to_cumulative(density, GRID.step_kpc)])
    np.testing.assert_allclose(
        cumulative_at(density, GRID.step_kpc, d_kpc), np.interp(d_kpc, GRID.edges_kpc, edges), atol=2e-5
    )


def wide(**values):
    return Config.named("carina").replace(**{f"profiles.{k}": v for k, v in values.items()}).profiles


def test_options_of_a_wide_prior_are_off_by_default():
    plain, rngs = ProfilePrior(), [np.random.default_rng(seed) for seed in range(3)]
    here = draw_densities(plain, GRID, 280.0, 3.5, rngs)
    elsewhere = draw_densities(plain, GRID, 10.0, 3.5, [np.random.default_rng(seed) for seed in range(3)])
    np.testing.assert_array_equal(here, elsewhere)
    # As in version 0.3.0.
    assert here[1, :3] == pytest.approx([0.11434793, 0.12198705, 0.12510382], rel=1e-5)


def test_walls_hold_nearly_all_of_the_column_anywhere_on_the_way():
    prior = wide(wall_share=1.0, clouds_mean=0.0, wall_fraction_min=0.9)
    density = draw_densities(prior, GRID, 280.0, 3.5, [np.random.default_rng(s) for s in range(2000)])
    share = density / density.sum(axis=1, keepdims=True)
    # A cloud of at most 0.3 kpc lies within seven bins.
    within = np.lib.stride_tricks.sliding_window_view(share, 7, axis=1).sum(axis=-1).max(axis=1)
    assert np.mean(within > 0.85) > 0.95
    place = GRID.centers_kpc[share.argmax(axis=1)]
    assert np.mean(place < 2.5) == pytest.approx(0.5, abs=0.05)
    assert np.mean(place > 5.6) == pytest.approx(0.25, abs=0.05)


def test_dust_in_a_disc_follows_the_warp_and_falls_outward():
    prior = wide(wall_share=0.0, clouds_mean=0.0, warp_factor_max=1.0)
    assert prior.disc

    def far_share(l_deg, b_deg):
        rngs = [np.random.default_rng(s) for s in range(2000)]
        density = draw_densities(prior, GRID, l_deg, b_deg, rngs)
        return np.mean(density[:, 50:].sum(axis=1) / density.sum(axis=1))

    # The stars' disc is bent down at l = 270, and up at l = 90.
    assert far_share(270.0, -2.0) > 1.3 * far_share(270.0, 2.0)
    assert far_share(90.0, 2.0) > 1.3 * far_share(90.0, -2.0)
    # Toward the centre there is more dust than away from it.
    assert far_share(20.0, 0.0) > 1.3 * far_share(180.0, 0.0)
