"""The 3D extinction map: extinction profiles on a grid of sightlines, and its queries."""

from pathlib import Path

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
from extmap_tf.extinction.law import law_text
from extmap_tf.extinction.profiles import density_to_cumulative
from extmap_tf.map import layout
from extmap_tf.map.provenance import SIGHTLINE_FLAGS, Flag

QUANTITIES = ("cumulative", "density")
SKY_MODES = ("nearest", "linear")

# Catalogs give distances in decimals, and 0.7 / 0.1 is below 7. This tolerance, in bins, puts a distance that
# is meant to lie on the edge of a bin into the farther bin, as the grid's intervals say.
BIN_TOLERANCE = 1e-9

# Positions answered at once: memory stays bounded and the intermediate arrays stay in the processor's cache.
BLOCK = 1 << 16


def profiles_at(cumulative, distance, distances_kpc):
    """Cumulative extinction of every profile at the same distances: linear inside a bin, from 0 at the Sun.

    Parameters
    ----------
    cumulative : array_like [..., n_distances]
        mag, at the outer edges of the bins.
    distance : DistanceGrid
    distances_kpc : array_like [n]
        Not negative; beyond ``distance.max_kpc`` the last value stays.

    Returns
    -------
    ndarray of float64 [..., n]
        mag.
    """
    cumulative = np.asarray(cumulative)
    k, fraction, _ = _bins_of(distance, np.asarray(distances_kpc, float))
    return _inside_bin(cumulative[..., k], cumulative[..., np.maximum(k - 1, 0)], k, fraction)


