r"""A head that draws whole profiles: noise goes in, profiles come out, each as likely as another.

Features of a diagram and normal noise z pass through a small network of two layers, whose output x gives the
differential extinction in bin i,

.. math:: \rho_i = s_i \exp(x_i + \sigma_i \epsilon_i),

with s the mean density of the training profiles, sigma from the features, and epsilon normal noise of each
bin's own. What is uncertain may be the place of a wall, and the noise moves it as a whole: no Gaussian of few
directions can say that, and no sum of softplus functions makes a jump of a hundred times the mean density.

It is trained with a proper score of whole profiles, the continuous ranked probability score of the extinction
at every distance and in windows of 0.2 to 4 kpc (`WholeProfileScore`). After the training its output is
an ensemble of `extmap_tf.model.distribution.N_QUANTILE` profiles made from one fixed set of quasi-random
numbers, so that it depends on its diagram alone: percentiles are those of the ensemble, samples are members.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from extmap_tf.estimate import PERCENTILES
from extmap_tf.model.distribution import N_QUANTILE, named, quantile_noise, seeds_of_places
from extmap_tf.model.facts import PairFacts
from extmap_tf.model.objective import DENSITY_WEIGHT, RELATIVE_FLOOR_MAG, crps_by_neighbours
from extmap_tf.model.order import in_blocks, percentiles_of
from extmap_tf.model.smooth import SmoothFunctions

_PACKAGE = "extmap_tf"

N_SCORE = 4
"""Profiles drawn of each diagram of a training batch."""

WINDOWS = ((2, 1), (5, 2), (10, 3), (20, 5), (40, 8))
"""Lengths of the score's windows and steps between them, in bins."""

WINDOW_FLOOR_MAG = 0.02

_LN_LEAST, _LN_MOST = -14.0, 8.0
_FIRST_SIGMA = 0.2
_CALIBRATION_STEPS, _CALIBRATION_BATCH, _CALIBRATION_RATE = 200, 128, 0.02
_CALIBRATION_SCORE = 8


