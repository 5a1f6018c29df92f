"""Parallaxes as a survey measures them: errors by magnitude, a zero point, negative values."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from extmap_tf.draws import normals
from extmap_tf.settings.survey import Parallax

_PIVOT_MAG = 15.0


@dataclass(frozen=True)
class ParallaxOffsets:
    """What is off in the parallaxes of one field, by default nothing.

    Parameters
    ----------
    zero_point_mas : float
        Added to all.
    ln_error : float
        Natural logarithm of a factor on their errors.
    """

    zero_point_mas: float = 0.0
    ln_error: float = 0.0


AS_PUBLISHED = ParallaxOffsets()


def parallax_error(mag: ArrayLike, parallax: Parallax) -> np.ndarray:
    """Standard deviation of a parallax.

    Parameters
    ----------
    mag : array_like
        Observed magnitude in ``parallax.band``.
    parallax : extmap_tf.settings.survey.Parallax

    Returns
    -------
    ndarray, mas
        Of the type of `mag`.
    """
    mag = np.asarray(mag)
    z = np.exp((0.4 * math.log(10.0)) * (np.maximum(mag, parallax.bright_mag) - _PIVOT_MAG))
    squared = np.zeros_like(z)
    for coefficient in reversed(parallax.error_uas2):
        squared = squared * z + coefficient
    return (1e-3 * parallax.error_factor) * np.sqrt(squared)


def zero_point(mag: ArrayLike, parallax: Parallax) -> np.ndarray:
    """What is added to true parallaxes of stars of an observed magnitude, mas; of the type of `mag`."""
    mag = np.asarray(mag, np.result_type(mag, np.float32))
    points = list(zip(parallax.zero_point_mag, parallax.zero_point_mas, strict=True))
    found = np.full_like(mag, points[0][1] if points else 0.0)
    # A sum of ramps is ten times faster than a search for each star's interval.
    for (start, before), (stop, after) in itertools.pairwise(points):
        if after != before:
            found += (np.clip(mag, start, stop) - start) * ((after - before) / (stop - start))
    return found


def measure_parallaxes(
    distance_kpc: np.ndarray,
    mag: np.ndarray,
    parallax: Parallax,
    rng: np.random.Generator,
    offsets: ParallaxOffsets = AS_PUBLISHED,
) -> np.ndarray:
    """Draw the parallaxes of stars.

    Parameters
    ----------
    distance_kpc : ndarray [n_stars]
    mag : ndarray [n_stars]
        Observed magnitudes in ``parallax.band``.
    parallax : extmap_tf.settings.survey.Parallax
    rng : numpy.random.Generator
    offsets : ParallaxOffsets

    Returns
    -------
    ndarray of float32 [n_stars]
        mas; negative where the error says so.
    """
    measured = 1.0 / np.maximum(distance_kpc, np.float32(1e-6))
    measured += normals(rng, mag.size) * (math.exp(offsets.ln_error) * parallax_error(mag, parallax))
    measured += zero_point(mag, parallax) + offsets.zero_point_mas
    return measured.astype(np.float32)
