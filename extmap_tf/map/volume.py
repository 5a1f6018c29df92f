"""The 3D extinction map: profiles on a grid of sightlines, its queries and its files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from astropy import units as u
from astropy.coordinates import BaseCoordinateFrame, SkyCoord

from extmap_tf.errors import DataError
from extmap_tf.grids.regions import SkyRegion
from extmap_tf.map import places
from extmap_tf.map.description import summary_of
from extmap_tf.map.example import example_layers
from extmap_tf.map.formats import read_layers, write_layers
from extmap_tf.map.held import HeldMap
from extmap_tf.map.parts import part_within, profiles_table, sightline_at
from extmap_tf.map.query import Lookup
from extmap_tf.settings.law import LawConfig

if TYPE_CHECKING:
    from astropy.table import QTable


class ExtinctionMap(HeldMap):
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
    surveys : array_like of int [*sky], optional
        Of an estimate by several surveys which ones each field had: the sum of 2^i of their places i in
        ``provenance.surveys``.
    smallest_wall : array_like [*sky, n_distances], optional
        Of a map with `MapHeader.wall_sigma`, see below.

    Attributes
    ----------
    grid, distance, provenance, min_coverage, percentiles, n_samples
        Those of `header`.
    extinction, density : ndarray of float32 [*sky, n_distances]
        mag at the outer edges of the bins, mag/kpc inside them: the median where there is a spread. NaN where
        `has_profile` is false.
    flag : ndarray of uint8 [*sky]
        Bits of `Flag`.
    extinction_mean, extinction_std, extinction_percentiles, density_mean, ..., samples
        As in `ProfileEstimate`, of float32, if the map has them.
    surveys, odd_surveys : ndarray of uint8 [*sky]
        Of an estimate by several surveys; the second are those whose stars raised a flag, see also
        `odd_by_survey`.
    reliable : ndarray of bool [*sky, n_distances]
        Whether the extinction at the outer edges is reliable, see `extmap_tf.estimate.is_reliable`; only of a
        map whose profiles have a spread.
    reliable_distance_kpc : ndarray of float32 [*sky]
        See `extmap_tf.estimate.reliable_distance_kpc`; NaN without a profile.
    smallest_wall : ndarray of float32 [*sky, n_distances]
        Extinction of the smallest wall of dust at the outer edges that would be found in most fields like
        this one, mag; NaN where even the largest that was tried would not, or without a profile. Of a map
        that was scored with it; see `extmap_tf.compare.visible_walls`.
    path : Path or None
        The file it was read from.

    Raises
    ------
    DataError
        An array does not have the grids' shape or has impossible values.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        if self.path is not None and not self._band:
            return (type(self).read, (self.path,))
        return (type(self)._held, (self.header, self._layers, self.path, self._band, self._factor))

    def __repr__(self) -> str:
        where = f" {self.path}" if self.path else ""
        return f"<ExtinctionMap{where}: {'; '.join(self.grid.summary())}, to {self.distance.max_kpc:g} kpc>"

    def __str__(self) -> str:
        return "\n".join(self.describe())

    @classmethod
    def example(cls) -> Self:
        """A small map that comes with the package: that of the demo's mock sky, with 16 samples.

        Its numbers are rounded to 0.2 %. It is in memory, and has no file of its own.

        Examples
        --------
        >>> volume = ExtinctionMap.example()
        >>> volume
        <ExtinctionMap: l 281 to 289, b -2 to 2 deg; 17 x 9 fields of 0.5 deg, every 0.5 deg, to 10 kpc>
        """
        layers, header = example_layers()
        return cls._held(header, layers)

    @classmethod
    def read(cls, path: Any, verify: bool = False) -> Self:
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
        layers, header = read_layers(path, verify=verify)
        return cls._held(header, layers, path=Path(path).absolute())

    def write(self, path: Any, overwrite: bool = False) -> None:
        """Write the map to a FITS file; the same map gives the same bytes.

        Images EXTINCTION (mag, at the bins' outer edges), DENSITY (mag/kpc, inside the bins), COVERAGE,
        NSTARS and FLAG. A map whose profiles have a spread, where EXTINCTION and DENSITY are medians, also
        has EXTINCTION_MEAN, EXTINCTION_STD, EXTINCTION_PERCENTILES, the same of DENSITY, RELIABLE and
        RELIABLE_DISTANCE; one with samples, SAMPLES; one scored with walls, SMALLEST_WALL. On the sky the
        first axis is longitude, stored descending (CDELT1 < 0: l increases to the left, as viewers show it),
        the second latitude, in a plate carrée (CAR with CRVAL2 = 0); the third axis of the cubes is distance,
        and a fourth the number i of the percentile PERCi or of the sample. Every part repeats the provenance.

        A map on a HEALPix grid becomes tables in place of images, one row a pixel, nested and Galactic: SKY
        of single numbers, PROFILES of cubes, DISTANCES of the bins; see `extmap_tf.map.formats.tables`.

        Raises
        ------
        DataError
            The file exists and `overwrite` is false, or the values are not in the map's own band.
        """
        if self._band:
            raise DataError(f"{path}: a map is written in its own band, this one is in {self._band}")
        write_layers(path, self._layers, self.header, overwrite)

    def at(self, coords: SkyCoord | BaseCoordinateFrame) -> "QTable":
        """The profile of the sightline at one position, as a table with units: a row for each distance.

        Parameters
        ----------
        coords : astropy.coordinates.SkyCoord
            One position; a distance does not count.

        Returns
        -------
        astropy.table.QTable
            distance (the bins' outer edges), extinction and density (medians) and, of a map with intervals,
            extinction_std, extinction_p2_5 and so on for each percentile, and reliable.

        Raises
        ------
        DataError
            More than one position, or one outside the map.

        Examples
        --------
        >>> from astropy import units as u
        >>> profile = ExtinctionMap.example().at(SkyCoord(285 * u.deg, 0.5 * u.deg, frame="galactic"))
        >>> len(profile), str(profile["distance"][-1]), str(profile["extinction"].unit)
        (100, '10.0 kpc', 'mag')
        """
        l_deg, b_deg = places.place_of(coords)[:2]
        return profiles_table(self, sightline_at(self.grid, l_deg, b_deg))

    def within(self, region: SkyRegion) -> Self:
        """The part of the map in a region of the sky, as a map in memory.

        On squares it is the smallest rectangle of sightlines that holds those in the region. On HEALPix it is
        all pixels in the region; those that the map does not have are empty.

        Parameters
        ----------
        region : extmap_tf.grids.regions.SkyRegion

        Raises
        ------
        DataError
            No sightline of the map is in the region.

        Examples
        --------
        >>> from extmap_tf.grids.regions import SkyRegion
        >>> ExtinctionMap.example().within(SkyRegion(l_deg=285.0, b_deg=0.0, radius_deg=0.8)).grid.shape
        (3, 3)
        """
        return type(self)._held(*part_within(self.header, self._layers, region))

    def query(
        self,
        coords: SkyCoord | BaseCoordinateFrame,
        *,
        quantity: str = "extinction",
        mode: str = "median",
        percentile: float | Sequence[float] | None = None,
        band: str | None = None,
        law: LawConfig | str | None = None,
        sky: str = "nearest",
        return_flags: bool = False,
        seed: int = 0,
    ) -> Any:
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
            As for `band_factor`; that of the map's values if left out.
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
            its pixels), or where the position or distance is NaN, masked, negative or beyond a pole. Beyond
            the last distance the extinction stays at its last value, a lower limit, and the density is NaN.
            Where the extinction is not reliable values are given and flagged: at the position, or rather the
            first outer edge of a bin that is not before it. Of a whole profile, `reliable` tells.
        ndarray of uint16
            Only with `return_flags`.

        Raises
        ------
        DataError
            A distance is no length, or the map does not have what `mode` asks for.
        ConfigError
            An unknown band, law, quantity, mode or sky mode, or a percentile outside the stored ones.
        """
        how = {"quantity": quantity, "mode": mode, "percentile": percentile, "sky": sky, "seed": seed}
        return self._answer(places.place_of(coords), band, law, return_flags, **how)

    def query_gal(self, l: Any, b: Any, d: Any = None, **how: Any) -> Any:
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
            As for `query`.
        """
        return self._answer(places.galactic(l, b, d), **how)

    def query_equ(self, ra: Any, dec: Any, d: Any = None, **how: Any) -> Any:
        """As `query_gal`, for right ascension and declination (ICRS)."""
        return self._answer(places.equatorial(ra, dec, d), **how)

    def _answer(self, parts, band=None, law=None, return_flags=False, quantity="extinction", **how):
        values, flags = Lookup(self, quantity, **how).values_at(parts)
        values *= np.float32(self.band_factor(band, law))
        unit = u.mag if quantity == "extinction" else u.mag / u.kpc
        answer = u.Quantity(values, unit, copy=False)
        return (answer, flags) if return_flags else answer

    def describe(self) -> list[str]:
        """What the map is, as a list of lines of plain text."""
        return [f"{name:<14} {text}" for name, text in self.summary()]

    def summary(self) -> list[tuple[str, str]]:
        """What the map is, as a list of (name, text); a row without a name goes on with the one above."""
        return summary_of(self)
