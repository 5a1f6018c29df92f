"""Positions as plain numbers: the one place that decides on the units and masks of a query.

A coordinate or distance that is masked becomes NaN.
"""

from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import (
    BaseCoordinateFrame,
    ConvertError,
    Galactic,
    SkyCoord,
    UnitSphericalRepresentation,
)
from astropy.utils.masked import Masked

from extmap_tf.errors import DataError
from extmap_tf.grids.sphere import equatorial_to_galactic


def place_of(coords: SkyCoord | BaseCoordinateFrame) -> list[np.ndarray]:
    """l and b in deg, and d in kpc if there are distances, of one shape.

    Raises
    ------
    DataError
        No coordinates, or such that cannot be turned into Galactic ones, or a distance that is no length.
    """
    if not isinstance(coords, SkyCoord | BaseCoordinateFrame):
        raise DataError(f"query takes a SkyCoord (and query_gal takes l, b), got: {type(coords).__name__}")
    frame = coords.frame if isinstance(coords, SkyCoord) else coords
    # An offset frame of Galactic coordinates is a Galactic of astropy's too.
    if type(frame) is not Galactic:
        try:
            frame = frame.transform_to(Galactic())
        except ConvertError as error:
            raise DataError(f"coordinates cannot be turned into Galactic ones: {error}") from None
    place = frame.spherical
    parts = [plain(place.lon, u.deg, "longitude"), plain(place.lat, u.deg, "latitude")]
    if not isinstance(frame.data, UnitSphericalRepresentation):
        parts.append(plain(place.distance, u.kpc, "distance"))
    return parts


def galactic(l: Any, b: Any, d: Any = None) -> list[np.ndarray]:
    """As `place_of`, for Galactic numbers: plain ones are degrees and kpc; broadcast to one shape."""
    return _numbers(d, longitude=l, latitude=b)


def equatorial(ra: Any, dec: Any, d: Any = None) -> list[np.ndarray]:
    """As `galactic`, for right ascension and declination (ICRS)."""
    ra, dec, *rest = _numbers(d, right_ascension=ra, declination=dec)
    dec = np.where(np.abs(dec) <= 90.0, dec, np.nan)
    return [*equatorial_to_galactic(ra, dec), *rest]


def plain(value: Any, unit: u.UnitBase, name: str, unstated: u.UnitBase | None = None) -> np.ndarray:
    """Numbers in `unit`, NaN where they are masked.

    Parameters
    ----------
    value : float, array_like, Quantity, Column, masked or not
    unit : astropy.units.Unit
    name : str
        For messages.
    unstated : astropy.units.Unit, optional
        Unit of a value without one, if not `unit`.
    """
    try:
        stated = getattr(value, "unit", None)
        if isinstance(value, Masked):
            mask, value = value.mask, value.unmasked
        elif isinstance(value, np.ma.MaskedArray):
            mask, value = np.ma.getmaskarray(value), value.filled(0)
        else:
            mask = None
        numbers = u.Quantity(value, stated or unstated or unit, dtype=float).to_value(unit)
        return numbers if mask is None else np.where(mask, np.nan, numbers)
    except (u.UnitConversionError, TypeError, ValueError):
        raise DataError(
            f"{name} must be numbers in {unit} or convertible to it, got: {value!r:.60}"
        ) from None


def _numbers(distance, **angles):
    parts = [plain(angle, u.deg, name.replace("_", " ")) for name, angle in angles.items()]
    if distance is not None:
        parts.append(plain(distance, u.kpc, "distance"))
    try:
        return np.broadcast_arrays(*parts)
    except ValueError:
        shapes = ", ".join(str(part.shape) for part in parts)
        raise DataError(f"positions must have shapes that go together, got: {shapes}") from None
