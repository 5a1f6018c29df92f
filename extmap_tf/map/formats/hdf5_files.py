"""HDF5 files that appear whole or not at all."""

import contextlib
import io
from collections.abc import Iterator
from typing import Any

from extmap_tf.files import PathLike, whole_path


class _Patient(io.FileIO):
    """A file that takes all writes after one that failed for done, and keeps that one's error.

    The HDF5 library does not survive a write that fails: it writes again whenever an object of the file goes,
    prints an error each time, and in the end crashes.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        data = memoryview(data).cast("B")
        written = 0
        try:
            while self.error is None and written < len(data):
                written += super().write(data[written:]) or 0
        except OSError as error:
            self.error = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def require_written(self) -> None:
        """Raise the error of the first write that failed."""
        if self.error is not None:
            raise self.error


@contextlib.contextmanager
def whole_hdf5(path: PathLike, overwrite: bool = False) -> Iterator[Any]:
    """As `extmap_tf.files.whole_path`, with an open ``h5py.File``."""
    import h5py

    with whole_path(path, overwrite) as temporary, _Patient(temporary, "w+") as stream:
        try:
            with h5py.File(stream, "w") as file:
                yield file
        finally:
            # What the library made of it, reading what was never written, is no error of its own.
            stream.require_written()
