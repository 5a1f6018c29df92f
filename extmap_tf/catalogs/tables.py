"""Tables as columns of numbers, whatever their format, read batch by batch from a binary stream.

The format follows from the first bytes, never from the name's ending. Parquet, FITS, text (among it the 2MASS
PSC files), IPAC tables and VOTables take memory for a batch only. The bounds that all keep, on headers, lines
and what is held whole, are those of `extmap_tf.catalogs.formats.base`.
"""

import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from extmap_tf.catalogs.formats.base import Table, readable
from extmap_tf.catalogs.formats.delimited import KNOWN_FORMATS, open_delimited
from extmap_tf.catalogs.formats.fits import open_fits
from extmap_tf.catalogs.formats.gzip_streams import unzipped
from extmap_tf.catalogs.formats.ipac import Ipac, is_ipac
from extmap_tf.catalogs.formats.machine_readable import MachineReadable, is_machine_readable
from extmap_tf.catalogs.formats.parquet import Parquet
from extmap_tf.catalogs.formats.votable import open_votable
from extmap_tf.errors import DataError
from extmap_tf.files import PathLike

_HEAD_BYTES = 1 << 18
_OTHER_COMPRESSION = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"\x1f\x9d": "compress",
    b"7z\xbc\xaf": "7-Zip",
}
# Of the first entry in an archive that is a document of its own.
_ARCHIVES = {
    rb"\[Content_Types\]|xl/|_rels/|docProps/": "an Excel workbook (save the sheet as CSV)",
    rb"mimetypeapplication/vnd\.oasis": "an OpenDocument file (save the sheet as CSV)",
    rb"[^\0]{1,80}\.npy": "numpy's .npz",
}
_OTHER_FORMATS = {
    b"\x93NUMPY": "numpy's .npy (write it as FITS or Parquet with astropy)",
    b"ARROW1": "Arrow or Feather (write it as Parquet with pyarrow)",
    b"FEA1": "Feather (write it as Parquet)",
    b"SQLite format 3": "an SQLite database (export the table as CSV)",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (save the sheet as CSV)",
    b"\x80\x04\x95": "a Python pickle (write it as FITS or Parquet)",
    b"\x80\x05\x95": "a Python pickle (write it as FITS or Parquet)",
    b"\x89HDF": "HDF5",
    b"%PDF": "PDF",
    b"\xff\xfe": "UTF-16 text (save it as UTF-8)",
    b"\xfe\xff": "UTF-16 text (save it as UTF-8)",
    b"{": "JSON",
    b"[{": "JSON",
    b"[[": "JSON",
    b"\\begin{": "LaTeX",
    b"\\documentclass": "LaTeX",
    b"====": "reStructuredText (convert it, with astropy for one)",
}

_Found = TypeVar("_Found")


def open_tables(stream: BinaryIO, name: str) -> list[Table]:
    """Recognise a document by its first bytes and read its tables' headers.

    Parameters
    ----------
    stream : binary file object
        Readable and seekable, at any position; it stays open.
    name : str
        Its path, for messages.

    Returns
    -------
    list of Table
        One or more, in the document's order.

    Raises
    ------
    DataError
        It is empty, truncated within a header, or in no known format.
    """
    with readable(name):
        stream.seek(0)
        head = stream.read(_HEAD_BYTES)
    whole = len(head) < _HEAD_BYTES
    zipped = head.startswith(b"\x1f\x8b")
    if zipped:
        with readable(name):
            head = zlib.decompressobj(31).decompress(head, 4 * _HEAD_BYTES)
        # The compressed bytes may end before the decompressed ones: only complete lines are looked at.
        whole = False
    if head.startswith(b"PK\x03\x04"):
        for pattern, other in _ARCHIVES.items():
            if re.match(pattern, head[30:200]):
                raise DataError(
                    f"{name}: not a table in a known format but {other}; known are {KNOWN_FORMATS}"
                )
    for magic, compression in _OTHER_COMPRESSION.items():
        if head.startswith(magic):
            raise DataError(f"{name}: compressed with {compression}, only gzip is read: recompress it")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start:
        truncated = "a truncated gzip file: fetch it again" if zipped else "the file is empty"
        raise DataError(f"{name}: no table: {truncated}")
    for magic, other in _OTHER_FORMATS.items():
        if head.startswith(magic) or start.startswith(magic):
            raise _not_known(name, other)
    if head.startswith(b"PAR1"):
        if zipped:
            raise DataError(f"{name}: Parquet inside gzip cannot be read in parts: decompress it")
        with readable(name):
            return [Parquet(stream, name)]
    content = unzipped(stream) if zipped else stream
    with readable(name):
        stream.seek(0)
        if head.startswith(b"SIMPLE  ="):
            return open_fits(content, name)
        if start.startswith(b"<"):
            return open_votable(content, name)
        if b"\0" in head:
            raise DataError(f"{name}: not a table in a known format; known are {KNOWN_FORMATS}")
        lines = start[: 1 << 16].decode("utf-8", "replace").split("\n")
        if start.startswith((b"\\", b"|")) and is_ipac(lines):
            return [Ipac(content, name)]
        if b"Byte-by-byte" in head or b"Byte-by-Byte" in head:
            lines = head.decode("utf-8", "replace").split("\n")
            if is_machine_readable(lines):
                return [MachineReadable(content, name, lines)]
        return [*open_delimited(stream, name, head, whole, zipped)]


def _not_known(name, other):
    return DataError(f"{name}: not a table in a known format but {other}; known are {KNOWN_FORMATS}")


def table_for(tables: Sequence[Table], use: Callable[[Table], _Found]) -> tuple[Table, _Found]:
    """The one table of a document that serves.

    Parameters
    ----------
    tables : sequence of Table
    use : callable
        What is made of a table that serves; it raises DataError for one that does not.

    Returns
    -------
    Table, and what `use` made of it

    Raises
    ------
    DataError
        None serves, or more than one does.
    """
    serving, errors = [], []
    for table in tables:
        try:
            serving.append((table, use(table)))
        except DataError as error:
            errors.append(error)
    if len(serving) == 1:
        return serving[0]
    if len(tables) == 1:
        raise errors[0]
    titles = "; ".join(
        f"{i}: {table.title or 'unnamed'} ({', '.join(table.names[:8])})" for i, table in enumerate(tables, 1)
    )
    if serving:
        which = f"{len(serving)} of its {len(tables)} tables have the columns that are needed"
    else:
        reason = str(errors[0]).removeprefix(f"{tables[0].name}: ")
        which = f"none of its {len(tables)} tables has all columns that are needed (of the first: {reason})"
    raise DataError(f"{tables[0].name}: {which}; it holds {titles}: give one in a file of its own")


def read_columns(table: Table, numbers: Sequence[str], accept_partial: bool = False) -> dict[str, np.ndarray]:
    """Whole columns as float64 [n_rows], NaN where missing or masked."""
    numbers = list(dict.fromkeys(numbers))
    parts: dict[str, list[np.ndarray]] = {name: [np.zeros(0)] for name in numbers}
    for batch in table.batches(numbers, accept_partial=accept_partial):
        for name in numbers:
            parts[name].append(batch[name])
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def open_local(path: PathLike) -> BinaryIO:
    """A file opened for reading bytes; DataError if it is none: missing, a folder, a device, a pipe."""
    text = str(path)
    if "\0" in text:
        raise DataError(f"{text!r}: no name of a file: it has a NUL")
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "a device or a pipe"
            raise DataError(f"{path}: {kind}, not a file; give a table")
        return open(path, "rb")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; give a table") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
