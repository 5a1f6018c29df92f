r"""Random 1D extinction profiles: the prior the network learns.

Along a sightline at latitude b, the differential extinction is

.. math::

    \rho(d) = T \left[ (1 - f) \frac{e(d)\,\exp(\sigma g(d))}{\int e \exp(\sigma g)}
              + f \sum_k w_k\, N(d; d_k, s_k) \right]

with a Gaussian random field g of zero mean, unit variance and power spectrum k^-index (Cornu et al. 2022,
sec. 3, draw their profiles from such fields), the mean decline e(d), and single clouds of extent s_k at
distances d_k. Total T, index, sigma, f, the clouds and the numbers in e are drawn anew for every profile
from the ranges in `extmap_tf.settings.profiles.ProfilePrior`. Exponentiation keeps the density positive, so
that the cumulative extinction never falls.

The mean decline is ``exp(-d |sin b| / h)``, or that of a disc of dust,

.. math:: e(d) = \exp\left(-\frac{|z_\odot + d \sin b - w\,z_w|}{h\,k(R)} - \frac{R - R_\odot}{L}\right),

with the height z_w of the stars' warp, w a factor on it, and k their flare. The density of clouds falls as
e(d) d^-1/2. A share of the profiles are walls: at least one cloud, nearly all of the column in clouds, and
these anywhere on the way, with a density that falls as d^-1/2 alone.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from extmap_tf.galaxy.laws.thin_disc import ThinDisc
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.settings.profiles import ProfilePrior

# Catalogs give distances in decimals, and 0.7 / 0.1 is below 7. This tolerance, in bins, puts a distance that
# is meant to lie on the edge of a bin into the farther bin, as the grid's intervals say.
BIN_TOLERANCE = 1e-9

_STARS = ThinDisc()
_FWHM_OVER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))


def draw_density(
    prior: ProfilePrior, distance: DistanceGrid, l_deg: float, b_deg: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw one profile of differential extinction: `draw_densities` with one generator.

    Returns
    -------
    ndarray of float32 [n_distances]
    """
    return draw_densities(prior, distance, l_deg, b_deg, [rng])[0]


def draw_densities(
    prior: ProfilePrior,
    distance: DistanceGrid,
    l_deg: float,
    b_deg: float,
    rngs: Sequence[np.random.Generator],
) -> np.ndarray:
    """Draw profiles of differential extinction.

    Parameters
    ----------
    prior : extmap_tf.settings.profiles.ProfilePrior
    distance : extmap_tf.grids.distance.DistanceGrid
    l_deg, b_deg : float
        Of the sightline.
    rngs : sequence of numpy.random.Generator
        One for each profile, which does not depend on the others.

    Returns
    -------
    ndarray of float32 [n_profiles, n_distances]
        A(red) per kpc in each distance bin, mag / kpc.
    """
    n = distance.n_distances
    uniform, normal = np.empty((len(rngs), 5)), np.empty((len(rngs), 2, n))
    for i, rng in enumerate(rngs):
        rng.random(out=uniform[i])
        rng.standard_normal(out=normal[i])
    n_clouds = np.array([rng.poisson(prior.clouds_mean) for rng in rngs])
    total, index, sigma, height, fraction = uniform.T[..., None]
    total = _log_uniform(prior.total_min_mag, prior.total_max_mag, total)
    index = _uniform(prior.spectral_index_min, prior.spectral_index_max, index)
    sigma = _uniform(prior.log_sigma_min, prior.log_sigma_max, sigma)
    height = _uniform(prior.scale_height_min_kpc, prior.scale_height_max_kpc, height)
    is_wall = np.zeros(len(rngs), bool)
    if prior.wall_share:
        is_wall = np.array([rng.random() for rng in rngs]) < prior.wall_share
        n_clouds = n_clouds + is_wall
    fraction = np.where(
        is_wall[:, None],
        1.0 - (1.0 - prior.wall_fraction_min) * fraction**2,
        _uniform(prior.cloud_fraction_min, prior.cloud_fraction_max, fraction),
    )

    if prior.disc:
        envelope = _disc(prior, distance, l_deg, b_deg, height, np.array([rng.random(2) for rng in rngs]))
    else:
        envelope = np.exp(-distance.centers_kpc * abs(np.sin(np.radians(b_deg))) / height)
    increments = envelope * np.exp(sigma * gaussian_random_field(index, normal))
    increments /= increments.sum(axis=-1, keepdims=True)
    cloudy = np.flatnonzero(n_clouds)
    if cloudy.size:
        fraction, n_clouds = fraction[cloudy], n_clouds[cloudy]
        where = np.where(is_wall[:, None], 1.0, envelope) / np.sqrt(distance.centers_kpc)
        clouds = _draw_clouds(prior, distance, where[cloudy], n_clouds, [rngs[i] for i in cloudy.tolist()])
        increments[cloudy] *= 1.0 - fraction
        increments[cloudy] += fraction * clouds
    return (total * increments / distance.step_kpc).astype(np.float32)


