"""Star catalogs made by Galaxy models elsewhere: Besançon, TRILEGAL, SynthPop and the like.

Magnitudes end up in the survey's bands and free of extinction. A table that already carries extinction is
corrected star by star with a law, or refused; Johnson J, H, K are turned into 2MASS J, H, Ks.
"""

import gzip
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from extmap_tf.catalogs.columns import find_columns, what_there_is
from extmap_tf.catalogs.cuts import BRIGHTEST_MAG, FAINTEST_MAG
from extmap_tf.catalogs.stars import MockCatalog
from extmap_tf.catalogs.tables import open_table, readable
from extmap_tf.errors import DataError

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
    "av": ("av", "a_v"),
    "blue": (),
    "red": (),
}
_OTHER_EXTINCTION = re.compile(r"^(A_?(J|H|K|Ks|G|I|0)|E\(B-V\)|ebv)$", re.IGNORECASE)


@dataclass
class _ModelTable:
    """A model's table held as columns, with what its header says."""

    kind: str
    names: tuple[str, ...]
    column: object
    system: str | None = None
    facts: dict[str, float] = field(default_factory=dict)


def read_model_catalog(
    path,
    survey,
    area_deg2=None,
    l_deg=None,
    b_deg=None,
    columns=None,
    system=None,
    a_over_av=None,
    seed=0,
):
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
    with readable(str(path)), open(path, "rb") as stream:
        table = _open_model(stream, path)
        roles = find_columns(table.names, _ROLES, columns or {}, str(path))
        av_mag = _extinction(table, roles, path, a_over_av)
        magnitudes, system = _magnitudes(table, roles, survey, system, path)
        distance_kpc = _distance(table, roles, path)
        position = {role: table.column(roles[role]) for role in ("l", "b") if role in roles}
    if av_mag is not None and av_mag.any():
        own_um = {_letter(band.name): band.wavelength_um for band in (survey.blue, survey.red)}
        wavelengths_um = _JOHNSON_WAVELENGTH_UM if system == "johnson" else own_um
        for band, mag in magnitudes.items():
            magnitudes[band] = mag - av_mag * a_over_av(wavelengths_um[band])
    if system == "johnson":
        j, h, ks = johnson_to_2mass(magnitudes["J"], magnitudes.get("H"), magnitudes["K"])
        magnitudes = {"J": j, "H": h, "K": ks}
    blue_mag, red_mag = (magnitudes[_letter(band.name)] for band in (survey.blue, survey.red))

    usable = np.ones(len(distance_kpc), bool)
    rejected = {}
    for reason, right in (
        (f"no {survey.blue.name} magnitude", (blue_mag > BRIGHTEST_MAG) & (blue_mag < FAINTEST_MAG)),
        (f"no {survey.red.name} magnitude", (red_mag > BRIGHTEST_MAG) & (red_mag < FAINTEST_MAG)),
        ("no distance", (distance_kpc > 0) & np.isfinite(distance_kpc)),
    ):
        n_rejected = np.count_nonzero(usable & ~right)
        if n_rejected:
            rejected[reason] = int(n_rejected)
        usable &= right
    if not usable.any():
        raise DataError(f"{path}: none of {len(usable)} rows can be used: {_counts(rejected) or 'no rows'}")
    if rejected:
        _log.warning("%s: %d of %d rows left out: %s", path, (~usable).sum(), len(usable), _counts(rejected))

    center_deg = _center(position, usable, table.facts, l_deg, b_deg, path)
    area_deg2 = table.facts.get("area_deg2") if area_deg2 is None else area_deg2
    if area_deg2 is None:
        raise DataError(f"{path}: the solid angle is not in the file: give area_deg2")
    if not 0 < area_deg2 < 41253:
        raise DataError(f"{path}: the solid angle must be above 0 and below the whole sky, got: {area_deg2}")
    order = np.random.default_rng(seed).permutation(np.flatnonzero(usable))
    removed = f", A_V up to {av_mag.max():.3f} mag removed" if av_mag is not None and av_mag.any() else ""
    unknown = ", no A_V column: taken as free of extinction" if av_mag is None else ""
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
            source=f"{path.name} ({table.kind}, {system or 'own'} photometry{removed}{unknown})",
        ),
        rejected,
    )


def johnson_to_2mass(j_mag, h_mag, k_mag):
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


def _open_model(stream, path):
    head = stream.read(1 << 16)
    stream.seek(0)
    if head.startswith(b"\x89HDF"):
        return _hdf5_table(path)
    text = gzip.GzipFile(fileobj=stream).read(1 << 16) if head.startswith(b"\x1f\x8b") else head
    stream.seek(0)
    first = text.lstrip().split(b"\n", 1)[0]
    if b"BESANCON MODEL" in text or re.search(rb"^\s*Dist\s+Mv\s+CL\b", text, re.MULTILINE):
        return _besancon_2003(_lines(stream, head), path)
    if first.startswith(b"#") and not re.search(rb"[,|;]", first):
        names = first.lstrip(b"# ").split()
        if b"Dist" in names and b"Mv" in names:
            return _whitespace_table(_lines(stream, head), path, "Besançon web output", "johnson")
        if b"m-M0" in names:
            lines = _lines(stream, head)
            if "#TRILEGAL normally terminated" not in (line.strip() for line in lines[-5:]):
                raise DataError(f"{path}: no line '#TRILEGAL normally terminated' at the end: fetch it again")
            return _whitespace_table(lines, path, "TRILEGAL", None)
    table = open_table(stream, str(path))
    return _ModelTable(
        "TRILEGAL" if "m-M0" in table.names else table.format,
        table.names,
        lambda column: np.concatenate([np.zeros(0), *(b[column] for b in table.batches([column]))]),
    )


