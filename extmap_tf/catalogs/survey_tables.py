"""Star tables of a survey, from any of the formats that archives give them in, as batches of stars."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from extmap_tf.catalogs.columns import (
    band_roles,
    find_columns,
    missing_column,
    other_survey,
    require_told_apart,
    survey_names,
)
from extmap_tf.catalogs.cuts import GaiaColumns, apply_cuts, flag_index
from extmap_tf.catalogs.formats.base import DEFAULT_BATCH_ROWS, Table
from extmap_tf.catalogs.stars import StarBatch
from extmap_tf.catalogs.tables import open_tables, table_for
from extmap_tf.catalogs.units import convert, degrees, factor
from extmap_tf.errors import DataError
from extmap_tf.grids.sphere import equatorial_to_galactic
from extmap_tf.settings.survey import NO_LIMIT_MAG, SurveyConfig
from extmap_tf.surveys.observing import photometric_error

_POSITIONS = ("l", "b", "ra", "dec")
_UNITS = {**dict.fromkeys(_POSITIONS, "deg"), "parallax": "mas", "parallax_error": "mas"}
# Gaia's best parallaxes have errors of 0.01 mas; half of a table's stars do much worse, in mas.
_LEAST_MEDIAN_ERROR_MAS = 0.005
# A flag of limits that says no, as a text of three bytes: false, 0 (text or number), F, no.
_NO_LIMIT = (b"", b"fal", b"0", b"000", b"f", b"no", b"n", b"non", b"nan", b"-")


class OtherSurveyError(DataError):
    """A table has the columns of another survey."""


@dataclass(frozen=True)
class Reading:
    """How tables of a survey are read.

    Parameters
    ----------
    columns : dict of str to str
        Names of columns where they are not the known ones, by role: l, b, ra, dec, blue, red, blue_error,
        red_error, ph_qual, cc_flg (2MASS flags), blue_limit, red_limit (any text but a no: the magnitude is a
        limit),
        the same of a survey's other bands by their names in lower case, parallax, parallax_error, ruwe,
        duplicate.
    errors_from_survey : bool
        Take the errors of tables without a column for them from the survey's model of its noise.
    accept_partial : bool
        Read tables, too, whose own source says that rows are missing.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    errors_from_survey: bool = False
    accept_partial: bool = False


AS_IT_IS = Reading()
"""Known column names, with their errors, and whole."""


def read_survey_table(
    stream: BinaryIO,
    name: str,
    survey: SurveyConfig,
    reading: Reading = AS_IT_IS,
    batch_rows: int = DEFAULT_BATCH_ROWS,
) -> Iterator[StarBatch]:
    """Read the stars that pass the survey's cuts.

    Parameters
    ----------
    stream : binary file object
        Readable and seekable; gzip is recognised and undone here. It stays open.
    name : str
        The table's path, for messages.
    survey : SurveyConfig
        Names of the bands, and the cuts.
    reading : Reading
    batch_rows : int
        About so many rows a batch; memory is bounded by it.

    Yields
    ------
    StarBatch
        In the table's order. Positions are the table's Galactic coordinates, or converted from ra, dec (ICRS,
        or FK5 J2000, which differs by less than 0.1 arcsec). Of several tables in a document the one is read
        that has the columns.

    Raises
    ------
    DataError
        The file is empty, truncated, corrupted, in no known format, lacks a column or has one in a unit that
        is not of its quantity.
    """
    table, column = _open(stream, name, survey, reading)
    flags = [role for role in column if _is_text(role)]
    numbers = [used for role, used in column.items() if role not in flags]
    texts = [column[role] for role in flags]
    bands = band_roles(survey)
    faint_mag = {band.name: band.faint_mag for band in survey.bands if band.faint_mag < NO_LIMIT_MAG}
    for batch in table.batches(numbers, texts, batch_rows, reading.accept_partial):
        values = {role: _converted(table, role, used, batch[used]) for role, used in column.items()}
        magnitudes = {band.name: values[role] for role, band in bands.items()}
        errors = {band.name: _band_errors(values, role, band) for role, band in bands.items()}
        longitude, latitude = (values[role] for role in (("l", "b") if "l" in column else ("ra", "dec")))
        gaia = GaiaColumns(*(values.get(role) for role in ("parallax", "ruwe", "duplicate")))
        _require_mas(values, f"{table.name}: column {column.get('parallax')}")
        kept, rejected = apply_cuts(
            survey.cuts,
            tuple(magnitudes),
            magnitudes,
            errors,
            values.get("ph_qual"),
            values.get("cc_flg"),
            longitude,
            latitude,
            faint_mag,
            gaia,
        )
        l_deg, b_deg = longitude[kept], latitude[kept]
        if "l" not in column:
            l_deg, b_deg = equatorial_to_galactic(l_deg, b_deg)
        yield StarBatch(
            l_deg=np.mod(l_deg, 360.0),
            b_deg=b_deg,
            magnitudes={band: mag[kept] for band, mag in magnitudes.items()},
            n_rows=len(kept),
            rejected=rejected,
            parallax_mas=None if gaia.parallax_mas is None else gaia.parallax_mas[kept],
        )
    if table.left_out:
        none = np.zeros(0)
        yield StarBatch(
            none,
            none,
            {band.name: none for band in bands.values()},
            sum(table.left_out.values()),
            table.left_out,
            none if survey.parallax.band else None,
        )


