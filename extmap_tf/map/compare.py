"""A map beside others: any object of dustmaps, another `ExtinctionMap`, or a table of profiles."""

import dataclasses
import re
import warnings
from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.map.volume import ExtinctionMap

DISTANCES_KPC = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0)

# A(2MASS Ks) per unit of the "E(B-V)" of SFD and Bayestar 2015, which is a scale, not a colour excess
# (Schlafly & Finkbeiner 2011, table 6, R(V) = 3.1).
KS_PER_SFD_UNIT = 0.310


@dataclass(frozen=True, eq=False)
class ProfileTable:
    """Profiles of single sightlines, as published tables have them.

    Parameters
    ----------
    l_deg, b_deg : ndarray [n]
    distance_kpc, extinction : ndarray [n, n_points]
        Ascending distances, NaN past the last point of a sightline; cumulative extinction there.
    std : ndarray [n, n_points]
        Standard deviation; NaN where it is not known.
    reach_deg : float
        A position further than this from every sightline has no profile.
    """

    l_deg: np.ndarray
    b_deg: np.ndarray
    distance_kpc: np.ndarray
    extinction: np.ndarray
    std: np.ndarray
    reach_deg: float = 0.25

    @property
    def coords(self):
        """Its sightlines as a SkyCoord [n]."""
        return SkyCoord(self.l_deg * u.deg, self.b_deg * u.deg, frame="galactic")

    def query(self, coords):
        """Extinction of the nearest sightline, linear in distance from 0 at the Sun; as a map of dustmaps.

        Parameters
        ----------
        coords : SkyCoord [n]
            With distances.

        Returns
        -------
        ndarray [n]
            NaN beyond the last point, and further than `reach_deg` from every sightline.
        """
        place = coords.galactic
        nearest, apart, _ = SkyCoord(place.l, place.b, frame="galactic").match_to_catalog_sky(self.coords)
        answer = np.full(len(nearest), np.nan)
        for number in np.unique(nearest):
            rows = (nearest == number) & (apart.deg <= self.reach_deg)
            known = np.isfinite(self.distance_kpc[number]) & np.isfinite(self.extinction[number])
            d = np.append(0.0, self.distance_kpc[number][known])
            a = np.append(0.0, self.extinction[number][known])
            answer[rows] = np.interp(place.distance.to_value(u.kpc)[rows], d, a, right=np.nan)
        return answer


