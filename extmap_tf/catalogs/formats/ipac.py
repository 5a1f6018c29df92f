"""IPAC tables: columns of fixed width between the bars of a header."""

import itertools
import re
from collections.abc import Sequence
from typing import BinaryIO

from extmap_tf.catalogs.formats.base import MAX_HEADER_BYTES, MAX_REMARKS, told_apart
from extmap_tf.catalogs.formats.fixed_width import FixedWidth, read_line
from extmap_tf.errors import DataError

_TYPES = re.compile(
    r"^(?:i|l|d|r|f|c|t|b|int|integer|long|double|real|float|char|character|date|bool|boolean)?$"
)


def is_ipac(lines: Sequence[str]) -> bool:
    """Whether lines of text, the first of which starts with a bar or a backslash, begin an IPAC table."""
    bars = [line for line in lines if line.startswith("|")]
    if len(bars) < 2:
        return any(line.startswith("\\") for line in lines) or len(bars) == 1
    return all(_TYPES.match(cell.strip().lower()) for cell in bars[1].strip("| ").split("|"))


class Ipac(FixedWidth):
    """An IPAC table."""

    format = "IPAC table"

    def __init__(self, stream: BinaryIO, name: str) -> None:
        super().__init__(stream, name)
        bars = []
        n_bytes = 0
        stream.seek(0)
        while (line := read_line(stream, name)).startswith((b"\\", b"|")):
            self.n_header += 1
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
        self.names, self.repeated = told_apart(fields[0])
        if len(self.names) != len(self._limits) - 1:
            raise DataError(f"{name}: the IPAC table's line of names has bars without a name: damaged")
        edges = itertools.pairwise(self._limits)
        self.spans = {c: (start + 1, stop) for c, (start, stop) in zip(self.names, edges, strict=True)}
        if len(fields) > 2:
            self.units = {c: unit for c, unit in zip(self.names, fields[2], strict=False) if unit}
        self._missing = {"", "null", *(fields[3] if len(fields) > 3 else ())}

    def _is_missing(self, column, cell):
        return cell in self._missing

    def _wrong(self, row, ended):
        return len(row) <= self._limits[-2] or any(row[x : x + 1].strip() for x in self._limits)
