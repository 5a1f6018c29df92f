"""Parts of the sky that a grid covers."""

from dataclasses import dataclass

import numpy as np

from extmap_tf.bounds import Section, setting
from extmap_tf.errors import require
from extmap_tf.grids.sphere import separation_deg

# Decides ties on a region's edge, in degrees.
_TOLERANCE_DEG = 1e-9


@dataclass(frozen=True)
class SkyRegion(Section):
    """A part of the sky: what lies both in a range of l and b and in a circle; by default all of the sky.

    Both ends of the ranges are included.
    """

    l_min_deg: float = setting(0.0, "First Galactic longitude.", at_least=0, below=360)
    l_max_deg: float = setting(360.0, "Last Galactic longitude; may exceed 360 for a range across l = 0.")
    b_min_deg: float = setting(-90.0, "First Galactic latitude.", at_least=-90, below=90)
    b_max_deg: float = setting(90.0, "Last Galactic latitude.", at_most=90)
    l_deg: float = setting(0.0, "Longitude of the circle's centre.", at_least=0, below=360)
    b_deg: float = setting(90.0, "Its latitude.", at_least=-90, at_most=90)
    radius_deg: float = setting(180.0, "Radius of the circle.", above=0, at_most=180)

    def check(self) -> None:
        above = self.l_min_deg < self.l_max_deg <= self.l_min_deg + 360
        require(above, "l_max_deg", "above l_min_deg, by 360 at most", self)
        require(self.b_min_deg < self.b_max_deg, "b_max_deg", "above b_min_deg", self)

    def contains(self, l_deg: np.ndarray, b_deg: np.ndarray, margin_deg: float = 0.0) -> np.ndarray:
        """Whether positions [n] are in the region, or about `margin_deg` from it (none nearer is left out).

        Returns
        -------
        ndarray of bool [n]
        """
        margin_deg = margin_deg + _TOLERANCE_DEG
        inside = (b_deg >= self.b_min_deg - margin_deg) & (b_deg <= self.b_max_deg + margin_deg)
        # Towards a pole a length spans ever more longitudes.
        cos_b = np.cos(np.radians(np.minimum(np.abs(b_deg) + margin_deg, 90.0)))
        with np.errstate(divide="ignore", invalid="ignore"):
            margin_l = np.where(cos_b > 1e-6, margin_deg / np.maximum(cos_b, 1e-6), 360.0)
        span = self.l_max_deg - self.l_min_deg + 2.0 * margin_l
        inside &= (np.mod(l_deg - self.l_min_deg + margin_l, 360.0) <= span) | (span >= 360.0)
        if self.radius_deg < 180.0:
            inside &= separation_deg(l_deg, b_deg, self.l_deg, self.b_deg) <= self.radius_deg + margin_deg
        return inside

    def __str__(self) -> str:
        parts = []
        if self.radius_deg < 180.0:
            parts.append(f"within {self.radius_deg:g} deg of l {self.l_deg:g}, b {self.b_deg:g}")
        if self.l_max_deg - self.l_min_deg < 360.0:
            parts.append(f"l {self.l_min_deg:g} to {self.l_max_deg:g}")
        if (self.b_min_deg, self.b_max_deg) != (-90.0, 90.0):
            parts.append(f"b {self.b_min_deg:g} to {self.b_max_deg:g}")
        return ", ".join(parts) or "all of the sky"
