"""The view from above the plane: where it lies, what is averaged, and its picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from extmap_tf.errors import ConfigError
from extmap_tf.figures.dust import IN_STEPS, UNSURE_TITLE, half_interval_in_steps, rise_in_steps
from extmap_tf.figures.layout import beside, colorbar, outer_labels, scale
from extmap_tf.figures.marks import Clouds, clouds_inside, draw_arms, draw_clouds_from_above
from extmap_tf.figures.style import COLORS, PAGE_HEIGHT, STEPS, TWO_COLUMNS, cmap, styled
from extmap_tf.galaxy.arms import SUN_RADIUS_KPC, SpiralArm
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.sky import SkyGrid
from extmap_tf.map.volume import ExtinctionMap

# What a view from above is of where a grid may be anywhere on the sky.
NEAR_THE_PLANE_DEG = 10.0

# A sector narrower than this is a diagonal sliver unless it is turned into the frame.
NARROW_DEG = 40.0

# A frame is at least this high for its width; a narrower wedge is stretched across.
_LEAST_HEIGHT = 0.25

# Room in inches for labels at the outer edge, and below.
_BESIDE, _BELOW = 0.55, 0.2

_SUN = COLORS[4]


def reaches_the_plane(grid: SkyGrid) -> bool:
    """Whether `face_on` has something to draw by default."""
    _, b_deg = grid.centers_deg()
    return grid.rectangular or bool((np.abs(b_deg) <= NEAR_THE_PLANE_DEG).any())


@dataclass(frozen=True, eq=False)
class PlaneView:
    """Columns of longitude, seen from above, and the sightlines of each.

    Parameters
    ----------
    l_edges : ndarray [n_columns + 1]
        Degrees, ascending, not wrapped.
    column : ndarray of int [n_sightlines]
    distance : DistanceGrid
    """

    l_edges: np.ndarray
    column: np.ndarray
    distance: DistanceGrid

    @classmethod
    def of(cls, volume: ExtinctionMap) -> "PlaneView":
        """That of a map: its columns; of HEALPix pixels, columns as wide as these are on the equator."""
        return cls(*volume.grid.columns(), volume.distance)

    @property
    def turned(self) -> bool:
        """Whether the sector is drawn along the frame."""
        return bool(np.ptp(self.l_edges) < NARROW_DEG)

    @property
    def l_right(self) -> float:
        """The longitude that points to the right: the middle of a narrow sector, else the Galactic centre."""
        return 0.5 * (self.l_edges[0] + self.l_edges[-1]) if self.turned else 0.0

    def mean(self, layer: np.ndarray, counted: np.ndarray) -> np.ndarray:
        """Mean over each column's sightlines: [n_columns, n_distances], NaN where there is none.

        Parameters
        ----------
        layer : ndarray [*sky, n_distances]
        counted : ndarray of bool [n_sightlines, n_distances]
            What counts; NaN never does.
        """
        values = np.asarray(layer, float).reshape(self.column.size, -1)
        counted = counted & np.isfinite(values)
        number, total = np.zeros((2, self.l_edges.size - 1, self.distance.n_distances))
        np.add.at(number, self.column, counted)
        np.add.at(total, self.column, np.where(counted, values, 0.0))
        return np.where(number > 0, total / np.maximum(number, 1), np.nan)

    def cells_at(self, x_kpc: np.ndarray, y_kpc: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Column and bin of places [...], x towards the Galactic centre and y towards l = 90 deg, and whether
        they are inside."""
        l_deg, d_kpc = np.degrees(np.arctan2(y_kpc, x_kpc)), np.hypot(x_kpc, y_kpc)
        turn = np.mod(l_deg - self.l_edges[0], 360.0)
        step = self.l_edges[1] - self.l_edges[0]
        column, k = (turn / step).astype(int), (d_kpc / self.distance.step_kpc).astype(int)
        n_columns = self.l_edges.size - 1
        inside = (column < n_columns) & (d_kpc < self.distance.max_kpc)
        return np.minimum(column, n_columns - 1), np.minimum(k, self.distance.n_distances - 1), inside

    def towards(self, l_deg: np.ndarray | float) -> np.ndarray:
        """Unit vectors [2, ...] of longitudes on the page."""
        angle = np.radians(np.asarray(l_deg) - self.l_right)
        return np.array([np.cos(angle), np.sin(angle)])


def near_the_plane(
    volume: ExtinctionMap, b_max_deg: float | None = None, z_max_kpc: float | None = None
) -> np.ndarray:
    """What a view from above averages: bool [n_sightlines, n_distances]; parameters as for `face_on`."""
    grid = volume.grid
    if b_max_deg is None and not grid.rectangular:
        b_max_deg = NEAR_THE_PLANE_DEG
    _, b_deg = grid.centers_deg()
    chosen = np.full(b_deg.shape, True) if b_max_deg is None else np.abs(b_deg) <= b_max_deg + 1e-9
    z_kpc = np.sin(np.radians(b_deg))[:, None] * volume.distance.centers_kpc
    near = chosen[:, None] & (np.abs(z_kpc) <= (np.inf if z_max_kpc is None else z_max_kpc))
    if not near.any():
        raise ConfigError(
            f"no sightline within b_max_deg = {b_max_deg}, z_max_kpc = {z_max_kpc}: the map has b "
            f"{grid.b_min_deg:g} to {grid.b_max_deg:g} deg; widen them"
        )
    return near


