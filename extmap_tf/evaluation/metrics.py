"""How far an estimate is from the truth, and whether it says so: all that `extmap-tf evaluate` reports."""

import dataclasses
import json
from dataclasses import dataclass

import numpy as np

from extmap_tf.errors import DataError
from extmap_tf.estimate import PERCENTILES
from extmap_tf.evaluation.calibration import (
    calibration_of,
    format_calibration,
    format_reliability,
    reliability_of,
)
from extmap_tf.evaluation.fingers import FingersOfGod, fingers_of_god, format_fingers
from extmap_tf.evaluation.profile_errors import (
    DISTANCES_KPC,
    classes_of,
    density_errors,
    format_density_table,
    format_table,
    paired,
    profile_errors,
)
from extmap_tf.extinction.profiles import density_to_cumulative
from extmap_tf.files import whole_file
from extmap_tf.map.volume import profiles_at
from extmap_tf.settings.identity import SCHEMA, require_same


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
    fingers : FingersOfGod or None
        Of maps only.
    left_out : tuple of str
        What could not be evaluated, and why.
    """

    overall: list
    by_total: list
    by_stars: list
    density: list = dataclasses.field(default_factory=list)
    calibration: list = dataclasses.field(default_factory=list)
    density_calibration: list = dataclasses.field(default_factory=list)
    reliability: list = dataclasses.field(default_factory=list)
    fingers: FingersOfGod | None = None
    left_out: tuple = ()

    def to_dict(self):
        """For JSON: every row by the name of its list; NaN becomes None."""
        return {
            spec.name: [row.to_dict() for row in value] if isinstance(value, list) else value
            for spec in dataclasses.fields(self)
            if spec.name not in ("fingers", "left_out")
            for value in [getattr(self, spec.name)]
        } | {"fingers": self.fingers and self.fingers.to_dict(), "left_out": list(self.left_out)}


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
    levels = getattr(estimate_map, "percentiles", ())
    flat = (estimate_map.grid.n_sightlines, -1, estimate_map.distance.n_distances)
    found = evaluate(
        truth_map.cumulative.reshape(flat)[:, 0],
        estimate_map.cumulative.reshape(flat)[:, 0],
        estimate_map.n_stars.ravel(),
        estimate_map.distance,
        truth_map.provenance.band,
        distances_kpc,
        truth_density=truth_map.density.reshape(flat)[:, 0],
        density=estimate_map.density.reshape(flat)[:, 0],
        percentiles=estimate_map.cumulative_percentiles.reshape(flat) if levels else None,
        density_percentiles=estimate_map.density_percentiles.reshape(flat) if levels else None,
        levels=levels or PERCENTILES,
    )
    fingers = fingers_of_god(
        estimate_map.density, truth_map.density, estimate_map.grid, estimate_map.distance
    )
    if fingers is None:
        why = "fingers of God: no two sightlines with profiles are neighbours whose fields share no star"
        found = dataclasses.replace(found, left_out=(*found.left_out, why))
    return dataclasses.replace(found, fingers=fingers)


def evaluate(
    truth,
    estimate,
    n_stars,
    distance_grid,
    band="Ks",
    distances_kpc=DISTANCES_KPC,
    *,
    truth_density=None,
    density=None,
    percentiles=None,
    density_percentiles=None,
    levels=PERCENTILES,
):
    """Errors and calibration over all sightlines, and by classes of total extinction and of star count.

    Parameters
    ----------
    truth, estimate : array_like [n_sightlines, n_distances]
        Cumulative extinction at the bins' outer edges, mag; of a distribution, its median.
    n_stars : array_like [n_sightlines]
    distance_grid : DistanceGrid
    band : str
        Of the extinction, for the names of the groups.
    distances_kpc : sequence of float
    truth_density, density : array_like [n_sightlines, n_distances], optional
        mag / kpc; by default the slopes of `truth` and `estimate`.
    percentiles, density_percentiles : array_like [n_sightlines, n_percentiles, n_distances], optional
        mag and mag / kpc; calibration needs them.
    levels : sequence of float [n_percentiles]
        In percent.

    Returns
    -------
    Evaluation
    """
    truth, estimate, good = paired(truth, estimate, distance_grid)
    step_kpc = distance_grid.step_kpc
    if truth_density is None:
        truth_density = np.diff(truth, axis=1, prepend=0.0) / step_kpc
    if density is None:
        density = np.diff(estimate, axis=1, prepend=0.0) / step_kpc
    truth_density, density, _ = paired(truth_density, density, distance_grid)
    by_total = classes_of(good, truth[:, -1], f"A({band})", "mag")
    by_stars = classes_of(good, n_stars, "stars", "")
    everything = [("all", np.ones(len(truth), bool)), *by_total, *by_stars]
    outer_kpc = distance_grid.outer_kpc
    inside = [d for d in distances_kpc if d <= distance_grid.max_kpc * (1.0 + 1e-9)]
    bins = [int(np.argmin(np.abs(outer_kpc - d))) for d in inside]

    def errors(groups):
        return [
            row
            for group, mask in groups
            for row in profile_errors(truth[mask], estimate[mask], distance_grid, distances_kpc, group)
        ]

    calibration, density_calibration, reliability, left_out = [], [], [], ()
    if percentiles is None:
        left_out = ("calibration and reliable distance: the estimate carries no percentiles",)
    else:
        percentiles = np.asarray(percentiles)
        at, true = profiles_at(percentiles, distance_grid, inside), profiles_at(truth, distance_grid, inside)
        for group, mask in everything:
            calibration += calibration_of(true[mask], at[mask], inside, "extinction", group, levels)
            reliability.append(reliability_of(truth[mask], percentiles[mask], outer_kpc, group, levels))
        if density_percentiles is not None:
            at, true = np.asarray(density_percentiles)[..., bins], truth_density[:, bins]
            centers = distance_grid.centers_kpc[bins]
            for group, mask in everything:
                density_calibration += calibration_of(true[mask], at[mask], centers, "density", group, levels)
    return Evaluation(
        overall=errors(everything[:1]),
        by_total=errors(by_total),
        by_stars=errors(by_stars),
        density=[
            row
            for group, mask in everything
            for row in density_errors(truth_density[mask], density[mask], distance_grid, distances_kpc, group)
        ],
        calibration=calibration,
        density_calibration=density_calibration,
        reliability=reliability,
        left_out=left_out,
    )


def evaluate_outputs(truth_density, outputs, n_stars, distance_grid, band="Ks", distances_kpc=DISTANCES_KPC):
    """`evaluate` for the outputs of an exported model.

    Parameters
    ----------
    truth_density : array_like [n_sightlines, n_distances]
        mag / kpc.
    outputs : dict of str to array_like
        ``extinction_median`` and ``density_median`` [n_sightlines, n_distances]; for the calibration also
        ``extinction_percentiles`` and ``density_percentiles`` [n_sightlines, n_percentiles, n_distances] at
        `extmap_tf.estimate.PERCENTILES`. Others are not looked at.
    n_stars : array_like [n_sightlines]
    distance_grid : DistanceGrid
    band : str
    distances_kpc : sequence of float

    Returns
    -------
    Evaluation
    """
    missing = [name for name in ("extinction_median", "density_median") if name not in outputs]
    if missing:
        raise DataError(
            f"the outputs of a model must hold {' and '.join(missing)}, got: {', '.join(outputs) or 'none'}"
        )
    return evaluate(
        density_to_cumulative(np.asarray(truth_density, float), distance_grid.step_kpc),
        outputs["extinction_median"],
        n_stars,
        distance_grid,
        band,
        distances_kpc,
        truth_density=truth_density,
        density=outputs["density_median"],
        percentiles=outputs.get("extinction_percentiles"),
        density_percentiles=outputs.get("density_percentiles"),
    )


def json_text(about):
    """A dict as the text of a JSON file."""
    return json.dumps({"schema": SCHEMA} | about, indent=1, ensure_ascii=False) + "\n"


def write_json(about, path, overwrite=False):
    """Write a dict to a JSON file, whole or not at all."""
    with whole_file(path, overwrite=overwrite) as stream:
        stream.write(json_text(about))


def format_evaluation(evaluation):
    """The tables of an `Evaluation`, with an empty line between two, and what was left out.

    The classes of sightlines are in the errors of the extinction and in the reliability; `Evaluation.to_dict`
    has them all.
    """
    parts = [format_table([*evaluation.overall, *evaluation.by_total, *evaluation.by_stars])]
    for rows, formatted in (
        (evaluation.density, format_density_table),
        (evaluation.calibration, format_calibration),
        (evaluation.density_calibration, format_calibration),
    ):
        if rows:
            parts.append(formatted([row for row in rows if row.group == rows[0].group]))
    if evaluation.reliability:
        parts.append(format_reliability(evaluation.reliability))
    if evaluation.fingers:
        parts.append(format_fingers(evaluation.fingers))
    return "\n\n".join([*parts, *(f"left out: {what}" for what in evaluation.left_out)])


def _ground(volume):
    return {
        "grid": type(volume.grid).__name__,
        "sightlines": dataclasses.asdict(volume.grid),
        "distance": dataclasses.asdict(volume.distance),
        "band": volume.provenance.band,
    }
