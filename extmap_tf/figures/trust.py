"""How far a map can be trusted: on the sky, and by latitude and distance."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import RELIABLE_FRACTION, RELIABLE_MAG
from extmap_tf.extinction.profiles import profiles_at
from extmap_tf.figures.layout import WHOLE, colorbar, doubtful_fields, scale, tell_doubtful
from extmap_tf.figures.sky_view import sky_view
from extmap_tf.figures.style import PAGE_HEIGHT, STEPS, TWO_COLUMNS, UNSURE, cmap, styled
from extmap_tf.map.volume import ExtinctionMap

# Height of the cut in inches.
_CUT = 1.5


@styled
def trust(volume: ExtinctionMap, d_kpc: float | None = None, width: float = TWO_COLUMNS) -> Figure:
    """How far a map can be trusted.

    On the sky, its uncertainty at a distance, and the share of distances at which a sightline is reliable
    (`extmap_tf.estimate.is_reliable`). Below, at each latitude and distance, the share of sightlines that are
    reliable there. A dot marks a field that is unlike the training diagrams.

    Parameters
    ----------
    volume : ExtinctionMap
        With a distribution.
    d_kpc : float, optional
        Of the uncertainty; the last distance if left out.
    width : float
        Of the page, inches.
    """
    if not volume.percentiles:
        raise DataError("the map has no uncertainty to draw: it has one profile a sightline")
    d_kpc = volume.distance.max_kpc if d_kpc is None else d_kpc
    if not 0 < d_kpc <= volume.distance.max_kpc * (1.0 + 1e-9):
        raise ConfigError(f"d_kpc must be above 0 and at most {volume.distance.max_kpc:g}, got: {d_kpc:g}")
    std = profiles_at(volume.extinction_std, volume.distance, [d_kpc])[..., 0]
    limit = f"reliable to {100 * RELIABLE_FRACTION:g} % or {RELIABLE_MAG:g} mag"
    often = np.where(volume.has_profile, 100.0 * volume.reliable.mean(axis=-1), np.nan)
    doubtful = doubtful_fields(volume)
    drawn = (
        (
            f"uncertainty of {volume.quantity} from the Sun to {d_kpc:.3g} kpc",
            std,
            *scale([std], ~doubtful),
            "standard deviation (mag)",
        ),
        (f"distances at which it is {limit}", often, WHOLE, "neither", "share (%)"),
    )
    view = sky_view(volume.grid)
    figure, axes, below = _panels(view.shape, width)
    for axis, (title, layer, norm, extend, label), colors in zip(
        axes, drawn, (UNSURE, "cividis"), strict=True
    ):
        mesh = view.draw(axis, layer, norm, colormaps[colors], title)
        marks = view.mark(axis, doubtful)
        colorbar(figure, mesh, [axis], label, extend)
        axis.set(xlabel=view.labels[0], ylabel=view.labels[1])
    if doubtful.any():
        tell_doubtful(figure, marks)
    b_edges, share = reliable_share(volume)
    look: dict[str, Any] = {"norm": WHOLE, "cmap": cmap("cividis"), "rasterized": True}
    mesh = below.pcolormesh(volume.distance.edges_kpc, b_edges, 100.0 * share, **look)
    below.set(xlabel="distance (kpc)", ylabel="b (deg)")
    below.set_title(f"sightlines at each latitude that are {limit}")
    below.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    colorbar(figure, mesh, [below], "share (%)")
    return figure


def reliable_share(volume: ExtinctionMap) -> tuple[np.ndarray, np.ndarray]:
    """Share of the sightlines of each latitude that are reliable at each distance.

    Returns
    -------
    b_edges : ndarray [n + 1]
        Degrees: of the rows of the grid, or strips as wide as its pixels.
    share : ndarray [n, n_distances]
        0 to 1 of those with a profile; NaN where there is none.
    """
    edges, row = volume.grid.rows()
    good = volume.has_profile.ravel()
    number, total = np.zeros(edges.size - 1), np.zeros((edges.size - 1, volume.distance.n_distances))
    np.add.at(number, row[good], 1.0)
    np.add.at(total, row[good], volume.reliable.reshape(good.size, -1)[good])
    share = total / np.maximum(number, 1.0)[:, None]
    return edges, np.where(number[:, None] > 0, share, np.nan)


def _panels(shape: float, width: float) -> tuple[Figure, list[Axes], Axes]:
    """Two panels of the sky, beside or above one another, and one below as wide as both."""
    n_columns = 1 if shape > 1.4 or width < TWO_COLUMNS else 2
    n_rows = 2 // n_columns
    panel = (width - 0.6 - 0.6 * n_columns) / n_columns - 0.1
    height = min(panel / shape, (PAGE_HEIGHT - _CUT - 1.5) / n_rows - 0.5)
    figure = Figure(figsize=(width, n_rows * (height + 0.5) + _CUT + 0.8), layout="constrained")
    ratios = [height] * n_rows + [_CUT]
    places = figure.add_gridspec(n_rows + 1, n_columns, height_ratios=ratios)
    axes = [figure.add_subplot(places[i // n_columns, i % n_columns]) for i in range(2)]
    return figure, axes, figure.add_subplot(places[n_rows, :])
