"""Maps and tables of others, to compare a map with: what they are called, and what their numbers mean."""

import contextlib
import importlib
import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from extmap_tf.errors import DataError
from extmap_tf.map.volume import ExtinctionMap

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
        return self._along(coords, self.extinction)

    def query_std(self, coords):
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
    from astropy.io.registry import IORegistryError
    from astropy.table import Table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            table = Table.read(path)
        except IORegistryError:
            # Its text is the table of all formats.
            raise DataError(
                f"{path}: neither a map nor a table in a format that astropy recognises; give a map, a table "
                "or dustmaps.MODULE:CLASS"
            ) from None
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


def _profile_table(rows):
    longest = max(len(row[2]) for row in rows)

    def padded(values):
        return np.append(values, np.full(longest - len(values), np.nan))

    l_deg, b_deg, *arrays = zip(*rows, strict=True)
    return ProfileTable(
        np.array(l_deg), np.array(b_deg), *(np.array([padded(v) for v in part]) for part in arrays)
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


def open_other(source):
    """A map to compare with, recognised by its content.

    Parameters
    ----------
    source : str or path-like
        A map of ours, profiles of Bayestar's web server, the table of Marshall et al. 2006 from VizieR, or
        the class of a map of dustmaps, written ``dustmaps.MODULE:CLASS``, whose data are where dustmaps
        keeps them.

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
    try:
        with open(path, "rb") as stream:
            head = stream.read(8 * 2880)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; give a map, a table or dustmaps.MODULE:CLASS") from None
    except IsADirectoryError:
        raise DataError(f"{path}: a folder; give a map, a table or dustmaps.MODULE:CLASS") from None
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
            return getattr(importlib.import_module(module), name)()
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
