"""How many stars of each shell of distance are behind each extinction of a table, and the slopes of that.

Between two extinctions, stars are interpolated as cubic polynomials (Hermite's) by their numbers at both and
how these rise with extinction. Linearly, stars between would be blurred by half a pixel of colour.
"""

from dataclasses import dataclass

import numpy as np

from extmap_tf.fit.patchy import PatchyLayers, Spread
from extmap_tf.fit.stars import Shells

# Nodes of the log-normal spread of columns, in standard deviations, and of the stars inside a bin.
_NODE_STEP = 0.25
_NODES = np.arange(-3.0, 3.01, _NODE_STEP)
_INSIDE = np.array([1 / 6, 1 / 2, 5 / 6])
# Steps of the golden ratio fill an interval evenly, however many there are.
_GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)


@dataclass(frozen=True, eq=False)
class Behind:
    """Weights on a table's stars, and on their rise with extinction.

    Parameters
    ----------
    value : ndarray [n, n_shells, 2, n_extinctions]
        Of all stars of a shell.
    by_layer : ndarray [n, n_shells, n_layers, 2, n_extinctions]
        Derivatives by the normal numbers of the layers' widths and, with two layers, by the extinction in
        front of the farther one.
    by_bin : ndarray [n, n_cells, 2, n_extinctions]
        Derivatives by the extinction of the stars of each cell: bins of distance, and shells beyond.
    spread : Spread
    """

    value: np.ndarray
    by_layer: np.ndarray
    by_bin: np.ndarray
    spread: Spread


class Dimming:
    """Puts the stars of shells behind profiles.

    Parameters
    ----------
    extinction_mag : ndarray [n_extinctions]
        Of the table, ascending from 0.
    shells : Shells
    layers : PatchyLayers
    edges_kpc : ndarray [n_bins + 1]
        Of the bins of distance.
    """

    def __init__(
        self, extinction_mag: np.ndarray, shells: Shells, layers: PatchyLayers, edges_kpc: np.ndarray
    ) -> None:
        self._grid, self._layers, self._n_shells = extinction_mag, layers, len(shells)
        n_bins, n_cells = len(edges_kpc) - 1, int(shells.first[-1]) + 1
        self._n_beyond = n_cells - n_bins
        self.shell_of_cell = np.searchsorted(shells.first, np.arange(n_cells), "right") - 1
        # Stars fill volumes: a shell's are so shared among its cells, and lie there inside a cell.
        volume = np.append(np.diff(edges_kpc**3), np.ones(self._n_beyond))
        self._share = volume / np.bincount(self.shell_of_cell, volume)[self.shell_of_cell]
        cubes = edges_kpc[:-1, None] ** 3 + np.diff(edges_kpc**3)[:, None] * _INSIDE
        inside = (np.cbrt(cubes) - edges_kpc[:-1, None]) / np.diff(edges_kpc)[:, None]
        beyond = np.full((self._n_beyond, len(_INSIDE)), 0.5)
        self._inside = np.append(inside, beyond, axis=0)  # [n_cells, n_inside]
        if layers.n_numbers:
            # Each point has its own nodes: with the same for all, patchy dust would be a comb.
            shift = np.arange(n_cells * len(_INSIDE)) * _GOLDEN % 1.0 - 0.5
            self._nodes = _NODES + _NODE_STEP * shift.reshape(n_cells, len(_INSIDE), 1)
        else:
            self._nodes = np.zeros((n_cells, len(_INSIDE), 1))
        chance = np.exp(-0.5 * self._nodes**2)
        self._chance = chance / chance.sum(axis=-1, keepdims=True)

    def behind(self, edges_mag: np.ndarray, normal: np.ndarray, slopes: bool) -> Behind:
        """Where the stars of fields are.

        Parameters
        ----------
        edges_mag : ndarray [n, n_bins + 1]
            Mean extinction at the edges of the bins.
        normal : ndarray [n, n_numbers]
            Of the layers.
        slopes : bool
            Whether derivatives are asked for; they are empty otherwise.
        """
        inner = np.append(edges_mag, np.repeat(edges_mag[:, -1:], self._n_beyond - 1, axis=1), axis=1)
        dust = np.pad(np.diff(edges_mag, axis=1), ((0, 0), (0, self._n_beyond)))
        at = inner[..., None] + dust[..., None] * self._inside  # [n, n_cells, n_inside]
        spread = self._layers.spread(normal, edges_mag, at)
        raw = np.exp(spread.sigma[..., None] * self._nodes)
        mean = (raw * self._chance).sum(axis=-1, keepdims=True)
        factor = raw / mean
        column = at[..., None] * factor  # [n, n_cells, n_inside, n_nodes]
        low = np.clip(np.searchsorted(self._grid, column) - 1, 0, len(self._grid) - 2)
        width = self._grid[low + 1] - self._grid[low]
        x = (column - self._grid[low]) / width
        # Behind more than the table's last extinction no star is left.
        weight = self._chance * (self._share / len(_INSIDE))[:, None, None] * (x <= 1.0)
        x = np.clip(x, 0.0, 1.0)
        nearer = 1.0 - x
        value = self._gathered(
            self.shell_of_cell,
            low,
            (weight * nearer**2 * (1.0 + 2.0 * x), weight * x**2 * (3.0 - 2.0 * x)),
            (weight * width * x * nearer**2, -weight * width * x**2 * nearer),
        )
        n, n_cells = inner.shape
        if not slopes:
            return Behind(value, np.zeros((n, self._n_shells, 0)), np.zeros((n, n_cells, 0)), spread)
        steep = weight * 6.0 * x * nearer / width
        rises = (weight * nearer * (1.0 - 3.0 * x), weight * x * (3.0 * x - 2.0))

        def changed(place, by):
            return self._gathered(place, low, (-by * steep, by * steep), (by * rises[0], by * rises[1]))

        bend = column * (self._nodes - (raw * self._nodes * self._chance).sum(axis=-1, keepdims=True) / mean)
        by_bin = changed(np.arange(n_cells), factor + bend * spread.by_column[..., None])
        of_layers = [*spread.by_normal, *([spread.by_front] if len(spread.by_normal) == 2 else [])]
        by_layer = [changed(self.shell_of_cell, bend * by[..., None]) for by in of_layers]
        nothing = np.zeros((n, self._n_shells, 0, *value.shape[2:]))
        return Behind(value, np.stack(by_layer, axis=2) if by_layer else nothing, by_bin, spread)

    def _gathered(self, place, low, *parts):
        """Weights below and above, of points of cells [n, n_cells, ...], summed by place and extinction."""
        n, n_places, n_grid = len(low), int(place[-1]) + 1, len(self._grid)
        first = (np.arange(n)[:, None] * n_places + place)[..., None, None] * n_grid
        where, size = (first + low).ravel(), n * n_places * n_grid
        sums = [
            np.bincount(where, below.ravel(), size) + np.bincount(where + 1, above.ravel(), size)
            for below, above in parts
        ]
        return np.stack([total.reshape(n, n_places, n_grid) for total in sums], axis=2)
