"""Outputs that appear whole or not at all."""

import contextlib
import hashlib
import os
import re
import shutil
import uuid
from pathlib import Path

from extmap_tf.errors import DataError

CHECKSUMS_NAME = "SHA256SUMS"


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
    refuse_existing(path, overwrite, folder_with)
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.incomplete{path.suffix}")
    with made_parents(path):
        try:
            yield temporary
            take_place(temporary, path)
        finally:
            _remove(temporary)


@contextlib.contextmanager
def made_parents(path):
    """Make the folders above `path`; those that were not there are gone again if the block fails."""
    parents = [folder for folder in Path(path).parents if not folder.exists()]
    try:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise DataError(
                f"{path}: {error.filename} is a file, not a folder: choose another name"
            ) from None
        yield
    except BaseException:
        for folder in parents:
            # Somebody else may have put something there.
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def local_path(path):
    """`path` as a pathlib.Path; DataError if it names another file system or nothing at all."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", str(path)):
        raise DataError(f"{path}: only local paths can be used here: copy it to or from this machine")
    if not str(path):
        raise DataError("a path is empty: give the name of a file or folder")
    return Path(path)


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
    path = local_path(path)
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise DataError(f"{path} exists already: choose another name or give --overwrite")
    if os.path.isdir(path):
        own = folder_with and os.path.exists(os.path.join(path, folder_with))
        if not own and (folder_with is None or os.listdir(path)):
            raise DataError(f"{path} is a folder that this command did not make: choose another name")
        refuse_current(path)
    elif folder_with:
        raise DataError(f"{path} is a file, not a folder to replace: choose another name")


def refuse_current(path):
    """Raise DataError if replacing the folder `path` would take away the one that we are in."""
    if Path(path).resolve() in (Path.cwd(), *Path.cwd().parents):
        raise DataError(f"{path} holds the folder you are in, which cannot be replaced: choose another name")


def take_place(temporary, path):
    """Give a finished file or folder its name; a folder that has it goes only when the new one is there.

    Parameters
    ----------
    temporary, path : pathlib.Path
    """
    if path.is_dir():
        old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
        os.rename(path, old)
        try:
            os.rename(temporary, path)
        except BaseException:
            if not os.path.lexists(path):
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


def write_checksums(folder, names, within="."):
    """Write ``SHA256SUMS`` into the folder `within` of `folder`; ``sha256sum --check`` reads it in `folder`.

    Parameters
    ----------
    folder : path-like
    names : iterable of str or path-like
        The files to list, relative to `folder`.
    within : str
    """
    lines = []
    for name in sorted(Path(name).as_posix() for name in names):
        with open(Path(folder) / name, "rb") as stream:
            lines.append(f"{sha256_of(stream)}  {name}\n")
    with whole_file(Path(folder) / within / CHECKSUMS_NAME, overwrite=True) as stream:
        stream.writelines(lines)


def verify_checksums(folder, within="."):
    """Check the files that `write_checksums` listed; DataError names the first that is not as it was."""
    folder = Path(folder)
    place = folder / within / CHECKSUMS_NAME
    if not place.is_file():
        raise DataError(f"{place}: missing, so nothing can be verified: make the folder again")
    for line in place.read_text(errors="replace").splitlines():
        stated, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path}: missing, though {place} lists it: fetch or make it again")
        with open(path, "rb") as stream:
            found = sha256_of(stream)
        if found != stated:
            raise DataError(
                f"{path}: corrupted (SHA-256 {found[:12]}..., {place} says {stated[:12]}...): fetch or make "
                "it again"
            )
