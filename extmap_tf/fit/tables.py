"""Expected diagrams of a region: by population of stars, kind, shell of distance, and extinction.

What a field is expected to hold is a sum over shells, each dimmed by its own extinction. Stars of a
population look alike wherever they are, so that one table serves a whole region: a field's is the sum over
populations with the weights of its place. All offsets that a table knows (`Baked`) are in it exactly; small
ones beside these move it to first order: in colour (and by the law) and in magnitude by the stored slopes, in
depth by the share of each block's stars that is seen.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any, Self

import numpy as np
from scipy import sparse

from extmap_tf.errors import DataError
from extmap_tf.extinction.law import blue_over_red
from extmap_tf.files import PathLike
from extmap_tf.fit.response import response
from extmap_tf.fit.stars import CELL_COLOR_MAG, CELL_MAG, KINDS, Shells, Stars, stars_of, weights_of
from extmap_tf.settings.config import Config

# Extinctions grow from steps of 0.03 mag, half a pixel of colour, in proportion to A beyond 1 mag, where
# patchiness blurs the diagram.
_STEP_MAG = 0.03
_LARGEST_MAG = 12.0
# Where a field has less than so many stars left, more extinction takes them away as well.
_LEAST_STARS = 0.02

# Half the steps of the slopes.
_STEPS_MAG = {"color_mag": 0.03, "mag_mag": 0.05}

# Depths of the shares that are seen, beside the table's own: finer than the pixels that limits cut through.
DEPTHS_MAG = np.arange(-0.4, 0.41, 0.02)

# Pixels are gathered in blocks until a block is expected to hold a star and a half.
_LEAST_IN_BLOCK, _LARGEST_BLOCK = 1.5, 8
_FORMAT = "extmap_tf expected diagrams of a region"
_ARRAYS = ("blocks", "extinction_mag", "parts", "scale", "kind", "shell", "ln_seen")

# A few extinctions whose stars say which pixels matter.
_TYPICAL_MAG = (0.0, 0.2, 0.5, 1.2)
# What is added to shares of so many stars of the fullest block, so that none is 0/0.
_NO_STARS = 1e-6


@dataclass(frozen=True)
class Baked:
    """Offsets that are in a table exactly.

    Parameters
    ----------
    blue_over_red : float
        A(blue)/A(red).
    color_mag, mag_mag, depth_mag : float
        As in `extmap_tf.mocks.nuisances.Nuisances`.
    loss_mag : float
        Loss of depth by crowding.
    """

    blue_over_red: float
    color_mag: float = 0.0
    mag_mag: float = 0.0
    depth_mag: float = 0.0
    loss_mag: float = 0.0


@dataclass(frozen=True, eq=False)
class PlaceTable:
    """Expected stars of one field.

    Parameters
    ----------
    counts, by_color, by_mag : ndarray of float32 [n_rows, n_extinctions, n_blocks]
        Stars, and their change for a magnitude of colour, and of both bands. Rows are kinds and shells.
    kind, shell : ndarray of int [n_rows]
    """

    counts: np.ndarray
    by_color: np.ndarray
    by_mag: np.ndarray
    kind: np.ndarray
    shell: np.ndarray


@dataclass(frozen=True, eq=False)
class RegionTable:
    """Expected diagrams of a region.

    Parameters
    ----------
    shells : Shells
    baked : Baked
    blocks : ndarray of int [n_pixels]
        Which block each pixel of the diagram is in.
    extinction_mag : ndarray [n_extinctions]
        Ascending from 0.
    parts : ndarray of float16 [3, n_populations, n_rows, n_extinctions, n_blocks]
        As the three tables of a place, for populations of weight one.
    scale : ndarray of float32 [3, n_populations, n_rows, n_extinctions]
        What they are to be multiplied by.
    kind, shell : ndarray of int [n_rows]
    ln_seen : ndarray [n_depths, n_blocks]
        Logarithm of the share of stars that is seen at each of `DEPTHS_MAG`, over that of the table's own.
    weights : callable
        Of `extmap_tf.fit.stars.weights_of`.
    """

    shells: Shells
    baked: Baked
    blocks: np.ndarray
    extinction_mag: np.ndarray
    parts: np.ndarray
    scale: np.ndarray
    kind: np.ndarray
    shell: np.ndarray
    ln_seen: np.ndarray
    weights: Callable[[float, float], np.ndarray]

    def at(self, l_deg: float, b_deg: float) -> PlaceTable:
        """The table of one place."""
        weights = self.scale * self.weights(l_deg, b_deg)[:, self.shell, None]
        found = np.zeros((3, *self.parts.shape[2:]), np.float32)
        for total, part, weight in zip(found, self.parts, weights.astype(np.float32), strict=True):
            for p in np.flatnonzero(weight.any(axis=(1, 2))):
                total += weight[p][..., None] * part[p]
        return PlaceTable(found[0], found[1], found[2], self.kind, self.shell)

    def stars(self, l_deg: float, b_deg: float) -> np.ndarray:
        """How many stars a place has in each row [n_rows], if there is no dust."""
        return (self._dustless * self.weights(l_deg, b_deg)[:, self.shell]).sum(axis=0)

    @cached_property
    def _dustless(self):
        return self.parts[0, :, :, 0].sum(axis=-1, dtype=float) * self.scale[0, ..., 0]

    def write(self, stream: IO[bytes], config: Config) -> None:
        """Write the table as a NumPy archive (`.npz`) that says what it is and of which configuration."""
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS}
        baked = np.array(dataclasses.astuple(self.baked))
        np.savez(stream, format=_FORMAT, config_digest=config.digest, baked=baked, **arrays)

    @classmethod
    def read(cls, path: PathLike, config: Config) -> Self:
        """Read what `write` wrote; DataError if it is no such file, or of another configuration."""
        try:
            with np.load(path) as found:
                about = {name: str(found[name]) for name in ("format", "config_digest")}
                arrays = {name: found[name] for name in ("baked", *_ARRAYS)}
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{path}: no table of expected diagrams ({error})") from None
        if about != {"format": _FORMAT, "config_digest": config.digest}:
            raise DataError(f"{path}: a table of configuration {about['config_digest']}, not {config.digest}")
        shells, baked = Shells.of(config.distance), Baked(*arrays.pop("baked").tolist())
        return cls(shells=shells, baked=baked, weights=weights_of(config, shells), **arrays)

    def summed(self, counts: np.ndarray) -> np.ndarray:
        """Counts [n, n_mag, n_color] summed over blocks [n, n_blocks], float32."""
        flat = np.asarray(counts).reshape(len(counts), -1)
        n_blocks = int(self.blocks.max()) + 1
        return np.stack([np.bincount(self.blocks, row, n_blocks) for row in flat]).astype(np.float32)


def extinction_nodes() -> np.ndarray:
    """Extinctions of a table, mag."""
    return np.sinh(_STEP_MAG * np.arange(int(np.ceil(np.arcsinh(_LARGEST_MAG) / _STEP_MAG)) + 1))


def region_table(config: Config, stars: Stars | None = None, baked: Baked | None = None) -> RegionTable:
    """Make the table of a configuration's region.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
    stars : Stars, optional
        Of `stars_of`, where they are there already.
    baked : Baked, optional
        By default the mean of the law's prior, and no offsets.
    """
    shells = Shells.of(config.distance)
    stars, weights = stars or stars_of(config, shells), weights_of(config, shells)
    baked = baked or Baked(blue_over_red(config.law, config.survey) + config.nuisances.law_ratio_mean)
    n_populations, n_cells = len(stars.counts), len(stars.red_mag)
    rows = stars.counts.reshape(n_populations, KINDS * len(shells), n_cells)
    used = np.flatnonzero(rows.max(axis=(0, 2)) > 0)
    kind, shell = np.divmod(used, len(shells))
    middle = weights(*config.middle_deg())[:, shell]
    typical = np.einsum("pr,prc->c", middle, rows[:, used])
    blocks = _blocks(config, typical, stars, baked)
    rows = sparse.csr_array(rows[:, used].reshape(-1, n_cells))
    nodes = extinction_nodes()
    shape = (3, n_populations, len(used), len(nodes))
    # Pages of it are taken as they are filled.
    parts, scale = np.zeros((*shape, int(blocks.max()) + 1), np.float16), np.ones(shape, np.float32)
    for i, a_red in enumerate(nodes):
        steps = (
            {},
            *({name: x} for name in ("color_mag", "mag_mag") for x in (_STEPS_MAG[name], -_STEPS_MAG[name])),
        )
        now, redder, bluer, fainter, brighter = (
            _seen(config, stars, baked, a_red, blocks, **by) for by in steps
        )
        by_color = (redder - bluer) / (2 * _STEPS_MAG["color_mag"])
        by_mag = (fainter - brighter) / (2 * _STEPS_MAG["mag_mag"])
        for k, part in enumerate((now, by_color, by_mag)):
            counts = (rows @ part).toarray().reshape(n_populations, len(used), -1)
            largest = np.abs(counts).max(axis=-1)
            scale[k, ..., i] = np.where(largest > 0, largest, 1.0)
            parts[k, :, :, i] = counts / scale[k, ..., i, None]
        left = parts[0, :, :, i].sum(axis=-1, dtype=float) * scale[0, ..., i]
        if (middle * left).sum() < _LEAST_STARS:
            nodes, parts, scale = nodes[: i + 1], parts[:, :, :, : i + 1], scale[..., : i + 1]
            break
    ln_seen = _ln_seen(config, typical, stars, baked, blocks)
    return RegionTable(
        shells, baked, blocks, nodes.astype(np.float32), parts, scale, kind, shell, ln_seen, weights
    )


def _seen(config, stars, baked, a_red, blocks, color_mag=0.0, mag_mag=0.0, depth_mag=0.0):
    red = stars.red_mag + baked.mag_mag + mag_mag + a_red
    color = stars.color_mag + baked.color_mag + color_mag + (baked.blue_over_red - 1) * a_red
    return response(
        red,
        red + color,
        (CELL_MAG, CELL_COLOR_MAG),
        config.survey,
        config.diagrams[0],
        blocks,
        baked.depth_mag - baked.loss_mag + depth_mag,
    )


def _blocks(config, typical, stars, baked):
    """Blocks of pixels: squares of 1, 2, 4, ... pixels, larger where stars are few."""
    diagram = config.diagrams[0]
    single = np.arange(diagram.n_pixels)
    image = sum(typical @ _seen(config, stars, baked, a_red, single) for a_red in _TYPICAL_MAG)
    image = (image / len(_TYPICAL_MAG)).reshape(diagram.shape)
    return gathered(image)


def gathered(image: np.ndarray) -> np.ndarray:
    """Which block each flat pixel is in, so that blocks hold enough of an expected image."""
    row, column = np.indices(image.shape)
    label = np.full(image.shape, -1, np.int64)
    size = _LARGEST_BLOCK
    offset = 0
    while size >= 1:
        block = (row // size) * image.shape[1] + column // size
        # Split while all quarters of a block would hold enough.
        half = max(size // 2, 1)
        quarter = (row // half) * image.shape[1] + column // half
        in_quarter = np.bincount(quarter.ravel(), image.ravel())[quarter]
        poorest = np.full(block.max() + 1, np.inf)
        np.minimum.at(poorest, block.ravel(), in_quarter.ravel())
        stays = (label < 0) & ((size == 1) | (poorest[block] < _LEAST_IN_BLOCK))
        label[stays] = offset + block[stays]
        offset += image.size
        size //= 2
    return np.unique(label.ravel(), return_inverse=True)[1]


def _ln_seen(config, typical, stars, baked, blocks):
    def seen_at(depth_mag):
        parts = [_seen(config, stars, baked, a, blocks, depth_mag=depth_mag) for a in _TYPICAL_MAG]
        return sum(typical @ part for part in parts)

    own = seen_at(0.0)
    floor = _NO_STARS * own.max()
    return np.log(np.array([(seen_at(depth) + floor) / (own + floor) for depth in DEPTHS_MAG]))
