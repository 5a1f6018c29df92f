"""How far an estimate is from the truth, and whether it says so: all that `extmap-tf evaluate` reports."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from extmap_tf.estimate import ProfileEstimate
from extmap_tf.evaluation.calibration import (
    Calibration,
    Reliability,
    calibration_of,
    format_calibration,
    format_reliability,
    reliability_of,
)
from extmap_tf.evaluation.fingers import FingersOfGod, fingers_of_god, format_fingers
from extmap_tf.evaluation.profile_errors import (
    DISTANCES_KPC,
    DensityErrors,
    DistanceErrors,
    classes_of,
    density_errors,
    format_density_table,
    format_table,
    paired,
    profile_errors,
)
from extmap_tf.evaluation.spectrum import SpectrumRow, format_spectrum, spectrum
from extmap_tf.evaluation.windows import WindowScore, format_windows, window_scores
from extmap_tf.extinction.bands import quantity_of
from extmap_tf.extinction.profiles import cumulative_to_density, profiles_at
from extmap_tf.files import PathLike, whole_file
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.settings.identity import SCHEMA, require_same

MOST_WITH_SAMPLES = 4096
"""So many sightlines, evenly chosen, are compared as whole profiles."""

_DISTANCES_AT_ONCE = 8


@dataclass(frozen=True)
class Evaluation:
    """Estimated profiles against the true ones.

    Parameters
    ----------
    overall, by_total, by_stars : list of DistanceErrors
        Over all sightlines, by classes of true total extinction, by classes of star count.
    density : list of DensityErrors
        Over all sightlines, then by the same classes; likewise the next three.
    calibration, density_calibration : list of Calibration
    reliability : list of Reliability
    windows : list of WindowScore
        Of the extinction between two distances, where the estimate carries samples; likewise the next.
    spectrum : list of SpectrumRow
        Structure along the sight.
    fingers : FingersOfGod or None
        Of maps only.
    curves : list of DistanceErrors
        Of all sightlines and of the classes, at every distance of the grid: for figures, not in `to_dict`.
    calibration_curves, density_calibration_curves : list of Calibration
        Likewise, of all sightlines together.
    left_out : tuple of str
        What could not be evaluated, and why.
    """

    overall: list[DistanceErrors]
    by_total: list[DistanceErrors]
    by_stars: list[DistanceErrors]
    density: list[DensityErrors] = dataclasses.field(default_factory=list)
    calibration: list[Calibration] = dataclasses.field(default_factory=list)
    density_calibration: list[Calibration] = dataclasses.field(default_factory=list)
    reliability: list[Reliability] = dataclasses.field(default_factory=list)
    windows: list[WindowScore] = dataclasses.field(default_factory=list)
    spectrum: list[SpectrumRow] = dataclasses.field(default_factory=list)
    fingers: FingersOfGod | None = None
    curves: list[DistanceErrors] = dataclasses.field(default_factory=list)
    calibration_curves: list[Calibration] = dataclasses.field(default_factory=list)
    density_calibration_curves: list[Calibration] = dataclasses.field(default_factory=list)
    left_out: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON: every row by the name of its list; NaN becomes None."""
        return {
            spec.name: [row.to_dict() for row in value] if isinstance(value, list) else value
            for spec in dataclasses.fields(self)
            if spec.name not in ("fingers", "left_out") and not spec.name.endswith("curves")
            for value in [getattr(self, spec.name)]
        } | {"fingers": self.fingers and self.fingers.to_dict(), "left_out": list(self.left_out)}


def require_same_ground(estimate_map: ExtinctionMap, truth_map: ExtinctionMap) -> None:
    """Raise MismatchError, naming both values, unless two maps have the same grids and band."""
    require_same("grid", _ground(estimate_map), "the estimate", _ground(truth_map), "the truth")


