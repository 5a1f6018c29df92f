"""Several maps as one: neighbouring regions side by side, overlapping ones weighted by inverse variance."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import DOUBT_FLAGS, ProfileEstimate
from extmap_tf.files import PathLike
from extmap_tf.map.formats import new_map_file
from extmap_tf.map.header import MapHeader
from extmap_tf.map.layers import map_layers
from extmap_tf.map.provenance import Provenance
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.settings.identity import require_same

# Standard deviations below this, in mag and in mag/kpc, do not raise a map's weight any further.
_LEAST_STD = 1e-4

# Of a map by several hundred distances and percentiles they take about 200 MB.
_FIELDS_AT_ONCE = 2048


def merge_maps(
    volumes: Sequence[ExtinctionMap], names: Sequence[str], independent: bool = False
) -> ExtinctionMap:
    """One map of all sightlines of several, in memory.

    A sightline that one map alone knows is taken as it is. Where several do, those that doubt it (flags of an
    unusual field) do not count beside one that does not; the others are averaged at every distance with the
    inverse of their variances as weights. The standard deviation is that of a mixture, which includes their
    disagreement, or with `independent` that of a weighted mean. Percentiles are averaged, and brought to this
    width around the median, and what is reliable follows from them. The extinction is kept from falling with
    distance. Samples are dropped.

    Parameters
    ----------
    volumes : sequence of ExtinctionMap
        Two or more, of one band, law, distance grid, kind, and one sky grid's spacing and fields, or nside.
    names : sequence of str
        Of the maps, for messages.
    independent : bool
        Whether the maps rest on different stars. Several runs on the same stars are not independent, and
        their errors do not average out.

    Returns
    -------
    ExtinctionMap
        Its sky grid spans all of them; names and digests of what differs are joined by ``+``.

    Raises
    ------
    ConfigError
        Fewer than two maps.
    MismatchError
        Maps that do not go together; the message names both and what differs.
    DataError
        Maps without a standard deviation overlap.
    """
    merging = _Merging(volumes, names, independent)
    shape = merging.header.grid.shape
    profiles, *others = merging.part(0, merging.header.grid.n_sightlines)
    others = [layer if layer is None else layer.reshape(shape) for layer in others]
    return ExtinctionMap(merging.header, profiles.reshaped(*shape), *others)


def write_merged(
    path: PathLike,
    volumes: Sequence[ExtinctionMap],
    names: Sequence[str],
    independent: bool = False,
    overwrite: bool = False,
) -> None:
    """The same as a file, written some sightlines at a time: no map is held in memory, whatever its size.

    Parameters
    ----------
    path : path-like
    volumes, names, independent
        As for `merge_maps`.
    overwrite : bool

    Raises
    ------
    ConfigError, MismatchError, DataError
        As `merge_maps`; the file exists and `overwrite` is false.
    """
    merging = _Merging(volumes, names, independent)
    header = merging.header
    with new_map_file(path, header, overwrite) as put:
        for first in range(0, header.grid.n_sightlines, _FIELDS_AT_ONCE):
            profiles, coverage, n_stars, surveys = merging.part(first, first + _FIELDS_AT_ONCE)
            kind, least = header.provenance.kind, header.min_coverage
            put(first, map_layers(profiles, header.distance, kind, coverage, n_stars, least, surveys))
            for volume in volumes:
                volume.let_go()


class _Merging:
    """Several maps that go together; arguments as of `merge_maps`.

    Attributes
    ----------
    header : MapHeader
        Of the merged map.
    """

    def __init__(self, volumes: Sequence[ExtinctionMap], names: Sequence[str], independent: bool) -> None:
        if len(volumes) < 2:
            raise ConfigError(f"merging needs two or more maps, got: {len(volumes)}")
        first = volumes[0]
        # Of one kind with the others, once they are on the same ground.
        own: Any = first.grid
        for volume, name in zip(volumes[1:], names[1:], strict=True):
            require_same("map", _ground(first), names[0], _ground(volume), name)
            own.require_joinable(volume.grid, names[0], name)
        grid = own.joined([volume.grid for volume in volumes[1:]])
        self.header = MapHeader(
            grid,
            first.distance,
            _joined([volume.provenance for volume in volumes]),
            min(volume.min_coverage for volume in volumes),
            first.percentiles,
        )
        self._volumes, self._independent = volumes, independent
        self._fields = [_fields_in(volume.grid, grid) for volume in volumes]
        known = self._layers("has_profile", slice(None), False)
        self._doubt = self._layers("flag", slice(None), 0) & DOUBT_FLAGS.value
        sure = known & (self._doubt == 0)
        self._counts = np.where(sure.any(axis=0), sure, known)
        if not first.percentiles and (self._counts.sum(axis=0) > 1).any():
            raise DataError(
                f"{', '.join(names)} overlap and have no standard deviation to weigh them by: merge maps "
                "with uncertainties, or of regions that do not overlap"
            )

    def part(self, first: int, end: int) -> tuple[ProfileEstimate, np.ndarray, np.ndarray, np.ndarray | None]:
        """Profiles, coverage, star counts and bits of surveys of the fields from `first` to before `end`."""
        there = slice(first, end)
        counts = self._counts[:, there]
        flags = np.bitwise_or.reduce(np.where(counts, self._doubt[:, there], 0), axis=0)

        def spread(attribute):
            """That layer of every map [n_maps, n, ...], NaN where it does not count."""
            whole = self._layers(attribute, there, np.nan)
            whole[~counts] = np.nan
            return whole

        if self.header.percentiles:
            common: dict[str, np.ndarray] = {}
            if self.header.is_refined:
                # One map's common errors are not another's: the largest is on the safe side.
                largest = np.nan_to_num(spread("extinction_common_std")).max(axis=0)
                common["extinction_common_std"] = largest
            profiles = ProfileEstimate(
                **_combine("density", spread, self._independent),
                **_combine("extinction", spread, self._independent),
                **common,
                flag=flags,
                percentiles=self.header.percentiles,
            )
        else:
            density = np.nan_to_num(spread("density")).sum(axis=0)
            density = np.where(np.asarray(counts.any(axis=0))[..., None], density, np.nan)
            profiles = ProfileEstimate.of_density(density, self.header.distance.step_kpc, flags)
        surveys = None
        if self.header.tells_surveys:
            surveys = np.bitwise_or.reduce(self._layers("surveys", there, 0), axis=0)
            odd = np.where(counts, self._layers("odd_surveys", there, 0), 0)
            profiles = dataclasses.replace(profiles, odd_surveys=np.bitwise_or.reduce(odd, axis=0))
        coverage, n_stars = (self._layers(name, there, 0).max(axis=0) for name in ("coverage", "n_stars"))
        return profiles, coverage, n_stars, surveys

    def _layers(self, attribute, there, nothing):
        """A layer of every map [n_maps, n, ...] at the fields `there`; `nothing` where it has no field."""
        layers = []
        for volume, fields in zip(self._volumes, self._fields, strict=True):
            layer, own = getattr(volume, attribute), fields[there]
            inside = np.flatnonzero(own >= 0)
            tail = layer.shape[len(volume.grid.shape) :]
            whole = np.full((len(own), *tail), nothing, float if nothing is np.nan else layer.dtype)
            whole[inside] = layer[np.unravel_index(own[inside], volume.grid.shape)]
            layers.append(whole)
        return np.stack(layers)


def _combine(quantity, spread, independent):
    """The merged statistics of one quantity: dict of layers [*sky, ..., n_distances]."""
    std = spread(f"{quantity}_std")
    with np.errstate(invalid="ignore"):
        weight = np.nan_to_num(1.0 / np.maximum(std, _LEAST_STD) ** 2)
    total = weight.sum(axis=0)
    empty = total == 0
    share = weight / np.where(empty, 1.0, total)

    def mean_of(values, by=share):
        return (by * np.nan_to_num(values)).sum(axis=0)

    def tidy(values):
        gone = empty if values.ndim == empty.ndim else empty[..., None, :]
        if quantity == "extinction":
            values = np.maximum.accumulate(values, axis=-1)
        return np.where(gone, np.nan, values)

    means, median = spread(f"{quantity}_mean"), mean_of(spread(f"{quantity}_median"))
    mean = mean_of(means)
    mixture = np.sqrt(mean_of(std**2) + mean_of((means - mean) ** 2))
    single = (weight > 0).sum(axis=0) == 1
    merged_std = mixture if not independent else 1.0 / np.sqrt(np.where(empty, 1.0, total))
    merged_std = np.where(single, mean_of(std), merged_std)
    averaged = mean_of(std)
    widen = np.where(single | (averaged == 0), 1.0, merged_std / np.where(averaged == 0, 1.0, averaged))
    percentiles = mean_of(spread(f"{quantity}_percentiles"), share[..., None, :])
    middle = median[..., None, :]
    percentiles = np.maximum(middle + (percentiles - middle) * widen[..., None, :], 0.0)
    return {
        f"{quantity}_median": tidy(median),
        f"{quantity}_mean": tidy(mean),
        f"{quantity}_std": np.where(empty, np.nan, merged_std),
        f"{quantity}_percentiles": tidy(percentiles),
    }


def _ground(volume):
    origin, grid = volume.provenance, volume.grid
    # The bits of surveys must mean the same in all maps.
    surveys = {"survey": origin.survey} if volume.header.tells_surveys else {}
    return surveys | {
        "kind": origin.kind,
        "band": origin.band,
        "band_um": origin.band_um,
        "blue_band": origin.blue_band,
        "blue_band_um": origin.blue_band_um,
        "law": dataclasses.asdict(origin.law),
        "blue_over_red": origin.blue_over_red,
        "law_ratio_sigma": origin.law_ratio_sigma,
        "refined": volume.header.is_refined,
        "distance": dataclasses.asdict(volume.distance),
        "grid": type(grid).__name__,
        "sky": grid.spacing,
        "percentiles": volume.percentiles,
    }


def _fields_in(grid, union):
    """Which field of `grid` each of `union` is: ndarray of int32 [union.n_sightlines], -1 for none."""
    fields = np.full(union.n_sightlines, -1, np.int32)
    fields[union.sightline_of(*grid.centers_deg())] = np.arange(grid.n_sightlines)
    return fields


def _joined(origins):
    values: dict[str, Any] = {}
    for spec in dataclasses.fields(Provenance):
        different = dict.fromkeys(getattr(origin, spec.name) for origin in origins)
        if spec.name == "software":
            continue
        values[spec.name] = (
            next(iter(different)) if len(different) == 1 else " + ".join(filter(None, different))
        )
    return Provenance(**values)