def read_bayestar_text(path):
    """Profiles as the Bayestar web server prints them: E(B-V) on its own scale against distance modulus.

    The value is the median of the samples, the standard deviation theirs.

    Returns
    -------
    ProfileTable

    Raises
    ------
    DataError
        Not such a text, or one that is cut short.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text: {error}") from None
    rows = []
    for number, block in enumerate(text.split("# Line-of-Sight Reddening Results")[1:], 1):
        place = [re.search(rf"#\s+{name} = (\S+)", block) for name in "lb"]
        modulus = re.search(r"^\s*\|((?:\s+[\d.]+)+)\s*$", block, re.MULTILINE)
        samples = re.findall(r"^\s*\d+\s*\|((?:\s+[\d.]+)+)\s*$", block, re.MULTILINE)
        values = [np.array(line.split(), float) for line in samples]
        if not all(place) or modulus is None or not values:
            raise DataError(
                f"{path}: sightline {number} has no position, distances or samples: fetch it again"
            )
        distance = 10.0 ** (0.2 * np.array(modulus[1].split(), float) - 2.0)
        if any(len(value) != len(distance) for value in values):
            raise DataError(f"{path}: sightline {number} has rows of different lengths: fetch it again")
        rows.append(
            (
                *(float(match[1]) for match in place),
                distance,
                np.median(values, axis=0),
                np.std(values, axis=0),
            )
        )
    if not rows:
        raise DataError(f"{path}: no profiles of Bayestar's web server in it")
    return _profile_table(rows)


def read_marshall(path):
    """Profiles of Marshall et al. 2006 from VizieR (J/A+A/453/635): A(Ks) against distance.

    Parameters
    ----------
    path : path-like
        FITS, VOTable or another table of astropy's, with the columns GLON, GLAT, r1, ext1, e_ext1, r2, ...

    Returns
    -------
    ProfileTable
        ``reach_deg`` is half the catalog's step, 0.125 deg.
    """
    from astropy.table import Table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            table = Table.read(path)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"{path}: cannot be read as a table: {reason}") from None
    numbers = sorted(int(name[1:]) for name in table.colnames if re.fullmatch(r"r\d+", name))
    lacking = [name for name in ("GLON", "GLAT", "r1", "ext1") if name not in table.colnames]
    if lacking or not numbers:
        raise DataError(f"{path}: no column {lacking[0]}: not the table of Marshall et al. (J/A+A/453/635)")

    def columns(name):
        parts = [f"{name}{i}" for i in numbers]
        nan = np.ma.masked_all(len(table), float)
        parts = [table[part] if part in table.colnames else nan for part in parts]
        return np.stack([np.ma.filled(np.ma.asarray(part, dtype=float), np.nan) for part in parts], axis=1)

    place = [np.asarray(table[name], float) for name in ("GLON", "GLAT")]
    return ProfileTable(*place, columns("r"), columns("ext"), columns("e_ext"), reach_deg=0.125 * np.sqrt(2))


@dataclass(frozen=True)
class DistanceComparison:
    """Two maps at one distance, over positions where both have a value; NaN with fewer than three.

    Parameters
    ----------
    distance_kpc : float
    n : int
    correlation, rank_correlation : float
        Pearson's and Spearman's.
    mean_mag, other_mean_mag : float
    offset_mag, scatter_mag : float
        Mean and standard deviation of map - other.
    slope : float
        Of the line through the origin that has least squares of map against other.
    """

    distance_kpc: float
    n: int
    correlation: float
    rank_correlation: float
    mean_mag: float
    other_mean_mag: float
    offset_mag: float
    scatter_mag: float
    slope: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """A map beside another.

    Parameters
    ----------
    l_deg, b_deg : ndarray [n]
    distances_kpc : ndarray [n_distances]
    extinction_mag, other_mag : ndarray [n, n_distances]
        Cumulative extinction in `band` of the map and of the other, converted.
    std_mag : ndarray [n, n_distances] or None
        Of the map.
    band, name : str
        The map's band, and what the other map is called.
    rows : list of DistanceComparison
    """

    l_deg: np.ndarray
    b_deg: np.ndarray
    distances_kpc: np.ndarray
    extinction_mag: np.ndarray
    other_mag: np.ndarray
    std_mag: np.ndarray | None
    band: str
    name: str
    rows: list

    def to_dict(self):
        """The rows for JSON: NaN becomes None."""
        return {
            "band": self.band,
            "other": self.name,
            "rows": [
                {key: None if value != value else value for key, value in dataclasses.asdict(row).items()}
                for row in self.rows
            ],
        }

    def table(self):
        """The rows as lines of aligned text."""
        lines = [f"map against {self.name}, A({self.band}) in mag"]
        lines.append(
            f"{'kpc':>6}{'n':>8}{'corr.':>8}{'rank':>8}{'mean':>9}{'other':>9}{'offset':>9}{'scatter':>9}{'slope':>8}"
        )
        for row in self.rows:
            lines.append(
                f"{row.distance_kpc:6g}{row.n:8d}{row.correlation:8.3f}{row.rank_correlation:8.3f}"
                f"{row.mean_mag:9.4f}{row.other_mean_mag:9.4f}{row.offset_mag:+9.4f}{row.scatter_mag:9.4f}"
                f"{row.slope:8.3f}"
            )
        return "\n".join(lines)


def compare(
    volume, other, band=None, law=None, per_unit=None, coords=None, distances_kpc=DISTANCES_KPC, name="other"
):
    """Correlation and offset of a map and another at several distances.

    Parameters
    ----------
    volume : ExtinctionMap
    other : object with ``query(SkyCoord)``
        A map of dustmaps (asked for its median if it has modes), an `ExtinctionMap` or a `ProfileTable`.
        Its values are cumulative.
    band : str, optional
        What the other map's numbers are: a band or colour excess, such as ``V`` or ``E(B-V)``. The map's own
        band if left out.
    law : LawConfig or str, optional
        By which they are converted to the map's band; the map's own law if left out.
    per_unit : float, optional
        Instead of `band` and `law`: extinction in the map's band per unit of the other, such as
        `KS_PER_SFD_UNIT`.
    coords : SkyCoord [n], optional
        Where on the sky; by default the sightlines of a `ProfileTable` that lie in the map, else those of
        the map that have a profile.
    distances_kpc : sequence of float
        Those beyond the map's last distance are left out.
    name : str
        What the other map is called.

    Returns
    -------
    Comparison

    Raises
    ------
    ConfigError
        No distance inside the map, or both `per_unit` and a band.
    DataError
        No position inside the map, or an answer of another shape.
    """
    if per_unit is not None and (band is not None or law is not None):
        raise ConfigError("give either per_unit, or band and law")
    factor = 1.0 / volume.band_factor(band, law) if per_unit is None else float(per_unit)
    at = np.array([d for d in distances_kpc if 0 < d <= volume.distance.max_kpc * (1 + 1e-9)])
    if not at.size:
        raise ConfigError(f"no distance of {list(distances_kpc)} is within {volume.distance.max_kpc:g} kpc")
    if coords is None and isinstance(other, ProfileTable):
        coords = other.coords
    if coords is None:
        l_deg, b_deg = (angle[volume.has_profile.ravel()] for angle in volume.grid.centers_deg())
    else:
        place = coords.galactic
        l_deg, b_deg = np.ravel(place.l.deg), np.ravel(place.b.deg)
        inside = volume.grid.sightline_of(l_deg, b_deg) >= 0
        l_deg, b_deg = l_deg[inside], b_deg[inside]
    if not l_deg.size:
        raise DataError(f"no position to compare: the map and {name} do not overlap")
    place = np.broadcast_arrays(l_deg[:, None], b_deg[:, None], at)
    grid = SkyCoord(
        place[0].ravel() * u.deg, place[1].ravel() * u.deg, place[2].ravel() * u.kpc, frame="galactic"
    )
    shape = place[0].shape
    found = np.asarray(u.Quantity(_median_of(other, grid)).value, float)
    if found.size != grid.size:
        raise DataError(
            f"{name} answered {found.shape} to {grid.size} positions; it must give one value each"
        )
    ours = volume.query_gal(*place).value
    theirs = factor * found.reshape(shape)
    std = volume.query_gal(*place, mode="std").value if volume.percentiles else None
    rows = [_row(d, ours[:, i], theirs[:, i]) for i, d in enumerate(at)]
    return Comparison(l_deg, b_deg, at, ours, theirs, std, volume.provenance.band, name, rows)


def _median_of(other, coords):
    if isinstance(other, ProfileTable | ExtinctionMap):
        return other.query(coords)
    try:
        return other.query(coords, mode="median")
    except TypeError:
        return other.query(coords)


def _row(distance_kpc, ours, theirs):
    from scipy.stats import spearmanr

    both = np.isfinite(ours) & np.isfinite(theirs)
    ours, theirs = ours[both].astype(float), theirs[both]
    if len(ours) < 3:
        return DistanceComparison(float(distance_kpc), len(ours), *[np.nan] * 7)
    varied = np.ptp(ours) > 0 and np.ptp(theirs) > 0
    return DistanceComparison(
        distance_kpc=float(distance_kpc),
        n=len(ours),
        correlation=float(np.corrcoef(ours, theirs)[0, 1]) if varied else np.nan,
        rank_correlation=float(spearmanr(ours, theirs).statistic) if varied else np.nan,
        mean_mag=float(ours.mean()),
        other_mean_mag=float(theirs.mean()),
        offset_mag=float((ours - theirs).mean()),
        scatter_mag=float((ours - theirs).std()),
        slope=float((ours @ theirs) / (theirs @ theirs)) if theirs.any() else np.nan,
    )


def _profile_table(rows):
    longest = max(len(row[2]) for row in rows)

    def padded(values):
        return np.append(values, np.full(longest - len(values), np.nan))

    l_deg, b_deg, *arrays = zip(*rows, strict=True)
    return ProfileTable(
        np.array(l_deg), np.array(b_deg), *(np.array([padded(v) for v in part]) for part in arrays)
    )
