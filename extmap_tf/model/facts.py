"""What layers must know of the training pairs before the training begins."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class PairFacts:
    """What training pairs have in common.

    Parameters
    ----------
    reference : (ndarray, ndarray, ndarray)
        l_deg, b_deg and counts of the reference CMDs, see `Records.reference`.
    mean_density : ndarray [n_distances]
        Mean of the profiles, mag / kpc.
    mean_counts : ndarray [n_mag, n_color]
        Mean of the diagrams.
    """

    reference: tuple[np.ndarray, np.ndarray, np.ndarray]
    mean_density: np.ndarray
    mean_counts: np.ndarray

    @property
    def n_nodes(self) -> int:
        """Positions that have a reference CMD."""
        return len(self.reference[0])


@runtime_checkable
class LearnsFromPairs(Protocol):
    """A layer that takes what it needs of `PairFacts` into its weights."""

    def learn_from(self, facts: PairFacts) -> None: ...
