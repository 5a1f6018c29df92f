"""Parts of the sky on a flat page, with equal areas: for figures of regions that l and b do not fit.

They are those of the World Coordinate System of FITS (Calabretta & Greisen 2002), by astropy: ZEA, which is
Lambert's azimuthal projection, and MOL, which is Mollweide's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from astropy.wcs import WCS

from extmap_tf.grids.sphere import separation_deg, unit_vectors

# Regions that reach further than this from their middle are drawn as all of the sky is.
WIDE_DEG = 90.0

# A middle this near to a pole is taken to be there.
_AT_A_POLE_DEG = 1.0


@dataclass(frozen=True)
class Projection:
    """A projection around a place; degrees there, l increasing to the left, b upwards.

    Parameters
    ----------
    code : {"ZEA", "MOL"}
        Around a place, or all of the sky.
    l_deg, b_deg : float
        The middle; of all of the sky it is the Galactic centre.
    """

    code: str
    l_deg: float = 0.0
    b_deg: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether it shows all of the sky."""
        return self.code == "MOL"

    @property
    def at_a_pole(self) -> bool:
        return not self.whole and abs(self.b_deg) == 90.0

    def extent_of(
        self, l_deg: np.ndarray, b_deg: np.ndarray, margin_deg: float
    ) -> tuple[float, float, float, float]:
        """Lowest and highest x, then y, of positions [n], with a margin; of all of the sky, its own."""
        if self.whole:
            width, height = np.degrees(2.0 * np.sqrt(2.0)), np.degrees(np.sqrt(2.0))
            return (-width, width, -height, height)
        x, y = self.to_plane(l_deg, b_deg)
        return (x.min() - margin_deg, x.max() + margin_deg, y.min() - margin_deg, y.max() + margin_deg)

    def to_plane(self, l_deg: np.ndarray, b_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions -> x, y, of any shape."""
        return self._through(self._wcs.wcs_world2pix, l_deg, b_deg)

    def to_sky(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x, y -> l in 0 to 360 and b; NaN beyond the sky."""
        return self._through(self._wcs.wcs_pix2world, x, y)

    @staticmethod
    def _through(
        transform: Callable[..., Any], first: np.ndarray, second: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        first, second = np.broadcast_arrays(np.asarray(first, float), np.asarray(second, float))
        x, y = transform(first.ravel(), second.ravel(), 0)
        return x.reshape(first.shape), y.reshape(first.shape)

    @cached_property
    def _wcs(self):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = [f"GLON-{self.code}", f"GLAT-{self.code}"]
        wcs.wcs.crval, wcs.wcs.cdelt, wcs.wcs.crpix = [self.l_deg, self.b_deg], [-1.0, 1.0], [1.0, 1.0]
        if not self.whole:
            # At a pole too, l = 0 is where it is beside it.
            wcs.wcs.lonpole = 180.0
        wcs.wcs.set()
        return wcs


def projection_of(l_deg: np.ndarray, b_deg: np.ndarray) -> Projection:
    """The projection for positions [n]: around their middle, or of all of the sky if that is too wide."""
    l_deg, b_deg = np.asarray(l_deg, float), np.asarray(b_deg, float)
    x, y, z = (np.mean(part) for part in unit_vectors(l_deg, b_deg).T)
    if np.linalg.norm([x, y, z]) < 1e-6:
        return Projection("MOL")
    l0_deg, b0_deg = np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))
    if abs(b0_deg) > 90.0 - _AT_A_POLE_DEG:
        l0_deg, b0_deg = 0.0, 90.0 * np.sign(b0_deg)
    if np.max(separation_deg(l0_deg, b0_deg, l_deg, b_deg)) > WIDE_DEG:
        return Projection("MOL")
    return Projection("ZEA", float(l0_deg), float(b0_deg))
