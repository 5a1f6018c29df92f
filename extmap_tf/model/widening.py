"""Honest intervals: a factor on a trained network's spread, fitted to the validation pairs.

A network is surest of the pairs it was trained on. For each distance, the factor asked for is the one by
which the central 68 % interval of the cumulative extinction must be stretched about its median to hold 68 %
of the validation pairs; smoothed over distance it goes into `extmap_tf.model.layers.ProfileParameters`, and
again until the coverage stands.
"""

import keras
import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter1d

from extmap_tf.grids import PERCENTILES
from extmap_tf.model.distribution import summarize
from extmap_tf.model.layers import ProfileParameters

_ROUNDS = 4
_SMOOTH_BINS = 4.0
_LIMITS = (0.5, 2.0)
_CENTRAL = 0.68


def widen(model, batches, step_kpc):
    """Fit the factors and set them in the model; a network that gives one profile is left as it is.

    Parameters
    ----------
    model : keras.Model
    batches : tf.data.Dataset
        Of (inputs, density [batch, n_distances]).
    step_kpc : float

    Returns
    -------
    list of float [n_distances], or None
        The factors.
    """
    layers = [layer for layer in model.layers if isinstance(layer, ProfileParameters)]
    if not layers:
        return None
    (layer,) = layers
    head = keras.Model(model.inputs, layer.input)
    activations, truth = [], []
    for inputs, density in batches:
        activations.append(head(inputs, training=False).numpy())
        truth.append(np.cumsum(density.numpy(), axis=1) * step_kpc)
    activations, truth = np.concatenate(activations), np.concatenate(truth)
    percentiles_of = tf.function(
        lambda x: summarize(layer(x), step_kpc)["extinction_percentiles"], reduce_retracing=True
    )
    for _ in range(_ROUNDS):
        parts = np.array_split(activations, len(activations) // 512 + 1)
        percentiles = np.concatenate([percentiles_of(tf.constant(part)).numpy() for part in parts])
        low, middle, high = (percentiles[:, PERCENTILES.index(p)] for p in (16.0, 50.0, 84.0))
        side = np.where(truth > middle, high - middle, middle - low)
        asked = np.quantile(np.abs(truth - middle) / np.maximum(side, 1e-9), _CENTRAL, axis=0)
        asked = np.exp(gaussian_filter1d(np.log(np.clip(asked, *_LIMITS)), _SMOOTH_BINS, mode="nearest"))
        layer.widening.assign(np.clip(layer.widening.numpy() * asked, *_LIMITS))
    return [round(float(factor), 4) for factor in layer.widening.numpy()]
