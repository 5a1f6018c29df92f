"""Small parts of the sky that a grid's fields are covered with."""

from dataclasses import dataclass

import numpy as np

from extmap_tf.grids.healpix_pixels import SIDE_DEG, pixel_centers_deg


@dataclass(frozen=True)
class SquareTile:
    """A tile with sides of `width_deg` in l and `height_deg` in b, so that its area shrinks with cos b."""

    l_deg: float
    b_deg: float
    width_deg: float
    height_deg: float

    @property
    def area_deg2(self) -> float:
        """Its solid angle."""
        return self.width_deg * self.height_deg * np.cos(np.radians(self.b_deg))

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Positions (l, b) of `n` stars."""
        l = self.l_deg + self.width_deg * rng.uniform(-0.5, 0.5, n)
        return l, self.b_deg + self.height_deg * rng.uniform(-0.5, 0.5, n)


@dataclass(frozen=True)
class PixelTile:
    """A tile that is a HEALPix pixel, nested."""

    nside: int
    pixel: int

    @property
    def l_deg(self) -> float:
        """Longitude of its centre."""
        return float(pixel_centers_deg(np.array([self.pixel]), self.nside)[0][0])

    @property
    def b_deg(self) -> float:
        """Latitude of its centre."""
        return float(pixel_centers_deg(np.array([self.pixel]), self.nside)[1][0])

    @property
    def area_deg2(self) -> float:
        """Its solid angle."""
        return (SIDE_DEG / self.nside) ** 2

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Positions (l, b) of `n` stars."""
        across = {"dx": rng.uniform(size=n), "dy": rng.uniform(size=n)}
        return pixel_centers_deg(np.full(n, self.pixel), self.nside, **across)