def _disc(prior, distance, l_deg, b_deg, height_kpc, uniform):
    """Mean decline in a disc of dust [n_profiles, n_distances].

    Heights are [n_profiles, 1]; `uniform` [n_profiles, 2] are numbers for its length and its warp.
    """
    way = way_through_disc(distance, l_deg, b_deg)
    warp_kpc = prior.warp_factor_max * uniform[:, 1:] * way.warp_kpc
    above_kpc = np.abs(way.height_kpc - warp_kpc)
    length_kpc = _uniform(prior.scale_length_min_kpc, prior.scale_length_max_kpc, uniform[:, :1])
    return np.exp(-above_kpc / (height_kpc * way.flare) - way.outward_kpc / length_kpc)


class WayThroughDisc(NamedTuple):
    """Where a sightline is in the disc of the stars.

    Parameters
    ----------
    height_kpc : ndarray [n_distances]
        Above the plane.
    warp_kpc : ndarray [n_distances]
        Height of the warped disc's middle there.
    flare : ndarray [n_distances]
        How many times thicker the disc is than at the Sun.
    outward_kpc : ndarray [n_distances]
        Radius less that of the Sun.
    """

    height_kpc: np.ndarray
    warp_kpc: np.ndarray
    flare: np.ndarray
    outward_kpc: np.ndarray


def way_through_disc(distance: DistanceGrid, l_deg: float, b_deg: float) -> WayThroughDisc:
    """Where the middles of the bins of a sightline are in the disc of the stars."""
    l, b, d = np.radians(l_deg), np.radians(b_deg), distance.centers_kpc
    x, y = _STARS.sun_kpc - d * np.cos(b) * np.cos(l), d * np.cos(b) * np.sin(l)
    radius = np.hypot(x, y)
    flare = 1.0 + _STARS.flare_slope_per_kpc * np.maximum(radius - _STARS.flare_kpc, 0.0)
    height_kpc = _STARS.sun_height_kpc + d * np.sin(b)
    return WayThroughDisc(height_kpc, _STARS.warp_height_kpc(x, y), flare, radius - _STARS.sun_kpc)


def _draw_clouds(prior, distance, density, n_clouds, rngs):
    """Increments [n_profiles, n_distances] of the clouds of profiles that have some; they sum to one.

    Parameters
    ----------
    prior, distance
    density : ndarray [n_profiles, n_distances]
        Chance of a cloud in a bin, in any unit.
    n_clouds : ndarray of int [n_profiles]
        1 or more.
    rngs : sequence of numpy.random.Generator [n_profiles]
    """
    draws = np.concatenate([rng.random((k, 3)) for rng, k in zip(rngs, n_clouds, strict=True)])
    # Shares even over all that sum to one (Dirichlet's distribution): exponential, over their sum.
    weights = np.concatenate([rng.standard_exponential(k) for rng, k in zip(rngs, n_clouds, strict=True)])
    owner = np.repeat(np.arange(len(rngs)), n_clouds)
    chance = np.cumsum(density, axis=-1)[owner]
    where = np.minimum(np.sum(chance <= draws[:, :1] * chance[:, -1:], axis=-1), distance.n_distances - 1)
    centers = distance.centers_kpc[where] + distance.step_kpc * (draws[:, 1] - 0.5)
    fwhm = _log_uniform(prior.cloud_fwhm_min_kpc, prior.cloud_fwhm_max_kpc, draws[:, 2])
    first = np.cumsum(n_clouds) - n_clouds
    weights /= np.repeat(np.add.reduceat(weights, first), n_clouds)
    clouds = cloud_increments(distance, centers[:, None], fwhm[:, None]) * weights[:, None]
    return np.add.reduceat(clouds, first, axis=0)


def cloud_increments(
    distance: DistanceGrid, centers_kpc: float | np.ndarray, fwhm_kpc: float | np.ndarray
) -> np.ndarray:
    """Share of Gaussian clouds in each distance bin.

    Parameters
    ----------
    distance : DistanceGrid
    centers_kpc, fwhm_kpc : float or ndarray [n_clouds, 1]

    Returns
    -------
    ndarray [n_distances] or [n_clouds, n_distances]
        Those of a cloud sum to one.
    """
    from scipy.special import ndtr

    steps = np.diff(ndtr((distance.edges_kpc - centers_kpc) / (fwhm_kpc / _FWHM_OVER_SIGMA)), axis=-1)
    return steps / steps.sum(axis=-1, keepdims=True)


