import numpy as np
import pytest
import tensorflow as tf

from extmap_tf.grids import PERCENTILES
from extmap_tf.model.distribution import N_QUANTILE, profiles_from_noise, summarize

STEP_KPC = 0.1
N_DISTANCES, RANK = 12, 3


@pytest.fixture(scope="module")
def parameters():
    rng = np.random.default_rng(1)
    shape = (70, N_DISTANCES)
    scale, loc = np.full(shape, 0.3), rng.normal(-0.5, 1.5, shape)
    sigma, factor = rng.uniform(0.05, 1.5, shape), rng.normal(0, 0.4, (*shape, RANK))
    return np.concatenate([scale[..., None], loc[..., None], sigma[..., None], factor], -1).astype(np.float32)


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
