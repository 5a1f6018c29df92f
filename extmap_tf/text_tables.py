"""Rows of numbers as plain text and as JSON."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any


def aligned(header: Sequence[tuple[str, str]], lines: Iterable[Sequence[str]]) -> str:
    """Cells as aligned plain text: the first column to the left, the others to the right.

    Parameters
    ----------
    header : sequence of (str, str)
        Name and unit of each column.
    lines : sequence of sequence of str

    Returns
    -------
    str
        Two lines of headings and one for each of `lines`.
    """
    table = [[cell[i] for cell in header] for i in (0, 1)] + [list(line) for line in lines]
    widths = [max(len(line[i]) for line in table) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    )


def row_to_dict(row: Any) -> dict[str, Any]:
    """A dataclass for JSON: NaN becomes None, in lists too."""
    return _plain(dataclasses.asdict(row))


def _plain(value):
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
