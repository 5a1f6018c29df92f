import keras
import numpy as np
import pytest
import tensorflow as tf

from extmap_tf.estimate import PERCENTILES
from extmap_tf.model.distribution import summarize
from extmap_tf.model.layers import ProfileParameters
from extmap_tf.model.spread import fit_spread

N_DISTANCES, STEP_KPC = 12, 0.1
# softplus(x - 1) of this activation, the network's own idea of sigma.
SIGMA_ACTIVATION, SIGMA = 0.0, float(np.log1p(np.exp(-1.0)) + 1e-3)


def network():
    """A network that says the same of every diagram."""
    inputs = keras.Input((1,))
    bias = keras.initializers.Constant(np.tile([0.0, SIGMA_ACTIVATION], N_DISTANCES))
    x = keras.layers.Dense(2 * N_DISTANCES, kernel_initializer="zeros", bias_initializer=bias)(inputs)
    return keras.Model(inputs, ProfileParameters(N_DISTANCES, 0, name="profile")(x))


@pytest.mark.parametrize(
    ("factor", "shift", "lower"), [(1.0, 0.0, 1.0), (1.4, 0.0, 1.0), (0.7, 0.4, 1.0), (1.0, 0.0, 3.0)]
)
def test_the_intervals_become_those_of_the_validation_pairs(factor, shift, lower):
    """Whether the truth is normal, wider or narrower than told, shifted, or has a longer lower tail."""
    model = network()
    z = np.random.default_rng(0).normal(0, factor * SIGMA, (4000, N_DISTANCES))
    z = shift + np.where(z < 0, lower * z, z)
    density = np.log1p(np.exp(z)).astype(np.float32)
    batches = tf.data.Dataset.from_tensor_slices((np.zeros((4000, 1), np.float32), density)).batch(500)
    fit_spread(model, batches, STEP_KPC, echo=print)
    summary = summarize(model(np.zeros((1, 1), np.float32)), STEP_KPC)
    percentiles = summary["extinction_percentiles"][0].numpy()
    truth = np.cumsum(density, axis=1) * STEP_KPC
    for low, high, share in ((16.0, 84.0, 0.68), (5.0, 95.0, 0.9)):
        low, high = (percentiles[PERCENTILES.index(p)] for p in (low, high))
        covered = ((truth >= low) & (truth <= high)).mean(axis=0)
        # Quantiles over 256 profiles are off by a few per cent in single bins, for all pairs alike here.
        np.testing.assert_allclose(covered, share, atol=0.1)
        assert covered.mean() == pytest.approx(share, abs=0.03)
    below = (truth < percentiles[PERCENTILES.index(50.0)]).mean(axis=0)
    np.testing.assert_allclose(below, 0.5, atol=0.1)
