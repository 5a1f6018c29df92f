"""What layers must know of the training pairs before the training begins."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class PairFacts:
    """What training pairs have in common.

    Parameters
    ----------
    reference : (ndarray, ndarray, dict of str to ndarray)
        l_deg, b_deg and by diagram the counts to expect without extinction, see `Records.reference`.
    mean_density : ndarray [n_distances]
        Mean of the profiles, mag / kpc.
    mean_counts : dict of str to ndarray [n_y, n_x]
        Mean of each diagram.
    """

    reference: tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]
    mean_density: np.ndarray
    mean_counts: dict[str, np.ndarray]

    @property
    def n_nodes(self) -> int:
        """Positions that have a reference CMD."""
        return len(self.reference[0])


@runtime_checkable
class LearnsFromPairs(Protocol):
    """A layer that takes what it needs of `PairFacts` into its weights."""

    def learn_from(self, facts: PairFacts) -> None: ...
