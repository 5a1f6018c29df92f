"""Files made to harm: bombs, endless headers, impossible sizes. Each ends in one line, within bounds."""

import gzip
import io
import os
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from star_tables import SURVEY, read, stars, text_of

from extmap_tf.catalogs.formats import base
from extmap_tf.catalogs.model_tables import read_model_catalog
from extmap_tf.catalogs.tables import open_local
from extmap_tf.errors import DataError


def fits_file():
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(Table(stars()))]).writeto(out)
    return out.getvalue()


def with_card(key, value):
    """The table with one card of its header changed."""
    content = bytearray(fits_file())
    at = content.index(f"{key:<8}=".encode())
    content[at : at + 80] = f"{key:<8}= {value:>20}".ljust(80).encode()
    return bytes(content)


def refused(content, words):
    with pytest.raises(DataError, match=words) as caught:
        read(content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            (key, value)
            for key in ("NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "TFIELDS")
            for value in ("-5", "'x'")
        ),
        *(
            ("TFIELDS", "100000000"),
            ("NAXIS2", "9" * 20),
            ("NAXIS1", "9" * 15),
            ("NAXIS", "-1"),
        ),
        *(("TFORM1", "'Q'"), ("TFORM1", "'999999999D'"), ("NAXIS2", "1000000000000"), ("TFORM1", "1.5")),
    ],
)
def test_a_fits_header_of_impossible_numbers_is_refused(key, value, zipped):
    content = with_card(key, value)
    refused(gzip.compress(content) if zipped else content, "damaged|truncated|corrupted|do not add up|FITS")


@pytest.mark.parametrize("cards", [b" " * 80, b"COMMENT ".ljust(80)])
def test_a_fits_header_without_end_is_not_read_for_ever(cards):
    start = fits_file()[:2880]
    refused(start.replace(b"END     ", b"COMMENT ") + cards * 100_000, "without END in its first 4 MB")
    refused(start.replace(b"END     ", b"COMMENT "), "truncated")


def test_long_fields_and_lines_are_refused_in_a_line():
    refused(b"a" * 200_000 + b",b\n1,2\n", "field larger than field limit|no line ends")
    refused(b"a" * 1_000_000, "no line ends in its first")
    refused(text_of(stars()) + b"9" * (base.MAX_LINE_BYTES + 10), "a line of more than 16 MB")
    refused(b"|ra|dec|\n|r|r|\n" + b" " * (base.MAX_LINE_BYTES + 10), "a line of more than 16 MB")
    refused(b"\\x\n" * 3_000_000, "header of an IPAC table ends within 4 MB")


def test_what_is_not_rows_of_a_votable_is_bounded():
    refused(gzip.compress(b"<VOTABLE>" + b" " * (5 << 20)), "a VOTable with more than 4 MB beside its rows")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (b'<!DOCTYPE V [<!ENTITY a "aaaa">]>', "declares entities"),
        (b'<DATA><FITS><STREAM href="file:///etc/passwd"/></FITS></DATA>', "at another address"),
        (b'<FIELD name="ra" datatype="double" arraysize="1000000000"/>', "cells of 1000000000 values"),
    ],
)
def test_a_votable_that_reaches_out_is_refused(part, words):
    refused(b"<?xml version='1.0'?>" + part + b"<VOTABLE></VOTABLE>", words)


BOMBS = {
    "VOTable": b"<?xml version='1.0'?><VOTABLE><RESOURCE><TABLE><!--",
    "IPAC": b"\\ \n",
    "text": b"ra,dec,j_m\n",
    "FITS": b"SIMPLE  =                    T".ljust(80),
}
CHILD = """
import re, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
from extmap_tf.catalogs.survey_tables import read_survey_table
from extmap_tf.errors import DataError
from extmap_tf.settings.config import Config
try:
    with open(sys.argv[1], "rb") as stream:
        list(read_survey_table(stream, "bomb", Config.named("carina").survey))
except DataError as error:
    print(error)
# ru_maxrss would include what the parent held when it started this process.
with open("/proc/self/status") as status:
    peak_kb = int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1])
print(peak_kb >> 10, "MB", file=sys.stderr)
"""


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_of_gzip_is_one_line_in_bounded_memory(kind, tmp_path):
    path = tmp_path / "bomb.gz"
    filling = b"\\ filling\n" * (1 << 17) if kind == "IPAC" else b" " * (1 << 20)
    with gzip.open(path, "wb", 6) as stream:
        stream.write(BOMBS[kind])
        for _ in range(700):
            stream.write(filling)
    assert path.stat().st_size < 4_000_000
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, timeout=120, check=True
    )
    assert len(done.stdout.splitlines()) == 1
    assert "bomb: " in done.stdout
    assert int(done.stderr.split()[-2]) < 1500


def test_names_that_are_no_files_are_refused_at_once(tmp_path):
    for path, words in (
        ("a\0b", "it has a NUL"),
        ("/dev/zero", "a device or a pipe, not a file"),
        (tmp_path, "a folder, not a file"),
        (tmp_path / "none", "no such file"),
    ):
        with pytest.raises(DataError, match=words):
            open_local(path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="a device or a pipe"):
        open_local(tmp_path / "pipe")


def test_a_damaged_hdf5_catalog_is_one_line(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        for name in ("Dist", "J", "Ks"):
            file[name] = np.arange(1.0, 1000.0)
    whole = path.read_bytes()
    for damage in (whole[:2000], whole[:100], whole[:600] + bytes(400) + whole[1000:], whole[:-3000]):
        path.write_bytes(damage)
        with pytest.raises(DataError) as caught:
            read_model_catalog(path, SURVEY, 1.0, 0.0, 0.0)
        assert "\n" not in str(caught.value)
    with h5py.File(path, "w") as file:
        for name in ("Dist", "J", "Ks"):
            file.create_dataset(name, (1 << 40,), "f8", chunks=(1 << 20,))
    with pytest.raises(DataError, match=r"a column of .* rows; at most"):
        read_model_catalog(path, SURVEY, 1.0, 0.0, 0.0)
