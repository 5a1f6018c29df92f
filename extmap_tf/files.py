"""Outputs that appear whole or not at all."""

import contextlib
import hashlib
import os
import shutil
import uuid
from pathlib import Path

from extmap_tf.errors import DataError


@contextlib.contextmanager
def whole_file(path, mode="w", overwrite=False):
    """Open a temporary neighbour of `path` that takes its name when the block ends well.

    Parameters
    ----------
    path : path-like
        The file to make. Its folder is created if needed.
    mode : {"w", "wb"}
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    DataError
        The file exists and `overwrite` is false.
    """
    with whole_path(path, overwrite=overwrite) as temporary, open(temporary, mode) as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


@contextlib.contextmanager
def whole_path(path, overwrite=False):
    """As `whole_file`, for a file or folder that other code makes at the yielded path."""
    path = Path(path)
    refuse_existing(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.incomplete{path.suffix}")
    try:
        yield temporary
        _take_place(temporary, path)
    finally:
        _remove(temporary)


def refuse_existing(path, overwrite=False):
    """Raise DataError if `path` exists and may not be replaced."""
    if not overwrite and os.path.lexists(path):
        raise DataError(f"{path} exists already: choose another name or give --overwrite")


def _take_place(temporary, path):
    if path.is_dir():
        old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
        os.rename(path, old)
        try:
            os.rename(temporary, path)
        except OSError:
            os.rename(old, path)
            raise
        _remove(old)
    else:
        os.replace(temporary, path)


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sha256_of(stream):
    """Hexadecimal SHA-256 of a binary stream, read in blocks."""
    return hashlib.file_digest(stream, "sha256").hexdigest()
