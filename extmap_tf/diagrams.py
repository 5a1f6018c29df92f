"""Stars to diagrams: the one place that counts, by the rule of `extmap_tf.grids.diagram`."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from isal import isal_zlib
from numpy.typing import ArrayLike

from extmap_tf.catalogs.stars import StarBatch
from extmap_tf.grids.diagram import Diagram
from extmap_tf.grids.sky import SkyGrid
from extmap_tf.settings.survey import SurveyView

PartialCounts = tuple[np.ndarray, np.ndarray]
"""Slots that are not empty, ascending, int32 [n] (int64 of very many slots), and their counts, int32."""

COVERAGE_CELLS = 6
"""Where a field has data is told by which of its 6 x 6 cells hold stars."""


def pixel_of(
    magnitudes: Mapping[str, ArrayLike], diagram: Diagram, parallax_mas: ArrayLike | None = None
) -> np.ndarray:
    """Flat pixel of each star.

    Parameters
    ----------
    magnitudes : dict of str to array_like [n_stars]
        By band.
    diagram : extmap_tf.grids.diagram.Diagram
    parallax_mas : array_like [n_stars], optional
        Needed if an axis is a parallax.

    Returns
    -------
    ndarray of int64 [n_stars]
        ``i_y * n_x + i_x``, or -1 outside the diagram or where a number is NaN.

    Examples
    --------
    >>> from extmap_tf.grids.cmd import CmdGrid
    >>> diagram = CmdGrid().diagram("2MASS", "J", "Ks")
    >>> pixel_of({"J": [6.1, 12.0], "Ks": [5.6, 17.0]}, diagram).tolist()
    [10, -1]
    """
    arrays = {band: np.asarray(magnitudes[band]) for band in diagram.bands}
    y, x, inside = diagram.places_of(arrays, parallax_mas)
    # Integers are made of what is inside: of a NaN or of 1e30 there is none.
    return np.where(inside, np.floor(y) * diagram.x.n_pixels + np.floor(x), -1).astype(np.int64)


def count_stars(
    magnitudes: Mapping[str, ArrayLike], diagram: Diagram, parallax_mas: ArrayLike | None = None
) -> np.ndarray:
    """Count stars into one diagram; arguments as of `pixel_of`.

    Returns
    -------
    ndarray of int64 [n_y, n_x]

    Examples
    --------
    >>> from extmap_tf.grids.cmd import CmdGrid
    >>> counts = count_stars({"J": [6.1, 6.1], "Ks": [5.6, 5.6]}, CmdGrid().diagram("2MASS", "J", "Ks"))
    >>> counts.shape, int(counts[0, 10])
    ((64, 64), 2)
    """
    # The first slot takes the stars outside.
    slot = pixel_of(magnitudes, diagram, parallax_mas) + 1
    return np.bincount(slot, minlength=diagram.n_pixels + 1)[1:].reshape(diagram.shape)


@dataclass(frozen=True)
class FieldCounts:
    """What a survey's stars of one field add up to; sums of partial counts are counts of the whole.

    Parameters
    ----------
    view : extmap_tf.settings.survey.SurveyView
        The survey and its diagrams.
    slots : ndarray of int64 [view.n_pixels + 1 + 36]
        The pixels of the diagrams, one after another, the number of stars outside the first one, and the
        stars in each coverage cell.
    """

    view: SurveyView
    slots: np.ndarray

    @staticmethod
    def n_slots(view: SurveyView) -> int:
        return view.n_pixels + 1 + COVERAGE_CELLS**2

    @property
    def counts(self) -> dict[str, np.ndarray]:
        """Stars in each pixel [n_y, n_x], by the names of the diagrams."""
        first, found = 0, {}
        for diagram in self.view.diagrams:
            found[diagram.name] = self.slots[first : first + diagram.n_pixels].reshape(diagram.shape)
            first += diagram.n_pixels
        return found

    @property
    def n_stars(self) -> int:
        """Stars inside the first diagram."""
        return int(self.slots[: self.view.diagrams[0].n_pixels].sum())

    @property
    def n_outside(self) -> int:
        """Stars of the field that pass the cuts but lie outside the first diagram."""
        return int(self.slots[self.view.n_pixels])

    @property
    def coverage(self) -> float:
        """Share of the field that has data, 0 to 1, from the cells that hold a star.

        n stars strewn over C cells leave some empty: they are expected in k = C [1 - exp(-n / C)] of them.
        This is solved for C, so that a field with few stars is not taken for one with gaps.
        """
        from scipy.special import lambertw

        cells = self.slots[self.view.n_pixels + 1 :]
        n_stars, n_occupied = int(cells.sum()), int(np.count_nonzero(cells))
        if n_occupied in (0, n_stars):
            return float(n_stars > 0)
        ratio = n_stars / n_occupied
        n_cells = n_stars / (ratio + lambertw(-ratio * np.exp(-ratio)).real)
        return min(float(n_cells) / COVERAGE_CELLS**2, 1.0)


def slots_per_field(views: Iterable[SurveyView]) -> int:
    """Slots of all surveys that one field has."""
    return sum(map(FieldCounts.n_slots, views))


def batch_to_slots(
    batch: StarBatch,
    sightlines: SkyGrid,
    views: Sequence[SurveyView],
    which: int = 0,
) -> tuple[np.ndarray, int]:
    """Where the stars of a batch count: slots of the fields they are in.

    Parameters
    ----------
    batch : extmap_tf.catalogs.stars.StarBatch
    sightlines : extmap_tf.grids.sky.SkyGrid
    views : sequence of extmap_tf.settings.survey.SurveyView
        All surveys of the configuration.
    which : int
        The one whose stars these are.

    Returns
    -------
    slots : ndarray of int64 [n]
        ``field * slots_per_field(views) + slot``, in no order. A star is there for each field it is in by its
        pixels, by one more slot if it is outside the first diagram, and by its coverage cell.
    n_in_no_field : int
        Stars in none of the fields.
    """
    view = views[which]
    star, field = sightlines.fields_of(batch.l_deg, batch.b_deg)
    in_a_field = int(np.count_nonzero(np.bincount(star, minlength=batch.n_stars)))
    x, y = sightlines.place_in_field(field, batch.l_deg[star], batch.b_deg[star])
    cell = _cell(y) * COVERAGE_CELLS + _cell(x)
    first = field * slots_per_field(views) + slots_per_field(views[:which])
    slots: list[np.ndarray] = []
    n_before = 0
    for diagram in view.diagrams:
        pixel = pixel_of(batch.magnitudes, diagram, batch.parallax_mas)[star]
        if not slots:
            slots.append(first + np.where(pixel < 0, view.n_pixels, pixel))
        else:
            inside = pixel >= 0
            slots.append((first + n_before + pixel)[inside])
        n_before += diagram.n_pixels
    return np.concatenate([*slots, first + view.n_pixels + 1 + cell]), batch.n_stars - in_a_field


def slots_to_partial_counts(
    slots: np.ndarray, views: Sequence[SurveyView], fields_per_block: int
) -> list[tuple[int, PartialCounts]]:
    """Count equal slots, block by block: neighbours of the grid's order travel together.

    Parameters
    ----------
    slots : ndarray of int64 [n]
        As `batch_to_slots` gives them, of any number of batches.
    views : sequence of extmap_tf.settings.survey.SurveyView
    fields_per_block : int

    Returns
    -------
    list of (int, PartialCounts)
        For each block touched, in ascending order: its index, and its partial counts: slots that are not
        empty, ascending and from the block's first field on, with their counts.
    """
    slots, counts = np.unique(slots, return_counts=True)
    block_slots = fields_per_block * slots_per_field(views)
    dtype = np.int32 if block_slots <= 2**31 else np.int64
    n_blocks = int(slots.max(initial=-1)) // block_slots + 1
    edges = np.searchsorted(slots, np.arange(n_blocks + 1) * block_slots)
    return [
        (block, ((slots[i:j] - block * block_slots).astype(dtype), counts[i:j].astype(np.int32)))
        for block, (i, j) in enumerate(itertools.pairwise(edges))
        if i < j
    ]


def add_partial_counts(partials: Iterable[PartialCounts]) -> PartialCounts:
    """Sum partial counts of one block: a sum of none is empty.

    Parameters
    ----------
    partials : iterable of PartialCounts
        As `slots_to_partial_counts` gives them.

    Returns
    -------
    PartialCounts
        Of all together.
    """
    empty = np.zeros(0, np.int32)
    slots, counts = (np.concatenate(column) for column in zip((empty, empty), *partials, strict=True))
    # Each part is sorted: a stable sort merges them.
    order = np.argsort(slots, kind="stable")
    slots, start = np.unique(slots[order], return_index=True)
    return slots, np.add.reduceat(counts[order], start, dtype=np.int32)


def pack_partial_counts(partial: PartialCounts) -> bytes:
    """Partial counts in about a ninth of their bytes, for what waits or travels by the million."""
    slots, counts = partial
    steps = np.diff(slots, prepend=slots.dtype.type(0))
    # Byte by byte of all numbers: all but the lowest are zeros nearly everywhere.
    planes = [_byte_planes(numbers).tobytes() for numbers in (steps, counts)]
    return bytes([slots.itemsize]) + isal_zlib.compress(b"".join(planes), 1)


def unpack_partial_counts(packed: bytes) -> PartialCounts:
    """What `pack_partial_counts` has packed."""
    n_bytes = packed[0]
    planes = np.frombuffer(isal_zlib.decompress(packed[1:]), np.uint8)
    planes = planes.reshape(n_bytes + 4, planes.size // (n_bytes + 4))
    steps, counts = (
        np.ascontiguousarray(part.T).view(f"<i{len(part)}").ravel() for part in np.split(planes, [n_bytes])
    )
    return np.cumsum(steps, dtype=steps.dtype), counts


def _byte_planes(numbers):
    """The lowest bytes of all numbers, then the next: ndarray of uint8 [n_bytes, n]."""
    little = numbers.astype(f"<i{numbers.itemsize}", copy=False)
    return np.ascontiguousarray(little.view(np.uint8).reshape(-1, numbers.itemsize).T)


def block_to_field_counts(
    partial: PartialCounts, views: Sequence[SurveyView], n_fields: int
) -> Iterator[tuple[FieldCounts, ...]]:
    """The fields of a block.

    Parameters
    ----------
    partial : PartialCounts
        As `add_partial_counts` gives them.
    views : sequence of extmap_tf.settings.survey.SurveyView
    n_fields : int
        Fields of the block.

    Yields
    ------
    tuple of FieldCounts
        Of every field in the sightlines' order, empty ones too, one for each survey.
    """
    slots, counts = partial
    n_slots = slots_per_field(views)
    ends = np.cumsum([FieldCounts.n_slots(view) for view in views])
    edges = np.searchsorted(slots, np.arange(n_fields + 1) * n_slots)
    for field, (start, end) in enumerate(itertools.pairwise(edges)):
        dense = np.zeros(n_slots, np.int64)
        dense[slots[start:end] - field * n_slots] = counts[start:end]
        yield tuple(map(FieldCounts, views, np.split(dense, ends[:-1])))


def _cell(place):
    cell = np.floor(place * COVERAGE_CELLS).astype(np.int64)
    return np.clip(cell, 0, COVERAGE_CELLS - 1)
