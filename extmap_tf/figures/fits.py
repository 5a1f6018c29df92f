"""The picture of a direct fit: the CMD as observed and as fitted, what is left, and the profile."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from extmap_tf.estimate import ProfileEstimate
from extmap_tf.extinction.profiles import cumulative_to_density
from extmap_tf.figures.layout import axis_label
from extmap_tf.figures.style import COLORS, ESTIMATE, TRUTH, TWO_COLUMNS, styled
from extmap_tf.grids.diagram import Diagram
from extmap_tf.grids.distance import DistanceGrid

if TYPE_CHECKING:
    from extmap_tf.fit.directfit import FittedCmds

_INTERVALS = ((2.5, 97.5, 0.15), (16.0, 84.0, 0.3))
_MODEL = COLORS[1]


@styled
def fit_figure(
    counts: np.ndarray,
    fitted: "FittedCmds",
    diagram: Diagram,
    distance: DistanceGrid,
    band: str,
    title: str,
    truth: np.ndarray | None = None,
    model: ProfileEstimate | None = None,
) -> Figure:
    """Draw one fit.

    Parameters
    ----------
    counts : array_like [n_mag, n_color]
        Stars per pixel.
    fitted : extmap_tf.fit.directfit.FittedCmds
        Of this CMD alone.
    diagram : Diagram
        Of the counts.
    distance : DistanceGrid
    band : str
        Of the extinction.
    title : str
    truth : array_like [n_distances], optional
        True density, mag / kpc.
    model : ProfileEstimate, optional
        Of an exported model, drawn beside with its intervals where it has some.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(TWO_COLUMNS, 5.6), layout="constrained")
    figure.suptitle(title)
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.1, 1.0)).ravel()
    counts, expected = np.asarray(counts, float), np.asarray(fitted.expected, float)
    observed, middle, residual = upper.subplots(1, 3, sharex=True, sharey=True)
    norm = LogNorm(0.3, max(counts.max(), expected.max(), 3.0))
    mag_edges, color_edges = diagram.edges
    for axis, image, name in ((observed, counts, "observed"), (middle, expected, "fitted")):
        shown = np.ma.masked_less(image, 0.05)
        mesh = axis.pcolormesh(color_edges, mag_edges, shown, norm=norm, cmap="viridis", rasterized=True)
        axis.set_title(name)
    upper.colorbar(mesh, ax=[observed, middle], label="stars per pixel", format="{x:g}")
    # Of few stars the root of the expectation is no standard deviation; one star where none is expected
    # would be all that one sees.
    left = np.ma.masked_where(
        (counts == 0) & (expected < 0.05), (counts - expected) / np.sqrt(expected + 1.0)
    )
    mesh = residual.pcolormesh(color_edges, mag_edges, left, vmin=-4, vmax=4, cmap="RdBu_r", rasterized=True)
    residual.set_title("observed − fitted")
    upper.colorbar(mesh, ax=residual, label="residual / √(fitted + 1)", extend="both")
    filled = np.nonzero((counts > 0) | (expected > 0.05))
    first_mag, last_color = filled[0].min(initial=diagram.y.n_pixels - 1), filled[1].max(initial=0)
    observed.set_ylim(mag_edges[-1], mag_edges[first_mag])
    observed.set_xlim(color_edges[0], color_edges[min(last_color + 3, diagram.x.n_pixels)])
    observed.set_ylabel(axis_label(diagram.y))
    for axis in (observed, middle, residual):
        axis.set_xlabel(axis_label(diagram.x))

    extinction, density = lower.subplots(1, 2)
    sources = [(fitted.profiles, ESTIMATE, "direct fit", 3)]
    if model is not None:
        sources.append((model, _MODEL, "model", 2))
    for source, color, name, order in sources:
        _draw(extinction, density, source, distance, color=color, label=name, zorder=order)
    if truth is not None:
        style = {"color": TRUTH, "linewidth": 1.2, "zorder": 4}
        true_mag = np.append(0.0, np.cumsum(truth) * distance.step_kpc)
        extinction.plot(distance.edges_kpc, true_mag, label="truth", **style)
        density.stairs(truth, distance.edges_kpc, baseline=None, **style)
    extinction.set_ylabel(f"A({band}) (mag)")
    density.set_ylabel(f"rise of A({band}) (mag/kpc)")
    tops = [np.max(source.extinction_median) for source, *_ in sources]
    extinction.set_ylim(0.0, 1.3 * max(*tops, 0.01))
    tops = [
        np.max(cumulative_to_density(source.extinction_median, distance.step_kpc)) for source, *_ in sources
    ] + [0.0 if truth is None else max(truth)]
    density.set_ylim(0.0, 1.2 * max(*tops, 0.01))
    for axis in (extinction, density):
        axis.set_xlim(0.0, distance.max_kpc)
        axis.set_xlabel("distance (kpc)")
        axis.grid(True)
    extinction.legend(loc="lower right")
    return figure


def _draw(extinction, density, profiles, distance, **style):
    """Median and its rise in each bin, and the 68 and 95 % intervals of both where there are any."""
    edges = distance.edges_kpc
    extinction.plot(edges, np.append(0.0, profiles.extinction_median), **style)
    density.stairs(
        cumulative_to_density(profiles.extinction_median, distance.step_kpc), edges, baseline=None, **style
    )
    for low, high, alpha in _INTERVALS if profiles.has_spread else ():
        band = {"color": style["color"], "alpha": alpha, "linewidth": 0.0}
        for name in ("extinction", "density"):
            ends = [profiles.percentile(name, level) for level in (low, high)]
            if name == "extinction":
                extinction.fill_between(edges, *(np.append(0.0, end) for end in ends), **band)
            else:
                density.stairs(ends[1], edges, baseline=ends[0], fill=True, **band)
