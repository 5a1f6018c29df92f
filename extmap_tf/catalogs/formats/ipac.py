"""IPAC tables: columns of fixed width between the bars of a header."""

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pyarrow as pa

from extmap_tf.catalogs.formats.base import (
    MAX_HEADER_BYTES,
    MAX_LINE_BYTES,
    MAX_REMARKS,
    MAX_WHOLE_BYTES,
    Table,
    readable,
)
from extmap_tf.catalogs.values import column_to_flags, to_numbers
from extmap_tf.errors import DataError

if TYPE_CHECKING:
    from astropy.table import Table as AstropyTable

_TYPES = re.compile(
    r"^(?:i|l|d|r|f|c|t|b|int|integer|long|double|real|float|char|character|date|bool|boolean)?$"
)
_MAX_BATCH_BYTES = 1 << 26


def is_ipac(lines: Sequence[str]) -> bool:
    """Whether lines of text, the first of which starts with a bar or a backslash, begin an IPAC table."""
    bars = [line for line in lines if line.startswith("|")]
    if len(bars) < 2:
        return any(line.startswith("\\") for line in lines) or len(bars) == 1
    return all(_TYPES.match(cell.strip().lower()) for cell in bars[1].strip("| ").split("|"))


class Ipac(Table):
    """An IPAC table."""

    format = "IPAC table"

    def __init__(self, stream: BinaryIO, name: str) -> None:
        super().__init__(stream, name)
        self._n_header = 0
        bars = []
        n_bytes = 0
        stream.seek(0)
        while (line := _line(stream, name)).startswith((b"\\", b"|")):
            self._n_header += 1
            n_bytes += len(line)
            if n_bytes > MAX_HEADER_BYTES:
                raise DataError(
                    f"{name}: the header of an IPAC table ends within {MAX_HEADER_BYTES >> 20} MB"
                )
            text = line.decode("utf-8", "replace").rstrip()
            if line.startswith(b"|"):
                bars.append(text)
            elif len(self.remarks) < MAX_REMARKS:
                self.remarks.append(text)
        if len(bars) < 2:
            raise DataError(f"{name}: an IPAC table needs a line of names and one of types between '|'")
        self._limits = [i for i, letter in enumerate(bars[0]) if letter == "|"]
        fields = [[cell.strip() for cell in line.strip("|").split("|")] for line in bars]
        self.names = tuple(fields[0])
        if len(self.names) != len(self._limits) - 1 or len(set(self.names)) < len(self.names):
            raise DataError(f"{name}: the IPAC table's line of names has empty or equal names: damaged")
        if len(fields) > 2:
            self.units = {c: unit for c, unit in zip(fields[0], fields[2], strict=False) if unit}
        self._missing = {"", "null", *(fields[3] if len(fields) > 3 else ())}

    def _batches(self, numbers, texts, batch_rows):
        for rows in self._blocks(batch_rows):
            batch = {column: self._number(column, rows) for column in numbers}
            yield batch | {
                column: column_to_flags(np.array(self._cells(column, rows), str)) for column in texts
            }

    def _blocks(self, batch_rows):
        self.stream.seek(0)
        lines = itertools.islice(iter(lambda: _line(self.stream, self.name), b""), self._n_header, None)
        n_read = 0
        batch_rows = max(1, min(batch_rows, _MAX_BATCH_BYTES // (self._limits[-1] + 2)))
        while block := list(itertools.islice(lines, batch_rows)):
            rows = [line.decode("utf-8", "replace").rstrip("\r\n") for line in block if line.strip()]
            for i, row in enumerate(rows):
                if len(row) <= self._limits[-2] or any(row[x : x + 1].strip() for x in self._limits):
                    raise DataError(
                        f"{self.name}: data row {n_read + i + 1} does not fit the header's columns"
                    )
            n_read += len(rows)
            yield rows

    def _cells(self, column, rows):
        index = self.names.index(column)
        start, stop = self._limits[index] + 1, self._limits[index + 1]
        cells = [row[start:stop].strip() for row in rows]
        return ["" if cell in self._missing else cell for cell in cells]

    def _number(self, column, rows):
        try:
            numbers, sexagesimal = to_numbers(pa.array(self._cells(column, rows), pa.string()))
        except ValueError as error:
            raise DataError(f"{self.name}: column {column} must hold numbers, {error}") from None
        if sexagesimal:
            self.sexagesimal.add(column)
        return numbers

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


def _line(stream, name):
    line = stream.readline(MAX_LINE_BYTES + 1)
    if len(line) > MAX_LINE_BYTES:
        raise DataError(f"{name}: a line of more than {MAX_LINE_BYTES >> 20} MB: not a table")
    return line
