"""Loss, metric and learning-rate schedule; the first two see densities [batch, n_distances] in mag / kpc."""

import keras
from keras import ops

_PACKAGE = "extmap_tf"

RELATIVE_FLOOR_MAG = 0.1
DENSITY_WEIGHT = 0.2


@keras.saving.register_keras_serializable(_PACKAGE)
class ProfileLoss(keras.losses.Loss):
    """Relative error of the cumulative extinction plus a share of the density's.

    ``mean |A' - A| / (A + 0.1 mag)  +  0.2 mean |r' - r| / (mean r + 0.1 mag / d_max)``, with A the
    cumulative extinction at the outer edges and r the density. Absolute errors make the answer a median;
    relative ones keep the near kiloparsecs, where little has added up, from drowning in the far ones.

    Parameters
    ----------
    step_kpc : float
    """

    def __init__(self, step_kpc, name="profile_loss", **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(name=name, **kwargs)
        self.step_kpc = step_kpc

    def call(self, y_true, y_pred):
        truth = ops.cumsum(y_true, axis=-1) * self.step_kpc
        error = ops.abs(ops.cumsum(y_pred - y_true, axis=-1)) * self.step_kpc
        cumulative = ops.mean(error / (truth + RELATIVE_FLOOR_MAG), axis=-1)
        d_max_kpc = y_true.shape[-1] * self.step_kpc
        level = ops.mean(y_true, axis=-1) + RELATIVE_FLOOR_MAG / d_max_kpc
        density = ops.mean(ops.abs(y_pred - y_true), axis=-1) / level
        return cumulative + DENSITY_WEIGHT * density

    def get_config(self):
        return {"step_kpc": self.step_kpc, "name": self.name, "reduction": self.reduction}


@keras.saving.register_keras_serializable(_PACKAGE)
class CumulativeError(keras.metrics.MeanMetricWrapper):
    """Mean absolute error of the cumulative extinction over all distances, mag.

    Parameters
    ----------
    step_kpc : float
    """

    def __init__(self, step_kpc, name="cumulative_mae_mag", dtype="float32"):
        def error(y_true, y_pred):
            return ops.mean(ops.abs(ops.cumsum(y_pred - y_true, axis=-1)), axis=-1) * step_kpc

        super().__init__(error, name=name, dtype=dtype)
        self.step_kpc = step_kpc

    def get_config(self):
        return {"step_kpc": self.step_kpc, "name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable(_PACKAGE)
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise to `peak` over `warmup_steps`, then a cosine fall to 1 % of it at `total_steps`."""

    def __init__(self, peak, warmup_steps, total_steps):
        self.peak, self.warmup_steps, self.total_steps = peak, warmup_steps, total_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rise = (step + 1.0) / max(1.0, float(self.warmup_steps))
        done = (step - self.warmup_steps) / max(1.0, float(self.total_steps - self.warmup_steps))
        fall = 0.01 + 0.495 * (1.0 + ops.cos(3.141592653589793 * ops.clip(done, 0.0, 1.0)))
        return self.peak * ops.minimum(rise, fall)

    def get_config(self):
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "total_steps": self.total_steps}
