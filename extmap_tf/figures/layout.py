"""Panels on a page: their size, their scales, their bars and labels."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PathCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from extmap_tf.errors import DataError
from extmap_tf.figures.style import PAGE_HEIGHT, TWO_COLUMNS
from extmap_tf.grids.diagram import Axis
from extmap_tf.map.volume import ExtinctionMap

# The brightest half percent of cells do not set the colour scale.
TOP_PERCENTILE = 99.5

# The scale of shares in percent.
WHOLE = Normalize(0.0, 100.0)


def beside(volume: ExtinctionMap, truth: ExtinctionMap | None) -> list[tuple[ExtinctionMap, str]]:
    """The maps to draw side by side and their titles; DataError if their grids differ."""
    if truth is None:
        return [(volume, volume.provenance.kind)]
    if truth.grid != volume.grid or truth.distance != volume.distance:
        raise DataError(
            "maps drawn side by side must have the same grids: compare_maps says which value differs"
        )
    return [(volume, volume.provenance.kind), (truth, truth.provenance.kind)]


def panels(
    n: int, shape: float, n_columns: int, bars: int = 1, width: float = TWO_COLUMNS
) -> tuple[Figure, np.ndarray]:
    """A figure of a width, or less if it would be higher than a page.

    Parameters
    ----------
    n : int
        Panels.
    shape : float
        Width over height of each.
    n_columns : int
    bars : int
        Colour bars beside one another.
    width : float
        Of the page, inches.

    Returns
    -------
    matplotlib.figure.Figure
    ndarray of Axes [n]
        Which share their axes.
    """
    n_rows = math.ceil(n / n_columns)
    width = (width - 0.6 - 0.6 * bars) / n_columns - 0.1
    height = min(width / shape, (PAGE_HEIGHT - 0.7) / n_rows - 0.35)
    width = height * shape
    figure = Figure(
        figsize=(0.6 + 0.6 * bars + n_columns * (width + 0.1), 0.5 + n_rows * (height + 0.32)),
        layout="compressed",
    )
    axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).ravel()
    for spare in axes[n:]:
        spare.remove()
    return figure, axes[:n]


def balanced(n: int, most: int) -> int:
    """Columns for `n` panels: at most `most`, rows of nearly equal length."""
    return math.ceil(n / math.ceil(n / most))


def scale(
    layers: Sequence[np.ndarray] | np.ndarray, counted: np.ndarray | bool = True
) -> tuple[Normalize, str]:
    """One linear colour scale from 0 for all layers, and whether values exceed it.

    Parameters
    ----------
    layers : sequence of ndarray
    counted : ndarray of bool, optional
        The cells of each that set the scale, if there are any.
    """
    values = np.concatenate([layer[np.isfinite(layer)] for layer in layers])
    sure = np.concatenate([layer[np.isfinite(layer) & counted] for layer in layers])
    top = np.percentile(sure if sure.size else values, TOP_PERCENTILE) if values.size else 0.0
    extend = "max" if values.size and values.max() > top else "neither"
    return Normalize(0.0, top if top > 0 else 1.0), extend


def doubtful_fields(volume: ExtinctionMap) -> np.ndarray:
    """Fields with a profile and a flag: bool [*sky]. A dot marks them, and they set no colour scale."""
    return volume.has_profile & (volume.flag > 0)


def tell_doubtful(figure: Figure, marks: PathCollection) -> None:
    """Say below a figure what the dots on it are."""
    marks.set_label("doubtful: field unlike the training diagrams")
    figure.legend(handles=[marks], loc="outside lower center")


def axis_label(axis: Axis) -> str:
    """What an axis of a diagram says."""
    return f"{' − '.join(axis.bands) or axis.quantity} ({axis.unit})"


def outer_labels(axes: Sequence[Axes] | np.ndarray, x_label: str, y_label: str) -> None:
    """Label the axes at the outside of a grid of panels only."""
    for i, axis in enumerate(axes):
        place = axis.get_subplotspec()
        n_columns = place.get_gridspec().ncols
        if i + n_columns >= len(axes):
            axis.set_xlabel(x_label)
            axis.tick_params(labelbottom=True)
        if place.is_first_col():
            axis.set_ylabel(y_label)


def colorbar(
    figure: Figure,
    mesh: ScalarMappable,
    axes: Sequence[Axes] | np.ndarray,
    label: str,
    extend: str = "neither",
    location: str = "right",
) -> None:
    """A bar for some panels, of the same width on every figure."""
    # In inches along the bar, over its width of an eighth.
    size = figure.get_size_inches()
    place = axes[0].get_subplotspec()
    assert place is not None
    rows, columns = place.get_gridspec().get_geometry()
    upright = location == "right"
    n_along = len({axis.get_subplotspec().rowspan.start if upright else i for i, axis in enumerate(axes)})
    along = (size[1] / rows if upright else size[0] / columns) * n_along
    how = {"aspect": max(8.0, 8.0 * along), "extendfrac": 0.04, "pad": 0.02, "extend": extend}
    bar = figure.colorbar(mesh, ax=list(axes), label=label, location=location, **how)
    bar.outline.set_linewidth(0.5)
