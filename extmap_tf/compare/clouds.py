"""Clouds along sightlines: where the extinction rises in a step, over what extent, and by how much."""

import dataclasses
import functools
import math
import operator
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from extmap_tf.catalogs.columns import what_there_is
from extmap_tf.catalogs.tables import open_local, open_tables, read_columns, table_for
from extmap_tf.catalogs.units import convert, is_stated
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import Flag
from extmap_tf.files import whole_path
from extmap_tf.formats import CLOUDS
from extmap_tf.settings.identity import SCHEMA
from extmap_tf.text_tables import aligned

TABLE_FORMATS = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".fits": "fits", ".vot": "votable"}

MIN_JUMP_MAG = 0.05
MIN_CONTRAST = 0.5
MIN_SIGMA = 2.0


@dataclass(frozen=True)
class Cloud:
    """A peak of the density along one sightline.

    Parameters
    ----------
    l_deg, b_deg : float
        The sightline.
    distance_kpc : float
        Where half of the jump is reached.
    distance_low_kpc, distance_high_kpc : float
        Between these the map's 16th and 84th percentile of the extinction reach that value; NaN
        without percentiles.
    extent_kpc : float
        Full width of the peak at half of its height above its surroundings. Not less than a distance bin,
        and smeared by the map's own resolution: an upper limit.
    jump_mag : float
        Rise of the extinction across the peak.
    jump_std_mag : float
        Its standard deviation: from the samples if the map has them, else an upper limit from those of the
        extinction at both sides; NaN without.
    flags : int
        Bits of `extmap_tf.estimate.Flag`: those of the sightline, and whether the distance is beyond
        the one to which it is reliable.
    """

    l_deg: float
    b_deg: float
    distance_kpc: float
    distance_low_kpc: float
    distance_high_kpc: float
    extent_kpc: float
    jump_mag: float
    jump_std_mag: float
    flags: int = 0


@dataclass(frozen=True)
class CloudComparison:
    """A cloud of a table beside the map's.

    Parameters
    ----------
    region : str
    table_kpc, table_std_kpc : float
        From the table; the error is NaN where it has none.
    n_sightlines : int
        Sightlines around the place with a cloud within reach.
    distance_kpc, std_kpc : float
        Median of the clouds' distances, and the larger of its standard error, from their scatter, and of
        their median own uncertainty, which neighbours share; NaN without a cloud.
    jump_mag : float
        Median jump.
    """

    region: str
    table_kpc: float
    table_std_kpc: float
    n_sightlines: int
    distance_kpc: float
    std_kpc: float
    jump_mag: float

    @property
    def difference_sigma(self):
        """Map - table in units of both errors; an unknown one counts as 0, and without any it is NaN."""
        both = np.hypot(*np.nan_to_num([self.std_kpc, self.table_std_kpc]))
        return float((self.distance_kpc - self.table_kpc) / both) if both > 0 else np.nan


