import numpy as np
import pytest
import tensorflow as tf

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import PERCENTILES
from extmap_tf.extinction.profiles import density_to_cumulative, draw_density
from extmap_tf.fit.directfit import DirectFit
from extmap_tf.fit.expected_cmd import expected_cmd
from extmap_tf.mocks.pairs import simulate_pair


@pytest.fixture(scope="module")
def config(tiny_config):
    """Fields of 0.5 deg, some thousand stars each, as the fit takes them to be: only their number is off."""
    off = ("color_sigma_mag", "mag_sigma_mag", "depth_sigma_mag", "luminous_sigma", "distance_sigma")
    return tiny_config.replace(
        **{f"nuisances.{name}": 0.0 for name in (*off, "law_ratio_sigma")},
        **{
            "survey.crowding.loss_mag_per_dex": 0.0,
            "sightlines.field_deg": 0.5,
            "mocks.l_deg": [284.0],
            "profiles.total_max_mag": 1.5,
            "profiles.patchiness_max": 0.2,
        },
    )


@pytest.fixture(scope="module")
def fit(config):
    return DirectFit(config)


@pytest.fixture(scope="module")
def sightline(fit, config):
    return fit.prepare(expected_cmd(config, 284.0, -1.0, 24.0))


@pytest.fixture(scope="module")
def pairs(config):
    pairs = [simulate_pair(config, number) for number in range(8)]
    return np.stack([pair.counts for pair in pairs]), np.stack([pair.density for pair in pairs])


@pytest.fixture(scope="module")
def fitted(fit, sightline, pairs):
    return fit.fit(pairs[0], sightline)


def test_profiles_of_pairs_are_found(fitted, pairs, config):
    truth = density_to_cumulative(pairs[1], config.distance.step_kpc)
    error = np.abs(fitted.profiles.extinction_median - truth)
    # Within 2 kpc a few thousand stars hold the column to a few hundredths of a magnitude.
    assert error[:, 9:20].mean() < 0.02
    assert error[:, -1].mean() < 0.12 * truth[:, -1].mean() + 0.02


def test_the_fitted_cmd_is_as_close_as_counts_can_be(fitted, pairs):
    counts, expected = pairs[0], fitted.expected
    assert expected.shape == counts.shape
    np.testing.assert_allclose(expected.sum(axis=(1, 2)), counts.sum(axis=(1, 2)), rtol=0.03)
    many = expected > 5
    chi2 = (counts - expected)[many] ** 2 / expected[many]
    assert chi2.mean() == pytest.approx(1.0, abs=0.2)


def test_intervals_hold_most_truths(fitted, pairs, config):
    truth = density_to_cumulative(pairs[1], config.distance.step_kpc)[:, 9::10]
    q = fitted.profiles.extinction_percentiles[:, :, 9::10]
    assert (np.diff(q, axis=1) >= 0).all()
    assert (np.diff(fitted.profiles.extinction_percentiles, axis=2) >= 0).all()
    inside = (truth >= q[:, 0]) & (truth <= q[:, -1])
    assert inside.mean() > 0.7
    np.testing.assert_array_equal(
        fitted.profiles.extinction_percentiles[:, PERCENTILES.index(50.0)], fitted.profiles.extinction_median
    )
    assert (fitted.profiles.density_std > 0).all()


def test_the_median_cumulative_is_that_of_the_density(fitted, config):
    cumulative = density_to_cumulative(fitted.profiles.density_median, config.distance.step_kpc)
    np.testing.assert_allclose(fitted.profiles.extinction_median, cumulative, rtol=1e-4)


def test_a_cmd_is_fitted_alike_alone_and_among_others(fit, sightline, pairs, fitted):
    alone = fit.fit(pairs[0][2:3], sightline)
    again = fit.fit(pairs[0], sightline)
    np.testing.assert_array_equal(again.profiles.density_median, fitted.profiles.density_median)
    np.testing.assert_allclose(
        alone.profiles.extinction_median, fitted.profiles.extinction_median[2:3], atol=0.02
    )


def test_one_stray_star_moves_nothing(fit, sightline, pairs, fitted):
    counts = pairs[0][:4].copy()
    counts[:, 3, 60] += 1
    found = fit.fit(counts, sightline).profiles.extinction_median
    np.testing.assert_allclose(found[:, :20], fitted.profiles.extinction_median[:4, :20], atol=0.02)


def test_the_gradient_is_that_of_the_objective(fit, sightline, pairs):
    rng = np.random.default_rng(3)
    theta = 0.5 * rng.standard_normal((1, fit.prior.n_parameters)).astype(np.float32)
    direction = rng.standard_normal(fit.prior.n_parameters).astype(np.float32)
    flat = tf.constant(pairs[0][:1].reshape(1, -1)[:, sightline.pixels].astype(np.float32))
    sky = sightline.skies[-1]._replace(background=tf.constant(0.1))

    def objective(step):
        return float(fit._trial(tf.constant(theta + step * direction), flat, sky)[0][0])

    _, gradient, fisher = fit._trial(tf.constant(theta), flat, sky)
    # The table is linear between its extinctions, so that the slope jumps from step to step.
    slope = (objective(3e-3) - objective(-3e-3)) / 6e-3
    assert float(gradient.numpy()[0] @ direction) == pytest.approx(slope, rel=0.05)
    assert (np.linalg.eigvalsh(fisher.numpy()[0]) > 0.99).all()


def test_standard_normal_parameters_are_the_training_prior(fit, sightline, config):
    n = 4000
    theta = tf.random.stateless_normal([n, fit.prior.n_parameters], [1, 2])
    ours = density_to_cumulative(
        fit.prior.physical(theta, sightline.skies[0].way)[0].numpy(), config.distance.step_kpc
    )
    smooth = config.replace(**{"profiles.clouds_mean": 0.0})
    rng = np.random.default_rng(1)
    drawn = [draw_density(smooth.profiles, config.distance, 284.0, -1.0, rng) for _ in range(n)]
    theirs = density_to_cumulative(np.array(drawn), config.distance.step_kpc)
    for k in (4, 19, 39):
        quantiles = [np.quantile(np.log(a[:, k]), (0.1, 0.5, 0.9)) for a in (ours, theirs)]
        np.testing.assert_allclose(*quantiles, atol=0.15)


def test_impossible_requests_are_refused_in_a_line(fit, sightline, config):
    with pytest.raises(DataError, match=r"\[batch, 64, 64\] and not negative, got: \(64, 64\)"):
        fit.fit(np.zeros((64, 64)), sightline)
    with pytest.raises(DataError, match="not negative"):
        fit.fit(np.full((1, 64, 64), -1), sightline)
    with pytest.raises(ConfigError, match="1 or more iterations, got: 0"):
        DirectFit(config, n_iterations=0)


def test_a_prior_without_patchiness_fits_without(config):
    even = config.replace(**{"profiles.patchiness_max": 0.0})
    fit = DirectFit(even, n_iterations=6)
    sightline = fit.prepare(expected_cmd(even, 284.0, -1.0, 2.0))
    found = fit.fit(simulate_pair(even, 1).counts[None], sightline)
    assert found.patchiness == [0.0]
    assert np.isfinite(found.profiles.extinction_percentiles).all()
