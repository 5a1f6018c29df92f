"""What all tables have in common, whatever their format, and the bounds that all readers keep."""

import contextlib
import csv
import logging
import struct
import warnings
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa

from extmap_tf.catalogs.completeness import cut_off, stated_rows
from extmap_tf.catalogs.formats.gzip_streams import GZIP_ERRORS
from extmap_tf.catalogs.values import to_numbers
from extmap_tf.errors import DataError

if TYPE_CHECKING:
    from astropy.table import Table as AstropyTable

_log = logging.getLogger(__name__)

DEFAULT_BATCH_ROWS = 65536

MAX_HEADER_BYTES = 1 << 22
"""A header is read up to this many bytes."""
MAX_LINE_BYTES = 1 << 24
"""No line of text and no row of a binary table may be longer."""
MAX_WHOLE_BYTES = 1 << 29
"""What is held whole, such as any table whose columns are written again, may have so many bytes after
decompression."""
MAX_REMARKS = 10_000

# In the messages of pyarrow, astropy and h5py.
_TRUNCATION_SIGNS = ("truncated", "end-of-stream", "magic bytes", "not multiple of 2880")
PARSER_ERRORS: tuple[type[Exception], ...] = (
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    RuntimeError,
    struct.error,
    csv.Error,
    zlib.error,
    *GZIP_ERRORS,
    pa.ArrowException,
)


