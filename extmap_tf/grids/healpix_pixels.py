"""HEALPix pixels, nested and in Galactic coordinates (Górski et al. 2005, ApJ 622, 759)."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from astropy.units import Quantity

# Side of a pixel of nside 1 in degrees, if it were a square.
SIDE_DEG = math.degrees(math.sqrt(math.pi / 3.0))

# No point of a pixel is further from its centre than this many sides.
_REACH = 1.0


def pixels_where(
    nside: int, contains: Callable[[np.ndarray, np.ndarray, float], np.ndarray], at_most: float = math.inf
) -> np.ndarray:
    """The pixels whose centres are in a part of the sky, found from coarse ones to fine ones.

    Parameters
    ----------
    nside : int
    contains : callable
        Of l_deg, b_deg [n] and a margin in degrees: whether positions are in the part, or nearer to it than
        the margin.
    at_most : float
        The search is given up where there are more, of whatever nside.

    Returns
    -------
    ndarray of int64 [n]
        Nested, ascending.
    """
    level, index = 1, np.arange(12, dtype=np.int64)
    while index.size <= at_most:
        margin_deg = _REACH * SIDE_DEG / level if level < nside else 0.0
        index = index[contains(*pixel_centers_deg(index, level), margin_deg)]
        if level == nside:
            break
        index = (4 * index[:, None] + np.arange(4)).ravel()
        level *= 2
    return index


def smallest_nside(step_deg: float) -> int:
    """The smallest nside whose pixels are not wider than `step_deg`."""
    return 1 << max(0, math.ceil(math.log2(SIDE_DEG / step_deg) - 1e-9))


def pixel_centers_deg(pixel: np.ndarray, nside: int, **offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres (l, b) of pixels [n], or places in them at `dx` and `dy` from 0 to 1; l in [0, 360)."""
    from astropy_healpix import healpix_to_lonlat

    l, b = healpix_to_lonlat(pixel, nside, order="nested", **offsets)
    return np.mod(np.asarray(l.deg), 360.0), np.asarray(b.deg)


def pixel_of(l_deg: ArrayLike, b_deg: ArrayLike, nside: int, **how: bool) -> Any:
    """The pixel of each position [n]; further arguments as of `astropy_healpix.lonlat_to_healpix`."""
    from astropy_healpix import lonlat_to_healpix

    return lonlat_to_healpix(*angles(l_deg, b_deg), nside, order="nested", **how)


def angles(l_deg: ArrayLike, b_deg: ArrayLike) -> "tuple[Quantity, Quantity]":
    """Positions as astropy_healpix takes them: it crashes on some longitudes beyond 360 deg."""
    from astropy import units as u

    return np.mod(np.asarray(l_deg, float), 360.0) * u.deg, np.asarray(b_deg, float) * u.deg
