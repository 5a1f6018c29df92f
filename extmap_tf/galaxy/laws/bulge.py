"""The triaxial outer bulge (bar), the law G2 of Dwek et al. 1995, ApJ 445, 716.

    rho ~ exp(-s^2 / 2),   s^4 = [(X / x0)^2 + (Y / y0)^2]^2 + (Z / z0)^4

times exp(-[(r - cutoff) / 0.5 kpc]^2 / 2) where r = sqrt(X^2 + Y^2) exceeds `cutoff_kpc`. X is the bar's long
axis, whose near end lies at positive longitude, `angle_deg` from the line from the centre to the Sun.

Constants of Robin et al. 2003, A&A 409, 523, table 5. Their tilts of 3.5 and 1.3 deg out of the plane are
left out. The relative density is 1 at the centre.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from extmap_tf.galaxy.laws.base import DensityLaw


@dataclass(frozen=True)
class TriaxialBulge(DensityLaw):
    """The bulge, or bar.

    Parameters
    ----------
    x0_kpc, y0_kpc, z0_kpc : float
        Scales along the long, middle and short axis.
    angle_deg : float
    cutoff_kpc, cutoff_width_kpc : float
    """

    x0_kpc: float = 1.59
    y0_kpc: float = 0.424
    z0_kpc: float = 0.424
    angle_deg: float = 11.1
    cutoff_kpc: float = 2.54
    cutoff_width_kpc: float = 0.5

    axisymmetric: ClassVar[bool] = False

    @property
    def reference_kpc(self) -> tuple[float, float, float]:
        return (0.0, 0.0, 0.0)

    def shape(self, x_kpc: np.ndarray, y_kpc: np.ndarray, z_kpc: np.ndarray) -> np.ndarray:
        cos, sin = np.cos(np.radians(self.angle_deg)), np.sin(np.radians(self.angle_deg))
        long, middle = x_kpc * cos + y_kpc * sin, y_kpc * cos - x_kpc * sin
        s2 = np.hypot((long / self.x0_kpc) ** 2 + (middle / self.y0_kpc) ** 2, (z_kpc / self.z0_kpc) ** 2)
        beyond = np.maximum(np.hypot(long, middle) - self.cutoff_kpc, 0) / self.cutoff_width_kpc
        return np.exp(-0.5 * (s2 + beyond**2))
