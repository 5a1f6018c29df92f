"""The 3D extinction map: extinction profiles on a grid of sightlines, and its queries."""

from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.coordinates import (
    BaseCoordinateFrame,
    ConvertError,
    Galactic,
    SkyCoord,
    UnitSphericalRepresentation,
)

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import (
    AXES,
    DOUBT_FLAGS,
    EMPTY_FLAGS,
    PERCENTILES,
    SIGHTLINE_FLAGS,
    Flag,
    ProfileEstimate,
)
from extmap_tf.extinction.bands import as_law, extinction_ratio
from extmap_tf.extinction.law import a_over_av, law_text
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map import layout
from extmap_tf.map.header import MIN_COVERAGE, MapHeader
from extmap_tf.map.provenance import Provenance

QUANTITIES = ("extinction", "density")
MODES = ("median", "mean", "std", "percentile", "samples", "random_sample")
SKY_MODES = ("nearest", "linear")

# Catalogs give distances in decimals, and 0.7 / 0.1 is below 7. This tolerance, in bins, puts a distance that
# is meant to lie on the edge of a bin into the farther bin, as the grid's intervals say.
BIN_TOLERANCE = 1e-9

# Positions answered at once: memory stays bounded and the intermediate arrays stay in the processor's cache.
BLOCK = 1 << 16


def profiles_at(extinction: Any, distance: DistanceGrid, distances_kpc: Any) -> np.ndarray:
    """Extinction of every profile at the same distances: linear inside a bin, from 0 at the Sun.

    Parameters
    ----------
    extinction : array_like [..., n_distances]
        mag, at the outer edges of the bins.
    distance : DistanceGrid
    distances_kpc : array_like [n]
        Not negative; beyond ``distance.max_kpc`` the last value stays.

    Returns
    -------
    ndarray of float64 [..., n]
        mag.
    """
    extinction = np.asarray(extinction)
    k, fraction, _ = _bins_of(distance, np.asarray(distances_kpc, float))
    return _inside_bin(extinction[..., k], extinction[..., np.maximum(k - 1, 0)], k, fraction)


def map_layers(
    profiles: ProfileEstimate,
    distance: DistanceGrid,
    kind: str,
    coverage: Any,
    n_stars: Any,
    min_coverage: float = MIN_COVERAGE,
) -> dict[str, np.ndarray]:
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


