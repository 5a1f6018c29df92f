"""A map on the sky, and cut in latitude. Estimate and truth side by side share one
colour scale. Grey is where there is no profile."""

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.figures.dust import (
    IN_STEPS,
    UNSURE_TITLE,
    half_interval_between,
    half_interval_in_steps,
    rise_between,
    rise_in_steps,
)
from extmap_tf.figures.layout import (
    balanced,
    beside,
    colorbar,
    doubtful_fields,
    outer_labels,
    panels,
    scale,
    tell_doubtful,
)
from extmap_tf.figures.marks import Clouds, clouds_inside, draw_clouds
from extmap_tf.figures.plane import PlaneView
from extmap_tf.figures.sky_view import PlateCarree, sky_view
from extmap_tf.figures.style import STEPS, TWO_COLUMNS, cmap, styled
from extmap_tf.map.volume import ExtinctionMap

# Panels are not smaller than this, inches; else those of uncertainty are left out.
_LEAST_WIDTH, _LEAST_HEIGHT = 1.5, 0.55


@styled
def sky(
    volume: ExtinctionMap,
    d_max_kpc: float | None = None,
    truth: ExtinctionMap | None = None,
    clouds: Clouds | None = None,
    width: float = TWO_COLUMNS,
) -> Figure:
    """Extinction from the Sun to a distance on the sky, l increasing to the left.

    Parameters
    ----------
    volume : ExtinctionMap
    d_max_kpc : float, optional
        The last distance if left out.
    truth : ExtinctionMap, optional
        Drawn beside, on the same colour scale.
    clouds : mapping of str to extmap_tf.compare.published_clouds.TableCloud, optional
        Draw those that are inside the map and nearer.
    width : float
        Of the page, inches.
    """
    d_max_kpc = volume.distance.max_kpc if d_max_kpc is None else d_max_kpc
    return _sky(volume, truth, _ascending(volume, (0.0, d_max_kpc)), clouds, width)


@styled
def slices(
    volume: ExtinctionMap,
    edges_kpc: Sequence[float],
    truth: ExtinctionMap | None = None,
    clouds: Clouds | None = None,
    width: float = TWO_COLUMNS,
) -> Figure:
    """Extinction in slices of distance on the sky, each on a colour scale of its own.

    Parameters
    ----------
    volume : ExtinctionMap
    edges_kpc : sequence of float [n + 1]
        Of the slices, ascending.
    truth : ExtinctionMap, optional
        Drawn beside, on the same colour scale.
    clouds : mapping of str to extmap_tf.compare.published_clouds.TableCloud, optional
        Draw those that are inside the map, each in its slice.
    width : float
        Of the page, inches.
    """
    return _sky(volume, truth, _ascending(volume, edges_kpc), clouds, width)


def _sky(volume, truth, edges_kpc, clouds, width):
    maps, known = beside(volume, truth), clouds_inside(volume, clouds)
    view, doubtful = sky_view(volume.grid), doubtful_fields(volume)
    layers, titles = [rise_between(one, edges_kpc) for one, _ in maps], [title for _, title in maps]
    half = _half_intervals(volume, edges_kpc, len(maps), view.shape, width)
    if half is not None:
        layers.append(half)
        titles.append(UNSURE_TITLE)
    n_slices, n_beside = len(edges_kpc) - 1, len(layers)
    if n_beside > 1:
        n_columns, bars = 1 if _stacked(n_slices, view.shape) else n_beside, 1
    else:
        n_columns = bars = 1 if view.shape > 2.0 or width < TWO_COLUMNS else balanced(n_slices, 2)
    figure, axes = panels(n_slices * n_beside, view.shape, n_columns, bars, width)
    for i, (near, far) in enumerate(itertools.pairwise(edges_kpc)):
        row = axes[i * n_beside : (i + 1) * n_beside]
        norm, extend = scale([layer[..., i] for layer in layers[: len(maps)]], ~doubtful)
        for axis, layer, title in zip(row, layers, titles, strict=True):
            where = "" if title == UNSURE_TITLE else f", {near:.3g} to {far:.3g} kpc"
            mesh = view.draw(axis, layer[..., i], norm, colormaps["magma_r"], title + where)
            if title != UNSURE_TITLE:
                _draw_clouds_between(axis, view, known, near, far)
        colorbar(figure, mesh, row, f"{volume.quantity} (mag)", extend)
        if doubtful.any():
            # Not on the truth.
            marks = [view.mark(axis, doubtful) for axis in (row[0], *row[len(maps) :])]
    if doubtful.any():
        tell_doubtful(figure, marks[0])
    narrow = isinstance(view, PlateCarree) and n_columns > (1 if width < TWO_COLUMNS else 2)
    outer_labels(axes, *(("l (deg)", "b (deg)") if narrow else view.labels))
    return figure


