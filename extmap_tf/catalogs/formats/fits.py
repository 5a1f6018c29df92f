"""FITS tables, binary and ASCII, read in slices so that any stream serves, gzip too."""

import gzip
import io
import re
import warnings
from abc import abstractmethod
from typing import Any, BinaryIO

import numpy as np

from extmap_tf.catalogs.formats.base import (
    MAX_HEADER_BYTES,
    MAX_LINE_BYTES,
    Table,
    astropy_reads,
    read_bounded,
    readable,
    told_apart,
)
from extmap_tf.catalogs.values import column_to_flags, column_to_numbers
from extmap_tf.errors import DataError
from extmap_tf.files import PathLike

_BLOCK = 2880
_BATCH_BYTES = 1 << 26
_MAX_BYTES = 1 << 60
_MAX_COLUMNS = 999


def open_fits(stream: BinaryIO, name: str) -> list[Table]:
    """The tables of a FITS file, in its order."""
    tables: list[Table] = []
    number = 0
    while (header := _read_header(stream, name)) is not None:
        kind = str(_card(header, "XTENSION", name, "")).strip()
        n_bytes = _data_bytes(header, name)
        if kind in ("BINTABLE", "TABLE"):
            made = _BinaryTable if kind == "BINTABLE" else _AsciiTable
            with astropy_reads():
                tables.append(made(stream, name, header, stream.tell(), number))
        number += 1
        stream.seek(-(-n_bytes // _BLOCK) * _BLOCK, io.SEEK_CUR)
    if not tables:
        raise DataError(f"{name}: no table in the FITS file, or it is truncated: fetch it again")
    return tables


def require_sound_headers(path: PathLike) -> None:
    """Raise DataError unless every header of a FITS file can be read, in bounds, before anything else is."""
    with open(path, "rb") as stream:
        try:
            while (header := _read_header(stream, path)) is not None:
                stream.seek(-(-_data_bytes(header, path) // _BLOCK) * _BLOCK, io.SEEK_CUR)
        except EOFError:
            raise DataError(f"{path}: truncated inside a header; fetch or make it again") from None


def _read_header(stream, name):
    """The next header; None at the end of the file."""
    from astropy.io import fits

    blocks: list[bytes] = []
    while len(blocks) * _BLOCK < MAX_HEADER_BYTES:
        block = _read_all(stream, _BLOCK)
        if not blocks and not block.strip(b"\0 \r\n"):
            return None
        if not blocks and not block.startswith((b"SIMPLE", b"XTENSION")):
            # What follows the last extension is nobody's (FITS 4.0, sec. 3.5).
            return None
        if len(block) < _BLOCK:
            raise EOFError("a header without its END")
        blocks.append(block)
        if any(block[i : i + 8] == b"END     " for i in range(0, _BLOCK, 80)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return fits.Header.fromstring(b"".join(blocks).decode("latin-1"))
    raise DataError(f"{name}: a FITS header without END in its first {MAX_HEADER_BYTES >> 20} MB: damaged")


def _integer(header, key, low, high, name, default=None):
    """A whole number of a header; DataError if it is none or outside of what can be."""
    value = _card(header, key, name, default)
    text = " ".join(str(value).split())[:40]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise DataError(f"{name}: the FITS header's {key} is {text}, it must be {low} to {high}: damaged")
    return value


def _card(header, key, name, default=None):
    from astropy.io import fits

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return header.get(key, default)
    except (fits.VerifyError, ValueError):
        raise DataError(f"{name}: the FITS header's {key} cannot be read: damaged") from None


def _data_bytes(header, name):
    n_axes = _integer(header, "NAXIS", 0, 999, name, 0)
    if not n_axes:
        return 0
    n_values = 1
    for i in range(1, n_axes + 1):
        n_values *= _integer(header, f"NAXIS{i}", 0, _MAX_BYTES, name)
    n_values += _integer(header, "PCOUNT", 0, _MAX_BYTES, name, 0)
    n_values *= _integer(header, "GCOUNT", 1, _MAX_BYTES, name, 1)
    n_bytes = n_values * abs(_integer(header, "BITPIX", -64, 64, name)) // 8
    if n_bytes > _MAX_BYTES:
        raise DataError(f"{name}: the FITS header states {n_bytes:.1e} bytes: damaged")
    return n_bytes


class _FitsTable(Table):
    """What both kinds of tables share; `_dtype` is that of a row."""

    _dtype: np.dtype

    def __init__(self, stream: BinaryIO, name: str, header: Any, start: int, number: int) -> None:
        super().__init__(stream, name)
        self._start, self._hdu = start, number
        self._n_rows = _integer(header, "NAXIS2", 0, _MAX_BYTES, name)
        self._row_bytes = _integer(header, "NAXIS1", 0, MAX_LINE_BYTES, name)
        self._header = header
        self._n_fields = _integer(header, "TFIELDS", 0, _MAX_COLUMNS, name)
        self.title = str(_card(header, "EXTNAME", name) or f"extension {number}")
        words = ("COMMENT", "HISTORY", "QUERY_STATUS", "WARNING")
        self.remarks = [f"{card.keyword} {card.value}" for card in header.cards if card.keyword in words]

    @abstractmethod
    def _number(self, column, rows):
        """A column of some rows as float64, NaN where missing."""

    def _batches(self, numbers, texts, batch_rows):
        self.stream.seek(self._start)
        n_left = self._n_rows
        batch_rows = max(1, min(batch_rows, _BATCH_BYTES // max(1, self._dtype.itemsize)))
        self._require_numbers(numbers)
        while n_left:
            n_bytes = min(n_left, batch_rows) * self._dtype.itemsize
            if not n_bytes:
                raise DataError(f"{self.name}: {self._n_rows} rows of no bytes: damaged")
            raw = _read_all(self.stream, n_bytes)
            if len(raw) < n_bytes:
                n_missing = n_left - len(raw) // self._dtype.itemsize
                raise EOFError(f"{n_missing} of {self._n_rows} rows are missing")
            rows = np.frombuffer(raw, self._dtype)
            n_left -= len(rows)
            batch = {column: self._number(column, rows) for column in numbers}
            yield batch | {column: column_to_flags(self._text(column, rows)) for column in texts}
        if isinstance(self.stream, gzip.GzipFile):
            # Reading to the end lets gzip verify its checksum.
            while self.stream.read(1 << 20):
                pass

    def _text(self, column, rows):
        return rows[column]

    def _require_numbers(self, numbers):
        pass

    def whole(self):
        from astropy.table import Table as AstropyTable

        if self.repeated:
            several = ", ".join(self.repeated)
            raise DataError(f"{self.name}: several columns are called {several}: rename them")
        with readable(self.name), astropy_reads():
            self.stream.seek(0)
            content = io.BytesIO(read_bounded(self.stream, self.name, "a table to be written again"))
            return AstropyTable.read(content, format="fits", hdu=self._hdu)


class _BinaryTable(_FitsTable):
    format = "FITS"

    def __init__(self, stream: BinaryIO, name: str, header: Any, start: int, number: int) -> None:
        from astropy.io import fits

        super().__init__(stream, name, header, start, number)
        if _card(header, "ZTABLE", name):
            raise DataError(f"{name}: a compressed FITS table (ZTABLE): decompress it with funpack")
        given = [_card(header, f"TTYPE{i}", name) for i in range(1, self._n_fields + 1)]
        names, self.repeated = told_apart([str(column or "").strip() for column in given])
        for i, column in enumerate(names, 1):
            if column != given[i - 1]:
                header[f"TTYPE{i}"] = column
        columns = fits.BinTableHDU.fromstring(header.tostring().encode("ascii", "replace")).columns
        self._columns = {column.name: column for column in columns}
        dtype = columns.dtype.newbyteorder(">")
        self.names = tuple(columns.names)
        self.units = {column.name: column.unit for column in columns if column.unit}
        if dtype.itemsize != self._row_bytes:
            raise DataError(f"{name}: the FITS header's columns do not add up to its row length NAXIS1")
        self._dtype = dtype

    def _require_numbers(self, numbers):
        for column in numbers:
            if self._dtype[column].kind not in "fiuS" or self._dtype[column].shape:
                raise DataError(f"{self.name}: column {column} must hold one number a row")

    def _text(self, column, rows):
        values = rows[column]
        # A logical value is a letter; a byte of zero is none.
        return values.view("S1") if self._columns[column].format == "L" else values

    def _number(self, column, rows):
        values, spec = rows[column], self._columns[column]
        if values.dtype.kind == "S":
            return self._as_numbers(column, values, column_to_numbers)
        number = values.astype(np.float64)
        if spec.null is not None and values.dtype.kind in "iu":
            number[values == spec.null] = np.nan
        if spec.bscale not in (None, "", 1):
            number *= spec.bscale
        if spec.bzero not in (None, "", 0):
            number += spec.bzero
        return number


class _AsciiTable(_FitsTable):
    format = "FITS (ASCII table)"

    def __init__(self, stream: BinaryIO, name: str, header: Any, start: int, number: int) -> None:
        super().__init__(stream, name, header, start, number)
        names, starts, widths = [], [], []
        self._cards = {}
        for i in range(1, self._n_fields + 1):
            column = str(_card(header, f"TTYPE{i}", name) or f"col{i}").strip()
            form = re.fullmatch(r"\s*([AIFED])(\d{1,6})(?:\.\d+)?\s*", str(_card(header, f"TFORM{i}", name)))
            if form is None or column in names:
                raise DataError(f"{name}: column {i} of the FITS header has no sound name or format: damaged")
            width = int(form[2])
            begin = _integer(header, f"TBCOL{i}", 1, self._row_bytes + 1 - width, name) - 1
            names.append(column)
            starts.append(begin)
            widths.append(f"S{width}")
            self._cards[column] = {
                key: _card(header, f"T{key}{i}", name) for key in ("NULL", "SCAL", "ZERO", "UNIT")
            }
        self.names = tuple(names)
        self.units = {column: str(cards["UNIT"]) for column, cards in self._cards.items() if cards["UNIT"]}
        self._dtype = np.dtype(
            {"names": names, "formats": widths, "offsets": starts, "itemsize": self._row_bytes}
        )

    def _number(self, column, rows):
        cards, cells = self._cards[column], np.char.strip(rows[column])
        if cards["NULL"] is not None:
            cells = np.where(cells == str(cards["NULL"]).strip().encode(), b"", cells)
        number = self._as_numbers(column, cells, column_to_numbers)
        if cards["SCAL"] not in (None, 1) or cards["ZERO"] not in (None, 0):
            number = number * float(cards["SCAL"] or 1.0) + float(cards["ZERO"] or 0.0)
        return number


def _read_all(stream, n_bytes):
    """As much of `n_bytes` as the stream still has: one read may return less."""
    parts = []
    while n_bytes and (part := stream.read(n_bytes)):
        parts.append(part)
        n_bytes -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
