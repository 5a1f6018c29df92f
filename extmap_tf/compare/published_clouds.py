"""Published distances of clouds beside those of a map's clouds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from extmap_tf.catalogs.columns import what_there_is
from extmap_tf.catalogs.tables import open_local, open_tables, read_columns, table_for
from extmap_tf.catalogs.units import convert, is_stated
from extmap_tf.compare.clouds import Cloud
from extmap_tf.errors import DataError
from extmap_tf.grids.sphere import separation_deg
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.text_tables import aligned


@dataclass(frozen=True)
class CloudComparison:
    """A cloud of a table beside the map's.

    Parameters
    ----------
    region : str
    table_kpc, table_std_kpc : float
        From the table; the error is NaN where it has none.
    n_sightlines : int
        Of the map's cloud; 0 where it shows none within reach.
    distance_kpc, std_kpc : float
        Of the map's cloud, and half of its 68 % interval; NaN without a cloud.
    column_mag, mass_msun : float
        Likewise.
    """

    region: str
    table_kpc: float
    table_std_kpc: float
    n_sightlines: int
    distance_kpc: float
    std_kpc: float
    column_mag: float
    mass_msun: float

    @property
    def difference_sigma(self) -> float:
        """Map - table in units of both errors; an unknown one counts as 0, and without any it is NaN."""
        both = np.hypot(*np.nan_to_num([self.std_kpc, self.table_std_kpc]))
        return float((self.distance_kpc - self.table_kpc) / both) if both > 0 else np.nan


class TableCloud(NamedTuple):
    """A cloud of a published table; NaN where the table says nothing."""

    distance_kpc: float
    std_kpc: float = math.nan
    l_deg: float = math.nan
    b_deg: float = math.nan


def read_cloud_distances(path: str | Path) -> dict[str, TableCloud]:
    """A table of clouds: dict of region to `TableCloud`.

    Parameters
    ----------
    path : path-like
        Any table that `extmap_tf.catalogs.tables` reads, with the columns region, distance_pc, err_pc and
        perhaps l_deg, b_deg; in other units where it states them.
    """
    units = {"distance_pc": "kpc", "err_pc": "kpc", "l_deg": "deg", "b_deg": "deg"}
    try:
        with open_local(path) as stream:
            table, _ = table_for(open_tables(stream, str(path)), _require_cloud_columns)
            numbers = [name for name in units if name in table.names]
            columns = read_columns(table, numbers)
            regions = [str(name) for name in table.whole()["region"]]
    except DataError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise DataError(
            f"{path}: must have columns region, distance_pc, err_pc with numbers: {reason}"
        ) from None
    if not regions:
        raise DataError(f"{path}: a table without a row: give one with clouds")
    if len(set(regions)) < len(regions):
        raise DataError(f"{path}: a region is there twice: {max(regions, key=regions.count)}")
    for name in numbers:
        unit = table.units.get(name)
        unit = "pc" if name.endswith("_pc") and not is_stated(unit) else unit
        columns[name] = convert(columns[name], unit, units[name], f"{path}: column {name}")
    rows = zip(*(columns.get(name, np.full(len(regions), np.nan)) for name in units), strict=True)
    return {region: TableCloud(*map(float, row)) for region, row in zip(regions, rows, strict=True)}


def _require_cloud_columns(table):
    lacking = [name for name in ("region", "distance_pc", "err_pc") if name not in table.names]
    if lacking:
        raise DataError(
            f"{table.name}: it has no {', '.join(lacking)}; {what_there_is(table.names, lacking)}"
        )


def places_in(volume: ExtinctionMap, table: dict[str, TableCloud]) -> dict[str, tuple[float, float]]:
    """Where the clouds of a table are, of those inside a map: dict of region to (l, b) in degrees."""
    return {
        region: (cloud.l_deg, cloud.b_deg)
        for region, cloud in table.items()
        if volume.grid.sightline_of([cloud.l_deg], [cloud.b_deg])[0] >= 0
    }


def compare_clouds(
    volume: ExtinctionMap,
    clouds: Sequence[Cloud],
    table: dict[str, TableCloud],
    places: dict[str, tuple[float, float]],
    radius_deg: float = 1.0,
    reach: float = 0.5,
) -> list[CloudComparison]:
    """Clouds of a table beside the map's clouds at their places.

    Parameters
    ----------
    volume : ExtinctionMap
    clouds : sequence of Cloud
        Found in it.
    table : dict of str to TableCloud
        As from `read_cloud_distances`.
    places : dict of str to (float, float)
        (l, b) in degrees of the regions to look at.
    radius_deg : float
        A cloud with a sightline within this of a place is at it.
    reach : float
        Of these one counts that is nearer to the table's distance than this share of it: that of the largest
        column times area.

    Returns
    -------
    list of CloudComparison
        One for each place, in their order.

    Raises
    ------
    DataError
        A region is not in the table, or no sightline of the map is near its place.
    """
    l_deg, b_deg = volume.grid.centers_deg()
    rows = []
    for region, place in places.items():
        if region not in table:
            raise DataError(f"no region {region!r} in the table; it has {', '.join(table)}")
        near = separation_deg(*place, l_deg, b_deg) <= radius_deg
        if not near.any():
            raise DataError(f"{region}: no sightline of the map within {radius_deg:g} deg of l, b = {place}")
        expected, error = table[region][:2]
        there = [
            cloud
            for cloud in clouds
            if near[list(cloud.sightlines)].any() and abs(cloud.distance_kpc - expected) <= reach * expected
        ]
        rows.append(CloudComparison(region, expected, error, *_of_the_largest(there)))
    return rows


def _of_the_largest(clouds):
    """Sightlines, distance, its standard deviation, column and mass of a cloud; NaN without any."""
    if not clouds:
        return 0, *[math.nan] * 4
    cloud = max(clouds, key=lambda cloud: cloud.column_mag * cloud.area_deg2)
    std_kpc = 0.5 * (cloud.distance_high_kpc - cloud.distance_low_kpc)
    return cloud.n_sightlines, cloud.distance_kpc, std_kpc, cloud.column_mag, cloud.mass_msun


def format_cloud_comparison(rows: Sequence[CloudComparison]) -> str:
    """`CloudComparison` rows as lines of aligned text."""
    header = [("region", ""), ("table", "kpc"), ("error", "kpc"), ("sightlines", "of the cloud")]
    header += [
        ("map", "kpc"),
        ("error", "kpc"),
        ("difference", "kpc"),
        ("difference", "errors"),
        ("column", "mag"),
        ("dust", "solar masses"),
    ]
    lines = [
        (
            row.region,
            f"{row.table_kpc:.3f}",
            f"{row.table_std_kpc:.3f}",
            f"{row.n_sightlines}",
            f"{row.distance_kpc:.3f}",
            f"{row.std_kpc:.3f}",
            f"{row.distance_kpc - row.table_kpc:+.3f}",
            f"{row.difference_sigma:+.2f}",
            f"{row.column_mag:.3f}",
            f"{row.mass_msun:.3g}",
        )
        for row in rows
    ]
    return aligned(header, lines)
