r"""How unevenly dust lies across a field: the spread of columns at each distance, and its slopes.

Stars behind one layer of patchy dust have its mean column A times a log-normal factor; behind two, the sum of
two such columns, whose first two moments another log-normal column has (Fenton 1960, IRE Trans. Commun. 8,
57):

.. math:: \sigma^2 = \ln(1 + f^2 (e^{\sigma_1^2} - 1) + (1 - f)^2 (e^{\sigma_2^2} - 1)),

with f the share of A that lies in the nearer layer.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from extmap_tf.settings.profiles import ProfilePrior

NEAREST_LAYER_KPC = 0.3
_LEAST_MAG, _LEAST_SIGMA = 1e-6, 1e-4


@dataclass(frozen=True, eq=False)
class Spread:
    """Of the logarithm of columns at some points [n, n_cells, n_points].

    Parameters
    ----------
    sigma : ndarray
        Standard deviation.
    by_normal : tuple of ndarray
        Its derivatives by the normal numbers of the nearer and, with two layers, the farther one.
    by_column, by_front : ndarray
        And by the mean column, and by that in front of the farther layer.
    front_of_bin : ndarray [n, n_bins]
        Which share of each bin's dust is in front of the farther layer.
    front_by_normal : ndarray [n]
        Derivative of the column in front of it by the normal number of where it begins.
    """

    sigma: np.ndarray
    by_normal: tuple[np.ndarray, ...]
    by_column: np.ndarray
    by_front: np.ndarray
    front_of_bin: np.ndarray
    front_by_normal: np.ndarray


class PatchyLayers:
    """The layers of a prior, as functions of normal numbers.

    Parameters
    ----------
    profiles : extmap_tf.settings.profiles.ProfilePrior
    edges_kpc : ndarray [n_bins + 1]
        Of the bins of distance.
    """

    def __init__(self, profiles: ProfilePrior, edges_kpc: np.ndarray) -> None:
        self._largest, self._power = profiles.patchiness_max, profiles.patchiness_power
        self._edges_kpc = edges_kpc
        self.n_numbers = (3 if profiles.patchy_layers == 2 else 1) if self._largest else 0

    def spread(self, normal: np.ndarray, edges_mag: np.ndarray, column_mag: np.ndarray) -> Spread:
        """The spread of columns.

        Parameters
        ----------
        normal : ndarray [n, n_numbers]
            Of the nearer layer's width, the farther one's, and where that begins.
        edges_mag : ndarray [n, n_bins + 1]
            Mean column at the edges of the bins.
        column_mag : ndarray [n, n_cells, n_points]
            And at the points.
        """
        nothing, bins = np.zeros_like(column_mag), np.zeros_like(edges_mag[:, 1:])
        if not self.n_numbers:
            return Spread(nothing, (), nothing, nothing, bins, bins[:, 0])
        near, near_slope = self._sigma(normal[:, 0])
        if self.n_numbers == 1:
            return Spread(nothing + near, (nothing + near_slope,), nothing, nothing, bins, bins[:, 0])
        far, far_slope = self._sigma(normal[:, 1])
        front_mag, front_of_bin, front_by_normal = self._front(normal[:, 2], edges_mag)
        column = np.maximum(column_mag, _LEAST_MAG)
        f = np.minimum(front_mag[:, None, None] / column, 1.0)
        near_square, far_square = np.expm1(near**2), np.expm1(far**2)
        square = f**2 * near_square + (1.0 - f) ** 2 * far_square
        sigma = np.maximum(np.sqrt(np.log1p(square)), _LEAST_SIGMA)
        by_square = 0.5 / (sigma * (1.0 + square))
        by_near = by_square * f**2 * 2.0 * near * (near_square + 1.0) * near_slope
        by_far = by_square * (1.0 - f) ** 2 * 2.0 * far * (far_square + 1.0) * far_slope
        by_f = by_square * 2.0 * (f * near_square - (1.0 - f) * far_square) * (f < 1.0)
        return Spread(
            sigma, (by_near, by_far), -by_f * f / column, by_f / column, front_of_bin, front_by_normal
        )

    def _sigma(self, normal):
        """Width of a layer [n, 1, 1] at a normal number [n], and its slope."""
        normal = normal[:, None, None]
        share = ndtr(normal)
        density = np.exp(-0.5 * normal**2) / np.sqrt(2.0 * np.pi)
        slope = self._largest * self._power * share ** (self._power - 1.0) * density
        return self._largest * share**self._power, slope

    def _front(self, normal, edges_mag):
        """Column in front of the farther layer [n], shares of bins there, and its slope by the number."""
        edges_kpc = self._edges_kpc
        span = np.log(edges_kpc[-1] / NEAREST_LAYER_KPC)
        begin_kpc = NEAREST_LAYER_KPC * np.exp(span * ndtr(normal))
        depth_kpc = np.diff(edges_kpc)
        share = np.clip((begin_kpc[:, None] - edges_kpc[:-1]) / depth_kpc, 0.0, 1.0)
        dust = np.diff(edges_mag, axis=1)
        k = np.clip(np.searchsorted(edges_kpc, begin_kpc, "right") - 1, 0, len(depth_kpc) - 1)
        by_kpc = dust[np.arange(len(k)), k] / depth_kpc[k]
        by_normal = begin_kpc * span * np.exp(-0.5 * normal**2) / np.sqrt(2.0 * np.pi)
        return (share * dust).sum(axis=1), share, by_kpc * by_normal