class ExtinctionMap:
    """Extinction profiles on a grid of sightlines.

    All arrays are read-only. In a map that was read from a file they are views of the memory-mapped file:
    only what is asked for is loaded. Such a map is pickled as its path, so the file must be there, unchanged,
    where it is unpickled; a map made in memory is pickled with its arrays.

    Parameters
    ----------
    grid : SightlineGrid
    distance : DistanceGrid
    density : array_like [n_b, n_l, n_distances]
        mag/kpc in ``provenance.band``, both sky axes ascending.
    coverage : array_like [n_b, n_l]
        Fraction of each field that the survey's data cover, 0 to 1.
    n_stars : array_like of int [n_b, n_l]
        Stars in each field's CMD.
    provenance : Provenance
    min_coverage : float
        An estimate with less coverage, or without a star, becomes NaN and is flagged. A truth is known
        without stars: it is NaN only where `density` is.

    Attributes
    ----------
    density, cumulative : ndarray of float32 [n_b, n_l, n_distances]
        mag/kpc inside the bins, mag at their outer edges; NaN where `flag` is not 0.
    flag : ndarray of uint8 [n_b, n_l]
        Bits of `Flag`.
    path : Path or None
        The file it was read from.

    Raises
    ------
    DataError
        An array does not have the grids' shape or has impossible values.
    """

    def __init__(self, grid, distance, density, coverage, n_stars, provenance, min_coverage=0.5):
        density = np.array(density, np.float32)
        coverage = np.array(coverage, np.float32)
        n_stars = np.array(n_stars)
        for name, layer, shape in (
            ("density", density, (*grid.shape, distance.n_distances)),
            ("coverage", coverage, grid.shape),
            ("n_stars", n_stars, grid.shape),
        ):
            if layer.shape != shape:
                raise DataError(
                    f"{name} of a map must have the shape {shape} of its grids, got: {layer.shape}"
                )
        if not ((coverage >= 0) & (coverage <= 1)).all():
            worst = coverage[~((coverage >= 0) & (coverage <= 1))][0]
            raise DataError(f"coverage of a map must be 0 to 1, got: {worst}")
        if n_stars.dtype.kind not in "iu" or not ((n_stars >= 0) & (n_stars < 2**31)).all():
            raise DataError(
                f"n_stars of a map must be whole numbers from 0 to 2^31 - 1, got: {n_stars.dtype}"
            )
        if not 0 <= min_coverage <= 1:
            raise ConfigError(f"min_coverage must be 0 to 1, got: {min_coverage!r}")
        flag = np.zeros(grid.shape, np.uint8)
        if provenance.kind == "estimate":
            flag[n_stars == 0] |= Flag.NO_STARS.value
            flag[coverage < min_coverage] |= Flag.LOW_COVERAGE.value
        flag[(flag == 0) & ~np.isfinite(density).all(axis=-1)] = Flag.NO_PROFILE.value
        density[flag != 0] = np.nan
        self._hold(
            grid,
            distance,
            provenance,
            float(min_coverage),
            density=density,
            cumulative=density_to_cumulative(density.astype(float), distance.step_kpc).astype(np.float32),
            coverage=coverage,
            n_stars=n_stars.astype(np.int32),
            flag=flag,
        )

    def _hold(self, grid, distance, provenance, min_coverage, path=None, **layers):
        self.grid = grid
        self.distance = distance
        self.provenance = provenance
        self.min_coverage = min_coverage
        self.path = path
        for name, layer in layers.items():
            layer.flags.writeable = False
            setattr(self, name, layer)

    def __reduce__(self):
        if self.path is not None:
            return (type(self).read, (self.path,))
        layers = (self.density, self.coverage, self.n_stars, self.provenance, self.min_coverage)
        return (type(self), (self.grid, self.distance, *layers))

    def write(self, path, overwrite=False):
        """Write the map to a FITS file; the same map gives the same bytes.

        Images CUMULATIVE (mag, at the bins' outer edges), DENSITY (mag/kpc, at the bins' centres), COVERAGE,
        NSTARS and FLAG. On the sky the first axis is longitude, stored descending (CDELT1 < 0: l increases to
        the left, as viewers show it), the second latitude, in a plate carrée (CAR with CRVAL2 = 0); the third
        axis of the cubes is distance. Every part repeats the provenance.

        Raises
        ------
        DataError
            The file exists and `overwrite` is false.
        """
        layers = {
            name: getattr(self, name) for name in ("cumulative", "density", "coverage", "n_stars", "flag")
        }
        layout.write_layers(
            path, layers, self.grid, self.distance, self.provenance, self.min_coverage, overwrite=overwrite
        )

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
        layers, *about = layout.read_layers(path, verify=verify)
        self = cls.__new__(cls)
        self._hold(*about, path=Path(path).absolute(), **layers)
        return self

    @property
    def bands(self):
        """What `query` can give: dict of band name to its ratio to the map's own band."""
        red, blue, ratio = self.provenance.band, self.provenance.blue_band, self.provenance.blue_over_red
        return {red: 1.0, blue: ratio, f"E({blue}-{red})": ratio - 1.0}

    def query(self, coords, band=None, quantity="cumulative", sky="nearest", return_flags=False):
        """Extinction or its density at positions on the sky or in space.

        The shape of the result is ``coords.shape`` for positions with a distance and
        ``coords.shape + (n_distances,)`` for positions without one; flags have ``coords.shape``.

        Parameters
        ----------
        coords : astropy.coordinates.SkyCoord
            In any frame. With a distance: the value there. Without: the whole profile, the cumulative at
            ``distance.outer_kpc``, the density in the bins around ``distance.centers_kpc``.
        band : str, optional
            One of `bands`; the map's own band if left out.
        quantity : {"cumulative", "density"}
            Extinction from the Sun to the position, linear inside a distance bin from 0 at the Sun; or the
            differential extinction of the position's bin (lower edge inclusive; the last bin, both edges).
        sky : {"nearest", "linear"}
            The sightline whose centre is nearest in l and in b; or between the four centres around the
            position, linear in l and b and constant in the outermost half step; NaN if one of the four that
            counts has no profile.
        return_flags : bool
            Also return the bits of `Flag` of each position.

        Returns
        -------
        astropy.units.Quantity of float32
            mag or mag/kpc. NaN without a profile, further than half a step outside the grid, or where the
            position or distance is NaN. Beyond the last distance the cumulative stays at its last value, a
            lower limit, and the density is NaN.
        ndarray of uint8
            Only with `return_flags`.

        Raises
        ------
        DataError
            A distance is negative or no length.
        ConfigError
            An unknown band, quantity or sky mode.
        """
        if not isinstance(coords, SkyCoord | BaseCoordinateFrame):
            raise DataError(
                f"query takes a SkyCoord (and query_gal takes l, b), got: {type(coords).__name__}"
            )
        frame = coords.frame if isinstance(coords, SkyCoord) else coords
        if not isinstance(frame, Galactic):
            try:
                frame = frame.transform_to(Galactic())
            except ConvertError as error:
                raise DataError(f"coordinates cannot be turned into Galactic ones: {error}") from None
        place = frame.spherical
        distance = None if isinstance(frame.data, UnitSphericalRepresentation) else place.distance
        return self.query_gal(place.lon, place.lat, distance, band, quantity, sky, return_flags)

    def query_gal(self, l, b, d=None, band=None, quantity="cumulative", sky="nearest", return_flags=False):
        """As `query`, for Galactic longitude, latitude and heliocentric distance.

        Parameters
        ----------
        l, b : float, array_like or Quantity
            Plain numbers are degrees.
        d : float, array_like or Quantity, optional
            Plain numbers are kpc. The three are broadcast against one another.
        """
        factor = self._factor(band)
        for name, value, known in (("quantity", quantity, QUANTITIES), ("sky", sky, SKY_MODES)):
            if value not in known:
                raise ConfigError(f"{name} must be one of {', '.join(known)}, got: {value!r}")
        parts = [_plain(l, u.deg, "longitude"), _plain(b, u.deg, "latitude")]
        if d is not None:
            parts.append(_plain(d, u.kpc, "distance"))
        try:
            parts = np.broadcast_arrays(*parts)
        except ValueError:
            shapes = ", ".join(str(part.shape) for part in parts)
            raise DataError(f"l, b and d must have shapes that go together, got: {shapes}") from None
        shape = parts[0].shape
        flat = [np.ravel(part) for part in parts]
        if d is not None and (flat[2] < 0).any():
            first = int(np.argmax(flat[2] < 0))
            raise DataError(
                f"distances must not be negative, got: {flat[2][first]:g} kpc at position {first} "
                f"({np.count_nonzero(flat[2] < 0)} of {flat[2].size} are)"
            )
        tail = () if d is not None else (self.distance.n_distances,)
        values = np.empty((flat[0].size, *tail), np.float32)
        flags = np.empty(flat[0].size, np.uint8)
        for start in range(0, flat[0].size, BLOCK):
            block = slice(start, start + BLOCK)
            values[block], flags[block] = self._look_up(
                *(part[block] for part in flat), quantity=quantity, sky=sky
            )
        values *= np.float32(factor)
        unit = u.mag if quantity == "cumulative" else u.mag / u.kpc
        answer = u.Quantity(values.reshape(shape + tail), unit, copy=False)
        return (answer, flags.reshape(shape)) if return_flags else answer

    def _factor(self, band):
        if band is None:
            return 1.0
        if band not in self.bands:
            raise ConfigError(f"no band {band!r} in this map; available: {', '.join(self.bands)}")
        return self.bands[band]

    def _look_up(self, l_deg, b_deg, d_kpc=None, *, quantity, sky):
        nowhere = ~(np.isfinite(l_deg) & np.isfinite(b_deg))
        l_deg, b_deg = np.where(nowhere, np.nan, l_deg), np.where(nowhere, np.nan, b_deg)
        sightline = self.grid.sightline_of(l_deg, b_deg)
        outside = sightline < 0
        nan = nowhere if d_kpc is None else nowhere | np.isnan(d_kpc)
        flags = np.where(outside & ~nowhere, Flag.OUTSIDE_SKY.value, 0).astype(np.uint8)
        flags[nan] |= Flag.NOT_A_NUMBER.value
        empty = outside | nan
        bins = None
        if d_kpc is not None:
            *bins, beyond = _bins_of(self.distance, np.where(nan, 0.0, d_kpc))
            flags[beyond & ~outside] |= Flag.BEYOND_LAST_DISTANCE.value
            if quantity == "density":
                empty = empty | beyond
        if sky == "nearest":
            i_b, i_l = np.divmod(np.where(outside, 0, sightline), self.grid.n_l)
            values = self._at(i_b, i_l, bins, quantity)
            flags |= np.where(outside, 0, self.flag[i_b, i_l])
        else:
            values = 0.0
            for i_b, i_l, weight in self._corners(
                np.where(outside, 0.0, l_deg), np.where(outside, 0.0, b_deg)
            ):
                corner = self._at(i_b, i_l, bins, quantity)
                weight = weight.reshape(-1, *(1,) * (corner.ndim - 1))
                # A corner of no weight may be NaN, and 0 x NaN is not 0.
                values = values + np.where(weight > 0, corner * weight, 0.0)
                flags |= np.where((weight.ravel() > 0) & ~outside, self.flag[i_b, i_l], 0)
        values[empty] = np.nan
        return values, flags

    def _at(self, i_b, i_l, bins, quantity):
        """Values [n] at `bins` (index, fraction) of sightlines; for None, whole profiles [n, n_distances]."""
        if bins is None:
            return getattr(self, quantity)[i_b, i_l]
        k, fraction = bins
        if quantity == "density":
            return self.density[i_b, i_l, k]
        outer, inner = self.cumulative[i_b, i_l, k], self.cumulative[i_b, i_l, np.maximum(k - 1, 0)]
        return _inside_bin(outer, inner, k, fraction)

    def _corners(self, l_deg, b_deg):
        """The four centres around each position: a list of (i_b, i_l, weight), each [n]."""
        grid = self.grid
        half = 0.5 * grid.step_deg
        x = (np.mod(l_deg - grid.l_min_deg + half, 360.0) - half) / grid.step_deg
        y = (b_deg - grid.b_min_deg) / grid.step_deg
        closed = grid.n_l * grid.step_deg > 360.0 - 1e-6
        return [
            (i_b, i_l, weight_b * weight_l)
            for i_b, weight_b in _pair(y, grid.n_b)
            for i_l, weight_l in _pair(x, grid.n_l, closed)
        ]

    def describe(self):
        """What the map is, as a list of lines of plain text."""
        grid, distance, origin = self.grid, self.distance, self.provenance
        kind = "estimated from star counts" if origin.kind == "estimate" else "the true dust of a mock sky"
        good = self.flag == 0
        total = self.cumulative[..., -1][good]
        others = ", ".join(band for band in self.bands if band != origin.band)
        model = f"{origin.model_name} ({origin.model_digest}), records {origin.records_digest}"
        rows = [
            ("map", kind),
            ("quantity", f"A({origin.band}) in mag and its density in mag/kpc; queries also give {others}"),
            (
                "sky",
                f"l {grid.l_min_deg:g} to {grid.l_max_deg:g}, b {grid.b_min_deg:g} to {grid.b_max_deg:g} deg",
            ),
            (
                "",
                f"{grid.n_l} x {grid.n_b} fields of {grid.field_deg:g} deg, every {grid.step_deg:g} deg",
            ),
            (
                "distance",
                f"0 to {distance.max_kpc:g} kpc, {distance.n_distances} bins of {distance.step_kpc:g} kpc",
            ),
            ("sightlines", f"{np.count_nonzero(good)} of {grid.n_sightlines} have a profile"),
            *(
                ("", f"{np.count_nonzero(self.flag & flag.value)} have none: {flag.meaning}")
                for flag in SIGHTLINE_FLAGS
                if (self.flag & flag.value).any()
            ),
            ("stars", f"{int(self.n_stars.sum(dtype=np.int64))} counted (fields may overlap)"),
            ("coverage", f"an estimate needs {self.min_coverage:g} of its field"),
        ]
        if good.any():
            at_end = f"median {np.median(total):.3f} mag, largest {total.max():.3f} mag"
            rows.append((f"total A({origin.band})", f"{at_end}, at {distance.max_kpc:g} kpc"))
        rows += [
            ("survey", f"{origin.survey} ({origin.blue_band}, {origin.band})"),
            ("law", law_text(origin.law_model, origin.law_rv)),
            ("", f"A({origin.blue_band})/A({origin.band}) = {origin.blue_over_red:.4f}"),
            ("configuration", f"{origin.config_name} ({origin.config_digest})"),
            ("model", model if origin.model_name else "none"),
            ("software", origin.software),
        ]
        return [f"{name:<14} {text}" for name, text in rows]


