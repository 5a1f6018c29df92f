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
def whole_path(path, overwrite=False, folder_with=None):
    """As `whole_file`, for a file or folder that other code makes at the yielded path.

    `folder_with` is as in `refuse_existing`.
    """
    path = Path(path)
    refuse_existing(path, overwrite, folder_with)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.incomplete{path.suffix}")
    try:
        yield temporary
        _take_place(temporary, path)
    finally:
        _remove(temporary)


def refuse_existing(path, overwrite=False, folder_with=None):
    """Raise DataError if `path` exists and may not be replaced.

    Parameters
    ----------
    path : path-like
    overwrite : bool
    folder_with : str, optional
        For a folder to make: a file that marks one of the same kind. A folder without it is somebody's own
        and is never replaced unless it is empty; without `folder_with`, no folder is.
    """
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise DataError(f"{path} exists already: choose another name or give --overwrite")
    if os.path.isdir(path):
        own = folder_with and os.path.exists(os.path.join(path, folder_with))
        if not own and (folder_with is None or os.listdir(path)):
            raise DataError(f"{path} is a folder that this command did not make: choose another name")
    elif folder_with:
        raise DataError(f"{path} is a file, not a folder to replace: choose another name")


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
