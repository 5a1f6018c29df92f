"""Tables as Galaxy models write them: Besançon's .resu of 2003 and web output, TRILEGAL, HDF5, any other."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from extmap_tf.catalogs.formats.base import MAX_WHOLE_BYTES, read_bounded
from extmap_tf.catalogs.formats.gzip_streams import unzipped
from extmap_tf.catalogs.tables import open_tables, read_columns
from extmap_tf.errors import DataError

_TERMINATED = "TRILEGAL normally terminated"
_MAX_ROWS = 1 << 28


@dataclass
class ModelTable:
    """A model's table, with what its header says.

    Parameters
    ----------
    kind : str
    names : tuple of str
    read : callable
        ``read(names)`` gives columns of float64 by name.
    system : str or None
        Photometric system, if the format has one.
    facts : dict of str to float
        Of the field: area_deg2, l_deg, b_deg; and av_mag, if the magnitudes carry so much at infinity.
    units : dict of str to str
    left_out : dict of str to int
        Lines that are no rows, by reason, once the table has been read.
    """

    kind: str
    names: tuple[str, ...]
    read: Callable[[Iterable[str]], dict[str, np.ndarray]]
    system: str | None = None
    facts: dict[str, float] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


def open_models(stream: BinaryIO, path: Path) -> list[ModelTable]:
    """The tables of a file; DataError if there is none."""
    head = stream.read(1 << 16)
    stream.seek(0)
    if head.startswith(b"\x89HDF"):
        return [_hdf5_table(path)]
    zipped = head.startswith(b"\x1f\x8b")
    text = unzipped(stream).read(1 << 16) if zipped else head
    stream.seek(0)
    if b"BESANCON MODEL" in text or re.search(rb"^\s*Dist\s+Mv\s+CL\b", text, re.MULTILINE):
        source = unzipped(stream) if zipped else stream
        lines = (
            read_bounded(source, str(path), "a Besançon .resu file").decode("utf-8", "replace").split("\n")
        )
        return [_besancon_2003(lines, path)]
    return [_of_table(table, path) for table in open_tables(stream, str(path))]


def _of_table(table, path):
    raw_text = table.format in ("text separated by spaces", "text with a commented header")
    kind, system = table.format, None
    if raw_text and {"Dist", "Mv"} <= set(table.names):
        kind, system = "Besançon web output", "johnson"
    elif "m-M0" in table.names:
        kind = "TRILEGAL"

    def read(names):
        columns = read_columns(table, list(names))
        if kind == "TRILEGAL" and raw_text and not any(_TERMINATED in line for line in table.remarks):
            raise DataError(f"{path}: no line '#{_TERMINATED}' at the end: fetch it again")
        return columns

    return ModelTable(kind, table.names, read, system, _facts_of(table.remarks), table.units, table.left_out)


def _facts_of(remarks):
    facts = {}
    for remark in remarks:
        if found := re.match(
            r"#\s*area\s*[=:]\s*([\d.]+)(?:\s*sq\s*deg|\s*deg2|\s*deg\^2)", remark, re.IGNORECASE
        ):
            facts["area_deg2"] = _number(found[1])
        elif found := re.match(r"#\s*A_?v\b[^=:]*[=:]\s*([\d.]+)", remark, re.IGNORECASE):
            facts["av_mag"] = _number(found[1])
    return {key: value for key, value in facts.items() if value is not None}


def _number(text):
    try:
        return float(text)
    except ValueError:
        return None


def _besancon_2003(lines, path):
    """Free text, the header, the stars, the header again as a footer, more text."""
    header = [i for i, line in enumerate(lines) if line.split()[:3] == ["Dist", "Mv", "CL"]]
    if len(header) < 2:
        raise DataError(
            f"{path}: a Besançon .resu file has its column names before and after the stars, "
            f"found {len(header)} of 2: the file is truncated, fetch it again"
        )
    names = lines[header[0]].split()
    text = "\n".join(lines[: header[0]] + lines[header[1] :])
    facts = {}
    for key, pattern in (
        ("area_deg2", r"Solid angle\s+([\d.]+)\s+square degree"),
        ("l_deg", r"\(l\s*=\s*([-\d.]+)"),
        ("b_deg", r"b\s*=\s*([-\d.]+)\)"),
        ("n_stars", r"TOTAL NUMBER OF STARS\s*:\s*(\d+)"),
    ):
        if (match := re.search(pattern, text)) and _number(match[1]) is not None:
            facts[key] = float(match[1])
    rows = lines[header[0] + 1 : header[1]]
    cells = [row.split() for row in rows]
    for i, row in enumerate(cells):
        if len(row) != len(names):
            place = f"line {header[0] + 2 + i}"
            raise DataError(f"{path}: {place} has {len(row)} values for {len(names)} columns")
    if "n_stars" in facts and facts["n_stars"] != len(rows):
        raise DataError(f"{path}: {len(rows)} stars, but the footer counts {facts['n_stars']:.0f}: truncated")

    def read(wanted):
        return {name: np.array([row[names.index(name)] for row in cells], dtype=float) for name in wanted}

    stated = re.search(r"System:\s*(\S+)", text)
    system = None if stated and "johnson" not in stated[1].lower() else "johnson"
    return ModelTable("Besançon 2003 .resu", tuple(names), read, system, facts)


def _hdf5_table(path):
    try:
        import h5py
    except ImportError:
        raise DataError(f"{path}: HDF5 needs the package h5py: pip install h5py") from None
    found: dict[str, Any] = {}
    units: dict[str, str] = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and item.ndim == 1:
            if item.dtype.names:
                found.update((part, (name, part)) for part in item.dtype.names)
                return
            # vaex keeps a column as the dataset "data" in a group of the column's name.
            column = name.removesuffix("/data").rsplit("/", 1)[-1]
            found[column] = (name, ())
            unit = item.attrs.get("unit", item.parent.attrs.get("unit"))
            if unit is not None:
                units[column] = unit.decode("utf-8", "replace") if isinstance(unit, bytes) else str(unit)

    def read(wanted):
        columns = {}
        with _opened(h5py, path) as file:
            for name in wanted:
                dataset, part = found[name]
                n_rows, n_bytes = file[dataset].shape[0], file[dataset].dtype.itemsize
                if n_rows > _MAX_ROWS or n_rows * n_bytes > 8 * MAX_WHOLE_BYTES:
                    raise DataError(
                        f"{path}: a column of {n_rows:.1e} rows; at most {_MAX_ROWS:.1e} are held"
                    )
                columns[name] = np.asarray(file[dataset][part], float)
        if len({len(values) for values in columns.values()}) > 1:
            raise DataError(f"{path}: its columns have different lengths: not a table")
        return columns

    with _opened(h5py, path) as file:
        file.visititems(visit)
    return ModelTable("HDF5", tuple(found), read, units=units)


def _opened(h5py, path):
    # Whatever h5py raises on a damaged file is no OSError with a number.
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"damaged HDF5: {error}") from None
