"""The part of a report that one can explore: its data, as the page's script wants them.

Profiles are whole numbers of a common unit, as differences along the sight, compressed: 7,000 sightlines take
a few MB and are unpacked once, when the page loads.
"""

import base64
import gzip
import json
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from extmap_tf.estimate import SIGHTLINE_FLAGS
from extmap_tf.figures.dust import rise
from extmap_tf.figures.plane import PlaneView, near_the_plane
from extmap_tf.grids.diagram import Diagram
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map.volume import ExtinctionMap

SCRIPT = Path(__file__).with_name("explorer.js")

# Shown with the median, if the map has them: the ends of the 90 and 68 % intervals.
PERCENTILES = (5.0, 95.0, 16.0, 84.0)

# As in the figures.
COLORMAP = "magma_r"

# Cells along the longer side of the view from above.
N_PLANE = 220


def explorer_data(
    volume: ExtinctionMap,
    truth: ExtinctionMap | None = None,
    cmds: tuple[Diagram, np.ndarray] | None = None,
) -> str:
    """All that the page's script needs, as JSON text that is safe inside a script element.

    Parameters
    ----------
    volume : ExtinctionMap
    truth : ExtinctionMap, optional
        Of the same grids.
    cmds : (Diagram, ndarray [n_sightlines, n_mag, n_color]), optional
        The diagrams of all sightlines, l varying fastest; up to 65,535 stars a pixel, as records have them.
    """
    grid, distance, origin = volume.grid, volume.distance, volume.provenance
    assert isinstance(grid, SightlineGrid)
    profiles = {"median": volume.extinction}
    if volume.percentiles:
        shape = (*grid.shape, distance.n_distances)
        l_deg, b_deg = grid.centers_deg()
        wanted = [p for p in PERCENTILES if volume.percentiles[0] <= p <= volume.percentiles[-1]]
        for percent in wanted:
            found = volume.query_gal(l_deg, b_deg, mode="percentile", percentile=percent).value
            profiles[f"p{percent:g}"] = found.reshape(shape)
    if truth is not None:
        profiles["truth"] = truth.extinction
    top = max((float(np.nanmax(cube)) for cube in profiles.values() if np.isfinite(cube).any()), default=1.0)
    unit = (top or 1.0) / 65535
    data = {
        "band": origin.band,
        "blue": origin.blue_band,
        "kind": origin.kind,
        "l": np.mod(grid.l_deg, 360.0).round(6).tolist(),
        "b": grid.b_deg.round(6).tolist(),
        "step": grid.step_deg,
        "edges": distance.edges_kpc.round(9).tolist(),
        "unit": unit,
        "profiles": {name: _packed_profiles(cube, unit) for name, cube in profiles.items()},
        "has_profile": volume.has_profile.ravel().astype(int).tolist(),
        "flag": volume.flag.ravel().tolist(),
        "meanings": {str(flag.value): flag.meaning for flag in SIGHTLINE_FLAGS},
        "n_stars": volume.n_stars.ravel().tolist(),
        "coverage": volume.coverage.ravel().astype(float).round(3).tolist(),
        "plane": _plane(volume),
        "colors": [[x, to_hex(colormaps[COLORMAP](x))] for x in np.linspace(0.0, 1.0, 21).round(3).tolist()],
    }
    if volume.percentiles:
        reliable = volume.reliable_distance_kpc.ravel().astype(float).round(3)
        data["reliable"] = [None if np.isnan(d) else d for d in reliable.tolist()]
    if truth is not None:
        # Whole numbers have no NaN.
        data["has_truth"] = truth.has_profile.ravel().astype(int).tolist()
    if cmds is not None:
        diagram, counts = cmds
        data["cmd"] = {
            "colors": diagram.x.edges.round(6).tolist(),
            "mags": diagram.y.edges.round(6).tolist(),
            "counts": _packed(np.asarray(counts).astype("<u2")),
        }
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _packed_profiles(cube, unit):
    whole = np.rint(np.nan_to_num(cube.astype(float)) / unit).astype(np.int64)
    steps = np.diff(whole, axis=-1, prepend=0).astype(np.uint16)
    return _packed(np.ascontiguousarray(steps, "<u2"))


def _packed(values):
    return base64.b64encode(gzip.compress(values.tobytes(), 9, mtime=0)).decode()


def _plane(volume):
    """The view from above on a square grid: x towards the Galactic centre, y towards l = 90 deg, in kpc."""
    view, distance = PlaneView.of(volume), volume.distance
    mean = view.mean(rise(volume), near_the_plane(volume))
    around = np.radians(np.linspace(view.l_edges[0], view.l_edges[-1], 181))
    x, y = (distance.max_kpc * np.append(wave(around), 0.0) for wave in (np.cos, np.sin))
    cell = max(np.ptp(x), np.ptp(y)) / N_PLANE
    x, y = (np.arange(axis.min(), axis.max() + cell, cell) for axis in (x, y))
    column, k, inside = view.cells_at(x[None], y[:, None])
    values = np.where(inside, mean[column, k], np.nan)
    rows = [[None if np.isnan(v) else float(f"{v:.3g}") for v in row] for row in values]
    return {"x": x.round(4).tolist(), "y": y.round(4).tolist(), "z": rows}
