"""Square fields in Galactic coordinates; intervals include their lower end and exclude their upper end."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from extmap_tf.bounds import Section, setting
from extmap_tf.errors import MismatchError, require
from extmap_tf.grids.regions import SkyRegion
from extmap_tf.grids.tiles import SquareTile

# Positions come with 6 decimals of a degree; the tolerance, in degrees, decides ties on a field's edge.
FIELD_TOLERANCE_DEG = 1e-9


@dataclass(frozen=True)
class SightlineGrid(Section):
    """A regular grid of square fields in Galactic coordinates, both ends of each range included.

    A field of side `field_deg` is centred on (l, b) and holds the stars with
    |(l* - l) cos b| and |b* - b| below half a side (lower edges inclusive). Fields overlap where
    `field_deg` exceeds `step_deg`.
    """

    rectangular: ClassVar[bool] = True

    l_min_deg: float = setting(doc="First Galactic longitude.", at_least=0, below=360)
    l_max_deg: float = setting(doc="Last Galactic longitude; may exceed 360 for a range across l = 0.")
    b_min_deg: float = setting(doc="First Galactic latitude.", above=-85)
    b_max_deg: float = setting(doc="Last Galactic latitude.", below=85)
    step_deg: float = setting(0.5, "Spacing in l and in b.", at_least=0.01, at_most=30)
    field_deg: float = setting(0.5, "Side of a field.", at_least=0.01, at_most=10)

    def check(self) -> None:
        require(self.l_min_deg <= self.l_max_deg, "l_max_deg", "not below l_min_deg", self)
        require(self.b_min_deg <= self.b_max_deg, "b_max_deg", "not below b_min_deg", self)
        require(
            self.l_max_deg - self.l_min_deg <= 360 - self.step_deg + 1e-9,
            "l_max_deg",
            "at most l_min_deg + 360 - step_deg: a sightline is in the grid once",
            self,
        )
        for low, high in (("l_min_deg", "l_max_deg"), ("b_min_deg", "b_max_deg")):
            steps = (getattr(self, high) - getattr(self, low)) / self.step_deg
            require(
                abs(steps - round(steps)) < 1e-6,
                high,
                "a whole number of steps from the first",
                self,
            )

    @property
    def n_l(self) -> int:
        return round((self.l_max_deg - self.l_min_deg) / self.step_deg) + 1

    @property
    def n_b(self) -> int:
        return round((self.b_max_deg - self.b_min_deg) / self.step_deg) + 1

    @property
    def shape(self) -> tuple[int, int]:
        """(n_b, n_l), the order of sky images."""
        return (self.n_b, self.n_l)

    @property
    def n_sightlines(self) -> int:
        return self.n_b * self.n_l

    @property
    def area_deg2(self) -> float:
        """Solid angle of one field."""
        return self.field_deg**2

    @cached_property
    def l_deg(self) -> np.ndarray:
        """Longitudes along the grid [n_l], ascending; those past 360 are not wrapped."""
        return self.l_min_deg + self.step_deg * np.arange(self.n_l)

    @cached_property
    def b_deg(self) -> np.ndarray:
        """Latitudes along the grid [n_b], ascending."""
        return self.b_min_deg + self.step_deg * np.arange(self.n_b)

    def summary(self) -> tuple[str, str]:
        """Lines of text: where, and how finely."""
        return (
            f"l {self.l_min_deg:g} to {self.l_max_deg:g}, b {self.b_min_deg:g} to {self.b_max_deg:g} deg",
            f"{self.n_l} x {self.n_b} fields of {self.field_deg:g} deg, every {self.step_deg:g} deg",
        )

    def centers_deg(self, index: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Centres (l, b) of the fields `index` [n], all by default; l in [0, 360), l varying fastest."""
        i_b, i_l = self._row_and_column(np.arange(self.n_sightlines) if index is None else index)
        return np.mod(self.l_deg, 360.0)[i_l], self.b_deg[i_b]

    def center_deg(self, index: int) -> tuple[float, float]:
        """Centre (l, b) of field `index`, as floats; l in [0, 360)."""
        i_b, i_l = divmod(index, self.n_l)
        return float(self.l_deg[i_l] % 360.0), float(self.b_deg[i_b])

    def fields_of(self, l_deg: ArrayLike, b_deg: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Which fields each position lies in.

        The cost per position depends on how many fields overlap, not on how many there are.

        Parameters
        ----------
        l_deg, b_deg : array_like [n]
            Galactic coordinates.

        Returns
        -------
        position, sightline : ndarray of int64 [n_matches]
            Index of the position and of the field; a position occurs once for each field it is in.
        """
        l_offset = np.mod(np.asarray(l_deg, float) - self.l_min_deg, 360.0)
        b_offset = np.asarray(b_deg, float) - self.b_min_deg
        half = 0.5 * self.field_deg
        cos_b = np.cos(np.radians(self.b_deg))
        positions, sightlines = [], []
        near_b, i_b = _nodes_near(b_offset, half, self.step_deg, self.n_b)
        x, half_l = l_offset[near_b], half / cos_b[i_b]
        # Fields at either end of the grid may reach across the seam of l_offset at 0 = 360.
        reach = half_l.max(initial=half) + self.step_deg
        last = self.step_deg * (self.n_l - 1)
        for turn, may in (
            (0.0, np.ones(x.size, bool)),
            (360.0, x > 360.0 - reach),
            (-360.0, x < last + reach - 360.0),
        ):
            near = np.flatnonzero(may)
            near_l, i_l = _nodes_near(x[near] - turn, half_l[near], self.step_deg, self.n_l)
            near = near[near_l]
            positions.append(near_b[near])
            sightlines.append(i_b[near] * self.n_l + i_l)
        return np.concatenate(positions), np.concatenate(sightlines)

    def place_in_field(
        self, sightline: np.ndarray, l_deg: np.ndarray, b_deg: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """How far positions [n] are across the fields `sightline` [n], from 0 to 1 along each side.

        Returns
        -------
        x, y : ndarray [n]
        """
        i_b, i_l = self._row_and_column(sightline)
        x = l_deg - np.mod(self.l_deg, 360.0)[i_l] + 180.0
        # The same as np.mod of angles in [0, 360), in a fifth of its time.
        x += 360.0 * (x < 0.0)
        x -= 360.0 * (x >= 360.0)
        x = (x - 180.0) * np.cos(np.radians(self.b_deg))[i_b]
        return x / self.field_deg + 0.5, (b_deg - self.b_deg[i_b]) / self.field_deg + 0.5

    def _row_and_column(self, index):
        """Indices along b and l; numpy's divmod takes several times as long."""
        index = np.asarray(index)
        i_b = index // self.n_l
        return i_b, index - i_b * self.n_l

    def sightline_of(self, l_deg: ArrayLike, b_deg: ArrayLike) -> np.ndarray:
        """Index of the sightline whose centre is nearest in l and in b; -1 further than half a step outside.

        Parameters
        ----------
        l_deg, b_deg : array_like [n]

        Returns
        -------
        ndarray of int64 [n]
        """
        half = 0.5 * self.step_deg
        edge = half + FIELD_TOLERANCE_DEG
        l_offset = np.mod(np.asarray(l_deg, float) - self.l_min_deg + edge, 360.0)
        b_offset = np.asarray(b_deg, float) - self.b_min_deg + edge
        i_l = np.floor(l_offset / self.step_deg)
        i_b = np.floor(b_offset / self.step_deg)
        if abs(self.n_l * self.step_deg - 360.0) < FIELD_TOLERANCE_DEG:
            i_l = np.mod(i_l, self.n_l)
        inside = (i_l >= 0) & (i_l < self.n_l) & (i_b >= 0) & (i_b < self.n_b)
        with np.errstate(invalid="ignore"):
            return np.where(inside, i_b * self.n_l + i_l, -1).astype(np.int64)

    def interpolation(self, l_deg: np.ndarray, b_deg: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """The sightlines to interpolate between, of positions inside the grid.

        Bilinear in l and b between the four centres around a position; constant in the outermost half step.

        Parameters
        ----------
        l_deg, b_deg : ndarray [n]

        Returns
        -------
        list of (ndarray of int64 [n], ndarray [n])
            Four times index and weight; the weights of a position add up to 1.
        """
        half = 0.5 * self.step_deg
        x = (np.mod(l_deg - self.l_min_deg + half, 360.0) - half) / self.step_deg
        y = (b_deg - self.b_min_deg) / self.step_deg
        closed = self.n_l * self.step_deg > 360.0 - 1e-6
        return [
            (i_b * self.n_l + i_l, weight_b * weight_l)
            for i_b, weight_b in _nodes_around(y, self.n_b)
            for i_l, weight_l in _nodes_around(x, self.n_l, closed)
        ]

    def neighbour_pairs(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Every pair of fields beside one another in l or in b whose stars are not the same.

        Returns
        -------
        first, second : ndarray of int64 [n_pairs]
            Indices of sightlines.
        steps : int
            How many steps apart they are: the fewest at which fields share no star.
        """
        steps = max(1, int(np.ceil(self.field_deg / self.step_deg - 1e-9)))
        index = np.arange(self.n_sightlines).reshape(self.shape)
        first = (index[:, :-steps].ravel(), index[:-steps].ravel())
        second = (index[:, steps:].ravel(), index[steps:].ravel())
        return np.concatenate(first), np.concatenate(second), steps

    def adjacent_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Every pair of sightlines one step apart in l or in b, once, also across the seam of a full circle.

        Returns
        -------
        first, second : ndarray of int64 [n_pairs]
        """
        index = np.arange(self.n_sightlines).reshape(self.shape)
        pairs = [(index[:, :-1], index[:, 1:]), (index[:-1], index[1:])]
        if self.n_l > 2 and abs(self.n_l * self.step_deg - 360.0) < FIELD_TOLERANCE_DEG:
            pairs.append((index[:, -1:], index[:, :1]))
        first, second = zip(*pairs, strict=True)
        return np.concatenate([i.ravel() for i in first]), np.concatenate([i.ravel() for i in second])

    def cells_deg2(self) -> np.ndarray:
        """Solid angle of the sky nearest to each sightline [n_sightlines]: without gaps or overlaps."""
        cells = self.step_deg**2 * np.cos(np.radians(self.b_deg))
        return np.repeat(cells, self.n_l)

    def nodes_deg(self, step_deg: float) -> list[tuple[float, float]]:
        """Positions that span the grid, its borders included, at most `step_deg` apart.

        Returns
        -------
        list of (float, float)
            l and b, distinct.
        """
        return sorted(
            {
                (round(float(l) % 360.0, 6), round(float(b), 6))
                for l in _spread(self.l_min_deg, self.l_max_deg, step_deg)
                for b in _spread(self.b_min_deg, self.b_max_deg, step_deg)
            }
        )

    def tiles(self, size_deg: float) -> list[SquareTile]:
        """Tiles `size_deg` wide, in rows and columns from the outermost fields' edges on.

        Where the fields go all around, so do the tiles, and once: they are a little narrower in l.
        """
        reach = 0.5 * self.field_deg
        cos_b = np.cos(np.radians(max(abs(self.b_min_deg), abs(self.b_max_deg))))
        first, last = self.l_min_deg - reach / cos_b, self.l_max_deg + reach / cos_b
        width_deg = size_deg
        if last - first + size_deg > 360.0:
            last, width_deg = first + 360.0, 360.0 / np.ceil(360.0 / size_deg - 1e-9)
        l = _steps(first, last, width_deg)
        b = _steps(self.b_min_deg - reach, self.b_max_deg + reach, size_deg)
        return [SquareTile(float(x), float(y), float(width_deg), size_deg) for y in b for x in l]

    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges in l of the columns [n_l + 1], not wrapped, and the column of each sightline."""
        return edges_of(self.l_deg, self.step_deg), np.arange(self.n_sightlines) % self.n_l

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges in b of the rows [n_b + 1], and the row of each sightline."""
        return edges_of(self.b_deg, self.step_deg), np.arange(self.n_sightlines) // self.n_l

    def cut(self, l_deg: float) -> tuple[np.ndarray, float, np.ndarray]:
        """Edges in b of the rows [n_b + 1], the longitude of the nearest column, its sightlines [n_b]."""
        edges, _ = self.rows()
        column = int(self.sightline_of([l_deg], [self.b_deg[0]])[0])
        if column < 0:
            return edges, l_deg, np.full(self.n_b, -1)
        return edges, float(self.l_deg[column]), column + self.n_l * np.arange(self.n_b)

    def within(self, region: SkyRegion) -> tuple["SightlineGrid", np.ndarray]:
        """The smallest grid with all sightlines in a region that holds one.

        Returns
        -------
        part : SightlineGrid
        index : ndarray of int64 [n_b, n_l]
            Of each of its sightlines in this grid.
        """
        inside = np.flatnonzero(region.contains(*self.centers_deg()))
        i_b, i_l = (np.arange(i.min(), i.max() + 1) for i in self._row_and_column(inside))
        l_deg, b_deg = self.l_deg[i_l], self.b_deg[i_b]
        turn = 360.0 * np.floor(l_deg[0] / 360.0)
        l_min, l_max = float(l_deg[0] - turn), float(l_deg[-1] - turn)
        part = SightlineGrid(l_min, l_max, float(b_deg[0]), float(b_deg[-1]), self.step_deg, self.field_deg)
        return part, i_b[:, None] * self.n_l + i_l

    @property
    def spacing(self) -> dict[str, float]:
        """What grids must have in common to be joined."""
        return {"step_deg": self.step_deg, "field_deg": self.field_deg}

    def offset_from(self, origin: "SightlineGrid") -> tuple[float, float]:
        """Steps in l (the shortest way) and in b from the first node of `origin` to this grid's."""
        l = (self.l_min_deg - origin.l_min_deg + 180.0) % 360.0 - 180.0
        return l / origin.step_deg, (self.b_min_deg - origin.b_min_deg) / origin.step_deg

    def require_joinable(self, other: "SightlineGrid", own_name: str, other_name: str) -> None:
        """Raise MismatchError, which names both, unless the sightlines are a whole number of steps apart."""
        for axis, steps in zip("lb", other.offset_from(self), strict=True):
            if abs(steps - round(steps)) > 1e-6:
                raise MismatchError(
                    f"the sightlines of {own_name} ({axis} from {getattr(self, f'{axis}_min_deg'):g}) and "
                    f"{other_name} (from {getattr(other, f'{axis}_min_deg'):g}) are not on one grid of "
                    f"{self.step_deg:g} deg: make both with sightlines a whole number of steps apart"
                )

    def joined(self, others: Sequence["SightlineGrid"]) -> "SightlineGrid":
        """The smallest grid that has all sightlines of this one and of others that are joinable."""
        offsets = [(grid, *grid.offset_from(self)) for grid in (self, *others)]
        low_l, low_b = round(min(l for _, l, _ in offsets)), round(min(b for _, _, b in offsets))
        high_l = max(round(l) + grid.n_l for grid, l, _ in offsets)
        high_b = max(round(b) + grid.n_b for grid, _, b in offsets)
        step = self.step_deg
        n_l = min(high_l - low_l, round(360.0 / step))
        l_min, b_min = (self.l_min_deg + low_l * step) % 360.0, self.b_min_deg + low_b * step
        l_max, b_max = l_min + (n_l - 1) * step, b_min + (high_b - low_b - 1) * step
        return SightlineGrid(l_min, l_max, b_min, b_max, step, self.field_deg)


def edges_of(centers: np.ndarray, step: float) -> np.ndarray:
    """Edges [n + 1] of cells with these centres [n]."""
    return np.append(centers - 0.5 * step, centers[-1] + 0.5 * step)


def sightline_name(l_deg: float, b_deg: float) -> str:
    """The name of a sightline, the same in records, tables and figures: ``l280.500b-03.250``."""
    return f"l{l_deg % 360.0:07.3f}b{b_deg + 0.0:+07.3f}"


def _nodes_near(offset, half, step, n):
    """Every pair of a position and one of `n` grid nodes with the offset in [-half, half) of the node's.

    Returns
    -------
    position, node : ndarray of int64 [n_pairs]
    """
    tolerance = FIELD_TOLERANCE_DEG
    # One node too many on either side: what decides is the offset from the node, below.
    # fmax takes a NaN as 0, and so it is near no node.
    first = np.fmin(np.fmax(np.ceil((offset - half) / step - 1.0), 0), n).astype(np.int64)
    end = np.fmin(np.fmax(np.floor((offset + half) / step + 2.0), 0), n).astype(np.int64)
    n_nodes = np.maximum(end - first, 0)
    position = np.repeat(np.arange(n_nodes.size), n_nodes)
    node = np.arange(position.size) - np.repeat(np.cumsum(n_nodes) - n_nodes - first, n_nodes)
    from_node = offset[position] - node * step
    half = np.broadcast_to(half, offset.shape)[position]
    inside = np.flatnonzero((from_node >= -half - tolerance) & (from_node < half - tolerance))
    return position[inside], node[inside]


def _nodes_around(x, n, closed=False):
    """Nodes below and above each `x` on a grid of `n` with their weights; held at the ends unless closed."""
    below = np.floor(x) if closed else np.clip(np.floor(x), 0, max(n - 2, 0))
    weight = np.clip(x - below, 0.0, 1.0)
    if n == 1:
        weight = np.zeros_like(weight)
    below = below.astype(int)
    above = below + 1
    return (below % n, 1.0 - weight), (above % n, weight)


def _spread(low, high, step):
    return np.linspace(low, high, max(2, int(np.ceil((high - low) / step - 1e-9)) + 1))


def _steps(low, high, size):
    return low + size * (np.arange(int(np.ceil((high - low) / size - 1e-9))) + 0.5)
