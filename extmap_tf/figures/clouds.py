"""The clouds of a map: on the sky, and their columns beside the smallest wall that the model would show."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from extmap_tf.compare.clouds import Cloud
from extmap_tf.compare.visible_walls import VisibleWalls
from extmap_tf.figures.sky_view import sky_view
from extmap_tf.figures.style import COLORS, MISSING, TWO_COLUMNS, cmap, styled
from extmap_tf.map.volume import ExtinctionMap

_MOST_NUMBERS = 30


@styled
def clouds_and_walls(
    clouds: Sequence[Cloud], volume: ExtinctionMap, walls: VisibleWalls | None = None
) -> Figure:
    """Above, clouds on the sky in the colour of their distance, of several behind one another the strongest.

    Below, mean columns against distances, with 68 % intervals; numbers are those of the rows of the table.

    Parameters
    ----------
    clouds : sequence of Cloud
        Found in the map.
    volume : ExtinctionMap
    walls : VisibleWalls, optional
        Of the map's model: drawn as the range over its places of the smallest wall that it shows.
    """
    figure = Figure(figsize=(TWO_COLUMNS, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1)
    _on_the_sky(figure, above, clouds, volume)
    _columns(below, clouds, volume, walls)
    return figure


def _on_the_sky(figure, axis, clouds, volume):
    grid, view = volume.grid, sky_view(volume.grid)
    column, distance = np.zeros(grid.n_sightlines), np.full(grid.n_sightlines, np.nan)
    for cloud in clouds:
        index = np.array(cloud.sightlines)
        stronger = index[cloud.column_mag > column[index]]
        column[stronger], distance[stronger] = cloud.column_mag, cloud.distance_kpc
    at_kpc = [cloud.distance_kpc for cloud in clouds] or [volume.distance.max_kpc]
    norm = Normalize(0.9 * min(at_kpc), max(at_kpc))
    title = f"{len(clouds)} clouds; grey: none found" if clouds else "no cloud found"
    mesh = view.draw(axis, distance.reshape(grid.shape), norm, cmap("viridis"), title)
    axis.set_xlabel(view.labels[0])
    axis.set_ylabel(view.labels[1])
    # As high as the panel, whatever its shape.
    figure.colorbar(mesh, cax=axis.inset_axes((1.02, 0.0, 0.02, 1.0)), label="distance (kpc)")
    for number, cloud in enumerate(clouds[:_MOST_NUMBERS], 1):
        x, y = view.place(np.array([cloud.l_deg]), np.array([cloud.b_deg]))
        box = {"boxstyle": "circle,pad=0.2", "facecolor": "white", "linewidth": 0.4}
        axis.text(float(x[0]), float(y[0]), str(number), ha="center", va="center", fontsize=6.0, bbox=box)


def _columns(axis: Axes, clouds: Sequence[Cloud], volume: ExtinctionMap, walls: VisibleWalls | None) -> None:
    if walls is not None:
        _draw_walls(axis, walls)
    for number, cloud in enumerate(clouds, 1):
        low, high = np.nan_to_num([cloud.distance_low_kpc, cloud.distance_high_kpc], nan=cloud.distance_kpc)
        least, most = np.nan_to_num([cloud.column_low_mag, cloud.column_high_mag], nan=cloud.column_mag)
        axis.errorbar(
            cloud.distance_kpc,
            cloud.column_mag,
            xerr=[[cloud.distance_kpc - low], [high - cloud.distance_kpc]],
            yerr=[[cloud.column_mag - least], [most - cloud.column_mag]],
            fmt="o",
            color=COLORS[0],
            elinewidth=0.8,
            label="clouds, mean column and 68 %" if number == 1 else None,
        )
        if number <= _MOST_NUMBERS:
            at = (cloud.distance_kpc, cloud.column_mag)
            axis.annotate(str(number), at, (4, 3), textcoords="offset points", fontsize=6.0)
    axis.set_xscale("log")
    axis.set_yscale("log")
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        scale.set_major_formatter("{x:g}")
        scale.set_minor_formatter(NullFormatter())
    axis.set_xlim(0.2, volume.distance.max_kpc)
    axis.set_xlabel("distance (kpc)")
    axis.set_ylabel(f"{volume.quantity} of a cloud (mag)")
    axis.grid(which="both")
    if clouds or walls is not None:
        axis.legend(loc="upper left")


def _draw_walls(axis, walls):
    tried = np.where(np.isfinite(walls.wall_mag), walls.wall_mag, np.inf)
    # The outermost go on to the edges of the figure.
    at_kpc = np.concatenate([[0.01], walls.distances_kpc, [1e3]])
    best, worst = (np.pad(edge, 1, mode="edge") for edge in (tried.min(axis=0), tried.max(axis=0)))
    top = 2.0 * walls.tried_mag[-1]
    text = "a wall below this is not found at 3 sigma, at the best place"
    axis.fill_between(at_kpc, 1e-3, np.minimum(best, top), color=MISSING, label=text, zorder=0)
    some = np.isfinite(worst)
    if some.any():
        axis.plot(at_kpc[some], worst[some], "--", color=COLORS[1], label="at the worst place")
    axis.set_ylim(0.5 * walls.tried_mag[0], top)
