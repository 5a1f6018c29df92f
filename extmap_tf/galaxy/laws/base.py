"""What every density law is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class DensityLaw(ABC):
    """A density relative to that at the law's reference point.

    Coordinates are Galactocentric: x from the centre towards the Sun, y towards Galactic longitude 90 deg, z
    towards the north Galactic pole, so that the Sun is at (`sun_kpc`, 0, `sun_height_kpc`).

    Parameters
    ----------
    sun_kpc, sun_height_kpc : float
        Where the Sun is.
    """

    sun_kpc: float = 8.5
    sun_height_kpc: float = 0.015

    # What a mirror image leaves unchanged, and whether rotation about the z axis does; tests rely on it.
    mirror_z: ClassVar[bool] = True
    axisymmetric: ClassVar[bool] = True

    @property
    def reference_kpc(self) -> tuple[float, float, float]:
        """The point (x, y, z) where the relative density is 1: the Sun, unless a law says otherwise."""
        return (self.sun_kpc, 0.0, self.sun_height_kpc)

    @abstractmethod
    def shape(self, x_kpc: np.ndarray, y_kpc: np.ndarray, z_kpc: np.ndarray) -> np.ndarray:
        """The law's formula, in any unit; arrays broadcast."""

    def relative_density(self, x_kpc: np.ndarray, y_kpc: np.ndarray, z_kpc: np.ndarray) -> np.ndarray:
        """Density over that at `reference_kpc`, with the arguments' broadcast shape."""
        return self.shape(x_kpc, y_kpc, z_kpc) / self.shape(*np.array(self.reference_kpc))
