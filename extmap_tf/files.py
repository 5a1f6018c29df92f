"""Outputs that appear whole or not at all."""

import contextlib
import ctypes
import errno
import fcntl
import glob
import hashlib
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from extmap_tf.errors import DataError, ExtmapError

CHECKSUMS_NAME = "SHA256SUMS"

PathLike = str | os.PathLike[str]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Of astropy and of numpy, whose errors have no number.
_FULL_TEXT = re.compile(r"space on disk|\d+ requested and \d+ written")

# Of Linux: the folder that relative paths start from, and a flag of renameat2.
_HERE = -100
_RENAME_EXCHANGE = 2

_OLD = "replaced"


@contextlib.contextmanager
def whole_file(path: PathLike, mode: str = "w", overwrite: bool = False) -> Iterator[IO[Any]]:
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
def whole_path(path: PathLike, overwrite: bool = False, folder_with: str | None = None) -> Iterator[Path]:
    """As `whole_file`, for a file or folder that other code makes at the yielded path.

    Parameters
    ----------
    path : path-like
    overwrite : bool
        Without it, whatever took the name while the block ran stays, and this one is an error.
    folder_with : str, optional
        As in `refuse_existing`.

    Raises
    ------
    DataError
        What is there may not be replaced.
    OSError
        It names `path`, where the yielded one or none was named.
    """
    refuse_existing(path, overwrite, folder_with)
    path = Path(path)
    with made_parents(path), _told_as(path), scratch_beside(path) as scratch:
        temporary = scratch / path.name
        yield temporary
        _take_place(temporary, path, overwrite, folder_with)


@contextlib.contextmanager
def whole_paths(paths: Iterable[PathLike], overwrite: bool = False) -> Iterator[list[Path]]:
    """As `whole_path`, for files that appear together."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(whole_path(path, overwrite)) for path in paths]


@contextlib.contextmanager
def unfinished_folder(path: PathLike, overwrite: bool, folder_with: str) -> Iterator[Path]:
    """A folder ``PATH.unfinished`` that takes the name `path` when the block ends well.

    Otherwise it stays, unless it is empty, and the next block finds what was done in it.

    Parameters
    ----------
    path : path-like
    overwrite : bool
    folder_with : str
        A file that the block writes last; as in `refuse_existing`.

    Raises
    ------
    DataError
        What is there may not be replaced, or another run is at work in the unfinished folder.
    """
    refuse_existing(path, overwrite, folder_with)
    path = Path(path)
    work = path.with_name(f"{path.name}.unfinished")
    with made_parents(path), _told_as(path):
        work.mkdir(exist_ok=True)
        try:
            with alone_in(work), scratch_beside(path) as scratch:
                yield work
                if overwrite and os.path.lexists(path):
                    refuse_existing(path, overwrite, folder_with)
                    os.rename(path, scratch / _OLD)
                try:
                    _take_place(work, path, False, folder_with)
                except BaseException:
                    _bring_back(path)(scratch)
                    raise
        except BaseException:
            with contextlib.suppress(OSError):
                work.rmdir()
            raise


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Raise DataError if another run is at work in a folder; others wait outside while the block runs."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            raise DataError(f"{folder}: another run is at work there: wait for it") from None
        except OSError:
            # A file system without locks.
            pass
        yield


@contextlib.contextmanager
def scratch_beside(path: PathLike) -> Iterator[Path]:
    """A hidden folder beside `path`, gone when the block ends; those of killed runs go with it."""
    path = Path(path)
    with _own_folder(path.parent, f".{path.name}.", ".incomplete", _bring_back(path)) as folder:
        yield folder


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder, gone when the block ends; those of killed runs go with it."""
    with _own_folder(Path(tempfile.gettempdir()), ".extmap_tf.", ".scratch") as folder:
        yield folder


@contextlib.contextmanager
def temporary_files_in_scratch() -> Iterator[None]:
    """Libraries' temporary files, too, are gone when the block ends or, if killed, with the next run."""
    with scratch_folder() as folder:
        before, tempfile.tempdir = tempfile.tempdir, str(folder)
        try:
            yield
        finally:
            tempfile.tempdir = before


def temporary_place() -> Path:
    """Where temporary files go, as the user knows it: not our own folder there."""
    place = Path(tempfile.gettempdir())
    while re.fullmatch(r"\.extmap_tf\.\w{8}\.scratch", place.name):
        place = place.parent
    return place


