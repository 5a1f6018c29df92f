"""Losses and learning-rate schedule. The truth is always a density [batch, n_distances] in mag / kpc."""

from functools import partial
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from extmap_tf.model.distribution import normal_distribution, to_density

_PACKAGE = "extmap_tf"

RELATIVE_FLOOR_MAG = 0.1
DENSITY_WEIGHT = 0.2
N_SCORE = 4


@keras.saving.register_keras_serializable(_PACKAGE)
class ProfileLoss(keras.losses.Loss):
    """For one profile: relative error of the cumulative extinction plus a share of the density's.

    ``mean |A' - A| / (A + 0.1 mag)  +  0.2 mean |r' - r| / (mean r + 0.1 mag / d_max)``, with A the
    cumulative extinction at the outer edges and r the density. Absolute errors make the answer a median;
    relative ones keep the near kiloparsecs, where little has added up, from drowning in the far ones.

    Parameters
    ----------
    step_kpc : float
    """

    def __init__(self, step_kpc: float, name: str = "profile_loss", **kwargs: Any) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(name=name, **kwargs)
        self.step_kpc = step_kpc

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        truth = ops.cumsum(y_true, axis=-1) * self.step_kpc
        error = ops.abs(ops.cumsum(y_pred - y_true, axis=-1)) * self.step_kpc
        cumulative = ops.mean(error / (truth + RELATIVE_FLOOR_MAG), axis=-1)
        d_max_kpc = y_true.shape[-1] * self.step_kpc
        level = ops.mean(y_true, axis=-1) + RELATIVE_FLOOR_MAG / d_max_kpc
        density = ops.mean(ops.abs(y_pred - y_true), axis=-1) / level
        return cumulative + DENSITY_WEIGHT * density

    def get_config(self) -> dict[str, Any]:
        return {"step_kpc": self.step_kpc, "name": self.name, "reduction": self.reduction}


@keras.saving.register_keras_serializable(_PACKAGE)
class ProfileScore(keras.losses.Loss):
    """Continuous ranked probability score (CRPS) of a distribution over profiles.

    ``CRPS[ln(A + 0.1 mag)]  +  0.2 CRPS[ln(1 + r / s)]``, means over distance, with A the cumulative
    extinction at the outer edges, r the density and s its mean over the training profiles. The score is
    proper (Gneiting & Raftery 2007, J. Am. Stat. Assoc. 102, 359): no distribution but the true one does
    better. It stays so under a change of variable, whereas errors divided by the true extinction would draw
    the answer towards less of it; the logarithms keep the near kiloparsecs from drowning in the far ones.

    The score is estimated without bias from `N_SCORE` profiles a sightline. They depend on the batch alone,
    so that a training can be repeated.

    Parameters
    ----------
    step_kpc : float
    """

    def __init__(self, step_kpc: float, name: str = "profile_score", **kwargs: Any) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(name=name, **kwargs)
        self.step_kpc = step_kpc

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        seed = tf.bitcast(tf.reduce_sum(y_true), tf.int32)
        normal = normal_distribution(y_pred).sample(N_SCORE, seed=tf.stack([seed, 0]))
        density = to_density(normal, y_pred)
        scale = y_pred[..., 0]
        cumulative, truth = (tf.cumsum(r, axis=-1) * self.step_kpc for r in (density, y_true))
        crps = partial(crps_by_neighbours, axis=0)
        return tf.reduce_mean(
            crps(tf.math.log(cumulative + RELATIVE_FLOOR_MAG), tf.math.log(truth + RELATIVE_FLOOR_MAG))
            + DENSITY_WEIGHT * crps(tf.math.log1p(density / scale), tf.math.log1p(y_true / scale)),
            axis=-1,
        )

    def get_config(self) -> dict[str, Any]:
        return {"step_kpc": self.step_kpc, "name": self.name, "reduction": self.reduction}


def crps_by_neighbours(samples: tf.Tensor, truth: tf.Tensor, axis: int) -> tf.Tensor:
    """Unbiased CRPS from few samples: E|x - y| - E|x - x'| / 2, with the two that follow a sample as its x'.

    `extmap_tf.evaluation.windows.crps_of_samples` takes all pairs, by sorting, which has no cheap gradient.

    Parameters
    ----------
    samples : tf.Tensor [..., n_samples, ...]
    truth : tf.Tensor
        Of a shape that goes with that of `samples`.
    axis : int
        That of the samples.

    Returns
    -------
    tf.Tensor
        Without that axis.
    """
    spread = sum(tf.abs(samples - tf.roll(samples, k, axis=axis)) for k in (1, 2))
    return tf.reduce_mean(tf.abs(samples - truth) - 0.25 * spread, axis=axis)


@keras.saving.register_keras_serializable(_PACKAGE)
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise to `peak` over `warmup_steps`, then a cosine fall to 1 % of it at `total_steps`."""

    def __init__(self, peak: float, warmup_steps: int, total_steps: int) -> None:
        self.peak, self.warmup_steps, self.total_steps = peak, warmup_steps, total_steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        step = ops.cast(step, "float32")
        rise = (step + 1.0) / max(1.0, float(self.warmup_steps))
        done = (step - self.warmup_steps) / max(1.0, float(self.total_steps - self.warmup_steps))
        fall = 0.01 + 0.495 * (1.0 + ops.cos(3.141592653589793 * ops.clip(done, 0.0, 1.0)))
        return self.peak * ops.minimum(rise, fall)

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "total_steps": self.total_steps}