@styled
def face_on(
    volume: ExtinctionMap,
    b_max_deg: float | None = None,
    z_max_kpc: float | None = None,
    truth: ExtinctionMap | None = None,
    arms: Sequence[SpiralArm] = (),
    clouds: Clouds | None = None,
    width: float = TWO_COLUMNS,
) -> Figure:
    """The dust seen from above the plane, averaged over the sightlines at each longitude and distance.

    The dust is the rise of the column, in steps (`extmap_tf.figures.dust`); of a map with a distribution,
    half the 68 % interval of that is drawn beside, in the same colours. A cell lies at its heliocentric
    distance d along the sightline, (d cos l, d sin l): circles are of one distance at every latitude. The
    Galactic centre is to the right. A narrow sector is turned to lie along the frame, which is cut to it and
    stretched across where it would be a sliver; the axes say so.

    Parameters
    ----------
    volume : ExtinctionMap
    b_max_deg : float, optional
        Only sightlines with abs(b) up to this; of HEALPix pixels by default `NEAR_THE_PLANE_DEG`.
    z_max_kpc : float, optional
        Only bins whose centre is up to this far from the plane through the Sun.
    truth : ExtinctionMap, optional
        Drawn beside, on the same colour scale.
    arms : sequence of extmap_tf.galaxy.arms.SpiralArm
        Draw these spiral arms, with their names.
    clouds : mapping of str to extmap_tf.compare.published_clouds.TableCloud, optional
        Draw those that are inside the map.
    width : float
        Of the page, inches.
    """
    view, near = PlaneView.of(volume), near_the_plane(volume, b_max_deg, z_max_kpc)
    maps = beside(volume, truth)
    layers = [view.mean(rise_in_steps(one), near) for one, _ in maps]
    titles = [f"{title}: dust seen from above" for _, title in maps]
    norm, extend = scale(layers)
    if volume.percentiles:
        layers.append(view.mean(half_interval_in_steps(volume), near))
        titles.append(f"{UNSURE_TITLE} in one sightline")
    frame, known = _Frame.of(view, width), clouds_inside(volume, clouds)
    figure, axes = frame.figure(len(layers))
    x, y = volume.distance.edges_kpc * view.towards(view.l_edges)[..., None]
    for axis, layer, title in zip(axes, layers, titles, strict=True):
        mesh = axis.pcolormesh(x, y, layer, norm=norm, cmap=cmap("magma_r"), rasterized=True)
        axis.set(aspect=frame.stretch, xlim=frame.x, ylim=frame.y, title=title)
        _draw_polar_marks(axis, view, frame)
        draw_clouds_from_above(axis, known, view.towards)
        draw_arms(axis, arms, view.towards, frame.inches)
    outer_labels(axes, *_axis_labels(view, frame))
    label = f"rise of {volume.quantity} with distance (mag/kpc),\n{IN_STEPS}"
    colorbar(figure, mesh, axes, label, extend)
    return figure


@dataclass(frozen=True)
class _Frame:
    """Limits of the panels in kpc, by how much they are stretched, and their size in inches."""

    x: tuple[float, float]
    y: tuple[float, float]
    stretch: float
    page: float
    width: float
    arrow: np.ndarray | None

    @classmethod
    def of(cls, view: PlaneView, page: float) -> Self:
        around = view.distance.max_kpc * view.towards(np.linspace(view.l_edges[0], view.l_edges[-1], 181))
        x, y = np.append(around[0], 0.0), np.append(around[1], 0.0)
        if view.turned:
            width = page - 1.6
            reach = np.ptp(x)
            least = _LEAST_HEIGHT * (1.0 if page >= TWO_COLUMNS else 2.0)
            stretch = max(1.0, least * reach / np.ptp(y))
            stretch = math.ceil(2.0 * stretch) / 2.0 if stretch > 1.0 else 1.0
            # Inches to kpc, along and across.
            kpc = reach / (width - _BESIDE - 0.2)
            across = kpc / stretch
            limits = (-0.2 * kpc, reach + _BESIDE * kpc), (y.min() - _BELOW * across, y.max() + 0.06 * across)
            return cls(*limits, stretch, page, width, None)
        reach = max(np.ptp(x), np.ptp(y))
        arrow = 0.12 * reach * view.towards(0.0)
        ends = np.array([[x.min(), y.min()], [x.max(), y.max()], arrow])
        low, high = ends.min(axis=0), ends.max(axis=0)
        width = 0.5 * (page - 1.4) if page >= TWO_COLUMNS else page - 1.4
        # Room for the labels around, in inches.
        margin = np.array([0.52, 0.28]) * (high - low)[0] / (width - 1.04)
        low, high = low - margin, high + margin
        return cls((low[0], high[0]), (low[1], high[1]), 1.0, page, width, arrow)

    @property
    def shape(self):
        return np.ptp(self.x) / (np.ptp(self.y) * self.stretch)

    @property
    def inches(self):
        """Of a kpc, in x and in y."""
        return self.width / np.ptp(self.x) * np.array([1.0, self.stretch])

    def figure(self, n):
        """A figure and `n` panels."""
        n_columns = 1 if self.shape > 1.8 or self.page < TWO_COLUMNS else min(n, 2)
        n_rows = math.ceil(n / n_columns)
        width = min(self.width, (PAGE_HEIGHT / n_rows - 0.4) * self.shape)
        size = (1.3 + n_columns * (width + 0.1), 0.6 + n_rows * (width / self.shape + 0.35))
        figure = Figure(figsize=size, layout="compressed")
        axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).ravel()
        for spare in axes[n:]:
            spare.set_axis_off()
        return figure, axes[:n]


