"""Parts of a map: a region of the sky, and profiles as a table."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u

from extmap_tf.errors import DataError
from extmap_tf.estimate import Flag
from extmap_tf.formats import PROFILES
from extmap_tf.grids.regions import SkyRegion
from extmap_tf.grids.sky import SkyGrid
from extmap_tf.map.header import MapHeader
from extmap_tf.map.layers import Layers
from extmap_tf.settings.identity import SCHEMA

if TYPE_CHECKING:
    from astropy.table import QTable


def part_within(header: MapHeader, layers: Layers, region: SkyRegion) -> tuple[MapHeader, Layers]:
    """Header and layers of a part of a map, see `extmap_tf.map.volume.ExtinctionMap.within`."""
    if not region.contains(*header.grid.centers_deg()).any():
        raise DataError(f"no sightline of the map is in the region {region}")
    part, index = header.grid.within(region)
    place = np.unravel_index(np.maximum(index, 0), header.grid.shape)
    chosen = {name: layer[place] for name, layer in layers.items()}
    for name, layer in chosen.items():
        layer[index < 0] = _nothing(name, layer)
    return dataclasses.replace(header, grid=part), chosen


def _nothing(name, layer):
    """What stands in a layer where the map has no field."""
    if name == "flag":
        return (Flag.NO_STARS | Flag.LOW_COVERAGE).value
    return np.nan if layer.dtype.kind == "f" and name != "coverage" else 0


def sightline_at(grid: SkyGrid, l_deg: np.ndarray, b_deg: np.ndarray) -> np.ndarray:
    """Index of the sightline nearest to one position [1]; DataError if there are more, or it is outside."""
    if l_deg.size != 1:
        raise DataError(f"'at' takes one position, got: {l_deg.size}; 'query' takes many")
    index = np.ravel(grid.sightline_of(l_deg, b_deg))
    if index[0] < 0:
        raise DataError(
            f"l = {float(l_deg.ravel()[0]):g}, b = {float(b_deg.ravel()[0]):g} deg is outside the map"
        )
    return index


def profiles_table(volume: Any, sightlines: Any) -> "QTable":
    """Profiles as a table, a row for each sightline and distance; its metadata say what it is of.

    Parameters
    ----------
    volume : ExtinctionMap
    sightlines : ndarray of int [n]
        Indices in the map's grid.

    Returns
    -------
    astropy.table.QTable [n * n_distances]
    """
    from astropy.table import QTable

    n = volume.distance.n_distances
    place = np.unravel_index(sightlines, volume.grid.shape)
    l_deg, b_deg = volume.grid.centers_deg(sightlines)
    origin = volume.provenance
    about = {
        "format": PROFILES,
        "schema": SCHEMA,
        "quantity": f"{volume.quantity} from the Sun to the distance",
    }
    table = QTable(meta={key.upper(): value for key, value in (about | origin.to_dict()).items()})
    table["l"], table["b"] = np.repeat(l_deg, n) * u.deg, np.repeat(b_deg, n) * u.deg
    table["distance"] = np.tile(volume.distance.outer_kpc, len(sightlines)) * u.kpc
    table["extinction"] = volume.extinction[place].ravel() * u.mag
    if volume.percentiles:
        table["extinction_std"] = volume.extinction_std[place].ravel() * u.mag
        for number, percent in enumerate(volume.percentiles):
            name = f"extinction_p{percent:g}".replace(".", "_")
            table[name] = volume.extinction_percentiles[place][:, number].ravel() * u.mag
    table["density"] = volume.density[place].ravel() * (u.mag / u.kpc)
    if volume.percentiles:
        table["reliable"] = volume.reliable[place].ravel().astype(bool)
    table["flag"] = np.repeat(volume.flag[place].astype(np.int16), n)
    return table
