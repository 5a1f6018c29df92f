"""Files and folders on any of Beam's file systems: local disks, and object stores, which know no folders."""

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from extmap_tf.errors import DataError
from extmap_tf.files import (
    PathLike,
    made_parents,
    refuse_existing,
    scratch_beside,
    scratch_folder,
    whole_path,
)
from extmap_tf.model.card import CARD_NAME, ModelCard
from extmap_tf.model.versions import EXTRA, find_saved_model
from extmap_tf.records.manifest import MANIFEST_NAME, Manifest, Records

_AS_IS = CompressionTypes.UNCOMPRESSED


def is_local(path: PathLike) -> bool:
    return FileSystems.get_scheme(str(path)) is None


def join(folder: PathLike, *names: str) -> str:
    return FileSystems.join(str(folder), *names)


def refuse_patterns(path: str) -> None:
    """Raise DataError if a name in an object store has letters that Beam would take for a pattern."""
    if not is_local(path) and re.search(r"[*?\[\]]", path):
        raise DataError(f"{path}: names in an object store cannot have *, ? or brackets here: choose another")


def read_bytes(path: str) -> bytes:
    """The content of a file."""
    with FileSystems.open(path, compression_type=_AS_IS) as stream:
        return stream.read()


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Errors of the system while the block writes are told of `path`: a worker's own are not one line."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error


def sizes_in(folder: PathLike, pattern: str = "**") -> dict[str, int]:
    """Files of a folder whose names match a pattern; ``**`` are all, those in folders below included.

    Returns
    -------
    dict of str to int
        Size in bytes by path, ascending; empty where there is no such folder.
    """
    folder = str(folder).rstrip("/")
    if is_local(folder):
        # Not by Beam, which would take brackets in the folder's own name for a pattern.
        root = Path(folder)
        found = root.rglob("*") if pattern == "**" else root.glob(pattern)
        return {str(path): path.stat().st_size for path in sorted(found) if path.is_file()}
    refuse_patterns(folder)
    (match,) = FileSystems.match([join(folder, pattern)])
    return {found.path: found.size_in_bytes for found in sorted(match.metadata_list, key=lambda f: f.path)}


@contextlib.contextmanager
def scratch_neighbour(path: str) -> Iterator[str]:
    """A temporary folder beside `path`, gone when the block ends."""
    if is_local(path):
        with made_parents(path), scratch_beside(path) as folder:
            yield str(folder)
        return
    temporary = _neighbour(path)
    try:
        yield temporary
    finally:
        _delete_objects(temporary)


@contextlib.contextmanager
def whole_folder(path: str, overwrite: bool = False) -> Iterator[str]:
    """A scratch folder for records that takes the name `path` when the block ends well.

    In an object store the files are copied one by one, the manifest last: a folder without one is not
    finished. If the store fails in that, the scratch folder stays, and the error names it.

    Parameters
    ----------
    path : str
        The folder to make.
    overwrite : bool
        Whether existing records, or an empty folder, may be replaced; they are kept until the new ones are
        complete. Any other folder is somebody's own.
    """
    path = path.rstrip("/") or "/"
    if is_local(path):
        with whole_path(path, overwrite, folder_with=MANIFEST_NAME) as folder:
            folder.mkdir()
            yield str(folder)
        return
    refuse_patterns(path)
    if sizes_in(path):
        if not overwrite:
            raise DataError(f"{path} exists already: choose another name or give --overwrite")
        if not FileSystems.exists(join(path, MANIFEST_NAME)):
            raise DataError(f"{path} is a folder that this command did not make: choose another name")
    temporary = _neighbour(path)
    try:
        yield temporary
    except BaseException:
        _delete_objects(temporary)
        raise
    _copy_objects(temporary, path)
    _delete_objects(temporary)


