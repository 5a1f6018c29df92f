"""Where the stars of a table are."""

from typing import BinaryIO

import numpy as np

from extmap_tf.catalogs.columns import POSITIONS, find_columns, missing_column, require_told_apart
from extmap_tf.catalogs.formats.base import Table
from extmap_tf.catalogs.tables import open_tables, table_for
from extmap_tf.catalogs.units import degrees
from extmap_tf.errors import DataError
from extmap_tf.grids.sphere import equatorial_to_galactic, shortest_range_deg

# Stars are counted in cells of l and b; one with less than this share of the median is not of the extent.
_CELL_DEG = 0.25
_LEAST_SHARE = 0.1


def extent_of(stream: BinaryIO, name: str) -> tuple[float, float, float, float]:
    """The ranges of l and b that a table's stars fill; a few stars elsewhere do not count.

    Returns
    -------
    (l_min, l_max, b_min, b_max)
        Degrees, edges of cells of 0.25 deg; l_max exceeds 360 where the range is across l = 0.

    Raises
    ------
    DataError
        The table has no positions, or cannot be read.
    """
    table, roles = table_for(open_tables(stream, name), _position_columns)
    n_l, n_b = round(360.0 / _CELL_DEG), round(180.0 / _CELL_DEG)
    counts = np.zeros(n_l * n_b, np.int64)
    for batch in table.batches(list(roles.values()), accept_partial=True):
        place = [
            degrees(
                batch[column],
                table.units.get(column),
                role,
                column in table.sexagesimal,
                f"{name}: column {column}",
            )
            for role, column in roles.items()
        ]
        known = np.isfinite(place[0]) & (np.abs(place[1]) <= 90.0)
        l, b = (angle[known] for angle in place)
        if "ra" in roles:
            l, b = equatorial_to_galactic(l, b)
        i_l = np.minimum((np.mod(l, 360.0) / _CELL_DEG).astype(np.int64), n_l - 1)
        i_b = np.minimum(((b + 90.0) / _CELL_DEG).astype(np.int64), n_b - 1)
        counts += np.bincount(i_b * n_l + i_l, minlength=counts.size)
    if not counts.any():
        raise DataError(f"{name}: no star with a position")
    filled = np.flatnonzero(counts >= _LEAST_SHARE * np.median(counts[counts > 0]))
    i_b, i_l = np.divmod(filled, n_l)
    l_min, l_max = shortest_range_deg(i_l * _CELL_DEG)
    l_max = l_min + 360.0 if l_max - l_min >= 360.0 else l_max + _CELL_DEG
    return l_min, l_max, float(i_b.min()) * _CELL_DEG - 90.0, float(i_b.max() + 1) * _CELL_DEG - 90.0


def _position_columns(table: Table) -> dict[str, str]:
    found = find_columns(table.names, POSITIONS, {}, table.name)
    for pair in (("l", "b"), ("ra", "dec")):
        if all(role in found for role in pair):
            roles = {role: found[role] for role in pair}
            require_told_apart(table.name, table.repeated, roles, {})
            return roles
    raise missing_column("ra", POSITIONS, table.names, table.name, "the position (ra)")
