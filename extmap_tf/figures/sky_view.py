"""How sightlines are drawn on the sky: in rows and columns of l and b, or as HEALPix pixels, projected."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PathCollection
from matplotlib.colors import Colormap, Normalize, to_rgba
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator

from extmap_tf.figures.projection import Projection, projection_of
from extmap_tf.figures.style import MISSING, STEPS
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.sphere import shortest_range_deg
from extmap_tf.grids.squares import SightlineGrid

# Cells along the longer side of a projected view.
_N_CELLS = 900
# A strip that is longer, over its height, is stretched across.
_LONGEST = 8.0
_LINE_STEPS_DEG = (1, 2, 5, 10, 15, 30, 45, 60)
_INK = "#333333"


def sky_view(grid: SightlineGrid | HealpixGrid, n_cells: int = _N_CELLS) -> "PlateCarree | Projected":
    """The view of a grid: `PlateCarree`, or `Projected` with `n_cells` along the longer side."""
    return PlateCarree(grid) if isinstance(grid, SightlineGrid) else Projected(grid, n_cells)


class PlateCarree:
    """Rows and columns of l and b, stretched so that the middle row has its true shape; a long strip more.

    Attributes
    ----------
    shape : float
        Width over height.
    labels : (str, str)
        Of the axes.
    """

    def __init__(self, grid: SightlineGrid) -> None:
        self._grid = grid
        (self._l_edges, _), (self._b_edges, _) = grid.columns(), grid.rows()
        self._stretch = 1.0 / math.cos(math.radians(grid.b_deg.mean()))
        shape = np.ptp(self._l_edges) / np.ptp(self._b_edges) / self._stretch
        times = max(1, math.ceil(shape / _LONGEST))
        self._stretch *= times
        self.shape = shape / times
        stretched = f"; b is stretched {times} times" if times > 1 else ""
        self.labels = f"Galactic longitude l (deg){stretched}", "b (deg)"

    def draw(
        self, axis: Axes, layer: np.ndarray, norm: Normalize, cmap: Colormap, title: str
    ) -> ScalarMappable:
        """Draw a layer [*grid.shape] and return what a colour bar is for; NaN is grey."""
        cmap = cmap.with_extremes(bad=MISSING)
        mesh = axis.pcolormesh(self._l_edges, self._b_edges, layer, norm=norm, cmap=cmap, rasterized=True)
        axis.set(aspect=self._stretch, xlim=(self._l_edges[-1], self._l_edges[0]), title=title)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda l, _: f"{l % 360.0:g}"))
        axis.xaxis.set_major_locator(MaxNLocator(8 if self.shape > 1.5 else 5, steps=STEPS))
        axis.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
        return mesh

    def redraw(self, mesh: ScalarMappable, layer: np.ndarray) -> None:
        """Show another layer in what `draw` returned."""
        mesh.set_array(layer)

    def mark(self, axis: Axes, chosen: np.ndarray) -> PathCollection:
        """A dot on each chosen sightline, of bool [*grid.shape]."""
        i_b, i_l = np.nonzero(chosen)
        return _dots(axis, self._grid.l_deg[i_l], self._grid.b_deg[i_b])

    def place(self, l_deg: np.ndarray, b_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where positions [n] are on the page; across l = 0 the sector stays in one piece."""
        first = self._l_edges[0]
        return first + np.mod(np.asarray(l_deg) - first, 360.0), np.asarray(b_deg)


