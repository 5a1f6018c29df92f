"""What the cells of a table mean: which of them say "no value", which are numbers, and which are base 60."""

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_WORDS = (
    *("null", "nan", "na", "n/a", "none", "indef", "undef", "masked", "nodata", "missing", "nil", "nul"),
    # pandas, Excel, Windows' C, SQL clients.
    *("<na>", "#n/a", "#na", "#n/a n/a", "#value!", "#null!", "#div/0!", "1.#qnan", "-1.#ind", "1.#ind"),
    *("-1.#qnan", "(null)", "n.a.", "n.d.", "nd", "no data", "-nan", "nan()", "<null>", "blank", "empty"),
)
MISSING = (
    *("", r"\N", "~", "?", "*"),
    *(spelled for word in _WORDS for spelled in (word, word.upper(), word.capitalize())),
    "NaN",
    *("-" * n for n in range(1, 13)),
    *("." * n for n in range(1, 13)),
    *(" " * n for n in range(1, 33)),
)
"""Spellings of a missing value, as Arrow compares them: to the letter."""

# Also what Fortran prints where a number does not fit, and a limit: no measurement.
_MISSING_PATTERN = (
    r"^(?i:\\N|~|\?|\**|-*|\.*|[<>]=?\s*[-+]?[\d.]+|" + "|".join(re.escape(word) for word in _WORDS) + ")$"
)
_SEXAGESIMAL = (
    r"^(?P<sign>[+-]?)(?P<whole>\d{1,3})(?:[:hHdD°]\s*|\s+)(?P<minutes>[0-5]?\d)(?:[:mM'′]\s*|\s+)"
    r"(?P<seconds>[0-5]?\d(?:\.\d*)?|60(?:\.0*)?)[sS\"″]?$"
)
_DECIMAL_COMMA = r"^[+-]?\d*,\d+(?:[eEdD][+-]?\d+)?$"


def to_numbers(texts: pa.Array) -> tuple[np.ndarray, bool]:
    """Numbers written as text.

    Parameters
    ----------
    texts : pyarrow.Array of string [n]

    Returns
    -------
    numbers : ndarray of float64 [n]
        NaN where missing, and where a cell is a limit (>16.2). Of cells in base 60 (10:32:12.3,
        10h32m12.3s, 10 32 12.3) the number of the first unit, which is hours or degrees.
    sexagesimal : bool
        Whether any was in base 60.

    Raises
    ------
    ValueError
        A cell is none of these; it names the first.
    """
    texts = pc.utf8_trim_whitespace(texts)
    missing = pc.fill_null(pc.match_substring_regex(texts, _MISSING_PATTERN), True)
    texts = pc.if_else(missing, None, texts)
    try:
        return _floats(pc.cast(texts, pa.float64())), False
    except pa.ArrowInvalid:
        pass
    texts = pc.if_else(
        pc.match_substring_regex(texts, _DECIMAL_COMMA), pc.replace_substring(texts, ",", "."), texts
    )
    # Fortran writes 1.5D+02.
    texts = pc.replace_substring_regex(texts, r"^([+-]?[\d.]+)[dD]([+-]?\d+)$", r"\1e\2")
    texts = pc.replace_substring(texts, "\u2212", "-")
    parts = pc.extract_regex(texts, _SEXAGESIMAL)
    is_base_60 = pc.is_valid(parts)
    plain = pc.if_else(is_base_60, None, texts)
    try:
        numbers = _floats(pc.cast(plain, pa.float64()))
    except pa.ArrowInvalid:
        raise ValueError(f"{_first_that_is_no_number(plain)!r} is not a number") from None
    rows = np.flatnonzero(is_base_60.to_numpy(zero_copy_only=False))
    if rows.size:
        parts = parts.take(pa.array(rows))
        whole, minutes, seconds = (
            _floats(pc.cast(pc.struct_field(parts, name), pa.float64()))
            for name in ("whole", "minutes", "seconds")
        )
        negative = pc.equal(pc.struct_field(parts, "sign"), "-").to_numpy(zero_copy_only=False)
        numbers[rows] = np.where(negative, -1.0, 1.0) * (whole + minutes / 60.0 + seconds / 3600.0)
    return numbers, bool(rows.size)


def _floats(array):
    return np.array(array.to_numpy(zero_copy_only=False), np.float64)


def _first_that_is_no_number(texts):
    """The first cell that Arrow takes for no number; Python's float takes more."""
    while len(texts) > 1:
        half = texts[: len(texts) // 2]
        try:
            pc.cast(half, pa.float64())
            texts = texts[len(half) :]
        except pa.ArrowInvalid:
            texts = half
    return texts[0].as_py()[:60]


def column_to_numbers(values: np.ndarray) -> tuple[np.ndarray, bool]:
    """As `to_numbers`, of an array of any type; masked values are missing ones.

    Parameters
    ----------
    values : ndarray or numpy.ma.MaskedArray [n]

    Raises
    ------
    ValueError
        It holds neither numbers nor text, or more than one value a row.
    """
    values = np.ma.asarray(values)
    if values.ndim != 1:
        raise ValueError("it holds several values a row, not one number")
    if values.dtype.kind in "fiu":
        return np.ma.filled(values.astype(np.float64), np.nan), False
    if values.dtype.kind not in "SUO":
        raise ValueError(f"it holds {values.dtype}")
    mask = np.ma.getmaskarray(values)
    plain = np.ma.getdata(values)
    cells = [None if gone else _text(cell) for cell, gone in zip(plain, mask, strict=True)]
    return to_numbers(pa.array(cells, pa.string()))


def _text(cell):
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "replace").rstrip("\0")
    return None if cell is None or cell is np.ma.masked else str(cell)


def to_flag(value: Any) -> bytes:
    """A 2MASS flag as bytes; a writer may have taken 022 for a number, 22 or 22.0."""
    if value is None or value is np.ma.masked:
        return b""
    if isinstance(value, int | np.integer):
        return b"%03d" % value
    flag = value.strip() if isinstance(value, bytes) else str(value).strip().encode("ascii", "replace")
    if flag == b"nan":
        return b""
    whole, point, rest = flag.partition(b".")
    return whole.zfill(3) if point and whole.isdigit() and not rest.strip(b"0") else flag


def column_to_flags(values: np.ndarray) -> np.ndarray:
    """An array of any type as flags of up to 3 bytes [n]."""
    values = np.ma.asarray(values)
    if values.dtype.kind == "S" and not np.ma.is_masked(values):
        flags = np.char.strip(np.asarray(values))
        if flags.dtype.itemsize <= 3 or not (np.char.find(flags, b".") > 0).any():
            return flags.astype("S3")
    return np.array([to_flag(value) for value in values], "S3")
