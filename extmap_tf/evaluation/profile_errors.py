"""Errors of estimated profiles against distance, of the cumulative extinction and of the density."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.extinction.profiles import profiles_at
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.text_tables import aligned, row_to_dict

DISTANCES_KPC = (1.0, 2.0, 3.0, 5.0, 8.0, 10.0)


@dataclass(frozen=True)
class DistanceErrors:
    """Errors of the cumulative extinction at one distance, over a group of sightlines.

    Parameters
    ----------
    group : str
        Which sightlines.
    distance_kpc : float
    n, n_excluded : int
        Sightlines that count, and those left out because either profile has a NaN.
    mean_absolute_error_mag, bias_mag, rmse_mag : float
        Mean of abs(estimate - truth), mean of estimate - truth, root of the mean square; NaN if `n` is 0.
    mean_truth_mag : float
    relative_error : float
        `mean_absolute_error_mag` / `mean_truth_mag`; NaN without extinction.
    """

    group: str
    distance_kpc: float
    n: int
    n_excluded: int
    mean_absolute_error_mag: float
    bias_mag: float
    rmse_mag: float
    mean_truth_mag: float
    relative_error: float

    to_dict = row_to_dict


@dataclass(frozen=True)
class DensityErrors:
    """Errors of the density in a range of distance, over a group of sightlines and all bins in the range.

    Parameters
    ----------
    group : str
        Which sightlines.
    from_kpc, to_kpc : float
        A bin belongs to the range if its centre does, the lower end included.
    n, n_excluded : int
        Sightlines that count, and those left out because either profile has a NaN.
    mean_absolute_error_mag_kpc, bias_mag_kpc, rmse_mag_kpc, mean_truth_mag_kpc : float
        As in `DistanceErrors`, mag / kpc.
    relative_error : float
        `mean_absolute_error_mag_kpc` / `mean_truth_mag_kpc`; NaN without extinction.
    """

    group: str
    from_kpc: float
    to_kpc: float
    n: int
    n_excluded: int
    mean_absolute_error_mag_kpc: float
    bias_mag_kpc: float
    rmse_mag_kpc: float
    mean_truth_mag_kpc: float
    relative_error: float

    to_dict = row_to_dict


def profile_errors(
    truth: ArrayLike,
    estimate: ArrayLike,
    distance_grid: DistanceGrid,
    distances_kpc: Sequence[float] = DISTANCES_KPC,
    group: str = "all",
) -> list[DistanceErrors]:
    """Errors at each distance.

    Parameters
    ----------
    truth, estimate : array_like [n_sightlines, n_distances]
        Cumulative extinction at the bins' outer edges, mag. A sightline with a NaN in either is left out.
    distance_grid : DistanceGrid
    distances_kpc : sequence of float
        Linear interpolation between the outer edges; distances beyond the grid are left out.
    group : str
        Name of the sightlines.

    Returns
    -------
    list of DistanceErrors

    Raises
    ------
    DataError
        The arrays differ in shape or do not have the grid's distances.
    ConfigError
        A distance is not above 0.
    """
    truth, estimate, good = paired(truth, estimate, distance_grid)
    inside = [float(d) for d in distances_kpc if d <= distance_grid.max_kpc * (1.0 + 1e-9)]
    if not all(d > 0 for d in distances_kpc):
        raise ConfigError(f"distances_kpc must be above 0, got: {', '.join(f'{d:g}' for d in distances_kpc)}")
    true_mag = profiles_at(truth[good], distance_grid, inside)
    error_mag = profiles_at(estimate[good], distance_grid, inside) - true_mag
    return [
        _row(group, d, error_mag[:, i], true_mag[:, i], np.count_nonzero(~good)) for i, d in enumerate(inside)
    ]


def density_errors(
    truth: ArrayLike,
    estimate: ArrayLike,
    distance_grid: DistanceGrid,
    distances_kpc: Sequence[float] = DISTANCES_KPC,
    group: str = "all",
) -> list[DensityErrors]:
    """Errors of the density between each distance and the one before.

    Parameters
    ----------
    truth, estimate : array_like [n_sightlines, n_distances]
        Density in the bins, mag / kpc. A sightline with a NaN in either is left out.
    distance_grid : DistanceGrid
    distances_kpc : sequence of float
        Ascending; the first range begins at the Sun. Ranges without a bin are left out.
    group : str
        Name of the sightlines.

    Returns
    -------
    list of DensityErrors
    """
    truth, estimate, good = paired(truth, estimate, distance_grid)
    rows = []
    for low, high in itertools.pairwise((0.0, *map(float, distances_kpc))):
        bins = (distance_grid.centers_kpc >= low) & (distance_grid.centers_kpc < high)
        if bins.any():
            error, true = (estimate - truth)[good][:, bins], truth[good][:, bins]
            numbers = _statistics(error, true) if good.any() else [math.nan] * 5
            rows.append(DensityErrors(group, low, high, int(good.sum()), int((~good).sum()), *numbers))
    return rows


def errors_table(rows: Sequence[DistanceErrors]) -> tuple[Sequence[tuple[str, str]], list[list[str]]]:
    """Rows of `DistanceErrors` as (header, lines) of `extmap_tf.text_tables.aligned`."""
    header = (
        ("sightlines", ""),
        ("distance", "kpc"),
        ("n", ""),
        ("left out", ""),
        ("mean |error|", "mag"),
        ("bias", "mag"),
        ("rms error", "mag"),
        ("mean truth", "mag"),
        ("relative", "%"),
    )
    lines = [
        [
            row.group,
            f"{row.distance_kpc:g}",
            str(row.n),
            str(row.n_excluded),
            f"{row.mean_absolute_error_mag:.4f}",
            f"{row.bias_mag:+.4f}",
            f"{row.rmse_mag:.4f}",
            f"{row.mean_truth_mag:.4f}",
            f"{100 * row.relative_error:.1f}",
        ]
        for row in rows
    ]
    return header, lines


def format_table(rows: Sequence[DistanceErrors]) -> str:
    """Rows of `DistanceErrors` as aligned plain text with units, one line each below two of headings."""
    return aligned(*errors_table(rows)) if rows else "no distance inside the grid"


def density_errors_table(rows: Sequence[DensityErrors]) -> tuple[Sequence[tuple[str, str]], list[list[str]]]:
    """Rows of `DensityErrors`, as `extmap_tf.evaluation.profile_errors.errors_table`."""
    header = (
        ("density", ""),
        ("from", "kpc"),
        ("to", "kpc"),
        ("n", ""),
        ("mean |error|", "mag/kpc"),
        ("bias", "mag/kpc"),
        ("rms error", "mag/kpc"),
        ("mean truth", "mag/kpc"),
        ("relative", "%"),
    )
    lines = [
        [
            row.group,
            f"{row.from_kpc:g}",
            f"{row.to_kpc:g}",
            str(row.n),
            f"{row.mean_absolute_error_mag_kpc:.4f}",
            f"{row.bias_mag_kpc:+.4f}",
            f"{row.rmse_mag_kpc:.4f}",
            f"{row.mean_truth_mag_kpc:.4f}",
            f"{100 * row.relative_error:.1f}",
        ]
        for row in rows
    ]
    return header, lines


def format_density_table(rows: Sequence[DensityErrors]) -> str:
    """Rows of `DensityErrors`, as `format_table`."""
    return aligned(*density_errors_table(rows))


def paired(
    truth: ArrayLike, estimate: ArrayLike, distance_grid: DistanceGrid
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both as float arrays [n_sightlines, n_distances], and which sightlines have no NaN in either."""
    truth, estimate = np.asarray(truth, float), np.asarray(estimate, float)
    expected = (len(truth), distance_grid.n_distances) if truth.ndim else None
    if truth.shape != estimate.shape or truth.shape != expected:
        raise DataError(
            f"truth and estimate must both be [n_sightlines, {distance_grid.n_distances}], "
            f"got: {truth.shape} and {estimate.shape}"
        )
    return truth, estimate, np.isfinite(truth).all(axis=1) & np.isfinite(estimate).all(axis=1)


