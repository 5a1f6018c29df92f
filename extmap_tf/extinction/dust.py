r"""A known distribution of dust in space: the truth of a mock sky.

With R the distance from the Galactic centre, z the height above the plane and R0 that of the Sun, A(red)
per kpc is

.. math::

    \rho = \rho_0 \exp\left(-\frac{R - R_0}{h_R} - \frac{|z|}{h_z}\right)
           \left[1 + c \max_k \exp\left(-\frac{\delta_k^2}{2 w^2}\right)\right] + \mathrm{clouds},

where delta_k is the distance from arm k of `extmap_tf.galaxy.arms.mock_arms`, measured across it.
Clouds are Gaussian balls strewn in space, as dense as the smooth dust is.
"""

from dataclasses import dataclass

import numpy as np

from extmap_tf.extinction.profiles import bins_of, density_to_cumulative, inside_bin
from extmap_tf.galaxy.arms import SUN_RADIUS_KPC, mock_arms
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.healpix_pixels import smallest_nside
from extmap_tf.grids.sphere import unit_vectors
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.settings.dust import DustConfig

MARGIN_DEG = 0.5
"""How far the dust reaches beyond the fields: the tiles of the mock sky overshoot by less than that."""

_SAMPLES_PER_BIN = 5
_SAMPLES_PER_FIELD = 40
_BLOCK = 1024
_CLOUDS_WITHIN_KPC = 10.0


@dataclass(frozen=True)
class DustCube:
    """Dust along a regular grid of fine sightlines.

    Parameters
    ----------
    l_deg : ndarray [n_l]
        Ascending, not wrapped.
    b_deg : ndarray [n_b]
    step_kpc : float
    density : ndarray of float32 [n_b, n_l, n_distances]
        A(red) per kpc in each distance bin.
    """

    l_deg: np.ndarray
    b_deg: np.ndarray
    step_kpc: float
    density: np.ndarray

    def cumulative_at(self, l_deg: np.ndarray, b_deg: np.ndarray, distance_kpc: np.ndarray) -> np.ndarray:
        """A(red) of stars, linear between sightlines and inside distance bins, constant past the last.

        Parameters
        ----------
        l_deg, b_deg, distance_kpc : ndarray [n_stars]

        Returns
        -------
        ndarray of float32 [n_stars], mag
        """
        from scipy.ndimage import map_coordinates

        edges = np.zeros((*self.density.shape[:2], self.density.shape[2] + 1), np.float32)
        edges[..., 1:] = density_to_cumulative(self.density, self.step_kpc)
        # Wrapped about the middle: a star just below the first sightline is not 360 deg past it.
        middle = 0.5 * (self.l_deg[0] + self.l_deg[-1])
        l_offset = np.mod(np.asarray(l_deg) - middle + 180.0, 360.0) - 180.0 + (middle - self.l_deg[0])
        place = [
            (np.asarray(b_deg) - self.b_deg[0]) / (self.b_deg[1] - self.b_deg[0]),
            l_offset / (self.l_deg[1] - self.l_deg[0]),
            np.asarray(distance_kpc) / self.step_kpc,
        ]
        return map_coordinates(edges, place, order=1, mode="nearest")

    def field_density(self, sightlines: SightlineGrid) -> np.ndarray:
        """The mean profile over each field of a grid: density [n_b, n_l, n_distances], mag / kpc."""
        half = 0.5 * sightlines.field_deg
        rows = np.tensordot(_mean_weights(self.b_deg, sightlines.b_deg, half), self.density, axes=1)
        half_l = half / np.cos(np.radians(sightlines.b_deg))
        return np.stack(
            [
                _mean_weights(self.l_deg, sightlines.l_deg, h) @ row
                for h, row in zip(half_l, rows, strict=True)
            ]
        )


