"""Random numbers for thousands of stars: made of 16 bits each, which is more than a star's magnitude needs.

A fifth of the time that numpy takes for numbers of 24 bits.
"""

from functools import cache

import numpy as np

_N_LEVELS = 2**16


def uniforms(rng: np.random.Generator, n: int) -> np.ndarray:
    """Numbers between 0 and 1, neither included: the middles of 65,536 equal steps.

    Parameters
    ----------
    rng : numpy.random.Generator
        With a 64-bit source, as PCG64 and SFC64 are.
    n : int

    Returns
    -------
    ndarray of float32 [n]
    """
    numbers = _levels(rng, n).astype(np.float32)
    numbers += np.float32(0.5)
    numbers *= np.float32(1.0 / _N_LEVELS)
    return numbers


def normals(rng: np.random.Generator, n: int) -> np.ndarray:
    """Normal numbers of mean zero and variance one: 65,536 quantiles, within 4.33 standard deviations.

    Parameters
    ----------
    rng : numpy.random.Generator
        As for `uniforms`.
    n : int

    Returns
    -------
    ndarray of float32 [n]
    """
    # All indices are inside; with this mode numpy does not check.
    return _quantiles().take(_levels(rng, n), mode="clip")


def _levels(rng, n):
    return rng.bit_generator.random_raw((n + 3) // 4).view(np.uint16)[:n]


@cache
def _quantiles():
    from scipy.special import ndtri

    quantiles = ndtri((np.arange(_N_LEVELS) + 0.5) / _N_LEVELS)
    return (quantiles / np.std(quantiles)).astype(np.float32)