@contextlib.contextmanager
def whole_upload(path: str) -> Iterator[str]:
    """A local place to write a file at: `path` itself, or one whose file is copied there after the block."""
    if is_local(path):
        yield path
        return
    with scratch_folder() as scratch:
        local = os.path.join(scratch, path.rsplit("/", 1)[1])
        yield local
        # An object appears when it has been written whole.
        with open(local, "rb") as stream, FileSystems.create(path, compression_type=_AS_IS) as out:
            shutil.copyfileobj(stream, out, 1 << 20)


def refuse_object(path: str, overwrite: bool = False) -> None:
    """Raise DataError if the file `path`, local or in an object store, exists and may not be replaced."""
    refuse_patterns(path)
    if is_local(path):
        refuse_existing(path, overwrite)
    elif FileSystems.exists(path) and not overwrite:
        raise DataError(f"{path} exists already: choose another name or give --overwrite")


@contextlib.contextmanager
def local_copy(path: str) -> Iterator[str]:
    """The path of a local copy of a file or of a folder, or `path` itself where it is local."""
    if is_local(path):
        yield path
        return
    path = str(path).rstrip("/")
    with scratch_folder() as scratch:
        copy = os.path.join(scratch, path.rsplit("/", 1)[1])
        for source in sizes_in(path) or [path]:
            target = copy + source[len(path) :]
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with FileSystems.open(source, compression_type=_AS_IS) as stream, open(target, "wb") as out:
                shutil.copyfileobj(stream, out, 1 << 20)
        yield copy


def open_manifest(path: str) -> Manifest:
    """The manifest of a records folder whose files are all there with their stated sizes.

    Raises
    ------
    DataError
        As `extmap_tf.records.manifest.Records.open`.
    """
    if is_local(path):
        return Records.open(path).manifest
    place = join(path, MANIFEST_NAME)
    if not FileSystems.exists(place):
        raise DataError(
            f"{path}: no {MANIFEST_NAME}, so these are no finished records; make them with 'extmap-tf "
            "records'"
        )
    manifest = Manifest.from_json(read_bytes(place), place)
    sizes = {name.rsplit("/", 1)[1]: size for name, size in sizes_in(path, "*").items()}
    manifest.require_files(str(path).rstrip("/"), sizes)
    return manifest


def find_model(path: str) -> tuple[str, ModelCard]:
    """As `extmap_tf.model.versions.find_saved_model`, on any file system.

    Returns
    -------
    folder : str
    card : extmap_tf.model.card.ModelCard
    """
    if is_local(path):
        local, card = find_saved_model(path)
        return str(local), card
    path = str(path).rstrip("/")
    folder = path
    if not FileSystems.exists(join(path, "saved_model.pb")):
        found = (re.search(r"/([1-9]\d*)/saved_model\.pb$", name) for name in sizes_in(path))
        numbers = [int(match[1]) for match in found if match]
        if not numbers:
            raise DataError(f"{path}: no SavedModel there (make one with 'extmap-tf export' and copy it)")
        folder = join(path, str(max(numbers)))
    place = join(folder, EXTRA, CARD_NAME)
    if not FileSystems.exists(place):
        raise DataError(f"{folder}: no {EXTRA}/{CARD_NAME}: not a SavedModel of 'extmap-tf export'")
    return folder, ModelCard.from_json(read_bytes(place), place)


def _neighbour(path: str) -> str:
    return f"{path.rstrip('/')}.incomplete-{uuid.uuid4().hex[:8]}"


def _delete_objects(folder):
    FileSystems.delete(list(sizes_in(folder)))


def _copy_objects(source, target):
    """Copy the objects of a folder into another, the manifest last, and delete what else was there."""
    manifest, old = join(target, MANIFEST_NAME), sizes_in(target)
    names = sorted((name[len(source) :].strip("/") for name in sizes_in(source)), key=MANIFEST_NAME.__eq__)
    try:
        # Without its manifest the folder counts as unfinished from the first moment on.
        FileSystems.delete([manifest] if manifest in old else [])
        for name in names:
            FileSystems.copy([join(source, name)], [join(target, name)])
        FileSystems.delete(sorted(old.keys() - {join(target, name) for name in names}))
    except Exception as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{target}: cannot be written ({reason}); the records are whole in {source}"
        ) from error
