"""The files of maps: each format an object that knows its grids, opens a file and makes one.

A further format is a class with the methods of `MapFormat` and a line in `FORMATS`.
"""

import contextlib
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from extmap_tf.catalogs.formats.fits import require_sound_headers
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.files import local_path
from extmap_tf.map.formats.cards import Part, about_cards, header_of, parts_of
from extmap_tf.map.formats.fits_files import require_checksums, require_whole
from extmap_tf.map.formats.images import ImagesFormat
from extmap_tf.map.formats.tables import TablesFormat
from extmap_tf.map.header import MapHeader
from extmap_tf.settings.identity import require_readable

# Of images on a plate carrée and of tables of HEALPix pixels.
FORMAT_VERSION = 4

# In place of the version, in a HEALPix copy of a map for other programs.
HEALPIX_KEYWORD = "EXTMAPHP"

# Maps of version 0.3.0 called the extinction cumulative.
_OLD_VERSIONS = (2, 3)
_OLD_NAMES = {f"EXTINCTION{end}": f"CUMULATIVE{end}" for end in ("", "_MEAN", "_STD", "_PERCENTILES")}

Layers = dict[str, np.ndarray]


class MapFormat(Protocol):
    """How the layers of a map lie in a FITS file.

    Parameters
    ----------
    hdu : type
        Of every part of the file after the first.
    """

    hdu: type

    def holds(self, grid: Any) -> bool:
        """Whether maps on such a grid are written so."""

    def sniff(self, header: fits.Header) -> bool:
        """Whether the map with this header is of this format."""

    def open(self, path: Path, hdus: fits.HDUList, parts: dict[str, Part], header: MapHeader) -> Layers:
        """The layers by name, [*header.grid.shape, ...]; DataError if they are not all there."""

    def create(
        self, path: Any, header: MapHeader, shared: list[fits.Card], overwrite: bool = False
    ) -> AbstractContextManager[Callable[[int, Layers], None]]:
        """As `new_map_file`, with the cards that every part of the file ends with."""


FORMATS: tuple[MapFormat, ...] = (ImagesFormat(), TablesFormat())


def write_layers(path, layers, header, overwrite=False):
    """Write the layers of a map to a FITS file; see `extmap_tf.map.volume.ExtinctionMap.write`.

    Parameters
    ----------
    path : path-like
    layers : dict of str to ndarray [*header.grid.shape, ...]
        By the names of `extmap_tf.estimate.ProfileEstimate`, and ``coverage`` and ``n_stars``.
    header : MapHeader
    overwrite : bool
    """
    with new_map_file(path, header, overwrite) as put:
        n_axes = len(header.grid.shape)
        put(0, {name: layer.reshape(-1, *layer.shape[n_axes:]) for name, layer in layers.items()})


@contextlib.contextmanager
def new_map_file(path, header, overwrite=False):
    """Make a map's file and let the caller fill it, all at once or field by field.

    So a map of images may be larger than the memory; the tables of HEALPix pixels are gathered in it.

    Yields
    ------
    callable
        Called with the index of a first field and the layers, as for `write_layers` but [n, ...], of it and
        those that follow. All fields must be given before the block ends; then the file takes its name.

    Raises
    ------
    DataError
        The file exists and `overwrite` is false.
    OSError
        There is not enough room for it.
    """
    shared = [fits.Card("EXTMAPV", FORMAT_VERSION, "version of this layout of an extmap_tf map")]
    shared += about_cards(header)
    (form,) = (form for form in FORMATS if form.holds(header.grid))
    with form.create(path, header, shared, overwrite) as put:
        yield put


def read_layers(path, verify=False):
    """Open the layers of a map; see `extmap_tf.map.volume.ExtinctionMap.read`.

    Returns
    -------
    layers : dict of str to ndarray
        As for `write_layers`: views of the memory-mapped file.
    header : MapHeader
    """
    path = local_path(path)
    try:
        with open(path, "rb") as stream:
            if stream.read(9) != b"SIMPLE  =":
                raise DataError(f"{path}: not a FITS file (or compressed: unpack it first)")
        require_sound_headers(path)
        with warnings.catch_warnings():
            # What astropy only warns of on opening (a file cut short) is refused below.
            warnings.simplefilter("ignore", AstropyWarning)
            with fits.open(path, memmap=True) as hdus:
                return _layers_of(path, hdus, verify)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; give the path of a map") from None
    except IsADirectoryError:
        raise DataError(f"{path}: a folder; give the path of a map") from None
    except (OSError, ValueError, TypeError, KeyError, fits.VerifyError, ConfigError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read as a map, make it again: {reason}") from None


def _layers_of(path, hdus, verify):
    header = hdus[0].header
    version = header.get("EXTMAPV")
    if HEALPIX_KEYWORD in header:
        raise DataError(f"{path}: a HEALPix copy of a map, for other programs; give the map itself")
    if version is None:
        raise DataError(f"{path}: a FITS file, but no map of extmap_tf (no keyword EXTMAPV); give a map")
    if version not in (*_OLD_VERSIONS, FORMAT_VERSION):
        old = isinstance(version, int) and version < _OLD_VERSIONS[0]
        advice = "made by an older extmap_tf, score it again" if old else "update extmap_tf"
        known = ", ".join(map(str, _OLD_VERSIONS))
        raise DataError(
            f"{path}: layout {version}, but this program reads {known} and {FORMAT_VERSION}: {advice}"
        )
    require_readable(header, str(path))
    (form,) = (form for form in FORMATS if form.sniff(header))
    require_whole(path, hdus, form.hdu)
    about = header_of(header)
    parts = parts_of(about)
    if version in _OLD_VERSIONS:
        parts = {_OLD_NAMES.get(name, name): part for name, part in parts.items()}
    if verify:
        require_checksums(path, hdus)
    return form.open(path, hdus, parts, about), about
