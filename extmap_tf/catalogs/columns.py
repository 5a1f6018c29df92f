"""Which column of a table is which: the names that surveys and archives use."""

from extmap_tf.errors import DataError

POSITIONS = {
    "l": ("glon", "_glon", "gal_lon", "l_deg", "l"),
    "b": ("glat", "_glat", "gal_lat", "b_deg", "b"),
    "ra": ("ra", "raj2000", "_raj2000", "ra_icrs", "_ra_icrs", "ra_deg", "_ra"),
    "dec": ("dec", "decl", "dej2000", "_dej2000", "de_icrs", "_de_icrs", "dec_deg", "_de"),
}
_FLAGS = {"ph_qual": ("ph_qual", "qflg", "qfl"), "cc_flg": ("cc_flg", "cflg")}
_MAGNITUDES = {
    "J": ("j_m", "jmag", "j_mag"),
    "H": ("h_m", "hmag", "h_mag"),
    "K": ("k_m", "kmag", "ksmag", "ks_m", "k_mag", "ks_mag"),
}
_ERRORS = {
    "J": ("j_msigcom", "e_jmag", "j_mag_err", "jmag_err"),
    "H": ("h_msigcom", "e_hmag", "h_mag_err", "hmag_err"),
    "K": ("k_msigcom", "e_kmag", "e_ksmag", "k_mag_err", "ks_mag_err", "kmag_err"),
}


def survey_names(survey):
    """The column names (lower case) known for each role, the preferred first."""
    names = dict(POSITIONS) | dict(_FLAGS)
    for role, band in (("blue", survey.blue.name), ("red", survey.red.name)):
        letter = "K" if band.upper() == "KS" else band.upper()
        names[role] = _MAGNITUDES.get(letter, (f"{band.lower()}mag", f"{band.lower()}_mag"))
        names[f"{role}_error"] = _ERRORS.get(letter, (f"e_{band.lower()}mag", f"{band.lower()}_mag_err"))
    return names


def find_columns(available, known, given, place):
    """The column that plays each role.

    Parameters
    ----------
    available : sequence of str
        The table's columns.
    known : dict of str to tuple of str
        For each role the names to look for, lower case, the preferred first.
    given : dict of str to str
        Names that the user gave; these must exist.
    place : str
        The table's name, for messages.

    Returns
    -------
    dict of str to str
        Role to column, without the roles that no column plays.

    Raises
    ------
    DataError
        A given role or column does not exist.
    """
    for role, column in given.items():
        if role not in known:
            raise DataError(f"{place}: no column role {role!r}; roles are {', '.join(known)}")
        if column not in available:
            raise DataError(f"{place}: no column {column!r} for {role}; {what_there_is(available)}")
    lower = {}
    for column in available:
        lower.setdefault(column.lower(), column)
    found = {}
    for role, names in known.items():
        matches = [given[role]] if role in given else [lower[n] for n in names if n in lower]
        # A lone letter counts only as it stands: B is a magnitude, b a latitude.
        matches = [m for m in matches if role in given or len(m) > 1 or m in names]
        if matches:
            found[role] = matches[0]
    return found


def missing_column(role, known, available, place, what):
    """The error for a table without a column it needs."""
    wanted = " or ".join(known[role])
    return DataError(
        f"{place}: no column for {what} (looked for {wanted}); {what_there_is(available)}; "
        f"name it with --column {role}=NAME"
    )


def what_there_is(available):
    """A phrase that lists a table's columns."""
    shown = ", ".join(available[:40])
    more = f" and {len(available) - 40} more" if len(available) > 40 else ""
    return f"the table has {shown}{more}"
