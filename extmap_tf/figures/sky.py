"""A map on the sky, and cut in latitude. Estimate and truth side by side share one
colour scale. Grey is where there is no profile."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.figures.dust import rise_between
from extmap_tf.figures.layout import balanced, beside, colorbar, outer_labels, panels, scale
from extmap_tf.figures.marks import Clouds, clouds_inside, draw_clouds
from extmap_tf.figures.plane import PlaneView
from extmap_tf.figures.sky_view import PlateCarree, edges_of, sky_view
from extmap_tf.figures.style import STEPS, TWO_COLUMNS, cmap, styled
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map.volume import ExtinctionMap


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
    layers = np.stack([rise_between(one, edges_kpc) for one, _ in maps])
    view = sky_view(volume.grid)
    n_slices = len(edges_kpc) - 1
    if truth is not None:
        n_columns = 1 if n_slices == 1 and view.shape > 1.4 else 2
    else:
        n_columns = 1 if view.shape > 2.0 or width < TWO_COLUMNS else balanced(n_slices, 2)
    bars = n_columns if truth is None else 1
    figure, axes = panels(n_slices * len(maps), view.shape, n_columns, bars, width)
    for i in range(n_slices):
        norm, extend = scale(layers[..., i])
        near, far = edges_kpc[i : i + 2]
        here = {name: cloud for name, cloud in known.items() if near <= cloud.distance_kpc < far}
        row = axes[i * len(maps) : (i + 1) * len(maps)]
        for axis, layer, (_, title) in zip(row, layers[..., i], maps, strict=True):
            where = f"{near:.3g} to {far:.3g} kpc"
            mesh = view.draw(axis, layer, norm, colormaps["magma_r"], f"{title}, {where}")
            if here:
                at = [(cloud.l_deg, cloud.b_deg) for cloud in here.values()]
                draw_clouds(axis, np.array(view.place(*np.transpose(at))), list(here))
        colorbar(figure, mesh, row, f"{volume.quantity} (mag)", extend)
    narrow = isinstance(view, PlateCarree) and width < TWO_COLUMNS and n_columns > 1
    outer_labels(axes, *(("l (deg)", "b (deg)") if narrow else view.labels))
    return figure


@styled
def latitude_cuts(
    volume: ExtinctionMap,
    l_deg: Sequence[float] | None = None,
    truth: ExtinctionMap | None = None,
    width: float = TWO_COLUMNS,
) -> Figure:
    """The dust, as the rise of the column, against latitude and distance, at some longitudes.

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
    dust = [one.rise for one, _ in maps]
    layers, titles = [], []
    for l in _cut_longitudes(volume) if l_deg is None else l_deg:
        b_edges, drawn, index = cut_at(grid, float(l))
        place = np.unravel_index(np.maximum(index, 0), grid.shape)
        for layer, (_, title) in zip(dust, maps, strict=True):
            layers.append(np.where(index[:, None] >= 0, layer[place], np.nan))
            titles.append(f"{title}, l = {drawn % 360:g}°")
    norm, extend = scale(layers)
    n_columns = len(maps)
    shape = (2.6 if truth is not None else 4.0) * width / TWO_COLUMNS
    figure, axes = panels(len(layers), shape, n_columns, width=width)
    for axis, layer, title in zip(axes, layers, titles, strict=True):
        mesh = axis.pcolormesh(edges, b_edges, layer, norm=norm, cmap=cmap("magma_r"), rasterized=True)
        axis.set_title(title)
        axis.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    outer_labels(axes, "distance (kpc)", "b (deg)")
    colorbar(figure, mesh, axes, f"rise of {volume.quantity} with distance (mag/kpc)", extend)
    return figure


def cut_at(grid: SightlineGrid | HealpixGrid, l_deg: float) -> tuple[np.ndarray, float, np.ndarray]:
    """A cut at a longitude: edges in b [n + 1], the longitude that is drawn, sightlines [n], -1 without.

    Raises
    ------
    DataError
        The longitude is outside the grid.
    """
    if isinstance(grid, SightlineGrid):
        column = grid.sightline_of([l_deg], [grid.b_deg[0]])[0]
        index = column + grid.n_l * np.arange(grid.n_b)
        edges = edges_of(grid.b_deg, grid.step_deg)
        drawn = float(grid.l_deg[column])
    else:
        # Finer than the pixels, which lie askew.
        half = 0.5 * grid.field_deg
        low, high = max(grid.b_min_deg - half, -90.0), min(grid.b_max_deg + half, 90.0)
        edges = np.linspace(low, high, 4 * math.ceil((high - low) / grid.field_deg) + 1)
        index = grid.sightline_of(np.float64(l_deg), 0.5 * (edges[1:] + edges[:-1]))
        column, drawn = index.max(), l_deg
    if column < 0:
        raise DataError(f"longitude l = {l_deg:g} is outside the map")
    return edges, drawn, index


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
