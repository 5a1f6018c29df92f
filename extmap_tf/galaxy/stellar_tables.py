"""The published tables of stars that `extmap_tf.galaxy.build_library` reads: dwarfs, and isochrones."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from extmap_tf.errors import DataError
from extmap_tf.files import PathLike

_DWARF_LOG_T = (np.log10(2400), np.log10(33500))


def read_dwarfs(folder: PathLike, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Columns of the dwarfs' sequence between 2400 and 33,500 K.

    Parameters
    ----------
    folder : path-like
        That of the reference data.
    names : sequence of str
        Columns, as the table names them.

    Returns
    -------
    dict of str to ndarray [n]
        The columns and ``logT``, in which they ascend; NaN where the table has no value.

    Raises
    ------
    DataError
        The table cannot be read.
    """
    path = Path(folder) / "colours" / "dwarfs_mamajek_2022.txt"
    header: list[str] = []
    rows: list[list[str]] = []
    for line in _lines(path):
        words = line.split()
        if line.startswith("#SpT") and not header:
            header = [word.lstrip("#") for word in words]
        elif header and words and not line.startswith("#") and len(words) == len(header):
            rows.append(words)
    if not rows:
        raise DataError(f"{path}: no table of dwarfs found")
    columns = {
        name: np.array([_number(row[header.index(name)]) for row in rows]) for name in ("logT", *names)
    }
    log_t = columns["logT"]
    keep = (log_t > _DWARF_LOG_T[0]) & (log_t < _DWARF_LOG_T[1])
    order = np.argsort(log_t[keep])
    return {name: value[keep][order] for name, value in columns.items()}


def read_isochrone(path: Path) -> dict[str, np.ndarray]:
    """The columns of a MIST isochrone, by their names in the file: dict of ndarray [n]."""
    lines = _lines(path)
    header = next(line for line in lines if line.startswith("# EEP")).lstrip("# ").split()
    table = np.array([line.split() for line in lines if line.strip() and not line.startswith("#")], float)
    return {name: table[:, i] for i, name in enumerate(header)}


def _number(cell):
    return float(cell) if cell.strip(".") and cell[0] in "-+0123456789" else np.nan


def _lines(path):
    try:
        return path.read_text().splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
