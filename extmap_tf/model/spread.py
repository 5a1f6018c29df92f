"""Honest intervals: a few numbers fitted to the validation pairs after the training.

A network is surest of the pairs it was trained on. With the network as it is, smooth functions of distance
are fitted that stretch and shift mu, stretch sigma and U, and give the distribution its shape, see
`extmap_tf.model.layers.ProfileParameters`. Stretching sigma and U alone would not do: softplus is convex, and
more spread in every bin is more dust. What is minimised is the mean pinball loss of the percentiles of
ln(A + 0.1 mag); it is least where a share p of the pairs lies below each percentile p of the cumulative
extinction A (Koenker & Bassett 1978, Econometrica 46, 33).
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from extmap_tf.estimate import PERCENTILES
from extmap_tf.model.distribution import N_QUANTILE, profiles_from_noise, quantile_noise
from extmap_tf.model.objective import RELATIVE_FLOOR_MAG
from extmap_tf.model.order import percentile_places
from extmap_tf.model.smooth import SmoothFunctions

_ROWS = ("ln_mu_factor", "mu_shift", "ln_sigma_factor", "ln_u_factor", "skewness", "ln_tail_weight")
# More steps, or all distances in place of every second one, give the same intervals within their noise.
_STEPS = 160
_EVERY = 2
_LINES = 4
_BATCH = 64
_RATE = 0.05
_DECAY = 1e-6


def fit_spread(
    model: keras.Model, batches: tf.data.Dataset, step_kpc: float, echo: Callable[[str], None]
) -> dict[str, list[float]]:
    """Fit the adjustment and set it in the model.

    Parameters
    ----------
    model : keras.Model
        With a layer `extmap_tf.model.layers.ProfileParameters` named "profile".
    batches : tf.data.Dataset
        Of (inputs, density [batch, n_distances]). Of fewer than 640 pairs, which cannot say much, less is
        learnt.
    step_kpc : float
    echo : callable
        Takes a line of progress.

    Returns
    -------
    dict of str to list of float
        The rows of the adjustment by name, at equally spaced distances, the first and the last included.
    """
    layer = model.get_layer("profile")
    head = keras.Model(model.inputs, layer.input)
    parts, truths = [], []
    for inputs, density in batches:
        parts.append(head(inputs, training=False).numpy())
        truths.append(np.cumsum(density.numpy(), axis=1) * step_kpc)
    activations, truth = np.concatenate(parts), np.concatenate(truths)
    n, rank = layer.n_distances, layer.rank
    activations = activations.reshape(-1, n, 2 + rank)

    functions = SmoothFunctions(_ROWS, n)
    bins = np.unique([*range(0, n, _EVERY), n - 1])
    level = np.array(PERCENTILES, np.float32)[:, None] / 100.0
    noise = quantile_noise(n + rank)
    n_steps = min(_STEPS, len(truth) // 4)
    optimizer = functions.optimizer(_RATE, n_steps)

    @tf.function(reduce_retracing=True, autograph=False)
    def step(x, truth):
        with tf.GradientTape() as tape:
            profiles = profiles_from_noise(layer.adjusted(x, functions.at_distances()), noise)
            cumulative = tf.gather(tf.cumsum(profiles, axis=-1), bins, axis=-1) * step_kpc
            error = _ln(tf.gather(truth, bins, axis=-1)[:, None]) - _ln(_percentiles(cumulative))
            pinball = tf.maximum(level * error, (level - 1.0) * error)
            loss = tf.reduce_mean(pinball) + _DECAY * tf.reduce_sum(tf.square(functions.at_knots))
        optimizer.apply_gradients([(tape.gradient(loss, functions.at_knots), functions.at_knots)])

    rng = np.random.default_rng(0)
    for done in range(n_steps):
        if done * _LINES % n_steps < _LINES:
            echo(f"fitting the spread to {len(truth):,} validation pairs: {done} of {n_steps} steps")
        some = rng.choice(len(truth), min(_BATCH, len(truth)), replace=False)
        step(tf.constant(activations[some]), tf.constant(truth[some]))
    layer.adjustment.assign(functions.at_distances())
    return functions.to_dict()


def _percentiles(samples):
    """`extmap_tf.model.order.percentiles_of` by a sort, whose gradient is one step and not thousands."""
    below, fraction = percentile_places(N_QUANTILE)
    ordered = tf.sort(tf.transpose(samples, [0, 2, 1]), axis=-1)
    low, high = (tf.gather(ordered, places, axis=-1) for places in (below, below + 1))
    return tf.transpose(low + fraction * (high - low), [0, 2, 1])


def _ln(extinction_mag):
    return tf.math.log(extinction_mag + RELATIVE_FLOOR_MAG)
