"""The parameters of a direct fit: standard normal under the prior that training profiles are drawn from."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import ndtr, ndtri

from extmap_tf.extinction.profiles import way_through_disc
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.settings.nuisances import NuisanceConfig
from extmap_tf.settings.profiles import ProfilePrior

_N_DRAWS = 512
# Beside the draws single clouds, which the field draws too seldom: totals in standard normals, a width in
# bins, a height in standard deviations of the log-density, on a field of this spectral index.
_N_WALLS, _WALL_TOTALS, _WALL_BINS, _WALL_HEIGHT, _WALL_INDEX = 128, (-0.5, 0.5, 1.0, 1.6), 1.5, 4.0, 1.8
# Where the parameters have a cloud of their own, the normal number of its share of the total.
_WALL_FRACTION = 1.5

# Options of the training prior that parameters do not stand for.
_UNKNOWN = ("patchy_layers",)

_SCALARS = ("total", "index", "sigma", "height", "patchiness", "count")
_OF_DISC, _OF_CLOUD = ("length", "warp"), ("fraction", "place", "width")

# The share of the total in a cloud, by normal number.
_FRACTION_NODES = np.linspace(-4.0, 4.0, 161)
_FWHM_OVER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))

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
        self._distance, self._profiles = distance, profiles
        self._step_kpc, self._count_sigma = distance.step_kpc, np.float32(nuisances.count_sigma)
        self._scalars = _SCALARS + _OF_DISC * profiles.disc + _OF_CLOUD * (profiles.wall_share > 0)
        self.n_parameters: int = 2 * n + len(self._scalars)
        phase = np.pi / n * np.outer(np.arange(1, n + 1), np.arange(n))
        self._cos, self._sin = (tf.constant(f(phase), tf.float32) for f in (np.cos, np.sin))
        # As in `gaussian_random_field`: every k below the last counts twice.
        self._k = tf.range(1.0, n + 1.0)
        self._twice = tf.constant(np.append(np.full(n - 1, 2.0), 1.0), tf.float32)
        self._edges_kpc = tf.constant(distance.edges_kpc, tf.float32)
        self._fractions = tf.constant(_fraction_of_clouds(profiles), tf.float32)
        self._ranges = {
            "total": (np.log(profiles.total_min_mag), np.log(profiles.total_max_mag)),
            "index": (profiles.spectral_index_min, profiles.spectral_index_max),
            "sigma": (profiles.log_sigma_min, profiles.log_sigma_max),
            "height": (profiles.scale_height_min_kpc, profiles.scale_height_max_kpc),
            "length": (profiles.scale_length_min_kpc, profiles.scale_length_max_kpc),
            "warp": (0.0, profiles.warp_factor_max),
            "width": (np.log(profiles.cloud_fwhm_min_kpc), np.log(profiles.cloud_fwhm_max_kpc)),
        }

    def way(self, l_deg: float, b_deg: float) -> tf.Tensor:
        """Where a sightline is in the disc [4, n]: the fields of `WayThroughDisc`."""
        if self._profiles.disc:
            return tf.constant(np.array(way_through_disc(self._distance, l_deg, b_deg)), tf.float32)
        above_kpc = self._distance.centers_kpc * abs(np.sin(np.radians(b_deg)))
        even = np.zeros_like(above_kpc)
        return tf.constant(np.array([above_kpc, even, even + 1.0, even]), tf.float32)

    def physical(self, theta: tf.Tensor, way: tf.Tensor) -> Physical:
        """What parameters [batch, n_parameters] stand for.

        Parameters
        ----------
        theta : tf.Tensor [batch, n_parameters]
        way : tf.Tensor [4, n]
            Of the method of that name.
        """
        n, profiles = self._n, self._profiles
        scalars = dict(zip(self._scalars, tf.unstack(theta[:, 2 * n :], axis=1), strict=True))
        share = {name: 0.5 * (1.0 + tf.math.erf(x / np.float32(np.sqrt(2.0)))) for name, x in scalars.items()}
        value = {
            name: low + (high - low) * share[name]
            for name, (low, high) in self._ranges.items()
            if name in share
        }
        amplitude = self._twice * tf.exp(-0.5 * value["index"][:, None] * tf.math.log(self._k))
        amplitude /= tf.norm(amplitude, axis=1, keepdims=True)
        field = tf.matmul(amplitude * theta[:, :n], self._cos)
        field -= tf.matmul(amplitude * theta[:, n : 2 * n], self._sin)
        height_kpc, warp_kpc, flare, outward_kpc = tf.unstack(way)
        if profiles.disc:
            height_kpc = tf.abs(height_kpc - value["warp"][:, None] * warp_kpc)
        log_density = value["sigma"][:, None] * field - height_kpc / (value["height"][:, None] * flare)
        if profiles.disc:
            log_density -= outward_kpc / value["length"][:, None]
        increments = tf.nn.softmax(log_density)  # [batch, n]
        if profiles.wall_share:
            fraction = self._fraction(scalars["fraction"])[:, None]
            cloud = self._cloud(share["place"], tf.exp(value["width"]))
            increments = (1.0 - fraction) * increments + fraction * cloud
        increments *= tf.exp(value["total"])[:, None]
        outer = tf.cumsum(increments, axis=1)
        shells = tf.concat([outer - 0.5 * increments, outer[:, -1:]], axis=1)
        scale = tf.exp(self._count_sigma * scalars["count"])
        # The power of a positive number: its slope at zero may not be finite.
        patchiness = profiles.patchiness_max * tf.pow(
            tf.maximum(share["patchiness"], 1e-6), profiles.patchiness_power
        )
        return Physical(increments / self._step_kpc, shells, patchiness, scale)

    def _fraction(self, normal):
        """Share of the total in the cloud [batch], linear between nodes of the normal number."""
        low, step = _FRACTION_NODES[0], _FRACTION_NODES[1] - _FRACTION_NODES[0]
        at = tf.clip_by_value((normal - low) / step, 0.0, len(_FRACTION_NODES) - 1.001)
        index = tf.cast(tf.floor(at), tf.int32)
        below, above = tf.gather(self._fractions, index), tf.gather(self._fractions, index + 1)
        return below + (above - below) * (at - tf.floor(at))

    def _cloud(self, share, fwhm_kpc):
        """Share of the cloud in each bin [batch, n]: a Gaussian at places whose density falls as d^-1/2."""
        center_kpc = self._distance.max_kpc * share**2
        x = (self._edges_kpc - center_kpc[:, None]) * (_FWHM_OVER_SIGMA / fwhm_kpc[:, None])
        inside = tf.math.erf(x[:, 1:] / np.float32(np.sqrt(2.0))) - tf.math.erf(
            x[:, :-1] / np.float32(np.sqrt(2.0))
        )
        # Where there is none, single precision must not divide by nothing.
        inside += 1e-6
        return inside / tf.reduce_sum(inside, axis=1, keepdims=True)

    def starts(self, seed: int) -> tf.Tensor:
        """Parameters [n_starts, n_parameters] that a fit may begin with: draws, and single clouds."""
        draws = tf.random.stateless_normal([_N_DRAWS, self.n_parameters], [seed, 0])
        walls = self._clouds() if self._profiles.wall_share else self._walls()
        rows = walls.reshape(-1, self.n_parameters)
        return tf.concat([draws, tf.constant(rows[: len(rows) // AT_ONCE * AT_ONCE])], axis=0)

    def _of_walls(self, bins):
        """Parameters [n_totals, n_bins, n_parameters] with the totals of walls."""
        walls = np.zeros((len(_WALL_TOTALS), len(bins), self.n_parameters), np.float32)
        walls[..., 2 * self._n + self._scalars.index("total")] = np.asarray(_WALL_TOTALS)[:, None]
        return walls

    def _wall_bins(self):
        return np.unique(np.geomspace(1, self._n - 1, _N_WALLS // len(_WALL_TOTALS) + 1).astype(int))

    def _clouds(self):
        """Walls of the cloud that the parameters have."""
        bins, first = self._wall_bins(), 2 * self._n
        walls = self._of_walls(bins)
        walls[..., first + self._scalars.index("fraction")] = _WALL_FRACTION
        place = np.sqrt((bins + 0.5) / self._n)
        walls[..., first + self._scalars.index("place")] = ndtri(place)
        return walls

    def _walls(self):
        """Walls made of the modes of the field."""
        n, bins = self._n, self._wall_bins()
        bump = np.exp(-0.5 * ((np.arange(n) - bins[:, None]) / _WALL_BINS) ** 2)
        amplitude = np.asarray(self._twice) / np.sqrt(np.asarray(self._k)) ** _WALL_INDEX
        amplitude /= np.linalg.norm(amplitude)
        basis = amplitude[:, None] * np.stack([self._cos, -self._sin.numpy()])  # [2, n modes, n]
        modes = np.linalg.lstsq(basis.reshape(2 * n, n).T, _WALL_HEIGHT * bump.T, rcond=1e-6)[0].T
        walls = self._of_walls(bins)
        walls[..., : 2 * n] = modes
        return walls


def _fraction_of_clouds(profiles: ProfilePrior) -> np.ndarray:
    """Quantiles at `_FRACTION_NODES` of the share of the total that all clouds together hold."""
    even = (np.arange(2000) + 0.5) / 2000
    wall = 1.0 - (1.0 - profiles.wall_fraction_min) * even**2
    cloudy = profiles.cloud_fraction_min + (profiles.cloud_fraction_max - profiles.cloud_fraction_min) * even
    none = np.exp(-profiles.clouds_mean)
    shares = np.concatenate([wall, cloudy, [0.0]])
    weights = np.concatenate(
        [
            np.full(2000, profiles.wall_share / 2000),
            np.full(2000, (1.0 - profiles.wall_share) * (1.0 - none) / 2000),
            [(1.0 - profiles.wall_share) * none],
        ]
    )
    order = np.argsort(shares)
    up_to = np.cumsum(weights[order])
    return np.interp(ndtr(_FRACTION_NODES), up_to, shares[order], left=0.0)
