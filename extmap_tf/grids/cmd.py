"""The pixels of a colour-magnitude diagram; intervals include their lower end and exclude their upper end."""

from dataclasses import dataclass

import numpy as np

from extmap_tf.errors import require

# Catalogs give magnitudes to 0.001, so a star often falls on a pixel's edge. This tolerance, in pixels,
# puts it above the edge in 32-bit and 64-bit arithmetic alike: numpy and a served TensorFlow graph agree.
EDGE_TOLERANCE = 1e-4


@dataclass(frozen=True)
class CmdGrid:
    """Pixels of a colour-magnitude diagram (CMD): counts are [n_mag, n_color], both axes ascending.

    Parameters
    ----------
    color_min_mag, color_max_mag : float
        Lower (inclusive) and upper (exclusive) limit of the colour J - Ks.
    mag_min_mag, mag_max_mag : float
        Lower (inclusive) and upper (exclusive) limit of the magnitude Ks.
    n_color, n_mag : int
        Pixels along each axis.
    """

    color_min_mag: float = -0.5
    color_max_mag: float = 5.9
    mag_min_mag: float = 5.6
    mag_max_mag: float = 15.2
    n_color: int = 64
    n_mag: int = 64

    def __post_init__(self):
        require(self.color_max_mag > self.color_min_mag, "color_max_mag", "above color_min_mag", self)
        require(self.mag_max_mag > self.mag_min_mag, "mag_max_mag", "above mag_min_mag", self)
        require(8 <= self.n_color <= 1024, "n_color", "8 to 1024", self)
        require(8 <= self.n_mag <= 1024, "n_mag", "8 to 1024", self)

    @property
    def shape(self):
        return (self.n_mag, self.n_color)

    @property
    def n_pixels(self):
        return self.n_mag * self.n_color

    @property
    def color_edges_mag(self):
        """Edges of the colour pixels [n_color + 1]."""
        return np.linspace(self.color_min_mag, self.color_max_mag, self.n_color + 1)

    @property
    def mag_edges_mag(self):
        """Edges of the magnitude pixels [n_mag + 1]."""
        return np.linspace(self.mag_min_mag, self.mag_max_mag, self.n_mag + 1)
