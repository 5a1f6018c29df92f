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

from extmap_tf.compare.clouds import MASS_IS, Cloud
from extmap_tf.errors import ConfigError
from extmap_tf.estimate import Flag
from extmap_tf.extinction.bands import quantity_of
from extmap_tf.files import whole_path
from extmap_tf.formats import CLOUDS
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.settings.identity import SCHEMA
from extmap_tf.text_tables import aligned

if TYPE_CHECKING:
    from astropy.table import Table

TABLE_FORMATS = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".fits": "fits", ".vot": "votable"}

_UNITS = {"deg": u.deg, "deg2": u.deg**2, "kpc": u.kpc, "mag": u.mag, "msun": u.M_sun}
_MEANINGS = {
    "distance": "where half of the dust is reached",
    "depth": "length along the sight of the middle 68 % of the dust; the map's resolution is in it",
    "width": "diameter across the sight of a circle of its area",
    "area": "solid angle of its sightlines",
    "n": "sightlines of the map",
    "column": "mean extinction by the cloud, above that of the dust around it",
    "peak": "that of the strongest sightline",
    "mass": MASS_IS,
    "sigma": "height of the step that stands out most over its standard deviation",
    "flags": "bits of extmap_tf.estimate.Flag of any of its sightlines",
}


def clouds_table(clouds: Sequence[Cloud], volume: ExtinctionMap) -> "Table":
    """Clouds as an astropy Table, one a row, with units and meanings, and the map's origin as metadata.

    Parameters
    ----------
    clouds : sequence of Cloud
    volume : ExtinctionMap
        In which they were found.
    """
    from astropy.table import Table

    about = {"format": CLOUDS, "schema": SCHEMA, "intervals": "central 68 %"} | volume.provenance.to_dict()
    table = Table(meta={key.upper(): value for key, value in about.items()})
    for spec in dataclasses.fields(Cloud):
        if spec.name == "sightlines":
            continue
        values = [getattr(cloud, spec.name) for cloud in clouds]
        if spec.type is int:
            table[spec.name] = np.array(values, np.int32)
        else:
            unit = _UNITS.get(spec.name.rsplit("_", 1)[-1])
            table[spec.name] = (
                np.array(values, float) if unit is None else u.Quantity(values, unit, dtype=float)
            )
        table[spec.name].info.description = _MEANINGS.get(spec.name.split("_")[0], "of its dust, mean")
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
    header = [("cloud", "l, b / deg"), ("sightlines", ""), ("distance", "kpc"), ("68 %", "kpc")]
    header += [
        ("depth", "kpc"),
        ("width", "kpc"),
        (quantity_of(band), "mag"),
        ("68 %", "mag"),
        ("peak", "mag"),
    ]
    header += [("dust", "solar masses"), ("68 %", ""), ("sigma", ""), ("flags", "")]
    rows = [
        (
            f"{cloud.l_deg:8.3f} {cloud.b_deg:+8.3f}",
            str(cloud.n_sightlines),
            f"{cloud.distance_kpc:.2f}",
            _interval(cloud.distance_low_kpc, cloud.distance_high_kpc, ".2f"),
            f"{cloud.depth_kpc:.2f}",
            f"{cloud.width_kpc:.3f}",
            f"{cloud.column_mag:.3f}",
            _interval(cloud.column_low_mag, cloud.column_high_mag, ".2f"),
            f"{cloud.peak_mag:.2f}",
            f"{cloud.mass_msun:.3g}",
            _interval(cloud.mass_low_msun, cloud.mass_high_msun, ".3g"),
            f"{cloud.sigma:.1f}" if np.isfinite(cloud.sigma) else "-",
            str(cloud.flags),
        )
        for cloud in clouds
    ]
    lines = [aligned(header, rows)]
    raised = functools.reduce(operator.or_, (cloud.flags for cloud in clouds), 0)
    lines += [f"flag {flag.value}: {flag.meaning}" for flag in Flag if raised & flag.value]
    return "\n".join(lines)


def _interval(low, high, form):
    return f"{low:{form}}-{high:{form}}" if np.isfinite(low) else "-"
