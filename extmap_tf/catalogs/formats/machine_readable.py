"""Machine-readable tables of AAS journals, in CDS's layout: a byte-by-byte description above the rows.

Astropy reads them too (``ascii.mrt``), but holds the rows as text, many times the file's size.
"""

import re
from typing import BinaryIO

from extmap_tf.catalogs.formats.fixed_width import FixedWidth
from extmap_tf.errors import DataError

_BEGIN = re.compile(r"^\s*Byte-by-byte Description of file", re.IGNORECASE)
_RULE = re.compile(r"^[-=]{6,}\s*$")
# Bytes, format, unit, label, and an explanation that begins with limits and the value for none (CDS,
# Standards for astronomical catalogues 2.0, sec. 3.2).
_COLUMN = re.compile(r"^\s*(?:(\d+)\s*-)?\s*(\d+)\s+\d*([AIFEDaifed])[\d.]*\s+(\S+)\s+(\S+)\s*(.*)$")
_NONE = re.compile(r"^(?:[\[\]]\S*[\[\]])?\s*\?=\s*(\S+)")
_BASE_60 = {"RA": ("", "RAh", "RAm", "RAs"), "DE": ("DE-", "DEd", "DEm", "DEs")}


def is_machine_readable(lines: list[str]) -> bool:
    """Whether lines of text have a byte-by-byte description in them."""
    return any(_BEGIN.match(line) for line in lines)


class MachineReadable(FixedWidth):
    """A table whose description is in the same file.

    A position in base 60, which such tables split into seven columns, is given as the columns RAJ2000 and
    DEJ2000 too (RAB1950 and DEB1950 where the description speaks of 1950).
    """

    format = "machine-readable table (CDS, AAS)"

    def __init__(self, stream: BinaryIO, name: str, lines: list[str]) -> None:
        super().__init__(stream, name)
        begins = [i for i, line in enumerate(lines) if _BEGIN.match(line)]
        if len(begins) > 1:
            raise DataError(
                f"{name}: it describes {len(begins)} files, as a ReadMe of CDS: give one table with its own "
                "description, or VizieR's FITS or TSV of it"
            )
        rules = [i for i, line in enumerate(lines) if _RULE.match(line)]
        inside = [i for i in rules if i > begins[0]]
        if len(inside) < 3:
            raise DataError(f"{name}: its byte-by-byte description has no end: truncated, fetch it again")
        self.n_header = rules[-1] + 1
        if not any(line.strip() for line in lines[self.n_header :]):
            raise DataError(
                f"{name}: it describes a table whose rows are in another file: give VizieR's FITS or TSV"
            )
        self._none: dict[str, str] = {}
        described: dict[str, str] = {}
        self._numbers = []
        for line in lines[inside[1] + 1 : inside[2]]:
            if found := _COLUMN.match(line):
                first, last, kind, unit, label, text = found.groups()
                if label in self.spans:
                    raise DataError(f"{name}: its description has two columns {label}: damaged")
                self.spans[label] = int(first or last) - 1, int(last)
                described[label] = text
                if kind not in "Aa":
                    self._numbers.append(self.spans[label])
                if unit != "---":
                    self.units[label] = unit
                if none := _NONE.match(text):
                    self._none[label] = none[1]
        if not self.spans or any(not 0 <= start < stop <= 1 << 20 for start, stop in self.spans.values()):
            raise DataError(f"{name}: its byte-by-byte description has no sound columns: damaged")
        self._parts: dict[str, list[str]] = {}
        for role, parts in _BASE_60.items():
            if all(part in self.spans for part in parts[1:]):
                equinox = "B1950" if "1950" in described[parts[1]] else "J2000"
                self._parts[f"{role}{equinox}"] = [part for part in parts if part in self.spans]
        added = [column for column in self._parts if column not in self.spans]
        self.names = (*added, *self.spans)

    def _is_missing(self, column, cell):
        return cell == self._none.get(column)

    def _wrong(self, row, ended):
        # Numbers stand at the right of their places: a last line that ends within one was cut there.
        return not ended and any(start < len(row) < stop for start, stop in self._numbers)

    def _cells(self, column, rows):
        if column in self.spans:
            return super()._cells(column, rows)
        parts = [super(MachineReadable, self)._cells(part, rows) for part in self._parts[column]]
        signs = parts.pop(0) if len(parts) == 4 else [""] * len(rows)
        return [
            "" if "" in numbers else sign + " ".join(numbers)
            for sign, *numbers in zip(signs, *parts, strict=True)
        ]
