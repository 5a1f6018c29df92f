"""What unit a column is in: the one place that decides, for every reader and every query."""

import functools
import warnings
from typing import Any

import numpy as np

from extmap_tf.errors import DataError

_HOURS_BASE_60 = ("h:m:s", "hms", "hh:mm:ss")
_DEGREES_BASE_60 = ("d:m:s", "dms", "dd:mm:ss")
# Spellings that astropy does not know, lower case.
_SPELLED = {
    **dict.fromkeys((*_DEGREES_BASE_60, "degs", "degrees", "degree", "°", "deg.", "decimal degrees"), "deg"),
    **dict.fromkeys((*_HOURS_BASE_60, "hours", "hour", "hr", "hrs", "h"), "hourangle"),
    **dict.fromkeys(("radian", "radians"), "rad"),
    **dict.fromkeys(("mags", "magnitude", "magnitudes", "mag."), "mag"),
    **dict.fromkeys(("parsec", "parsecs"), "pc"),
    **dict.fromkeys(("kiloparsec", "kiloparsecs"), "kpc"),
    **dict.fromkeys(("milliarcsec", "milliarcsecond", "milliarcseconds"), "mas"),
    **dict.fromkeys(("arcseconds", "arcsecond", "arc-second", '"', "''"), "arcsec"),
    "millimag": "mmag",
    "mmags": "mmag",
}
_NONE = ("", "-", "--", "---", "none", "null", "n/a", "na", "unitless", "dimensionless", "1")


def is_stated(unit: Any) -> bool:
    """Whether a table's text for a unit names one."""
    return unit is not None and str(unit).strip().strip('"[]()').lower() not in _NONE


def factor(unit: Any, wanted: str, place: str) -> float:
    """What to multiply a column with.

    Parameters
    ----------
    unit : str or astropy unit or None
        As the table states it; without a unit the column is taken to be in `wanted`.
    wanted : {"deg", "mag", "kpc", "mas"}
    place : str
        Table and column, for the message.

    Raises
    ------
    DataError
        The unit is unknown, or not one of that quantity; the message names it.
    """
    if not is_stated(unit):
        return 1.0
    text = str(unit).strip().strip('"[]()')
    try:
        return _factor(text, wanted)
    except (ValueError, TypeError):
        pass
    what = {"deg": "an angle", "mag": "a Vega magnitude", "kpc": "a distance", "mas": "a parallax"}[wanted]
    raise DataError(f"{place} is in {text[:60]!r}, which is not a unit of {what}: convert it to {wanted}")


@functools.lru_cache(maxsize=256)
def _factor(text, wanted):
    from astropy import units as u

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = _SPELLED.get(text.lower(), text)
        unit = u.Unit(name, parse_strict="silent")
        if isinstance(unit, u.UnrecognizedUnit):
            unit = u.Unit(name, format="cds")
        if not isinstance(unit, u.UnitBase):
            # Magnitudes that state a zero point of their own, such as mag(AB).
            raise ValueError(text)
        found = unit.to(u.Unit(wanted))
    return 1.0 if abs(found - 1.0) < 1e-12 else float(found)


def convert(values: np.ndarray, unit: Any, wanted: str, place: str) -> np.ndarray:
    """A column in the unit `wanted`; see `factor`."""
    scale = factor(unit, wanted, place)
    return values if scale == 1.0 else values * scale


def degrees(values: np.ndarray, unit: Any, role: str, sexagesimal: bool, place: str) -> np.ndarray:
    """A column of positions in degrees.

    Parameters
    ----------
    values : ndarray [n]
        Of cells in base 60 the number of the first unit.
    unit : str or astropy unit or None
        As the table states it.
    role : {"l", "b", "ra", "dec"}
        A right ascension in base 60 is in hours, unless its unit says degrees.
    sexagesimal : bool
        Whether the cells are in base 60.
    place : str
        Table and column, for messages.

    Raises
    ------
    DataError
        As `factor`; or the unit speaks of base 60 and the cells are plain numbers.
    """
    in_base_60 = "" if unit is None else str(unit).strip().strip('"').lower()
    if sexagesimal:
        unit = "hourangle" if role == "ra" and in_base_60 not in _DEGREES_BASE_60 else "deg"
    elif in_base_60 in (*_HOURS_BASE_60, *_DEGREES_BASE_60) and np.isfinite(values).any():
        raise DataError(
            f"{place} is in {in_base_60!r} by its header and holds plain numbers: correct the unit"
        )
    return convert(values, unit, "deg", place)
