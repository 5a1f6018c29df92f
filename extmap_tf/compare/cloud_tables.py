"""Clouds of a map as tables: files for other programs, and text."""

import dataclasses
import functools
import operator
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy import units as u

from extmap_tf.compare.clouds import Cloud
from extmap_tf.errors import ConfigError
from extmap_tf.estimate import Flag
from extmap_tf.files import whole_path
from extmap_tf.formats import CLOUDS
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.settings.identity import SCHEMA
from extmap_tf.text_tables import aligned

if TYPE_CHECKING:
    from astropy.table import Table

TABLE_FORMATS = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".fits": "fits", ".vot": "votable"}


def clouds_table(clouds: Sequence[Cloud], volume: ExtinctionMap) -> "Table":
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


def write_clouds(
    clouds: Sequence[Cloud], volume: ExtinctionMap, path: str | Path, overwrite: bool = False
) -> None:
    """Write `clouds_table` to a file: ECSV, CSV, FITS or VOTable, by the suffix of `path`."""
    suffix = require_table_name(path)
    table = clouds_table(clouds, volume)
    with whole_path(path, overwrite=overwrite) as temporary, warnings.catch_warnings():
        # FITS warns of the long names in the metadata.
        warnings.simplefilter("ignore")
        table.write(temporary, format=TABLE_FORMATS[suffix])


def require_table_name(path: str | Path) -> str:
    """The suffix of `path`; ConfigError if it is none of `TABLE_FORMATS`."""
    suffix = Path(path).suffix.lower()
    if suffix not in TABLE_FORMATS:
        raise ConfigError(f"{path}: the name of a table must end in {', '.join(TABLE_FORMATS)}")
    return suffix


def format_clouds(clouds: Sequence[Cloud], band: str) -> str:
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
