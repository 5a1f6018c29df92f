"""Looking up values in a map: quantity, mode, interpolation on the sky, and flags."""

from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import Flag
from extmap_tf.extinction.profiles import BIN_TOLERANCE, bins_of, cumulative_to_density, inside_bin

QUANTITIES = ("extinction", "density")
MODES = ("median", "mean", "std", "percentile", "samples", "random_sample")
SKY_MODES = ("nearest", "linear")

# Positions answered at once: memory stays bounded and the intermediate arrays stay in the processor's cache.
BLOCK = 1 << 16


class Lookup:
    """One way to ask a map, for any positions.

    Parameters
    ----------
    volume : extmap_tf.map.volume.ExtinctionMap
    quantity, mode, percentile, sky, seed
        As for `ExtinctionMap.query`.

    Raises
    ------
    DataError
        The map does not have what `mode` asks for.
    ConfigError
        An unknown quantity, mode or sky mode, or a percentile outside the stored ones.
    """

    def __init__(
        self,
        volume: Any,
        quantity: str = "extinction",
        mode: str = "median",
        percentile: float | Sequence[float] | None = None,
        sky: str = "nearest",
        seed: int = 0,
    ) -> None:
        for name, value, known in (
            ("quantity", quantity, QUANTITIES),
            ("mode", mode, MODES),
            ("sky", sky, SKY_MODES),
        ):
            if value not in known:
                raise ConfigError(f"{name} must be one of {', '.join(known)}, got: {value!r}")
        self._volume, self._quantity, self._sky = volume, quantity, sky
        self._columns, self._one = self._readers(mode, percentile, seed)

    def values_at(self, parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Values and flags at l and b in deg and perhaps d in kpc, a list of arrays of one shape."""
        columns, shape = self._columns, np.shape(parts[0])
        flat = [np.ravel(part) for part in parts]
        n, tail = flat[0].size, () if len(flat) == 3 else (self._volume.distance.n_distances,)
        values = np.empty((n, len(columns), *tail), np.float32)
        flags = np.empty(n, np.uint16)
        step = max(1, BLOCK // (len(columns) * (tail[0] if tail else 1)))
        for start in range(0, n, step):
            block = slice(start, start + step)
            values[block], flags[block] = self._look_up(*(part[block] for part in flat))
        return values.reshape(shape + (() if self._one else (len(columns),)) + tail), flags.reshape(shape)

    def _readers(self, mode, percentile, seed):
        """Functions (place, bins) -> values, as a list, and whether it is one without an axis.

        A place is what indexes the sky axes: a tuple of arrays [n].
        """
        volume, quantity = self._volume, self._quantity
        if (percentile is not None) != (mode == "percentile"):
            raise ConfigError(f"percentile goes with mode 'percentile', got: {percentile!r} with {mode!r}")
        if mode == "median":
            return [self._reader(getattr(volume, f"{quantity}_median"), quantity)], True
        if mode in ("samples", "random_sample"):
            samples = self._layer("samples", "samples", "score with --samples")
            if mode == "samples":
                return [self._sample_reader(samples, quantity, s) for s in range(volume.n_samples)], False
            chosen = np.random.default_rng(seed).integers(volume.n_samples, size=volume.grid.shape)
            return [self._sample_reader(samples, quantity, chosen)], True
        advice = "it has one profile a sightline, as mode 'median'"
        if mode != "percentile":
            return [self._reader(self._layer(f"{quantity}_{mode}", mode, advice), quantity)], True
        cube = self._layer(f"{quantity}_percentiles", "percentiles", advice)
        wanted = np.atleast_1d(_percentiles(percentile))
        weights = [_percentile_weights(volume.percentiles, p) for p in wanted]
        return [self._percentile_reader(cube, quantity, pairs) for pairs in weights], np.ndim(percentile) == 0

    def _layer(self, attribute, what, advice):
        volume = self._volume
        if not hasattr(volume, attribute):
            name = f"{volume.path}" if volume.path else "this map"
            raise DataError(f"{name} ({volume.provenance.kind}) has no {what}: {advice}")
        return getattr(volume, attribute)

    @staticmethod
    def _reader(cube: np.ndarray, quantity: str) -> Callable[..., np.ndarray]:
        """Values [n] at `bins` (index, fraction) of sightlines; for None, whole profiles [n, n_distances]."""

        def read(place, bins):
            if bins is None:
                return cube[place]
            k, fraction = bins
            if quantity == "density":
                return cube[*place, k]
            return inside_bin(cube[*place, k], cube[*place, np.maximum(k - 1, 0)], k, fraction)

        return read

    def _percentile_reader(self, cube, quantity, pairs):
        readers = [(self._reader(cube[..., index, :], quantity), weight) for index, weight in pairs]
        return lambda *where: sum(weight * read(*where) for read, weight in readers)

    def _sample_reader(self, samples, quantity, number):
        """As `_reader`, for sample `number` (one, or an array [*sky]) of the profiles."""
        step_kpc = self._volume.distance.step_kpc

        def read(place, bins):
            which = number if np.ndim(number) == 0 else number[place]
            if bins is None:
                profile = samples[*place, which]
                return profile if quantity == "extinction" else cumulative_to_density(profile, step_kpc)
            k, fraction = bins
            outer, inner = samples[*place, which, k], samples[*place, which, np.maximum(k - 1, 0)]
            if quantity == "density":
                return (outer - np.where(k > 0, inner, 0.0)) / step_kpc
            return inside_bin(outer, inner, k, fraction)

        return read

    def _look_up(self, l_deg, b_deg, d_kpc=None):
        volume, columns = self._volume, self._columns
        nowhere = ~(np.isfinite(l_deg) & (np.abs(b_deg) <= 90.0))
        l_deg, b_deg = np.where(nowhere, np.nan, l_deg), np.where(nowhere, np.nan, b_deg)
        sightline = volume.grid.sightline_of(l_deg, b_deg)
        outside = sightline < 0
        nan = nowhere if d_kpc is None else nowhere | ~(d_kpc >= 0.0)
        flags = np.where(outside & ~nowhere, Flag.OUTSIDE_SKY.value, 0).astype(np.uint16)
        flags[nan] |= Flag.NO_PLACE.value
        empty = outside | nan
        bins = at = None
        if d_kpc is not None:
            *bins, beyond = bins_of(volume.distance, np.where(nan, 0.0, d_kpc))
            # The first outer edge that is not before the position.
            at = np.maximum(bins[0] - (bins[1] <= BIN_TOLERANCE), 0)
            flags[beyond & ~outside] |= Flag.BEYOND_LAST_DISTANCE.value
            if self._quantity == "density":
                empty = empty | beyond
        if self._sky == "nearest":
            corners = [(np.where(outside, 0, sightline), None)]
        else:
            # Any place inside stands for those outside, whose values are not kept.
            l0_deg, b0_deg = volume.grid.center_deg(0)
            corners = volume.grid.interpolation(
                np.where(outside, l0_deg, l_deg), np.where(outside, b0_deg, b_deg)
            )
        sums: list[Any] = [0.0] * len(columns)
        for index, weight in corners:
            place = np.unravel_index(index, volume.grid.shape)
            counts = ~outside if weight is None else ~outside & (weight > 0)
            flags |= np.where(counts, volume.flag[place], 0).astype(np.uint16)
            if at is not None and volume.percentiles:
                flags[counts & ~nan & ~volume.reliable[*place, at]] |= Flag.UNRELIABLE.value
            for number, read in enumerate(columns):
                found = read(place, bins)
                if weight is not None:
                    by = weight.reshape(-1, *(1,) * (found.ndim - 1))
                    # A corner of no weight may be NaN, and 0 x NaN is not 0.
                    found = np.where(by > 0, found * by, 0.0)
                sums[number] = sums[number] + found
        values = np.stack(sums, axis=1)
        values[empty] = np.nan
        return values, flags


def odd_survey_names(volume: Any, l_deg: np.ndarray, b_deg: np.ndarray) -> np.ndarray:
    """Which surveys have stars that raised a flag in the fields nearest to some positions.

    Parameters
    ----------
    volume : extmap_tf.map.volume.ExtinctionMap
    l_deg, b_deg : ndarray [n]

    Returns
    -------
    ndarray of str [n]
        Names joined by ``|``; empty where there is none, outside, and of a map by one survey.
    """
    known = np.isfinite(l_deg) & (np.abs(b_deg) <= 90.0)
    field = volume.grid.sightline_of(np.where(known, l_deg, np.nan), np.where(known, b_deg, np.nan))
    names = np.full(len(field), "", object)
    for survey, odd in volume.odd_by_survey.items():
        here = (field >= 0) & odd.ravel()[np.maximum(field, 0)]
        names[here] = [f"{name}|{survey}" if name else survey for name in names[here]]
    return names.astype(str)


def _percentiles(value):
    """A percentile, or a list of some."""
    try:
        found = np.asarray(value, float)
    except (TypeError, ValueError):
        found = np.zeros((0,))
    if found.ndim > 1 or not found.size:
        raise ConfigError(f"percentile must be a number or a list of numbers, got: {value!r:.60}")
    return found


def _percentile_weights(percentiles, wanted):
    """Stored percentiles around one, as pairs of (index, weight)."""
    if not percentiles[0] <= wanted <= percentiles[-1]:
        raise ConfigError(
            f"percentile must be {percentiles[0]:g} to {percentiles[-1]:g}, as stored in the map, "
            f"got: {wanted:g}"
        )
    above = int(np.searchsorted(percentiles, wanted))
    if percentiles[above] == wanted:
        return [(above, 1.0)]
    low, at, high = (
        NormalDist().inv_cdf(p / 100.0) for p in (percentiles[above - 1], wanted, percentiles[above])
    )
    weight = (at - low) / (high - low)
    return [(above - 1, 1.0 - weight), (above, weight)]
