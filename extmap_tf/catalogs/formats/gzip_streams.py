"""Streams of gzip, undone by Intel's ISA-L: more than twice as fast as zlib, on processors of all makers."""

from typing import BinaryIO, cast

from isal import igzip, isal_zlib

GZIP_ERRORS = (cast(type[Exception], isal_zlib.error),)
"""What a damaged stream raises, beside EOFError and OSError."""


def unzipped(stream: BinaryIO) -> BinaryIO:
    """The content of a gzip stream, all of its members, read from where the stream is; it stays open."""
    return cast(BinaryIO, igzip.IGzipFile(fileobj=stream, mode="rb"))
