"""Profiles of single sightlines: extinction, the dust along the sight, and the diagrams behind them."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from extmap_tf.errors import ConfigError
from extmap_tf.estimate import Flag
from extmap_tf.extinction.profiles import profiles_at
from extmap_tf.figures.dust import IN_STEPS, step_bins
from extmap_tf.figures.layout import axis_label
from extmap_tf.figures.style import COLORS, ESTIMATE, TRUTH, TWO_COLUMNS, styled
from extmap_tf.grids.diagram import Cmds
from extmap_tf.map.volume import ExtinctionMap

# Intervals of an estimate: percentiles, name, how opaque.
INTERVALS = (((5.0, 95.0), "90 % interval", 0.18), ((16.0, 84.0), "68 % interval", 0.32))

# Whole profiles of the estimate that are drawn beside its median.
N_DRAWN = 5
_SINGLE = COLORS[1]

# The bar at the bottom: its height as a share of the panel's, and its colour.
_BAR, _UNRELIABLE = 0.03, "#888888"


@styled
def profiles(
    volume: ExtinctionMap,
    sightlines: Sequence[tuple[float, float]],
    truth: ExtinctionMap | None = None,
    cmds: Cmds = (),
    width: float = TWO_COLUMNS,
) -> Figure:
    """Extinction against distance, the dust as its rise in steps, and perhaps CMDs, one row a sightline.

    The line of a map with a distribution is the median, between its 68 and 90 % intervals; those of the rise
    are of the samples, where the map has some. A grey bar at the bottom is where the extinction is not
    reliable.

    Parameters
    ----------
    volume : ExtinctionMap
    sightlines : sequence of (float, float)
        (l, b) in degrees; the nearest sightlines of the map are drawn.
    truth : ExtinctionMap, optional
    cmds : sequence of (Diagram, ndarray [n_sightlines, n_y, n_x]), optional
        The diagrams that the profiles come from: stars in each pixel. Of each survey the first is drawn.
    width : float
        Of the page, inches.
    """
    if not len(sightlines):
        raise ConfigError("profiles need one or more sightlines (l, b), got: none")
    n = len(sightlines)
    figure = Figure(figsize=(width, 0.7 + 1.4 * n), layout="constrained")
    # The last is the first.
    firsts = list({diagram.survey: (diagram, counts) for diagram, counts in reversed(cmds)}.values())[::-1]
    widths = [0.8] * len(firsts) + [1.0, 1.0]
    every = figure.subplots(n, len(widths), squeeze=False, width_ratios=widths)
    axes = every[:, -2:]
    for column, (diagram, counts) in zip(every.T, firsts, strict=False):
        _draw_cmds(figure, column, diagram, counts)
        if len(firsts) > 1:
            column[0].set_title(diagram.survey, loc="left")
    for axis in axes[:-1].ravel():
        axis.tick_params(labelbottom=False)
    axes[0, 1].set_title(IN_STEPS if width >= TWO_COLUMNS else textwrap.fill(IN_STEPS, 20), loc="left")
    shown: dict[str, Any] = {}
    for (l, b), (left, right) in zip(sightlines, axes, strict=True):
        curves = [(volume, ESTIMATE, volume.provenance.kind, 1.2, 3)]
        if truth is not None:
            curves.append((truth, TRUTH, "truth", 1.8, 2))
        for one, color, label, points, order in curves:
            style = {"color": color, "linewidth": points, "zorder": order}
            shown |= _draw_profile(left, right, one, l, b, label, **style)
        left.set_title(f"l = {l:g}°, b = {b:g}°", loc="left")
        left.set_ylabel(f"{volume.quantity} (mag)")
        right.set_ylabel(f"rise of {volume.quantity}\n(mag/kpc)")
        for axis in (left, right):
            axis.set_xlim(0.0, volume.distance.max_kpc)
            axis.set_ylim(bottom=0.0)
            axis.grid(True)
    if shown:
        names, lines = list(shown), list(shown.values())
        figure.legend(lines, names, loc="outside upper center", ncols=6 if width >= TWO_COLUMNS else 2)
    for axis in axes[-1]:
        axis.set_xlabel("distance (kpc)")
    return figure


def _draw_profile(left, right, volume, l_deg, b_deg, label, **style):
    """Draw one map's profile; what it drew as a dict of name to artist, or empty after saying why not."""
    extinction, flag = volume.query_gal(l_deg, b_deg, return_flags=True)
    if not np.isfinite(extinction.value).all():
        why = next((bit.meaning for bit in Flag if flag & bit.value), "no data")
        right.text(0.97, 0.9, f"{label}: {why}", transform=right.transAxes, ha="right", va="top")
        return {}
    distance, shown = volume.distance, {}
    edges, steps = distance.edges_kpc, _steps_kpc(distance)
    right.stairs(_rise(extinction.value, distance), steps, baseline=None, **style)
    shown[label] = left.plot(edges, np.append(0.0, extinction.value), **style)[0]
    if not volume.percentiles:
        return shown
    shown = {f"{label}, median": shown[label]}
    samples = None
    if volume.n_samples:
        whole = volume.query_gal(l_deg, b_deg, mode="samples").value
        samples = _rise(whole, distance)
        for profile in whole[:N_DRAWN]:
            look = {"color": _SINGLE, "linewidth": 0.5, "alpha": 0.8, "zorder": 2.5}
            line = left.plot(edges, np.append(0.0, profile), **look)[0]
        shown["single profiles of it"] = line
    for percentiles, name, alpha in INTERVALS:
        look = {"color": style["color"], "alpha": alpha, "linewidth": 0.0, "zorder": 1}
        low, high = volume.query_gal(l_deg, b_deg, mode="percentile", percentile=percentiles).value
        shown[name] = left.fill_between(edges, np.append(0.0, low), np.append(0.0, high), **look)
        if samples is not None:
            low, high = np.percentile(samples, percentiles, axis=0)
            right.stairs(high, steps, baseline=low, fill=True, **look)
    index = volume.grid.sightline_of([l_deg], [b_deg])[0]
    unsure = np.flatnonzero(~volume.reliable[np.unravel_index(index, volume.grid.shape)])
    bars = [(edges[k], distance.step_kpc) for k in unsure]
    for axis in (left, right):
        low = axis.get_xaxis_transform()
        drawn = axis.broken_barh(bars, (0.0, _BAR), transform=low, color=_UNRELIABLE, linewidth=0.0, zorder=4)
    return shown | ({"not reliable": drawn} if bars else {})


