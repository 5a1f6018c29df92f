"""Pictures of an `Evaluation`: errors, calibration and fingers of God."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from extmap_tf.errors import DataError
from extmap_tf.estimate import PERCENTILES
from extmap_tf.evaluation.calibration import CENTRAL_PERCENT, Calibration
from extmap_tf.evaluation.fingers import FingersOfGod
from extmap_tf.evaluation.metrics import Evaluation
from extmap_tf.evaluation.profile_errors import DensityErrors, DistanceErrors
from extmap_tf.figures.style import (
    COLORS,
    ESTIMATE,
    MARKERS,
    TRUTH,
    TWO_COLUMNS,
    figure_paths,
    save_all,
    styled,
)

NAMES = (
    "errors",
    "errors_by_class",
    "density_errors",
    "coverage",
    "ranks",
    "density_coverage",
    "density_ranks",
    "fingers_of_god",
)
"""Of all figures that `draw_evaluation` may make."""

# Of more distances than these, a curve has no marks.
_MAX_MARKS = 12


def draw_evaluation(
    evaluation: Evaluation, out: str | Path, suffix: str = "png", overwrite: bool = False
) -> list[Path]:
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
    everything = [row for row in evaluation.curves if row.group == "all"]
    classes = [row for row in evaluation.curves if row.group != "all"]
    drawings: dict[str, Callable[[], Figure]] = {
        "errors": lambda: errors_against_distance(everything),
        "errors_by_class": lambda: errors_against_distance(classes),
        "density_errors": lambda: density_errors_against_distance(evaluation.density),
    }
    for name, rows, curves in (
        ("", evaluation.calibration, evaluation.calibration_curves),
        ("density_", evaluation.density_calibration, evaluation.density_calibration_curves),
    ):
        if rows:
            drawings[f"{name}coverage"] = partial(coverage, rows, curves)
            drawings[f"{name}ranks"] = partial(ranks, rows)
    if evaluation.fingers:
        drawings["fingers_of_god"] = partial(fingers, evaluation.fingers)
    paths = figure_paths(drawings, out, suffix, overwrite)
    save_all({paths[name]: draw for name, draw in drawings.items()}, overwrite)
    return list(paths.values())


@styled
def errors_against_distance(rows: Sequence[DistanceErrors], width: float = TWO_COLUMNS) -> Figure:
    """Mean absolute and root-mean-square error, bias and relative error against distance.

    Parameters
    ----------
    rows : sequence of extmap_tf.evaluation.profile_errors.DistanceErrors
        One line for each group among them.
    width : float
        Of the page, inches; of less than two columns the panels stand above one another.
    """
    figure, (size, bias, relative) = _panels(rows, 3, width)
    for style, chosen in _groups(rows):
        distance_kpc = [row.distance_kpc for row in chosen]
        dashed = style | {"linestyle": "--", "alpha": 0.7, "label": None}
        size.plot(distance_kpc, [row.mean_absolute_error_mag for row in chosen], **style)
        size.plot(distance_kpc, [row.rmse_mag for row in chosen], **dashed)
        bias.plot(distance_kpc, [row.bias_mag for row in chosen], **style)
        relative.plot(distance_kpc, [100 * row.relative_error for row in chosen], **style)
    size.plot([], [], color="black", label="mean |error|")
    size.plot([], [], color="black", linestyle="--", alpha=0.7, label="rms error")
    bias.axhline(0.0, color="black", linewidth=0.8)
    size.set_ylabel("error of the extinction (mag)")
    bias.set_ylabel("mean of estimate − truth (mag)")
    relative.set_ylabel("mean |error| / mean truth (%)")
    for axis in (size, bias, relative):
        axis.set_xlabel("distance (kpc)")
        axis.set_xlim(0.0, max(row.distance_kpc for row in rows))
    for axis, top in ((size, 1.08 * size.dataLim.ymax), (relative, _without_the_nearest(relative))):
        axis.set_ylim(0.0, top)
    _legend(figure, size)
    return figure


def _without_the_nearest(axis):
    """The top of an axis without the nearest twentieth, where errors are a share of hardly anything."""
    values = [y[x > 0.05 * x.max()] for x, y in (line.get_data() for line in axis.lines)]
    known = np.concatenate(values) if values else np.empty(0)
    known = known[np.isfinite(known)]
    return 1.08 * known.max() if known.size else 1.0


@styled
def density_errors_against_distance(rows: Sequence[DensityErrors]) -> Figure:
    """Mean absolute error of the density, and its ratio to the mean density, in ranges of distance.

    Parameters
    ----------
    rows : sequence of extmap_tf.evaluation.profile_errors.DensityErrors
        One line for each group among them.
    """
    figure, (size, relative) = _panels(rows, 2)
    for style, chosen in _groups(rows):
        edges = [chosen[0].from_kpc, *(row.to_kpc for row in chosen)]
        look = {"color": style["color"], "label": style["label"], "baseline": None}
        size.stairs([row.mean_absolute_error_mag_kpc for row in chosen], edges, **look)
        relative.stairs([100 * row.relative_error for row in chosen], edges, **look)
    size.set_ylabel("mean |error| of the density (mag/kpc)")
    relative.set_ylabel("mean |error| / mean density (%)")
    for axis in (size, relative):
        axis.set_ylim(0.0, 1.08 * axis.dataLim.ymax)
        axis.set_xlabel("distance (kpc)")
    _legend(figure, size)
    return figure


@styled
def coverage(rows: Sequence[Calibration], curves: Sequence[Calibration]) -> Figure:
    """Share of the truths inside the central intervals, against distance and against the nominal share.

    Parameters
    ----------
    rows : sequence of extmap_tf.evaluation.calibration.Calibration
        Of one quantity. To the right one line for each group, the mean over distance.
    curves : sequence of extmap_tf.evaluation.calibration.Calibration
        Of the same quantity at all distances: to the left.
    """
    figure, (by_distance, by_nominal) = _panels(rows, 2)
    distance_kpc = [row.distance_kpc for row in curves]
    for i, percent in enumerate(CENTRAL_PERCENT):
        shares = [100 * getattr(row, f"coverage_{percent}") for row in curves]
        by_distance.plot(distance_kpc, shares, color=COLORS[i], label=f"central {percent} %")
        by_distance.axhline(percent, color=COLORS[i], linestyle="--", linewidth=0.8)
    by_distance.set_xlim(0.0, max(distance_kpc))
    by_distance.set_ylim(0.0, 103.0)
    by_distance.set_xlabel("distance (kpc)")
    by_distance.set_ylabel(f"true {rows[0].quantity} inside (%)")
    by_distance.legend(loc="lower right", ncols=2)
    by_distance.set_title("dashed: as it should be")
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


@styled
def ranks(rows: Sequence[Calibration], levels: Sequence[float] = PERCENTILES) -> Figure:
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
    figure = Figure(figsize=(TWO_COLUMNS * n_columns / 3, 0.5 + 1.7 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).ravel()
    edges = np.array([0.0, *levels, 100.0])
    for axis, row in zip(axes, chosen, strict=False):
        honest = np.diff(edges) / 100.0
        axis.stairs(np.asarray(row.ranks) / honest, edges, fill=True, color=ESTIMATE, alpha=0.4)
        spread = np.sqrt(honest * (1.0 - honest) / max(row.n, 1)) / honest
        axis.stairs(1 + 2 * spread, edges, baseline=1 - 2 * spread, fill=True, color="black", alpha=0.15)
        axis.axhline(1.0, color="black", linewidth=0.8)
        axis.set_title(f"{row.distance_kpc:g} kpc")
    for axis in axes[len(chosen) :]:
        axis.remove()
    figure.supxlabel(f"percentile of the true {rows[0].quantity} in the estimate")
    figure.supylabel("frequency / honest one")
    return figure


@styled
def fingers(found: FingersOfGod) -> Figure:
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
        _plain_decades(axis.xaxis)
    for axis in (across, along):
        _plain_decades(axis.yaxis)
    across.legend()
    return figure


def _plain_decades(axis: Axis) -> None:
    """Numbers on a logarithmic axis as plain text."""
    axis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _panels(rows: Sequence, n: int, width: float = TWO_COLUMNS) -> tuple[Figure, Sequence[Axes]]:
    if not rows:
        raise DataError("nothing to draw: the evaluation has no such rows")
    beside = width >= TWO_COLUMNS
    height = 2.8 if n < 3 else 2.5
    figure = Figure(figsize=(width, height if beside else 2.1 * n), layout="constrained")
    axes = figure.subplots(*((1, n) if beside else (n, 1)))
    for axis in axes:
        axis.grid(True)
    return figure, axes


def _groups(rows: Sequence) -> Iterator[tuple[dict, list]]:
    """Style and rows of each group, in the order of their first rows."""
    for i, group in enumerate(dict.fromkeys(row.group for row in rows)):
        chosen = [row for row in rows if row.group == group]
        marker = MARKERS[i % len(MARKERS)] if len(chosen) <= _MAX_MARKS else ""
        yield (
            {
                "color": COLORS[i % len(COLORS)],
                "marker": marker,
                "label": "all sightlines" if group == "all" else group,
            },
            chosen,
        )


def _legend(figure: Figure, axis: Axes) -> None:
    handles, names = axis.get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="outside upper center",
        ncols=min(len(names), 4 if figure.get_figwidth() >= TWO_COLUMNS else 2),
    )
