"""Text with a delimiter or spaces between columns: CSV, TSV, ECSV, fixed width with bars, 2MASS PSC files."""

import codecs
import csv
import itertools
import re
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv

from extmap_tf.catalogs.completeness import stated_rows
from extmap_tf.catalogs.formats.arrow_batches import as_texts, from_arrow
from extmap_tf.catalogs.formats.base import (
    Table,
    astropy_reads,
    gathered,
    read_bounded,
    readable,
    told_apart,
    units_in_yaml,
)
from extmap_tf.catalogs.formats.gzip_streams import unzipped
from extmap_tf.catalogs.formats.text_streams import READ_BYTES, Cleaned, Lent, Limited, parts_of_vizier
from extmap_tf.catalogs.values import MISSING
from extmap_tf.errors import DataError

if TYPE_CHECKING:
    from astropy.table import Table as AstropyTable

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

# Text of more bytes at once leaves the processor's cache and is parsed more slowly.
_BLOCK_BYTES = 1 << 19
_LINE_END = re.compile("\r\n|\r|\n")
_SPACES = " "
# Excel's way of telling the delimiter.
_EXCEL = re.compile("sep=.", re.IGNORECASE)
# SExtractor's way of naming columns: number, name, explanation, unit.
_NUMBERED = re.compile(r"#\s*(\d+)\s+(\S+)\s*(?:.*\[([^\]]*)\])?")
_REMARK = "a remark, no row"
KNOWN_FORMATS = (
    "2MASS PSC files, text with a header line (CSV, TSV, separated by spaces or bars), ECSV, IPAC tables, "
    "machine-readable tables (CDS, AAS), VOTables, FITS (each also .gz), Parquet"
)


def open_delimited(
    stream: BinaryIO, name: str, head: bytes, whole: bool, zipped: bool
) -> list["DelimitedText"]:
    """The tables of a text.

    Parameters
    ----------
    stream : binary file object
    name : str
    head : bytes
        Its beginning, decompressed.
    whole : bool
        Whether `head` is all of it.
    zipped : bool

    Returns
    -------
    list of DelimitedText
    """
    if head.startswith(b"#") and (b"VizieR" in head or b"#RESOURCE=" in head):
        parts = parts_of_vizier(stream, zipped)
        if len(parts) > 1:
            return [DelimitedText(stream, name, b"", True, zipped, part) for part in parts]
    return [DelimitedText(stream, name, head, whole, zipped)]


