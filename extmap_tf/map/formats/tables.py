"""Profiles on HEALPix pixels as FITS tables: a map on a HEALPix grid, or a copy of any map.

One row a pixel (explicit, nested, Galactic). Table SKY has single numbers, which Aladin, TOPCAT, healpy and
the like read: extinction to the last distance and its standard deviation, coverage, star count, flag and
reliable distance. Table PROFILES has the cubes, table DISTANCES the bins.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import Table

from extmap_tf.errors import DataError
from extmap_tf.extinction.bands import quantity_of
from extmap_tf.files import PathLike
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.sky import SkyGrid
from extmap_tf.map.formats.cards import Part, explain_flags, parts_of
from extmap_tf.map.formats.fits_files import new_fits_file
from extmap_tf.map.header import MapHeader
from extmap_tf.map.layers import Layers, Put

if TYPE_CHECKING:
    from astropy.units import Quantity

NAMES = ("SKY", "PROFILES", "DISTANCES")

# Programs for HEALPix do not know columns of bytes, but vectors of them.
_DTYPES = {
    "n_stars": np.int32,
    "flag": np.int16,
    "surveys": np.int16,
    "odd_surveys": np.int16,
    "reliable": np.uint8,
}


class Tables:
    """Of a `HealpixGrid`; see `extmap_tf.map.formats.fits_maps.Layout`."""

    hdu = fits.BinTableHDU

    def holds(self, grid: SkyGrid) -> bool:
        return isinstance(grid, HealpixGrid)

    def sniff(self, header: fits.Header) -> bool:
        return "SKYNSIDE" in header

    def open(self, path: Path, hdus: fits.HDUList, parts: dict[str, Part], header: MapHeader) -> Layers:
        """The layers by name: views of the memory-mapped file.

        Raises
        ------
        DataError
            A table or column is missing, or has not the pixels or the shape of the grids.
        """
        require_tables(path, hdus)
        grid, lengths, layers = _pixels_of(header), header.lengths, {}
        for name in ("SKY", "PROFILES"):
            pixels = _column(path, hdus[name], "PIXEL", grid.shape)
            if not np.array_equal(pixels, grid.pixels):
                raise DataError(f"{path}: the pixels of {name} are not those of its grid (rows cut out?)")
        for name, part in parts.items():
            shape = (*grid.shape, *(lengths[axis] for axis in part.axes))
            values = _column(path, hdus["PROFILES" if part.axes else "SKY"], name, shape)
            bits = part.layer in ("flag", "surveys", "odd_surveys")
            layers[part.layer] = values.astype(np.uint8) if bits else values
        return layers

    @contextlib.contextmanager
    def create(
        self, path: PathLike, header: MapHeader, shared: list[fits.Card], overwrite: bool
    ) -> Iterator[Put]:
        """Make the file and let the caller fill it, see `extmap_tf.map.formats.new_map_file`."""
        grid = _pixels_of(header)
        with new_tables(path, grid.pixels, grid.nside, header, shared, overwrite) as put:
            yield put


@contextlib.contextmanager
def new_tables(
    path: PathLike,
    pixels: np.ndarray,
    nside: int,
    header: MapHeader,
    shared: Sequence[fits.Card],
    overwrite: bool = False,
    extra: "Mapping[str, Quantity] | None" = None,
    quantity: str = "",
    about: Sequence[str] = (),
) -> Iterator[Put]:
    """Make a file of these tables and let the caller fill it, some pixels at a time.

    Parameters
    ----------
    path : path-like
    pixels : ndarray of int64 [n_pixels]
        Ascending.
    nside : int
    header : MapHeader
    shared : sequence of astropy.io.fits.Card
        Cards that every part of the file ends with.
    overwrite : bool
    extra : dict of str to Quantity [n_pixels], optional
        Further columns of SKY.
    quantity : str
        Of all values, if not that of the map's band.
    about : sequence of str
        Lines of text for the file's first header.

    Yields
    ------
    callable
        As `extmap_tf.map.formats.new_map_file` does, of pixels in place of fields.
    """
    extra = extra or {}
    parts = parts_of(header, quantity)
    sky, profiles, distances = _headers(pixels, nside, header, parts, extra, quantity)
    hdus = fits.HDUList([fits.PrimaryHDU(), sky, profiles, distances])
    explain_flags(sky)
    for number, line in enumerate(about, 1):
        hdus[0].header[f"ABOUT{number}"] = line
    with new_fits_file(path, hdus, shared, overwrite) as (stream, offsets):

        def write(number, first, columns):
            dtype = hdus[number].columns.dtype.newbyteorder(">")
            rows = np.zeros(len(columns[0]), dtype)
            for name, values in zip(dtype.names, columns, strict=True):
                rows[name] = values
            stream.seek(offsets[number] + first * dtype.itemsize)
            stream.write(rows.tobytes())

        def put(first, layers):
            there = slice(first, first + len(layers["flag"]))
            last = [layers[layer][..., -1] for layer in _last_of(header)]
            single = [layers[part.layer] for part in parts.values() if not part.axes]
            write(
                1, first, [pixels[there], *last, *single, *(values[there].value for values in extra.values())]
            )
            write(2, first, [pixels[there], *(layers[part.layer] for part in parts.values() if part.axes)])

        write(3, 0, [values.value for values in _bins(header).values()])
        yield put


def _last_of(header):
    """The layers whose last distance is in SKY: the extinction and, of a map with a spread, its error."""
    return ("extinction_median", "extinction_std")[: 2 if header.percentiles else 1]


def _bins(header):
    edges = header.distance.edges_kpc
    bins = {"INNER": edges[:-1], "CENTRE": header.distance.centers_kpc, "OUTER": edges[1:]}
    return {name: values * u.kpc for name, values in bins.items()}


def _headers(pixels, nside, header, parts, extra, quantity):
    """The tables SKY and PROFILES with the header of all rows and room for one, and DISTANCES."""
    shown, lengths = quantity or quantity_of(header.provenance.band), header.lengths
    row = np.zeros(1, np.float32) * u.mag
    sky = Table({"PIXEL": pixels[:1], "EXTINCTION": row})
    sky["EXTINCTION"].description = f"{shown} to the last distance"
    if header.percentiles:
        sky["EXTINCTION_STD"] = row
        sky["EXTINCTION_STD"].description = "standard deviation of EXTINCTION"
    profiles = Table({"PIXEL": pixels[:1]})
    for name, (layer, axes, unit, text) in parts.items():
        values = np.zeros((1, *(lengths[axis] for axis in axes)), _DTYPES.get(layer, np.float32))
        table = profiles if axes else sky
        table[name] = values * u.Unit(unit) if unit else values
        table[name].description = text
    for name, values in extra.items():
        sky[name] = values[:1]
    hdus = []
    for name, table in zip(NAMES, (sky, profiles, Table(_bins(header))), strict=True):
        hdu = fits.BinTableHDU(table, name=name)
        for number, column in enumerate(table.colnames, 1):
            if table[column].description:
                hdu.header[f"TCOMM{number}"] = table[column].description
        if name != "DISTANCES":
            hdu.header["NAXIS2"] = pixels.size
            hdu.header["PIXTYPE"] = ("HEALPIX", "HEALPix pixels")
            hdu.header["ORDERING"] = ("NESTED", "pixel ordering scheme")
            hdu.header["NSIDE"] = (nside, "resolution parameter")
            hdu.header["COORDSYS"] = ("G", "Galactic")
            hdu.header["INDXSCHM"] = ("EXPLICIT", "pixel numbers are in the column PIXEL")
            whole = pixels.size == 12 * nside**2
            hdu.header["OBJECT"] = ("FULLSKY", "all of the sky") if whole else ("PARTIAL", "part of the sky")
        hdus.append(hdu)
    return hdus


def require_tables(path: PathLike, hdus: fits.HDUList) -> None:
    """Raise DataError unless all tables are there."""
    for name in NAMES:
        if name not in hdus:
            raise DataError(f"{path}: truncated, the table {name} is missing; fetch or make it again")


def _pixels_of(header: MapHeader) -> HealpixGrid:
    assert isinstance(header.grid, HealpixGrid)
    return header.grid


def _column(path, hdu, name, shape):
    if name not in hdu.columns.names:
        raise DataError(f"{path}: {hdu.name} has no column {name}; fetch or make it again")
    values = np.asarray(hdu.data[name])
    if values.shape != shape:
        raise DataError(f"{path}: {name} must be {shape} by its grids, got: {values.shape}")
    return values
