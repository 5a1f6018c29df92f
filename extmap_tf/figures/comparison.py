"""Pictures of a map beside another: values against values, differences on the sky, agreement by distance."""

import functools

import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from extmap_tf.errors import DataError
from extmap_tf.figures.maps import COLORS, ESTIMATE, save_all
from extmap_tf.figures.projection import projection_of
from extmap_tf.figures.sky_view import MISSING, draw_lines
from extmap_tf.files import local_path, refuse_existing

# The largest percent of differences do not set the colour scale.
TOP_PERCENTILE = 99.0

# Where positions reach further from the plane, l and b are no axes to draw on.
POLAR_DEG = 85.0

# Sectors of more than this width over height are drawn one below the other.
WIDE = 2.5


def against(comparison):
    """The map's extinction against the other's, one panel a distance; bars are the map's uncertainty.

    Parameters
    ----------
    comparison : extmap_tf.compare.maps.Comparison
    """
    figure, axes = _panels(comparison, share=False, shape=1.0)
    for i, axis in enumerate(axes):
        ours, theirs = comparison.extinction_mag[:, i], comparison.other_mag[:, i]
        both = np.isfinite(ours) & np.isfinite(theirs)
        if comparison.std_mag is not None:
            std = comparison.std_mag[both, i]
            look = {"fmt": "none", "ecolor": COLORS[0], "alpha": 0.25, "linewidth": 0.8}
            axis.errorbar(theirs[both], ours[both], yerr=std, rasterized=True, **look)
        axis.scatter(theirs[both], ours[both], s=6, color=COLORS[0], linewidths=0, rasterized=True)
        top = 1.05 * max([*ours[both], *theirs[both]], default=1.0) or 1.0
        axis.plot([0, top], [0, top], color="black", linewidth=0.8)
        axis.set(xlim=(0, top), ylim=(0, top), aspect="equal")
        axis.grid(alpha=0.25)
    figure.supxlabel(f"A({comparison.band}) of {comparison.name} (mag)")
    figure.supylabel(f"A({comparison.band}) of the map (mag)")
    return figure


def difference(comparison):
    """Map - other on the sky, one panel a distance, on one scale; grey where either has no value.

    Parameters
    ----------
    comparison : extmap_tf.compare.maps.Comparison
    """
    values = comparison.extinction_mag - comparison.other_mag
    known = np.abs(values[np.isfinite(values)])
    top = np.percentile(known, TOP_PERCENTILE) if known.size and known.max() > 0 else 1.0
    # Across l = 0 the sector stays in one piece.
    l_deg = comparison.l_deg
    if np.ptp(l_deg) > 180:
        l_deg = (l_deg + 180.0) % 360.0 - 180.0
    b_deg = comparison.b_deg
    polar = np.abs(b_deg).max() > POLAR_DEG
    projection = projection_of(l_deg, b_deg) if polar else None
    x, y = projection.to_plane(l_deg, b_deg) if polar else (l_deg, b_deg)
    width, height = max(np.ptp(x), 1.0), max(np.ptp(y), 1.0)
    figure, axes = _panels(comparison, share=True, shape=width / height)
    # Squares in points, as large as the typical distance between positions.
    panel = 72.0 * (7.0 if width > WIDE * height else 2.5)
    size = np.clip(0.9 * panel * np.sqrt(height / width / len(l_deg)), 2.0, 10.0) ** 2
    for i, axis in enumerate(axes):
        good = np.isfinite(values[:, i])
        axis.scatter(x[~good], y[~good], s=size, color=MISSING, linewidths=0, marker="s")
        mesh = axis.scatter(
            x[good],
            y[good],
            c=values[good, i],
            s=size,
            cmap="PuOr_r",
            norm=TwoSlopeNorm(0.0, -top, top),
            linewidths=0,
            marker="s",
            rasterized=True,
        )
        axis.set_aspect(1.0 if polar else 1.0 / np.cos(np.radians(b_deg.mean())))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda l, _: f"{l % 360.0:g}"))
        if polar:
            draw_lines(axis, projection, l_deg, b_deg)
            axis.set_axis_off()
    if not polar:
        axes[0].invert_xaxis()
        figure.supxlabel("Galactic longitude l (deg)")
        figure.supylabel("b (deg)")
    label = f"A({comparison.band}): map − {comparison.name} (mag)"
    figure.colorbar(mesh, ax=list(axes), label=label, extend="both", shrink=0.8)
    return figure


