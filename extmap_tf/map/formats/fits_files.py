"""Parts of a FITS file: whole, checksummed, and the same bytes for the same map."""

from collections.abc import Sequence
from typing import Any

from astropy.io import fits

from extmap_tf.errors import DataError
from extmap_tf.files import PathLike, whole_file

CHECKED = "FITS checksum convention"
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
