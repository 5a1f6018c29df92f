"""Boxes of right ascension and declination that together cover the fields of a grid, each star in one."""

import math
from dataclasses import dataclass

import numpy as np

from extmap_tf.grids.sky import SkyGrid
from extmap_tf.grids.sphere import galactic_to_equatorial, separation_deg, unit_vectors

# A box is looked at on this many steps a side.
_STEPS = 8
# No point of a field is farther from its centre than this many sides.
_REACH_SIDES = 1.0
_CIRCLE_MARGIN_DEG = 1e-3


@dataclass(frozen=True)
class EquatorialBox:
    """A box of right ascension and declination; its upper edges are outside, but for the pole's."""

    ra_min_deg: float
    ra_max_deg: float
    dec_min_deg: float
    dec_max_deg: float

    @property
    def name(self) -> str:
        """For files: ``ra284.00000-285.00000_dec-60.00000--59.00000``."""
        ra, dec = (self.ra_min_deg, self.ra_max_deg), (self.dec_min_deg, self.dec_max_deg)
        return f"ra{ra[0]:09.5f}-{ra[1]:09.5f}_dec{dec[0]:+09.5f}{dec[1]:+09.5f}"

    @property
    def height_deg(self) -> float:
        return self.dec_max_deg - self.dec_min_deg

    def where(self, ra: str, dec: str) -> str:
        """The condition in ADQL on two columns.

        The circle around the box is for the service's index on the sky; the inequalities give a star to one
        box alone.
        """
        upper = "<=" if self.dec_max_deg >= 90.0 else "<"
        l0, b0, radius = self._circle_deg()
        return (
            f"CONTAINS(POINT('ICRS', {ra}, {dec}), CIRCLE('ICRS', {l0:.6f}, {b0:.6f}, {radius:.6f})) = 1 "
            f"AND {ra} >= {self.ra_min_deg:.6f} AND {ra} < {self.ra_max_deg:.6f} "
            f"AND {dec} >= {self.dec_min_deg:.6f} AND {dec} {upper} {self.dec_max_deg:.6f}"
        )

    def quarters(self) -> list["EquatorialBox"]:
        """The box in four."""
        ra, dec = (
            (low, 0.5 * (low + high), high)
            for low, high in ((self.ra_min_deg, self.ra_max_deg), (self.dec_min_deg, self.dec_max_deg))
        )
        return [EquatorialBox(*ra[i : i + 2], *dec[j : j + 2]) for j in (0, 1) for i in (0, 1)]

    def _circle_deg(self):
        ra, dec = 0.5 * (self.ra_min_deg + self.ra_max_deg), 0.5 * (self.dec_min_deg + self.dec_max_deg)
        if self.ra_max_deg - self.ra_min_deg > 180.0:
            # Around a pole.
            dec = math.copysign(90.0, dec)
        corners = np.array([self.dec_min_deg, self.dec_max_deg])
        radius = float(separation_deg(self.ra_min_deg, corners, ra, dec).max()) + _CIRCLE_MARGIN_DEG
        return ra, dec, min(radius, 180.0)


def boxes_over(grid: SkyGrid, size_deg: float) -> list[EquatorialBox]:
    """The boxes that hold every star of a grid's fields, by declination and right ascension.

    They are cells of one lattice over the whole sky, so that neighbouring regions share them. Around the edge
    of the fields some hold none of their stars.

    Parameters
    ----------
    grid : extmap_tf.grids.sky.SkyGrid
    size_deg : float
        Their height, and most of their width.
    """
    from scipy.spatial import KDTree

    centers = unit_vectors(*galactic_to_equatorial(*grid.centers_deg()))
    tree, reach_deg = KDTree(centers), _REACH_SIDES * grid.field_deg
    dec_deg = np.degrees(np.arcsin(np.clip(centers[:, 2], -1.0, 1.0)))
    within = dec_deg.min() - reach_deg - size_deg, dec_deg.max() + reach_deg + size_deg
    # No star of a box is farther than a step from one of these points.
    share = np.linspace(0.0, 1.0, _STEPS + 1)
    found = []
    for low, high, n in _bands(size_deg):
        if high < within[0] or low > within[1]:
            continue
        middle = 360.0 * (np.arange(n) + 0.5) / n
        # The diagonal of a box is below 1.5 of its height.
        far_deg = 180.0 if n == 1 else reach_deg + 0.75 * size_deg + _CIRCLE_MARGIN_DEG
        near = _within(tree, unit_vectors(middle, np.full(n, 0.5 * (low + high))), far_deg)
        for i in np.flatnonzero(near).tolist():
            box = EquatorialBox(360.0 * i / n, 360.0 * (i + 1) / n, low, high)
            ra = box.ra_min_deg + share * (box.ra_max_deg - box.ra_min_deg)
            points = unit_vectors(*np.broadcast_arrays(ra, (low + share * (high - low))[:, None]))
            if _within(tree, points.reshape(-1, 3), reach_deg + _step_deg(box)).any():
                found.append(box)
    return found


def _step_deg(box):
    """Most of the distance of a point in a box to the nearest of a lattice of `_STEPS` + 1 each way."""
    width = (box.ra_max_deg - box.ra_min_deg) * _widest(box.dec_min_deg, box.dec_max_deg)
    return 0.5 * math.hypot(width, box.height_deg) / _STEPS


def _bands(size_deg):
    """Least and largest declination of the lattice's bands, and how many boxes each has."""
    n_bands = math.ceil(180.0 / size_deg - 1e-9)
    for band in range(n_bands):
        low, high = -90.0 + 180.0 * band / n_bands, -90.0 + 180.0 * (band + 1) / n_bands
        # One around a pole.
        alone = band in (0, n_bands - 1)
        yield low, high, 1 if alone else math.ceil(360.0 * _widest(low, high) / size_deg - 1e-9)


def _widest(low_deg, high_deg):
    """The largest cosine of a declination between two."""
    return math.cos(math.radians(0.0 if low_deg < 0 < high_deg else min(abs(low_deg), abs(high_deg))))


def _within(tree, vectors, angle_deg):
    """Which points have a centre within an angle."""
    chord = 2.0 * math.sin(math.radians(min(angle_deg, 180.0)) / 2.0)
    return np.isfinite(tree.query(vectors, distance_upper_bound=chord * (1 + 1e-9))[0])