def _half_intervals(volume, edges_kpc, n_maps, shape, width):
    """Half of the 68 % intervals of slices; None if they are not known, or there is no room for them."""
    panel = (width - 1.2) / (n_maps + 1) - 0.1
    fits = panel > _LEAST_WIDTH and panel / shape > _LEAST_HEIGHT
    room = fits or _stacked(len(edges_kpc) - 1, shape)
    return half_interval_between(volume, edges_kpc) if room else None


def _stacked(n_slices, shape):
    """Whether what belongs together stands above one another."""
    return n_slices == 1 and shape > 1.4


def _draw_clouds_between(axis, view, clouds, near_kpc, far_kpc):
    here = {name: cloud for name, cloud in clouds.items() if near_kpc <= cloud.distance_kpc < far_kpc}
    if here:
        at = [(cloud.l_deg, cloud.b_deg) for cloud in here.values()]
        draw_clouds(axis, np.array(view.place(*np.transpose(at))), list(here))


def latitude_cuts(
    volume: ExtinctionMap,
    l_deg: Sequence[float] | None = None,
    truth: ExtinctionMap | None = None,
    width: float = TWO_COLUMNS,
) -> Figure:
    """The dust against latitude and distance, at some longitudes: the rise of the column, in steps.

    Beside it, of a map with a distribution, is half of its 68 % interval in the same colours.

    Parameters
    ----------
    volume : ExtinctionMap
    l_deg : sequence of float, optional
        Longitudes, in degrees: the nearest of the grid are drawn, or the HEALPix pixels they run through. By
        default up to four, evenly spread.
    truth : ExtinctionMap, optional
        Drawn beside, on the same colour scale.
    width : float
        Of the page, inches.
    """
    grid, edges = volume.grid, volume.distance.edges_kpc
    maps = beside(volume, truth)
    dust, names = [rise_in_steps(one) for one, _ in maps], [title for _, title in maps]
    if volume.percentiles and (truth is None or width >= TWO_COLUMNS):
        dust.append(half_interval_in_steps(volume))
        names.append(UNSURE_TITLE)
    layers, titles = [], []
    for l in _cut_longitudes(volume) if l_deg is None else l_deg:
        b_edges, drawn, index = grid.cut(float(l))
        if index.max() < 0:
            raise DataError(f"longitude l = {l:g} is outside the map")
        place = np.unravel_index(np.maximum(index, 0), grid.shape)
        for layer, title in zip(dust, names, strict=True):
            layers.append(np.where(index[:, None] >= 0, layer[place], np.nan))
            titles.append(title if title == UNSURE_TITLE else f"{title}, l = {drawn % 360:g}°")
    n_columns = len(names)
    norm, extend = scale([layer for i, layer in enumerate(layers) if i % n_columns < len(maps)])
    shape = (4.0, 2.6, 1.8)[n_columns - 1] * width / TWO_COLUMNS
    figure, axes = panels(len(layers), shape, n_columns, width=width)
    for axis, layer, title in zip(axes, layers, titles, strict=True):
        mesh = axis.pcolormesh(edges, b_edges, layer, norm=norm, cmap=cmap("magma_r"), rasterized=True)
        axis.set_title(title)
        axis.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    outer_labels(axes, "distance (kpc)", "b (deg)")
    colorbar(figure, mesh, axes, f"rise of {volume.quantity} with distance (mag/kpc), {IN_STEPS}", extend)
    return figure


def _ascending(volume, edges_kpc):
    edges = np.asarray(edges_kpc, float)
    last = volume.distance.max_kpc * (1.0 + 1e-9)
    if len(edges) < 2 or edges[0] < 0 or edges[-1] > last or not (np.diff(edges) > 0).all():
        raise ConfigError(
            f"distances of a sky view must ascend within 0 to {volume.distance.max_kpc:g} kpc, "
            f"got: {edges.tolist()}"
        )
    return edges


def _cut_longitudes(volume):
    """Up to four longitudes, evenly spread over those with a profile."""
    if not volume.has_profile.any():
        raise DataError("no sightline of the map has a profile: nothing to draw")
    good = volume.has_profile.ravel()
    # Through a sightline of the column, which its middle may miss at the edge of a region.
    known, first = np.unique(PlaneView.of(volume).column[good], return_index=True)
    n = min(4, known.size)
    l_deg, _ = volume.grid.centers_deg(np.flatnonzero(good)[first])
    return l_deg[((np.arange(n) + 0.5) / n * known.size).astype(int)]
