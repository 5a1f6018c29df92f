import numpy as np
import pytest
import tensorflow as tf

from extmap_tf.estimate import PERCENTILES
from extmap_tf.model.distribution import (
    N_QUANTILE,
    normal_distribution,
    profile_distribution,
    profiles_from_noise,
    summarize,
    to_density,
)

STEP_KPC = 0.1
N_DISTANCES, RANK = 12, 3


@pytest.fixture(scope="module")
def parameters():
    rng = np.random.default_rng(1)
    shape = (70, N_DISTANCES)
    scale, loc = np.full(shape, 0.3), rng.normal(-0.5, 1.5, shape)
    sigma, factor = rng.uniform(0.05, 1.5, shape), rng.normal(0, 0.4, (*shape, RANK))
    skewness, tail = rng.normal(0, 0.2, shape), rng.uniform(0.5, 1.2, shape)
    own = np.stack([scale, loc, sigma, skewness, tail], axis=-1)
    return np.concatenate([own, factor], axis=-1).astype(np.float32)


@pytest.fixture(scope="module")
def summary(parameters):
    return {name: value.numpy() for name, value in summarize(tf.constant(parameters), STEP_KPC).items()}


def test_statistics_are_those_of_many_random_profiles(parameters, summary):
    noise = tf.random.stateless_normal([1, 100_000, N_DISTANCES + RANK], seed=[1, 2])
    density = profiles_from_noise(tf.constant(parameters[:4]), noise).numpy()
    cumulative = np.cumsum(density, axis=-1) * STEP_KPC
    # A hundred thousand profiles leave 1 %; the spread of a column comes from N_QUANTILE of them.
    for name, samples, typical, largest in (
        ("density", density, 0.005, 0.05),
        ("extinction", cumulative, 0.06, 0.5),
    ):
        spread = samples.std(axis=1)
        np.testing.assert_allclose(summary[f"{name}_mean"][:4], samples.mean(axis=1), rtol=0.02)
        percentiles = np.moveaxis(np.percentile(samples, PERCENTILES, axis=1), 0, 1)
        for off in (
            summary[f"{name}_std"][:4] / spread - 1,
            (summary[f"{name}_percentiles"][:4] - percentiles) / spread[:, None],
        ):
            assert np.median(np.abs(off)) < typical
            assert np.abs(off).max() < largest


def test_profiles_follow_the_formula_of_the_module(parameters):
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(1, 5, N_DISTANCES + RANK)).astype(np.float32)
    found = profiles_from_noise(tf.constant(parameters[:2]), noise).numpy()
    scale, mu, sigma, e, t = np.moveaxis(parameters[:2, None, :, :5].astype(float), -1, 0)
    factor = parameters[:2, :, 5:].astype(float)
    y = sigma * noise[..., :N_DISTANCES] + np.einsum(
        "bsr,bdr->bsd", np.repeat(noise[..., N_DISTANCES:], 2, 0), factor
    )
    tau = np.sqrt(sigma**2 + (factor**2).sum(axis=-1)[:, None])
    z = mu + tau * 2 * np.sinh((np.arcsinh(y / tau) + e) * t) / np.sinh(t * np.arcsinh(2))
    np.testing.assert_allclose(found, scale * np.log1p(np.exp(z)), rtol=1e-4)


def test_the_fast_functions_are_those_of_the_definition(parameters):
    parameters = tf.constant(parameters)
    defined = profile_distribution(parameters)
    expected = defined.sample(20, seed=[1, 2]).numpy()
    found = to_density(normal_distribution(parameters).sample(20, seed=[1, 2]), parameters).numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-7)
    log_prob = defined.log_prob(expected).numpy()
    assert log_prob.shape == (20, len(parameters))
    assert np.isfinite(log_prob[(expected > 1e-5).all(axis=-1)]).all()


def test_the_definition_is_a_density(parameters):
    one_bin = tf.constant(parameters[:5, :1])
    rho = np.geomspace(1e-6, 100.0, 20_000).astype(np.float32)
    density = np.exp(profile_distribution(one_bin).log_prob(rho[:, None, None]))
    np.testing.assert_allclose(np.trapezoid(density, rho, axis=0), 1.0, atol=5e-3)


def test_the_score_and_the_profiles_share_one_distribution(parameters):
    parameters = tf.constant(parameters[:3])
    noise = tf.random.stateless_normal([1, 50_000, N_DISTANCES + RANK], seed=[1, 2])
    one = profiles_from_noise(parameters, noise).numpy()
    other = to_density(normal_distribution(parameters).sample(50_000, seed=[3, 4]), parameters).numpy()
    one, other = (np.cumsum(x, axis=-1) for x in (np.moveaxis(one, 1, 0), other))
    for percent in (5, 50, 95):
        off = np.percentile(one, percent, axis=0) - np.percentile(other, percent, axis=0)
        assert np.abs(off / one.std(axis=0)).max() < 0.06


def test_quantiles_of_the_column_are_order_statistics_of_fixed_profiles(parameters, summary):
    from scipy.stats import qmc

    normal = qmc.MultivariateNormalQMC(np.zeros(N_DISTANCES + RANK), rng=np.random.default_rng(0))
    noise = tf.constant(normal.random(N_QUANTILE)[None], tf.float32)
    cumulative = np.cumsum(profiles_from_noise(tf.constant(parameters), noise).numpy(), axis=-1) * STEP_KPC
    expected = np.percentile(cumulative, PERCENTILES, axis=1, method="hazen")
    np.testing.assert_allclose(summary["extinction_percentiles"], np.moveaxis(expected, 0, 1), rtol=1e-4)


@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 64])
def test_a_row_does_not_depend_on_the_number_of_rows(parameters, summary, n):
    traced = tf.function(
        lambda x: summarize(x, STEP_KPC), input_signature=[tf.TensorSpec([None, *parameters.shape[1:]])]
    )
    found = traced(tf.constant(parameters[:n]))
    for name, value in found.items():
        assert value.shape == (n, *summary[name].shape[1:])
        np.testing.assert_allclose(value, summary[name][:n], rtol=1e-5, atol=1e-6, err_msg=name)
