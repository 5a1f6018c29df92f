"""Star catalogs made by Galaxy models elsewhere: Besançon, TRILEGAL, SynthPop and the like.

Magnitudes end up in the survey's bands and free of extinction. A table that already carries extinction is
corrected star by star with a law, or refused; Johnson J, H, K are turned into 2MASS J, H, Ks.
"""

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from extmap_tf.catalogs.columns import find_columns, what_there_is
from extmap_tf.catalogs.formats.base import readable
from extmap_tf.catalogs.formats.models import open_models
from extmap_tf.catalogs.reddening import Law, extinction_in, signs
from extmap_tf.catalogs.stars import MockCatalog
from extmap_tf.catalogs.tables import open_local
from extmap_tf.catalogs.units import convert, is_stated
from extmap_tf.errors import DataError
from extmap_tf.settings.survey import SurveyConfig
from extmap_tf.surveys.limits import is_magnitude

_log = logging.getLogger(__name__)

SYSTEMS = ("2mass", "johnson")

# Effective wavelengths of Bessell & Brett (1988) J, H, K.
_JOHNSON_WAVELENGTH_UM = {"J": 1.22, "H": 1.63, "K": 2.19}

_ROLES = {
    "l": ("l", "longitude", "glon", "l_deg", "gal_lon"),
    "b": ("b", "latitude", "glat", "b_deg", "gal_lat"),
    "distance": ("dist", "distance", "distance_kpc", "dist_kpc"),
    "distance_pc": ("distance_pc", "dist_pc"),
    "modulus": ("m-m0", "distance_modulus", "dmod"),
    "av": ("av", "a_v", "a(v)"),
    "blue": (),
    "red": (),
}
# No model has half of its stars beyond; a table in pc has.
_FARTHEST_KPC = 200.0


