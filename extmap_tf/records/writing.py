"""Examples and TFRecord files, written without TensorFlow: its import takes as long as 2,000 pairs do."""

import struct
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import BinaryIO

import google_crc32c
import numpy as np

_COMPRESSION_LEVEL = 1
_GZIP = 16 + zlib.MAX_WBITS


def serialize_example(**features: bytes | int | Sequence[float] | np.ndarray) -> bytes:
    """A ``tf.train.Example``, the bytes that TensorFlow's deterministic serialization gives.

    Parameters
    ----------
    features : bytes, int or ndarray of float32 [n]
        Whole numbers are 0 or more.

    Returns
    -------
    bytes
    """
    # Field 1 of an Example is a message Features, whose field 1 is a map: pairs of name and feature. See
    # tensorflow/core/example/feature.proto.
    entries = (
        _field(1, _field(1, name.encode()) + _field(2, _feature(value)))
        for name, value in sorted(features.items())
    )
    return _field(1, b"".join(entries))


def write_tfrecords(stream: BinaryIO, examples: Iterable[bytes]) -> int:
    """Write serialized examples as a gzip TFRecord file.

    Parameters
    ----------
    stream : binary file
    examples : iterable of bytes

    Returns
    -------
    int
        How many there were.
    """
    compressor = zlib.compressobj(_COMPRESSION_LEVEL, zlib.DEFLATED, _GZIP)
    n_examples = 0
    for example in examples:
        length = struct.pack("<Q", len(example))
        record = length + _masked_crc(length) + example + _masked_crc(example)
        stream.write(compressor.compress(record))
        n_examples += 1
    stream.write(compressor.flush())
    return n_examples


def _masked_crc(data):
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _feature(value):
    if isinstance(value, bytes):
        return _field(1, _field(1, value))
    if isinstance(value, int):
        return _field(3, _field(1, _varint(value)))
    return _field(2, _field(1, np.asarray(value, "<f4").tobytes()))


def _field(number, content):
    """A field of bytes: its tag, length and content."""
    return _head(number, len(content)) + content


@lru_cache(maxsize=1024)
def _head(number, length):
    return bytes([number << 3 | 2]) + _varint(length)


def _varint(number):
    """Seven bits a byte, the lowest first; the eighth says that there are more."""
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
