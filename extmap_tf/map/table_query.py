"""Extinction for every row of a table: the same table with new columns."""

import logging
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u

from extmap_tf.catalogs.columns import POSITIONS, find_columns, require_told_apart, what_there_is
from extmap_tf.catalogs.formats.parquet import Parquet
from extmap_tf.catalogs.tables import open_local, open_tables, read_columns, table_for
from extmap_tf.catalogs.units import convert, degrees, factor, is_stated
from extmap_tf.errors import DataError
from extmap_tf.estimate import flag_names
from extmap_tf.files import refuse_existing, whole_path
from extmap_tf.grids.sphere import equatorial_to_galactic
from extmap_tf.map.query import odd_survey_names
from extmap_tf.map.volume import ExtinctionMap

if TYPE_CHECKING:
    from astropy.table import Table as AstropyTable

_log = logging.getLogger(__name__)

_ROLES = POSITIONS | {
    "distance": ("distance", "dist", "distance_kpc", "dist_kpc"),
    "distance_pc": ("distance_pc", "dist_pc", "r_med_photogeo", "r_med_geo", "rpgeo", "rgeo"),
}
_SUFFIXES = {
    "FITS": (".fits", ".fit"),
    "VOTable": (".vot", ".xml", ".votable"),
    "Parquet": (".parquet",),
    "ECSV": (".ecsv",),
}
_TEXT_SUFFIXES = (".csv", ".tsv", ".ecsv")
_WRITERS = {
    **{".fits": "fits", ".fit": "fits", ".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".tsv": "ascii.tab"},
    **dict.fromkeys(_SUFFIXES["VOTable"], "votable"),
}
_FLAG_COLUMN, _REASONS_COLUMN, _ODD_COLUMN = (
    "extinction_flag",
    "extinction_reasons",
    "extinction_odd_surveys",
)


def query_table(
    volume: ExtinctionMap,
    path: str | os.PathLike,
    out: str | os.PathLike,
    columns: Mapping[str, str] | None = None,
    distance_kpc: float | None = None,
    overwrite: bool = False,
    accept_partial: bool = False,
    **how: Any,
) -> tuple[int, int]:
    """Write a table again with the map's answer to each row.

    Parameters
    ----------
    volume : extmap_tf.map.volume.ExtinctionMap
    path : path-like
        Any table that `extmap_tf.catalogs.tables` reads. Positions are Galactic or equatorial (ICRS) in
        columns with usual names; distances are in the column's unit, else in pc or kpc as its name says,
        else in kpc. A row whose position or distance is missing, masked or impossible gets NaN and a flag.
    out : path-like
        Of the same format, which its suffix must show; of text: .csv, .tsv or .ecsv.
    columns : dict of str to str, optional
        Column for a role (l, b, ra, dec, distance, distance_pc) whose name is not known.
    distance_kpc : float, optional
        One distance for all rows, instead of a column.
    overwrite : bool
    accept_partial : bool
        Take a table, too, whose own source says that rows are missing.
    how
        As for `ExtinctionMap.query`; not the samples.

    Returns
    -------
    n_rows, n_without : int
        Rows, and how many of them have no value. Each row's reasons are in the column ``extinction_flag``
        as bits of `Flag`, in ``extinction_reasons`` by name; of a map by several surveys those whose
        stars raised a flag are in ``extinction_odd_surveys``.

    Raises
    ------
    DataError
        The table cannot be read or written so, lacks a column, or has one of the new columns' names.
    """
    refuse_existing(out, overwrite)
    with open_local(path) as stream:
        tables = open_tables(stream, str(path))
        source, roles = table_for(tables, lambda table: _roles(table, columns or {}, distance_kpc))
        suffixes = _SUFFIXES.get(source.format.split(" ")[0], _TEXT_SUFFIXES)
        suffix = Path(out).suffix.lower()
        if suffix not in suffixes:
            raise DataError(
                f"{out}: the new table has the format of {path}, its name must end in {' or '.join(suffixes)}"
            )
        l_deg, b_deg, distance = _positions(
            source, roles, distance_kpc, volume.distance.max_kpc, accept_partial
        )
        # Arrow knows the types that a Parquet file shall keep.
        arrow = source.arrow() if isinstance(source, Parquet) else None
        table = source.whole() if arrow is None else None
    n_rows, present = len(l_deg), list(source.names if table is None else table.colnames)
    if table is not None and len(table) != n_rows:
        raise DataError(f"{path}: {len(table)} rows when read whole and {n_rows} when read in parts: damaged")
    how = {"mode": "median", "quantity": "extinction", "band": None, **how}
    if how["mode"] == "samples":
        raise DataError("a table takes one value a row: choose another mode than samples")
    names = _names(volume, how)
    odd = (_ODD_COLUMN,) if volume.header.tells_surveys else ()
    for name in (*names, _FLAG_COLUMN, _REASONS_COLUMN, *odd):
        if name in present:
            raise DataError(f"{path}: has a column {name} already; rename it")
    values, flags = volume.query_gal(l_deg, b_deg, distance, return_flags=True, **how)
    # Formats differ in which types they take; all take a 64-bit float.
    rows = values.value.astype(float).reshape(n_rows, len(names))
    found = dict(zip(names, rows.T, strict=True))
    new = {name: column * values.unit for name, column in found.items()}
    new[_FLAG_COLUMN] = flags.astype(np.int32)
    new[_REASONS_COLUMN] = flag_names(flags)
    new |= {name: odd_survey_names(volume, l_deg, b_deg) for name in odd}
    with whole_path(out, overwrite=overwrite) as temporary:
        _write(table, arrow, new, temporary, suffix)
    return n_rows, int(np.isnan(rows).any(axis=1).sum())


def read_table(path: str | os.PathLike) -> "AstropyTable":
    """A table in any of the formats of `query_table`, as astropy has it; DataError if it cannot be read."""
    with open_local(path) as stream:
        return table_for(open_tables(stream, str(path)), lambda table: None)[0].whole()


def _write(table, arrow, new, path, suffix):
    if arrow is not None:
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
        table.write(path, format=_WRITERS[suffix], overwrite=True)


def _roles(table, given, distance_kpc):
    """The columns of the position, and of the distance unless one is given for all rows."""
    found = find_columns(table.names, _ROLES, given, table.name)
    pairs = [pair for pair in (("l", "b"), ("ra", "dec")) if all(role in found for role in pair)]
    # A pair that the user named precedes one that was found.
    pairs.sort(key=lambda pair: -sum(role in given for role in pair))
    if not pairs:
        raise DataError(
            f"{table.name}: no columns for the position; {what_there_is(table.names)}; "
            "name them with --column l=NAME --column b=NAME, or ra and dec"
        )
    distances = [role for role in ("distance", "distance_pc") if role in found]
    distances.sort(key=lambda role: role not in given)
    if distance_kpc is not None:
        if any(role in given for role in distances):
            raise DataError("give either one distance for all rows or a column of distances")
        distances = []
    elif not distances:
        raise DataError(
            f"{table.name}: no column of distances; {what_there_is(table.names)}; name it with "
            "--column distance=NAME (kpc) or distance_pc=NAME, or give --distance for all rows"
        )
    roles = {role: found[role] for role in (*pairs[0], *distances[:1])}
    require_told_apart(table.name, table.repeated, roles, given)
    for role, column in roles.items():
        factor(
            table.units.get(column), "deg" if role in POSITIONS else "kpc", f"{table.name}: column {column}"
        )
    return roles


def _positions(table, roles, distance_kpc, max_kpc, accept_partial):
    """l and b in degrees and distances in kpc [n_rows]; NaN where a row has none that can be."""
    columns = read_columns(table, list(roles.values()), accept_partial)
    angles = {}
    for role in roles:
        if role in POSITIONS:
            used = roles[role]
            place = f"{table.name}: column {used}"
            base_60 = used in table.sexagesimal
            angles[role] = degrees(columns[used], table.units.get(used), role, base_60, place)
    longitude, latitude = (angles[role] for role in (("l", "b") if "l" in angles else ("ra", "dec")))
    possible = np.isfinite(longitude) & (np.abs(latitude) <= 90.0)
    longitude, latitude = (np.where(possible, angle, np.nan) for angle in (longitude, latitude))
    if "ra" in angles:
        longitude, latitude = equatorial_to_galactic(longitude, latitude)
    role = next((role for role in roles if role not in POSITIONS), None)
    if role is None:
        return longitude, latitude, np.full(len(longitude), float(distance_kpc))
    used = roles[role]
    unit = table.units.get(used)
    stated = is_stated(unit)
    distance = convert(
        columns[used],
        unit if stated else ("pc" if role == "distance_pc" else "kpc"),
        "kpc",
        f"{table.name}: column {used}",
    )
    distance = np.where(distance >= 0.0, distance, np.nan)
    known = distance[np.isfinite(distance)]
    unclear = role == "distance" and not stated and not used.lower().endswith("kpc")
    if unclear and known.size and known.min() > max_kpc:
        _log.warning(
            "%s: all distances of column %s lie beyond the map's %g kpc; without a unit they are taken as "
            "kpc: if they are in pc, say --column distance_pc=%s",
            *(table.name, used, max_kpc, used),
        )
    return longitude, latitude, distance


def _names(volume, how):
    band = how["band"] or volume.band
    stem = re.sub(r"\W+", "_", band if band.startswith("E(") else f"A_{band}").strip("_")
    if how["quantity"] == "density":
        stem = f"d{stem}"
    if how["mode"] != "percentile":
        return [f"{stem}_{how['mode']}"]
    return [f"{stem}_p{p:g}".replace(".", "_") for p in np.atleast_1d(how["percentile"])]
