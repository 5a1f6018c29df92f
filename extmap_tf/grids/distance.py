"""The bins of distance; intervals include their lower end and exclude their upper end."""

from dataclasses import dataclass

import numpy as np

from extmap_tf.errors import require


@dataclass(frozen=True)
class DistanceGrid:
    """Equal bins of heliocentric distance, from 0 to `max_kpc`.

    Parameters
    ----------
    step_kpc : float
        Length of a bin. The differential extinction is constant inside one.
    n_distances : int
        Number of bins.
    """

    step_kpc: float = 0.1
    n_distances: int = 100

    def __post_init__(self):
        require(0 < self.step_kpc <= 10, "step_kpc", "above 0 and at most 10", self)
        require(2 <= self.n_distances <= 10000, "n_distances", "2 to 10000", self)

    @property
    def max_kpc(self):
        return self.step_kpc * self.n_distances

    @property
    def edges_kpc(self):
        """Edges of the bins [n_distances + 1], from 0."""
        return self.step_kpc * np.arange(self.n_distances + 1)

    @property
    def outer_kpc(self):
        """Outer edges [n_distances]: where the cumulative extinction is given."""
        return self.edges_kpc[1:]

    @property
    def centers_kpc(self):
        """Centres [n_distances]: where the differential extinction is given."""
        return self.step_kpc * (np.arange(self.n_distances) + 0.5)
