"""The pixels of a colour-magnitude diagram; intervals include their lower end and exclude their upper end."""

from dataclasses import dataclass

import numpy as np

from extmap_tf.bounds import Section, setting
from extmap_tf.errors import require

# Catalogs give magnitudes to 0.001, so a star often falls on a pixel's edge. This tolerance, in pixels,
# puts it above the edge in 32-bit and 64-bit arithmetic alike: numpy and a served TensorFlow graph agree.
EDGE_TOLERANCE = 1e-4


@dataclass(frozen=True)
class CmdGrid(Section):
    """Pixels of a colour-magnitude diagram (CMD): counts are [n_mag, n_color], both axes ascending."""

    color_min_mag: float = setting(-0.5, "Lower limit (inclusive) of the colour, blue - red.")
    color_max_mag: float = setting(5.9, "Upper limit (exclusive) of the colour.")
    mag_min_mag: float = setting(5.6, "Lower limit (inclusive) of the magnitude, red.")
    mag_max_mag: float = setting(15.2, "Upper limit (exclusive) of the magnitude.")
    n_color: int = setting(64, "Pixels along the colour.", at_least=8, at_most=1024)
    n_mag: int = setting(64, "Pixels along the magnitude.", at_least=8, at_most=1024)

    def check(self) -> None:
        require(self.color_max_mag > self.color_min_mag, "color_max_mag", "above color_min_mag", self)
        require(self.mag_max_mag > self.mag_min_mag, "mag_max_mag", "above mag_min_mag", self)

    @property
    def shape(self) -> tuple[int, int]:
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
