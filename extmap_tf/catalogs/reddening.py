"""Extinction that a Galaxy model's magnitudes carry already: how a table says so, and how it is undone."""

import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from extmap_tf.errors import DataError

Law = Callable[[float], float]

_MAG_PER_EFOLDING = float(2.5 / np.log(10.0))
_V_UM, _B_UM = 0.55, 0.44
# Bands in which extinction hardly depends on the star's colour, so that one wavelength stands for them.
_NARROW_UM = {"J": 1.235, "H": 1.662, "K": 2.159}

_BAND = "U|B|V|R|I|J|H|Ks?|L|M|u|g|r|i|z|y|Y|Z|G|G?BP|G?RP|GaiaG|W[1-4]|0|5495"
_SIGNS = (
    ("mag", re.compile(rf"^[Aa][_(](?:\w+_)?({_BAND})\)?$|^A({_BAND})$")),
    ("e-folding", re.compile(r"^(?:e-?foldings?|tau)[_(]?(.*?)\)?$", re.IGNORECASE)),
    ("E(B-V)", re.compile(r"^E[_(]?B[-_]?V\)?$", re.IGNORECASE)),
    (
        "other",
        re.compile(r"^E\(.+-.+\)$|^(?:ext|extinction|reddening|absorption)(?:[_ (].*)?$", re.IGNORECASE),
    ),
)


def signs(names: Iterable[str]) -> list[str]:
    """Columns whose names say that they hold the extinction of each star, A_V left out."""
    return [name for name in names if _reading(name) is not None]


def _reading(name):
    """What a column of extinction is in: (unit, band); None for another column."""
    for unit, pattern in _SIGNS:
        if found := pattern.match(name):
            groups = [group for group in found.groups() if group is not None]
            return unit, groups[0] if groups else ""
    return None


def extinction_in(
    columns: Mapping[str, np.ndarray], wavelengths_um: Mapping[str, float], law: Law | None, place: str
) -> tuple[dict[str, np.ndarray], str] | None:
    """Extinction in some bands, from whatever a table has instead of A_V.

    Parameters
    ----------
    columns : dict of str to ndarray [n_rows]
        Those of `signs`.
    wavelengths_um : dict of str to float
        Of the bands whose magnitudes are read, by their names (K for Ks, too).
    law : callable or None
        ``law(wavelength_um)`` is A/A(V).
    place : str
        The table's name, for messages.

    Returns
    -------
    (dict of str to ndarray [n_rows], str) or None
        By band, mag, and the column that it follows from; None if all are 0.

    Raises
    ------
    DataError
        There is extinction, and not in a form from which that in the bands follows exactly.
    """
    columns = {name: values for name, values in columns.items() if np.nan_to_num(values).any()}
    if not columns:
        return None
    bands = list(wavelengths_um)
    own = {}
    for name, values in columns.items():
        unit, band = _reading(name)
        letter = _letter(band)
        if unit in ("mag", "e-folding") and (letter in _NARROW_UM or letter in bands):
            own[letter] = name, values * (_MAG_PER_EFOLDING if unit == "e-folding" else 1.0)
    if all(band in own for band in bands):
        return {band: own[band][1] for band in bands}, " and ".join(own[band][0] for band in bands)
    if law is not None:
        for letter, (name, values) in own.items():
            if letter in _NARROW_UM:
                a_v = values / law(wavelengths_um.get(letter, _NARROW_UM[letter]))
                return {band: a_v * law(um) for band, um in wavelengths_um.items()}, name
        for name, values in columns.items():
            if _reading(name)[0] == "E(B-V)":
                a_v = values / (law(_B_UM) - law(_V_UM))
                return {band: a_v * law(um) for band, um in wavelengths_um.items()}, name
    name = next(iter(columns))
    more = "" if law or not own else "give the law that it was made with, or "
    raise DataError(
        f"{place}: column {name} says that the magnitudes carry extinction; that in {' and '.join(bands)} "
        f"does not follow from it exactly: {more}make the model without, or give A_V as the column av"
    )


def _letter(band):
    bare = band.rsplit("_", 1)[-1]
    return "K" if bare in ("K", "Ks") else bare