@dataclass(frozen=True)
class HealpixDust:
    """Dust that is even inside each of the small pixels that the fields of a HEALPix grid are made of.

    Parameters
    ----------
    sightlines : extmap_tf.grids.healpix.HealpixGrid
    factor : int
        Small pixels along a field's side.
    step_kpc : float
    density : ndarray of float32 [n_sightlines * factor ** 2, n_distances]
        A(red) per kpc in each distance bin.
    """

    sightlines: HealpixGrid
    factor: int
    step_kpc: float
    density: np.ndarray

    def cumulative_at(self, l_deg: np.ndarray, b_deg: np.ndarray, distance_kpc: np.ndarray) -> np.ndarray:
        """A(red) of stars inside the grid, linear inside distance bins, constant past the last.

        Parameters
        ----------
        l_deg, b_deg, distance_kpc : ndarray [n_stars]

        Returns
        -------
        ndarray of float32 [n_stars], mag
        """
        part = self.sightlines.part_of(l_deg, b_deg, self.factor)
        touched, part = np.unique(part, return_inverse=True)
        outer = density_to_cumulative(self.density[touched], self.step_kpc)
        distance = DistanceGrid(self.step_kpc, self.density.shape[1])
        k, fraction, _ = bins_of(distance, np.asarray(distance_kpc, float))
        at = inside_bin(outer[part, k], outer[part, np.maximum(k - 1, 0)], k, fraction)
        return at.astype(np.float32)

    def field_density(self, sightlines: HealpixGrid) -> np.ndarray:
        """The mean profile over each field of its grid: density [n_sightlines, n_distances], mag / kpc."""
        parts = self.density.reshape(sightlines.n_sightlines, self.factor**2, -1)
        return parts.mean(axis=1, dtype=float)


def draw_dust(
    dust: DustConfig,
    sightlines: SightlineGrid | HealpixGrid,
    distance: DistanceGrid,
    seed: int,
    spacing_deg: float = 0.1,
) -> DustCube | HealpixDust:
    """The dust over the region of a grid of sightlines.

    Parameters
    ----------
    dust : extmap_tf.settings.dust.DustConfig
    sightlines : extmap_tf.grids.squares.SightlineGrid or extmap_tf.grids.healpix.HealpixGrid
    distance : extmap_tf.grids.distance.DistanceGrid
    seed : int
        Of the clouds.
    spacing_deg : float
        Largest distance between fine sightlines; HEALPix parts are up to twice as wide.

    Returns
    -------
    DustCube or HealpixDust
    """
    if isinstance(sightlines, HealpixGrid):
        return _draw_healpix(dust, sightlines, distance, seed, spacing_deg)
    half = 0.5 * sightlines.field_deg
    half_l = half / np.cos(np.radians(max(abs(sightlines.b_min_deg), abs(sightlines.b_max_deg))))
    l_deg = _fine(sightlines.l_min_deg, sightlines.l_max_deg, half_l + MARGIN_DEG, spacing_deg)
    b_deg = _fine(sightlines.b_min_deg, sightlines.b_max_deg, half + MARGIN_DEG, spacing_deg)
    fine_kpc = _fine_kpc(distance)
    l, b = (axis.ravel() for axis in np.meshgrid(l_deg, b_deg))
    area_deg2 = (l_deg[1] - l_deg[0]) * (b_deg[1] - b_deg[0]) * np.cos(np.radians(b))
    density = _density(dust, l, b, area_deg2, fine_kpc, np.random.default_rng([seed, 4]))
    binned = density.reshape(b_deg.size, l_deg.size, distance.n_distances, _SAMPLES_PER_BIN).mean(axis=-1)
    return DustCube(l_deg, b_deg, distance.step_kpc, binned)


