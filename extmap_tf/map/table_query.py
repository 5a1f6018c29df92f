"""Extinction for every row of a table: the same table with new columns."""

import re
import warnings
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from extmap_tf.catalogs.columns import POSITIONS, find_columns, what_there_is
from extmap_tf.errors import DataError
from extmap_tf.files import refuse_existing, whole_path

DISTANCES = (
    *("distance", "dist", "distance_kpc", "dist_kpc", "distance_pc", "dist_pc"),
    *("r_med_photogeo", "r_med_geo", "rpgeo", "rgeo"),
)
_ROLES = POSITIONS | {"distance": DISTANCES}
_IN_PC = ("r_med_photogeo", "r_med_geo", "rpgeo", "rgeo")
_SUFFIXES = {
    "fits": (".fits", ".fit"),
    "votable": (".vot", ".xml", ".votable"),
    "parquet": (".parquet",),
    "ascii.ecsv": (".ecsv",),
    "ascii.csv": (".csv",),
}
_FLAG_COLUMN = "extinction_flag"


def query_table(volume, path, out, columns=None, distance_kpc=None, overwrite=False, **how):
    """Write a table again with the map's answer to each row.

    Parameters
    ----------
    volume : extmap_tf.map.volume.ExtinctionMap
    path : path-like
        FITS, VOTable, Parquet, ECSV or CSV, recognised by its content. Positions are Galactic or equatorial
        (ICRS) in columns with usual names; distances are in the column's unit, else in pc or kpc as the end
        of its name says, else in kpc.
    out : path-like
        Of the same format, which its suffix must show.
    columns : dict of str to str, optional
        Column for a role (l, b, ra, dec, distance) whose name is not known.
    distance_kpc : float, optional
        One distance for all rows, instead of a column.
    overwrite : bool
    how
        As for `ExtinctionMap.query`; not the samples.

    Returns
    -------
    n_rows, n_without : int
        Rows, and how many of them have no value. Each row's reasons are in the column ``extinction_flag``.

    Raises
    ------
    DataError
        The table cannot be read or written so, lacks a column, or has one of the new columns' names.
    """
    refuse_existing(out, overwrite)
    kind = _format_of(path)
    if Path(out).suffix.lower() not in _SUFFIXES[kind]:
        raise DataError(
            f"{out}: the new table has the format of {path}, its name must end in {_SUFFIXES[kind][0]}"
        )
    table, arrow = _read(path, kind)
    place, distance = _positions(table, path, columns or {}, distance_kpc)
    how = {"mode": "median", "quantity": "extinction", "band": None, **how}
    if how["mode"] == "samples":
        raise DataError("a table takes one value a row: choose another mode than samples")
    names = _names(volume, how)
    for name in (*names, _FLAG_COLUMN):
        if name in table.colnames:
            raise DataError(f"{path}: has a column {name} already; rename it")
    coords = place.galactic
    values, flags = volume.query_gal(coords.l, coords.b, distance, return_flags=True, **how)
    # Formats differ in which types they take; all take a 64-bit float.
    rows = values.value.astype(float).reshape(len(table), len(names))
    found = dict(zip(names, rows.T, strict=True))
    new = {name: column * values.unit for name, column in found.items()}
    new[_FLAG_COLUMN] = flags.astype(np.int32)
    with whole_path(out, overwrite=overwrite) as temporary:
        _write(table, arrow, new, temporary, kind)
    return len(table), int(np.isnan(rows).any(axis=1).sum())


def read_table(path):
    """A table in any of the formats of `query_table`, as astropy has it; DataError if it cannot be read."""
    return _read(path, _format_of(path))[0]


def _format_of(path):
    try:
        with open(path, "rb") as stream:
            head = stream.read(4096)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; give a table") from None
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"SIMPLE  ="):
        return "fits"
    if head.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"# %ECSV"):
        return "ascii.ecsv"
    if start.startswith(b"<"):
        return "votable"
    if b"\0" in head or b"," not in head.split(b"\n")[0]:
        raise DataError(f"{path}: not a table in a known format: FITS, VOTable, Parquet, ECSV or CSV")
    return "ascii.csv"


def _read(path, kind):
    """The table, and for Parquet also as Arrow has it, which knows the types that the file shall keep."""
    from astropy.table import Table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if kind != "parquet":
                return Table.read(path, format=kind), None
            import pyarrow.parquet

            arrow = pyarrow.parquet.read_table(path)
            return Table({name: arrow[name].to_numpy() for name in arrow.column_names}), arrow
        # Whatever the parsers raise on a damaged file.
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise DataError(f"{path}: cannot be read as a table ({kind}): {reason}") from None


def _write(table, arrow, new, path, kind):
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet

        for name, column in new.items():
            unit = {"unit": str(column.unit)} if isinstance(column, u.Quantity) else None
            values = pa.array(np.asarray(column))
            arrow = arrow.append_column(pa.field(name, values.type, metadata=unit), values)
        pyarrow.parquet.write_table(arrow, path)
        return
    for name, column in new.items():
        table[name] = column
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table.write(path, format=kind, overwrite=True)


def _positions(table, path, given, distance_kpc):
    found = find_columns(table.colnames, _ROLES, given, str(path))
    pairs = [pair for pair in (("l", "b"), ("ra", "dec")) if all(role in found for role in pair)]
    # A pair that the user named precedes one that was found.
    pairs.sort(key=lambda pair: -sum(role in given for role in pair))
    if not pairs:
        raise DataError(
            f"{path}: no columns for the position; {what_there_is(table.colnames)}; "
            "name them with --column l=NAME --column b=NAME, or ra and dec"
        )
    angles = [_numbers(table, found[role], path, u.deg) for role in pairs[0]]
    try:
        place = SkyCoord(
            *(angle * u.deg for angle in angles), frame="galactic" if "l" in pairs[0] else "icrs"
        )
    except ValueError as error:
        raise DataError(f"{path}: {found[pairs[0][0]]}, {found[pairs[0][1]]}: {error}") from None
    if distance_kpc is not None:
        if "distance" in given:
            raise DataError("give either one distance for all rows or a column of distances")
        return place, np.full(len(table), float(distance_kpc))
    if "distance" not in found:
        raise DataError(
            f"{path}: no column of distances; {what_there_is(table.colnames)}; name it with "
            "--column distance=NAME, or give --distance for all rows"
        )
    name = found["distance"]
    in_pc = name.lower().endswith("_pc") or name.lower() in _IN_PC
    return place, _numbers(table, name, path, u.kpc, u.pc if in_pc else u.kpc)


def _numbers(table, name, path, unit, unstated=None):
    column = table[name]
    try:
        values = np.ma.filled(np.ma.asarray(getattr(column, "value", column), dtype=float), np.nan)
        return u.Quantity(values, column.unit or unstated or unit).to_value(unit)
    except (u.UnitConversionError, TypeError, ValueError):
        stated = f" in {column.unit}" if column.unit else ""
        raise DataError(
            f"{path}: column {name} must hold numbers in {unit}, it holds {column.dtype}{stated}"
        ) from None


def _names(volume, how):
    band = how["band"] or volume.provenance.band
    stem = re.sub(r"\W+", "_", band if band.startswith("E(") else f"A_{band}").strip("_")
    if how["quantity"] == "density":
        stem = f"d{stem}"
    if how["mode"] != "percentile":
        return [f"{stem}_{how['mode']}"]
    return [f"{stem}_p{p:g}".replace(".", "_") for p in np.atleast_1d(how["percentile"])]