def _axis_labels(view, frame):
    if not view.turned:
        return "x (kpc), towards the Galactic centre", "y (kpc), towards l = 90°"
    stretched = f", stretched {frame.stretch:g} times" if frame.stretch > 1.0 else ""
    along = f"distance along l = {view.l_right % 360:g}° (kpc)"
    return f"{along}\nacross it, l increases upwards{stretched}", "across (kpc)"


def _draw_polar_marks(axis, view, frame):
    """Distance circles, longitudes, the Sun and, in the Galactic frame, the direction of its centre."""
    low, high, max_kpc = view.l_edges[0], view.l_edges[-1], view.distance.max_kpc
    around = view.towards(np.linspace(low, high, 361))
    closed = high - low > 359.0
    # Beside the sector's edge; a full circle has none, and l = 225 is away from every other label.
    start, beside_it = (225.0, view.towards(225.0)) if closed else (low, view.towards(low - 90.0))
    if view.turned:
        beside_it = np.array([0.0, -1.0])
    n_circles = 5 if frame.page >= TWO_COLUMNS else 3
    for radius in MaxNLocator(n_circles, steps=STEPS).tick_values(0.0, max_kpc):
        if 0 < radius <= max_kpc * (1 + 1e-9):
            axis.plot(*radius * around, color="black", linewidth=0.5, alpha=0.5)
            _label(axis, f"{radius:g} kpc", radius * view.towards(start), beside_it)
    # Room for the labels at the outer edge: below one another, or around.
    room = (0.28 / frame.stretch if view.turned else 0.45) * np.ptp(frame.x) / frame.width
    apart = max((high - low) / 6.5, math.degrees(room / max_kpc))
    step = next((s for s in (0.5, 1, 2, 5, 10, 15, 20, 30, 45) if s >= apart), 60)
    for l in np.arange(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1) * step:
        toward = view.towards(l)
        axis.plot(*np.outer(toward, [0.0, max_kpc]), color="black", linewidth=0.5, alpha=0.25)
        if l - low < 360.0 - 0.5 * step:
            outwards = np.array([1.0, 0.0]) if view.turned else toward
            _label(axis, f"l = {l % 360:g}°", max_kpc * toward, outwards)
    axis.plot(
        0.0, 0.0, marker="o", color=_SUN, markeredgecolor="black", markersize=5, zorder=7, clip_on=False
    )
    if view.turned:
        _label(axis, "Sun", (0.0, 0.0), np.array([0.0, 1.0]))
        return
    style = {"arrowstyle": "-|>", "color": "black", "shrinkA": 4, "shrinkB": 0, "linewidth": 0.8}
    style["path_effects"] = [withStroke(linewidth=2.5, foreground="white")]
    ahead = frame.arrow / np.hypot(*frame.arrow)
    if max_kpc > SUN_RADIUS_KPC and low <= 360.0 * math.ceil(low / 360.0) <= high:
        # It is in the map.
        axis.plot(*(SUN_RADIUS_KPC * ahead), marker="+", color="black", markersize=7, zorder=7)
        _label(axis, "Galactic\ncentre", SUN_RADIUS_KPC * ahead, np.array([0.0, -1.0]))
    else:
        axis.annotate("", frame.arrow, (0.0, 0.0), arrowprops=style)
        _label(axis, "Galactic\ncentre", frame.arrow, ahead)
    # Beside the Sun, where neither the sector nor the arrow is.
    away = -(around[:, 180] + ahead)
    _label(axis, "Sun", (0.0, 0.0), away / max(np.hypot(*away), 1e-6))


def _label(axis, text, place, toward):
    """Text beside `place`, shifted in the direction `toward`."""
    horizontal = "left" if toward[0] > 0.5 else "right" if toward[0] < -0.5 else "center"
    vertical = "bottom" if toward[1] > 0.5 else "top" if toward[1] < -0.5 else "center"
    box = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.7}
    how = {"textcoords": "offset points", "ha": horizontal, "va": vertical, "fontsize": 6.5, "bbox": box}
    axis.annotate(text, place, 4.0 * np.asarray(toward), zorder=6, **how)