def find_clouds(
    volume, l_deg, b_deg, min_jump_mag=MIN_JUMP_MAG, min_contrast=MIN_CONTRAST, min_sigma=MIN_SIGMA
):
    """Clouds along the map's sightline nearest to a position, near ones first.

    Parameters
    ----------
    volume : ExtinctionMap
    l_deg, b_deg : float
    min_jump_mag : float
        Smaller jumps are left out.
    min_contrast : float
        A peak counts if it stands out from its surroundings by this share of its own height.
    min_sigma : float
        Jumps of fewer of their own standard deviations are left out, where these are known.

    Returns
    -------
    list of Cloud
        Empty without a profile.
    """
    from scipy.signal import find_peaks, peak_widths

    if not min_jump_mag > 0 or not 0 < min_contrast <= 1 or not min_sigma >= 0:
        raise ConfigError(
            "min_jump_mag must be above 0, min_contrast above 0 to 1 and min_sigma 0 or more, "
            f"got: {min_jump_mag}, {min_contrast}, {min_sigma}"
        )
    index = int(volume.grid.sightline_of([l_deg], [b_deg])[0])
    if index < 0:
        raise DataError(f"sightline l = {l_deg:g}, b = {b_deg:g} is outside the map")
    sky = np.unravel_index(index, volume.grid.shape)
    if not volume.has_profile[sky]:
        return []
    step = volume.distance.step_kpc
    density = np.asarray(volume.density[sky], float)
    edges, rising = volume.distance.edges_kpc, np.append(0.0, volume.extinction[sky].astype(float))
    # Zeros at both ends: a peak may lie in the first or the last bin.
    padded = np.concatenate([[0.0], density, [0.0]])
    if not density.any():
        return []
    peaks, about = find_peaks(padded, prominence=0.0)
    clear = about["prominences"] >= min_contrast * padded[peaks]
    peaks = peaks[clear]
    bases = tuple(about[name][clear] for name in ("prominences", "left_bases", "right_bases"))
    half = peak_widths(padded, peaks, rel_height=0.5, prominence_data=bases)
    wide = peak_widths(padded, peaks, rel_height=0.95, prominence_data=bases)
    place = volume.grid.center_deg(index)
    clouds = []
    for width, left, right in zip(half[0], wide[2], wide[3], strict=True):
        # Bin k of the map is element k + 1; its centre is half a bin past its inner edge.
        near, far = np.clip((left - 0.5) * step, 0, edges[-1]), np.clip((right - 0.5) * step, 0, edges[-1])
        low, high = np.interp([near, far], edges, rising)
        if high - low < min_jump_mag:
            continue
        middle = 0.5 * (low + high)
        interval, std = (np.nan, np.nan), np.nan
        if volume.percentiles:
            curves = volume.query_gal(*place, mode="percentile", percentile=[84, 16]).value
            interval = [_reached(middle, edges, np.append(0.0, curve)) for curve in curves]
            sides = np.append(0.0, volume.extinction_std[sky])
            std = float(np.hypot(*np.interp([near, far], edges, sides)))
        if volume.n_samples:
            samples = [np.append(0.0, one) for one in volume.samples[sky].astype(float)]
            std = float(np.std([np.interp(far, edges, one) - np.interp(near, edges, one) for one in samples]))
        if high - low < min_sigma * std:
            continue
        distance_kpc = _reached(middle, edges, rising)
        flags = int(volume.flag[sky])
        if volume.percentiles and distance_kpc > volume.reliable_distance_kpc[sky]:
            flags |= Flag.BEYOND_RELIABLE_DISTANCE.value
        clouds.append(
            Cloud(
                *place,
                distance_kpc,
                *(float(d) for d in interval),
                float(max(width, 1.0) * step),
                float(high - low),
                std,
                flags,
            )
        )
    return sorted(clouds, key=lambda cloud: cloud.distance_kpc)


def find_all_clouds(volume, sightlines=None, **finding):
    """Clouds along many sightlines.

    Parameters
    ----------
    volume : ExtinctionMap
    sightlines : sequence of (float, float), optional
        (l, b) in degrees; by default all that have a profile.
    finding
        As for `find_clouds`.

    Returns
    -------
    list of Cloud
        Sightline by sightline, near ones first.
    """
    if sightlines is None:
        sightlines = np.transpose(volume.grid.centers_deg())[volume.has_profile.ravel()]
    return [cloud for place in sightlines for cloud in find_clouds(volume, *map(float, place), **finding)]


def clouds_table(clouds, volume):
    """Clouds as an astropy Table, one a row, with units, and the map's origin as metadata.

    Parameters
    ----------
    clouds : sequence of Cloud
    volume : ExtinctionMap
        In which they were found.
    """
    from astropy.table import Table

    about = {"format": CLOUDS, "schema": SCHEMA} | volume.provenance.to_dict()
    table = Table(meta={key.upper(): value for key, value in about.items()})
    for spec in dataclasses.fields(Cloud):
        if spec.name == "flags":
            table["flags"] = np.array([cloud.flags for cloud in clouds], np.int32)
            continue
        unit = u.Unit(spec.name.rsplit("_", 1)[1])
        table[spec.name] = u.Quantity([getattr(cloud, spec.name) for cloud in clouds], unit, dtype=float)
    return table


def write_clouds(clouds, volume, path, overwrite=False):
    """Write `clouds_table` to a file: ECSV, CSV, FITS or VOTable, by the suffix of `path`."""
    suffix = require_table_name(path)
    table = clouds_table(clouds, volume)
    with whole_path(path, overwrite=overwrite) as temporary, warnings.catch_warnings():
        # FITS warns of the long names in the metadata.
        warnings.simplefilter("ignore")
        table.write(temporary, format=TABLE_FORMATS[suffix])


def require_table_name(path):
    """The suffix of `path`; ConfigError if it is none of `TABLE_FORMATS`."""
    suffix = Path(path).suffix.lower()
    if suffix not in TABLE_FORMATS:
        raise ConfigError(f"{path}: the name of a table must end in {', '.join(TABLE_FORMATS)}")
    return suffix


