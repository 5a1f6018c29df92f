"""The layers of a map: what it holds of each field."""

import mmap
from collections.abc import Callable
from typing import Any

import numpy as np

from extmap_tf.errors import DataError
from extmap_tf.estimate import (
    DOUBT_FLAGS,
    EMPTY_FLAGS,
    Flag,
    ProfileEstimate,
    is_reliable,
    reliable_distance_kpc,
)
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.map.header import MIN_COVERAGE

Layers = dict[str, np.ndarray]
"""What a map's file holds, by name: arrays of an estimate (`extmap_tf.estimate.AXES`), coverage, n_stars, and
what is derived of them (`DERIVED_AXES`)."""

DERIVED_AXES: dict[str, tuple[str, ...]] = {
    "reliable": ("edge",),
    "reliable_distance_kpc": (),
    "smallest_wall": ("edge",),
}
"""Layer that is no estimate's own -> its axes, as in `extmap_tf.estimate.AXES`."""

Put = Callable[[int, Layers], None]
"""Fills a map's file, see `extmap_tf.map.formats.new_map_file`."""


def map_layers(
    profiles: ProfileEstimate,
    distance: DistanceGrid,
    kind: str,
    coverage: Any,
    n_stars: Any,
    min_coverage: float = MIN_COVERAGE,
    surveys: Any = None,
    smallest_wall: Any = None,
) -> Layers:
    """What a map holds of each field, whether these are all of its fields or some.

    Parameters
    ----------
    profiles : ProfileEstimate
        Of the fields; of its flags, those that doubt a profile.
    distance : DistanceGrid
    kind : {"estimate", "truth"}
    coverage, n_stars : array_like
        Of the shape of `profiles`, as for `ExtinctionMap`.
    min_coverage : float
    surveys : array_like, optional
        Of a map by several surveys which ones each field had: sums of 2^i.
    smallest_wall : array_like, optional
        Of the shape of `profiles` and its distances, as for `ExtinctionMap`.

    Returns
    -------
    dict of str to ndarray
        By the names of `ProfileEstimate`, ``coverage``, ``n_stars``, where they are given ``surveys``, with
        ``odd_surveys``, and ``smallest_wall`` and, of profiles with a spread, those of `reliability`.

    Raises
    ------
    DataError
        An array does not have the shape of the fields or has impossible values.
    """
    shape = profiles.shape
    coverage, n_stars, doubts = np.array(coverage, np.float32), np.array(n_stars), np.array(profiles.flag)
    if profiles.n_distances != distance.n_distances:
        raise DataError(
            f"profiles of a map must have its {distance.n_distances} distances, got: {profiles.n_distances}"
        )
    for name, layer in (("coverage", coverage), ("n_stars", n_stars)):
        if layer.shape != shape:
            raise DataError(f"{name} of a map must have the shape {shape} of its fields, got: {layer.shape}")
    if not ((coverage >= 0) & (coverage <= 1)).all():
        worst = coverage[~((coverage >= 0) & (coverage <= 1))][0]
        raise DataError(f"coverage of a map must be 0 to 1, got: {worst}")
    for name, layer, end, most in (
        ("n_stars", n_stars, 2**31, "2^31 - 1"),
        ("flag", doubts, Flag.OUTSIDE_SKY, "255"),
    ):
        if layer.dtype.kind not in "iu" or not ((layer >= 0) & (layer < end)).all():
            raise DataError(f"{name} of a map must be whole numbers from 0 to {most}, got: {layer.dtype}")
    arrays = profiles.arrays()
    arrays.pop("flag")
    odd = arrays.pop("odd_surveys", np.zeros(shape, np.uint8))
    layers: Layers = {name: np.array(array, np.float32) for name, array in arrays.items()}
    flag = np.zeros(shape, np.uint8)
    if kind == "estimate":
        flag[n_stars == 0] |= Flag.NO_STARS.value
        flag[coverage < min_coverage] |= Flag.LOW_COVERAGE.value
    finite = np.all(
        [np.isfinite(layer).reshape(*shape, -1).all(axis=-1) for layer in layers.values()], axis=0
    )
    flag[(flag == 0) & ~finite] = Flag.NO_PROFILE.value
    for layer in layers.values():
        layer[flag != 0] = np.nan
    flag |= (doubts & DOUBT_FLAGS.value).astype(np.uint8)
    layers |= {"flag": flag, "coverage": coverage, "n_stars": n_stars.astype(np.int32)}
    if surveys is not None:
        surveys = np.array(surveys)
        if surveys.shape != shape or not ((surveys >= 0) & (surveys < 256)).all():
            raise DataError(
                f"surveys of a map must be sums of 2^i below 256 of the shape {shape} of its fields"
            )
        odd = np.where(flag & DOUBT_FLAGS.value, odd, 0)
        layers |= {"surveys": surveys.astype(np.uint8), "odd_surveys": odd.astype(np.uint8)}
    if smallest_wall is not None:
        layers["smallest_wall"] = _walls(smallest_wall, (*shape, distance.n_distances), flag)
    return layers | reliability(layers, distance, profiles.percentiles) if profiles.has_spread else layers


def _walls(smallest_wall, shape, flag):
    walls = np.array(smallest_wall, np.float32)
    if walls.shape != shape or (walls <= 0).any():
        raise DataError(f"smallest_wall of a map must be above 0 or NaN, of the shape {shape}")
    walls[flag & EMPTY_FLAGS.value != 0] = np.nan
    return walls


def reliability(layers: Layers, distance: DistanceGrid, percentiles: tuple[float, ...]) -> Layers:
    """Where, and how far, the profiles of a map are reliable.

    Parameters
    ----------
    layers : dict of str to ndarray
        With the percentiles of the extinction, NaN without a profile.
    distance : DistanceGrid
    percentiles : tuple of float
        In percent; among them 16, 50 and 84.

    Returns
    -------
    dict of str to ndarray
        ``reliable`` of bool [..., n_distances], see `extmap_tf.estimate.is_reliable`, and
        ``reliable_distance_kpc`` of float32 [...], NaN without a profile.
    """
    cube = layers["extinction_percentiles"]
    reliable = is_reliable(*(cube[..., percentiles.index(percent), :] for percent in (16.0, 50.0, 84.0)))
    reach = reliable_distance_kpc(reliable, distance.outer_kpc.astype(np.float32))
    empty = layers["flag"] & EMPTY_FLAGS.value != 0
    return {"reliable": reliable, "reliable_distance_kpc": np.where(empty, np.float32(np.nan), reach)}


def out_of_memory(array: np.ndarray) -> None:
    """Take the memory-mapped file that an array is a view of out of memory; the array stays usable."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
