"""The spheroid (stellar halo): a flattened power law with a core.

    rho ~ max(a, a_core)^slope,   a^2 = R^2 + (z / axis_ratio)^2

Robin et al. 2003, A&A 409, 523, table 3.
"""

from dataclasses import dataclass

import numpy as np

from extmap_tf.galaxy.laws.base import DensityLaw


@dataclass(frozen=True)
class Spheroid(DensityLaw):
    """The spheroid.

    Parameters
    ----------
    axis_ratio : float
    slope : float
    core_kpc : float
        Inside a of this length the density is constant.
    """

    axis_ratio: float = 0.76
    slope: float = -2.44
    core_kpc: float = 0.5

    def shape(self, x_kpc: np.ndarray, y_kpc: np.ndarray, z_kpc: np.ndarray) -> np.ndarray:
        a = np.sqrt(np.square(x_kpc) + np.square(y_kpc) + np.square(z_kpc / self.axis_ratio))
        return np.maximum(a, self.core_kpc) ** self.slope
