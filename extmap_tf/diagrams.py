"""Stars to colour-magnitude diagrams: the one place that bins.

Mock stars, survey stars and the stars sent to a served model are counted by the same rule: pixel
``floor((value - min) / width + 1e-4)`` along each axis, so that a star on an edge belongs above it, in
32-bit and 64-bit arithmetic alike.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from extmap_tf.grids.cmd import EDGE_TOLERANCE

COVERAGE_CELLS = 6
"""Where a field has data is told by which of its 6 x 6 cells hold stars."""


def pixel_of(blue_mag, red_mag, grid):
    """Flat pixel of each star.

    Parameters
    ----------
    blue_mag, red_mag : array_like [n_stars]
        Magnitudes; the colour is their difference.
    grid : extmap_tf.grids.cmd.CmdGrid

    Returns
    -------
    ndarray of int64 [n_stars]
        ``i_mag * n_color + i_color``, or -1 outside the grid or where a magnitude is NaN.
    """
    blue_mag, red_mag = np.asarray(blue_mag), np.asarray(red_mag)
    color_scale = grid.n_color / (grid.color_max_mag - grid.color_min_mag)
    mag_scale = grid.n_mag / (grid.mag_max_mag - grid.mag_min_mag)
    color = (blue_mag - red_mag - grid.color_min_mag) * color_scale + EDGE_TOLERANCE
    mag = (red_mag - grid.mag_min_mag) * mag_scale + EDGE_TOLERANCE
    inside = (color >= 0) & (color < grid.n_color) & (mag >= 0) & (mag < grid.n_mag)
    # A grid has at most 2^20 pixels, whole numbers that 32-bit floats hold. Integers are made of what is
    # inside: of a NaN or of 1e30 there is none.
    return np.where(inside, np.floor(mag) * grid.n_color + np.floor(color), -1).astype(np.int64)


def stars_to_cmd(blue_mag, red_mag, grid):
    """Count stars into one CMD.

    Returns
    -------
    ndarray of int64 [n_mag, n_color]
    """
    # The first slot takes the stars outside.
    slot = pixel_of(blue_mag, red_mag, grid) + 1
    return np.bincount(slot, minlength=grid.n_pixels + 1)[1:].reshape(grid.shape)


@dataclass(frozen=True)
class FieldCounts:
    """What the stars of one field add up to; sums of partial counts are counts of the whole.

    Parameters
    ----------
    slots : ndarray of int64 [n_pixels + 1 + 36]
        The CMD's pixels, the number of stars outside the CMD, and the stars in each coverage cell.
    """

    slots: np.ndarray

    @staticmethod
    def n_slots(grid):
        return grid.n_pixels + 1 + COVERAGE_CELLS**2

    def cmd(self, grid):
        """Counts [n_mag, n_color]."""
        return self.slots[: grid.n_pixels].reshape(grid.shape)

    def n_stars(self, grid):
        """Stars inside the CMD."""
        return int(self.slots[: grid.n_pixels].sum())

    def n_outside(self, grid):
        """Stars of the field that pass the cuts but lie outside the CMD."""
        return int(self.slots[grid.n_pixels])

    def coverage(self, grid):
        """Share of the field that has data, 0 to 1, from the cells that hold a star.

        n stars strewn over C cells leave some empty: they are expected in k = C [1 - exp(-n / C)] of them.
        This is solved for C, so that a field with few stars is not taken for one with gaps.
        """
        from scipy.special import lambertw

        cells = self.slots[grid.n_pixels + 1 :]
        n_stars, n_occupied = int(cells.sum()), int(np.count_nonzero(cells))
        if n_occupied in (0, n_stars):
            return float(n_stars > 0)
        ratio = n_stars / n_occupied
        n_cells = n_stars / (ratio + lambertw(-ratio * np.exp(-ratio)).real)
        return min(float(n_cells) / COVERAGE_CELLS**2, 1.0)


def batch_to_slots(batch, sightlines, grid):
    """Where the stars of a batch count: slots of the fields they are in.

    Parameters
    ----------
    batch : extmap_tf.catalogs.stars.StarBatch
    sightlines : extmap_tf.grids.squares.SightlineGrid or extmap_tf.grids.healpix.HealpixGrid
    grid : extmap_tf.grids.cmd.CmdGrid

    Returns
    -------
    slots : ndarray of int64 [n]
        ``field * FieldCounts.n_slots(grid) + slot``, in no order. A star is there twice for each field it is
        in: by its pixel, or as one outside the CMD, and by its coverage cell.
    n_in_no_field : int
        Stars in none of the fields.
    """
    star, field = sightlines.fields_of(batch.l_deg, batch.b_deg)
    n_in_no_field = batch.n_stars - np.count_nonzero(np.bincount(star, minlength=batch.n_stars))
    pixel = pixel_of(*batch.magnitudes.values(), grid)
    pixel = np.where(pixel < 0, grid.n_pixels, pixel)[star]
    x, y = sightlines.place_in_field(field, batch.l_deg[star], batch.b_deg[star])
    cell = _cell(y) * COVERAGE_CELLS + _cell(x)
    first = field * FieldCounts.n_slots(grid)
    return np.concatenate([first + pixel, first + grid.n_pixels + 1 + cell]), n_in_no_field


def slots_to_partial_counts(slots, grid, fields_per_block):
    """Count equal slots, block by block: neighbours of the grid's order travel together.

    Parameters
    ----------
    slots : ndarray of int64 [n]
        As `batch_to_slots` gives them, of any number of batches.
    grid : extmap_tf.grids.cmd.CmdGrid
    fields_per_block : int

    Returns
    -------
    list of (int, (ndarray of int32, ndarray of int32))
        For each block touched, in ascending order: its index, and its partial counts: slots that are not
        empty, ascending and from the block's first field on, with their counts.
    """
    slots, counts = np.unique(slots, return_counts=True)
    block_slots = fields_per_block * FieldCounts.n_slots(grid)
    n_blocks = int(slots.max(initial=-1)) // block_slots + 1
    edges = np.searchsorted(slots, np.arange(n_blocks + 1) * block_slots)
    return [
        (block, ((slots[i:j] - block * block_slots).astype(np.int32), counts[i:j].astype(np.int32)))
        for block, (i, j) in enumerate(itertools.pairwise(edges))
        if i < j
    ]


def add_partial_counts(partials):
    """Sum partial counts of one block: a sum of none is empty.

    Parameters
    ----------
    partials : iterable of (ndarray of int32, ndarray of int32)
        Slots and counts, as `slots_to_partial_counts` gives them.

    Returns
    -------
    ndarray of int32, ndarray of int32
        The same for all together.
    """
    empty = np.zeros(0, np.int32)
    slots, counts = (np.concatenate(column) for column in zip((empty, empty), *partials, strict=True))
    # Each part is sorted: a stable sort merges them.
    order = np.argsort(slots, kind="stable")
    slots, start = np.unique(slots[order], return_index=True)
    return slots, np.add.reduceat(counts[order], start, dtype=np.int32)


def block_to_field_counts(partial, grid, n_fields):
    """The fields of a block.

    Parameters
    ----------
    partial : (ndarray of int32, ndarray of int32)
        As `add_partial_counts` gives them.
    grid : extmap_tf.grids.cmd.CmdGrid
    n_fields : int
        Fields of the block.

    Yields
    ------
    FieldCounts
        Of every field in the grid's order, empty ones too.
    """
    slots, counts = partial
    n_slots = FieldCounts.n_slots(grid)
    edges = np.searchsorted(slots, np.arange(n_fields + 1) * n_slots)
    for field, (start, end) in enumerate(itertools.pairwise(edges)):
        dense = np.zeros(n_slots, np.int64)
        dense[slots[start:end] - field * n_slots] = counts[start:end]
        yield FieldCounts(dense)


def _cell(place):
    cell = np.floor(place * COVERAGE_CELLS).astype(np.int64)
    return np.clip(cell, 0, COVERAGE_CELLS - 1)