def classes_of(
    good: np.ndarray,
    value: ArrayLike,
    name: str,
    unit: str,
    edges: Sequence[float] | None = None,
    n_classes: int = 3,
) -> list[tuple[str, np.ndarray]]:
    """Classes of sightlines.

    Parameters
    ----------
    good : ndarray of bool [n_sightlines]
        Those that decide on the edges.
    value : array_like [n_sightlines]
        What to sort by; sightlines where it is NaN are in no class.
    name, unit : str
        Of `value`, for the names of the classes.
    edges : sequence of float, optional
        Ascending; lower edges inclusive, upper exclusive, the last class with both.
    n_classes : int
        Without `edges`: so many quantiles of `value`.

    Returns
    -------
    list of (str, ndarray of bool [n_sightlines])
        Name and members of each; a class without sightlines is left out.
    """
    value = np.asarray(value, float).ravel()
    if len(value) != len(good):
        raise DataError(f"{name} must be given for each of the {len(good)} sightlines, got: {len(value)}")
    if edges is None:
        counted = value[good & np.isfinite(value)]
        limits = np.zeros(1)
        if counted.size:
            limits = np.unique(np.quantile(counted, np.linspace(0, 1, n_classes + 1)))
        if len(limits) == 1:
            limits = np.repeat(limits, 2)
    else:
        limits = np.asarray(edges, float)
    if limits.ndim != 1 or len(limits) < 2 or not (np.diff(limits) >= 0).all():
        raise ConfigError(
            f"edges of classes of {name} must be two or more, ascending, got: {limits.tolist()}"
        )
    classes = []
    for i, (low, high) in enumerate(itertools.pairwise(limits)):
        last = i == len(limits) - 2
        inside = (value >= low) & ((value <= high) if last else (value < high))
        if inside.any():
            classes.append((f"{name} {low:.4g} to {high:.4g} {unit}".strip(), inside))
    return classes


def _row(group, distance_kpc, error_mag, true_mag, n_excluded):
    n = len(error_mag)
    numbers = _statistics(error_mag, true_mag) if n else [math.nan] * 5
    return DistanceErrors(group, distance_kpc, n, int(n_excluded), *numbers)


def _statistics(error, truth):
    """Mean absolute error, bias, root mean square, mean truth and relative error."""
    absolute, mean = float(np.abs(error).mean()), float(truth.mean())
    relative = absolute / mean if mean > 0 else math.nan
    return absolute, float(error.mean()), float(np.sqrt(np.mean(error**2))), mean, relative
