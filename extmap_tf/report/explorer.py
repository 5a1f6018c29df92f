"""The part of a report that one can explore: its script, and its data as that wants them.

The sky is a picture of cells, each of one sightline: of rows and columns of l and b the fields themselves, of
HEALPix pixels their projection. Profiles are whole numbers of a common unit, as differences along the sight,
compressed: 7,000 sightlines take a few MB and are unpacked once, when the page loads.
"""

import base64
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from extmap_tf.estimate import RELIABLE_FRACTION, RELIABLE_MAG, SIGHTLINE_FLAGS
from extmap_tf.figures.dust import half_interval_in_steps, rise_in_steps
from extmap_tf.figures.marks import Clouds, clouds_inside
from extmap_tf.figures.plane import PlaneView, near_the_plane, reaches_the_plane
from extmap_tf.figures.sky_view import Projected, sky_view
from extmap_tf.figures.style import UNSURE
from extmap_tf.galaxy.arms import SpiralArm
from extmap_tf.grids.diagram import Cmds
from extmap_tf.map.volume import ExtinctionMap

# One module of JavaScript by its parts, in this order.
_PARTS = ("data", "layers", "pictures", "sky", "plane", "profile", "choosing", "start")

# Shown with the median, if the map has them: the ends of the 90 and 68 % intervals.
PERCENTILES = (5.0, 95.0, 16.0, 84.0)

# As in the figures: of dust, of uncertainty, of what is to both sides of a middle.
COLORMAPS = {"dust": "magma_r", "unsure": UNSURE, "both": "PuOr_r"}

# Cells along the longer side of the view from above, and of the sky where that is projected.
N_PLANE = 220
N_SKY = 420


def explorer_script() -> str:
    """The page's script, a module of JavaScript: its parts joined to one text."""
    folder = Path(__file__).with_name("scripts")
    return "\n".join((folder / f"{part}.js").read_text(encoding="utf-8") for part in _PARTS)


def explorer_data(
    volume: ExtinctionMap,
    truth: ExtinctionMap | None = None,
    cmds: Cmds = (),
    clouds: Clouds | None = None,
    arms: Sequence[SpiralArm] = (),
) -> str:
    """All that the page's script needs, as JSON text that is safe inside a script element.

    Parameters
    ----------
    volume : ExtinctionMap
    truth : ExtinctionMap, optional
        Of the same grids.
    cmds : sequence of (Diagram, ndarray [n_sightlines, n_y, n_x]), optional
        The diagrams of all sightlines, in the order of the grid; up to 65,535 stars a pixel, as records have
        them.
    clouds : mapping of str to extmap_tf.compare.published_clouds.TableCloud, optional
        Those inside the map can be shown.
    arms : sequence of extmap_tf.galaxy.arms.SpiralArm
        Drawn over the view from above.
    """
    grid, distance, origin = volume.grid, volume.distance, volume.provenance
    l_deg, b_deg = grid.centers_deg()
    profiles = {"median": volume.extinction}
    if volume.percentiles:
        wanted = [p for p in PERCENTILES if volume.percentiles[0] <= p <= volume.percentiles[-1]]
        for percent in wanted:
            found = volume.query_gal(l_deg, b_deg, mode="percentile", percentile=percent).value
            profiles[f"p{percent:g}"] = found
    if truth is not None:
        profiles["truth"] = truth.extinction
    top = max((float(np.nanmax(cube)) for cube in profiles.values() if np.isfinite(cube).any()), default=1.0)
    unit = (top or 1.0) / 65535
    data: dict[str, Any] = {
        "quantity": volume.quantity,
        "band": origin.band,
        "blue": origin.blue_band,
        "kind": origin.kind,
        "l": np.mod(l_deg, 360.0).round(6).tolist(),
        "b": b_deg.round(6).tolist(),
        "sky": _sky(volume),
        "edges": distance.edges_kpc.round(9).tolist(),
        "unit": unit,
        "profiles": {name: _packed_profiles(cube, unit) for name, cube in profiles.items()},
        "has_profile": volume.has_profile.ravel().astype(int).tolist(),
        "flag": volume.flag.ravel().tolist(),
        "meanings": {str(flag.value): flag.meaning for flag in SIGHTLINE_FLAGS},
        "odd": {name: np.flatnonzero(odd).tolist() for name, odd in volume.odd_by_survey.items()},
        "n_stars": volume.n_stars.ravel().tolist(),
        "coverage": volume.coverage.ravel().astype(float).round(3).tolist(),
        "limits": {"share": RELIABLE_FRACTION, "mag": RELIABLE_MAG * volume.factor},
        "plane": _plane(volume, truth, arms) if reaches_the_plane(grid) else None,
        "colors": {name: _colors(colors) for name, colors in COLORMAPS.items()},
        "clouds": _clouds(volume, clouds),
    }
    if volume.percentiles:
        data["reliable"] = _packed(np.ascontiguousarray(volume.reliable, np.uint8))
    if volume.header.wall_sigma:
        # 0 where none is found.
        walls = np.nan_to_num(volume.smallest_wall.astype(float))
        unit_mag = max(float(walls.max()), 1e-6) / 255.0
        small = np.where(walls > 0, np.maximum(np.rint(walls / unit_mag), 1), 0).astype(np.uint8)
        data["walls"] = {"unit": unit_mag, "sigma": volume.header.wall_sigma, "steps": _packed(small)}
    if truth is not None:
        # Whole numbers have no NaN.
        data["has_truth"] = truth.has_profile.ravel().astype(int).tolist()
    data["cmds"] = [
        {
            "survey": diagram.survey,
            "x": _axis(diagram.x),
            "y": _axis(diagram.y),
            "counts": _packed(np.asarray(counts).astype("<u2")),
        }
        for diagram, counts in cmds
    ]
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _axis(axis):
    label = " \u2212 ".join(axis.bands) or axis.quantity
    # Bright stars are up, and near ones.
    return {
        "edges": axis.edges.round(6).tolist(),
        "label": f"{label} ({axis.unit})",
        "down": axis.quantity == "magnitude",
    }