def _rise(extinction, distance):
    """Rise in steps [..., n_steps] of profiles [..., n_distances], mag / kpc."""
    edges = _steps_kpc(distance)
    return np.diff(profiles_at(extinction, distance, edges), axis=-1) / np.diff(edges)


def _steps_kpc(distance):
    return distance.edges_kpc[step_bins(distance.n_distances)]


def _draw_cmds(figure, axes, diagram, counts):
    """Diagrams on one scale, cut to the pixels where one of them has stars."""
    y_edges, x_edges = diagram.edges
    filled = np.nonzero(np.asarray(counts).any(axis=0))
    rows, columns = (
        [index.min(initial=n - 1), index.max(initial=0) + 1]
        for index, n in zip(filled, diagram.shape, strict=True)
    )
    norm = LogNorm(0.7, max(float(np.max(counts)), 2.0))
    for axis, image in zip(axes, counts, strict=True):
        shown = np.ma.masked_equal(image, 0)
        mesh = axis.pcolormesh(x_edges, y_edges, shown, norm=norm, cmap="viridis", rasterized=True)
        # Bright stars are up, and near ones.
        y_limits = y_edges[rows] if diagram.y.quantity == "parallax" else y_edges[rows][::-1]
        axis.set(xlim=x_edges[columns], ylim=y_limits, ylabel=axis_label(diagram.y))
        if axis is not axes[-1]:
            axis.tick_params(labelbottom=False)
    axes[-1].set_xlabel(axis_label(diagram.x))
    ticks = [t for power in range(5) for t in (10**power, 2 * 10**power, 5 * 10**power) if t <= norm.vmax]
    style = {"location": "left", "shrink": 1.0 / len(axes) ** 0.5, "aspect": 20.0, "format": "{x:g}"}
    bar = figure.colorbar(mesh, ax=list(axes), label="stars per pixel", ticks=ticks, **style)
    bar.minorticks_off()
