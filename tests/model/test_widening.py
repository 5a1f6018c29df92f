import keras
import numpy as np
import pytest
import tensorflow as tf

from extmap_tf.grids import PERCENTILES
from extmap_tf.model.distribution import summarize
from extmap_tf.model.layers import ProfileParameters
from extmap_tf.model.widening import widen

N_DISTANCES, STEP_KPC = 12, 0.1
# softplus(x - 1) of this activation, the network's own idea of sigma.
SIGMA_ACTIVATION, SIGMA = 0.0, float(np.log1p(np.exp(-1.0)) + 1e-3)


def network():
    """A network that says the same of every diagram."""
    inputs = keras.Input((1,))
    bias = keras.initializers.Constant(np.tile([0.0, SIGMA_ACTIVATION], N_DISTANCES))
    x = keras.layers.Dense(2 * N_DISTANCES, kernel_initializer="zeros", bias_initializer=bias)(inputs)
    return keras.Model(inputs, ProfileParameters(N_DISTANCES, 0, name="profile")(x))


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.6])
def test_the_spread_becomes_that_of_the_validation_pairs(factor):
    model = network()
    z = np.random.default_rng(0).normal(0.0, factor * SIGMA, (4000, N_DISTANCES))
    density = np.log1p(np.exp(z)).astype(np.float32)
    batches = tf.data.Dataset.from_tensor_slices((np.zeros((4000, 1), np.float32), density)).batch(500)
    found = widen(model, batches, STEP_KPC)
    assert found == pytest.approx(model.get_layer("profile").widening.numpy().tolist(), abs=1e-4)
    np.testing.assert_allclose(found, factor, rtol=0.1)
    summary = summarize(model(np.zeros((1, 1), np.float32)), STEP_KPC)
    percentiles = summary["extinction_percentiles"][0].numpy()
    truth = np.cumsum(density, axis=1) * STEP_KPC
    low, high = (percentiles[PERCENTILES.index(p)] for p in (16.0, 84.0))
    covered = ((truth >= low) & (truth <= high)).mean(axis=0)
    # Quantiles over 256 profiles are off by a few per cent, in single bins, which the smooth factors keep.
    np.testing.assert_allclose(covered, 0.68, atol=0.06)
    assert covered.mean() == pytest.approx(0.68, abs=0.02)


def test_a_network_of_one_profile_is_left_as_it_is():
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(N_DISTANCES)(inputs))
    assert widen(model, [], STEP_KPC) is None
