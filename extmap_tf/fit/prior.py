"""The parameters of a direct fit: standard normal under the prior that training profiles are drawn from."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.settings.nuisances import NuisanceConfig
from extmap_tf.settings.profiles import ProfilePrior

_N_DRAWS = 512
# Beside the draws single clouds, which the field draws too seldom: totals in standard normals, a width in
# bins, a height in standard deviations of the log-density, on a field of this spectral index.
_N_WALLS, _WALL_TOTALS, _WALL_BINS, _WALL_HEIGHT, _WALL_INDEX = 128, (-0.5, 0.5, 1.0, 1.6), 1.5, 4.0, 1.8

# Options of the training prior that parameters do not stand for.
_UNKNOWN = ("disc", "wall_share", "patchiness_power", "patchy_layers")

_SCALARS = ("total", "index", "sigma", "height", "patchiness", "count")

AT_ONCE = 32
"""The number of starts is a multiple of this."""


class Physical(NamedTuple):
    """What parameters stand for.

    Parameters
    ----------
    density : tf.Tensor [batch, n]
        mag / kpc.
    shells : tf.Tensor [batch, n + 1]
        Extinction of every shell of stars, mag.
    patchiness, scale : tf.Tensor [batch]
    """

    density: tf.Tensor
    shells: tf.Tensor
    patchiness: tf.Tensor
    scale: tf.Tensor


def options_left_out(profiles: ProfilePrior) -> tuple[str, ...]:
    """Options that the training prior makes use of and the fit's does not: it has their defaults."""
    usual = ProfilePrior()
    return tuple(name for name in _UNKNOWN if getattr(profiles, name) != getattr(usual, name))


class FitPrior:
    """Parameters [batch, n_parameters] and what they stand for, see `extmap_tf.fit.directfit`.

    Parameters
    ----------
    distance, profiles, nuisances
        Sections of the configuration.
    """

    def __init__(self, distance: DistanceGrid, profiles: ProfilePrior, nuisances: NuisanceConfig) -> None:
        n = self._n = distance.n_distances
        self._step_kpc, self._count_sigma = distance.step_kpc, np.float32(nuisances.count_sigma)
        self.n_parameters: int = 2 * n + len(_SCALARS)
        phase = np.pi / n * np.outer(np.arange(1, n + 1), np.arange(n))
        self._cos, self._sin = (tf.constant(f(phase), tf.float32) for f in (np.cos, np.sin))
        # As in `gaussian_random_field`: every k below the last counts twice.
        self._k = tf.range(1.0, n + 1.0)
        self._twice = tf.constant(np.append(np.full(n - 1, 2.0), 1.0), tf.float32)
        self._ranges = {
            "total": (np.log(profiles.total_min_mag), np.log(profiles.total_max_mag)),
            "index": (profiles.spectral_index_min, profiles.spectral_index_max),
            "sigma": (profiles.log_sigma_min, profiles.log_sigma_max),
            "height": (profiles.scale_height_min_kpc, profiles.scale_height_max_kpc),
            "patchiness": (0.0, profiles.patchiness_max),
        }

    def physical(self, theta: tf.Tensor, depth_kpc: tf.Tensor) -> Physical:
        """What parameters [batch, n_parameters] stand for.

        Parameters
        ----------
        theta : tf.Tensor [batch, n_parameters]
        depth_kpc : tf.Tensor [n]
            Distance from the plane.
        """
        n = self._n
        scalars = dict(zip(_SCALARS, tf.unstack(theta[:, 2 * n :], axis=1), strict=True))
        value = {}
        for name, (low, high) in self._ranges.items():
            share = 0.5 * (1.0 + tf.math.erf(scalars[name] / np.float32(np.sqrt(2.0))))
            value[name] = low + (high - low) * share
        amplitude = self._twice * tf.exp(-0.5 * value["index"][:, None] * tf.math.log(self._k))
        amplitude /= tf.norm(amplitude, axis=1, keepdims=True)
        field = tf.matmul(amplitude * theta[:, :n], self._cos)
        field -= tf.matmul(amplitude * theta[:, n : 2 * n], self._sin)
        log_density = value["sigma"][:, None] * field - depth_kpc / value["height"][:, None]
        increments = tf.exp(value["total"])[:, None] * tf.nn.softmax(log_density)  # [batch, n]
        outer = tf.cumsum(increments, axis=1)
        shells = tf.concat([outer - 0.5 * increments, outer[:, -1:]], axis=1)
        scale = tf.exp(self._count_sigma * scalars["count"])
        return Physical(increments / self._step_kpc, shells, value["patchiness"], scale)

    def starts(self, seed: int) -> tf.Tensor:
        """Parameters [n_starts, n_parameters] that a fit may begin with: draws, and single clouds."""
        draws = tf.random.stateless_normal([_N_DRAWS, self.n_parameters], [seed, 0])
        return tf.concat([draws, self._walls()], axis=0)

    def _walls(self) -> tf.Tensor:
        n = self._n
        bins = np.unique(np.geomspace(1, n - 1, _N_WALLS // len(_WALL_TOTALS) + 1).astype(int))
        bump = np.exp(-0.5 * ((np.arange(n) - bins[:, None]) / _WALL_BINS) ** 2)
        amplitude = np.asarray(self._twice) / np.sqrt(np.asarray(self._k)) ** _WALL_INDEX
        amplitude /= np.linalg.norm(amplitude)
        basis = amplitude[:, None] * np.stack([self._cos, -self._sin.numpy()])  # [2, n modes, n]
        modes = np.linalg.lstsq(basis.reshape(2 * n, n).T, _WALL_HEIGHT * bump.T, rcond=1e-6)[0].T
        walls = np.zeros((len(_WALL_TOTALS), len(bins), self.n_parameters), np.float32)
        walls[..., : 2 * n] = modes
        walls[..., 2 * n + _SCALARS.index("total")] = np.asarray(_WALL_TOTALS)[:, None]
        rows = walls.reshape(-1, self.n_parameters)
        return tf.constant(rows[: len(rows) // AT_ONCE * AT_ONCE])
