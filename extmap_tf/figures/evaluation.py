"""Pictures of an `Evaluation`: errors, calibration and fingers of God."""

import numpy as np
from matplotlib.figure import Figure

from extmap_tf.errors import DataError
from extmap_tf.estimate import PERCENTILES
from extmap_tf.evaluation.calibration import CENTRAL_PERCENT
from extmap_tf.figures.maps import COLORS, ESTIMATE, TRUTH, errors_against_distance, save_all
from extmap_tf.files import local_path

MARKERS = "os^Dvpx"


def draw_evaluation(evaluation, out, suffix="png", overwrite=False):
    """Draw all that an evaluation holds.

    Parameters
    ----------
    evaluation : extmap_tf.evaluation.metrics.Evaluation
    out : path-like
        Folder for the figures; made if needed.
    suffix : {"png", "pdf"}
    overwrite : bool

    Returns
    -------
    list of pathlib.Path
    """
    drawings = {
        "errors": lambda: errors_against_distance(evaluation.overall),
        "errors_by_class": lambda: errors_against_distance([*evaluation.by_total, *evaluation.by_stars]),
        "density_errors": lambda: density_errors_against_distance(evaluation.density),
    }
    for name, rows in (("", evaluation.calibration), ("density_", evaluation.density_calibration)):
        if rows:
            drawings[f"{name}coverage"] = lambda rows=rows: coverage(rows)
            drawings[f"{name}ranks"] = lambda rows=rows: ranks(rows)
    if evaluation.fingers:
        drawings["fingers_of_god"] = lambda: fingers(evaluation.fingers)
    paths = {local_path(out) / f"{name}.{suffix}": draw for name, draw in drawings.items()}
    save_all(paths, overwrite)
    return list(paths)


def density_errors_against_distance(rows):
    """Mean absolute error of the density, and its ratio to the mean density, in ranges of distance.

    Parameters
    ----------
    rows : sequence of extmap_tf.evaluation.profile_errors.DensityErrors
        One line for each group among them.
    """
    figure, (size, relative) = _panels(rows, 2)
    for style, chosen in _groups(rows):
        middle = [0.5 * (row.from_kpc + row.to_kpc) for row in chosen]
        size.plot(middle, [row.mean_absolute_error_mag_kpc for row in chosen], **style)
        relative.plot(middle, [100 * row.relative_error for row in chosen], **style)
    size.set_ylabel("mean |error| of the density (mag/kpc)")
    relative.set_ylabel("mean |error| / mean density (%)")
    for axis in (size, relative):
        axis.set_ylim(0.0, 1.08 * axis.dataLim.ymax)
        axis.set_xlabel("distance (kpc)")
    _legend(figure, size)
    return figure


def coverage(rows):
    """Share of the truths inside the central intervals, against distance and against the nominal share.

    Parameters
    ----------
    rows : sequence of extmap_tf.evaluation.calibration.Calibration
        Of one quantity. To the left all sightlines, to the right one line for each group, the mean over
        distance.
    """
    figure, (by_distance, by_nominal) = _panels(rows, 2)
    everything = [row for row in rows if row.group == rows[0].group]
    distance_kpc = [row.distance_kpc for row in everything]
    for i, percent in enumerate(CENTRAL_PERCENT):
        color = COLORS[i]
        shares = [100 * getattr(row, f"coverage_{percent}") for row in everything]
        by_distance.plot(distance_kpc, shares, color=color, marker=MARKERS[i], label=f"central {percent} %")
        by_distance.axhline(percent, color=color, linestyle="--", linewidth=1.0)
    by_distance.set_ylim(0.0, 103.0)
    by_distance.set_xlabel("distance (kpc)")
    by_distance.set_ylabel(f"true {rows[0].quantity} inside (%)")
    by_distance.legend(loc="lower right", ncols=2)
    by_nominal.plot([0, 100], [0, 100], color="black", linewidth=0.8)
    for style, chosen in _groups(rows):
        shares = [
            100 * np.mean([getattr(row, f"coverage_{percent}") for row in chosen])
            for percent in CENTRAL_PERCENT
        ]
        by_nominal.plot(CENTRAL_PERCENT, shares, **style)
    by_nominal.set(xlim=(40, 100), ylim=(20, 103))
    by_nominal.set_xlabel("nominal (%)")
    by_nominal.set_ylabel("inside, mean over distance (%)")
    _legend(figure, by_nominal)
    return figure


