"""Expected diagrams of some fields of a place, and their derivatives by all that they depend on."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from extmap_tf.fit.behind import Dimming
from extmap_tf.fit.patchy import PatchyLayers
from extmap_tf.fit.tables import DEPTHS_MAG, PlaceTable, RegionTable
from extmap_tf.fit.tree import ProfileTree
from extmap_tf.settings.config import Config

NUISANCES = ("color_mag", "mag_mag", "depth_mag", "ln_count", "ln_luminous", "ln_distance", "law_ratio")

# Expected stars per block that no model has: without them a single stray star where none is expected would
# outweigh all the others.
BACKGROUND = 1e-3

# Below so many stars in a block, an expected number bends away from zero.
_SOFT = 0.01


@dataclass(frozen=True, eq=False)
class State:
    """What fields are taken to be.

    Parameters
    ----------
    profile : ndarray [n, n_distances]
        Parameters of `extmap_tf.fit.tree`.
    patchiness : ndarray [n, n_patchiness]
        Normal numbers for the nearer layer's and, with two layers, the farther one's and where it begins.
    nuisances : ndarray [n, 7]
        In the order of `NUISANCES`, beside the table's own.
    """

    profile: np.ndarray
    patchiness: np.ndarray
    nuisances: np.ndarray

    def moved(self, step: np.ndarray) -> "State":
        """The same, changed by [n, n_distances + n_patchiness + 7]."""
        n, p = self.profile.shape[1], self.patchiness.shape[1]
        return State(
            self.profile + step[:, :n],
            self.patchiness + step[:, n : n + p],
            self.nuisances + step[:, n + p :],
        )

    def __getitem__(self, rows: Any) -> "State":
        return State(self.profile[rows], self.patchiness[rows], self.nuisances[rows])

    def chosen(self, mine: np.ndarray, other: "State") -> "State":
        """Rows of `mine` from this, the others from `other`."""
        return State(
            *(
                np.where(mine[:, None], a, b)
                for a, b in (
                    (self.profile, other.profile),
                    (self.patchiness, other.patchiness),
                    (self.nuisances, other.nuisances),
                )
            )
        )


class Fields(NamedTuple):
    """What is known of fields beside their diagrams.

    Parameters
    ----------
    scale : ndarray [n, n_rows]
        Stars over those of the table, row by row: covered share, and the field's place.
    depth_mag : ndarray [n]
        How much deeper than the table's they are: the loss by crowding, negative.
    """

    scale: np.ndarray
    depth_mag: np.ndarray


class ExpectedDiagrams:
    """Expected diagrams of fields that share the table of one place.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
    region : RegionTable
    place : PlaceTable
    """

    def __init__(self, config: Config, region: RegionTable, place: PlaceTable) -> None:
        self._region, self._place = region, place
        bins_kpc = config.distance.edges_kpc
        layers = PatchyLayers(config.profiles, bins_kpc)
        self.n_patchiness = layers.n_numbers
        self.tree = ProfileTree(config.distance.n_distances, config.profiles)
        edges_kpc = np.append(region.shells.edges_kpc, 1.5 * config.distance.max_kpc)
        self._ln_kpc = np.log(np.clip(0.5 * (edges_kpc[1:] + edges_kpc[:-1]), 0.1, 10.0))
        self._grid = region.extinction_mag.astype(float)
        self._dimming = Dimming(self._grid, region.shells, layers, bins_kpc)

    def edges_mag(self, state: State) -> np.ndarray:
        """Extinction at the edges of the bins [n, n_distances + 1]."""
        return np.pad(np.cumsum(self.tree.increments(state.profile), axis=1), ((0, 0), (1, 0)))

    def mean(self, state: State, fields: Fields) -> np.ndarray:
        """Expected stars [n, n_blocks], without a background."""
        return self._evaluate(state, fields, False)[0]

    def with_slopes(self, state: State, fields: Fields) -> tuple[np.ndarray, np.ndarray]:
        """Expected stars, and their derivatives [n, n_distances + n_patchiness + 7, n_blocks].

        The derivatives are by the extinction inside each bin, by the normal numbers of the
        patchiness, and by the nuisances.
        """
        return self._evaluate(state, fields, True)

    def _evaluate(self, state, fields, slopes):
        place = self._place
        behind = self._dimming.behind(self.edges_mag(state), state.patchiness, slopes)
        off = dict(zip(NUISANCES, state.nuisances.T, strict=True))
        ratio = (self._region.baked.blue_over_red - 1.0 + off["law_ratio"])[:, None, None].astype(np.float32)
        redder = (off["color_mag"][:, None] + off["law_ratio"][:, None] * self._grid).astype(np.float32)
        redder, fainter = redder[:, None], off["mag_mag"][:, None, None].astype(np.float32)
        row_factor = fields.scale * np.exp(
            off["ln_count"][:, None]
            + off["ln_distance"][:, None] * self._ln_kpc[place.shell]
            + off["ln_luminous"][:, None] * place.kind
        )
        n, n_blocks, n_layers = len(row_factor), place.counts.shape[2], behind.by_layer.shape[2]
        mean, by_color, by_law, by_mag, luminous, distance = np.zeros((6, n, n_blocks))
        by_layer = np.zeros((n, n_layers, n_blocks))
        by_bin = np.zeros((n, behind.by_bin.shape[1] if slopes else 0, n_blocks))
        for r, shell in enumerate(place.shell):
            cells = np.flatnonzero(self._dimming.shell_of_cell == shell)
            w = [behind.value[:, shell, None]]
            if slopes:
                w += [behind.by_layer[:, shell], behind.by_bin[:, cells]]
            w = (row_factor[:, r, None, None, None] * np.concatenate(w, axis=1)).astype(np.float32)
            low, high = _used(w)
            value, rise = w[..., 0, low:high], w[..., 1, low:high]
            counts, color, mag = (part[r, low:high] for part in (place.counts, place.by_color, place.by_mag))
            image = _times(value, counts)
            image += _times(value * redder[..., low:high] + rise * ratio, color)
            image += _times(value * fainter + rise, mag)
            mean += image[:, 0]
            if slopes:
                by_layer += image[:, 1 : 1 + n_layers]
                by_bin[:, cells] += image[:, 1 + n_layers :]
                by_color += value[:, 0] @ color
                by_mag += value[:, 0] @ mag
                by_law += (value[:, 0] * self._grid[low:high].astype(np.float32) + rise[:, 0]) @ color
                luminous += image[:, 0] * place.kind[r]
                distance += self._ln_kpc[shell] * image[:, 0]
        seen, seen_slope = self._seen(off["depth_mag"] + fields.depth_mag)
        positive, slope = _positive(mean)
        if not slopes:
            return positive * seen, None
        # The dust of a bin is in front of all stars beyond, and of half of its own.
        beyond = by_bin[:, ::-1].cumsum(axis=1)[:, ::-1]
        n_bins = state.profile.shape[1]
        dust = 0.5 * (beyond[:, :n_bins] + beyond[:, 1 : n_bins + 1])
        spread, patchy = behind.spread, list(np.moveaxis(by_layer, 1, 0))
        if len(patchy) == 3:
            dust += spread.front_of_bin[:, :, None] * by_layer[:, 2, None]
            patchy[2] = by_layer[:, 2] * spread.front_by_normal[:, None]
        common = [by_color, by_mag, np.zeros_like(mean), mean, luminous, distance, by_law]
        derivative = np.concatenate([dust, np.stack([*patchy, *common], axis=1)], axis=1)
        derivative *= (seen * slope)[:, None]
        # Depth is a factor on what is left.
        depth = dust.shape[1] + len(patchy) + NUISANCES.index("depth_mag")
        derivative[:, depth] = positive * seen * seen_slope
        return positive * seen, derivative

    def _seen(self, depth_mag):
        """Factor on each block's stars [n, n_blocks] at a depth, and the slope of its logarithm."""
        ln = self._region.ln_seen
        place = np.clip(
            (depth_mag - DEPTHS_MAG[0]) / (DEPTHS_MAG[1] - DEPTHS_MAG[0]), 0, len(DEPTHS_MAG) - 1.001
        )
        low = place.astype(int)
        share = (place - low)[:, None]
        slope = (ln[low + 1] - ln[low]) / (DEPTHS_MAG[1] - DEPTHS_MAG[0])
        return np.exp(ln[low] * (1 - share) + ln[low + 1] * share), slope


def _positive(mean):
    """Expected stars that first-order changes made negative, made positive smoothly; and the slope."""
    root = np.hypot(mean, _SOFT)
    return 0.5 * (mean + root), 0.5 * (1.0 + mean / root)


def _used(weights):
    """First extinction with a weight, and the one after the last."""
    used = np.flatnonzero(weights.any(axis=tuple(range(weights.ndim - 1))))
    return (used[0], used[-1] + 1) if used.size else (0, 1)


def _times(weights, part):
    """Weights [n, n_inner, n_extinctions] times stars [n_extinctions, n_blocks]."""
    n, n_inner, n_extinctions = weights.shape
    return (weights.reshape(n * n_inner, n_extinctions) @ part).reshape(n, n_inner, -1)
