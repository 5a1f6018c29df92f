"""Smooth functions of distance that are fitted to validation pairs after the training."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

_KNOTS = 12


class SmoothFunctions:
    """Functions of distance, all zero at first, linear between a few knots.

    Parameters
    ----------
    names : sequence of str
    n_distances : int

    Attributes
    ----------
    at_knots : tf.Variable [n_functions, n_knots]
        What is fitted, at equally spaced distances, the first and the last included.
    """

    def __init__(self, names: Sequence[str], n_distances: int) -> None:
        self._names = names
        knots = np.linspace(0, n_distances - 1, _KNOTS)
        every = np.arange(n_distances)
        self._weights = np.array([np.interp(every, knots, unit) for unit in np.eye(_KNOTS)], np.float32)
        self.at_knots = tf.Variable(tf.zeros([len(names), _KNOTS]))

    def at_distances(self) -> tf.Tensor:
        """The functions [n_functions, n_distances]."""
        return tf.matmul(self.at_knots, self._weights)

    def optimizer(self, rate: float, n_steps: int) -> keras.Optimizer:
        """One for a fit of few steps, whose rate falls to a fiftieth."""
        falling = keras.optimizers.schedules.CosineDecay(rate, max(n_steps, 1), alpha=0.02)
        return keras.optimizers.Adam(falling, beta_2=0.99)

    def to_dict(self) -> dict[str, list[float]]:
        """The functions by name, at the knots."""
        values = self.at_knots.numpy().astype(float)
        return {name: np.round(row, 4).tolist() for name, row in zip(self._names, values, strict=True)}