def read_model_catalog(
    path: str | os.PathLike,
    survey: SurveyConfig,
    area_deg2: float | None = None,
    l_deg: float | None = None,
    b_deg: float | None = None,
    columns: Mapping[str, str] | None = None,
    system: str | None = None,
    a_over_av: Law | None = None,
    seed: int = 0,
) -> tuple[MockCatalog, dict[str, int]]:
    """Read a Galaxy model's stars on one sightline.

    Recognised are Besançon's .resu files of 2003, its present web output, TRILEGAL's output, and any table
    that `extmap_tf.catalogs.tables` reads or HDF5 with columns of equal length (SynthPop and others), each
    also with the columns named by the user.

    Parameters
    ----------
    path : path-like
        The file; text may be gzip-compressed.
    survey : SurveyConfig
        Names and wavelengths of the two bands.
    area_deg2 : float, optional
        Solid angle of the field; needed unless the header states it.
    l_deg, b_deg : float, optional
        Centre of the field; by default the mean of the stars' positions, then what the header states.
    columns : dict of str to str, optional
        Column names by role: blue, red (apparent magnitudes), distance (kpc), distance_pc, modulus
        (distance modulus, mag), av (A_V of each star, mag), l, b (degrees).
    system : {"2mass", "johnson"}, optional
        Photometric system of the table, where it does not follow from the header and the column names.
        "johnson" (Bessell & Brett 1988) is converted to 2MASS by `johnson_to_2mass`. Columns given as
        blue and red are taken to be in the survey's system unless this says otherwise.
    a_over_av : callable, optional
        ``a_over_av(wavelength_um)`` is the extinction law A/A(V), to undo extinction that is in the table.
    seed : int
        Of the random order of the stars.

    Returns
    -------
    MockCatalog
    rejected : dict of str to int
        Number of rows that could not be used, by reason; also logged.

    Raises
    ------
    DataError
        The file is missing, truncated or corrupted; lacks a magnitude, a distance, the area or the
        position; carries extinction and no law is given.
    """
    path = Path(path)
    if system not in (None, *SYSTEMS):
        raise DataError(f"{path}: photometric system must be one of {', '.join(SYSTEMS)}, got: {system!r}")
    with open_local(path) as stream, readable(str(path)):
        tables = open_models(stream, path)
        table, (roles, expressions, system) = _chosen(tables, survey, columns or {}, system, path)
        found = _read(table, roles, expressions, path)
    magnitudes = {
        band: sum(sign * found[column] for sign, column in parts) for band, parts in expressions.items()
    }
    distance_kpc = _distance(found, roles, table.units, path)
    position = {role: _angle(found, roles, role, table.units, path) for role in ("l", "b") if role in roles}
    own_um = {_letter(band.name): band.wavelength_um for band in (survey.blue, survey.red)}
    wavelengths_um = _JOHNSON_WAVELENGTH_UM if system == "johnson" else own_um
    wavelengths_um = {band: wavelengths_um[band] for band in magnitudes}
    extinction, about = _extinction(table, found, roles, wavelengths_um, a_over_av, path)
    for band, a_mag in extinction.items():
        magnitudes[band] = magnitudes[band] - a_mag
    if system == "johnson":
        j, h, ks = johnson_to_2mass(magnitudes["J"], magnitudes.get("H"), magnitudes["K"])
        magnitudes = {"J": j, "H": h, "K": ks}
    blue_mag, red_mag = (magnitudes[_letter(band.name)] for band in (survey.blue, survey.red))

    usable = np.ones(len(distance_kpc), bool)
    rejected = {}
    for reason, right in (
        ("no extinction, of stars that carry it", _is_known(extinction, len(distance_kpc))),
        (f"no {survey.blue.name} magnitude", is_magnitude(blue_mag)),
        (f"no {survey.red.name} magnitude", is_magnitude(red_mag)),
        ("no distance", (distance_kpc > 0) & np.isfinite(distance_kpc)),
    ):
        n_rejected = np.count_nonzero(usable & ~right)
        if n_rejected:
            rejected[reason] = int(n_rejected)
        usable &= right
    if not usable.any():
        raise DataError(f"{path}: none of {len(usable)} rows can be used: {_counts(rejected) or 'no rows'}")
    rejected |= table.left_out
    if rejected:
        n_rows = len(usable) + sum(table.left_out.values())
        _log.warning(
            "%s: %d of %d rows left out: %s", path, sum(rejected.values()), n_rows, _counts(rejected)
        )

    center_deg = _center(position, usable, table.facts, l_deg, b_deg, path)
    area_deg2 = table.facts.get("area_deg2") if area_deg2 is None else area_deg2
    if area_deg2 is None:
        raise DataError(f"{path}: the solid angle is not in the file: give area_deg2")
    if not 0 < area_deg2 < 41253:
        raise DataError(f"{path}: the solid angle must be above 0 and below the whole sky, got: {area_deg2}")
    order = np.random.default_rng(seed).permutation(np.flatnonzero(usable))
    return (
        MockCatalog(
            l_deg=center_deg[0],
            b_deg=center_deg[1],
            area_deg2=float(area_deg2),
            distance_kpc=distance_kpc[order].astype(np.float32),
            magnitudes={
                survey.blue.name: blue_mag[order].astype(np.float32),
                survey.red.name: red_mag[order].astype(np.float32),
            },
            reference_band=survey.red.name,
            source=f"{path.name} ({table.kind}, {system or 'own'} photometry{about})",
        ),
        rejected,
    )