def format_clouds(clouds, band):
    """Clouds as lines of aligned text."""
    header = [("sightline", "l, b / deg"), ("distance", "kpc"), ("68 % from", "kpc"), ("to", "kpc")]
    header += [("extent", "kpc"), ("jump", f"A({band}) / mag"), ("std", "mag"), ("flags", "")]
    rows = [
        (
            f"{cloud.l_deg:8.3f} {cloud.b_deg:+8.3f}",
            f"{cloud.distance_kpc:.3f}",
            f"{cloud.distance_low_kpc:.3f}",
            f"{cloud.distance_high_kpc:.3f}",
            f"{cloud.extent_kpc:.3f}",
            f"{cloud.jump_mag:.3f}",
            f"{cloud.jump_std_mag:.3f}",
            str(cloud.flags),
        )
        for cloud in clouds
    ]
    lines = [aligned(header, rows)]
    raised = functools.reduce(operator.or_, (cloud.flags for cloud in clouds), 0)
    lines += [f"flag {flag.value}: {flag.meaning}" for flag in Flag if raised & flag.value]
    return "\n".join(lines)


def format_cloud_comparison(rows):
    """`CloudComparison` rows as lines of aligned text."""
    header = [("region", ""), ("table", "kpc"), ("error", "kpc"), ("sightlines", "with a cloud")]
    header += [
        ("map", "kpc"),
        ("error", "kpc"),
        ("difference", "kpc"),
        ("difference", "errors"),
        ("jump", "mag"),
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
            f"{row.jump_mag:.3f}",
        )
        for row in rows
    ]
    return aligned(header, lines)


class TableCloud(NamedTuple):
    """A cloud of a published table; NaN where the table says nothing."""

    distance_kpc: float
    std_kpc: float = math.nan
    l_deg: float = math.nan
    b_deg: float = math.nan


def read_cloud_distances(path):
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


def places_in(volume, table):
    """Where the clouds of a table are, of those inside a map: dict of region to (l, b) in degrees."""
    return {
        region: (cloud.l_deg, cloud.b_deg)
        for region, cloud in table.items()
        if volume.grid.sightline_of([cloud.l_deg], [cloud.b_deg])[0] >= 0
    }


def compare_clouds(volume, table, places, radius_deg=1.0, reach=0.5, **finding):
    """Clouds of a table beside the map's clouds at their places.

    Parameters
    ----------
    volume : ExtinctionMap
    table : dict of str to TableCloud
        As from `read_cloud_distances`.
    places : dict of str to (float, float)
        (l, b) in degrees of the regions to look at.
    radius_deg : float
        All sightlines within this of a place are looked at.
    reach : float
        Of the clouds on a sightline the strongest counts that is nearer to the table's distance than this
        share of it.
    finding
        As for `find_clouds`.

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
    sightlines = SkyCoord(l_deg * u.deg, b_deg * u.deg, frame="galactic")
    rows = []
    for region, place in places.items():
        if region not in table:
            raise DataError(f"no region {region!r} in the table; it has {', '.join(table)}")
        apart = sightlines.separation(SkyCoord(*place, unit="deg", frame="galactic")).deg
        near = np.flatnonzero(apart <= radius_deg)
        if not near.size:
            raise DataError(f"{region}: no sightline of the map within {radius_deg:g} deg of l, b = {place}")
        expected, error = table[region][:2]
        chosen = []
        for index in near:
            clouds = find_clouds(volume, l_deg[index], b_deg[index], **finding)
            clouds = [cloud for cloud in clouds if abs(cloud.distance_kpc - expected) <= reach * expected]
            if clouds:
                chosen.append(max(clouds, key=lambda cloud: cloud.jump_mag))
        found = [np.nan] * 3
        if chosen:
            d = np.array([cloud.distance_kpc for cloud in chosen])
            own = np.array([0.5 * (cloud.distance_high_kpc - cloud.distance_low_kpc) for cloud in chosen])
            own = own[np.isfinite(own)]
            scatter = d.std(ddof=1) / np.sqrt(len(d)) if len(d) > 1 else np.nan
            std = np.fmax(scatter, np.median(own) if own.size else np.nan)
            found = [np.median(d), std, np.median([cloud.jump_mag for cloud in chosen])]
        rows.append(CloudComparison(region, expected, error, len(chosen), *(float(x) for x in found)))
    return rows


def _reached(level_mag, edges_kpc, rising):
    """Where a rising curve first reaches a level, in kpc; the last distance if it does not."""
    index = int(np.searchsorted(rising, level_mag))
    if index == len(rising):
        return float(edges_kpc[-1])
    if index == 0 or rising[index] == rising[index - 1]:
        return float(edges_kpc[index])
    share = (level_mag - rising[index - 1]) / (rising[index] - rising[index - 1])
    return float(edges_kpc[index - 1] + share * (edges_kpc[index] - edges_kpc[index - 1]))
