"""Maps and tables of others, to compare a map with: what they are called, and what their numbers mean."""

import contextlib
import importlib
import io
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from extmap_tf.catalogs.tables import open_local, open_tables, read_columns, table_for
from extmap_tf.catalogs.units import convert
from extmap_tf.errors import DataError
from extmap_tf.map.volume import ExtinctionMap

# A(2MASS Ks) per unit of the "E(B-V)" of SFD and Bayestar 2015, which is a scale, not a colour excess
# (Schlafly & Finkbeiner 2011, table 6, R(V) = 3.1).
KS_PER_SFD_UNIT = 0.310


# Maps of dustmaps that give extinction per length: in e-foldings of Gaia's G per kpc, or with a way of their
# own to integrate it.
_E_FOLDINGS_PER_KPC = ("Leike2020Query", "LeikeEnsslin2019Query")
_INTEGRATES_ITSELF = ("Edenhofer2023Query",)
_E_FOLDING_MAG = float(2.5 / np.log(10.0))
_POINTS_AT_ONCE = 1_000_000


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
    def coords(self) -> SkyCoord:
        """Its sightlines as a SkyCoord [n]."""
        return SkyCoord(self.l_deg * u.deg, self.b_deg * u.deg, frame="galactic")

    def query(self, coords: SkyCoord) -> np.ndarray:
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
        return self._along(coords, self.extinction)

    def query_std(self, coords: SkyCoord) -> np.ndarray | None:
        """As `query`, of the standard deviation."""
        return self._along(coords, self.std)

    def _along(self, coords, values):
        place = coords.galactic
        nearest, apart, _ = SkyCoord(place.l, place.b, frame="galactic").match_to_catalog_sky(self.coords)
        answer = np.full(len(nearest), np.nan)
        for number in np.unique(nearest):
            rows = (nearest == number) & (apart.deg <= self.reach_deg)
            known = np.isfinite(self.distance_kpc[number]) & np.isfinite(values[number])
            if known.any():
                d = np.append(0.0, self.distance_kpc[number][known])
                a = np.append(0.0, values[number][known])
                answer[rows] = np.interp(place.distance.to_value(u.kpc)[rows], d, a, right=np.nan)
        return answer


def read_bayestar_text(path: str | os.PathLike) -> ProfileTable:
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
    try:
        return _profile_table(_rows_of_bayestar(text, path))
    except ValueError as error:
        raise DataError(f"{path}: a number of a sightline cannot be read, fetch it again: {error}") from None


def _rows_of_bayestar(text, path):
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
                *(float(match[1]) for match in place if match),
                distance,
                np.median(values, axis=0),
                np.std(values, axis=0),
            )
        )
    if not rows:
        raise DataError(f"{path}: no profiles of Bayestar's web server in it")
    return rows


def read_marshall(path: str | os.PathLike) -> ProfileTable:
    """Profiles of Marshall et al. 2006 from VizieR (J/A+A/453/635): A(Ks) against distance.

    Parameters
    ----------
    path : path-like
        Any table that `extmap_tf.catalogs.tables` reads, with columns GLON, GLAT, r1, ext1, e_ext1, r2 ...

    Returns
    -------
    ProfileTable
        ``reach_deg`` is half the catalog's step, 0.125 deg.
    """
    with open_local(path) as stream:
        table, numbers = table_for(open_tables(stream, str(path)), _points_of_marshall)
        points = [f"{name}{i}" for name in ("r", "ext", "e_ext") for i in numbers]
        points = [name for name in points if name in table.names]
        found = read_columns(table, ["GLON", "GLAT", *points])
    for name in found:
        wanted = "deg" if name[0] == "G" else "kpc" if name[0] == "r" else "mag"
        found[name] = convert(found[name], table.units.get(name), wanted, f"{path}: column {name}")
    nan = np.full(len(found["GLON"]), np.nan)

    def columns(name):
        return np.stack([found.get(f"{name}{i}", nan) for i in numbers], axis=1)

    place = found["GLON"], found["GLAT"]
    return ProfileTable(*place, columns("r"), columns("ext"), columns("e_ext"), reach_deg=0.125 * np.sqrt(2))


def _points_of_marshall(table):
    """The numbers of the points on each profile."""
    lacking = [name for name in ("GLON", "GLAT", "r1", "ext1") if name not in table.names]
    if lacking:
        raise DataError(
            f"{table.name}: no column {lacking[0]}: not the table of Marshall et al. (J/A+A/453/635)"
        )
    return sorted(int(name[1:]) for name in table.names if re.fullmatch(r"r\d{1,3}", name))


def _profile_table(rows):
    longest = max(len(row[2]) for row in rows)

    def padded(values):
        return np.append(values, np.full(longest - len(values), np.nan))

    l_deg, b_deg, *parts = zip(*rows, strict=True)
    arrays: list[Any] = [np.array([padded(v) for v in part]) for part in parts]
    return ProfileTable(np.array(l_deg), np.array(b_deg), *arrays)