def _bins_of(distance, d_kpc):
    """Bin of each distance, how far into it (0 to 1), and whether the distance is past the last bin."""
    x = d_kpc / distance.step_kpc
    k = np.minimum(np.floor(x + BIN_TOLERANCE), distance.n_distances - 1)
    return k.astype(np.int64), np.clip(x - k, 0.0, 1.0), x > distance.n_distances + BIN_TOLERANCE


def _inside_bin(outer, inner, k, fraction):
    """Cumulative extinction at `fraction` of bin `k`, from those at the outer edges of `k` and `k - 1`."""
    inner = np.where(k > 0, inner, 0.0)
    return inner + (outer.astype(np.float64) - inner) * fraction


def _pair(x, n, closed=False):
    """Nodes below and above each `x` on a grid of `n` with their weights; held at the ends unless closed."""
    below = np.floor(x) if closed else np.clip(np.floor(x), 0, max(n - 2, 0))
    weight = np.clip(x - below, 0.0, 1.0)
    if n == 1:
        weight = np.zeros_like(weight)
    below = below.astype(int)
    above = below + 1
    return (below % n, 1.0 - weight), (above % n, weight)


def _plain(value, unit, name):
    try:
        return u.Quantity(value, unit, dtype=float).value
    except (u.UnitConversionError, TypeError, ValueError):
        raise DataError(
            f"{name} must be numbers in {unit} or convertible to it, got: {value!r:.60}"
        ) from None