def agreement(comparison):
    """Correlations, and offset with scatter, against distance.

    Parameters
    ----------
    comparison : extmap_tf.compare.maps.Comparison
    """
    figure = Figure(figsize=(8.0, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    d = [row.distance_kpc for row in comparison.rows]
    for color, marker, name, label in (
        (COLORS[0], "o", "correlation", "Pearson"),
        (COLORS[1], "s", "rank_correlation", "Spearman"),
    ):
        values = [getattr(row, name) for row in comparison.rows]
        left.plot(d, values, color=color, marker=marker, label=label)
    offset = [row.offset_mag for row in comparison.rows]
    scatter = [row.scatter_mag for row in comparison.rows]
    right.errorbar(d, offset, yerr=scatter, color=COLORS[0], marker="o", capsize=3)
    right.axhline(0.0, color="black", linewidth=0.8)
    left.set(ylabel="correlation", ylim=(min(0.0, left.get_ylim()[0]), 1.02))
    left.legend(frameon=False)
    right.set_ylabel(f"A({comparison.band}): map − {comparison.name} (mag)")
    right.set_title("mean and standard deviation", fontsize="medium")
    for axis in (left, right):
        axis.set_xlabel("distance (kpc)")
        axis.set_xlim(left=0.0)
        axis.grid(alpha=0.25)
    return figure


def side_by_side(comparison):
    """Both maps' extinction against distance, one panel a position; shaded is one standard deviation.

    Parameters
    ----------
    comparison : extmap_tf.compare.maps.Comparison
        Of a few positions at many distances.
    """
    n = len(comparison.l_deg)
    n_columns = min(n, 3)
    n_rows = -(-n // n_columns)
    figure = Figure(figsize=(1.0 + 3.2 * n_columns, 0.9 + 2.3 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, sharex=True, squeeze=False).ravel()
    for spare in axes[n:]:
        spare.remove()
    d = np.append(0.0, comparison.distances_kpc)
    curves = (
        (comparison.extinction_mag, comparison.std_mag, ESTIMATE, "-", "map"),
        (comparison.other_mag, comparison.other_std_mag, COLORS[1], "--", comparison.name),
    )
    for i, axis in enumerate(axes[:n]):
        for values, std, color, line, label in curves:
            mean = np.append(0.0, values[i])
            axis.plot(d, mean, color=color, linestyle=line, linewidth=1.6, label=label)
            if std is not None:
                spread = np.append(0.0, std[i])
                low = np.maximum(mean - spread, 0.0)
                axis.fill_between(d, low, mean + spread, color=color, alpha=0.2, linewidth=0.0)
        l_deg, b_deg = comparison.l_deg[i], comparison.b_deg[i]
        axis.set_title(f"l = {l_deg:.6g}°, b = {b_deg:.6g}°", loc="left", fontsize="medium")
        axis.set_xlim(0.0, d[-1])
        axis.set_ylim(bottom=0.0)
        axis.grid(alpha=0.25)
        if i + n_columns >= n:
            axis.tick_params(labelbottom=True)
    figure.supxlabel("distance (kpc)")
    figure.supylabel(f"A({comparison.band}) (mag)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return figure


def draw_comparison(comparison, profiles, folder, suffix="png", overwrite=False):
    """Draw all figures of a comparison: difference, against, agreement and side_by_side.

    Parameters
    ----------
    comparison : extmap_tf.compare.maps.Comparison
    profiles : extmap_tf.compare.maps.Comparison
        Of the positions to draw side by side.
    folder : path-like
    suffix : {"png", "pdf"}
    overwrite : bool

    Returns
    -------
    list of pathlib.Path

    Raises
    ------
    DataError
        A figure exists already.
    """
    paths = figure_paths(folder, suffix, overwrite)
    parts = [profiles if draw is side_by_side else comparison for draw in _FIGURES]
    drawings = map(functools.partial, _FIGURES, parts)
    save_all(dict(zip(paths, drawings, strict=True)), overwrite)
    return paths


_FIGURES = (difference, against, agreement, side_by_side)


def figure_paths(folder, suffix="png", overwrite=False):
    """Where `draw_comparison` puts its figures, as a list; DataError if one exists already."""
    paths = [local_path(folder) / f"{draw.__name__}.{suffix}" for draw in _FIGURES]
    for path in paths:
        refuse_existing(path, overwrite)
    return paths


def spread_positions(comparison, n=6):
    """(l, b) of `n` positions where both have a value, evenly spaced in the order of their extinction.

    The extinction is that of the map at the farthest distance where three positions or more have both.
    """
    both = np.isfinite(comparison.extinction_mag) & np.isfinite(comparison.other_mag)
    column = next((i for i in reversed(range(both.shape[1])) if both[:, i].sum() >= min(3, len(both))), 0)
    at = np.flatnonzero(both[:, column])
    if not at.size:
        raise DataError(f"the map and {comparison.name} have no value at the same place: nothing to draw")
    order = at[np.argsort(comparison.extinction_mag[at, column], kind="stable")]
    picked = order[np.linspace(0, len(order) - 1, min(n, len(order))).round().astype(int)]
    return [(float(comparison.l_deg[k]), float(comparison.b_deg[k])) for k in picked]


def _panels(comparison, share, shape):
    n = len(comparison.distances_kpc)
    n_columns = 1 if shape > WIDE else min(n, 3)
    n_rows = -(-n // n_columns)
    width, height = (8.0, 7.0 / shape + 0.5) if shape > WIDE else (3.0, 2.9)
    size = (1.0 + width * n_columns, 0.6 + max(height, 1.2) * n_rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(n_rows, n_columns, sharex=share, sharey=share, squeeze=False).ravel()
    for spare in axes[n:]:
        spare.remove()
    for axis, d in zip(axes, comparison.distances_kpc, strict=False):
        axis.set_title(f"{d:g} kpc", fontsize="medium")
    return figure, axes[:n]