def compare_maps(
    estimate_map: ExtinctionMap, truth_map: ExtinctionMap, distances_kpc: Sequence[float] = DISTANCES_KPC
) -> Evaluation:
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
    found = evaluate(
        truth_map.profiles.reshaped(-1),
        estimate_map.profiles.reshaped(-1),
        estimate_map.n_stars.ravel(),
        estimate_map.distance,
        truth_map.band,
        distances_kpc,
    )
    fingers = fingers_of_god(estimate_map.rise, truth_map.rise, estimate_map.grid, estimate_map.distance)
    if fingers is None:
        why = "fingers of God: no two sightlines with profiles are neighbours whose fields share no star"
        found = dataclasses.replace(found, left_out=(*found.left_out, why))
    return dataclasses.replace(found, fingers=fingers)


def evaluate(
    truth: ProfileEstimate,
    estimate: ProfileEstimate,
    n_stars: Any,
    distance_grid: DistanceGrid,
    band: str = "Ks",
    distances_kpc: Sequence[float] = DISTANCES_KPC,
) -> Evaluation:
    """Errors and calibration over all sightlines, and by classes of total extinction and of star count.

    Parameters
    ----------
    truth : ProfileEstimate [n_sightlines]
        Of it, the medians are the true profiles.
    estimate : ProfileEstimate [n_sightlines]
        Without a spread its calibration is left out.
    n_stars : array_like [n_sightlines]
    distance_grid : DistanceGrid
    band : str
        Of the extinction, for the names of the groups.
    distances_kpc : sequence of float

    Returns
    -------
    Evaluation
    """
    levels = estimate.percentiles
    true_mag, estimate_mag, good = paired(truth.extinction_median, estimate.extinction_median, distance_grid)
    true_density, density, _ = paired(truth.density_median, estimate.density_median, distance_grid)
    by_total = classes_of(good, true_mag[:, -1], quantity_of(band), "mag")
    by_stars = classes_of(good, n_stars, "stars", "")
    everything = [("all", np.ones(len(true_mag), bool)), *by_total, *by_stars]
    outer_kpc = distance_grid.outer_kpc
    inside = [d for d in distances_kpc if d <= distance_grid.max_kpc * (1.0 + 1e-9)]
    bins = [int(np.argmin(np.abs(outer_kpc - d))) for d in inside]

    def errors(groups, at_kpc=distances_kpc):
        return [
            row
            for group, mask in groups
            for row in profile_errors(true_mag[mask], estimate_mag[mask], distance_grid, at_kpc, group)
        ]

    left_out: tuple[str, ...] = ()
    calibration, density_calibration, reliability = [], [], []
    curves, density_curves = [], []
    if estimate.extinction_percentiles is None or estimate.density_percentiles is None:
        left_out = ("calibration and reliability: the estimate carries no percentiles",)
    else:
        percentiles = estimate.extinction_percentiles
        at, true = (profiles_at(of, distance_grid, inside) for of in (percentiles, true_mag))
        density_at, true_inside = estimate.density_percentiles[..., bins], true_density[:, bins]
        centers = distance_grid.centers_kpc[bins]
        for group, mask in everything:
            calibration += calibration_of(true[mask], at[mask], inside, "extinction", group, levels)
            reliability.append(reliability_of(true_mag[mask], percentiles[mask], outer_kpc, group, levels))
            density_calibration += calibration_of(
                true_inside[mask], density_at[mask], centers, "density", group, levels
            )
        curves = _calibration_at_each(true_mag, percentiles, outer_kpc, "extinction", levels)
        stated, centers = estimate.density_percentiles, distance_grid.centers_kpc
        density_curves = _calibration_at_each(true_density, stated, centers, "density", levels)
    found = Evaluation(
        overall=errors(everything[:1]),
        by_total=errors(by_total),
        by_stars=errors(by_stars),
        density=[
            row
            for group, mask in everything
            for row in density_errors(true_density[mask], density[mask], distance_grid, distances_kpc, group)
        ],
        calibration=calibration,
        density_calibration=density_calibration,
        reliability=reliability,
        curves=errors(everything, outer_kpc),
        calibration_curves=curves,
        density_calibration_curves=density_curves,
        left_out=left_out,
    )
    if estimate.samples is None:
        return found
    return with_structure(found, estimate.samples, truth.extinction_median, distance_grid)


