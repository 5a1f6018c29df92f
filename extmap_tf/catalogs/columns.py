"""Which column of a table is which: the names that surveys and archives use."""

import difflib
import re
from collections.abc import Mapping, Sequence

from extmap_tf.errors import DataError
from extmap_tf.settings.survey import Band, SurveyConfig

POSITIONS = {
    "l": ("glon", "_glon", "gal_lon", "l_deg", "l"),
    "b": ("glat", "_glat", "gal_lat", "b_deg", "b"),
    "ra": (
        *("ra", "raj2000", "_raj2000", "ra_icrs", "_ra_icrs", "ra_deg", "radeg", "_ra", "ra_j2000", "s_ra"),
        "ra_d",
    ),
    "dec": (
        *("dec", "decl", "dej2000", "_dej2000", "de_icrs", "_de_icrs", "dec_deg", "decdeg", "_de"),
        *("dec_j2000", "s_dec", "de", "dec_icrs", "decj2000", "dedeg", "dec_d"),
    ),
}
_FLAGS = {"ph_qual": ("ph_qual", "qflg", "qfl", "phqual"), "cc_flg": ("cc_flg", "cflg", "ccflg")}
_OF_GAIA = {
    "parallax": ("parallax", "plx", "parallax_mas", "parallax_value"),
    "parallax_error": ("parallax_error", "e_plx", "parallax_err", "plx_error", "parallax_uncertainty"),
    "ruwe": ("ruwe",),
    "duplicate": ("duplicated_source", "dup"),
}
# What tables of these surveys have, and other tables do not.
_MARKS = {
    "Gaia": ("phot_g_mean_mag", "gmag", "bp_rp", "bp-rp", "bpmag", "phot_bp_mean_mag", "plx", "parallax"),
    "2MASS": ("j_m", "jmag", "h_m", "hmag", "k_m", "kmag", "ksmag", "qflg", "ph_qual"),
}

# How tables that join 2MASS with other surveys mark its columns.
_OF_2MASS = re.compile(
    r"^_?(?:2mass|tmass|twomass|tm|psc|fp_psc)_*(?:psc)?[_.]+|[_.]+(?:2mass|tmass|twomass|psc)$"
)


def survey_names(survey: SurveyConfig) -> dict[str, tuple[str, ...]]:
    """The column names known for each role, lower case but for lone letters, the preferred first."""
    names = dict(POSITIONS) | dict(_FLAGS)
    if survey.parallax.band:
        names |= _OF_GAIA
    for role, band in band_roles(survey).items():
        names |= band_names(role, band.name)
    return names


def band_roles(survey: SurveyConfig) -> dict[str, Band]:
    """The role of each band's column: blue, red, and of others the name in lower case."""
    others = {band.name.lower(): band for band in survey.other_bands}
    return {"blue": survey.blue, "red": survey.red, **others}


def band_names(role: str, band: str) -> dict[str, tuple[str, ...]]:
    """Names of a band's magnitude, error and limit flag, for the roles ROLE, ROLE_error and ROLE_limit."""
    is_k = band.upper() in ("K", "KS")
    letters = ("k", "ks") if is_k else (band.lower(),)
    names: dict[str, list[str]] = {role: [], f"{role}_error": [], f"{role}_limit": []}
    for x in letters:
        names[role] += [f"{x}_m", f"{x}mag", f"{x}_mag", f"mag_{x}", x.capitalize()]
        names[f"{role}_error"] += [
            *(f"{x}_msigcom", f"e_{x}mag", f"{x}_mag_err", f"{x}mag_err", f"{x}_msig", f"{x}_err", f"e_{x}"),
            *(f"{x}_mag_error", f"{x}mag_error", f"{x}_error", f"err_{x}", f"{x}err", f"e_{x}_mag"),
            *(f"{x}_m_err", f"{x}_m_error", f"sigma_{x}", f"{x}_sigma", f"{x}_unc", f"mag_err_{x}"),
        ]
        names[role] += [f"phot_{x}_mean_mag"]
        names[f"{role}_error"] += [f"phot_{x}_mean_mag_error"]
        names[f"{role}_limit"] += [f"l_{x}mag", f"l_{x}_mag", f"l_{x}_m", f"l_{x}"]
    return {key: tuple(values) for key, values in names.items()}


def names_to_write(band: str) -> tuple[str, str]:
    """The columns of a band's magnitude and its error, as the catalogs of 2MASS or Gaia name them."""
    names = band_names("band", band)
    which = -1 if band in ("G", "BP", "RP") else 0
    return names["band"][which], names["band_error"][which]