def gaussian_random_field(index: float | np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Gaussian random fields of zero mean, unit variance and power spectrum k^-index.

    They are cut from periodic fields twice as long, so that their two ends are independent; the variance is
    one over draws, not within each.

    Parameters
    ----------
    index : float or ndarray [n_fields, 1]
    normal : ndarray [n_fields, 2, n]
        Normal numbers: the real and the imaginary parts of the modes.

    Returns
    -------
    ndarray [n_fields, n]
    """
    n = normal.shape[-1]
    amplitude = np.arange(1, n + 1) ** (-0.5 * index)
    modes = np.zeros((len(normal), n + 1), complex)
    modes.real[:, 1:] = amplitude * normal[:, 0]
    modes.imag[:, 1:] = amplitude * normal[:, 1]
    field = np.fft.irfft(modes, 2 * n)[:, :n]
    # In irfft every k below the last counts twice, with both of its draws; the last once, with one.
    power = 4.0 * np.sum(amplitude[..., :-1] ** 2, axis=-1, keepdims=True) + amplitude[..., -1:] ** 2
    return field * (2 * n) / np.sqrt(power)


def density_to_cumulative(density: np.ndarray, step_kpc: float) -> np.ndarray:
    """Cumulative extinction at the outer edge of every bin, mag.

    Parameters
    ----------
    density : ndarray [..., n_distances]
        mag / kpc.
    step_kpc : float

    Returns
    -------
    ndarray [..., n_distances]
    """
    return np.cumsum(density, axis=-1) * step_kpc


def cumulative_to_density(extinction: np.ndarray, step_kpc: float) -> np.ndarray:
    """Rise of the extinction in each bin, mag / kpc [..., n_distances]: what `density_to_cumulative` adds up.

    Of median extinctions it is where the dust is drawn, for it adds up to them. Medians of the density in
    single bins add up to less.
    """
    return np.diff(extinction, axis=-1, prepend=extinction.dtype.type(0)) / step_kpc


def bins_of(distance: DistanceGrid, d_kpc: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bin of each distance, how far into it (0 to 1), and whether the distance is past the last bin."""
    x = d_kpc / distance.step_kpc
    k = np.minimum(np.floor(x + BIN_TOLERANCE), distance.n_distances - 1)
    return k.astype(np.int64), np.clip(x - k, 0.0, 1.0), x > distance.n_distances + BIN_TOLERANCE


def inside_bin(outer: np.ndarray, inner: np.ndarray, k: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Extinction at `fraction` of bin `k`, from those at the outer edges of `k` and `k - 1`."""
    inner = np.where(k > 0, inner, 0.0)
    return inner + (outer.astype(np.float64) - inner) * fraction


def profiles_at(extinction: Any, distance: DistanceGrid, distances_kpc: Any) -> np.ndarray:
    """Extinction of every profile at the same distances: linear inside a bin, from 0 at the Sun.

    Parameters
    ----------
    extinction : array_like [..., n_distances]
        mag, at the outer edges of the bins.
    distance : DistanceGrid
    distances_kpc : array_like [n]
        Not negative; beyond ``distance.max_kpc`` the last value stays.

    Returns
    -------
    ndarray of float64 [..., n]
        mag.

    Examples
    --------
    >>> profiles_at([0.1, 0.3], DistanceGrid(0.5, 2), [0.25, 0.75, 5.0]).round(3).tolist()
    [0.05, 0.2, 0.3]
    """
    extinction = np.asarray(extinction)
    k, fraction, _ = bins_of(distance, np.asarray(distances_kpc, float))
    return inside_bin(extinction[..., k], extinction[..., np.maximum(k - 1, 0)], k, fraction)


def cumulative_at(density: np.ndarray, step_kpc: float, distance_kpc: np.ndarray) -> np.ndarray:
    """Cumulative extinction of stars on one sightline, linear inside bins, constant past the last.

    As `profiles_at`, for the hundred thousands of stars of a mock: in single precision, several times faster.

    Parameters
    ----------
    density : ndarray [n_distances]
        mag / kpc.
    step_kpc : float
    distance_kpc : ndarray [n_stars]

    Returns
    -------
    ndarray of float32 [n_stars], mag
    """
    n = len(density)
    # A last bin without dust, for what lies beyond.
    increments = np.zeros(n + 1, np.float32)
    np.multiply(density, step_kpc, out=increments[:n], casting="same_kind")
    edges = np.zeros(n + 1, np.float32)
    np.cumsum(increments[:n], out=edges[1:])
    x = np.minimum(np.asarray(distance_kpc, np.float32) * np.float32(1.0 / step_kpc), np.float32(n))
    i = x.astype(np.intp)
    x -= np.floor(x)
    x *= increments.take(i)
    x += edges.take(i)
    return x


def _uniform(low, high, uniform):
    return low + (high - low) * uniform


def _log_uniform(low, high, uniform):
    return np.exp(_uniform(np.log(low), np.log(high), uniform))