def _draw_healpix(dust, sightlines, distance, seed, spacing_deg):
    factor = max(1, smallest_nside(2.0 * spacing_deg) // sightlines.nside)
    l_deg, b_deg = sightlines.parts_deg(factor)
    fine_kpc = _fine_kpc(distance)
    area_deg2 = sightlines.area_deg2 / factor**2
    density = _density(dust, l_deg, b_deg, area_deg2, fine_kpc, np.random.default_rng([seed, 4]))
    binned = density.reshape(l_deg.size, distance.n_distances, _SAMPLES_PER_BIN).mean(axis=-1)
    return HealpixDust(sightlines, factor, distance.step_kpc, binned)


def _fine_kpc(distance):
    n_samples = distance.n_distances * _SAMPLES_PER_BIN
    return (np.arange(n_samples) + 0.5) * (distance.step_kpc / _SAMPLES_PER_BIN)


def relative_density(
    dust: DustConfig, l_deg: np.ndarray, b_deg: np.ndarray, distance_kpc: np.ndarray
) -> np.ndarray:
    """The smooth density over that between the arms, in the plane, at the Sun's distance from the centre.

    Positions broadcast against one another.
    """
    l, b = np.radians(l_deg), np.radians(b_deg)
    x = SUN_RADIUS_KPC - distance_kpc * np.cos(b) * np.cos(l)  # From the centre towards the Sun.
    y = distance_kpc * np.cos(b) * np.sin(l)  # Towards rotation.
    z = distance_kpc * np.sin(b)
    radius, azimuth = np.hypot(x, y), np.arctan2(y, x)
    tangent = np.tan(np.radians(dust.pitch_deg))
    ridge = 0.0
    for arm in mock_arms(dust.pitch_deg):
        turn = np.mod(azimuth - np.radians(arm.beta_deg) + np.pi, 2 * np.pi) - np.pi
        across = (radius - arm.radius_kpc * np.exp(-turn * tangent)) * np.cos(np.radians(dust.pitch_deg))
        ridge = np.maximum(ridge, np.exp(-0.5 * (across / dust.arm_width_kpc) ** 2))
    disc = np.exp(-(radius - SUN_RADIUS_KPC) / dust.scale_length_kpc - np.abs(z) / dust.scale_height_kpc)
    return disc * (1.0 + dust.arm_contrast * ridge)


def _density(dust, l_deg, b_deg, area_deg2, fine_kpc, rng):
    """Disc, arms and clouds [n, n_fine] along lines of sight that stand for `area_deg2` of the sky each."""
    density, expected = np.empty((l_deg.size, fine_kpc.size), np.float32), np.empty(l_deg.size)
    volume = fine_kpc**2 / np.sum(fine_kpc**2) * (fine_kpc[-1] / _CLOUDS_WITHIN_KPC) ** 3
    for first in range(0, l_deg.size, _BLOCK):
        block = slice(first, first + _BLOCK)
        relative = relative_density(dust, l_deg[block, None], b_deg[block, None], fine_kpc)
        density[block] = dust.local_mag_per_kpc * relative
        expected[block] = relative @ volume
    expected *= dust.clouds_per_deg2 * area_deg2
    towards = unit_vectors(l_deg, b_deg)
    n_clouds = rng.poisson(expected.sum())
    for centre in rng.choice(l_deg.size, n_clouds, p=expected / expected.sum()) if n_clouds else ():
        # From the smooth dust alone: on the clouds there are already, more would gather.
        chance = relative_density(dust, l_deg[centre], b_deg[centre], fine_kpc) * volume
        d0 = rng.choice(fine_kpc, p=chance / chance.sum())
        radius = dust.cloud_radius_kpc * np.exp(0.4 * rng.standard_normal())
        peak = dust.cloud_mag_median * np.exp(0.7 * rng.standard_normal()) / (radius * np.sqrt(2 * np.pi))
        reach = 4.0 * radius
        near_d = np.flatnonzero(np.abs(fine_kpc - d0) < reach)
        apart = np.linalg.norm(towards - towards[centre], axis=1)
        near = np.flatnonzero(apart < reach / d0)
        squared = (fine_kpc[near_d] - d0) ** 2 + (d0 * apart[near, None]) ** 2
        density[np.ix_(near, near_d)] += peak * np.exp(-0.5 * squared / radius**2)
    return density


def _mean_weights(fine, centers, half):
    """Weights [n_centers, n_fine] for the mean over center +- half of a function linear between `fine`."""
    offset = half * (2 * (np.arange(_SAMPLES_PER_FIELD) + 0.5) / _SAMPLES_PER_FIELD - 1)
    place = (centers[:, None] + offset - fine[0]) / (fine[1] - fine[0])
    below = np.clip(np.floor(place).astype(int), 0, len(fine) - 2)
    weights = np.zeros((len(centers), len(fine)))
    rows = np.arange(len(centers))[:, None]
    np.add.at(weights, (rows, below), (1 - (place - below)) / _SAMPLES_PER_FIELD)
    np.add.at(weights, (rows, below + 1), (place - below) / _SAMPLES_PER_FIELD)
    return weights


def _fine(low, high, margin, spacing):
    n = int(np.ceil((high - low + 2 * margin) / spacing)) + 1
    return np.linspace(low - margin, high + margin, n)
