"""Streams of text between a file and Arrow's reader."""

import io
import re
import threading
from typing import BinaryIO

from extmap_tf.catalogs.formats.base import MAX_LINE_BYTES, MAX_REMARKS
from extmap_tf.catalogs.formats.gzip_streams import unzipped
from extmap_tf.errors import DataError

# Each read of a Python stream waits for the interpreter: few and large ones.
READ_BYTES = 1 << 22
# Lines that begin with # are remarks, but for the errors of spreadsheets, which stand for missing cells.
_MISSING = rb"(?:N/A|VALUE!|DIV/0!|REF!|NAME\?|NUM!|NULL!)[,;|\t ]"
_REMARK = re.compile(rb"(?m)(?<![^\r\n])[ \t]*#(?!%s)[^\r\n]*(?:\r\n|\r|\n|\Z)" % _MISSING)
# VizieR's text: each table of an answer begins with such a line.
_NEXT_TABLE = re.compile(rb"^#(?:RESOURCE=|Table[ \t])", re.MULTILINE)


class Limited(io.RawIOBase):
    """So many bytes of a stream from where it is."""

    def __init__(self, stream: BinaryIO, n_bytes: int) -> None:
        self._stream, self._n_left = stream, n_bytes

    def read(self, n_bytes: int = -1) -> bytes:
        n_bytes = self._n_left if n_bytes is None or n_bytes < 0 else min(n_bytes, self._n_left)
        part = self._stream.read(n_bytes)
        self._n_left -= len(part)
        return part


class Lent:
    """A stream lent to Arrow's reading thread: not closed by it, nor touched once `close` has returned."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.closed = False

    def read(self, n_bytes: int = -1) -> bytes:
        with self._lock:
            return b"" if self.closed else self._read(n_bytes)

    def _read(self, n_bytes):
        return self._stream.read(n_bytes)

    def close(self) -> None:
        with self._lock:
            self.closed = True


class Cleaned(Lent):
    """A text's rows alone: without what stands above them, without comments, with one space for several.

    Only whole lines are passed on.

    Parameters
    ----------
    stream : binary file object
        The text, decompressed.
    name : str
        The table's path, for messages.
    remarks : list of str
        To which the comments are added.
    n_skip : int
        Lines above the rows.
    squeeze : bool
        Whether spaces divide the columns.
    """

    def __init__(self, stream: BinaryIO, name: str, remarks: list[str], n_skip: int, squeeze: bool) -> None:
        super().__init__(stream)
        self._name, self._remarks = name, remarks
        self._rest = b""
        self._n_skip = n_skip
        self._at_start = True
        self._squeeze = squeeze

    def _read(self, n_bytes):
        while True:
            part = self._stream.read(max(n_bytes, READ_BYTES))
            if not part and not self._rest:
                return b""
            block, self._rest = self._rest + part, b""
            if part:
                end = max(block.rfind(b"\n"), block.rfind(b"\r", 0, len(block) - 1)) + 1
                block, self._rest = block[:end], block[end:]
                if len(self._rest) > MAX_LINE_BYTES:
                    raise DataError(
                        f"{self._name}: a line of more than {MAX_LINE_BYTES >> 20} MB: not a table"
                    )
            if block := self._rows(block):
                return block

    def _rows(self, block):
        if self._at_start and block:
            block = block.removeprefix(b"\xef\xbb\xbf")
            self._at_start = False
        while self._n_skip and block:
            end = re.search(b"\r\n|\r|\n", block)
            block = block[end.end() :] if end else b""
            self._n_skip -= 1
        if b"#" in block:
            block = _REMARK.sub(self._remark, block)
        if self._squeeze:
            block = re.sub(rb"[ \t]+", b" ", block)
            block = re.sub(rb"(?m)^ | (?=\r?$)", b"", block)
        return block

    def _remark(self, found):
        if len(self._remarks) < MAX_REMARKS:
            self._remarks.append(found[0].decode("utf-8", "replace").strip())
        return b""


def parts_of_vizier(stream: BinaryIO, zipped: bool) -> list[tuple[int, int]]:
    """First and last byte of each table in a text of VizieR; nothing if there is one table."""
    stream.seek(0)
    source = unzipped(stream) if zipped else stream
    starts: list[int] = []
    offset, block = 0, b""
    has_rows = False
    while part := source.read(READ_BYTES):
        block += part
        end = block.rfind(b"\n") + 1
        at = 0
        for found in _NEXT_TABLE.finditer(block, 0, end):
            has_rows = has_rows or re.search(rb"^[^#\s]", block[at : found.start()], re.MULTILINE) is not None
            at = found.start()
            if not starts or has_rows:
                starts.append(offset + at if starts else 0)
                has_rows = False
        has_rows = has_rows or re.search(rb"^[^#\s]", block[at:end], re.MULTILINE) is not None
        offset += end
        block = block[end:]
        if len(block) > MAX_LINE_BYTES:
            break
    if len(starts) < 2:
        return []
    return list(zip(starts, [*starts[1:], offset + len(block)], strict=True))