class Projected:
    """HEALPix pixels in a projection of equal areas, with lines of l and b.

    Attributes as for `PlateCarree`.
    """

    labels = ("", "")

    def __init__(self, grid: HealpixGrid, n_cells: int = _N_CELLS) -> None:
        self._grid = grid
        l_deg, b_deg = grid.centers_deg()
        self._projection = projection_of(l_deg, b_deg)
        self._extent = self._projection.extent_of(l_deg, b_deg, grid.field_deg)
        width, height = np.ptp(self._extent[:2]), np.ptp(self._extent[2:])
        self.shape = width / height
        cell = max(width, height) / n_cells
        self._across, self._up = (
            low + cell * (np.arange(math.ceil((high - low) / cell)) + 0.5)
            for low, high in (self._extent[:2], self._extent[2:])
        )
        self._index = grid.sightline_of(*self._projection.to_sky(self._across[None, :], self._up[:, None]))

    def draw(
        self, axis: Axes, layer: np.ndarray, norm: Normalize, cmap: Colormap, title: str
    ) -> ScalarMappable:
        """Draw a layer [*grid.shape] and return what a colour bar is for; NaN is grey, nothing outside."""
        inside, values = self._index >= 0, self._values(layer)
        how: dict[str, Any] = {"extent": self._extent, "origin": "lower", "interpolation": "nearest"}
        axis.imshow(np.where(inside[..., None], to_rgba(MISSING), 0.0), **how)
        image = axis.imshow(values, norm=norm, cmap=cmap.with_extremes(bad="none"), **how)
        lines, labels = self.lines()
        for line in lines:
            axis.plot(*line, color=_INK, linewidth=0.5, alpha=0.5)
        for x, y, text, outwards in labels:
            _text(axis, x, y, text, outwards)
        axis.set_axis_off()
        axis.set(aspect="equal", title=title)
        room = 0.06 * max(np.ptp(self._extent[:2]), np.ptp(self._extent[2:]))
        axis.set_xlim(self._extent[0] - room, self._extent[1] + room)
        axis.set_ylim(self._extent[2] - room, self._extent[3] + room)
        return image

    def redraw(self, mesh: ScalarMappable, layer: np.ndarray) -> None:
        """Show another layer in what `draw` returned."""
        mesh.set_array(self._values(layer))

    def _values(self, layer):
        inside = self._index >= 0
        return np.where(inside, np.asarray(layer)[np.where(inside, self._index, 0)], np.nan)

    def cells(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Centres of the cells in x [n_x] and y [n_y], and the sightline of each [n_y, n_x], -1 for none."""
        return self._across, self._up, self._index

    def lines(self) -> "tuple[list[np.ndarray], list[Label]]":
        """Lines of l and b [2, n] on the page, and their labels."""
        return _lines_around(self._projection, *self._grid.centers_deg(), 0.5 * self._grid.field_deg)

    def mark(self, axis: Axes, chosen: np.ndarray) -> PathCollection:
        """A dot on each chosen sightline, of bool [*grid.shape]."""
        return _dots(axis, *self.place(*self._grid.centers_deg(np.flatnonzero(chosen))))

    def place(self, l_deg: np.ndarray, b_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where positions [n] are on the page."""
        return self._projection.to_plane(l_deg, b_deg)


Label = tuple[float, float, str, bool]
"""x and y on the page, text, and whether it stands away from the middle."""


def _lines_around(
    projection: Projection, l_deg: np.ndarray, b_deg: np.ndarray, margin_deg: float
) -> tuple[list[np.ndarray], list[Label]]:
    """Lines of l and b around positions [n], `margin_deg` further in b, and their labels."""

    def page(l_deg, b_deg):
        return np.array(projection.to_plane(*np.broadcast_arrays(l_deg, b_deg)))

    def label(l_deg, b_deg, text, outwards):
        x, y = page(np.float64(l_deg), np.float64(b_deg))
        labels.append((float(x), float(y), text, outwards))

    lines: list[np.ndarray] = []
    labels: list[Label] = []
    low_l, high_l = shortest_range_deg(l_deg)
    low_b, high_b = b_deg.min(), b_deg.max()
    whole = projection.whole
    if whole:
        low_l, high_l, low_b, high_b = -180.0, 180.0, -90.0, 90.0
    polar = projection.at_a_pole
    step_l, step_b = _line_step(high_l - low_l, 8), _line_step(high_b - low_b, 6)
    along_b = np.linspace(max(low_b - margin_deg, -90.0), min(high_b + margin_deg, 90.0), 181)
    along_l = np.linspace(low_l, high_l, 721)
    # A meridian's label stands at its end away from the pole, or below; on the whole sky, on the equator.
    at_b = 0.0 if whole else along_b[-1] if polar and high_b <= 0 else along_b[0]
    for l in _multiples(step_l, low_l, high_l):
        lines.append(page(l, along_b))
        # The ends of a full turn are one place.
        if high_l - low_l < 360.0 or l < high_l - 1e-9:
            label(l, at_b, f"{l % 360.0:g}°", not whole)
    for b in _multiples(step_b, low_b, high_b):
        if abs(b) == 90.0:
            continue
        lines.append(page(along_l, b))
        if not (whole and b == 0.0):
            at_l = low_l + 0.5 * step_l if polar else high_l
            label(at_l, b, f"{b:+g}°", not polar)
    return lines, labels


def _multiples(step, low, high):
    return step * np.arange(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)


def _text(axis, x, y, text, outwards):
    away = np.array([x, y])
    shift = 9.0 * away / max(np.hypot(*away), 1e-9) if outwards else (0.0, 0.0)
    axis.annotate(
        text,
        (x, y),
        shift,
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=6.5,
        color=_INK,
        path_effects=[withStroke(linewidth=1.5, foreground="white")],
        annotation_clip=False,
    )


def _dots(axis, x, y):
    return axis.scatter(x, y, s=4, color="white", edgecolors="black", linewidths=0.6)


def _line_step(span_deg, n):
    return next((step for step in _LINE_STEPS_DEG if step * n >= span_deg), _LINE_STEPS_DEG[-1])
