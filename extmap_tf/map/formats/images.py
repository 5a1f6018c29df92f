"""A map on squares as FITS images: plate carrée on the sky, distance as third axis."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from astropy.io import fits

from extmap_tf.errors import DataError
from extmap_tf.files import PathLike
from extmap_tf.grids.sky import SkyGrid
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map.formats.cards import DTYPES, Part, card, explain_flags, parts_of
from extmap_tf.map.formats.fits_files import new_fits_file
from extmap_tf.map.header import MapHeader
from extmap_tf.map.layers import Layers, Put


class Images:
    """Of a `SightlineGrid`; see `extmap_tf.map.formats.fits_maps.Layout`."""

    hdu = fits.ImageHDU

    def holds(self, grid: SkyGrid) -> bool:
        return isinstance(grid, SightlineGrid)

    def sniff(self, header: fits.Header) -> bool:
        return "SKYNSIDE" not in header

    def open(self, path: Path, hdus: fits.HDUList, parts: dict[str, Part], header: MapHeader) -> Layers:
        """The layers by name: views of the memory-mapped file."""
        for name in parts:
            if name not in hdus:
                raise DataError(f"{path}: truncated, the image {name} is missing; fetch or make it again")
        grid, lengths, layers = header.grid, header.lengths, {}
        for name, part in parts.items():
            expected = (*(lengths[axis] for axis in part.axes), *grid.shape)
            if hdus[name].shape != expected:
                raise DataError(f"{path}: {name} must be {expected} by its grids, got: {hdus[name].shape}")
            _require_wcs(path, hdus[name].header, _wcs_cards(grid, header.distance, part.axes), name)
            layers[part.layer] = np.flip(_sky_first(np.asarray(hdus[name].data)), axis=1)
        return layers

    @contextlib.contextmanager
    def create(
        self, path: PathLike, header: MapHeader, shared: list[fits.Card], overwrite: bool
    ) -> Iterator[Put]:
        """Make the file and let the caller fill it, see `extmap_tf.map.formats.new_map_file`."""
        grid, parts, lengths = header.grid, parts_of(header), header.lengths
        hdus = fits.HDUList([fits.PrimaryHDU()])
        for name, (layer, axes, unit, quantity) in parts.items():
            shape = (*(lengths[axis] for axis in axes), *grid.shape)
            # Takes no memory: the header is all that is wanted of it.
            pixels = np.broadcast_to(np.zeros((), DTYPES.get(layer, ">f4")), shape)
            hdu = fits.ImageHDU(pixels, name=name)
            hdu.header.extend(_wcs_cards(grid, header.distance, axes), end=True)
            if unit:
                hdu.header["BUNIT"] = (unit, "unit of the pixels")
            hdu.header["QUANTITY"] = quantity
            hdus.append(hdu)
        explain_flags(hdus["FLAG"])
        with new_fits_file(path, hdus, shared, overwrite) as (stream, offsets):

            def put(first, layers):
                for offset, (layer, *_) in zip(offsets[1:], parts.values(), strict=True):
                    dtype = np.dtype(DTYPES.get(layer, ">f4"))
                    for place, planes in _runs(first, layers[layer].astype(dtype, copy=False), grid):
                        for number, plane in enumerate(planes):
                            stream.seek(offset + (number * grid.n_sightlines + place) * dtype.itemsize)
                            stream.write(plane)

            yield put


def _runs(first, layer, grid):
    """What of a layer [n, ...], of the fields from `first` on, lies together in a sky image: l descends.

    Yields
    ------
    int, ndarray [n_planes, n_together]
        Where in each plane the pixels begin, and the pixels.
    """
    n_l, end = grid.n_l, first + len(layer)
    # Part of a row of the sky, whole rows, part of a row; some may be empty.
    bounds = np.clip([first, -(-first // n_l) * n_l, end // n_l * n_l, end], first, end)
    for begin, stop in itertools.pairwise(np.unique(bounds).tolist()):
        whole = begin % n_l == 0 and stop % n_l == 0
        width = n_l if whole else stop - begin
        rows = layer[begin - first : stop - first].reshape(-1, width, *layer.shape[1:])[:, ::-1]
        planes = rows.reshape(stop - begin, -1).T
        i_b, i_l = divmod(begin, n_l)
        yield i_b * n_l + n_l - i_l - width, np.ascontiguousarray(planes)


def _sky_first(data):
    """[..., n_b, n_l], the order of FITS images -> [n_b, n_l, ...]."""
    return np.moveaxis(data, (-2, -1), (0, 1))


def _wcs_cards(grid, distance, axes):
    """World coordinates of an image: plate carrée on the sky, l descending; distance, if any, is third."""
    column = grid.n_l // 2
    # A CAR projection is linear in l and b only around a reference point on the equator: CRVAL2 is 0.
    cards = [
        card("WCSAXES", 2 + len(axes), "axes of the world coordinates"),
        card("CTYPE1", "GLON-CAR", "Galactic longitude, plate carree"),
        card("CUNIT1", "deg", "unit of longitude"),
        card("CRPIX1", float(column + 1), "column of CRVAL1 (the first is 1)"),
        card(
            "CRVAL1", float(grid.l_deg[grid.n_l - 1 - column] % 360.0), "[deg] longitude of the column CRPIX1"
        ),
        card("CDELT1", -float(grid.step_deg), "[deg] longitude increases to the left"),
        card("CTYPE2", "GLAT-CAR", "Galactic latitude, plate carree"),
        card("CUNIT2", "deg", "unit of latitude"),
        card("CRPIX2", float(1.0 - grid.b_min_deg / grid.step_deg), "row of b = 0 (the first is 1)"),
        card("CRVAL2", 0.0, "[deg] latitude of the row CRPIX2"),
        card("CDELT2", float(grid.step_deg), "[deg] step in latitude"),
        card("LONPOLE", 0.0, "[deg] native longitude of the pole"),
        card("LATPOLE", 90.0, "[deg] native latitude of the pole"),
    ]
    if axes:
        first = distance.outer_kpc[0] if axes[-1] == "edge" else distance.centers_kpc[0]
        what = "outer edge" if axes[-1] == "edge" else "centre"
        cards += [
            card("CTYPE3", "DIST", f"heliocentric distance: {what} of the bin"),
            card("CUNIT3", "kpc", "unit of distance"),
            card("CRPIX3", 1.0, "plane of CRVAL3 (the first is 1)"),
            card("CRVAL3", float(first), f"[kpc] {what} of the first bin"),
            card("CDELT3", float(distance.step_kpc), "[kpc] length of a bin"),
        ]
    if len(axes) > 1:
        what = "number i of the percentile PERCi" if axes[0] == "percentile" else "number of the sample"
        cards += [
            card("CTYPE4", axes[0].upper(), what),
            card("CRPIX4", 1.0, "the first"),
            card("CRVAL4", 1.0, "has the number 1"),
            card("CDELT4", 1.0, "and the next one more"),
        ]
    return cards


def _require_wcs(path, header, cards, image):
    for stated in cards:
        if header.get(stated.keyword) != stated.value:
            raise DataError(
                f"{path}: {stated.keyword} of {image} must be {stated.value!r} by its grids (an image cut "
                f"out?), got: {header.get(stated.keyword)!r}"
            )