def find_columns(
    available: Sequence[str],
    known: Mapping[str, Sequence[str]],
    given: Mapping[str, str],
    place: str,
    single: Sequence[str] = (),
) -> dict[str, str]:
    """The column that plays each role.

    A name counts as it is, without a mark of 2MASS (tmass_j, j_m_2mass) only where none does as it is.

    Parameters
    ----------
    available : sequence of str
        The table's columns.
    known : dict of str to tuple of str
        For each role the names to look for, the preferred first: lower case, but a lone letter counts only as
        it stands.
    given : dict of str to str
        Names that the user gave; these must exist.
    place : str
        The table's name, for messages.
    single : sequence of str
        Roles of which no two columns may look, unless the user chose.

    Returns
    -------
    dict of str to str
        Role to column, without the roles that no column plays.

    Raises
    ------
    DataError
        A given role or column does not exist, or a role of `single` has several columns.
    """
    for role, column in given.items():
        if role not in known:
            raise DataError(f"{place}: no column role {role!r}; roles are {', '.join(known)}")
        if column not in available:
            raise DataError(f"{place}: no column {column!r} for {role}; {what_there_is(available, [column])}")
    found = {}
    for role, names in known.items():
        matches = [given[role]] if role in given else _matches(available, names)
        if role in single and len(set(matches)) > 1:
            raise DataError(
                f"{place}: more than one column may be the {role}: {', '.join(dict.fromkeys(matches))}; "
                f"choose with --column {role}=NAME"
            )
        if matches:
            found[role] = matches[0]
    return found


def _matches(available, names):
    """Columns that have one of the names, in the order of the names."""
    plain = _with_names({column: column for column in available}, names)
    if plain:
        return plain
    bare = {column: _OF_2MASS.sub("", column.lower()) for column in available}
    bare = {column: name for column, name in bare.items() if name != column.lower()}
    # A prefix says which survey's letter it is: tmass_j is as plain as J.
    return _with_names({c: name.capitalize() if len(name) <= 2 else name for c, name in bare.items()}, names)


def _with_names(columns, names):
    found = []
    for name in names:
        for column, spelled in columns.items():
            if spelled == name or (len(name) > 1 and spelled.lower() == name.lower()):
                found.append(column)
    return found


def require_told_apart(
    place: str,
    repeated: Mapping[str, Sequence[str]],
    used: Mapping[str, str],
    given: Mapping[str, str],
) -> None:
    """Raise DataError if a column that plays a role shares its name with others, unless the user chose it."""
    for role, column in used.items():
        if column in repeated and role not in given:
            choice = " or ".join(f"--column {role}={name}" for name in repeated[column])
            raise DataError(
                f"{place}: {len(repeated[column])} columns are called {column}: say which with {choice}, in "
                "their order"
            )


def missing_column(
    role: str, known: Mapping[str, Sequence[str]], available: Sequence[str], place: str, what: str
) -> DataError:
    """The error for a table without a column it needs."""
    wanted = " or ".join(known[role][:8])
    return DataError(
        f"{place}: no column for {what} (looked for {wanted}); {what_there_is(available, known[role])}; "
        f"name it with --column {role}=NAME"
    )


def other_survey(available: Sequence[str], survey: SurveyConfig) -> str | None:
    """The survey that a table without the wanted columns seems to be of: Gaia, 2MASS or None."""
    own = "Gaia" if survey.parallax.band else "2MASS"
    lower = {column.lower() for column in available}
    found = {name: len(lower.intersection(marks)) for name, marks in _MARKS.items()}
    return next((name for name, n in found.items() if name != own and n >= 2 and not found[own]), None)


def what_there_is(available: Sequence[str], wanted: Sequence[str] = ()) -> str:
    """A phrase that lists a table's columns, and of many those whose names are closest to the wanted ones."""
    close = closest(available, wanted)
    n_shown = 12 if close and len(available) > 40 else 40
    shown = ", ".join(available[:n_shown])
    if len(available) > n_shown:
        shown += f" and {len(available) - n_shown} more"
    if close:
        return f"the table has {shown}; closest: {', '.join(close)}"
    return f"the table has {shown}"


def closest(available: Sequence[str], wanted: Sequence[str], n: int = 3) -> list[str]:
    """The columns whose names are most like one of the wanted, at most `n`."""
    scores = {}
    for column in available[:2000]:
        bare = _OF_2MASS.sub("", column.lower())
        ratio = max(
            (difflib.SequenceMatcher(None, bare, name.lower()).ratio() for name in wanted), default=0.0
        )
        # A name with a part that is wanted: gaia_ra, J_best.
        parts = set(re.split(r"[_.\s]+", column.lower()))
        if ratio >= 0.75 or any(name.lower() in parts for name in wanted):
            scores[column] = ratio
    return sorted(scores, key=scores.__getitem__, reverse=True)[:n]
