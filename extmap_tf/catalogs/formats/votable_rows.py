"""A VOTable document in parts: all but its rows, and its rows some at a time.

A document without its rows is a small one, and so is one with a few of them: astropy reads either, and means
by each cell what it would have meant in the whole.
"""

import base64
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from extmap_tf.catalogs.formats.base import MAX_HEADER_BYTES, MAX_LINE_BYTES
from extmap_tf.catalogs.formats.text_streams import READ_BYTES, Limited
from extmap_tf.errors import DataError

_PREFIX = rb"(?:[\w.-]+:)?"
# A table, the beginning of rows, or of what may hold such words without meaning them.
_MARK = re.compile(
    rb"<!--|<!\[CDATA\[|<" + _PREFIX + rb"(?:(TABLE)\b[^<>]*|(TABLEDATA|STREAM)\b(?:[^<>]*[^<>/])?)>"
)
_END_OF = {b"<!--": b"-->", b"<![CDATA[": b"]]>"}
_CLOSED = {name: re.compile(rb"</" + _PREFIX + name + rb"\s*>") for name in (b"TABLEDATA", b"STREAM", b"TR")}
_ENCODING = re.compile(rb"<" + _PREFIX + rb"(BINARY2?|FITS|PARQUET)\b")
# More than a closing tag has.
_TAG_BYTES = 256


@dataclass
class Rows:
    """Where the rows of a table are.

    Parameters
    ----------
    table : int
        Which of the document's tables, from 0.
    kind : bytes
        ``TABLEDATA`` or ``STREAM``.
    place : int
        Where they go in the document without rows.
    begin, end : int
        Their bytes in the document.
    """

    table: int
    kind: bytes
    place: int
    begin: int
    end: int = 0


@dataclass
class Outline:
    """A document without rows, how many tables it has, and where their rows are."""

    raw: bytes = b""
    n_tables: int = 0
    rows: list[Rows] = field(default_factory=list)


def outline_of(stream: BinaryIO, name: str) -> Outline:
    """Go through a document once, from where the stream is, in bounded memory.

    Raises
    ------
    DataError
        It ends amid rows, or has more than 4 MB beside them.
    """
    outline, kept = Outline(), []
    block, offset, n_kept = b"", stream.tell(), 0
    inside: Rows | None = None
    while part := stream.read(READ_BYTES):
        block += part
        at, done = 0, False
        while not done:
            begin = at
            if inside is not None:
                at, done = _end_of_rows(block, at, inside, offset)
                inside = inside if done else None
                continue
            at, done, inside = _next_mark(block, at, outline, offset, n_kept - begin)
            kept.append(block[begin:at])
            n_kept += at - begin
        offset += at
        block = block[at:]
        if n_kept > MAX_HEADER_BYTES or len(block) > MAX_HEADER_BYTES + READ_BYTES:
            raise DataError(
                f"{name}: a VOTable with more than {MAX_HEADER_BYTES >> 20} MB beside its rows: damaged"
            )
    if inside is not None:
        raise DataError(f"{name}: not a VOTable, or truncated amid its rows: fetch it again")
    outline.raw = b"".join([*kept, block])
    return outline


def _end_of_rows(block, at, rows, offset):
    """Where the rows end, or else what of the block is surely theirs, and whether it is used up."""
    found = _CLOSED[rows.kind].search(block, at)
    if found is None:
        return max(at, len(block) - _TAG_BYTES), True
    rows.end = offset + found.start()
    return found.start(), False


def _next_mark(block, at, outline, offset, shift):
    """Where to go on, whether the block is used up, and rows that begin there; `shift`: from block to raw."""
    found = _MARK.search(block, at)
    if found is None:
        # A tag that has begun goes on in the next block.
        begun = block.rfind(b"<", at)
        return (begun if begun >= 0 and block.find(b">", begun) < 0 else len(block)), True, None
    if found[0] in _END_OF:
        end = block.find(_END_OF[found[0]], found.end())
        return (found.start(), True, None) if end < 0 else (end, False, None)
    if found[1]:
        outline.n_tables += 1
        return found.end(), False, None
    rows = Rows(outline.n_tables - 1, found[2], found.end() + shift, offset + found.end())
    outline.rows.append(rows)
    return found.end(), False, rows


def pieces_of_rows(stream: BinaryIO, rows: Rows, outline: Outline, fields: Sequence[Any]) -> Iterator[bytes]:
    """The rows of a table, some whole ones at a time, as they stand in the document.

    Parameters
    ----------
    stream : binary file object
        The document; it is read from `rows.begin` on.
    rows : Rows
    outline : Outline
    fields : sequence of astropy.io.votable.tree.Field
        Of the table.

    Raises
    ------
    DataError
        A row is too long.
    EOFError
        The last row is not whole.
    """
    stream.seek(rows.begin)
    content = Limited(stream, rows.end - rows.begin)
    if rows.kind == b"TABLEDATA":
        yield from _whole_rows(iter(lambda: content.read(READ_BYTES), b""), _end_of_last_row)
        return
    kinds = _ENCODING.findall(outline.raw, 0, rows.place)
    n_mask = -(-len(fields) // 8) if kinds and kinds[-1] == b"BINARY2" else 0
    steps = _steps(fields, n_mask)
    for whole in _whole_rows(_decoded(content), lambda block: _end_of_last_in_binary(block, steps)):
        yield base64.b64encode(whole)


def _whole_rows(blocks, end_of_last):
    rest = b""
    for part in blocks:
        block = rest + part
        end = end_of_last(block)
        if end:
            yield block[:end]
        rest = block[end:]
        if len(rest) > MAX_LINE_BYTES:
            raise ValueError(f"a row of more than {MAX_LINE_BYTES >> 20} MB")
    if rest.strip():
        raise EOFError(f"{len(rest)} bytes after the last row")


def _end_of_last_row(block):
    at = len(block)
    while (at := block.rfind(b"</", 0, at)) >= 0:
        if found := _CLOSED[b"TR"].match(block, at):
            return found.end()
    return 0


def _decoded(content):
    """What a stream in base 64 holds, some bytes at a time."""
    text = b""
    while part := content.read(READ_BYTES):
        text += part.translate(None, b" \t\r\n")
        n = len(text) // 4 * 4
        yield base64.b64decode(text[:n])
        text = text[n:]
    if text:
        raise EOFError("base 64 that does not end")


def _steps(fields, n_mask):
    """How to get over a row: so many bytes, or a function that reads a cell of variable length."""
    steps: list[int | Callable[..., Any]] = [n_mask]
    for one in fields:
        parse = one.converter.binparse
        if "*" in str(one.arraysize or ""):
            steps += [parse, 0]
        else:
            zeros = _Zeros()
            parse(zeros.read)
            steps[-1] += zeros.n_bytes  # type: ignore[operator]
    return steps


class _Zeros:
    """As many zeros as one asks for."""

    n_bytes = 0

    def read(self, n_bytes: int) -> bytes:
        self.n_bytes += n_bytes
        return bytes(n_bytes)


def _end_of_last_in_binary(block, steps):
    if len(steps) == 1:
        return len(block) // steps[0] * steps[0] if steps[0] else 0
    source, end, at = io.BytesIO(block), 0, 0

    def read(n_bytes):
        part = source.read(n_bytes)
        if len(part) < n_bytes:
            raise EOFError
        return part

    while at < len(block):
        for step in steps:
            if isinstance(step, int):
                at += step
                continue
            source.seek(at)
            try:
                step(read)
            except EOFError:
                return end
            at = source.tell()
        if at > len(block):
            return end
        end = at
    return end