@keras.saving.register_keras_serializable(_PACKAGE)
class ProfileGenerator(layers.Layer):
    """Features [batch, n] to profiles: density [batch, n_samples, n_distances], mag / kpc.

    In training there are `N_SCORE` profiles of random noise, which follows from the features, so that a
    training can be repeated; else the ensemble of the fixed noise.

    Parameters
    ----------
    n_distances : int
    width : int
        Units of the two layers.
    n_noise : int
        Numbers of noise that all bins share.
    """

    def __init__(self, n_distances: int, width: int = 256, n_noise: int = 16, **kwargs: Any) -> None:
        super().__init__(**({"dtype": "float32"} | kwargs))
        self.n_distances, self.width, self.n_noise = n_distances, width, n_noise

        def dense(units, name, **options):
            return layers.Dense(units, dtype="float32", name=name, **options)

        small = {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.01)}
        self._codes = [dense(width, f"code{i}") for i in range(3)]
        self._noises = [dense(width, f"noise{i}", use_bias=False) for i in range(2)]
        self._inner = dense(width, "inner")
        # Small weights: a fresh network starts near the mean profile whatever the diagram.
        self._outer = dense(n_distances, "outer", **small)
        self._base = dense(2 * n_distances, "base", **small)

    def build(self, features_shape: tuple[int | None, ...]) -> None:
        n_features = features_shape[-1]
        for layer in (*self._codes, self._base):
            layer.build((None, n_features))
        for layer in self._noises:
            layer.build((None, None, self.n_noise))
        for layer in (self._inner, self._outer):
            layer.build((None, None, self.width))
        fixed = {"trainable": False, "dtype": "float32"}
        self.scale = self.add_weight(shape=(self.n_distances,), name="scale", initializer="ones", **fixed)
        # After the training: a shift of x, logarithms of factors on sigma and on the shared noise.
        self.adjustment = self.add_weight(
            shape=(3, self.n_distances), name="adjustment", initializer="zeros", **fixed
        )
        self.built = True

    def learn_from(self, facts: PairFacts) -> None:
        self.scale.assign(np.maximum(facts.mean_density, 1e-6))

    def call(self, features: tf.Tensor, training: bool = False) -> tf.Tensor:
        width = self.n_distances + self.n_noise
        if not training:
            noise, shape = quantile_noise(width), [N_QUANTILE, self.n_distances]
            (profiles,) = in_blocks(lambda some: [self.profiles(some, noise)], features, [shape])
            return profiles
        seed = tf.bitcast(tf.reduce_sum(tf.cast(features, tf.float32)), tf.int32)
        noise = tf.random.stateless_normal([tf.shape(features)[0], N_SCORE, width], seed=tf.stack([seed, 0]))
        return self.profiles(features, noise)

    def profiles(
        self, features: tf.Tensor, noise: tf.Tensor, adjustment: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Profiles from given noise.

        Parameters
        ----------
        features : tf.Tensor [batch, n]
        noise : tf.Tensor [batch or 1, n_samples, n_distances + n_noise]
            Standard normal numbers.
        adjustment : tf.Tensor [3, n_distances], optional
            By default what `calibrate` has set.

        Returns
        -------
        tf.Tensor [batch, n_samples, n_distances]
            Density, mag / kpc.
        """
        shift, ln_sigma, ln_shared = tf.unstack(
            tf.convert_to_tensor(self.adjustment if adjustment is None else adjustment)
        )
        own, shared = noise[..., : self.n_distances], noise[..., self.n_distances :]
        shared = shared * tf.exp(tf.reduce_mean(ln_shared))
        add, gain, second = (code(features)[:, None] for code in self._codes)
        x = tf.nn.relu(add + (1.0 + gain) * self._noises[0](shared))
        x = tf.nn.relu(self._inner(x) + second + self._noises[1](shared))
        base = self._base(features)[:, None]
        sigma = _FIRST_SIGMA * tf.nn.softplus(base[..., self.n_distances :]) * tf.exp(ln_sigma)
        x = self._outer(x) + base[..., : self.n_distances] + shift + sigma * own
        return self.scale * tf.exp(tf.clip_by_value(x, _LN_LEAST, _LN_MOST))

    def compute_output_shape(self, features_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (features_shape[0], None, self.n_distances)

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("n_distances", "width", "n_noise")}
        return super().get_config() | own


@keras.saving.register_keras_serializable(_PACKAGE)
class WholeProfileScore(keras.losses.Loss):
    """Score of profiles [batch, n_samples, n_distances] drawn of each diagram, against the true ones.

    ``CRPS[ln(A + 0.1 mag)] + 0.2 CRPS[ln(1 + r / r0)] + mean over windows of CRPS[ln(A2 - A1 + 0.02 mag)]``,
    each a mean over distance and over the lengths in `WINDOWS`, with A the cumulative extinction, r the
    density and r0 `density_mag_per_kpc`. Every term is proper, and so is their sum (Gneiting & Raftery 2007,
    J. Am. Stat. Assoc. 102, 359); windows tie the distances together. Each is estimated without bias.

    Parameters
    ----------
    step_kpc : float
    density_mag_per_kpc : float
    """

    def __init__(
        self,
        step_kpc: float,
        density_mag_per_kpc: float = 0.1,
        name: str = "whole_profile_score",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(name=name, **kwargs)
        self.step_kpc, self.density_mag_per_kpc = step_kpc, density_mag_per_kpc

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        density, truth = y_pred, y_true[:, None]
        drawn, true = (tf.cumsum(r, axis=-1) * self.step_kpc for r in (density, truth))
        score = _mean_crps(tf.math.log(drawn + RELATIVE_FLOOR_MAG), tf.math.log(true + RELATIVE_FLOOR_MAG))
        per_level = 1.0 / self.density_mag_per_kpc
        score += DENSITY_WEIGHT * _mean_crps(
            tf.math.log1p(density * per_level), tf.math.log1p(truth * per_level)
        )
        drawn, true = (tf.pad(a, [[0, 0], [0, 0], [1, 0]]) for a in (drawn, true))
        lengths = [(lag, step) for lag, step in WINDOWS if lag < drawn.shape[-1]]
        for lag, step in lengths:
            inside, within = (
                tf.math.log(a[..., lag::step] - a[..., :-lag:step] + WINDOW_FLOOR_MAG) for a in (drawn, true)
            )
            score += _mean_crps(inside, within) / len(lengths)
        return score

    def get_config(self) -> dict[str, Any]:
        return {
            "step_kpc": self.step_kpc,
            "density_mag_per_kpc": self.density_mag_per_kpc,
            "name": self.name,
            "reduction": self.reduction,
        }


def summarize(profiles: tf.Tensor, step_kpc: float) -> dict[str, tf.Tensor]:
    """What an ensemble says of the density and of the extinction, distance by distance.

    Parameters
    ----------
    profiles : tf.Tensor [batch, N_QUANTILE, n_distances]
        Density, mag / kpc.
    step_kpc : float

    Returns
    -------
    dict of str to tf.Tensor
        As `extmap_tf.model.distribution.summarize`.
    """
    n = profiles.shape[-1]

    def both(some):
        values = tf.concat([some, tf.cumsum(some, axis=-1) * step_kpc], axis=-1)
        return tf.reduce_mean(values, axis=1), tf.math.reduce_std(values, axis=1), percentiles_of(values)

    found = in_blocks(both, profiles, ([2 * n], [2 * n], [len(PERCENTILES), 2 * n]))
    density, extinction = zip(*(tf.split(value, 2, axis=-1) for value in found), strict=True)
    return named("density", *density) | named("extinction", *extinction)


def sample(
    profiles: tf.Tensor, n_samples: int, seed: tf.Tensor, l_deg: tf.Tensor, b_deg: tf.Tensor
) -> tf.Tensor:
    """Members of an ensemble; those of a sightline follow from the seed and its position.

    Parameters
    ----------
    profiles : tf.Tensor [batch, N_QUANTILE, n_distances]
    n_samples : int
        None is drawn twice.
    seed : tf.Tensor of int32, scalar
    l_deg, b_deg : tf.Tensor [batch]

    Returns
    -------
    tf.Tensor [batch, n_samples, n_distances]
        Density, mag / kpc.
    """

    def members(place):
        order = tf.random.stateless_uniform([N_QUANTILE], seed=tf.stack([seed, place]))
        return tf.math.top_k(order, n_samples).indices

    places, spec = seeds_of_places(l_deg, b_deg), tf.TensorSpec([n_samples], tf.int32)
    chosen = tf.map_fn(members, places, fn_output_signature=spec)
    return tf.gather(profiles, chosen, batch_dims=1)


def calibrate(
    generator: ProfileGenerator, features: np.ndarray, density: np.ndarray, step_kpc: float
) -> dict[str, list[float]]:
    """Fit a few smooth functions of distance to validation pairs, by the score of the training.

    A shift of ln(density), and factors on both kinds of noise: samples stay whole profiles, and windows are
    in what is minimised.

    Parameters
    ----------
    generator : ProfileGenerator
        Gets the result.
    features : ndarray [n, n_features]
    density : ndarray [n, n_distances]
        The truth, mag / kpc.
    step_kpc : float

    Returns
    -------
    dict of str to list of float
        The functions at equally spaced distances, the first and the last included.
    """
    functions = SmoothFunctions(("shift", "ln_sigma_factor", "ln_noise_factor"), generator.n_distances)
    n_steps = min(_CALIBRATION_STEPS, len(density) // 4)
    optimizer, score = functions.optimizer(_CALIBRATION_RATE, n_steps), WholeProfileScore(step_kpc)
    shape = [_CALIBRATION_SCORE, generator.n_distances + generator.n_noise]

    @tf.function(reduce_retracing=True, autograph=False)
    def step(some, truth, seed):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(functions.at_knots)
            noise = tf.random.stateless_normal([tf.shape(some)[0], *shape], seed=seed)
            loss = score(truth, generator.profiles(some, noise, functions.at_distances()))
        optimizer.apply_gradients([(tape.gradient(loss, functions.at_knots), functions.at_knots)])

    rng = np.random.default_rng(0)
    for i in range(n_steps):
        some = rng.choice(len(density), min(_CALIBRATION_BATCH, len(density)), replace=False)
        step(tf.constant(features[some]), tf.constant(density[some]), tf.constant([i, 0]))
    generator.adjustment.assign(functions.at_distances())
    return functions.to_dict()


def _mean_crps(samples, truth):
    """CRPS [batch] of samples [batch, n_samples, n] and truth [batch, 1, n], mean over the last axis."""
    return tf.reduce_mean(crps_by_neighbours(samples, truth, axis=1), axis=-1)
