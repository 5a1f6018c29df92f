"""The thick disc: an exponential, with a parabola near the plane that joins it smoothly.

    |z| <= x:  rho ~ exp(-R / h_r) (1 - z^2 / [x (2 h_z + x)])
    |z| >  x:  rho ~ exp(-R / h_r) exp((x - |z|) / h_z) / (1 + x / (2 h_z))

Robin et al. 2003, A&A 409, 523, table 3.
"""

from dataclasses import dataclass

import numpy as np

from extmap_tf.galaxy.laws.base import DensityLaw


@dataclass(frozen=True)
class ThickDisc(DensityLaw):
    """The thick disc.

    Parameters
    ----------
    scale_kpc, height_kpc : float
        h_r and h_z.
    join_kpc : float
        x, where parabola and exponential meet.
    """

    scale_kpc: float = 2.5
    height_kpc: float = 0.8
    join_kpc: float = 0.4

    def shape(self, x_kpc: np.ndarray, y_kpc: np.ndarray, z_kpc: np.ndarray) -> np.ndarray:
        height, join = np.abs(z_kpc), self.join_kpc
        inner = 1 - np.minimum(height, join) ** 2 / (join * (2 * self.height_kpc + join))
        outer = np.exp(-np.maximum(height - join, 0) / self.height_kpc)
        return np.exp(-np.hypot(x_kpc, y_kpc) / self.scale_kpc) * inner * outer