class ExtinctionMap:
    """Extinction profiles on a grid of sightlines.

    All arrays are read-only. In a map that was read from a file they are views of the memory-mapped file:
    only what is asked for is loaded. Such a map is pickled as its path, so the file must be there, unchanged,
    where it is unpickled; a map made in memory is pickled with its arrays.

    Parameters
    ----------
    header : MapHeader
        Below, ``*sky`` is the shape of its grid: (n_b, n_l), both ascending, or (n_pixels,). Percentiles and
        number of samples are those of `profiles`, whatever it says.
    profiles : ProfileEstimate [*sky]
        mag and mag/kpc in ``provenance.band``. Of its flags, those that doubt a profile are kept; the others
        follow from the data.
    coverage : array_like [*sky]
        Fraction of each field that the survey's data cover, 0 to 1.
    n_stars : array_like of int [*sky]
        Stars in each field's CMD.

    Attributes
    ----------
    grid, distance, provenance, min_coverage, percentiles, n_samples
        Those of `header`.
    extinction, density : ndarray of float32 [*sky, n_distances]
        mag at the outer edges of the bins, mag/kpc inside them: the median where there is a spread. NaN where
        `has_profile` is false.
    flag : ndarray of uint8 [*sky]
        Bits of `Flag`.
    extinction_mean, extinction_std, extinction_percentiles, density_mean, ..., reliable_distance_kpc, samples
        As in `ProfileEstimate`, of float32, if the map has them.
    path : Path or None
        The file it was read from.

    Raises
    ------
    DataError
        An array does not have the grids' shape or has impossible values.
    """

    coverage: np.ndarray
    n_stars: np.ndarray
    flag: np.ndarray
    extinction_median: np.ndarray
    extinction_mean: np.ndarray
    extinction_std: np.ndarray
    extinction_percentiles: np.ndarray
    density_median: np.ndarray
    density_mean: np.ndarray
    density_std: np.ndarray
    density_percentiles: np.ndarray
    reliable_distance_kpc: np.ndarray
    samples: np.ndarray

    def __init__(self, header: MapHeader, profiles: ProfileEstimate, coverage: Any, n_stars: Any) -> None:
        if profiles.shape != header.grid.shape:
            raise DataError(
                f"profiles of a map must have the shape {header.grid.shape} of its grid, got: "
                f"{profiles.shape}"
            )
        kind, least = header.provenance.kind, header.min_coverage
        layers = map_layers(profiles, header.distance, kind, coverage, n_stars, least)
        self._hold(header.of(profiles), layers)

    def _hold(self, header, layers, path=None):
        self.header = header
        self.path = path
        self._layers = layers
        for name, layer in layers.items():
            layer.flags.writeable = False
            setattr(self, name, layer)

    @classmethod
    def _held(cls, header, layers, path=None):
        self = cls.__new__(cls)
        self._hold(header, layers, path)
        return self

    def __reduce__(self):
        if self.path is not None:
            return (type(self).read, (self.path,))
        return (type(self)._held, (self.header, self._layers))

    def __repr__(self) -> str:
        where = f" {self.path}" if self.path else ""
        return f"<ExtinctionMap{where}: {'; '.join(self.grid.summary())}, to {self.distance.max_kpc:g} kpc>"

    def __str__(self) -> str:
        return "\n".join(self.describe())

    @property
    def grid(self) -> SightlineGrid | HealpixGrid:
        return self.header.grid

    @property
    def distance(self) -> DistanceGrid:
        return self.header.distance

    @property
    def provenance(self) -> Provenance:
        return self.header.provenance

    @property
    def min_coverage(self) -> float:
        return self.header.min_coverage

    @property
    def percentiles(self) -> tuple[float, ...]:
        """In percent; empty where the profiles have no spread."""
        return self.header.percentiles

    @property
    def n_samples(self) -> int:
        """Samples of each profile in the map, 0 if there are none."""
        return self.header.n_samples

    @property
    def extinction(self) -> np.ndarray:
        return self.extinction_median

    @property
    def density(self) -> np.ndarray:
        return self.density_median

    @property
    def profiles(self) -> ProfileEstimate:
        """All that the map knows of its profiles."""
        arrays = {name: layer for name, layer in self._layers.items() if name in AXES}
        return ProfileEstimate(**arrays, percentiles=self.percentiles or PERCENTILES)

    def write(self, path, overwrite=False):
        """Write the map to a FITS file; the same map gives the same bytes.

        Images EXTINCTION (mag, at the bins' outer edges), DENSITY (mag/kpc, inside the bins), COVERAGE,
        NSTARS and FLAG. A map whose profiles have a spread, where EXTINCTION and DENSITY are medians, also
        has EXTINCTION_MEAN, EXTINCTION_STD, EXTINCTION_PERCENTILES, the same of DENSITY, RELIABLE_DISTANCE;
        one with samples, SAMPLES. On the sky the first axis is longitude, stored descending (CDELT1 < 0: l
        increases to the left, as viewers show it), the second latitude, in a plate carrée (CAR with CRVAL2 =
        0); the third axis of the cubes is distance, and a fourth the number i of the percentile PERCi or of
        the sample. Every part repeats the provenance.

        A map on a HEALPix grid becomes tables in place of images, one row a pixel, nested and Galactic: SKY
        of single numbers, PROFILES of cubes, DISTANCES of the bins; see `extmap_tf.map.healpix_tables`.

        Raises
        ------
        DataError
            The file exists and `overwrite` is false.
        """
        layout.write_layers(path, self._layers, self.header, overwrite)

    @classmethod
    def read(cls, path, verify=False):
        """Open a map written by `write`; the arrays stay in the file until they are used.

        Parameters
        ----------
        path : path-like
        verify : bool
            Read the whole file once and compare it with its checksums.

        Raises
        ------
        DataError
            The file is missing, not FITS, not such a map, truncated, or (with `verify`) damaged.
        """
        layers, header = layout.read_layers(path, verify=verify)
        return cls._held(header, layers, path=Path(path).absolute())

    @property
    def has_profile(self):
        """Whether a sightline has a profile: ndarray of bool [*sky]."""
        return self.flag & EMPTY_FLAGS.value == 0

    def band_factor(self, band=None, law=None):
        """A(band), or a colour excess, over the A of the map's own band.

        Parameters
        ----------
        band : str, optional
            The map's own bands, any of `extmap_tf.extinction.bands.BANDS_UM`, or a colour excess of two such
            as ``E(B-V)``; the map's own band if left out.
        law : LawConfig or str, optional
            Instead of the map's own law: a model of ``dust_extinction`` by name (then with R(V) = 3.1). The
            map's A in its own band is kept as it is, not fitted anew.

        Raises
        ------
        ConfigError
            An unknown band or law, or a law that does not cover the band.
        """
        origin = self.provenance
        if law is not None:
            law = as_law(law)
            # Also where it changes nothing: an unknown law is a mistake.
            a_over_av(law)
        if band is None or band == origin.band:
            return 1.0
        return extinction_ratio(
            band,
            origin.band,
            law or origin.law,
            own_um={origin.blue_band: origin.blue_band_um, origin.band: origin.band_um},
            own_ratios={origin.blue_band: origin.blue_over_red} if law is None else None,
        )

    def query(
        self,
        coords,
        *,
        quantity="extinction",
        mode="median",
        percentile=None,
        band=None,
        law=None,
        sky="nearest",
        return_flags=False,
        seed=0,
    ):
        """Extinction or its density at positions on the sky or in space.

        The shape of the result is ``coords.shape``, then ``(n_percentiles,)`` for a sequence of percentiles
        or ``(n_samples,)`` for samples, then ``(n_distances,)`` for positions without a distance. Flags have
        ``coords.shape``.

        Parameters
        ----------
        coords : astropy.coordinates.SkyCoord
            In any frame. With a distance: the value there. Without: the whole profile, the extinction at
            ``distance.outer_kpc``, the density in the bins around ``distance.centers_kpc``.
        quantity : {"extinction", "density"}
            Extinction from the Sun to the position, linear inside a distance bin from 0 at the Sun; or the
            differential extinction of the position's bin (lower edge inclusive; the last bin, both edges).
        mode : {"median", "mean", "std", "percentile", "samples", "random_sample"}
            What of the distribution, at each distance by itself: the median density is not the slope of the
            median extinction. ``samples``: every stored profile. ``random_sample``: for each
            sightline one of its stored profiles, the same for all positions on it, chosen with `seed`.
            A map without a distribution, such as a truth, has only its one profile, as ``median``.
        percentile : float or sequence of float
            In percent, with ``mode="percentile"``; between two stored percentiles, linear in the quantile of
            the normal distribution.
        band : str, optional
            As for `band_factor`; the map's own band if left out.
        law : LawConfig or str, optional
            As for `band_factor`; the map's own law if left out.
        sky : {"nearest", "linear"}
            The sightline whose centre is nearest in l and in b, or whose HEALPix pixel the position is in;
            or between the four centres around the position, linear in l and b and constant in the outermost
            half step, or with HEALPix's bilinear weights, those of pixels outside the map shared out among
            the others; NaN if one of the four that counts has no profile. A std or percentile is interpolated
            like any other value.
        return_flags : bool
            Also return the bits of `Flag` of each position.
        seed : int
            Of ``random_sample``.

        Returns
        -------
        astropy.units.Quantity of float32
            mag or mag/kpc. NaN without a profile, outside the grid (by more than half a step, or in none of
            its pixels), or where the position or distance is NaN. Beyond the last distance the extinction
            stays at its last value, a lower limit, and the density is NaN. Beyond the reliable distance
            values are given and flagged; a whole profile is not flagged for its far end, which
            ``reliable_distance_kpc`` tells.
        ndarray of uint16
            Only with `return_flags`.

        Raises
        ------
        DataError
            A distance is negative or no length, or the map does not have what `mode` asks for.
        ConfigError
            An unknown band, law, quantity, mode or sky mode, or a percentile outside the stored ones.
        """
        parts = coords.parts if isinstance(coords, _Place) else _galactic(coords)
        how = {"quantity": quantity, "mode": mode, "percentile": percentile, "sky": sky, "seed": seed}
        values, flags = self._values_at(parts, **how)
        values *= np.float32(self.band_factor(band, law))
        unit = u.mag if quantity == "extinction" else u.mag / u.kpc
        answer = u.Quantity(values, unit, copy=False)
        return (answer, flags) if return_flags else answer

    def query_gal(self, l, b, d=None, **how):
        """As `query`, for Galactic longitude, latitude and heliocentric distance.

        Parameters
        ----------
        l, b : float, array_like or Quantity
            Plain numbers are degrees.
        d : float, array_like or Quantity, optional
            Plain numbers are kpc. The three are broadcast against one another.
        how
            As for `query`.

        Raises
        ------
        DataError, ConfigError
            As for `query`, and a latitude beyond 90 deg.
        """
        parts = _numbers(longitude=l, latitude=b, distance=d)
        impossible = np.isfinite(parts[1]) & (np.abs(parts[1]) > 90.0)
        if impossible.any():
            raise DataError(
                f"no such position: latitude must be -90 to 90 deg, got: {parts[1][impossible][0]:g}"
            )
        return self.query(_Place(parts), **how)

    def query_equ(self, ra, dec, d=None, **how):
        """As `query_gal`, for right ascension and declination (ICRS)."""
        parts = _numbers(right_ascension=ra, declination=dec, distance=d)
        try:
            sky = SkyCoord(parts[0] * u.deg, parts[1] * u.deg, frame="icrs").galactic
        except ValueError as error:
            raise DataError(f"no such position: {error}") from None
        return self.query(_Place([sky.l.deg, sky.b.deg, *parts[2:]]), **how)

    def _values_at(self, parts, *, quantity, mode, percentile, sky, seed):
        """Values and flags at l and b in deg and perhaps d in kpc, a list of arrays of one shape."""
        for name, value, known in (
            ("quantity", quantity, QUANTITIES),
            ("mode", mode, MODES),
            ("sky", sky, SKY_MODES),
        ):
            if value not in known:
                raise ConfigError(f"{name} must be one of {', '.join(known)}, got: {value!r}")
        columns, one = self._columns(quantity, mode, percentile, seed)
        shape = np.shape(parts[0])
        flat = [np.ravel(part) for part in parts]
        if len(flat) == 3 and (flat[2] < 0).any():
            first = int(np.argmax(flat[2] < 0))
            raise DataError(
                f"distances must not be negative, got: {flat[2][first]:g} kpc at position {first} "
                f"({np.count_nonzero(flat[2] < 0)} of {flat[2].size} are)"
            )
        n, tail = flat[0].size, () if len(flat) == 3 else (self.distance.n_distances,)
        values = np.empty((n, len(columns), *tail), np.float32)
        flags = np.empty(n, np.uint16)
        step = max(1, BLOCK // (len(columns) * (tail[0] if tail else 1)))
        for start in range(0, n, step):
            block = slice(start, start + step)
            values[block], flags[block] = self._look_up(
                columns, quantity, sky, *(part[block] for part in flat)
            )
        return values.reshape(shape + (() if one else (len(columns),)) + tail), flags.reshape(shape)

    def _columns(self, quantity, mode, percentile, seed):
        """Functions (place, bins) -> values, as a list, and whether it is one without an axis.

        A place is what indexes the sky axes: a tuple of arrays [n].
        """
        if (percentile is not None) != (mode == "percentile"):
            raise ConfigError(f"percentile goes with mode 'percentile', got: {percentile!r} with {mode!r}")
        if mode == "median":
            return [self._reader(self._layers[f"{quantity}_median"], quantity)], True
        if mode in ("samples", "random_sample"):
            samples = self._layer("samples", "samples", "score with --samples")
            if mode == "samples":
                return [self._sample_reader(samples, quantity, s) for s in range(self.n_samples)], False
            chosen = np.random.default_rng(seed).integers(self.n_samples, size=self.grid.shape)
            return [self._sample_reader(samples, quantity, chosen)], True
        advice = "it has one profile a sightline, as mode 'median'"
        if mode != "percentile":
            return [self._reader(self._layer(f"{quantity}_{mode}", mode, advice), quantity)], True
        cube = self._layer(f"{quantity}_percentiles", "percentiles", advice)
        wanted = np.atleast_1d(np.asarray(percentile, float))
        weights = [_percentile_weights(self.percentiles, p) for p in wanted]
        return [self._percentile_reader(cube, quantity, pairs) for pairs in weights], np.ndim(percentile) == 0

    def _layer(self, attribute, what, advice):
        if attribute not in self._layers:
            name = f"{self.path}" if self.path else "this map"
            raise DataError(f"{name} ({self.provenance.kind}) has no {what}: {advice}")
        return self._layers[attribute]

    @staticmethod
    def _reader(cube, quantity):
        """Values [n] at `bins` (index, fraction) of sightlines; for None, whole profiles [n, n_distances]."""

        def read(place, bins):
            if bins is None:
                return cube[place]
            k, fraction = bins
            if quantity == "density":
                return cube[*place, k]
            return _inside_bin(cube[*place, k], cube[*place, np.maximum(k - 1, 0)], k, fraction)

        return read

    def _percentile_reader(self, cube, quantity, pairs):
        readers = [(self._reader(cube[..., index, :], quantity), weight) for index, weight in pairs]
        return lambda *where: sum(weight * read(*where) for read, weight in readers)

    def _sample_reader(self, samples, quantity, number):
        """As `_reader`, for sample `number` (one, or an array [*sky]) of the profiles."""
        step_kpc = self.distance.step_kpc

        def read(place, bins):
            which = number if np.ndim(number) == 0 else number[place]
            if bins is None:
                profile = samples[*place, which]
                return (
                    profile if quantity == "extinction" else np.diff(profile, axis=-1, prepend=0.0) / step_kpc
                )
            k, fraction = bins
            outer, inner = samples[*place, which, k], samples[*place, which, np.maximum(k - 1, 0)]
            if quantity == "density":
                return (outer - np.where(k > 0, inner, 0.0)) / step_kpc
            return _inside_bin(outer, inner, k, fraction)

        return read

    def _look_up(self, columns, quantity, sky, l_deg, b_deg, d_kpc=None):
        nowhere = ~(np.isfinite(l_deg) & np.isfinite(b_deg))
        l_deg, b_deg = np.where(nowhere, np.nan, l_deg), np.where(nowhere, np.nan, b_deg)
        sightline = self.grid.sightline_of(l_deg, b_deg)
        outside = sightline < 0
        nan = nowhere if d_kpc is None else nowhere | np.isnan(d_kpc)
        flags = np.where(outside & ~nowhere, Flag.OUTSIDE_SKY.value, 0).astype(np.uint16)
        flags[nan] |= Flag.NOT_A_NUMBER.value
        empty = outside | nan
        bins = None
        if d_kpc is not None:
            *bins, beyond = _bins_of(self.distance, np.where(nan, 0.0, d_kpc))
            flags[beyond & ~outside] |= Flag.BEYOND_LAST_DISTANCE.value
            if quantity == "density":
                empty = empty | beyond
        if sky == "nearest":
            corners = [(np.where(outside, 0, sightline), None)]
        else:
            # Any place inside stands for those outside, whose values are not kept.
            l0_deg, b0_deg = self.grid.center_deg(0)
            corners = self.grid.interpolation(
                np.where(outside, l0_deg, l_deg), np.where(outside, b0_deg, b_deg)
            )
        values = [0.0] * len(columns)
        for index, weight in corners:
            place = np.unravel_index(index, self.grid.shape)
            counts = ~outside if weight is None else ~outside & (weight > 0)
            flags |= np.where(counts, self.flag[place], 0).astype(np.uint16)
            if d_kpc is not None and self.percentiles:
                unreliable = counts & (d_kpc > self.reliable_distance_kpc[place])
                flags[unreliable] |= Flag.BEYOND_RELIABLE_DISTANCE.value
            for number, read in enumerate(columns):
                found = read(place, bins)
                if weight is not None:
                    by = weight.reshape(-1, *(1,) * (found.ndim - 1))
                    # A corner of no weight may be NaN, and 0 x NaN is not 0.
                    found = np.where(by > 0, found * by, 0.0)
                values[number] = values[number] + found
        values = np.stack(values, axis=1)
        values[empty] = np.nan
        return values, flags

    def describe(self):
        """What the map is, as a list of lines of plain text."""
        return [f"{name:<14} {text}" for name, text in self.summary()]

    def summary(self):
        """What the map is, as a list of (name, text); a row without a name goes on with the one above."""
        distance, origin = self.distance, self.provenance
        where, how_finely = self.grid.summary()
        kind = "estimated from star counts" if origin.kind == "estimate" else "the true dust of a mock sky"
        good = self.has_profile
        total = self.extinction[..., -1][good]
        others = f"{origin.blue_band}, E({origin.blue_band}-{origin.band})"
        if origin.law_model != "ratio":
            others += ", other bands and colour excesses by its law"
        model = f"{origin.model_name} ({origin.model_digest}), records {origin.records_digest}"
        rows = [
            ("map", kind),
            ("quantity", f"A({origin.band}) in mag and its density in mag/kpc; queries also give {others}"),
            ("sky", where),
            ("", how_finely),
            (
                "distance",
                f"0 to {distance.max_kpc:g} kpc, {distance.n_distances} bins of {distance.step_kpc:g} kpc",
            ),
            ("sightlines", f"{np.count_nonzero(good)} of {self.grid.n_sightlines} have a profile"),
            *self._flags_described(),
            ("values", self._values_described()),
            ("stars", f"{int(self.n_stars.sum(dtype=np.int64))} counted (fields may overlap)"),
            ("coverage", f"an estimate needs {self.min_coverage:g} of its field"),
        ]
        if good.any():
            at_end = f"median {np.median(total):.3f} mag, largest {total.max():.3f} mag"
            rows.append((f"total A({origin.band})", f"{at_end}, at {distance.max_kpc:g} kpc"))
            if self.percentiles:
                low, middle, high = np.percentile(self.reliable_distance_kpc[good], (16, 50, 84))
                rows.append(
                    ("reliable to", f"{middle:.2f} kpc (16 to 84 % of them: {low:.2f} to {high:.2f})")
                )
        rows += [
            ("survey", f"{origin.survey} ({origin.blue_band}, {origin.band})"),
            ("law", law_text(origin.law_model, origin.law_rv)),
            ("", f"A({origin.blue_band})/A({origin.band}) = {origin.blue_over_red:.4f}"),
            ("configuration", f"{origin.config_name} ({origin.config_digest})"),
            ("model", model if origin.model_name else "none"),
            ("software", origin.software),
        ]
        return rows

    def _flags_described(self):
        for flag in SIGHTLINE_FLAGS:
            if n := np.count_nonzero(self.flag & flag.value):
                yield "", f"{n} {'have none' if flag & EMPTY_FLAGS else 'are doubtful'}: {flag.meaning}"

    def _values_described(self):
        if not self.percentiles:
            return "one profile a sightline, without uncertainty"
        numbers = ", ".join(f"{p:g}" for p in self.percentiles)
        text = f"median, mean, std and percentiles {numbers}"
        return f"{text}; {self.n_samples} samples" if self.n_samples else f"{text}; no samples"


def _bins_of(distance, d_kpc):
    """Bin of each distance, how far into it (0 to 1), and whether the distance is past the last bin."""
    x = d_kpc / distance.step_kpc
    k = np.minimum(np.floor(x + BIN_TOLERANCE), distance.n_distances - 1)
    return k.astype(np.int64), np.clip(x - k, 0.0, 1.0), x > distance.n_distances + BIN_TOLERANCE


def _inside_bin(outer, inner, k, fraction):
    """Extinction at `fraction` of bin `k`, from those at the outer edges of `k` and `k - 1`."""
    inner = np.where(k > 0, inner, 0.0)
    return inner + (outer.astype(np.float64) - inner) * fraction


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


class _Place(NamedTuple):
    """Positions as numbers: l and b in deg and perhaps d in kpc, of one shape."""

    parts: list


def _galactic(coords):
    if not isinstance(coords, SkyCoord | BaseCoordinateFrame):
        raise DataError(f"query takes a SkyCoord (and query_gal takes l, b), got: {type(coords).__name__}")
    frame = coords.frame if isinstance(coords, SkyCoord) else coords
    if not isinstance(frame, Galactic):
        try:
            frame = frame.transform_to(Galactic())
        except ConvertError as error:
            raise DataError(f"coordinates cannot be turned into Galactic ones: {error}") from None
    place = frame.spherical
    parts = [place.lon.to_value(u.deg), place.lat.to_value(u.deg)]
    if not isinstance(frame.data, UnitSphericalRepresentation):
        parts.append(_plain(place.distance, u.kpc, "distance"))
    return parts


def _numbers(distance, **angles):
    parts = [_plain(angle, u.deg, name.replace("_", " ")) for name, angle in angles.items()]
    if distance is not None:
        parts.append(_plain(distance, u.kpc, "distance"))
    try:
        return np.broadcast_arrays(*parts)
    except ValueError:
        shapes = ", ".join(str(part.shape) for part in parts)
        raise DataError(f"positions must have shapes that go together, got: {shapes}") from None


def _plain(value, unit, name):
    try:
        return u.Quantity(value, unit, dtype=float).value
    except (u.UnitConversionError, TypeError, ValueError):
        raise DataError(
            f"{name} must be numbers in {unit} or convertible to it, got: {value!r:.60}"
        ) from None