def johnson_to_2mass(
    j_mag: ArrayLike, h_mag: ArrayLike | None, k_mag: ArrayLike
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Bessell & Brett (1988) magnitudes to 2MASS.

    Carpenter (2001, AJ 121, 2851), equations A1, A3 and A4: Ks = K - 0.044; (J-Ks) = 0.972 (J-K) - 0.011;
    (H-Ks) = 0.996 (H-K) + 0.028.

    Parameters
    ----------
    j_mag, h_mag, k_mag : array_like [n_stars]
        `h_mag` may be None.

    Returns
    -------
    j_mag, h_mag, ks_mag : ndarray [n_stars]
        H is None where it was.
    """
    ks_mag = np.asarray(k_mag) - 0.044
    j = ks_mag + 0.972 * (np.asarray(j_mag) - k_mag) - 0.011
    h = None if h_mag is None else ks_mag + 0.996 * (np.asarray(h_mag) - k_mag) + 0.028
    return j, h, ks_mag


def _chosen(tables, survey, given, system, path):
    """The first of several tables that has the columns, and what `_columns_of` says of it."""
    errors = []
    for table in tables:
        try:
            return table, _columns_of(table, survey, given, system, path)
        except DataError as error:
            errors.append(error)
    raise errors[0]


def _columns_of(table, survey, given, system, path):
    """Roles to columns, how each magnitude follows from them, and the system (None: the survey's own).

    K stands for K and Ks alike; the system tells which it is.
    """
    roles = find_columns(table.names, _ROLES, given, str(path))
    if not {"distance", "distance_pc", "modulus"} & set(roles):
        raise DataError(
            f"{path}: no distance (looked for Dist, distance_kpc, distance_pc, m-M0); "
            f"{what_there_is(table.names)}; give the column distance, distance_pc or modulus"
        )
    bands = [_letter(band.name) for band in (survey.blue, survey.red)]
    own = [role for role in ("blue", "red") if role in roles]
    if len(own) == 1:
        raise DataError(f"{path}: give the columns of both magnitudes, blue and red, or of neither")
    if own and system == "johnson" and set(bands) != {"J", "K"}:
        raise DataError(f"{path}: Johnson magnitudes given by column are converted for J and Ks only")
    if own:
        return roles, {band: [(1, roles[role])] for band, role in zip(bands, own, strict=True)}, system
    if not set(bands) <= set("JHK"):
        raise DataError(
            f"{path}: known columns are those of J, H and Ks, the survey's bands are "
            f"{survey.blue.name} and {survey.red.name}: give the columns blue and red"
        )
    expressions = _band_expressions(table.names)
    if system is None:
        system = "2mass" if "Ks" in expressions else table.system
    if system is None:
        raise DataError(
            f"{path}: no column is plainly 2MASS Ks and the photometric system is not stated: "
            f"give system = 2mass or johnson, or the columns; {what_there_is(table.names)}"
        )
    if system == "2mass" and "Ks" in expressions:
        expressions["K"] = expressions["Ks"]
    wanted = {*bands, "J", "K"} if system == "johnson" else set(bands)
    for band in sorted(wanted - set(expressions)):
        raise DataError(
            f"{path}: no {band} magnitude nor colours that give it; {what_there_is(table.names)}; "
            "give the columns blue and red"
        )
    return roles, {band: expressions[band] for band in sorted(wanted)}, system


def _read(table, roles, expressions, path):
    """All columns that are needed, magnitudes in mag."""
    magnitudes = [column for parts in expressions.values() for _, column in parts]
    found = table.read([*roles.values(), *magnitudes, *signs(table.names)])
    for column in dict.fromkeys(magnitudes):
        found[column] = convert(found[column], table.units.get(column), "mag", f"{path}: column {column}")
    return found


def _letter(band_name):
    return "K" if band_name.upper() == "KS" else band_name.upper()


def _band_expressions(names):
    """How each magnitude follows from the columns: band to (sign, column) pairs.

    A magnitude may be a column of its own (J, J_mag, 2MASS_J, Ks) or follow from another through colours
    (K and J-K; V, V-K and J-K).
    """
    known: dict[str, Any] = {}
    colors = []
    for name in names:
        bare = name.removeprefix("2MASS_").removesuffix("_mag").removesuffix("mag")
        if re.fullmatch(r"[UBVRIJHKL]|Ks", bare):
            known.setdefault(bare, [(1, name)])
        elif match := re.fullmatch(r"([UBVRIJHKL]|Ks)-([UBVRIJHKL]|Ks)", name):
            colors.append((match[1], match[2], name))
    for _ in colors:
        for first, second, name in colors:
            if first not in known and second in known:
                known[first] = [*known[second], (1, name)]
            elif second not in known and first in known:
                known[second] = [*known[first], (-1, name)]
    return known


def _distance(found, roles, units, path):
    if "distance" not in roles and "distance_pc" not in roles:
        return 10.0 ** (0.2 * found[roles["modulus"]] - 2.0)
    column = roles["distance"] if "distance" in roles else roles["distance_pc"]
    unit = units.get(column)
    if not is_stated(unit):
        unit = "kpc" if "distance" in roles else "pc"
    distance_kpc = convert(found[column], unit, "kpc", f"{path}: column {column}")
    known = distance_kpc[distance_kpc > 0]
    if known.size and np.median(known) > _FARTHEST_KPC:
        raise DataError(
            f"{path}: half of the stars are beyond {_FARTHEST_KPC:g} kpc: if column {column} is in pc, name "
            "it as distance_pc"
        )
    return distance_kpc


def _angle(found, roles, role, units, path):
    column = roles[role]
    return convert(found[column], units.get(column), "deg", f"{path}: column {column}")


def _extinction(table, found, roles, wavelengths_um, a_over_av, path):
    """Extinction in the bands that the magnitudes carry, and words on it for the catalog's origin."""
    if "av" in roles:
        av_mag = convert(found[roles["av"]], table.units.get(roles["av"]), "mag", f"{path}: {roles['av']}")
        if (av_mag < 0).any():
            raise DataError(f"{path}: column {roles['av']} must hold A_V, it has negative values")
        if not np.nan_to_num(av_mag).any():
            return dict.fromkeys(wavelengths_um, av_mag), ""
        if a_over_av is None:
            raise DataError(
                f"{path}: the magnitudes carry extinction (A_V up to {np.nanmax(av_mag):.3f} mag): make the "
                "model without extinction, or give the law that it was made with"
            )
        about = f", A_V up to {np.nanmax(av_mag):.3f} mag removed"
        return {band: av_mag * a_over_av(um) for band, um in wavelengths_um.items()}, about
    columns = {name: found[name] for name in signs(table.names)}
    if other := extinction_in(columns, wavelengths_um, a_over_av, str(path)):
        extinction, column = other
        return extinction, f", extinction by {column} removed"
    if not columns and table.facts.get("av_mag"):
        raise DataError(
            f"{path}: a comment says A_V = {table.facts['av_mag']:g} mag and no column has that of each "
            "star: make the model without extinction, or with the column Av"
        )
    return {}, "" if columns else ", no A_V column: taken as free of extinction"


def _is_known(extinction, n_rows):
    known = np.ones(n_rows, bool)
    for a_mag in extinction.values():
        known &= np.isfinite(a_mag)
    return known


def _center(position, usable, facts, l_deg, b_deg, path):
    if l_deg is None and "l" in position:
        angle = np.radians(position["l"][usable])
        # Through sine and cosine: a field may lie across l = 0.
        l_deg = np.degrees(np.arctan2(np.sin(angle).mean(), np.cos(angle).mean()))
    if b_deg is None and "b" in position:
        b_deg = position["b"][usable].mean()
    l_deg = facts.get("l_deg") if l_deg is None else l_deg
    b_deg = facts.get("b_deg") if b_deg is None else b_deg
    if l_deg is None or b_deg is None or not np.isfinite([l_deg, b_deg]).all() or abs(b_deg) > 90:
        raise DataError(f"{path}: the position is not in the file: give l_deg and b_deg")
    return float(l_deg) % 360.0, float(b_deg)


def _counts(rejected):
    return ", ".join(f"{reason}: {n}" for reason, n in rejected.items())
