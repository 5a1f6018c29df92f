"""Pixels of a diagram gathered in coarser blocks."""

import numpy as np

from extmap_tf.grids.diagram import Diagram


def block_of(pixels: np.ndarray, diagram: Diagram, size: int) -> np.ndarray:
    """Which block of `size` x `size` pixels each flat pixel lies in, numbered without gaps."""
    row, column = np.divmod(pixels, diagram.x.n_pixels)
    return np.unique((row // size) * diagram.x.n_pixels + column // size, return_inverse=True)[1]


def summed(counts: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Counts [..., n_pixels] summed over blocks [n_pixels] to [..., n_blocks]."""
    order = np.argsort(blocks, kind="stable")
    first = np.searchsorted(blocks[order], np.arange(blocks.max() + 1))
    return np.add.reduceat(counts[..., order], first, axis=-1)
