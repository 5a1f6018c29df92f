"""Tables as columns of numbers, whatever their format, read batch by batch from a binary stream.

The format follows from the first bytes, never from the name's ending. Parquet, FITS and delimited text (among
it the 2MASS PSC files) take memory for a batch only; IPAC tables too; a VOTable is held whole.
"""

import contextlib
import csv
import gzip
import io
import itertools
import threading
import warnings
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from extmap_tf.errors import DataError

# Columns of the 2MASS point source catalog files psc_*.gz, which have no header (Cutri et al. 2003,
# sec. 2.2.a).
_PSC_FORMAT = """
    ra decl err_maj err_min err_ang designation
    j_m j_cmsig j_msigcom j_snr h_m h_cmsig h_msigcom h_snr k_m k_cmsig k_msigcom k_snr
    ph_qual rd_flg bl_flg cc_flg ndet prox pxpa pxcntr gal_contam mp_flg pts_key hemis date scan glon glat
    x_scan jdate j_psfchi h_psfchi k_psfchi j_m_stdap j_msig_stdap h_m_stdap h_msig_stdap
    k_m_stdap k_msig_stdap dist_edge_ns dist_edge_ew dist_edge_flg dup_src use_src a dist_opt phi_opt
    b_m_opt vr_m_opt nopt_mchs ext_key scan_key coadd_key coadd
"""
PSC_COLUMNS = tuple(_PSC_FORMAT.split())

DEFAULT_BATCH_ROWS = 65536

_HEAD_BYTES = 1 << 18
# Each read of a Python stream waits for the interpreter: few and large ones.
_READ_BYTES = 1 << 22
# Text of more bytes at once leaves the processor's cache and is parsed more slowly.
_BLOCK_BYTES = 1 << 21
_MISSING = ("", r"\N", "null", "NULL", "nan", "NaN", "--", "~", *(" " * n for n in range(1, 33)))
_OTHER_COMPRESSION = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"\x1f\x9d": "compress",
}
_FORMATS = (
    "2MASS PSC files, CSV and TSV with a header line, IPAC tables, VOTables, FITS (each also .gz), Parquet"
)
# In the messages of pyarrow and astropy.
_TRUNCATION_SIGNS = ("truncated", "end-of-stream", "magic bytes", "not multiple of 2880")
_PARSER_ERRORS = (
    EOFError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    zlib.error,
    pa.ArrowException,
)


class Table:
    """A table whose columns are known and whose rows have not been read yet.

    Attributes
    ----------
    format : str
        What it was recognised as.
    names : tuple of str
        Its columns.
    units : dict of str to str
        Units of the columns that state one.
    """

    format = ""

    def __init__(self, stream, name):
        self.stream = stream
        self.name = name
        self.names = ()
        self.units = {}

    def batches(self, numbers, texts=(), batch_rows=DEFAULT_BATCH_ROWS):
        """Yield the rows in order, some at a time.

        Parameters
        ----------
        numbers : sequence of str
            Columns wanted as float64, NaN where missing.
        texts : sequence of str
            Columns wanted as text of up to 3 bytes (dtype S3), empty where missing.
        batch_rows : int
            About so many rows at a time.

        Yields
        ------
        dict of str to ndarray [n_rows]

        Raises
        ------
        DataError
            The file ends too early or a row is not as the header says.
        """
        n_read = 0
        batches = self._batches(list(dict.fromkeys(numbers)), list(dict.fromkeys(texts)), batch_rows)
        while True:
            with readable(self.name, n_read):
                batch = next(batches, None)
            if batch is None:
                return
            n_read += len(next(iter(batch.values())))
            yield batch


def open_table(stream, name):
    """Recognise a table by its first bytes and read its header.

    Parameters
    ----------
    stream : binary file object
        Readable and seekable, at any position; it stays open.
    name : str
        Its path, for messages.

    Returns
    -------
    Table

    Raises
    ------
    DataError
        It is empty, truncated within its header, or in no known format.
    """
    with readable(name):
        stream.seek(0)
        head = stream.read(_HEAD_BYTES)
    whole = len(head) < _HEAD_BYTES
    zipped = head.startswith(b"\x1f\x8b")
    if zipped:
        with readable(name):
            head = zlib.decompressobj(31).decompress(head, 4 * _HEAD_BYTES)
        # The compressed bytes may end before the decompressed ones: only complete lines are looked at.
        whole = False
    for magic, compression in _OTHER_COMPRESSION.items():
        if head.startswith(magic):
            raise DataError(f"{name}: compressed with {compression}, only gzip is read: recompress it")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start:
        truncated = "a truncated gzip file: fetch it again" if zipped else "the file is empty"
        raise DataError(f"{name}: no table: {truncated}")
    if head.startswith(b"PAR1"):
        if zipped:
            raise DataError(f"{name}: Parquet inside gzip cannot be read in parts: decompress it")
        kind = _Parquet
    elif head.startswith(b"SIMPLE  ="):
        kind = _Fits
    elif start.startswith(b"<"):
        kind = _VoTable
    elif start.startswith((b"\\", b"|")):
        kind = _Ipac
    elif b"\0" in head:
        raise DataError(f"{name}: not a table in a known format; known are {_FORMATS}")
    else:
        with readable(name):
            return _DelimitedText(stream, name, head, whole, zipped)
    with readable(name):
        stream.seek(0)
        return kind(gzip.GzipFile(fileobj=stream) if zipped else stream, name)


