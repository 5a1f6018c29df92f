"""The layers of a map: what it holds of each field."""

from collections.abc import Callable
from typing import Any

import numpy as np

from extmap_tf.errors import DataError
from extmap_tf.estimate import DOUBT_FLAGS, Flag, ProfileEstimate
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.map.header import MIN_COVERAGE

Layers = dict[str, np.ndarray]
"""What a map's file holds, by name: arrays of an estimate (`extmap_tf.estimate.AXES`), coverage, n_stars."""

Put = Callable[[int, Layers], None]
"""Fills a map's file, see `extmap_tf.map.formats.new_map_file`."""


def map_layers(
    profiles: ProfileEstimate,
    distance: DistanceGrid,
    kind: str,
    coverage: Any,
    n_stars: Any,
    min_coverage: float = MIN_COVERAGE,
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

    Returns
    -------
    dict of str to ndarray
        By the names of `ProfileEstimate`, and ``coverage`` and ``n_stars``.

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
        ("flag", doubts, Flag.OUTSIDE_SKY // 2, "127"),
    ):
        if layer.dtype.kind not in "iu" or not ((layer >= 0) & (layer < end)).all():
            raise DataError(f"{name} of a map must be whole numbers from 0 to {most}, got: {layer.dtype}")
    arrays = profiles.arrays()
    arrays.pop("flag")
    layers = {name: np.array(array, np.float32) for name, array in arrays.items()}
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
    return layers | {"flag": flag, "coverage": coverage, "n_stars": n_stars.astype(np.int32)}
