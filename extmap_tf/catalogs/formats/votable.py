"""VOTables, read some rows at a time."""

import io
import logging
import re
import warnings
from typing import Any, BinaryIO

import numpy as np

from extmap_tf.catalogs.completeness import cut_off
from extmap_tf.catalogs.formats.base import Table, astropy_reads, gathered, read_bounded, readable, told_apart
from extmap_tf.catalogs.formats.votable_rows import Outline, outline_of, pieces_of_rows
from extmap_tf.catalogs.values import column_to_flags, column_to_numbers
from extmap_tf.errors import DataError

_log = logging.getLogger(__name__)

_MAX_CELL_VALUES = 1_000_000
_ROWS = re.compile(rb"(<(?:\w+:)?TABLE\b[^>]*?)\snrows\s*=\s*[\"']\s*([^\"']*)[\"']")
_ARRAYSIZE = re.compile(rb"\barraysize\s*=\s*[\"']([\dx ]+)")


def open_votable(stream: BinaryIO, name: str) -> list[Table]:
    """The tables of a VOTable document, in its order; their rows stay in it until they are read."""
    outline = outline_of(stream, name)
    document = parse_votable(outline.raw, name)
    elements, remarks = _elements_of(document), remarks_of(document)
    if not elements:
        reason = cut_off(remarks)
        more = f"; its service says: {reason}" if reason else ""
        raise DataError(f"{name}: a VOTable document without a table{more}")
    if len(elements) != outline.n_tables or any(len(element.array) for element in elements):
        raise DataError(f"{name}: a VOTable whose tables or rows are not where they should be: damaged")
    for remark in remarks:
        if "warning" in remark.lower() and cut_off([remark]) is None:
            _log.warning("%s: its service says: %s", name, remark[:300])
    tables: list[Table] = [
        _VoTable(stream, name, outline, number, element, remarks) for number, element in enumerate(elements)
    ]
    promised = [found[2] for found in _ROWS.finditer(outline.raw)]
    if len(promised) == len(tables):
        for table, digits in zip(tables, promised, strict=True):
            if digits.strip().isdigit():
                table.stated_rows = int(digits[:18])
    return tables


def _elements_of(document):
    """The tables in the order of the document."""
    from astropy.io.votable.tree import TableElement

    elements = [table for table in document.iter_tables() if isinstance(table, TableElement)]
    return sorted(elements, key=lambda element: element._pos)


def parse_votable(raw: bytes, name: str) -> Any:
    """A VOTable document as `astropy.io.votable` reads it, without what a document from others may not have.

    Raises
    ------
    DataError
        It is none, is truncated, or would read other files or take more memory than its own size.
    """
    if re.search(rb"<html|<!DOCTYPE html", raw[:1000], re.IGNORECASE):
        raise DataError(f"{name}: a web page (HTML), not a VOTable nor another table: fetch the table itself")
    if b"<!ENTITY" in raw:
        raise DataError(f"{name}: a VOTable that declares entities, which none needs: refused")
    if re.search(rb"<(?:\w+:)?STREAM\b[^>]*\bhref", raw):
        raise DataError(
            f"{name}: a VOTable whose rows are at another address (STREAM href): fetch it with them"
        )
    if re.search(rb"<(?:\w+:)?FITS\b", raw):
        raise DataError(
            f"{name}: a VOTable whose rows are a FITS file inside it: save it as FITS, or with TABLEDATA"
        )
    for found in _ARRAYSIZE.finditer(raw):
        if np.prod([float(n or 1) for n in found[1].split(b"x")]) > _MAX_CELL_VALUES:
            raise DataError(f"{name}: a VOTable with cells of {found[1].decode()} values: damaged")
    return _parsed(raw, name)


def _parsed(raw, name):
    from astropy.io import votable

    # Room for as many rows as are promised would be made before the first is read.
    raw = _ROWS.sub(rb"\1", raw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return votable.parse(io.BytesIO(raw), verify="ignore")
        except (votable.exceptions.VOWarning, ValueError, LookupError, TypeError, AttributeError) as error:
            text = " ".join(str(error).split())[:300]
            raise DataError(f"{name}: not a VOTable, or truncated: fetch it again ({text})") from None


class _VoTable(Table):
    format = "VOTable"

    def __init__(
        self, stream: BinaryIO, name: str, outline: Outline, number: int, element: Any, remarks: list[str]
    ) -> None:
        super().__init__(stream, name)
        self._outline, self._number_in_document = outline, number
        self._fields = element.fields
        self.title = element.name or element.ID or element.description or ""
        self.names, self.repeated = told_apart([field.name or field.ID for field in self._fields])
        named = list(zip(self.names, self._fields, strict=True))
        self._index = {column: field.ID for column, field in named}
        self.units = {column: str(field.unit) for column, field in named if field.unit is not None}
        self.remarks = remarks

    def _batches(self, numbers, texts, batch_rows):
        return gathered(self._pieces(numbers, texts), batch_rows)

    def _pieces(self, numbers, texts):
        """The rows, as many at a time as are in a few MB of the document."""
        raw = self._outline.raw
        for place in self._outline.rows:
            if place.table != self._number_in_document:
                continue
            for some in pieces_of_rows(self.stream, place, self._outline, self._fields):
                document = _parsed(raw[: place.place] + some + raw[place.place :], self.name)
                rows = _elements_of(document)[self._number_in_document].array
                batch = {
                    column: self._as_numbers(column, rows[self._index[column]], column_to_numbers)
                    for column in numbers
                }
                yield batch | {column: column_to_flags(rows[self._index[column]]) for column in texts}

    def whole(self):
        self.stream.seek(0)
        raw = read_bounded(self.stream, self.name, "a table to be written again")
        element = _elements_of(parse_votable(raw, self.name))[self._number_in_document]
        with readable(self.name), astropy_reads():
            return element.to_table(use_names_over_ids=True)


def remarks_of(document: Any) -> list[str]:
    """What the INFO elements of a document say, wherever they are."""
    found: list[str] = []

    def visit(part):
        for info in getattr(part, "infos", ()):
            found.append(" ".join(str(text) for text in (info.name, info.value, info.content) if text))
        for inner in (*getattr(part, "resources", ()), *getattr(part, "tables", ())):
            visit(inner)

    visit(document)
    return found
