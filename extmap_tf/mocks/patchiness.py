"""How uneven the dust is across the field of one training pair."""

from dataclasses import dataclass

import numpy as np

from extmap_tf.draws import normals
from extmap_tf.extinction.profiles import cumulative_at
from extmap_tf.settings.profiles import ProfilePrior


@dataclass(frozen=True)
class Patchiness:
    """How uneven the dust is across a field, see `extmap_tf.settings.profiles.ProfilePrior`.

    Columns through clouds are log-normal at first (Kainulainen et al. 2009, A&A 508, L35).

    Parameters
    ----------
    sigma : float
        Standard deviation of the natural logarithm of the column; the profile is the mean.
    beyond_kpc : float
        The dust beyond has a factor of its own.
    sigma_beyond : float
        The standard deviation of its logarithm.
    """

    sigma: float = 0.0
    beyond_kpc: float = np.inf
    sigma_beyond: float = 0.0


EVEN = Patchiness()
_NEAREST_LAYER_KPC = 0.3


def draw_patchiness(prior: ProfilePrior, max_kpc: float, rng: np.random.Generator) -> Patchiness:
    """Draw how uneven the dust of one pair is.

    Parameters
    ----------
    prior : extmap_tf.settings.profiles.ProfilePrior
    max_kpc : float
        End of the profiles.
    rng : numpy.random.Generator

    Returns
    -------
    Patchiness
    """
    sigma = prior.patchiness_max * rng.random() ** prior.patchiness_power
    if prior.patchy_layers == 1:
        return Patchiness(sigma)
    uniform = rng.random(2)
    beyond_kpc = _NEAREST_LAYER_KPC * (max_kpc / _NEAREST_LAYER_KPC) ** uniform[0]
    return Patchiness(sigma, beyond_kpc, prior.patchiness_max * uniform[1] ** prior.patchiness_power)


def patchy_extinction(
    distance_kpc: np.ndarray,
    density: np.ndarray,
    step_kpc: float,
    patchiness: Patchiness,
    rng: np.random.Generator,
) -> np.ndarray:
    """Extinction of each star [n_stars] behind a profile [n_distances], mag."""
    a_red = cumulative_at(density, step_kpc, distance_kpc)
    if patchiness.beyond_kpc == np.inf:
        return _times_factor(a_red, patchiness.sigma, rng)
    far = np.flatnonzero(distance_kpc > np.float32(patchiness.beyond_kpc))
    near_mag = cumulative_at(density, step_kpc, np.array([patchiness.beyond_kpc]))[0]
    behind = a_red.take(far) - near_mag
    a_red[far] = near_mag
    a_red = _times_factor(a_red, patchiness.sigma, rng)
    a_red[far] += _times_factor(behind, patchiness.sigma_beyond, rng)
    return a_red


def _times_factor(a_red, sigma, rng):
    """Columns [n_stars] times a log-normal factor of mean one, star by star; the array is changed."""
    if sigma:
        normal = normals(rng, len(a_red))
        normal *= np.float32(sigma)
        normal -= np.float32(0.5 * sigma**2)
        a_red *= np.exp(normal, out=normal)
    return a_red