class DelimitedText(Table):
    """Text with a header line, or a 2MASS PSC file; `part` are the first and last byte of one of several."""

    def __init__(
        self,
        stream: BinaryIO,
        name: str,
        head: bytes,
        whole: bool,
        zipped: bool,
        part: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(stream, name)
        self._zipped, self._part = zipped, part
        if part:
            head, whole = self._source().read(1 << 18), part[1] - part[0] <= 1 << 18
        lines = _LINE_END.split(_decoded(head, whole))
        if not whole or not lines[-1]:
            del lines[-1]
        if not lines:
            raise DataError(
                f"{name}: not a table in a known format (no line ends in its first {len(head)} bytes)"
            )
        n_comments = len(list(itertools.takewhile(_is_no_row, lines)))
        if n_comments == len(lines):
            raise DataError(f"{name}: only comments in the first {len(lines)} lines, no table")
        self.remarks = [line for line in lines[:n_comments] if line.strip()]
        self._ecsv = lines[0].startswith("# %ECSV")
        self.title = _title(self.remarks)
        rows = [line for line in lines[n_comments:] if line.strip() and not line.startswith("#")]
        self._delimiter = _delimiter_of(rows, self._ecsv, name)
        self._bars = self._delimiter == "|" and all(row.lstrip().startswith("|") for row in rows[:3])
        # A quotation mark may stand for arc seconds: only one around a cell counts.
        cell = rf'(?:^|{re.escape(self._delimiter)})"[^"]*"(?={re.escape(self._delimiter)}|$)'
        self._quotes = self._delimiter in ",; " or any(re.search(cell, row) for row in rows[:100])
        names, n_header = self._header(lines[n_comments:], rows, name)
        names, self.units = _names_and_units(names, self.units)
        self.names, self.repeated = told_apart(names)
        self._n_skip = n_comments + n_header
        if self._ecsv:
            yaml = [line.removeprefix("#").removeprefix(" ") for line in self.remarks[1:]]
            self.units |= units_in_yaml(yaml)
        body = rows[1:] or rows
        self._row_bytes = max(16, sum(map(len, body)) // len(body) + 1)

    def _header(self, lines, rows, name):
        """Names of the columns, and how many of `lines` are above the rows."""
        fields = self._split(rows[0])
        remarks = (self._split(line.lstrip("#\\ ")) for line in reversed(self.remarks))
        commented = next((names for names in remarks if len(names) == len(fields)), None)
        commented = self._numbered(len(fields)) or commented
        if self._delimiter == "|" and len(fields) == len(PSC_COLUMNS) and _is_number(fields[0]):
            self.format = "2MASS PSC"
            return list(PSC_COLUMNS), 0
        if any(_is_number(field) for field in fields):
            if commented is None or any(_is_number(field) for field in commented if field):
                raise DataError(
                    f"{name}: no header line and not a 2MASS PSC file: {len(fields)} columns between "
                    f"{self._delimiter!r}, a PSC file has {len(PSC_COLUMNS)} between '|'"
                )
            self.format = "text with a commented header"
            return commented, 0
        self.format = "ECSV" if self._ecsv else _format_of(self._delimiter, self._bars)
        if all(len(cells) == len(fields) + 1 and not cells[-1] for cells in map(self._split, rows[1:4])):
            # A delimiter at the end of each row alone.
            fields += [""] * bool(rows[1:])
        n_header = lines.index(rows[0]) + 1
        following = lines[n_header : n_header + 2]
        for i, line in enumerate(following):
            if self._is_rule(line):
                if i == 1:
                    units = zip(fields, self._split(following[0]), strict=False)
                    self.units = {column: unit for column, unit in units if unit}
                return fields, n_header + i + 1
        return fields, n_header

    def _numbered(self, n_columns):
        """Names in a header of SExtractor's kind, a line for each column; None in another."""
        found = [match for line in self.remarks if (match := _NUMBERED.fullmatch(line.strip()))]
        if [int(match[1]) for match in found] != [*range(1, n_columns + 1)]:
            return None
        self.units = {match[2]: match[3] for match in found if match[3]}
        return [match[2] for match in found]

    def _split(self, line):
        line = line.strip(" ") if self._delimiter == _SPACES else line
        if self._delimiter == _SPACES:
            line = re.sub(r"[ \t]+", " ", line)
        fields = next(
            csv.reader(
                [line],
                delimiter=self._delimiter,
                quoting=csv.QUOTE_MINIMAL if self._quotes else csv.QUOTE_NONE,
            )
        )
        fields = [field.strip() for field in fields]
        return fields[1:-1] if self._bars and len(fields) > 2 else fields

    def _is_rule(self, line):
        """Whether a line below the names only draws a line, or has the types of an RDB table."""
        cells = line.split(self._delimiter)
        rdb = self._delimiter == "\t" and all(re.fullmatch(r"\d*[NSMnsm]", cell.strip()) for cell in cells)
        return rdb or ("--" in line and not "".join(cells).strip(" -+=\t"))

    def _source(self):
        """The text's bytes from the beginning; decompressed, and of this table alone."""
        self.stream.seek(0)
        source = unzipped(self.stream) if self._zipped else self.stream
        if self._part is None:
            return source
        source.seek(self._part[0])
        return Limited(source, self._part[1] - self._part[0])

    def _cleaned(self):
        squeeze = self._delimiter == _SPACES
        return Cleaned(self._source(), self.name, self.remarks, self._n_skip, squeeze)

    def _reader(self, batch_rows, types, missing=MISSING):
        """An open reader of Arrow, and what to close after it."""
        psc = self.format == "2MASS PSC"
        lent = Lent(self._source()) if psc else self._cleaned()
        source = pa.PythonFile(lent, mode="r")
        if not psc:
            source = pa.BufferedInputStream(source, READ_BYTES)
        block_bytes = int(np.clip(batch_rows * self._row_bytes, 1 << 16, _BLOCK_BYTES))
        names = [*self.names]
        if self._bars:
            names = ["\0before", *names, "\0after"]
        # What stands above the rows is gone already where the text is cleaned.
        read = pa.csv.ReadOptions(
            skip_rows=self._n_skip if psc else 0, column_names=names, block_size=block_bytes
        )
        parse = pa.csv.ParseOptions(
            delimiter=self._delimiter,
            quote_char='"' if self._quotes else False,
            invalid_row_handler=self._odd_row,
        )
        convert = pa.csv.ConvertOptions(
            include_columns=list(types),
            column_types=types,
            null_values=missing,
            strings_can_be_null=bool(missing),
            quoted_strings_can_be_null=bool(missing),
        )
        try:
            return pa.csv.open_csv(source, read, parse, convert), lent
        except pa.ArrowInvalid as error:
            lent.close()
            if "Empty CSV file" in str(error):
                return (), lent
            raise
        except BaseException:
            lent.close()
            raise

    def _batches(self, numbers, texts, batch_rows):
        return gathered(self._pieces(numbers, texts, batch_rows), batch_rows)

    def _pieces(self, numbers, texts, batch_rows):
        """The rows, a block of text at a time."""
        types = dict.fromkeys(texts, pa.dictionary(pa.int32(), pa.string()))
        n_read = 0
        try:
            for batch in self._arrow_batches(batch_rows, types | dict.fromkeys(numbers, pa.float64())):
                n_read += batch.num_rows
                yield from_arrow(batch, numbers, texts)
            return
        except pa.ArrowInvalid as error:
            if "conversion error" not in str(error):
                raise
        # A cell that Arrow takes for no number: read on as text, from the row that comes next.
        n_seen = 0
        for batch in self._arrow_batches(batch_rows, types | dict.fromkeys(numbers, pa.binary())):
            skip = min(batch.num_rows, max(0, n_read - n_seen))
            n_seen += batch.num_rows
            batch = batch.slice(skip)
            if batch.num_rows:
                yield from_arrow(batch, [], texts) | {
                    column: self._as_numbers(column, as_texts(batch.column(column))) for column in numbers
                }

    def _arrow_batches(self, batch_rows, types):
        self.left_out.clear()
        reader, lent = self._reader(batch_rows, types)
        try:
            yield from reader
        finally:
            lent.close()

    def _advice(self, problem):
        again = any(problem.startswith(repr(name) + " ") for name in self.names)
        return ": a second header line, so give its tables in files of their own" if again else ""

    def whole(self) -> "AstropyTable":
        from astropy.table import Table as AstropyTable

        with readable(self.name):
            text = read_bounded(self._source(), self.name, "a table to be written again")
            if self._ecsv:
                with astropy_reads():
                    return AstropyTable.read(text.decode("utf-8-sig"), format="ascii.ecsv")
            del text
            reader, lent = self._reader(1 << 16, dict.fromkeys(self.names, pa.binary()), ())
            try:
                batches = list(reader)
            finally:
                lent.close()
            columns = {
                column: [cell for batch in batches for cell in as_texts(batch.column(column)).to_pylist()]
                for column in self.names
            }
            return AstropyTable({name: np.array(cells, str) for name, cells in columns.items()})

    def _odd_row(self, row):
        """Comments, rules, PostgreSQL's last line and remarks that a cell begins are no rows."""
        text = row.text.strip()
        if text.startswith("#") or not text.strip("-+=|\x1a"):
            return "skip"
        if stated_rows([text]) is not None:
            self.remarks.append(text)
            return "skip"
        if any(cell.strip(' "').startswith("#") for cell in text.split(self._delimiter)):
            self.left_out[_REMARK] = self.left_out.get(_REMARK, 0) + 1
            return "skip"
        return "error"


def _decoded(head, whole):
    """The beginning of a text: UTF-8 with or without its mark, else Latin-1, which takes all bytes."""
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(head, whole)
    except UnicodeDecodeError:
        return head.decode("latin-1")


def _is_no_row(line):
    text = line.strip()
    return (
        not text
        or text.startswith("#")
        or _EXCEL.fullmatch(text)
        or ((text[0] in "+\\" and not text.strip("+-=")) or text[0] == "\\")
    )


def _title(remarks):
    for start in ("#Name:", "#Table", "#RESOURCE="):
        for line in reversed(remarks):
            if line.startswith(start):
                return line.removeprefix(start).strip(" \t:")
    return ""


def _delimiter_of(rows, ecsv, name):
    first = rows[0]
    second = next((row for row in rows[1:] if row.strip(" -+=|\t")), first)
    counts = {delimiter: first.count(delimiter) for delimiter in "|\t,;"}
    counts = {delimiter: n for delimiter, n in counts.items() if n}
    # Of several, the one that divides the next line as it divides the first.
    if counts:
        return max(counts, key=lambda d: (second.count(d) == counts[d], counts[d]))
    n_fields = len(first.split())
    if n_fields > 1 and (ecsv or (len(rows) > 1 and _n_words(second) == n_fields)):
        return _SPACES
    more = ""
    if n_fields > 1 and len(rows) > 1 and any(_is_number(cell) for cell in second.split()):
        more = (
            f"; with spaces between, its first line has {n_fields} columns and the second "
            f"{len(second.split())}: are coordinates in base 60 written with spaces?"
        )
    raise DataError(
        f"{name}: not a table in a known format (no delimiter in its first line "
        f"{first.strip()[:60]!r}{more}); known are {KNOWN_FORMATS}"
    )


def _n_words(line):
    return len(next(csv.reader([re.sub(r"[ \t]+", " ", line.strip())], delimiter=" ")))


def _format_of(delimiter, bars):
    if bars:
        return "fixed width with bars"
    names = {",": "CSV", "\t": "TSV", _SPACES: "text separated by spaces"}
    return names.get(delimiter, f"text with {delimiter!r}")


def _names_and_units(fields, units):
    """Names without the unit that a header writes behind them: Jmag [mag], ra (deg); and the units."""
    names: list[str] = []
    found: dict[str, str] = {}
    for field in fields:
        match = re.fullmatch(r"([\w.]+)\s*\[([^\]]+)\]|([\w.]+)\s+\(([^)]+)\)", field)
        name = (match[1] or match[3]) if match else field
        names.append(name)
        if match:
            found.setdefault(name, match[2] or match[4])
        elif field in units:
            found.setdefault(name, units[field])
    return names, found


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return text.strip().lower() not in ("nan", "inf", "infinity")
