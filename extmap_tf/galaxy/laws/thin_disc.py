"""The thin disc, with warp, flare and central hole.

    rho ~ [f(a / h_plus) - f(a / h_minus)] / k,   a^2 = R^2 + ((z - z_warp) / (k eps))^2

    f(u) = exp(-u^2)              for the youngest stars (age below 0.15 Gyr)
    f(u) = exp(-sqrt(0.25 + u^2)) for the others

    k = 1 + flare_slope max(0, R - flare_kpc)
    z_warp = warp_slope min(warp_kpc, max(0, R - warp_kpc)) y / R

Robin et al. 2003, A&A 409, 523, table 3 and section 2.1.3; the constants of warp and flare are those in the
header of the model's listings, but for their slopes. Those of the header, 0.18 and 0.000545 per kpc, do not
give the model's own star counts in this formula: their ratio of north to south at b = 4 deg is 1.2 at l =
90 and 0.7 at l = 270. The defaults here are fitted to these counts. Division by k keeps the surface
density. The disc ends at `edge_kpc`, over `edge_width_kpc`.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from extmap_tf.galaxy.laws.base import DensityLaw


@dataclass(frozen=True)
class ThinDisc(DensityLaw):
    """Stars older than 0.15 Gyr.

    Parameters
    ----------
    axis_ratio : float
        eps, the ratio of the axes of the surfaces of equal density.
    scale_kpc, hole_kpc : float
        h_plus and h_minus, of the disc and of its hole.
    warp_kpc, warp_slope : float
        Where the warp begins and its rise per kpc; the disc is highest towards l = 90 deg.
    flare_kpc, flare_slope_per_kpc : float
    edge_kpc, edge_width_kpc : float
        Radius where the density has fallen to one half, and width of that fall.
    """

    axis_ratio: float = 0.0791
    scale_kpc: float = 2.53
    hole_kpc: float = 1.32
    warp_kpc: float = 8.4
    warp_slope: float = 0.073
    flare_kpc: float = 9.5
    flare_slope_per_kpc: float = 0.08
    edge_kpc: float = 14.0
    edge_width_kpc: float = 0.5

    mirror_z: ClassVar[bool] = False
    axisymmetric: ClassVar[bool] = False

    def warp_height_kpc(self, x_kpc: np.ndarray, y_kpc: np.ndarray) -> np.ndarray:
        """Height of the disc's middle above the plane z = 0."""
        radius = np.hypot(x_kpc, y_kpc)
        rise = self.warp_slope * np.clip(radius - self.warp_kpc, 0, self.warp_kpc)
        return rise * y_kpc / np.maximum(radius, self.warp_kpc)

    def falloff(self, u: np.ndarray) -> np.ndarray:
        """f(u) of the module's formula."""
        return np.exp(-np.sqrt(0.25 + u**2))

    def shape(self, x_kpc: np.ndarray, y_kpc: np.ndarray, z_kpc: np.ndarray) -> np.ndarray:
        radius = np.hypot(x_kpc, y_kpc)
        flare = 1 + self.flare_slope_per_kpc * np.maximum(radius - self.flare_kpc, 0)
        height = (z_kpc - self.warp_height_kpc(x_kpc, y_kpc)) / (flare * self.axis_ratio)
        a = np.hypot(radius, height)
        edge = 1 / (1 + np.exp(np.clip(4 * (radius - self.edge_kpc) / self.edge_width_kpc, -50, 50)))
        return (self.falloff(a / self.scale_kpc) - self.falloff(a / self.hole_kpc)) * edge / flare


@dataclass(frozen=True)
class YoungDisc(ThinDisc):
    """Stars younger than 0.15 Gyr."""

    axis_ratio: float = 0.0140
    scale_kpc: float = 5.0
    hole_kpc: float = 3.0

    def falloff(self, u: np.ndarray) -> np.ndarray:
        """f(u) of the module's formula."""
        return np.exp(-(u**2))