def _calibration_at_each(truth, percentiles, distances_kpc, quantity, levels):
    """Calibration of all sightlines at many distances, a few at a time for their memory's sake."""
    rows: list[Calibration] = []
    for start in range(0, len(distances_kpc), _DISTANCES_AT_ONCE):
        some = slice(start, start + _DISTANCES_AT_ONCE)
        of_these = (truth[:, some], percentiles[..., some], distances_kpc[some])
        rows += calibration_of(*of_these, quantity=quantity, levels=levels)
    return rows


def with_structure(
    evaluation: Evaluation, samples: np.ndarray, truth: np.ndarray, distance: DistanceGrid
) -> Evaluation:
    """An evaluation with what whole profiles say: windows of distance, and structure along the sight.

    Parameters
    ----------
    evaluation : Evaluation
    samples : ndarray [n, n_samples, n_distances]
        Extinction at the outer edges, mag; sightlines with a NaN are left out.
    truth : ndarray [n, n_distances]
        Likewise.
    distance : extmap_tf.grids.distance.DistanceGrid

    Returns
    -------
    Evaluation
    """
    good = np.flatnonzero(np.isfinite(samples).all(axis=(1, 2)) & np.isfinite(truth).all(axis=1))
    if samples.shape[1] < 2 or not good.size:
        return evaluation
    n_chosen = min(MOST_WITH_SAMPLES, len(good))
    chosen = good[np.linspace(0, len(good) - 1, n_chosen).round().astype(int)]
    samples, truth = (
        cumulative_to_density(extinction[chosen].astype(float), distance.step_kpc)
        for extinction in (samples, truth)
    )
    return dataclasses.replace(
        evaluation,
        windows=window_scores(samples, truth, distance.step_kpc),
        spectrum=spectrum(samples, truth, distance.step_kpc),
    )


def json_text(about: Mapping[str, Any]) -> str:
    """A dict as the text of a JSON file."""
    return json.dumps({"schema": SCHEMA, **about}, indent=1, ensure_ascii=False) + "\n"


def write_json(about: Mapping[str, Any], path: PathLike, overwrite: bool = False) -> None:
    """Write a dict to a JSON file, whole or not at all."""
    with whole_file(path, overwrite=overwrite) as stream:
        stream.write(json_text(about))


def format_evaluation(evaluation: Evaluation) -> str:
    """The tables of an `Evaluation`, with an empty line between two, and what was left out.

    The classes of sightlines are in the errors of the extinction and in the reliability; `Evaluation.to_dict`
    has them all.
    """
    parts = [format_table([*evaluation.overall, *evaluation.by_total, *evaluation.by_stars])]
    tables: tuple[tuple[list[Any], Callable[[list[Any]], str]], ...] = (
        (evaluation.density, format_density_table),
        (evaluation.calibration, format_calibration),
        (evaluation.density_calibration, format_calibration),
    )
    for rows, formatted in tables:
        if rows:
            parts.append(formatted([row for row in rows if row.group == rows[0].group]))
    if evaluation.reliability:
        parts.append(format_reliability(evaluation.reliability))
    if evaluation.windows:
        parts += [format_windows(evaluation.windows), format_spectrum(evaluation.spectrum)]
    if evaluation.fingers:
        parts.append(format_fingers(evaluation.fingers))
    return "\n\n".join([*parts, *(f"left out: {what}" for what in evaluation.left_out)])


def _ground(volume):
    return {
        "grid": type(volume.grid).__name__,
        "sightlines": dataclasses.asdict(volume.grid),
        "distance": dataclasses.asdict(volume.distance),
        "band": volume.band,
    }