def _colors(name):
    return [[x, to_hex(colormaps[name](x))] for x in np.linspace(0.0, 1.0, 21).round(3).tolist()]


def _packed_profiles(cube, unit):
    whole = np.rint(np.nan_to_num(cube.astype(float)) / unit).astype(np.int64)
    steps = np.diff(whole, axis=-1, prepend=0).astype(np.uint16)
    return _packed(np.ascontiguousarray(steps, "<u2"))


def _packed(values):
    return base64.b64encode(gzip.compress(values.tobytes(), 9, mtime=0)).decode()


def _sky(volume):
    """Cells of the picture of the sky, which sightline each is of, and where sightlines are on it."""
    grid = volume.grid
    if grid.rectangular:
        x, y = grid.l_deg, grid.b_deg
        index = np.arange(grid.n_sightlines)
        place = np.tile(x, grid.n_b), np.repeat(y, grid.n_l)
        how: dict[str, Any] = {"step": grid.step_deg, "lines": None}
    else:
        view = sky_view(grid, N_SKY)
        assert isinstance(view, Projected)
        x, y, index = view.cells()
        place = view.place(*grid.centers_deg())
        how = {"step": grid.field_deg, "lines": _sky_lines(view)}
    return how | {
        "x": np.asarray(x).round(5).tolist(),
        "y": np.asarray(y).round(5).tolist(),
        "index": _packed(np.ascontiguousarray(index, "<i4")),
        "px": np.asarray(place[0]).round(5).tolist(),
        "py": np.asarray(place[1]).round(5).tolist(),
    }


def _sky_lines(view):
    """Lines of l and b across a projection, with gaps between them, and their labels."""
    lines, labels = view.lines()
    gap = np.full((2, 1), np.nan)
    x, y = np.concatenate([part for line in lines for part in (line[:, ::6], gap)], axis=1)
    return {
        "x": [None if np.isnan(v) else round(float(v), 3) for v in x],
        "y": [None if np.isnan(v) else round(float(v), 3) for v in y],
        "labels": [[x, y, text] for x, y, text, _ in labels],
    }


def _plane(volume, truth, arms):
    """The view from above on a grid: x along the longitude ``right``, y across, in kpc."""
    view, distance, near = PlaneView.of(volume), volume.distance, near_the_plane(volume)
    around = distance.max_kpc * view.towards(np.linspace(view.l_edges[0], view.l_edges[-1], 181))
    x, y = (np.append(part, 0.0) for part in around)
    stretch = max(1.0, 0.6 * np.ptp(x) / np.ptp(y)) if view.turned else 1.0
    cell = max(np.ptp(x), stretch * np.ptp(y)) / N_PLANE
    x = np.arange(x.min(), x.max() + cell, cell)
    y = np.arange(y.min(), y.max() + cell / stretch, cell / stretch)
    turn = np.radians(view.l_right)
    towards_centre = x[None] * np.cos(turn) - y[:, None] * np.sin(turn)
    column, k, inside = view.cells_at(towards_centre, x[None] * np.sin(turn) + y[:, None] * np.cos(turn))
    layers = {"dust": rise_in_steps(volume)}
    if volume.percentiles:
        layers["unsure"] = half_interval_in_steps(volume)
    if truth is not None:
        layers["truth"] = rise_in_steps(truth)
    found: dict[str, Any] = {"x": x.round(4).tolist(), "y": y.round(4).tolist(), "layers": {}}
    found |= {"right": view.l_right if view.turned else 0.0, "stretch": stretch, "turned": view.turned}
    for name, layer in layers.items():
        values = np.where(inside, view.mean(layer, near)[column, k], np.nan)
        found["layers"][name] = [[None if np.isnan(v) else float(f"{v:.3g}") for v in row] for row in values]
    found["arms"] = []
    to_page = np.array([view.towards(0.0), view.towards(90.0)]).T
    for arm in arms:
        ridge = to_page @ arm.xy_kpc()
        seen = (ridge[0] > x[0]) & (ridge[0] < x[-1]) & (ridge[1] > y[0]) & (ridge[1] < y[-1])
        if seen.any():
            line = np.where(seen, ridge, np.nan).round(3)
            parts = [[None if np.isnan(v) else float(v) for v in part] for part in line]
            found["arms"].append({"name": arm.name, "x": parts[0], "y": parts[1]})
    return found


def _clouds(volume, clouds):
    """Published clouds inside the map, with their places on the picture of the sky."""
    view, rows = sky_view(volume.grid), []
    for name, cloud in clouds_inside(volume, clouds).items():
        x, y = view.place(np.array([cloud.l_deg]), np.array([cloud.b_deg]))
        std = None if np.isnan(cloud.std_kpc) else round(cloud.std_kpc, 4)
        place = {"l": cloud.l_deg, "b": cloud.b_deg, "x": float(x[0]), "y": float(y[0])}
        rows.append({"name": name, "d": round(cloud.distance_kpc, 4), "std": std, **place})
    return rows