def describe_table(
    stream: BinaryIO, name: str, survey: SurveyConfig, reading: Reading = AS_IT_IS
) -> tuple[str, dict[str, str]]:
    """Which format and which columns `read_survey_table` would read.

    Returns
    -------
    format : str
    columns : dict of str to str
        The column that each role is read from; l, b are absent where ra, dec are used and the reverse.

    Raises
    ------
    DataError
        As `read_survey_table`, for what the header shows.
    """
    table, column = _open(stream, name, survey, reading)
    return table.format, column


def _open(stream, name, survey, reading):
    return table_for(open_tables(stream, name), lambda table: roles_of(table, survey, reading))


def _converted(table, role, used, values):
    if _is_text(role) or role == "ruwe":
        return values
    unit, place = table.units.get(used), f"{table.name}: column {used}"
    if role in _POSITIONS:
        return degrees(values, unit, role, used in table.sexagesimal, place)
    return convert(values, unit, _UNITS.get(role, "mag"), place)


def _is_text(role):
    return role in ("ph_qual", "cc_flg", "duplicate") or role.endswith("_limit")


def _require_mas(values, place):
    """Refuse parallaxes without a unit whose errors no telescope reaches: they are in arcsec.

    Without errors the parallaxes themselves tell it: those of distant stars scatter by their errors.
    """
    what, numbers = "errors", values.get("parallax_error")
    if numbers is None:
        what, numbers = "parallaxes", values.get("parallax")
    if numbers is None or not np.isfinite(numbers).any():
        return
    median_mas = float(np.nanmedian(np.abs(numbers)))
    if 0.0 < median_mas < _LEAST_MEDIAN_ERROR_MAS:
        raise DataError(
            f"{place}: {what} of {median_mas:.2g} mas in the median are those of parallaxes in arcsec: "
            "state the unit, or convert them to mas"
        )


def _band_errors(values, role, band):
    """The errors of a band; infinite, as of an upper limit, where a flag says that the magnitude is one."""
    error = values.get(f"{role}_error")
    if error is None:
        error = photometric_error(values[role], band)
    limit = values.get(f"{role}_limit")
    if limit is None:
        return error
    return np.where(np.isin(np.char.lower(np.char.strip(limit)), _NO_LIMIT), error, np.inf)