def _lines(stream, head):
    source = gzip.GzipFile(fileobj=stream) if head.startswith(b"\x1f\x8b") else stream
    return source.read().decode("utf-8", "replace").splitlines()


def _besancon_2003(lines, path):
    """Free text, the header, the stars, the header again as a footer, more text."""
    header = [i for i, line in enumerate(lines) if line.split()[:3] == ["Dist", "Mv", "CL"]]
    if len(header) < 2:
        raise DataError(
            f"{path}: a Besançon .resu file has its column names before and after the stars, "
            f"found {len(header)} of 2: the file is truncated, fetch it again"
        )
    names = lines[header[0]].split()
    text = "\n".join(lines[: header[0]] + lines[header[1] :])
    facts = {}
    for key, pattern in (
        ("area_deg2", r"Solid angle\s+([\d.]+)\s+square degree"),
        ("l_deg", r"\(l\s*=\s*([-\d.]+)"),
        ("b_deg", r"b\s*=\s*([-\d.]+)\)"),
        ("n_stars", r"TOTAL NUMBER OF STARS\s*:\s*(\d+)"),
    ):
        if match := re.search(pattern, text):
            facts[key] = float(match[1])
    rows = lines[header[0] + 1 : header[1]]
    table = _columns_of(rows, names, header[0] + 2, path, "Besançon 2003 .resu", "johnson", facts)
    stated = re.search(r"System:\s*(\S+)", text)
    if stated and "johnson" not in stated[1].lower():
        table.system = None
    if "n_stars" in facts and facts["n_stars"] != len(rows):
        raise DataError(f"{path}: {len(rows)} stars, but the footer counts {facts['n_stars']:.0f}: truncated")
    return table


def _whitespace_table(lines, path, kind, system):
    names = lines[0].lstrip("# ").split()
    first = 1
    rows = [line for line in lines[first:] if not line.startswith("#")]
    return _columns_of(rows, names, first + 1, path, kind, system, {})


def _columns_of(rows, names, first_line, path, kind, system, facts):
    cells = [row.split() for row in rows]
    for i, row in enumerate(cells):
        if len(row) != len(names):
            raise DataError(f"{path}: line {first_line + i} has {len(row)} values for {len(names)} columns")

    def column(name):
        index = names.index(name)
        return np.array([row[index] for row in cells], dtype=float)

    return _ModelTable(kind, tuple(names), column, system, facts)


def _hdf5_table(path):
    try:
        import h5py
    except ImportError:
        raise DataError(f"{path}: HDF5 needs the package h5py: pip install h5py") from None
    found = {}
    with h5py.File(path, "r") as file:

        def visit(name, item):
            if isinstance(item, h5py.Dataset) and item.ndim == 1:
                if item.dtype.names:
                    found.update((part, (name, part)) for part in item.dtype.names)
                else:
                    # vaex keeps a column as the dataset "data" in a group of the column's name.
                    found[name.removesuffix("/data").rsplit("/", 1)[-1]] = (name, ())

        file.visititems(visit)

    def column(name):
        dataset, part = found[name]
        with h5py.File(path, "r") as file:
            return np.asarray(file[dataset][part], float)

    return _ModelTable("HDF5", tuple(found), column)


def _magnitudes(table, roles, survey, system, path):
    """The magnitudes by band, and their photometric system (None: the survey's own).

    K stands for K and Ks alike; the system tells which it is.
    """
    bands = [_letter(band.name) for band in (survey.blue, survey.red)]
    given = [role for role in ("blue", "red") if role in roles]
    if len(given) == 1:
        raise DataError(f"{path}: give the columns of both magnitudes, blue and red, or of neither")
    if given and system == "johnson" and set(bands) != {"J", "K"}:
        raise DataError(f"{path}: Johnson magnitudes given by column are converted for J and Ks only")
    if given:
        columns = [roles[role] for role in given]
        return {band: table.column(column) for band, column in zip(bands, columns, strict=True)}, system
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
    return {
        band: sum(sign * table.column(column) for sign, column in expressions[band]) for band in wanted
    }, system


def _letter(band_name):
    return "K" if band_name.upper() == "KS" else band_name.upper()


def _band_expressions(names):
    """How each magnitude follows from the columns: band to (sign, column) pairs.

    A magnitude may be a column of its own (J, J_mag, 2MASS_J, Ks) or follow from another through colours
    (K and J-K; V, V-K and J-K).
    """
    known = {}
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


def _distance(table, roles, path):
    if "distance" in roles:
        return table.column(roles["distance"])
    if "distance_pc" in roles:
        return 1e-3 * table.column(roles["distance_pc"])
    if "modulus" in roles:
        return 10.0 ** (0.2 * table.column(roles["modulus"]) - 2.0)
    raise DataError(
        f"{path}: no distance (looked for Dist, distance_kpc, distance_pc, m-M0); "
        f"{what_there_is(table.names)}; give the column distance, distance_pc or modulus"
    )


def _extinction(table, roles, path, a_over_av):
    """A_V of each star [n_rows]; None without such a column."""
    if "av" in roles:
        av_mag = table.column(roles["av"])
        if not np.isfinite(av_mag).all() or (av_mag < 0).any():
            raise DataError(f"{path}: column {roles['av']} must hold A_V, it has missing or negative values")
        if av_mag.any() and a_over_av is None:
            raise DataError(
                f"{path}: the magnitudes carry extinction (A_V up to {av_mag.max():.3f} mag): make the model "
                "without extinction, or give the law that it was made with"
            )
        return av_mag
    for name in table.names:
        if _OTHER_EXTINCTION.match(name) and np.nan_to_num(table.column(name)).any():
            raise DataError(
                f"{path}: column {name} says that the magnitudes carry extinction: make the model without, "
                "or give A_V as the column av"
            )
    return None


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
