"""Profiles on HEALPix pixels as FITS tables: a map on a HEALPix grid, or a copy of any map.

One row a pixel (explicit, nested, Galactic). Table SKY has single numbers, which Aladin, TOPCAT, healpy and
the like read: extinction to the last distance and its standard deviation, coverage, star count, flag and
reliable distance. Table PROFILES has the cubes, table DISTANCES the bins.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
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
from extmap_tf.map.formats.fits_files import write_hdus
from extmap_tf.map.header import MapHeader
from extmap_tf.map.layers import Layers, Put

if TYPE_CHECKING:
    from astropy.units import Quantity

NAMES = ("SKY", "PROFILES", "DISTANCES")


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
            layers[part.layer] = values.astype(np.uint8) if part.layer in ("flag", "surveys") else values
        return layers

    @contextlib.contextmanager
    def create(
        self, path: PathLike, header: MapHeader, shared: list[fits.Card], overwrite: bool
    ) -> Iterator[Put]:
        """Make the file when the caller has given all layers, see `extmap_tf.map.formats.new_map_file`."""
        grid, layers = _pixels_of(header), {}

        def put(first, part):
            for name, values in part.items():
                if name not in layers:
                    layers[name] = np.zeros((grid.n_sightlines, *values.shape[1:]), values.dtype)
                layers[name][first : first + len(values)] = values

        yield put
        tables = tables_of(layers.__getitem__, grid.pixels, grid.nside, header)
        hdus = fits.HDUList([fits.PrimaryHDU(), *tables])
        explain_flags(hdus["SKY"])
        write_hdus(path, hdus, shared, overwrite)


def tables_of(
    layers: Callable[[str], np.ndarray],
    pixels: np.ndarray,
    nside: int,
    header: MapHeader,
    extra: "Mapping[str, Quantity] | None" = None,
    quantity: str = "",
) -> list[fits.BinTableHDU]:
    """The tables as a list of HDUs.

    Parameters
    ----------
    layers : callable
        Name of a layer -> the layer [n_pixels, ...].
    pixels : ndarray of int64 [n_pixels]
        Ascending.
    nside : int
    header : MapHeader
    extra : dict of str to Quantity [n_pixels], optional
        Further columns of SKY.
    quantity : str
        Of all values, if not that of the map's band.
    """
    distance, shown = header.distance, quantity or quantity_of(header.provenance.band)
    sky = Table({"PIXEL": pixels, "EXTINCTION": layers("extinction_median")[..., -1] * u.mag})
    sky["EXTINCTION"].description = f"{shown} to the last distance"
    if header.percentiles:
        sky["EXTINCTION_STD"] = layers("extinction_std")[..., -1] * u.mag
        sky["EXTINCTION_STD"].description = "standard deviation of EXTINCTION"
    profiles = Table({"PIXEL": pixels})
    for name, (layer, axes, unit, text) in parts_of(header, quantity).items():
        values = layers(layer)
        # Programs for HEALPix do not know columns of bytes, but vectors of them.
        values = values.astype(np.int16) if values.dtype == np.uint8 else values
        values = values.astype(np.uint8) if values.dtype == bool else values
        table = profiles if axes else sky
        table[name] = values * u.Unit(unit) if unit else values
        table[name].description = text
    for name, values in (extra or {}).items():
        sky[name] = values
    edges = distance.edges_kpc
    bins = {"INNER": edges[:-1], "CENTRE": distance.centers_kpc, "OUTER": edges[1:]}
    distances = Table({name: values * u.kpc for name, values in bins.items()})
    hdus = []
    for name, table in zip(NAMES, (sky, profiles, distances), strict=True):
        hdu = fits.BinTableHDU(table, name=name)
        for number, column in enumerate(table.colnames, 1):
            if table[column].description:
                hdu.header[f"TCOMM{number}"] = table[column].description
        if name != "DISTANCES":
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
