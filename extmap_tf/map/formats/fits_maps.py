"""Maps as FITS files: images of a map on squares, tables of a map on HEALPix pixels."""

import contextlib
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from extmap_tf.catalogs.formats.fits import require_sound_headers
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.files import PathLike
from extmap_tf.grids.sky import SkyGrid
from extmap_tf.map.formats.cards import DERIVED, Part, about_cards, header_of, parts_of
from extmap_tf.map.formats.fits_files import require_checksums, require_whole
from extmap_tf.map.formats.images import Images
from extmap_tf.map.formats.tables import Tables
from extmap_tf.map.header import MapHeader
from extmap_tf.map.layers import Layers, Put, reliability
from extmap_tf.settings.identity import require_readable

# Of both layouts.
FORMAT_VERSION = 6

# In place of the version, in a HEALPix copy of a map for other programs.
HEALPIX_KEYWORD = "EXTMAPHP"

# Maps of version 0.5.0 (5) and before do not say which survey's stars raised a flag. Those of 0.4.0 (4) and
# before have no RELIABLE, and another RELIABLE_DISTANCE: that of the first bin that is not reliable. Those of
# 0.3.0 (2, 3) also called the extinction cumulative.
_OLD_VERSIONS = (2, 3, 4, 5)
_VERSIONS_WITH_OLD_RELIABILITY = (2, 3, 4)
_VERSIONS_WITH_OLD_NAMES = (2, 3)
_SINCE_6 = "ODD_SURVEYS"
_OLD_NAMES = {f"EXTINCTION{end}": f"CUMULATIVE{end}" for end in ("", "_MEAN", "_STD", "_PERCENTILES")}


class Layout(Protocol):
    """How the layers of a map lie in a FITS file.

    Parameters
    ----------
    hdu : type
        Of every part of the file after the first.
    """

    hdu: type

    def holds(self, grid: SkyGrid) -> bool:
        """Whether maps on such a grid are written so."""

    def sniff(self, header: fits.Header) -> bool:
        """Whether the map with this header is laid out so."""

    def open(self, path: Path, hdus: fits.HDUList, parts: dict[str, Part], header: MapHeader) -> Layers:
        """The layers by name, [*header.grid.shape, ...]; DataError if they are not all there."""

    def create(
        self, path: PathLike, header: MapHeader, shared: list[fits.Card], overwrite: bool
    ) -> AbstractContextManager[Put]:
        """As `FitsMaps.create`, with the cards that every part of the file ends with."""


LAYOUTS: tuple[Layout, ...] = (Images(), Tables())


class FitsMaps:
    """The format of every map that has not the name of another; see `extmap_tf.map.formats.MapFormat`."""

    def takes(self, path: PathLike) -> bool:
        return True

    def sniff(self, start: bytes) -> bool:
        return start.startswith(b"SIMPLE  =")

    def open(self, path: Path, verify: bool) -> tuple[Layers, MapHeader]:
        try:
            require_sound_headers(path)
            with warnings.catch_warnings():
                # What astropy only warns of on opening (a file cut short) is refused below.
                warnings.simplefilter("ignore", AstropyWarning)
                with fits.open(path, memmap=True) as hdus:
                    return _layers_of(path, hdus, verify)
        except (OSError, ValueError, TypeError, KeyError, fits.VerifyError, ConfigError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{path}: cannot be read as a map, make it again: {reason}") from None

    @contextlib.contextmanager
    def create(self, path: PathLike, header: MapHeader, overwrite: bool) -> Iterator[Put]:
        shared = [fits.Card("EXTMAPV", FORMAT_VERSION, "version of this layout of an extmap_tf map")]
        shared += about_cards(header)
        (layout,) = (layout for layout in LAYOUTS if layout.holds(header.grid))
        with layout.create(path, header, shared, overwrite) as put:
            yield put


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
    (layout,) = (layout for layout in LAYOUTS if layout.sniff(header))
    require_whole(path, hdus, layout.hdu)
    about = header_of(header)
    parts = parts_of(about)
    if version in _OLD_VERSIONS:
        parts.pop(_SINCE_6, None)
    if version in _VERSIONS_WITH_OLD_RELIABILITY:
        parts = {name: part for name, part in parts.items() if name not in DERIVED}
    if version in _VERSIONS_WITH_OLD_NAMES:
        parts = {_OLD_NAMES.get(name, name): part for name, part in parts.items()}
    if verify:
        require_checksums(path, hdus)
    layers = layout.open(path, hdus, parts, about)
    if "surveys" in layers:
        layers.setdefault("odd_surveys", np.zeros_like(layers["surveys"]))
    if "reliable" in layers:
        layers["reliable"] = layers["reliable"].view(np.bool_)
    elif about.percentiles:
        layers |= reliability(layers, about.distance, about.percentiles)
    return layers, about
