"""Which HEALPix pixels a map covers, for copies of it.

A pixel has the profile of the sightline whose centre is nearest to the pixel's own. So pixels may not be
wider than the map's step; and as they lie askew to its grid, some sightlines are in several pixels, and where
pixels are as wide as the step, about a tenth are in none. By default pixels are small enough to keep nearly
all.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from extmap_tf.errors import ConfigError
from extmap_tf.grids.healpix import MAX_SIGHTLINES, HealpixGrid
from extmap_tf.grids.healpix_pixels import SIDE_DEG, pixel_centers_deg, pixels_where, smallest_nside
from extmap_tf.grids.squares import SightlineGrid

# By default at least this share of the sightlines is in a pixel, unless pixels had to be more than so many
# times narrower than the map's step: near a pole sightlines lie very close.
KEPT = 0.99
FINEST = 8


@dataclass(frozen=True, eq=False)
class Pixels:
    """The HEALPix pixels whose centres are in a map.

    Parameters
    ----------
    nside : int
    index : ndarray of int64 [n]
        Nested, ascending, Galactic.
    l_deg, b_deg : ndarray [n]
        Centres.
    sightline : ndarray of int64 [n]
        The map's sightline of each.
    """

    nside: int
    index: np.ndarray
    l_deg: np.ndarray
    b_deg: np.ndarray
    sightline: np.ndarray

    @property
    def n_sightlines(self) -> int:
        """Sightlines that are in one pixel or more."""
        return len(np.unique(self.sightline))


def pixels_of(grid: SightlineGrid | HealpixGrid, nside: int | None = None) -> Pixels:
    """Pixels whose centres are in a grid.

    Parameters
    ----------
    grid : SightlineGrid or HealpixGrid
    nside : int, optional
        A power of two; by default the smallest that keeps at least `KEPT` of the sightlines, as far as its
        pixels are at most `FINEST` times narrower than the grid's step and not too many. Of a HEALPix grid,
        its own.

    Returns
    -------
    Pixels

    Raises
    ------
    ConfigError
        `nside` is no power of two, its pixels are wider than the grid's step, or they are too many; or it is
        another than a HEALPix grid's own.
    """
    if isinstance(grid, HealpixGrid):
        if nside not in (None, grid.nside):
            raise ConfigError(f"the map is on HEALPix pixels of nside {grid.nside} already, got: {nside}")
        return Pixels(grid.nside, grid.pixels, *grid.centers_deg(), np.arange(grid.n_sightlines))
    least = smallest_nside(grid.step_deg)
    if nside is None:
        nside, pixels = least, _pixels(grid, least)
        while pixels.n_sightlines < KEPT * grid.n_sightlines:
            nside *= 2
            if grid.step_deg * nside / SIDE_DEG > FINEST or _expected(grid, nside) > MAX_SIGHTLINES:
                break
            pixels = _pixels(grid, nside)
        return pixels
    if nside < 1 or nside & (nside - 1):
        raise ConfigError(f"nside must be a power of two, got: {nside}")
    if nside < least:
        raise ConfigError(
            f"pixels of nside {nside} are wider ({SIDE_DEG / nside:.3g} deg) than the map's step "
            f"({grid.step_deg:g} deg) and would leave most sightlines out: give {least} or more"
        )
    return _pixels(grid, nside)


def _expected(grid, nside):
    """About how many pixels there are in a grid."""
    return grid.n_sightlines * (grid.step_deg * nside / SIDE_DEG) ** 2


def _pixels(grid, nside):
    number = _expected(grid, nside)
    if number > MAX_SIGHTLINES:
        raise ConfigError(
            f"nside {nside} would make about {number:.2g} pixels, at most {MAX_SIGHTLINES:,} are allowed"
        )
    index = pixels_where(nside, partial(_near, grid))
    l_deg, b_deg = pixel_centers_deg(index, nside)
    sightline = grid.sightline_of(l_deg, b_deg)
    inside = sightline >= 0
    return Pixels(nside, index[inside], l_deg[inside], b_deg[inside], sightline[inside])


def _near(grid, l_deg, b_deg, margin_deg):
    """Whether positions are in the grid's part of the sky or within about `margin_deg` of it."""
    margin_deg = margin_deg + grid.step_deg
    low, high = grid.b_min_deg - margin_deg, grid.b_max_deg + margin_deg
    widest = max(abs(low), abs(high))
    margin_l = margin_deg / math.cos(math.radians(widest)) if widest < 89.0 else 360.0
    span = grid.l_max_deg - grid.l_min_deg + 2.0 * margin_l
    around = np.mod(l_deg - grid.l_min_deg + margin_l, 360.0) <= span
    return (b_deg >= low) & (b_deg <= high) & (around | (span >= 360.0))
