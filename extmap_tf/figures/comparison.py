"""Pictures of a map beside another: values against values, differences on the sky, agreement by distance."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from extmap_tf.compare.maps import Comparison
from extmap_tf.errors import DataError
from extmap_tf.extinction.bands import quantity_of
from extmap_tf.figures.layout import TOP_PERCENTILE, balanced, colorbar, outer_labels, panels
from extmap_tf.figures.sky_view import sky_view
from extmap_tf.figures.style import COLORS, ESTIMATE, TWO_COLUMNS, figure_paths, save_all, styled

# Positions in fewer of the map's sightlines than this share are drawn as dots.
_SPARSE = 0.2


@styled
def against(comparison: Comparison) -> Figure:
    """The map's extinction against the other's, one panel a distance; bars are the map's uncertainty.

    Parameters
    ----------
    comparison : extmap_tf.compare.maps.Comparison
    """
    figure, axes = _squares(comparison)
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
        axis.grid(True)
    figure.supxlabel(f"{quantity_of(comparison.band)} of {comparison.name} (mag)")
    figure.supylabel(f"{quantity_of(comparison.band)} of the map (mag)")
    return figure


@styled
def difference(comparison: Comparison) -> Figure:
    """Map - other on the sky of the map, one panel a distance, each on a scale of its own; grey where either
    has no value.

    Where several positions are in one sightline of the map, their mean is drawn; positions in few of the
    sightlines are dots.

    Parameters
    ----------
    comparison : extmap_tf.compare.maps.Comparison
    """
    values = comparison.extinction_mag - comparison.other_mag
    view = sky_view(comparison.grid)
    n = values.shape[1]
    n_columns = 1 if view.shape > 3.0 else balanced(n, 2)
    figure, axes = panels(n, view.shape, n_columns, bars=n_columns)
    index = comparison.grid.sightline_of(comparison.l_deg, comparison.b_deg)
    sparse = np.unique(index).size < _SPARSE * comparison.grid.n_sightlines
    for axis, column, d in zip(axes, values.T, comparison.distances_kpc, strict=True):
        good = np.isfinite(column) & (index >= 0)
        top = np.percentile(np.abs(column[good]), TOP_PERCENTILE) if good.any() else 0.0
        how: dict[str, Any] = {"norm": Normalize(-(top or 1.0), top or 1.0), "cmap": colormaps["PuOr_r"]}
        layer = np.full(comparison.grid.n_sightlines, np.nan)
        if not sparse:
            number, total = (
                np.bincount(index[good], weights, layer.size) for weights in (None, column[good])
            )
            layer = np.where(number > 0, total / np.maximum(number, 1), np.nan)
        mesh = view.draw(axis, layer.reshape(comparison.grid.shape), title=f"{d:g} kpc", **how)
        if sparse:
            x, y = view.place(comparison.l_deg[good], comparison.b_deg[good])
            axis.scatter(x, y, c=column[good], s=14, edgecolors="black", linewidths=0.4, **how)
        colorbar(figure, mesh, [axis], "mag", "both")
    outer_labels(axes, *view.labels)
    figure.suptitle(f"{quantity_of(comparison.band)}: map − {comparison.name}")
    return figure


@styled
def agreement(comparison: Comparison) -> Figure:
    """Correlations, and mean and standard deviation of the differences, against distance.

    Parameters
    ----------
    comparison : extmap_tf.compare.maps.Comparison
        At many distances.
    """
    figure = Figure(figsize=(TWO_COLUMNS, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = comparison.rows
    d = [row.distance_kpc for row in rows]
    left.plot(d, [row.correlation for row in rows], color=COLORS[0], label="Pearson")
    left.plot(d, [row.rank_correlation for row in rows], color=COLORS[1], linestyle="--", label="Spearman")
    offset, scatter = (
        np.array([getattr(row, f"{name}_mag") for row in rows]) for name in ("offset", "scatter")
    )
    right.plot(d, offset, color=COLORS[0])
    right.fill_between(d, offset - scatter, offset + scatter, color=COLORS[0], alpha=0.25, linewidth=0.0)
    right.axhline(0.0, color="black", linewidth=0.8)
    left.set(ylabel="correlation", ylim=(min(0.0, left.get_ylim()[0]), 1.02))
    left.legend()
    right.set_ylabel(f"{quantity_of(comparison.band)}: map − {comparison.name} (mag)")
    right.set_title("mean over the positions; shaded: standard deviation")
    for axis in (left, right):
        axis.set_xlabel("distance (kpc)")
        axis.set_xlim(0.0, max(d))
        axis.grid(True)
    return figure


@styled
def side_by_side(comparison: Comparison) -> Figure:
    """Both maps' extinction against distance, one panel a position; shaded is one standard deviation.

    Parameters
    ----------
    comparison : extmap_tf.compare.maps.Comparison
        Of a few positions at many distances.
    """
    n = len(comparison.l_deg)
    n_columns = min(n, 3)
    n_rows = -(-n // n_columns)
    figure = Figure(figsize=(TWO_COLUMNS * max(n_columns, 2) / 3, 0.8 + 1.7 * n_rows), layout="constrained")
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
            axis.plot(d, mean, color=color, linestyle=line, label=label)
            if std is not None:
                spread = np.append(0.0, std[i])
                low = np.maximum(mean - spread, 0.0)
                axis.fill_between(d, low, mean + spread, color=color, alpha=0.2, linewidth=0.0)
        l_deg, b_deg = comparison.l_deg[i], comparison.b_deg[i]
        axis.set_title(f"l = {l_deg:.6g}°, b = {b_deg:.6g}°", loc="left")
        axis.set_xlim(0.0, d[-1])
        axis.set_ylim(bottom=0.0)
        axis.grid(True)
        if i + n_columns >= n:
            axis.tick_params(labelbottom=True)
    figure.supxlabel("distance (kpc)")
    figure.supylabel(f"{quantity_of(comparison.band)} (mag)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def draw_comparison(
    comparison: Comparison,
    everywhere: Comparison,
    profiles: Comparison,
    folder: str | Path,
    suffix: str = "png",
    overwrite: bool = False,
) -> list[Path]:
    """Draw all `FIGURES` of a comparison.

    Parameters
    ----------
    comparison : extmap_tf.compare.maps.Comparison
        At some distances.
    everywhere : extmap_tf.compare.maps.Comparison
        Of the same positions at many distances.
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
    paths = figure_paths(FIGURES, folder, suffix, overwrite)
    parts = dict.fromkeys(FIGURES, comparison) | {"agreement": everywhere, "side_by_side": profiles}
    save_all({paths[name]: functools.partial(draw, parts[name]) for name, draw in FIGURES.items()}, overwrite)
    return list(paths.values())


FIGURES: dict[str, Callable[[Comparison], Figure]] = {
    "difference": difference,
    "against": against,
    "agreement": agreement,
    "side_by_side": side_by_side,
}


def spread_positions(comparison: Comparison, n: int = 6) -> list[tuple[float, float]]:
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


def _squares(comparison: Comparison) -> tuple[Figure, np.ndarray]:
    """One panel a distance, each with axes of its own."""
    n = len(comparison.distances_kpc)
    n_columns = min(n, 3)
    n_rows = -(-n // n_columns)
    figure = Figure(figsize=(TWO_COLUMNS * max(n_columns, 2) / 3, 0.4 + 2.3 * n_rows), layout="constrained")
    axes: np.ndarray = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for spare in axes[n:]:
        spare.remove()
    for axis, d in zip(axes, comparison.distances_kpc, strict=False):
        axis.set_title(f"{d:g} kpc")
    return figure, axes[:n]
