"""Star tables of a survey, from any of the formats that archives give them in, as batches of stars."""

import numpy as np

from extmap_tf.catalogs.columns import find_columns, missing_column, survey_names
from extmap_tf.catalogs.cuts import apply_cuts, flag_index
from extmap_tf.catalogs.stars import StarBatch
from extmap_tf.catalogs.tables import DEFAULT_BATCH_ROWS, open_table
from extmap_tf.errors import DataError

_DEGREES = ("deg", "degree", "degrees", "degs", "°")


def read_survey_table(stream, name, survey, columns=None, batch_rows=DEFAULT_BATCH_ROWS):
    """Read the stars that pass the survey's cuts.

    Parameters
    ----------
    stream : binary file object
        Readable and seekable; gzip is recognised and undone here. It stays open.
    name : str
        The table's path, for messages.
    survey : SurveyConfig
        Names of the bands, and the cuts.
    columns : dict of str to str, optional
        Names of columns where they are not the known ones, by role: l, b, ra, dec (degrees), blue, red,
        blue_error, red_error (magnitudes), ph_qual, cc_flg (2MASS flags).
    batch_rows : int
        About so many rows a batch; memory is bounded by it.

    Yields
    ------
    StarBatch
        In the table's order. Positions are the table's Galactic coordinates, or converted from ra, dec (ICRS,
        or FK5 J2000, which differs by less than 0.1 arcsec).

    Raises
    ------
    DataError
        The file is empty, truncated, corrupted, in no known format or lacks a column.
    """
    table = open_table(stream, name)
    column = _roles(table, survey, columns or {})
    flags = [role for role in ("ph_qual", "cc_flg") if role in column]
    numbers = [used for role, used in column.items() if role not in flags]
    bands = (survey.blue.name, survey.red.name)
    for batch in table.batches(numbers, [column[role] for role in flags], batch_rows):
        values = {role: batch[used] for role, used in column.items()}
        position = [values[role] for role in (("l", "b") if "l" in column else ("ra", "dec"))]
        magnitudes = dict(zip(bands, (values["blue"], values["red"]), strict=True))
        errors = dict(zip(bands, (values["blue_error"], values["red_error"]), strict=True))
        letters = (values.get("ph_qual"), values.get("cc_flg"))
        kept, rejected = apply_cuts(survey.cuts, bands, magnitudes, errors, *letters, *position)
        l_deg, b_deg = (angle[kept] for angle in position)
        if "l" not in column:
            l_deg, b_deg = _equatorial_to_galactic(l_deg, b_deg)
        yield StarBatch(
            l_deg=np.mod(l_deg, 360.0),
            b_deg=b_deg,
            magnitudes={band: mag[kept] for band, mag in magnitudes.items()},
            n_rows=len(kept),
            rejected=rejected,
        )


def describe_table(stream, name, survey, columns=None):
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
    table = open_table(stream, name)
    return table.format, _roles(table, survey, columns or {})


def _roles(table, survey, given):
    """The column for each role that is read: one pair of coordinates, magnitudes, errors, flags if any."""
    known = survey_names(survey)
    found = find_columns(table.names, known, given, table.name)
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
    needed = {
        "blue": f"the {blue} magnitude",
        "red": f"the {red} magnitude",
        "blue_error": f"the {blue} error",
        "red_error": f"the {red} error",
    }
    if survey.cuts.cc_flg_keep:
        needed["cc_flg"] = "the contamination flag that cc_flg_keep asks for"
    for role, what in needed.items():
        if role not in found:
            raise missing_column(role, known, table.names, table.name, what)
    for role in position:
        unit = table.units.get(found[role], "deg")
        if unit.lower() not in _DEGREES:
            raise DataError(
                f"{table.name}: column {found[role]} is in {unit!r}, positions must be in degrees"
            )
    roles = [*position, "blue", "red", "blue_error", "red_error"]
    if "ph_qual" in given and None in (flag_index(blue), flag_index(red)):
        raise DataError(
            f"{table.name}: ph_qual speaks of J, H and Ks, the survey's bands are {blue} and {red}"
        )
    roles += ["ph_qual"] if "ph_qual" in found else []
    roles += ["cc_flg"] if survey.cuts.cc_flg_keep else []
    players = {}
    for role in roles:
        if found[role] in players:
            raise DataError(
                f"{table.name}: column {found[role]} cannot be both {players[found[role]]} and {role}; "
                f"name another with --column {role}=NAME"
            )
        players[found[role]] = role
    return {role: found[role] for role in roles}


def _equatorial_to_galactic(ra_deg, dec_deg):
    """ICRS to Galactic coordinates."""
    from astropy.coordinates import SkyCoord

    galactic = SkyCoord(ra_deg, dec_deg, unit="deg").galactic
    return galactic.l.deg, galactic.b.deg