def ranks(rows, levels=PERCENTILES):
    """Histogram of where the truth lies in its distribution, over what an honest one would have; 1 is honest.

    Parameters
    ----------
    rows : sequence of extmap_tf.evaluation.calibration.Calibration
        Of one quantity; those of the first group are drawn, one panel for each distance.
    levels : sequence of float
        Percentiles between which the truths were counted.
    """
    chosen = [row for row in rows if row.group == rows[0].group]
    n_columns = min(3, len(chosen))
    n_rows = -(-len(chosen) // n_columns)
    figure = Figure(figsize=(3.6 * n_columns, 0.6 + 2.3 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).ravel()
    edges = np.array([0.0, *levels, 100.0])
    for axis, row in zip(axes, chosen, strict=False):
        honest = np.diff(edges) / 100.0
        axis.stairs(np.asarray(row.ranks) / honest, edges, fill=True, color=ESTIMATE, alpha=0.4)
        spread = np.sqrt(honest * (1.0 - honest) / max(row.n, 1)) / honest
        axis.stairs(1 + 2 * spread, edges, baseline=1 - 2 * spread, fill=True, color="black", alpha=0.15)
        axis.axhline(1.0, color="black", linewidth=0.8)
        axis.set_title(f"{row.distance_kpc:g} kpc", fontsize="medium")
    for axis in axes[len(chosen) :]:
        axis.remove()
    figure.supxlabel(f"percentile of the true {rows[0].quantity} in the estimate")
    figure.supylabel("frequency / honest one")
    return figure


def fingers(found):
    """Power across and along the sight, of the estimate and of the truth, and their ratio.

    Parameters
    ----------
    found : extmap_tf.evaluation.fingers.FingersOfGod
    """
    figure, (across, along, ratio) = _panels([found], 3)
    cycles = np.asarray(found.cycles_per_kpc)[1:]
    curves = {}
    for name, color in (("truth", TRUTH), ("estimate", ESTIMATE)):
        for axis, direction in ((across, "across"), (along, "along")):
            curves[direction, name] = np.asarray(getattr(found, f"{direction}_{name}"))[1:]
            axis.loglog(cycles, curves[direction, name], color=color, label=name)
        # Without fingers, neighbours share as much of their structure as the truth's do.
        ratio.semilogx(cycles, curves["across", name] / curves["along", name], color=color)
    across.set_ylabel("power of neighbours' differences (mag²/kpc²)")
    along.set_ylabel("power of single sightlines (mag²/kpc²)")
    ratio.set_ylabel("across / along")
    ratio.set_ylim(bottom=0.0)
    for axis in (across, along, ratio):
        axis.set_xlabel("wave number along the sight (1/kpc)")
    across.legend()
    return figure


def _panels(rows, n):
    if not rows:
        raise DataError("nothing to draw: the evaluation has no such rows")
    figure = Figure(figsize=(11.0, 4.2 if n < 3 else 3.8), layout="constrained")
    axes = figure.subplots(1, n)
    for axis in axes:
        axis.grid(alpha=0.25)
    return figure, axes


def _groups(rows):
    """Style and rows of each group, in the order of their first rows."""
    for i, group in enumerate(dict.fromkeys(row.group for row in rows)):
        color, marker = COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]
        yield (
            {"color": color, "marker": marker, "markersize": 5, "label": group},
            [row for row in rows if row.group == group],
        )


def _legend(figure, axis):
    handles, names = axis.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=min(len(names), 4), frameon=False)
