"""Positions on the sphere."""

from typing import Any

import numpy as np


def unit_vectors(l_deg: Any, b_deg: Any, ops: Any = np) -> Any:
    """Vectors of length 1 towards positions.

    Parameters
    ----------
    l_deg, b_deg : arrays or tensors [...]
    ops : module
        Whose `cos`, `sin` and `stack` are used: of numpy, or of Keras for tensors.

    Returns
    -------
    array or tensor [..., 3]
        x towards l = 0, y towards l = 90 deg, z towards the pole.
    """
    l, b = l_deg * (np.pi / 180.0), b_deg * (np.pi / 180.0)
    return ops.stack([ops.cos(l) * ops.cos(b), ops.sin(l) * ops.cos(b), ops.sin(b)], axis=-1)


def separation_deg(l_deg: Any, b_deg: Any, l0_deg: Any, b0_deg: Any) -> Any:
    """Angles between positions, which broadcast against one another."""
    from astropy.coordinates import angular_separation

    return np.degrees(angular_separation(*map(np.radians, (l_deg, b_deg, l0_deg, b0_deg))))


def equatorial_to_galactic(ra_deg: np.ndarray, dec_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ICRS to Galactic coordinates [n], degrees."""
    from astropy.coordinates import SkyCoord

    place = SkyCoord(ra_deg, dec_deg, unit="deg", frame="icrs").galactic
    return place.l.deg, place.b.deg


def galactic_to_equatorial(l_deg: np.ndarray, b_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Galactic coordinates [n] to ICRS, degrees."""
    from astropy.coordinates import SkyCoord

    place = SkyCoord(l_deg, b_deg, unit="deg", frame="galactic").icrs
    return place.ra.deg, place.dec.deg


def shortest_range_deg(l_deg: np.ndarray) -> tuple[float, float]:
    """The shortest range that holds all longitudes: 0 to 360 where they go all around.

    They do where no gap is wider than a right angle: around a pole the innermost ring has four pixels.
    """
    l_deg = np.unique(l_deg)
    gaps = np.diff(np.append(l_deg, l_deg[0] + 360.0))
    widest = int(np.argmax(gaps))
    if gaps[widest] <= 90.0 + 1e-6:
        return 0.0, 360.0
    first = float(l_deg[(widest + 1) % l_deg.size])
    return first, first + 360.0 - float(gaps[widest])