@dataclass(frozen=True, eq=False)
class IntegratedMap:
    """A map of dustmaps that gives extinction per length, integrated from the Sun along each sightline.

    Parameters
    ----------
    density : object with ``query(SkyCoord)``
        Extinction in mag, or in e-foldings, per kpc.
    mag_per_unit : float
        Of its numbers.
    step_kpc : float
        Of the integration.
    """

    density: Any
    mag_per_unit: float = 1.0
    step_kpc: float = 0.005

    def query(self, coords: SkyCoord) -> np.ndarray:
        """Extinction in mag [n]; NaN from where the map ends."""
        place = coords.galactic
        distance = place.distance.to_value(u.kpc)
        answer = np.full(len(distance), np.nan)
        edges = np.arange(0.0, distance.max() + self.step_kpc, self.step_kpc)
        middles = 0.5 * (edges[1:] + edges[:-1])
        sky = np.stack([place.l.deg, place.b.deg], axis=1)
        sightlines, which = np.unique(sky, axis=0, return_inverse=True)
        which = np.ravel(which)
        block = max(1, _POINTS_AT_ONCE // len(middles))
        for start in range(0, len(sightlines), block):
            l_deg, b_deg = sightlines[start : start + block].T
            shape = (len(l_deg), len(middles))
            points = (
                np.broadcast_to(part, shape).ravel() for part in (l_deg[:, None], b_deg[:, None], middles)
            )
            longitude, latitude, r = points
            at = SkyCoord(longitude * u.deg, latitude * u.deg, r * u.kpc, frame="galactic")
            density = np.asarray(self.density.query(at), float).reshape(shape) * self.mag_per_unit
            total = np.cumsum(density * self.step_kpc, axis=1)
            for number in range(len(l_deg)):
                rows = which == start + number
                profile = np.append(0.0, total[number])
                answer[rows] = np.interp(distance[rows], edges, profile)
        return answer


def require_cumulative(values: np.ndarray, name: str) -> None:
    """Refuse numbers that fall with distance, which those of a cumulative map do not.

    Parameters
    ----------
    values : ndarray [n, n_distances]
        Of a map at ascending distances; NaN where it has none.
    name : str
        What the map is called.

    Raises
    ------
    DataError
        On more than a quarter of the sightlines a value is below an earlier one by a tenth of the largest.
    """
    known = np.isfinite(values).sum(axis=1) > 1
    if not known.any():
        return
    filled = np.where(np.isfinite(values[known]), values[known], -np.inf)
    highest = np.maximum.accumulate(filled, axis=1)
    drop = np.where(np.isfinite(filled), highest - filled, 0.0).max(axis=1)
    if np.mean(drop > 0.1 * np.abs(highest[:, -1])) > 0.25:
        raise DataError(
            f"{name}: its numbers fall with distance, so they are no cumulative extinction (a density?): "
            "integrate them along each sightline first"
        )


class OtherMap(NamedTuple):
    """A map to compare with, as `open_other` finds it.

    Parameters
    ----------
    map : ExtinctionMap, ProfileTable or a map of dustmaps
    name : str
        For tables and figures.
    band : str or None
        What its numbers are, as for `extmap_tf.compare.maps.compare`.
    ks_per_unit : float or None
        Instead of `band`: A(2MASS Ks) per unit of its own scale. If both are None, only the user knows.
    """

    map: object
    name: str
    band: str | None = None
    ks_per_unit: float | None = None


def open_other(source: str | os.PathLike) -> "OtherMap":
    """A map to compare with, recognised by its content.

    Parameters
    ----------
    source : str or path-like
        A map of ours, profiles of Bayestar's web server, the table of Marshall et al. 2006 from VizieR, or
        the class of a map of dustmaps, written ``dustmaps.MODULE:CLASS``, whose data are where dustmaps
        keeps them. Leike's and Edenhofer's maps of extinction per length are integrated.

    Returns
    -------
    OtherMap

    Raises
    ------
    DataError
        None of these, or one that cannot be read.
    """
    if found := re.fullmatch(r"(dustmaps\.\w+):(\w+)", str(source)):
        return OtherMap(_of_dustmaps(*found.groups()), found[2].removesuffix("Query"))
    path = Path(source)
    with open_local(path) as stream:
        head = stream.read(8 * 2880)
    if head.startswith(b"SIMPLE  =") and b"EXTMAPV" in head:
        volume = ExtinctionMap.read(path)
        return OtherMap(volume, path.stem, volume.provenance.band)
    if b"Line-of-Sight Reddening Results" in head:
        return OtherMap(read_bayestar_text(path), "Bayestar", ks_per_unit=KS_PER_SFD_UNIT)
    return OtherMap(read_marshall(path), "Marshall et al. 2006", "Ks")


def _of_dustmaps(module, name):
    try:
        # Without its data a map of dustmaps prints a page of advice.
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            kind = getattr(importlib.import_module(module), name)
            if name in _INTEGRATES_ITSELF:
                return kind(integrated=True)
            return IntegratedMap(kind(), _E_FOLDING_MAG) if name in _E_FOLDINGS_PER_KPC else kind()
    except ImportError as error:
        if error.name and error.name.split(".")[0] == "dustmaps" and error.name != module:
            raise DataError(f"{module}:{name} needs dustmaps: pip install 'extmap_tf[dustmaps]'") from None
        raise DataError(f"{module}:{name}: cannot be imported: {error}") from None
    except AttributeError:
        raise DataError(f"{module} has no class {name}; see the documentation of dustmaps") from None
    # Whatever a map of dustmaps raises without its data.
    except Exception as error:
        raise DataError(
            f"{module}:{name} cannot be opened (are its data fetched?): {type(error).__name__}: {error}"
        ) from None
