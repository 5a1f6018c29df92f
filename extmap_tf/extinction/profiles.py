r"""Random 1D extinction profiles: the prior the network learns.

Along a sightline at latitude b, the differential extinction is

.. math::

    \rho(d) = T \left[ (1 - f) \frac{e(d)\,\exp(\sigma g(d))}{\int e \exp(\sigma g)}
              + f \sum_k w_k\, N(d; d_k, s_k) \right],
    \qquad e(d) = \exp(-d\,|\sin b| / h),

with a Gaussian random field g of zero mean, unit variance and power spectrum k^-index (Cornu et al. 2022,
sec. 3, draw their profiles from such fields), the mean decline e(d) away from the plane, and single clouds of
extent s_k at distances d_k whose density falls as e(d) d^-1/2. Total T, index, sigma, h, f and the clouds are
drawn anew for every profile from the ranges in `extmap_tf.config.ProfilePrior`. Exponentiation keeps the
density positive, so that the cumulative extinction never falls.
"""

import numpy as np

_FWHM_OVER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))


def draw_density(prior, distance, b_deg, rng):
    """Draw one profile of differential extinction.

    Parameters
    ----------
    prior : extmap_tf.config.ProfilePrior
    distance : extmap_tf.grids.DistanceGrid
    b_deg : float
        Galactic latitude of the sightline.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float32 [n_distances]
        A(red) per kpc in each distance bin, mag / kpc.
    """
    total = _log_uniform(prior.total_min_mag, prior.total_max_mag, rng)
    index = rng.uniform(prior.spectral_index_min, prior.spectral_index_max)
    sigma = rng.uniform(prior.log_sigma_min, prior.log_sigma_max)
    height = rng.uniform(prior.scale_height_min_kpc, prior.scale_height_max_kpc)
    fraction = rng.uniform(prior.cloud_fraction_min, prior.cloud_fraction_max)
    n_clouds = rng.poisson(prior.clouds_mean)

    d = distance.centers_kpc
    envelope = np.exp(-d * abs(np.sin(np.radians(b_deg))) / height)
    smooth = envelope * np.exp(sigma * gaussian_random_field(distance.n_distances, index, rng))
    increments = smooth / smooth.sum()
    if n_clouds:
        chance = envelope / np.sqrt(d)
        where = rng.choice(distance.n_distances, size=n_clouds, p=chance / chance.sum())
        centers = d[where] + distance.step_kpc * rng.uniform(-0.5, 0.5, n_clouds)
        widths = (
            _log_uniform(prior.cloud_fwhm_min_kpc, prior.cloud_fwhm_max_kpc, rng, n_clouds) / _FWHM_OVER_SIGMA
        )
        clouds = _cloud_increments(distance, centers, widths) @ rng.dirichlet(np.ones(n_clouds))
        increments = (1.0 - fraction) * increments + fraction * clouds
    return (total * increments / distance.step_kpc).astype(np.float32)


def gaussian_random_field(n, index, rng):
    """A Gaussian random field [n] of zero mean, unit variance and power spectrum k^-index.

    It is cut from a periodic field twice as long, so that its two ends are independent; the variance is one
    over draws, not within each.
    """
    k = np.arange(1, n + 1)
    amplitude = k ** (-0.5 * index)
    modes = np.zeros(n + 1, complex)
    modes[1:] = amplitude * (rng.standard_normal(n) + 1j * rng.standard_normal(n))
    field = np.fft.irfft(modes, 2 * n)[:n]
    # In irfft every k below the last counts twice, with both of its draws; the last once, with one.
    power = np.sum(amplitude[:-1] ** 2) * 4.0 + amplitude[-1] ** 2
    return field * (2 * n) / np.sqrt(power)


def density_to_cumulative(density, step_kpc):
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


def cumulative_at(density, step_kpc, distance_kpc):
    """Cumulative extinction of stars on one sightline, linear inside bins, constant past the last.

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
    edges = np.zeros(n + 2, np.float32)
    edges[1 : n + 1] = density_to_cumulative(density, step_kpc)
    edges[n + 1] = edges[n]
    x = np.minimum(np.asarray(distance_kpc, np.float32) * np.float32(1.0 / step_kpc), np.float32(n))
    bin_ = np.floor(x)
    i = bin_.astype(np.intp)
    x -= bin_
    x *= np.diff(edges)[i]
    x += edges[i]
    return x


def _cloud_increments(distance, centers_kpc, widths_kpc):
    """Share of each Gaussian cloud in each bin [n_distances, n_clouds]; a bin's share sums to one."""
    from scipy.special import ndtr

    steps = np.diff(ndtr((distance.edges_kpc[:, None] - centers_kpc) / widths_kpc), axis=0)
    return steps / steps.sum(axis=0)


def _log_uniform(low, high, rng, size=None):
    return np.exp(rng.uniform(np.log(low), np.log(high), size))
