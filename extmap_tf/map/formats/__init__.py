"""The files of maps: each format an object that knows its files, opens one and makes one.

A further format is a class with the methods of `MapFormat` and a line in `FORMATS`.
"""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from extmap_tf.errors import DataError
from extmap_tf.files import PathLike, local_path
from extmap_tf.map.formats.fits_maps import FitsMaps
from extmap_tf.map.header import MapHeader
from extmap_tf.map.layers import Layers, Put


class MapFormat(Protocol):
    """A kind of file that a map can be in."""

    def takes(self, path: PathLike) -> bool:
        """Whether a map with this name is written so."""

    def sniff(self, start: bytes) -> bool:
        """Whether a file that begins with these bytes may be of this format."""

    def open(self, path: Path, verify: bool) -> tuple[Layers, MapHeader]:
        """As `read_layers`, of a file that `sniff` has known."""

    def create(self, path: PathLike, header: MapHeader, overwrite: bool) -> AbstractContextManager[Put]:
        """As `new_map_file`."""


# The first that takes a name, or knows a file, has it: FITS takes all names.
FORMATS: tuple[MapFormat, ...] = (FitsMaps(),)

_START_BYTES = 64


def format_of(start: bytes) -> MapFormat | None:
    """The format of a file that begins with these bytes; None where no map does."""
    return next((form for form in FORMATS if form.sniff(start)), None)


def write_layers(path: PathLike, layers: Layers, header: MapHeader, overwrite: bool = False) -> None:
    """Write the layers of a map to a file; see `extmap_tf.map.volume.ExtinctionMap.write`.

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
def new_map_file(path: PathLike, header: MapHeader, overwrite: bool = False) -> Iterator[Put]:
    """Make a map's file and let the caller fill it, all at once or field by field.

    So a map may be larger than the memory.

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
    form = next(form for form in FORMATS if form.takes(path))
    with form.create(path, header, overwrite) as put:
        yield put


def read_layers(path: PathLike, verify: bool = False) -> tuple[Layers, MapHeader]:
    """Open the layers of a map; see `extmap_tf.map.volume.ExtinctionMap.read`.

    Returns
    -------
    layers : dict of str to ndarray
        As for `write_layers`; of FITS, views of the memory-mapped file.
    header : MapHeader
    """
    path = local_path(path)
    try:
        with open(path, "rb") as stream:
            start = stream.read(_START_BYTES)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; give the path of a map") from None
    except IsADirectoryError:
        raise DataError(f"{path}: a folder; give the path of a map") from None
    form = format_of(start)
    if form is None and start.startswith(b"\x89HDF\r\n"):
        raise DataError(f"{path}: HDF5, as copies of a map for other programs are; give the map itself")
    if form is None:
        raise DataError(f"{path}: not a FITS file (or compressed: unpack it first)")
    return form.open(path, verify)
