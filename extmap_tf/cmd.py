"""Stars to colour-magnitude diagrams: the one place that bins.

Mock stars, survey stars and the stars sent to a served model are counted by the same rule: pixel
``floor((value - min) / width + 1e-4)`` along each axis, so that a star on an edge belongs above it, in
32-bit and 64-bit arithmetic alike.
"""

from dataclasses import dataclass

import numpy as np

from extmap_tf.grids import EDGE_TOLERANCE

COVERAGE_CELLS = 6
"""Where a field has data is told by which of its 6 x 6 cells hold stars."""


def pixel_of(blue_mag, red_mag, grid):
    """Flat pixel of each star.

    Parameters
    ----------
    blue_mag, red_mag : array_like [n_stars]
        Magnitudes; the colour is their difference.
    grid : extmap_tf.grids.CmdGrid

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
    # Whole numbers are made of what is inside: of a NaN or of 1e30 there is none.
    i_mag, i_color = (np.where(inside, place, 0).astype(np.int64) for place in (mag, color))
    return np.where(inside, i_mag * grid.n_color + i_color, -1)


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


def batch_to_field_counts(batch, sightlines, grid):
    """Partial counts of a batch of stars for every field it touches.

    Parameters
    ----------
    batch : extmap_tf.catalogs.stars.StarBatch
    sightlines : extmap_tf.grids.SightlineGrid
    grid : extmap_tf.grids.CmdGrid

    Returns
    -------
    list of (int, (ndarray of int32, ndarray of int32))
        For each field touched, in ascending order: its index, and the slots of `FieldCounts` that are not
        empty with their counts.
    n_in_no_field : int
        Stars in none of the fields.
    """
    star, field = sightlines.fields_of(batch.l_deg, batch.b_deg)
    n_in_no_field = batch.n_stars - np.count_nonzero(np.bincount(star, minlength=batch.n_stars))
    pixel = pixel_of(batch.blue_mag, batch.red_mag, grid)
    pixel = np.where(pixel < 0, grid.n_pixels, pixel)[star]
    l_deg, b_deg = sightlines.centers_deg()
    x = (np.mod(batch.l_deg[star] - l_deg[field] + 180.0, 360.0) - 180.0) * np.cos(np.radians(b_deg[field]))
    y = batch.b_deg[star] - b_deg[field]
    cell = _cell(y, sightlines.field_deg) * COVERAGE_CELLS + _cell(x, sightlines.field_deg)
    n_slots = FieldCounts.n_slots(grid)
    flat = np.concatenate([field * n_slots + pixel, field * n_slots + grid.n_pixels + 1 + cell])
    slot, count = np.unique(flat, return_counts=True)
    touched, start = np.unique(slot // n_slots, return_index=True)
    end = np.append(start, slot.size)[1:]
    fields = [
        (int(index), ((slot[i:j] % n_slots).astype(np.int32), count[i:j].astype(np.int32)))
        for index, i, j in zip(touched, start, end, strict=True)
    ]
    return fields, n_in_no_field


def add_partial_counts(partials, grid):
    """Sum partial counts of one field.

    Parameters
    ----------
    partials : iterable of (ndarray, ndarray)
        Slots and counts, as `batch_to_field_counts` gives them.
    grid : extmap_tf.grids.CmdGrid

    Returns
    -------
    FieldCounts
    """
    slots = np.zeros(FieldCounts.n_slots(grid), np.int64)
    for slot, count in partials:
        slots[slot] += count
    return FieldCounts(slots)


def _cell(offset_deg, field_deg):
    cell = np.floor((offset_deg / field_deg + 0.5) * COVERAGE_CELLS).astype(np.int64)
    return np.clip(cell, 0, COVERAGE_CELLS - 1)
