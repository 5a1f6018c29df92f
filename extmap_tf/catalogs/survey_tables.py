"""Star tables of a survey, from any of the formats that archives give them in, as batches of stars."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from extmap_tf.catalogs.columns import find_columns, missing_column, survey_names
from extmap_tf.catalogs.cuts import apply_cuts, flag_index
from extmap_tf.catalogs.formats.base import DEFAULT_BATCH_ROWS, Table
from extmap_tf.catalogs.stars import StarBatch
from extmap_tf.catalogs.tables import open_tables, table_for
from extmap_tf.catalogs.units import convert, degrees, factor
from extmap_tf.errors import DataError
from extmap_tf.settings.survey import SurveyConfig
from extmap_tf.surveys.observing import photometric_error

_POSITIONS = ("l", "b", "ra", "dec")
_ERROR_ROLES = ("blue_error", "red_error")
_TEXTS = ("ph_qual", "cc_flg", "blue_limit", "red_limit")
# Of these, two columns that look alike are two surveys' and a guess would be wrong in silence.
_SINGLE = ("blue", "red", *_ERROR_ROLES)


@dataclass(frozen=True)
class Reading:
    """How tables of a survey are read.

    Parameters
    ----------
    columns : dict of str to str
        Names of columns where they are not the known ones, by role: l, b, ra, dec, blue, red, blue_error,
        red_error, ph_qual, cc_flg (2MASS flags), blue_limit, red_limit (any text: the magnitude is a limit).
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
    flags = [role for role in _TEXTS if role in column]
    numbers = [used for role, used in column.items() if role not in flags]
    texts = [column[role] for role in flags]
    bands = {"blue": survey.blue, "red": survey.red}
    for batch in table.batches(numbers, texts, batch_rows, reading.accept_partial):
        values = {role: _converted(table, role, used, batch[used]) for role, used in column.items()}
        magnitudes = {band.name: values[role] for role, band in bands.items()}
        errors = {band.name: _band_errors(values, role, band) for role, band in bands.items()}
        position = [values[role] for role in (("l", "b") if "l" in column else ("ra", "dec"))]
        letters = (values.get("ph_qual"), values.get("cc_flg"))
        kept, rejected = apply_cuts(survey.cuts, tuple(magnitudes), magnitudes, errors, *letters, *position)
        l_deg, b_deg = (angle[kept] for angle in position)
        if "l" not in column:
            l_deg, b_deg = equatorial_to_galactic(l_deg, b_deg)
        yield StarBatch(
            l_deg=np.mod(l_deg, 360.0),
            b_deg=b_deg,
            magnitudes={band: mag[kept] for band, mag in magnitudes.items()},
            n_rows=len(kept),
            rejected=rejected,
        )
    if table.left_out:
        none = np.zeros(0)
        yield StarBatch(
            none,
            none,
            {band.name: none for band in bands.values()},
            sum(table.left_out.values()),
            table.left_out,
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
    if role in _TEXTS:
        return values
    unit, place = table.units.get(used), f"{table.name}: column {used}"
    if role in _POSITIONS:
        return degrees(values, unit, role, used in table.sexagesimal, place)
    return convert(values, unit, "mag", place)


def _band_errors(values, role, band):
    """The errors of a band; infinite, as of an upper limit, where a flag says that the magnitude is one."""
    error = values.get(f"{role}_error")
    if error is None:
        error = photometric_error(values[role], band)
    limit = values.get(f"{role}_limit")
    return error if limit is None else np.where(np.char.strip(limit) != b"", np.inf, error)


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
    """

    name: str
    names: tuple[str, ...]
    units: Mapping[str, str]


def roles_of(table: Table | Header, survey: SurveyConfig, reading: Reading = AS_IT_IS) -> dict[str, str]:
    """The column for each role that is read: one pair of coordinates, magnitudes, errors, flags if any.

    Raises
    ------
    DataError
        A column is missing, is two things at once, or is in a unit that is not of its quantity.
    """
    given = reading.columns
    known = survey_names(survey)
    found = find_columns(table.names, known, given, table.name, _SINGLE)
    pairs = [("l", "b"), ("ra", "dec")]
    if any(role in given for role in pairs[1]):
        pairs.reverse()
    position = next((pair for pair in pairs if all(role in found for role in pair)), None)
    if position is None:
        role = next(
            (r for pair in pairs for r in pair if any(p in found for p in pair) and r not in found), "ra"
        )
        raise missing_column(role, known, table.names, table.name, f"the position ({role})")
    blue, red = survey.blue.name, survey.red.name
    needed = {"blue": f"the {blue} magnitude", "red": f"the {red} magnitude"}
    if not reading.errors_from_survey:
        needed |= {"blue_error": f"the {blue} error", "red_error": f"the {red} error"}
    if survey.cuts.cc_flg_keep:
        needed["cc_flg"] = "the contamination flag that cc_flg_keep asks for"
    for role, what in needed.items():
        if role not in found:
            error = missing_column(role, known, table.names, table.name, what)
            more = " or take the survey's own with --errors-from-survey" if role in _ERROR_ROLES else ""
            raise DataError(f"{error}{more}")
    if "ph_qual" in given and None in (flag_index(blue), flag_index(red)):
        raise DataError(
            f"{table.name}: ph_qual has letters for J, H and Ks, the survey's bands are {blue} and {red}"
        )
    roles = [*position, "blue", "red", *_ERROR_ROLES, "ph_qual", "blue_limit", "red_limit"]
    roles += ["cc_flg"] if survey.cuts.cc_flg_keep else []
    column = {role: found[role] for role in roles if role in found}
    _require_distinct(table, column)
    for role, used in column.items():
        if role not in _TEXTS:
            wanted = "deg" if role in _POSITIONS else "mag"
            factor(table.units.get(used), wanted, f"{table.name}: column {used}")
    return column


def _require_distinct(table, column):
    players: dict[str, str] = {}
    for role, used in column.items():
        if used in players:
            raise DataError(
                f"{table.name}: column {used} cannot be both {players[used]} and {role}; "
                f"name another with --column {role}=NAME"
            )
        players[used] = role


def equatorial_to_galactic(ra_deg: np.ndarray, dec_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ICRS to Galactic coordinates [n], degrees."""
    from astropy.coordinates import SkyCoord

    galactic = SkyCoord(ra_deg, dec_deg, unit="deg").galactic
    return galactic.l.deg, galactic.b.deg
