r"""Profiles as a total and the shares of its halves, quarters, eighths, and so on.

A profile is its total, as the normal number at whose quantile ln(total) is in the prior's range, and for
every node of a binary tree over the bins of distance the logit of the share of the node's dust that lies in
its nearer part. What no star tells, how dust is spread inside a stretch, is then in parameters that leave the
column of the stretch as it is; of logarithms of density in single bins, these would all have a say in every
column.
"""

import numpy as np
from scipy.special import ndtr, ndtri

from extmap_tf.settings.profiles import ProfilePrior

_FLOOR = 1e-12
# Of the prior's range: totals at its very ends are a little inside.
_LEAST_SHARE = 0.005


class ProfileTree:
    """The parameters of profiles of n bins: the total's first, then nodes from coarse to fine.

    Parameters
    ----------
    n : int
        Number of bins.
    profiles : extmap_tf.settings.profiles.ProfilePrior
        Its range of totals.
    """

    def __init__(self, n: int, profiles: ProfilePrior) -> None:
        self._low, high = np.log([profiles.total_min_mag, profiles.total_max_mag])
        self._span = high - self._low
        # +1 where a bin is in the nearer part of a node, -1 in the farther, 0 in neither.
        self._side = np.zeros((n, n))
        nodes = [(0, n)]
        for number in range(1, n):
            first, end = nodes[number - 1]
            middle = _middle(first, end)
            self._side[first:middle, number], self._side[middle:end, number] = 1, -1
            nodes += [part for part in ((first, middle), (middle, end)) if part[1] - part[0] > 1]
        self._nearer, self._farther = (self._side > 0).astype(float), (self._side < 0).astype(float)

    def of_increments(self, increments: np.ndarray) -> np.ndarray:
        """Parameters [..., n] of extinctions of the bins [..., n], mag."""
        increments = np.maximum(increments, _FLOOR)
        found = np.log(increments @ self._nearer + _FLOOR) - np.log(increments @ self._farther + _FLOOR)
        share = (np.log(increments.sum(axis=-1)) - self._low) / self._span
        found[..., 0] = ndtri(np.clip(share, _LEAST_SHARE, 1.0 - _LEAST_SHARE))
        return found

    def increments(self, tree: np.ndarray) -> np.ndarray:
        """Extinctions of the bins [..., n], mag."""
        # Logarithms of the shares: ln sigmoid(u) = -ln(1 + exp(-u)).
        nearer, farther = -np.logaddexp(0.0, -tree), -np.logaddexp(0.0, tree)
        ln_total = self._low + self._span * ndtr(tree[..., :1])
        return np.exp(ln_total + nearer @ self._nearer.T + farther @ self._farther.T)

    def slopes(self, tree: np.ndarray, increments: np.ndarray) -> np.ndarray:
        """Derivatives [..., n bins, n parameters] of the increments."""
        share = 1.0 / (1.0 + np.exp(-tree))[..., None, :]
        slope = self._nearer * (1.0 - share) - self._farther * share
        slope[..., 0] = self._span * np.exp(-0.5 * tree[..., :1] ** 2) / np.sqrt(2.0 * np.pi)
        return increments[..., None] * slope


def _middle(first, end):
    """Where a stretch of bins is parted: in the middle of the logarithm of distance."""
    middle = round(np.sqrt(max(first, 0.1 * end) * end))
    return min(max(middle, first + 1), end - 1)