@contextlib.contextmanager
def readable(name, n_read=None):
    """Turn what the parsers raise into one line that names the file and, if known, the place in it."""
    try:
        yield
    except _PARSER_ERRORS as e:
        text = " ".join(str(e).split())[:300]
        place = f" after data row {n_read}" if n_read else ""
        if isinstance(e, EOFError) or any(sign in text.lower() for sign in _TRUNCATION_SIGNS):
            raise DataError(f"{name}: the file is truncated{place}: fetch it again ({text})") from None
        if isinstance(e, OSError) and e.errno is not None:
            raise DataError(f"{name}: cannot be read{place}: {text}") from None
        raise DataError(f"{name}: corrupted{place}: {text}") from None


class _DelimitedText(Table):
    """Text with a delimiter and a header line, or a 2MASS PSC file."""

    def __init__(self, stream, name, head, whole, zipped):
        super().__init__(stream, name)
        self._zipped = zipped
        lines = head.decode("utf-8-sig", "replace").splitlines()
        if not whole and len(lines) > 1:
            del lines[-1]
        comments = list(itertools.takewhile(lambda line: not line.strip() or line.startswith("#"), lines))
        if len(comments) == len(lines):
            raise DataError(f"{name}: only comments in the first {len(lines)} lines, no table")
        first = lines[len(comments)]
        self._delimiter = _delimiter_of(first, lines[0].startswith("# %ECSV"))
        if self._delimiter is None:
            raise DataError(
                f"{name}: not a table in a known format (no delimiter in its first line "
                f"{first.strip()[:60]!r}); known are {_FORMATS}"
            )
        fields = self._split(first)
        n_skip = len(comments)
        if not _is_number(fields[0]):
            self.format = {",": "CSV", "\t": "TSV"}.get(self._delimiter, f"text with {self._delimiter!r}")
            names = fields
            n_skip += 1
            following = lines[n_skip : n_skip + 2]
            for i, line in enumerate(following):
                if self._is_rule(line):
                    if i == 1:
                        units = zip(names, self._split(following[0]), strict=False)
                        self.units = {column: unit for column, unit in units if unit}
                    n_skip += i + 1
                    break
        elif self._delimiter == "|" and len(fields) == len(PSC_COLUMNS):
            self.format = "2MASS PSC"
            names = list(PSC_COLUMNS)
        elif comments and len(self._split(comments[-1].lstrip("# "))) == len(fields):
            self.format = "text with a commented header"
            names = self._split(comments[-1].lstrip("# "))
        else:
            raise DataError(
                f"{name}: no header line and not a 2MASS PSC file: {len(fields)} columns between "
                f"{self._delimiter!r}, a PSC file has {len(PSC_COLUMNS)} between '|'"
            )
        self.names = tuple(names)
        self._n_skip = n_skip
        rows = lines[n_skip:]
        self._row_bytes = max(16, sum(map(len, rows)) // max(1, len(rows)) + 1)

    def _split(self, line):
        return [field.strip() for field in next(csv.reader([line], delimiter=self._delimiter))]

    def _is_rule(self, line):
        return "--" in line and not line.replace(self._delimiter, "").strip(" -")

    def _batches(self, numbers, texts, batch_rows):
        self.stream.seek(0)
        lent = _Lent(self.stream)
        source = pa.BufferedInputStream(pa.PythonFile(lent, mode="r"), _READ_BYTES)
        if self._zipped:
            source = pa.CompressedInputStream(source, "gzip")
        block_bytes = int(np.clip(batch_rows * self._row_bytes, 1 << 16, _BLOCK_BYTES))
        types = dict.fromkeys(numbers, pa.float64())
        types |= dict.fromkeys(texts, pa.dictionary(pa.int32(), pa.string()))
        read = pa.csv.ReadOptions(skip_rows=self._n_skip, column_names=self.names, block_size=block_bytes)
        parse = pa.csv.ParseOptions(
            delimiter=self._delimiter,
            quote_char=False if self._delimiter in "|\t" else '"',
            invalid_row_handler=_skip_comment,
        )
        convert = pa.csv.ConvertOptions(
            include_columns=[*numbers, *texts],
            column_types=types,
            null_values=_MISSING,
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        )
        try:
            with pa.csv.open_csv(source, read, parse, convert) as reader:
                yield from (_from_arrow(batch, numbers, texts) for batch in reader)
        finally:
            lent.close()


class _Lent:
    """A stream lent to Arrow's reading thread: not closed by it, nor touched once `close` has returned."""

    def __init__(self, stream):
        self._stream = stream
        self._lock = threading.Lock()
        self.closed = False

    def read(self, n_bytes=-1):
        with self._lock:
            return b"" if self.closed else self._stream.read(n_bytes)

    def close(self):
        with self._lock:
            self.closed = True


class _Parquet(Table):
    format = "Parquet"

    def __init__(self, stream, name):
        super().__init__(stream, name)
        self.names = tuple(pa.parquet.ParquetFile(stream).schema_arrow.names)

    def _batches(self, numbers, texts, batch_rows):
        self.stream.seek(0)
        table = pa.parquet.ParquetFile(self.stream, read_dictionary=texts)
        for column in numbers:
            kind = table.schema_arrow.field(column).type
            if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
                raise DataError(f"{self.name}: column {column} must hold numbers, it holds {kind}")
        for batch in table.iter_batches(batch_rows, columns=[*numbers, *texts]):
            yield _from_arrow(batch, numbers, texts)


class _Fits(Table):
    """The first binary table of a FITS file, read in slices so that any stream serves, gzip too."""

    format = "FITS"

    def __init__(self, stream, name):
        from astropy.io import fits

        super().__init__(stream, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            while True:
                try:
                    header = fits.Header.fromfile(stream)
                except EOFError:
                    raise DataError(
                        f"{name}: no binary table in the FITS file, or it is truncated: fetch it again"
                    ) from None
                if header.get("XTENSION", "").strip() == "BINTABLE":
                    break
                _skip(stream, header.data_size_padded)
            columns = fits.BinTableHDU.fromstring(header.tostring().encode("ascii")).columns
        self._start = stream.tell()
        self._n_rows = header["NAXIS2"]
        self._columns = {column.name: column for column in columns}
        self._dtype = columns.dtype
        self.names = tuple(columns.names)
        self.units = {column.name: column.unit for column in columns if column.unit}
        if self._dtype.itemsize != header["NAXIS1"]:
            raise DataError(f"{name}: the FITS header's columns do not add up to its row length NAXIS1")

    def _batches(self, numbers, texts, batch_rows):
        self.stream.seek(self._start)
        n_left = self._n_rows
        dtype = self._dtype.newbyteorder(">")
        for column in numbers:
            if dtype[column].kind not in "fiu" or dtype[column].shape:
                raise DataError(f"{self.name}: column {column} must hold one number a row")
        while n_left:
            n_bytes = min(n_left, batch_rows) * dtype.itemsize
            raw = _read_all(self.stream, n_bytes)
            if len(raw) < n_bytes:
                n_missing = n_left - len(raw) // dtype.itemsize
                raise EOFError(f"{n_missing} of {self._n_rows} rows are missing")
            rows = np.frombuffer(raw, dtype)
            n_left -= len(rows)
            batch = {column: self._number(column, rows[column]) for column in numbers}
            yield batch | {column: _flags(rows[column]) for column in texts}
        if isinstance(self.stream, gzip.GzipFile):
            # Reading to the end lets gzip verify its checksum.
            while self.stream.read(1 << 20):
                pass

    def _number(self, column, values):
        spec = self._columns[column]
        number = values.astype(np.float64)
        if spec.null is not None and values.dtype.kind in "iu":
            number[values == spec.null] = np.nan
        if spec.bscale not in (None, "", 1):
            number *= spec.bscale
        if spec.bzero not in (None, "", 0):
            number += spec.bzero
        return number


class _VoTable(Table):
    format = "VOTable"

    def __init__(self, stream, name):
        from astropy.io import votable

        super().__init__(stream, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                tables = list(votable.parse(io.BytesIO(stream.read()), verify="ignore").iter_tables())
            except (votable.exceptions.VOWarning, ValueError, IndexError) as e:
                text = " ".join(str(e).split())
                raise DataError(f"{name}: not a VOTable, or truncated: fetch it again ({text})") from None
        if not tables:
            raise DataError(f"{name}: a VOTable document without a table")
        self._rows = tables[0].array
        fields = tables[0].fields
        self._index = {field.name: field.ID for field in fields}
        self.names = tuple(self._index)
        self.units = {field.name: str(field.unit) for field in fields if field.unit is not None}

    def _batches(self, numbers, texts, batch_rows):
        for start in range(0, len(self._rows), batch_rows):
            rows = self._rows[start : start + batch_rows]
            batch = {column: _masked_number(rows[self._index[column]], column) for column in numbers}
            yield batch | {column: _flags(rows[self._index[column]]) for column in texts}


class _Ipac(Table):
    """An IPAC table: columns of fixed width between the bars of its header."""

    format = "IPAC table"

    def __init__(self, stream, name):
        super().__init__(stream, name)
        self._n_header = 0
        bars = []
        while (line := stream.readline()).startswith((b"\\", b"|")):
            self._n_header += 1
            if line.startswith(b"|"):
                bars.append(line.decode("utf-8", "replace").rstrip())
        if len(bars) < 2:
            raise DataError(f"{name}: an IPAC table needs a line of names and one of types between '|'")
        self._limits = [i for i, letter in enumerate(bars[0]) if letter == "|"]
        fields = [[cell.strip() for cell in line.strip("|").split("|")] for line in bars]
        self.names = tuple(fields[0])
        if len(fields) > 2:
            self.units = {c: unit for c, unit in zip(fields[0], fields[2], strict=False) if unit}
        self._missing = {"", "null", *(fields[3] if len(fields) > 3 else ())}

    def _batches(self, numbers, texts, batch_rows):
        self.stream.seek(0)
        lines = itertools.islice(iter(self.stream.readline, b""), self._n_header, None)
        n_read = 0
        while block := list(itertools.islice(lines, batch_rows)):
            rows = [line.decode("utf-8", "replace").rstrip("\r\n") for line in block if line.strip()]
            for i, row in enumerate(rows):
                if len(row) <= self._limits[-2] or any(row[x : x + 1].strip() for x in self._limits):
                    raise DataError(
                        f"{self.name}: data row {n_read + i + 1} does not fit the header's columns"
                    )
            n_read += len(rows)
            batch = {column: self._number(column, rows) for column in numbers}
            yield batch | {column: _flags(self._cells(column, rows)) for column in texts}

    def _cells(self, column, rows):
        index = self.names.index(column)
        start, stop = self._limits[index] + 1, self._limits[index + 1]
        cells = [row[start:stop].strip() for row in rows]
        return ["" if cell in self._missing else cell for cell in cells]

    def _number(self, column, rows):
        return np.array([cell or "nan" for cell in self._cells(column, rows)], dtype=np.float64)


def _delimiter_of(line, ecsv):
    counts = {delimiter: line.count(delimiter) for delimiter in "|\t,;"}
    if ecsv and not any(counts.values()):
        return " "
    best = max(counts, key=counts.get)
    return best if counts[best] else None


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _skip_comment(row):
    """VizieR ends its TSV with comment lines."""
    return "skip" if row.text.lstrip().startswith("#") else "error"


def _skip(stream, n_bytes):
    stream.seek(n_bytes, io.SEEK_CUR)


def _read_all(stream, n_bytes):
    """As much of `n_bytes` as the stream still has: one read may return less."""
    parts = []
    while n_bytes and (part := stream.read(n_bytes)):
        parts.append(part)
        n_bytes -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _from_arrow(batch, numbers, texts):
    columns = {}
    for column in numbers:
        values = batch.column(column).cast(pa.float64())
        columns[column] = values.to_numpy(zero_copy_only=False)
    for column in texts:
        values = batch.column(column)
        if not pa.types.is_dictionary(values.type):
            values = values.dictionary_encode()
        categories = [_flag(value) for value in values.dictionary.to_pylist()] + [b""]
        codes = values.indices.fill_null(len(categories) - 1).to_numpy(zero_copy_only=False)
        columns[column] = np.array(categories, "S3")[codes]
    return columns


def _flag(value):
    """A 2MASS flag as bytes; a writer may have taken 022 for a number."""
    if value is None:
        return b""
    if isinstance(value, int | np.integer):
        return b"%03d" % value
    if isinstance(value, bytes):
        return value.strip()
    return str(value).strip().encode("ascii", "replace")


def _flags(values):
    values = np.ma.asarray(values)
    if values.dtype.kind == "S" and not np.ma.is_masked(values):
        return np.asarray(values).astype("S3")
    flags = [b"" if value is np.ma.masked else _flag(value) for value in values]
    return np.array(flags, "S3")


def _masked_number(values, column):
    values = np.ma.asarray(values)
    try:
        return values.astype(np.float64).filled(np.nan)
    except (ValueError, TypeError):
        raise ValueError(f"column {column} must hold numbers, it holds {values.dtype}") from None
