"""Parts of a FITS file: whole, checksummed, and the same bytes for the same map."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits

from extmap_tf.errors import DataError
from extmap_tf.files import PathLike, whole_file, whole_path

CHECKED = "FITS checksum convention"
_BLOCK_BYTES = 2880
_BYTES_AT_ONCE = 1 << 22
_LONG_STRINGS = fits.Card("LONGSTRN", "OGIP 1.0", "long strings go on in CONTINUE")


def write_hdus(
    path: PathLike, hdus: fits.HDUList, shared: Sequence[fits.Card], overwrite: bool = False
) -> None:
    """Write a FITS file whose parts all end with the cards `shared` and with checksums."""
    share(hdus, shared)
    for hdu in hdus:
        add_checksum(hdu)
    with whole_file(path, "wb", overwrite=overwrite) as stream:
        hdus.writeto(stream)


@contextlib.contextmanager
def new_fits_file(
    path: PathLike, hdus: fits.HDUList, shared: Sequence[fits.Card], overwrite: bool = False
) -> Iterator[tuple[BinaryIO, list[int]]]:
    """As `write_hdus`, of parts whose data the caller writes: of `hdus` the headers alone count.

    Yields
    ------
    stream : binary file object
        The file, whose data are zeros yet.
    offsets : list of int
        Where the data of each part begin.
    """
    share(hdus, shared)
    with whole_path(path, overwrite=overwrite) as temporary:
        offsets = _write_headers(temporary, hdus)
        # Not memory-mapped: a few fields touch each page of the file, and each touch would cost a fault.
        with open(temporary, "r+b") as stream:
            yield stream, offsets
            for hdu, offset in zip(hdus, offsets, strict=True):
                _write_checksums(stream, hdu, offset)
            stream.flush()
            os.fsync(stream.fileno())


def _write_headers(path, hdus):
    """Write a FITS file whose data are zeros yet; returns where they begin, in bytes."""
    offsets = []
    with open(path, "wb") as stream:
        for hdu in hdus:
            # Of the length that they will have.
            hdu.header["CHECKSUM"], hdu.header["DATASUM"] = ("0" * 16, CHECKED), ("0", CHECKED)
            stream.write(hdu.header.tostring().encode("ascii"))
            offsets.append(stream.tell())
            stream.seek(_padded(hdu.size), os.SEEK_CUR)
        size = stream.tell()
        stream.truncate(size)
        if hasattr(os, "posix_fallocate"):
            # In one piece on the disk, and a disk that is full is told now.
            os.posix_fallocate(stream.fileno(), 0, size)
    return offsets


def _padded(n_bytes):
    return -(-n_bytes // _BLOCK_BYTES) * _BLOCK_BYTES


def _write_checksums(stream, hdu, offset):
    """Sum up a part's data and write its header again, with its checksums; memory is bounded."""
    datasum, n_left = 0, _padded(hdu.size)
    stream.seek(offset)
    while n_left:
        block = stream.read(min(n_left, _BYTES_AT_ONCE))
        datasum = ones_complement_sum(block, datasum)
        n_left -= len(block)
    # A fixed comment, see `add_checksum`.
    hdu.header["CHECKSUM"], hdu.header["DATASUM"] = ("0" * 16, CHECKED), (str(datasum), CHECKED)
    head = hdu.header.tostring().encode("ascii")
    hdu.header["CHECKSUM"] = encoded_checksum(ones_complement_sum(head, datasum)), CHECKED
    stream.seek(offset - len(head))
    stream.write(hdu.header.tostring().encode("ascii"))


def ones_complement_sum(block: bytes, start: int = 0) -> int:
    """The 32-bit ones' complement sum of big-endian words (FITS 4.0, appendix J.1), added to `start`."""
    total = start + int(np.frombuffer(block, ">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def encoded_checksum(total: int) -> str:
    """The 16 letters that, in place of 16 zeros, make a sum all ones (FITS 4.0, appendix J.2)."""
    letters = bytearray(16)
    for i, byte in enumerate((~total & 0xFFFFFFFF).to_bytes(4, "big")):
        quarter, rest = divmod(byte, 4)
        four = [quarter + rest + 48, *[quarter + 48] * 3]
        while not all(chr(code).isalnum() for code in four):
            for j in (0, 2):
                if not (chr(four[j]).isalnum() and chr(four[j + 1]).isalnum()):
                    four[j], four[j + 1] = four[j] + 1, four[j + 1] - 1
        letters[i::4] = bytes(four)
    return (letters[-1:] + letters[:-1]).decode("ascii")


def share(hdus: fits.HDUList, cards: Sequence[fits.Card]) -> None:
    hdus.update_extend()
    for hdu in hdus:
        if any(len(card.image) > 80 for card in (*hdu.header.cards, *cards)):
            hdu.header.append(_LONG_STRINGS, end=True)
        hdu.header.extend(cards, end=True)


def add_checksum(hdu: Any) -> None:
    # A fixed comment: astropy's own holds the time, and the same map must give the same bytes.
    hdu.add_checksum(when=CHECKED)


def require_whole(path: PathLike, hdus: fits.HDUList, kind: type[Any]) -> None:
    """Raise DataError unless a FITS file's parts after the first are of `kind` and end inside the file."""
    # Of the open file: another may have its name by now.
    size = hdus.fileinfo(0)["file"].size
    for number, hdu in enumerate(hdus):
        if not isinstance(hdu, fits.PrimaryHDU | kind):
            raise DataError(
                f"{path}: part {number} is no {kind.__name__} (damaged, or not ours); fetch or make it again"
            )
        place = hdu.fileinfo()
        if place["datLoc"] + place["datSpan"] > size:
            raise DataError(f"{path}: truncated at {size} bytes, inside {hdu.name}; fetch or make it again")


def require_checksums(path: PathLike, hdus: fits.HDUList) -> None:
    """Raise DataError unless every part of a FITS file has the checksums that `write_hdus` gave it."""
    for hdu in hdus:
        if not hdu.verify_datasum() == hdu.verify_checksum() == 1:
            raise DataError(f"{path}: damaged, the checksum of {hdu.name} fails; fetch or make it again")
