"""A grid of sightlines that are HEALPix pixels: even over all of the sky, the poles included.

It answers as `extmap_tf.grids.squares.SightlineGrid` does, and what works on one works on the other. Pixels
are numbered in the nested scheme, in Galactic coordinates (Górski et al. 2005, ApJ 622, 759).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from extmap_tf.bounds import Section, setting
from extmap_tf.errors import require
from extmap_tf.grids.healpix_pixels import (
    SIDE_DEG,
    angles,
    pixel_centers_deg,
    pixel_of,
    pixels_where,
    smallest_nside,
)
from extmap_tf.grids.regions import SkyRegion
from extmap_tf.grids.sphere import shortest_range_deg
from extmap_tf.grids.tiles import PixelTile

MAX_SIGHTLINES = 5_000_000

# Of the eight neighbours that astropy_healpix gives, those that share an edge.
_EDGES = (0, 2, 4, 6)


@dataclass(frozen=True)
class HealpixGrid(Section):
    """Fields that are HEALPix pixels: all whose centres lie in one region or another, in ascending order.

    Fields do not overlap, and have equal areas.
    """

    rectangular: ClassVar[bool] = False

    nside: int = setting(doc="A power of two, 8 to 4096; a pixel's side is about 58.6 deg / nside.")
    regions: tuple[SkyRegion, ...] = setting((SkyRegion(),), "By default all of the sky.")

    def check(self) -> None:
        power = self.nside > 0 and not self.nside & (self.nside - 1)
        require(power and 8 <= self.nside <= 4096, "nside", "a power of two, 8 to 4096", self)
        require(1 <= len(self.regions) <= 99, "regions", "1 to 99 of them, or left out", self)
        few = f"such that at most {MAX_SIGHTLINES:,} pixels are in the regions"
        require(self.n_sightlines <= MAX_SIGHTLINES, "nside", few, self)
        some = "such that the centre of a pixel is in a region"
        require(self.n_sightlines > 0, "nside", some, self)

    @property
    def pixels(self) -> np.ndarray:
        """Numbers of the pixels, nested and ascending: ndarray of int64 [n_sightlines]."""
        return _pixels_in(self.nside, self.regions)

    @property
    def n_regions(self) -> int:
        return len(self.regions)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_sightlines,): the sky has one axis here."""
        return (self.n_sightlines,)

    @property
    def n_sightlines(self) -> int:
        return self.pixels.size

    @property
    def area_deg2(self) -> float:
        """Solid angle of one field."""
        return self.field_deg**2

    @property
    def field_deg(self) -> float:
        """Side of a square of a field's area."""
        return SIDE_DEG / self.nside

    @property
    def l_min_deg(self) -> float:
        """First longitude of the shortest range that all sightlines are in."""
        return _box_deg(self)[0]

    @property
    def l_max_deg(self) -> float:
        """Last longitude; exceeds 360 where the range is across l = 0."""
        return _box_deg(self)[1]

    @property
    def b_min_deg(self) -> float:
        """Least latitude of a sightline."""
        return _box_deg(self)[2]

    @property
    def b_max_deg(self) -> float:
        """Largest latitude of a sightline."""
        return _box_deg(self)[3]

    def summary(self) -> tuple[str, str]:
        """Lines of text: where, and how finely."""
        return (
            "; ".join(map(str, self.regions)),
            f"{self.n_sightlines:,} HEALPix pixels of nside {self.nside} (nested, Galactic), "
            f"{self.area_deg2:.4g} deg2 each",
        )

    def centers_deg(self, index: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Centres (l, b) of the fields `index` [n], all by default; l in [0, 360)."""
        return pixel_centers_deg(self.pixels if index is None else self.pixels[index], self.nside)

    def center_deg(self, index: int) -> tuple[float, float]:
        """Centre (l, b) of field `index`, as floats; l in [0, 360)."""
        l_deg, b_deg = self.centers_deg([index])
        return float(l_deg[0]), float(b_deg[0])

    def fields_of(self, l_deg: ArrayLike, b_deg: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Which field each position lies in, as `SightlineGrid.fields_of`: here at most one.

        Parameters
        ----------
        l_deg, b_deg : array_like [n]
            Galactic coordinates.

        Returns
        -------
        position, sightline : ndarray of int64 [n_matches]
        """
        sightline = self.sightline_of(l_deg, b_deg)
        position = np.flatnonzero(sightline >= 0)
        return position, sightline[position]

    def place_in_field(
        self, sightline: np.ndarray, l_deg: np.ndarray, b_deg: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """How far positions [n] are across their field, from 0 to 1 along each of its two sides.

        Returns
        -------
        x, y : ndarray [n]
        """
        _, x, y = pixel_of(l_deg, b_deg, self.nside, return_offsets=True)
        return x, y

    def sightline_of(self, l_deg: ArrayLike, b_deg: ArrayLike) -> np.ndarray:
        """Index of the sightline in whose pixel each position is; -1 outside.

        Parameters
        ----------
        l_deg, b_deg : array_like [n]

        Returns
        -------
        ndarray of int64 [n]
        """
        l_deg, b_deg = np.broadcast_arrays(np.asarray(l_deg, float), np.asarray(b_deg, float))
        known = np.isfinite(l_deg) & (np.abs(b_deg) <= 90.0)
        pixel = pixel_of(np.where(known, l_deg, 0.0), np.where(known, b_deg, 0.0), self.nside)
        return np.where(known, self._index_of(pixel), -1)

    def _index_of(self, pixel):
        """Index of the sightline of each pixel; -1 where there is none."""
        if self.n_sightlines == 12 * self.nside**2:
            return pixel
        index = np.minimum(np.searchsorted(self.pixels, pixel), self.n_sightlines - 1)
        return np.where(self.pixels[index] == pixel, index, -1)

    def interpolation(self, l_deg: np.ndarray, b_deg: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """The sightlines to interpolate between, of positions inside the grid.

        Bilinear between the nearest pixels of the rings above and below; a pixel that is not in the grid
        leaves its weight to the others.

        Parameters
        ----------
        l_deg, b_deg : ndarray [n]

        Returns
        -------
        list of (ndarray of int64 [n], ndarray [n])
            Four times index and weight; the weights of a position add up to 1.
        """
        from astropy_healpix import bilinear_interpolation_weights

        pixel, weight = bilinear_interpolation_weights(*angles(l_deg, b_deg), self.nside, order="nested")
        index = self._index_of(pixel)
        # Rounding makes some weights less than 0.
        weight = np.where(index >= 0, np.maximum(weight, 0.0), 0.0)
        total = weight.sum(axis=0)
        # At the grid's edge it may be that none of the four is in it: then it is the pixel itself.
        alone = total <= 0
        index[0, alone] = self.sightline_of(l_deg[alone], b_deg[alone])
        weight[0, alone] = 1.0
        weight /= np.where(alone, 1.0, total)
        return list(zip(np.maximum(index, 0), weight, strict=True))

    def neighbour_pairs(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Every pair of fields that share an edge, once.

        Returns
        -------
        first, second : ndarray of int64 [n_pairs]
            Indices of sightlines.
        steps : int
            How many steps apart they are: 1, for neighbouring fields share no star.
        """
        from astropy_healpix import neighbours

        # Some pixels have a corner without a neighbour, of which numpy would warn.
        with np.errstate(invalid="ignore"):
            around = neighbours(self.pixels, self.nside, order="nested")
        other = self._index_of(around[list(_EDGES)])
        first = np.broadcast_to(np.arange(self.n_sightlines), other.shape)
        once = other > first
        pairs = np.unique(np.column_stack([first[once], other[once]]), axis=0)
        return pairs[:, 0], pairs[:, 1], 1

    def adjacent_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Every pair of fields that share an edge, once."""
        return self.neighbour_pairs()[:2]

    def cells_deg2(self) -> np.ndarray:
        """Solid angle of each field [n_sightlines]."""
        return np.full(self.n_sightlines, self.area_deg2)

    def nodes_deg(self, step_deg: float) -> list[tuple[float, float]]:
        """Positions that span the grid: corners of pixels of at most `step_deg`, all that hold a sightline.

        Returns
        -------
        list of (float, float)
            l and b, distinct.
        """
        from astropy_healpix import boundaries_lonlat

        level = min(smallest_nside(step_deg), self.nside)
        coarse = np.unique(self.pixels // (self.nside // level) ** 2)
        corners = boundaries_lonlat(coarse, 1, level, order="nested")
        l_deg, b_deg = (np.round(angle.deg.ravel(), 6) + 0.0 for angle in corners)
        # At a pole every longitude is the same place.
        l_deg = np.where(np.abs(b_deg) == 90.0, 0.0, l_deg % 360.0)
        return sorted(set(zip(l_deg.tolist(), b_deg.tolist(), strict=True)))

    def parts_deg(self, factor: int) -> tuple[np.ndarray, np.ndarray]:
        """Centres (l, b) of the smaller pixels in each field, `factor` along a side, field by field.

        Returns
        -------
        l_deg, b_deg : ndarray [n_sightlines * factor ** 2]
        """
        return pixel_centers_deg(self._parts(factor), self.nside * factor)

    def _parts(self, factor):
        return (self.pixels[:, None] * factor**2 + np.arange(factor**2)).ravel()

    def part_of(self, l_deg: np.ndarray, b_deg: np.ndarray, factor: int) -> np.ndarray:
        """Index of the smaller pixel of `parts_deg` that each position [n] is in; -1 outside the grid."""
        pixel = pixel_of(l_deg, b_deg, self.nside * factor)
        field, part = np.divmod(pixel, factor**2)
        index = self._index_of(field)
        return np.where(index >= 0, index * factor**2 + part, -1)

    def tiles(self, size_deg: float) -> list[PixelTile]:
        """Pixels at most `size_deg` wide that cover every field, or the fields where they are smaller."""
        factor = max(1, smallest_nside(size_deg) // self.nside)
        return [PixelTile(self.nside * factor, int(pixel)) for pixel in self._parts(factor)]

    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges in l of columns as wide as pixels are on the equator, and the column of each sightline."""
        # Rings lie half a step askew.
        step = 90.0 / self.nside
        first = math.floor(self.l_min_deg / step + 1e-9)
        n = min(math.floor(self.l_max_deg / step + 1e-9) + 1 - first, 4 * self.nside)
        l_deg, _ = self.centers_deg()
        column = np.floor(np.mod(l_deg - step * first, 360.0) / step + 1e-9).astype(int)
        return step * (first + np.arange(n + 1)), column

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges in b of strips about as wide as the pixels, and the strip of each sightline."""
        _, b_deg = self.centers_deg()
        n = max(1, math.ceil(np.ptp(b_deg) / self.field_deg))
        edges = np.linspace(b_deg.min(), b_deg.max() + 1e-9, n + 1)
        if n == 1:
            edges = b_deg.mean() + 0.5 * self.field_deg * np.array([-1.0, 1.0])
        return edges, np.clip(np.searchsorted(edges, b_deg, "right") - 1, 0, n - 1)

    def cut(self, l_deg: float) -> tuple[np.ndarray, float, np.ndarray]:
        """Edges in b [n + 1], finer than the pixels, which lie askew, and the pixel between each two."""
        half = 0.5 * self.field_deg
        low, high = max(self.b_min_deg - half, -90.0), min(self.b_max_deg + half, 90.0)
        edges = np.linspace(low, high, 4 * math.ceil((high - low) / self.field_deg) + 1)
        return edges, l_deg, self.sightline_of(np.float64(l_deg), 0.5 * (edges[1:] + edges[:-1]))

    def within(self, region: SkyRegion) -> tuple["HealpixGrid", np.ndarray]:
        """The grid of all pixels in a region, and the index here of each [n]; -1 where it is not here."""
        part = HealpixGrid(self.nside, (region,))
        return part, self.sightline_of(*part.centers_deg())

    @property
    def spacing(self) -> dict[str, float]:
        """What grids must have in common to be joined."""
        return {"nside": self.nside}

    def require_joinable(self, other: "HealpixGrid", own_name: str, other_name: str) -> None:
        """Pixels of one nside always can be joined."""

    def joined(self, others: Sequence["HealpixGrid"]) -> "HealpixGrid":
        """The grid of all sightlines of this one and of others of the same nside."""
        regions = dict.fromkeys(region for grid in (self, *others) for region in grid.regions)
        return HealpixGrid(self.nside, tuple(regions))


# Not in the grids themselves, which are copied, compared and sent to workers.
@lru_cache(maxsize=16)
def _pixels_in(nside, regions):
    def contained(l_deg, b_deg, margin_deg):
        return np.any([region.contains(l_deg, b_deg, margin_deg) for region in regions], axis=0)

    # Twice as many are too many, whatever happens at the regions' edges.
    index = pixels_where(nside, contained, 2 * MAX_SIGHTLINES)
    index.flags.writeable = False
    return index


@lru_cache(maxsize=16)
def _box_deg(grid):
    l_deg, b_deg = grid.centers_deg()
    return (*shortest_range_deg(l_deg), float(b_deg.min()), float(b_deg.max()))
