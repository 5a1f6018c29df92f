"""Text whose columns are at fixed places in each line: IPAC tables, machine-readable ones of AAS and CDS."""

import itertools
from abc import abstractmethod
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pyarrow as pa

from extmap_tf.catalogs.formats.base import MAX_LINE_BYTES, MAX_WHOLE_BYTES, Table, readable
from extmap_tf.catalogs.values import column_to_flags
from extmap_tf.errors import DataError

if TYPE_CHECKING:
    from astropy.table import Table as AstropyTable

_MAX_BATCH_BYTES = 1 << 26


class FixedWidth(Table):
    """A text of fixed places; who derives from it reads the header, and sets what follows.

    Attributes
    ----------
    n_header : int
        Lines above the rows.
    spans : dict of str to (int, int)
        Of each column the first place, and the one after the last.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        super().__init__(stream, name)
        self.n_header = 0
        self.spans: dict[str, tuple[int, int]] = {}

    @abstractmethod
    def _is_missing(self, column: str, cell: str) -> bool:
        """Whether a cell is a way of saying that there is no value."""

    @abstractmethod
    def _wrong(self, row: str, ended: bool) -> bool:
        """Whether a row is not as the header says; `ended` is false of one without an end of line."""

    def _batches(self, numbers, texts, batch_rows):
        for rows in self._blocks(batch_rows):
            cells = {column: self._cells(column, rows) for column in (*numbers, *texts)}
            batch = {
                column: self._as_numbers(column, pa.array(cells[column], pa.string())) for column in numbers
            }
            yield batch | {column: column_to_flags(np.array(cells[column], str)) for column in texts}

    def _blocks(self, batch_rows):
        self.stream.seek(0)
        lines = itertools.islice(iter(lambda: read_line(self.stream, self.name), b""), self.n_header, None)
        n_read = 0
        width = max(stop for _, stop in self.spans.values())
        batch_rows = max(1, min(batch_rows, _MAX_BATCH_BYTES // (width + 2)))
        while block := list(itertools.islice(lines, batch_rows)):
            texts = [line.decode("utf-8", "replace") for line in block if line.strip()]
            rows = [text.rstrip("\r\n") for text in texts]
            for i, (row, text) in enumerate(zip(rows, texts, strict=True)):
                if self._wrong(row, len(row) < len(text)):
                    raise DataError(
                        f"{self.name}: data row {n_read + i + 1} does not fit the header's columns"
                    )
            n_read += len(rows)
            yield rows

    def _cells(self, column, rows):
        start, stop = self.spans[column]
        cells = [row[start:stop].strip() for row in rows]
        return ["" if self._is_missing(column, cell) else cell for cell in cells]

    def whole(self) -> "AstropyTable":
        from astropy.table import Table as AstropyTable

        columns: dict[str, list[str]] = {column: [] for column in self.names}
        n_bytes = 0
        with readable(self.name):
            for rows in self._blocks(1 << 14):
                n_bytes += sum(map(len, rows))
                if n_bytes > MAX_WHOLE_BYTES:
                    raise DataError(
                        f"{self.name}: a table to be written again is held whole, of at most "
                        f"{MAX_WHOLE_BYTES >> 20} MB: give it in parts"
                    )
                for column, cells in columns.items():
                    cells += self._cells(column, rows)
        return AstropyTable({name: np.array(cells, str) for name, cells in columns.items()})


def read_line(stream: BinaryIO, name: str) -> bytes:
    """The next line, with its end; DataError if it is too long."""
    line = stream.readline(MAX_LINE_BYTES + 1)
    if len(line) > MAX_LINE_BYTES:
        raise DataError(f"{name}: a line of more than {MAX_LINE_BYTES >> 20} MB: not a table")
    return line
