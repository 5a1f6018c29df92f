"""Single walls of dust: whether a jump of the extinction is found where it is, as high as it is.

A wall has all its dust in one thin cloud. What an estimate makes of it tells how sharp it sees: a smooth
estimate may be right in the column, and in every interval, and still show no wall.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from extmap_tf.estimate import PERCENTILES
from extmap_tf.extinction.profiles import cloud_increments
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.text_tables import row_to_dict

NEAR_SHARE = 0.2
"""A part of the jump is at its place within this share of the wall's distance."""


@dataclass(frozen=True)
class WallScore:
    """Estimates of fields behind the same wall.

    Parameters
    ----------
    group : str
        Which fields.
    wall_mag, distance_kpc : float
        Height of the jump and where it is.
    n : int
        Fields.
    share_near : float
        Mean share of the jump that the median extinction makes within 20 % of its distance.
    half_over_distance : float
        Distance at which the median extinction reaches half of the jump, over the wall's: median over fields;
        NaN where half of them or more never reach it.
    total_over_wall : float
        Mean of the median extinction at the last distance, over the jump.
    coverage_68 : float
        Share of the true extinctions beyond 1.2 times the wall's distance inside the central 68 % interval.
        In front of the wall the truth is zero, which no interval of positive numbers holds.
    """

    group: str
    wall_mag: float
    distance_kpc: float
    n: int
    share_near: float
    half_over_distance: float
    total_over_wall: float
    coverage_68: float

    to_dict = row_to_dict


def wall_density(
    wall_mag: float, at_kpc: float, distance: DistanceGrid, fwhm_kpc: float = 0.05
) -> np.ndarray:
    """Density [n_distances], mag / kpc, of one Gaussian cloud that holds `wall_mag`.

    Parameters
    ----------
    wall_mag, at_kpc : float
    distance : extmap_tf.grids.distance.DistanceGrid
    fwhm_kpc : float
    """
    increments = cloud_increments(distance, at_kpc, fwhm_kpc)
    return (wall_mag * increments / distance.step_kpc).astype(np.float32)


def percentiles_of_samples(
    samples: np.ndarray, step_kpc: float, levels: Sequence[float] = PERCENTILES
) -> np.ndarray:
    """Percentiles of the cumulative extinction, mag, of whole profiles.

    Parameters
    ----------
    samples : ndarray [n, n_samples, n_distances]
        Density, mag / kpc.
    step_kpc : float
    levels : sequence of float
        In percent.

    Returns
    -------
    ndarray [n, n_levels, n_distances]
    """
    cumulative = np.cumsum(samples, axis=-1, dtype=float) * step_kpc
    return np.moveaxis(np.percentile(cumulative, levels, axis=1), 0, 1)


def wall_score(
    percentiles: np.ndarray,
    wall_mag: float,
    at_kpc: float,
    step_kpc: float,
    group: str = "all",
    levels: Sequence[float] = PERCENTILES,
) -> WallScore:
    """Score estimates of fields behind one wall.

    Parameters
    ----------
    percentiles : ndarray [n, n_levels, n_distances]
        Of the cumulative extinction at the bins' outer edges, mag.
    wall_mag, at_kpc, step_kpc : float
    group : str
    levels : sequence of float [n_levels]
        In percent; 16, 50 and 84 are among them.
    """
    low, median, high = (np.asarray(percentiles)[:, list(levels).index(p)] for p in (16.0, 50.0, 84.0))
    outer_kpc = step_kpc * np.arange(1, median.shape[1] + 1)
    edges, up_to = np.append(0.0, outer_kpc), np.pad(median, ((0, 0), (1, 0)))
    near = [[np.interp(at_kpc * x, edges, row) for x in (1 - NEAR_SHARE, 1 + NEAR_SHARE)] for row in up_to]
    behind = outer_kpc > at_kpc * (1 + NEAR_SHARE)
    covered = (low[:, behind] <= wall_mag) & (wall_mag <= high[:, behind])
    half_kpc = np.median([_first_reach(row, 0.5 * wall_mag, edges) for row in up_to])
    return WallScore(
        group=group,
        wall_mag=float(wall_mag),
        distance_kpc=float(at_kpc),
        n=len(median),
        share_near=float(np.mean(np.diff(near, axis=1)) / wall_mag),
        half_over_distance=float(half_kpc / at_kpc) if np.isfinite(half_kpc) else float("nan"),
        total_over_wall=float(np.mean(median[:, -1]) / wall_mag),
        coverage_68=float(np.mean(covered)) if behind.any() else float("nan"),
    )


def _first_reach(rising, level, edges_kpc):
    """Where a rising curve given at edges reaches a level; inf if it does not."""
    above = np.flatnonzero(rising >= level)
    if not above.size:
        return np.inf
    i = above[0]
    if i == 0:
        return edges_kpc[0]
    share = (level - rising[i - 1]) / (rising[i] - rising[i - 1])
    return edges_kpc[i - 1] + share * (edges_kpc[i] - edges_kpc[i - 1])
