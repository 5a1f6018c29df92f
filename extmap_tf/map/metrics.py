"""How far an estimate is from the truth: errors of the cumulative extinction against distance."""

import dataclasses
import itertools
import json
import math
from dataclasses import dataclass

import numpy as np

from extmap_tf.config import require_same
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.files import whole_file
from extmap_tf.map.volume import profiles_at

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

    def to_dict(self):
        """For JSON: NaN becomes None."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in dataclasses.asdict(self).items()
        }


@dataclass(frozen=True)
class Evaluation:
    """Errors of estimated profiles against the true ones: lists of `DistanceErrors`.

    Parameters
    ----------
    overall, by_total, by_stars : list of DistanceErrors
        Over all sightlines, by classes of true total extinction, by classes of star count.
    """

    overall: list
    by_total: list
    by_stars: list

    def to_dict(self):
        return {
            spec.name: [row.to_dict() for row in getattr(self, spec.name)]
            for spec in dataclasses.fields(self)
        }


def profile_errors(truth, estimate, distance_grid, distances_kpc=DISTANCES_KPC, group="all"):
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
    truth, estimate, good = _pair(truth, estimate, distance_grid)
    inside = [float(d) for d in distances_kpc if d <= distance_grid.max_kpc * (1.0 + 1e-9)]
    if not all(d > 0 for d in distances_kpc):
        raise ConfigError(f"distances_kpc must be above 0, got: {', '.join(f'{d:g}' for d in distances_kpc)}")
    true_mag = profiles_at(truth[good], distance_grid, inside)
    error_mag = profiles_at(estimate[good], distance_grid, inside) - true_mag
    return [
        _row(group, d, error_mag[:, i], true_mag[:, i], np.count_nonzero(~good)) for i, d in enumerate(inside)
    ]


def errors_by_class(
    truth,
    estimate,
    distance_grid,
    value,
    name,
    unit="",
    edges=None,
    n_classes=3,
    distances_kpc=DISTANCES_KPC,
):
    """As `profile_errors`, for classes of sightlines.

    Parameters
    ----------
    value : array_like [n_sightlines]
        What to sort by; sightlines where it is NaN are in no class.
    name, unit : str
        Of `value`, for the names of the groups.
    edges : sequence of float, optional
        Edges of the classes, ascending; lower edges inclusive, upper exclusive, the last class with both.
    n_classes : int
        Without `edges`: so many quantiles of `value` over the sightlines that count.

    Returns
    -------
    list of DistanceErrors
        Class by class; a class without sightlines is left out.
    """
    truth, estimate, good = _pair(truth, estimate, distance_grid)
    value = np.asarray(value, float).ravel()
    if len(value) != len(truth):
        raise DataError(f"{name} must be given for each of the {len(truth)} sightlines, got: {len(value)}")
    if edges is None:
        counted = value[good & np.isfinite(value)]
        edges = np.unique(np.quantile(counted, np.linspace(0, 1, n_classes + 1))) if counted.size else [0.0]
        if len(edges) == 1:
            edges = np.repeat(edges, 2)
    edges = np.asarray(edges, float)
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) >= 0).all():
        raise ConfigError(f"edges of classes of {name} must be two or more, ascending, got: {edges.tolist()}")
    rows = []
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        last = i == len(edges) - 2
        inside = (value >= low) & ((value <= high) if last else (value < high))
        if inside.any():
            group = f"{name} {low:.4g} to {high:.4g} {unit}".strip()
            rows += profile_errors(truth[inside], estimate[inside], distance_grid, distances_kpc, group)
    return rows


def errors_by_total(truth, estimate, distance_grid, band="Ks", **classes):
    """`errors_by_class` of the true cumulative extinction at the last distance; `classes` are passed on."""
    total = np.asarray(truth)[..., -1]
    return errors_by_class(truth, estimate, distance_grid, total, f"A({band})", "mag", **classes)


def errors_by_stars(truth, estimate, distance_grid, n_stars, **classes):
    """`errors_by_class` of the number of stars in the field; `classes` are passed on."""
    return errors_by_class(truth, estimate, distance_grid, n_stars, "stars", **classes)


def require_same_ground(estimate_map, truth_map):
    """Raise MismatchError, naming both values, unless two maps have the same grids and band."""
    require_same("grid", _ground(estimate_map), "the estimate", _ground(truth_map), "the truth")


def compare_maps(estimate_map, truth_map, distances_kpc=DISTANCES_KPC):
    """Errors of one `ExtinctionMap` against another of the same sightlines, distances and band.

    Parameters
    ----------
    estimate_map, truth_map : ExtinctionMap
        The star counts are those of the estimate.
    distances_kpc : sequence of float

    Returns
    -------
    Evaluation

    Raises
    ------
    MismatchError
        The grids or the bands differ; the message names both values.
    """
    require_same_ground(estimate_map, truth_map)
    return evaluate(
        truth_map.cumulative.reshape(-1, truth_map.distance.n_distances),
        estimate_map.cumulative.reshape(-1, estimate_map.distance.n_distances),
        estimate_map.n_stars.ravel(),
        estimate_map.distance,
        truth_map.provenance.band,
        distances_kpc,
    )


def evaluate(truth, estimate, n_stars, distance_grid, band="Ks", distances_kpc=DISTANCES_KPC):
    """Errors over all sightlines, and by classes of total extinction and of star count.

    Parameters
    ----------
    truth, estimate : array_like [n_sightlines, n_distances]
        Cumulative extinction at the bins' outer edges, mag.
    n_stars : array_like [n_sightlines]
    distance_grid : DistanceGrid
    band : str
        Of the extinction, for the names of the groups.
    distances_kpc : sequence of float

    Returns
    -------
    Evaluation
    """
    return Evaluation(
        overall=profile_errors(truth, estimate, distance_grid, distances_kpc),
        by_total=errors_by_total(truth, estimate, distance_grid, band, distances_kpc=distances_kpc),
        by_stars=errors_by_stars(truth, estimate, distance_grid, n_stars, distances_kpc=distances_kpc),
    )


def json_text(about):
    """A dict as the text of a JSON file."""
    return json.dumps(about, indent=1, ensure_ascii=False) + "\n"


def write_json(about, path, overwrite=False):
    """Write a dict to a JSON file, whole or not at all."""
    with whole_file(path, overwrite=overwrite) as stream:
        stream.write(json_text(about))


def format_table(rows):
    """Rows of `DistanceErrors` as aligned plain text with units, one line each below two of headings."""
    if not rows:
        return "no distance inside the grid"
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
    table = [[cell[i] for cell in header] for i in (0, 1)]
    for row in rows:
        table.append(
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
        )
    widths = [max(len(line[i]) for line in table) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    )


def _pair(truth, estimate, distance_grid):
    truth, estimate = np.asarray(truth, float), np.asarray(estimate, float)
    expected = (len(truth), distance_grid.n_distances) if truth.ndim else None
    if truth.shape != estimate.shape or truth.shape != expected:
        raise DataError(
            f"truth and estimate must both be [n_sightlines, {distance_grid.n_distances}], "
            f"got: {truth.shape} and {estimate.shape}"
        )
    return truth, estimate, np.isfinite(truth).all(axis=1) & np.isfinite(estimate).all(axis=1)


def _row(group, distance_kpc, error_mag, true_mag, n_excluded):
    if len(error_mag) == 0:
        return DistanceErrors(group, distance_kpc, 0, int(n_excluded), *[math.nan] * 5)
    absolute, truth = float(np.abs(error_mag).mean()), float(true_mag.mean())
    return DistanceErrors(
        group=group,
        distance_kpc=distance_kpc,
        n=len(error_mag),
        n_excluded=int(n_excluded),
        mean_absolute_error_mag=absolute,
        bias_mag=float(error_mag.mean()),
        rmse_mag=float(np.sqrt(np.mean(error_mag**2))),
        mean_truth_mag=truth,
        relative_error=absolute / truth if truth > 0 else math.nan,
    )


def _ground(volume):
    return {
        "sightlines": dataclasses.asdict(volume.grid),
        "distance": dataclasses.asdict(volume.distance),
        "band": volume.provenance.band,
    }
