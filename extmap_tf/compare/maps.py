"""A map beside others: any object of dustmaps, another `ExtinctionMap`, or a table of profiles."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from extmap_tf.compare.other_maps import IntegratedMap, ProfileTable, require_cumulative
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.extinction.bands import quantity_of
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.settings.law import LawConfig
from extmap_tf.text_tables import aligned, row_to_dict

DISTANCES_KPC = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0)


@dataclass(frozen=True)
class DistanceComparison:
    """Two maps at one distance, over positions where both have a value.

    Parameters
    ----------
    distance_kpc : float
    n : int
    correlation, rank_correlation : float
        Pearson's and Spearman's; NaN with fewer than three positions.
    mean_mag, other_mean_mag : float
    offset_mag, scatter_mag : float
        Mean and standard deviation of map - other; no scatter of one position.
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
    grid : SightlineGrid or HealpixGrid
        The map's.
    l_deg, b_deg : ndarray [n]
    distances_kpc : ndarray [n_distances]
    extinction_mag, other_mag : ndarray [n, n_distances]
        Extinction in `band` of the map and of the other, converted.
    std_mag, other_std_mag : ndarray [n, n_distances] or None
        Standard deviations, where the map and the other have any.
    band, name : str
        Of the map's values, and what the other map is called.
    rows : list of DistanceComparison
    """

    grid: SightlineGrid | HealpixGrid
    l_deg: np.ndarray
    b_deg: np.ndarray
    distances_kpc: np.ndarray
    extinction_mag: np.ndarray
    other_mag: np.ndarray
    std_mag: np.ndarray | None
    other_std_mag: np.ndarray | None
    band: str
    name: str
    rows: list[DistanceComparison]

    def to_dict(self) -> dict[str, Any]:
        """The rows for JSON: NaN becomes None."""
        return {
            "band": self.band,
            "other": self.name,
            "rows": [row_to_dict(row) for row in self.rows],
        }

    def table(self) -> str:
        """The rows as lines of aligned text."""
        header = [("distance", "kpc"), ("positions", ""), ("correlation", ""), ("of ranks", "")]
        header += [(name, "mag") for name in ("mean", "other", "offset", "scatter")] + [("slope", "")]
        lines = [
            (
                f"{row.distance_kpc:g}",
                f"{row.n}",
                _number(row.correlation, ".3f"),
                _number(row.rank_correlation, ".3f"),
                _number(row.mean_mag, ".4f"),
                _number(row.other_mean_mag, ".4f"),
                _number(row.offset_mag, "+.4f"),
                _number(row.scatter_mag, ".4f"),
                _number(row.slope, ".3f"),
            )
            for row in self.rows
        ]
        return f"map against {self.name}, {quantity_of(self.band)}\n{aligned(header, lines)}"


def compare(
    volume: ExtinctionMap,
    other: Any,
    band: str | None = None,
    law: LawConfig | str | None = None,
    per_unit: float | None = None,
    coords: SkyCoord | None = None,
    distances_kpc: Sequence[float] | np.ndarray = DISTANCES_KPC,
    name: str = "other",
) -> Comparison:
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
        No position inside the map or none with a value in both, an answer of another shape, or numbers that
        are not cumulative.
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
    found = np.asarray(u.Quantity(_median_of(other, grid, name)).value, float)
    if found.size != grid.size:
        raise DataError(
            f"{name} answered {found.shape} to {grid.size} positions; it must give one value each"
        )
    ours = volume.query_gal(*place).value
    theirs = factor * found.reshape(shape)
    require_cumulative(theirs, name)
    if not (np.isfinite(ours) & np.isfinite(theirs)).any():
        raise DataError(
            f"nothing to compare: of {len(l_deg)} positions none has a value in both the map and {name} at "
            f"{', '.join(f'{d:g}' for d in at)} kpc"
        )
    std = volume.query_gal(*place, mode="std").value if volume.percentiles else None
    other_std = _std_of(other, grid)
    other_std = None if other_std is None else factor * other_std.reshape(shape)
    rows = [_row(d, ours[:, i], theirs[:, i]) for i, d in enumerate(at)]
    return Comparison(volume.grid, l_deg, b_deg, at, ours, theirs, std, other_std, volume.band, name, rows)


def _number(value, form):
    """A number as text; what too few positions tell nothing of is a dash."""
    return "-" if np.isnan(value) else format(value, form)


def _median_of(other, coords, name):
    if isinstance(other, ProfileTable | ExtinctionMap | IntegratedMap):
        return other.query(coords)
    try:
        # Maps differ in which modes they have, and in what they raise for others.
        for mode in ({"mode": "median"}, {"mode": "mean"}):
            with contextlib.suppress(TypeError, ValueError):
                return other.query(coords, **mode)
        return other.query(coords)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DataError(f"{name} does not answer: {reason}") from None


def _std_of(other, coords):
    if isinstance(other, ProfileTable):
        return other.query_std(coords)
    if isinstance(other, ExtinctionMap) and other.percentiles:
        return other.query(coords, mode="std").value
    return None


def _row(distance_kpc, ours, theirs):
    from scipy.stats import spearmanr

    both = np.isfinite(ours) & np.isfinite(theirs)
    ours, theirs = ours[both].astype(float), theirs[both]
    if not len(ours):
        return DistanceComparison(float(distance_kpc), 0, *[np.nan] * 7)
    varied = len(ours) > 2 and np.ptp(ours) > 0 and np.ptp(theirs) > 0
    return DistanceComparison(
        distance_kpc=float(distance_kpc),
        n=len(ours),
        correlation=float(np.corrcoef(ours, theirs)[0, 1]) if varied else np.nan,
        rank_correlation=float(spearmanr(ours, theirs).statistic) if varied else np.nan,
        mean_mag=float(ours.mean()),
        other_mean_mag=float(theirs.mean()),
        offset_mag=float((ours - theirs).mean()),
        scatter_mag=float((ours - theirs).std()) if len(ours) > 1 else np.nan,
        slope=float((ours @ theirs) / (theirs @ theirs)) if theirs.any() else np.nan,
    )