@contextlib.contextmanager
def _own_folder(
    parent: Path, prefix: str, suffix: str, rescue: Callable[[Path], None] = lambda folder: None
) -> Iterator[Path]:
    """A new folder that is locked while the block runs; one like it without a lock is a killed run's."""
    for leftover in parent.glob(glob.escape(prefix) + "[0-9a-f]" * 8 + suffix):
        with contextlib.suppress(OSError), _locked(leftover, fcntl.LOCK_EX | fcntl.LOCK_NB):
            rescue(leftover)
            shutil.rmtree(leftover, ignore_errors=True)
    folder = parent / f"{prefix}{uuid.uuid4().hex[:8]}{suffix}"
    with contextlib.ExitStack() as stack:
        while not folder.exists():
            folder.mkdir()
            # A file system without locks has none that others could take.
            with contextlib.suppress(OSError):
                stack.enter_context(_locked(folder, fcntl.LOCK_EX))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(number, how)
        yield
    finally:
        os.close(number)


@contextlib.contextmanager
def _told_as(path: Path) -> Iterator[None]:
    """Errors name `path` where they name what is at work on it, or where a full disk names nothing."""
    at_work = re.compile(
        rf"{re.escape(str(path.parent / f'.{path.name}.'))}\w{{8}}\.incomplete(/{re.escape(path.name)})?"
    )
    try:
        yield
    except OSError as error:
        full = error.errno in _FULL or _FULL_TEXT.search(str(error))
        named = at_work.sub(lambda found: str(path), os.fsdecode(error.filename or ""))
        if not full and named == (error.filename or ""):
            raise
        number = errno.ENOSPC if error.errno is None else error.errno
        raise OSError(number, os.strerror(number), named or str(path)) from error
    except ExtmapError as error:
        named = at_work.sub(lambda found: str(path), str(error))
        if named == str(error):
            raise
        raise type(error)(named) from error


@contextlib.contextmanager
def made_parents(path: PathLike) -> Iterator[None]:
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


def local_path(path: PathLike) -> Path:
    """`path` as a pathlib.Path; DataError if it names another file system or nothing at all."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", str(path)):
        raise DataError(f"{path}: only local paths can be used here: copy it to or from this machine")
    if not str(path):
        raise DataError("a path is empty: give the name of a file or folder")
    return Path(path)


def refuse_existing(path: PathLike, overwrite: bool = False, folder_with: str | None = None) -> None:
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
        _refuse_current(path)
    elif folder_with:
        raise DataError(f"{path} is a file, not a folder to replace: choose another name")


def _refuse_current(path: PathLike) -> None:
    """Raise DataError if replacing the folder `path` would take away the one that we are in."""
    if Path(path).resolve() in (Path.cwd(), *Path.cwd().parents):
        raise DataError(f"{path} holds the folder you are in, which cannot be replaced: choose another name")


def _take_place(temporary: Path, path: Path, overwrite: bool, folder_with: str | None) -> None:
    """Give a finished file or folder its name; what has it is replaced in one step, or not at all."""
    try:
        if not temporary.is_dir():
            os.replace(temporary, path) if overwrite else _name_file(temporary, path)
        elif overwrite and path.is_dir():
            refuse_existing(path, overwrite, folder_with)
            _replace_folder(temporary, path)
        else:
            # Only an empty folder would be replaced by this.
            os.rename(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise DataError(
            f"{path} was made by another run while this one was at work: choose another name or give "
            "--overwrite"
        ) from None


def _name_file(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
        # A file system without links.
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.rename(temporary, path)


def _replace_folder(temporary: Path, path: Path) -> None:
    """Let two folders change names; what `path` was is then in the scratch folder, which goes."""
    if _exchange(temporary, path):
        return
    old = temporary.with_name(_OLD)
    os.rename(path, old)
    try:
        os.rename(temporary, path)
    except BaseException:
        _bring_back(path)(temporary.parent)
        raise


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return rename is not None and not rename(
        _HERE, os.fsencode(one), _HERE, os.fsencode(other), _RENAME_EXCHANGE
    )


def _bring_back(path: Path) -> Callable[[Path], None]:
    """What gives a folder its name again that a run was replacing when it ended."""

    def rescue(scratch: Path) -> None:
        old = scratch / _OLD
        if os.path.lexists(old) and not os.path.lexists(path):
            os.rename(old, path)

    return rescue


def sha256_of(stream: Any) -> str:
    """Hexadecimal SHA-256 of a binary stream, read in blocks."""
    return hashlib.file_digest(stream, "sha256").hexdigest()


def write_checksums(folder: PathLike, names: Iterable[PathLike], within: str = ".") -> None:
    """Write ``SHA256SUMS`` into the folder `within` of `folder`; ``sha256sum --check`` reads it in `folder`.

    Parameters
    ----------
    folder : path-like
    names : iterable of str or path-like
        The files to list, relative to `folder`.
    within : str
    """
    lines = []
    for name in sorted(Path(found).as_posix() for found in names):
        with open(Path(folder) / name, "rb") as stream:
            lines.append(f"{sha256_of(stream)}  {name}\n")
    with whole_file(Path(folder) / within / CHECKSUMS_NAME, overwrite=True) as stream:
        stream.writelines(lines)


def verify_checksums(folder: PathLike, within: str = ".") -> None:
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
