"""Expected diagrams of a place with derivatives that agree with each other: for `forecast.py`."""

import numpy as np
from scipy.special import ndtr

from extmap_tf.fit.expected import NUISANCES
from extmap_tf.fit.tables import DEPTHS_MAG

# Of the log-normal spread of columns, of the stars inside a shell, and where the farther layer may begin.
NODES = np.linspace(-2.8, 2.8, 15)
NODE_WEIGHTS = np.exp(-0.5 * NODES**2) / np.exp(-0.5 * NODES**2).sum()
INSIDE = np.array([1 / 6, 1 / 2, 5 / 6])
FIRST_LAYER_KPC, PATCHY_STEP = 0.3, 0.05


class Diagrams:
    """Expected diagrams of one place, block by block, and their derivatives.

    Those by extinctions, law, colour and magnitude are made of the same two fields of slopes, by colour and
    by magnitude: what is degenerate in the sky is so here. Those of `extmap_tf.fit.expected`, by extinctions
    of the interpolated table and by the law of its slopes, differ by a percent or so where dust is even. A
    wall is seen at several hundred sigma, so that the law would seem to be known several times too well.
    """

    def __init__(self, config, table, l_deg, b_deg):
        place, shells = table.at(l_deg, b_deg), table.shells
        self.config, self.place, self._ln_seen = config, place, table.ln_seen
        # Of the shells up to the last bin; behind these there is no dust.
        self.first = shells.first[shells.first < config.distance.n_distances]
        self._n_beyond = len(shells.first) - len(self.first)
        self.edges_kpc = shells.edges_kpc[: len(self.first) + 1]
        self.grid = table.extinction_mag.astype(float)
        self._by_extinction = place.by_mag + np.float32(table.baked.blue_over_red - 1.0) * place.by_color
        ends = np.append(shells.edges_kpc, 1.5 * shells.edges_kpc[-1])
        self._inside_kpc = ends[:-1, None] + np.diff(ends)[:, None] * INSIDE
        self._ln_kpc = np.clip(np.log(np.maximum(self._inside_kpc[:, 1], 0.05)), np.log(0.1), np.log(10.0))

    def mean(self, shells, patchiness, covered=1.0, depth_mag=0.0):
        """Expected stars [n_blocks] behind the dust of each shell [n_shells], mag."""
        value = self._weights(shells, patchiness)[0]
        return self._image(value, self.place.counts).sum(axis=0) * self._seen(covered, depth_mag)[0]

    def with_slopes(self, shells, patchiness, covered=1.0, depth_mag=0.0):
        """The same, and derivatives [n_shells + 3 + 7, n_blocks] by shells, patchiness and `NUISANCES`."""
        seen, seen_slope = self._seen(covered, depth_mag)
        value, inner, outer = self._weights(shells, patchiness)
        stars = self._image(value, self.place.counts)
        by_inner, by_outer = (self._image(part, self._by_extinction) for part in (inner, outer))
        beyond = (by_inner + by_outer)[::-1].cumsum(axis=0)[::-1]
        by_color, by_law = (self._image(part, self.place.by_color) for part in (value, value * self.grid))
        luminous = self._rows(value, self.place.counts)[self.place.kind == 1].sum(axis=0)
        mean, off = stars.sum(axis=0), {}
        off["color_mag"], off["law_ratio"] = by_color.sum(axis=0), by_law.sum(axis=0)
        off["mag_mag"] = self._image(value, self.place.by_mag).sum(axis=0)
        off["depth_mag"], off["ln_count"] = mean * seen_slope, mean
        off["ln_luminous"], off["ln_distance"] = luminous, self._ln_kpc @ stars
        n = len(self.first)
        slopes = [by_outer[:n] + beyond[1 : n + 1], self._by_patchiness(shells, patchiness)]
        slopes.append(np.array([off[name] for name in NUISANCES]))
        return mean * seen, np.concatenate(slopes) * seen

    def _by_patchiness(self, shells, patchiness):
        """Derivatives [3, n_blocks] by the normal numbers of the patchiness, without what is not seen."""
        parts = []
        for step in PATCHY_STEP * np.eye(3):
            above, below = (self._weights(shells, patchiness + x)[0] for x in (step, -step))
            parts.append(self._image(above - below, self.place.counts).sum(axis=0) / (2 * PATCHY_STEP))
        return np.array(parts)

    def _image(self, weights, table):
        """Stars [n_shells, n_blocks] of weights [n_shells, n_extinctions] of a table."""
        found = np.zeros((len(self._inside_kpc), table.shape[2]))
        np.add.at(found, self.place.shell, self._rows(weights, table))
        return found

    def _rows(self, weights, table):
        """The same by kind of star and shell [n_rows, n_blocks]."""
        return np.matmul(weights[self.place.shell].astype(np.float32)[:, None], table)[:, 0]

    def _seen(self, covered, depth_mag):
        """Factor on the stars of each block, and the slope of its logarithm by depth."""
        step = DEPTHS_MAG[1] - DEPTHS_MAG[0]
        at = np.clip((depth_mag - DEPTHS_MAG[0]) / step, 0, len(DEPTHS_MAG) - 1.001)
        low, above = self._ln_seen[int(at)], self._ln_seen[int(at) + 1]
        return covered * np.exp(low + (at - int(at)) * (above - low)), (above - low) / step

    def _weights(self, shells, patchiness):
        """How much of each shell is behind each extinction, and for a mag at its inner and outer edge.

        Two layers: the dust beyond a distance has a log-normal factor of its own.
        """
        profiles, grid = self.config.profiles, self.grid
        up_to = np.append(0.0, np.cumsum(shells))
        begins = np.append(up_to[:-1], np.full(self._n_beyond, up_to[-1]))
        dust = np.append(shells, np.zeros(self._n_beyond))
        inside = begins[:, None] + dust[:, None] * INSIDE
        near, far = (profiles.patchiness_max * ndtr(x) ** profiles.patchiness_power for x in patchiness[:2])
        begin_kpc = FIRST_LAYER_KPC * (self.edges_kpc[-1] / FIRST_LAYER_KPC) ** ndtr(patchiness[2])
        before = np.interp(begin_kpc, self.edges_kpc, up_to)
        factors = [np.exp(sigma * NODES) / (np.exp(sigma * NODES) @ NODE_WEIGHTS) for sigma in (near, far)]
        behind = self._inside_kpc > begin_kpc
        column = np.where(behind, before, inside)[..., None, None] * factors[0][:, None]
        column = column + np.where(behind, inside - before, 0.0)[..., None, None] * factors[1]
        factor = np.where(behind[..., None, None], factors[1], factors[0][:, None])
        # sinh(STEP i), as `extinction_nodes` has them.
        place = np.minimum(np.arcsinh(column) / np.arcsinh(grid[1]), len(grid) - 1.001)
        low = place.astype(int)
        share = (column - grid[low]) / (grid[low + 1] - grid[low])
        weight = NODE_WEIGHTS[:, None] * NODE_WEIGHTS / len(INSIDE) * (share <= 1.0)
        rows = (np.arange(len(inside)) * len(grid))[:, None, None, None] + low
        found = []
        for part in (
            weight,
            weight * factor * (1 - INSIDE)[:, None, None],
            weight * factor * INSIDE[:, None, None],
        ):
            flat = np.bincount(rows.ravel(), (part * (1 - share)).ravel(), len(inside) * len(grid))
            flat += np.bincount(rows.ravel() + 1, (part * share).ravel(), len(inside) * len(grid))
            found.append(flat.reshape(len(inside), len(grid)))
        return found
