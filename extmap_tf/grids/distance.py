"""The bins of distance; intervals include their lower end and exclude their upper end."""

from dataclasses import dataclass

import numpy as np

from extmap_tf.bounds import Section, setting


@dataclass(frozen=True)
class DistanceGrid(Section):
    """Equal bins of heliocentric distance, from 0 to `max_kpc`."""

    step_kpc: float = setting(
        0.1, "Length of a bin. The differential extinction is constant inside one.", above=0, at_most=10
    )
    n_distances: int = setting(100, "Number of bins.", at_least=2, at_most=10000)

    @property
    def max_kpc(self) -> float:
        return self.step_kpc * self.n_distances

    @property
    def edges_kpc(self) -> np.ndarray:
        """Edges of the bins [n_distances + 1], from 0."""
        return self.step_kpc * np.arange(self.n_distances + 1)

    @property
    def outer_kpc(self) -> np.ndarray:
        """Outer edges [n_distances]: where the cumulative extinction is given."""
        return self.edges_kpc[1:]

    @property
    def centers_kpc(self) -> np.ndarray:
        """Centres [n_distances]: where the differential extinction is given."""
        return self.step_kpc * (np.arange(self.n_distances) + 0.5)