@dataclass(frozen=True)
class Header:
    """A table of which no more is at hand than its columns.

    Parameters
    ----------
    name : str
        For messages.
    names : tuple of str
    units : dict of str to str
        Units of the columns that state one.
    repeated : dict of str to tuple of str
        As of a `Table`.
    """

    name: str
    names: tuple[str, ...]
    units: Mapping[str, str]
    repeated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def roles_of(table: Table | Header, survey: SurveyConfig, reading: Reading = AS_IT_IS) -> dict[str, str]:
    """The column for each role that is read: one pair of coordinates, magnitudes, errors, flags if any.

    Raises
    ------
    DataError
        A column is missing, is two things at once, or is in a unit that is not of its quantity.
    """
    given = reading.columns
    known, bands = survey_names(survey), band_roles(survey)
    # Of these, two columns that look alike are two surveys' and a guess would be wrong in silence.
    single = [*bands, *(f"{role}_error" for role in bands), *(["parallax"] if survey.parallax.band else [])]
    found = find_columns(table.names, known, given, table.name, single)
    position = _position(table, known, found, given)
    needed = {role: f"the {band.name} magnitude" for role, band in bands.items()}
    if survey.parallax.band:
        needed["parallax"] = f"the parallax, which {survey.name} has of every star that counts"
    if survey.cuts.needs_errors and not reading.errors_from_survey:
        needed |= {f"{role}_error": f"the {band.name} error" for role, band in bands.items()}
    if survey.cuts.cc_flg_keep:
        needed["cc_flg"] = "the contamination flag that cc_flg_keep asks for"
    if survey.cuts.max_ruwe:
        needed["ruwe"] = "the RUWE that max_ruwe asks for"
    if not survey.cuts.keep_duplicates:
        needed["duplicate"] = "the flag of duplicated sources that keep_duplicates asks for"
    for role, what in needed.items():
        if role not in found:
            raise _lacking(table, survey, known, role, what)
    _require_flags_of(table, survey, given)
    roles = [*position, *bands, *(f"{role}_error" for role in bands), "ph_qual"]
    roles += [*(f"{role}_limit" for role in bands), "parallax", "parallax_error"]
    roles += [role for role in ("cc_flg", "ruwe", "duplicate") if role in needed]
    column = {role: found[role] for role in roles if role in found}
    _require_distinct(table, column)
    require_told_apart(table.name, table.repeated, column, given)
    for role, used in column.items():
        if not (_is_text(role) or role == "ruwe"):
            wanted = _UNITS.get(role, "mag")
            factor(table.units.get(used), wanted, f"{table.name}: column {used}")
    return column


def _position(table, known, found, given):
    """The pair of roles that say where stars are."""
    pairs = [("l", "b"), ("ra", "dec")]
    if any(role in given for role in pairs[1]):
        pairs.reverse()
    position = next((pair for pair in pairs if all(role in found for role in pair)), None)
    if position is None:
        role = next(
            (r for pair in pairs for r in pair if any(p in found for p in pair) and r not in found), "ra"
        )
        raise missing_column(role, known, table.names, table.name, f"the position ({role})")
    return position


def _lacking(table, survey, known, role, what):
    """The error for a table that lacks the column of a role."""
    other = other_survey(table.names, survey)
    if other:
        return OtherSurveyError(
            f"{table.name}: no column for {what}: these are columns of {other}, not of {survey.name}; name "
            "the table with its own survey"
        )
    error = missing_column(role, known, table.names, table.name, what)
    more = " or take the survey's own with --errors-from-survey" if role.endswith("_error") else ""
    return DataError(f"{error}{more}")


def _require_flags_of(table, survey, given):
    names = [band.name for band in (survey.blue, survey.red)]
    if "ph_qual" in given and None in map(flag_index, names):
        raise DataError(
            f"{table.name}: ph_qual has letters for J, H and Ks, the survey's bands are {' and '.join(names)}"
        )


def _require_distinct(table, column):
    players: dict[str, str] = {}
    for role, used in column.items():
        if used in players:
            raise DataError(
                f"{table.name}: column {used} cannot be both {players[used]} and {role}; "
                f"name another with --column {role}=NAME"
            )
        players[used] = role