class Table(ABC):
    """A table whose columns are known and whose rows have not been read yet.

    Attributes
    ----------
    format : str
        What it was recognised as.
    title : str
        What its document calls it, if it holds several.
    names : tuple of str
        Its columns.
    units : dict of str to str
        Units of the columns that state one.
    repeated : dict of str to tuple of str
        Of a column whose name others have too: what these are called here, the first among them.
    sexagesimal : set of str
        Columns whose cells turned out to be in base 60, once they have been read.
    remarks : list of str
        What the document says beside its rows, as far as it has been read.
    left_out : dict of str to int
        Lines that are no rows and no comments either, by reason, once the table has been read.
    stated_rows : int or None
        How many rows the header promises.
    """

    format = ""
    title = ""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.stream = stream
        self.name = name
        self.names: tuple[str, ...] = ()
        self.units: dict[str, str] = {}
        self.repeated: dict[str, tuple[str, ...]] = {}
        self.sexagesimal: set[str] = set()
        self.remarks: list[str] = []
        self.left_out: dict[str, int] = {}
        self.stated_rows: int | None = None

    def batches(
        self,
        numbers: Sequence[str],
        texts: Sequence[str] = (),
        batch_rows: int = DEFAULT_BATCH_ROWS,
        accept_partial: bool = False,
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yield the rows in order, some at a time.

        Parameters
        ----------
        numbers : sequence of str
            Columns wanted as float64, NaN where missing or masked.
        texts : sequence of str
            Columns wanted as text of up to 3 bytes (dtype S3), empty where missing.
        batch_rows : int
            About so many rows at a time.
        accept_partial : bool
            Whether a table may be read whose own source says that rows are missing.

        Yields
        ------
        dict of str to ndarray [n_rows]

        Raises
        ------
        DataError
            The file ends too early, a row is not as the header says, or the source says that the table is not
            whole.
        """
        self._require_whole(None, accept_partial)
        n_read = 0
        batches = self._batches(list(dict.fromkeys(numbers)), list(dict.fromkeys(texts)), batch_rows)
        while True:
            with readable(self.name, n_read):
                batch = next(batches, None)
            if batch is None:
                break
            n_read += len(next(iter(batch.values())))
            yield batch
        self._require_whole(n_read, accept_partial)

    @abstractmethod
    def whole(self) -> "AstropyTable":
        """All columns as an astropy Table, text as it is written."""

    @abstractmethod
    def _batches(self, numbers, texts, batch_rows):
        """Yield what `batches` does, of distinct columns."""

    def _as_numbers(
        self,
        column: str,
        cells: Any,
        convert: Callable[[Any], tuple[np.ndarray, bool]] = to_numbers,
    ) -> np.ndarray:
        """Cells of a column as float64; one with cells in base 60 goes to `sexagesimal`."""
        try:
            numbers, sexagesimal = convert(cells)
        except ValueError as error:
            advice = self._advice(str(error))
            raise DataError(f"{self.name}: column {column} must hold numbers, {error}{advice}") from None
        if sexagesimal:
            self.sexagesimal.add(column)
        return numbers

    def _advice(self, problem: str) -> str:
        """What may be done about a cell that is no number, if more is known of it."""
        return ""

    def _require_whole(self, n_read, accept_partial):
        reason = cut_off(self.remarks)
        promised = self.stated_rows if self.stated_rows is not None else stated_rows(self.remarks)
        if reason is None and n_read is not None and promised is not None and promised != n_read:
            reason = f"it promises {promised} rows and has {n_read}"
        if reason is None:
            return
        if not accept_partial:
            raise DataError(
                f"{self.name}: its source says that it is not whole ({reason}): fetch it again, in parts if "
                "it is too large, or give --accept-partial"
            )
        if n_read is not None:
            _log.warning(
                "%s: its source says that it is not whole (%s); read because of --accept-partial",
                self.name,
                reason,
            )


def told_apart(names: Sequence[str | None]) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Names of columns as no two have them, and of those that are repeated what they are called then.

    A column without a name becomes column_3, a second ra ra_2.
    """
    found: list[str] = []
    same: dict[str, list[str]] = {}
    for i, name in enumerate(names, 1):
        first = unique = name or f"column_{i}"
        while unique in found:
            unique += "_2"
        found.append(unique)
        same.setdefault(first, []).append(unique)
    return tuple(found), {name: tuple(called) for name, called in same.items() if len(called) > 1}


@contextlib.contextmanager
def readable(name: str, n_read: int | None = None) -> Iterator[None]:
    """Turn what the parsers raise into one line that names the file and, if known, the place in it."""
    try:
        yield
    except DataError:
        raise
    except PARSER_ERRORS as e:
        text = " ".join(str(e).split())[:300] or type(e).__name__
        place = f" after data row {n_read}" if n_read else ""
        if isinstance(e, EOFError) or any(sign in text.lower() for sign in _TRUNCATION_SIGNS):
            raise DataError(f"{name}: the file is truncated{place}: fetch it again ({text})") from None
        if isinstance(e, OSError) and e.errno is not None:
            raise DataError(f"{name}: cannot be read{place}: {text}") from None
        raise DataError(f"{name}: corrupted{place}: {text}") from None


@contextlib.contextmanager
def astropy_reads() -> Iterator[None]:
    """Whatever astropy raises on a damaged table - some errors of its own are no ValueErrors - as one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (EOFError, OSError, DataError):
        raise
    except Exception as error:
        raise ValueError(" ".join(str(error).split())[:300] or type(error).__name__) from None


def gathered(pieces: Iterator[dict[str, np.ndarray]], batch_rows: int) -> Iterator[dict[str, np.ndarray]]:
    """Small batches as fewer of about `batch_rows`; what was read before an error comes before it."""
    held: list[dict[str, np.ndarray]] = []
    n_held, error = 0, None
    while True:
        try:
            piece = next(pieces, None)
        except PARSER_ERRORS as raised:
            piece, error = None, raised
        if piece is not None:
            held.append(piece)
            n_held += len(next(iter(piece.values())))
        if held and (piece is None or n_held >= batch_rows):
            yield {name: np.concatenate([part[name] for part in held]) for name in held[0]}
            held, n_held = [], 0
        if error is not None:
            raise error
        if piece is None:
            return


def units_in_yaml(lines: Sequence[str]) -> dict[str, str]:
    """Units of columns in the header of an ECSV table, or in what astropy writes into Parquet."""
    from astropy.table.meta import get_header_from_yaml

    with astropy_reads():
        header = get_header_from_yaml(list(lines))
        return {item["name"]: str(item["unit"]) for item in header["datatype"] if item.get("unit")}


def read_bounded(stream: BinaryIO, name: str, what: str) -> bytes:
    """The rest of a stream; DataError if it has more than `MAX_WHOLE_BYTES`."""
    parts, n_bytes = [], 0
    while part := stream.read(1 << 22):
        parts.append(part)
        n_bytes += len(part)
        if n_bytes > MAX_WHOLE_BYTES:
            raise DataError(
                f"{name}: {what} is held whole, of at most {MAX_WHOLE_BYTES >> 20} MB (decompressed): give "
                "it as FITS, Parquet or CSV, or in parts"
            )
    return b"".join(parts)
