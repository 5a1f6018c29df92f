"""What is known already, drawn over a map: spiral arms by name, and clouds with published distances."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from extmap_tf.compare.published_clouds import TableCloud, places_in
from extmap_tf.errors import ConfigError
from extmap_tf.figures.style import COLORS
from extmap_tf.galaxy.arms import PUBLISHED, SpiralArm
from extmap_tf.map.volume import ExtinctionMap

Clouds = Mapping[str, TableCloud]

_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)))
_OUTLINE = [withStroke(linewidth=2.5, foreground="white")]
# Of the longest name of an arm, half, and of the letters: inches.
_HALF_NAME, _LETTER = 0.5, 0.1


def clouds_inside(volume: ExtinctionMap, clouds: Clouds | None) -> dict[str, TableCloud]:
    """Those clouds of a table that are on a map's sky and within its distances.

    Raises
    ------
    ConfigError
        A table without such a cloud.
    """
    if clouds is None:
        return {}
    reach_kpc = volume.distance.max_kpc
    inside = {
        name: clouds[name]
        for name in places_in(volume, dict(clouds))
        if clouds[name].distance_kpc < reach_kpc
    }
    if not inside:
        raise ConfigError(
            "no published cloud is inside the map: the table needs columns l_deg, b_deg with places within "
            f"{volume.grid.summary()[0]} and distances below {reach_kpc:g} kpc"
        )
    return inside


def draw_clouds(axis: Axes, places: np.ndarray, names: Sequence[str]) -> None:
    """Diamonds with names, each on the side where the frame has more room.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    places : ndarray [2, n]
        On the page.
    names : sequence of str [n]
    """
    look: dict[str, Any] = {"marker": "D", "s": 14, "facecolor": "white", "edgecolor": "black"}
    axis.scatter(*places, linewidths=0.8, zorder=8, **look)
    left, right = axis.get_xlim()
    for x, y, name in zip(*places, names, strict=True):
        rightwards = abs(x - left) < 0.6 * abs(right - left)
        how: dict[str, Any] = {"textcoords": "offset points", "fontsize": 6.5, "path_effects": _OUTLINE}
        how["ha"] = "left" if rightwards else "right"
        axis.annotate(name, (x, y), (4.0 if rightwards else -4.0, 3.0), zorder=9, **how)


def draw_clouds_from_above(axis: Axes, clouds: Clouds, towards: Any) -> None:
    """Clouds in the view from above, with a bar of one standard deviation along the sight.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    clouds : mapping of str to TableCloud
    towards : callable
        Unit vectors [2, ...] of longitudes on the page.
    """
    if not clouds:
        return
    for cloud in clouds.values():
        ends = cloud.distance_kpc + np.nan_to_num(cloud.std_kpc) * np.array([-1.0, 1.0])
        line = np.outer(towards(cloud.l_deg), np.maximum(ends, 0.0))
        axis.plot(*line, color="black", linewidth=1.0, path_effects=_OUTLINE, zorder=7)
    places = [cloud.distance_kpc * towards(cloud.l_deg) for cloud in clouds.values()]
    draw_clouds(axis, np.transpose(places), list(clouds))


def draw_arms(axis: Axes, arms: Sequence[SpiralArm], towards: Any, inches: np.ndarray) -> None:
    """Spiral arms that pass through the frame, each with its name along it.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        With its limits, and its other labels, which names avoid.
    arms : sequence of extmap_tf.galaxy.arms.SpiralArm
    towards : callable
        Unit vectors [2, ...] of longitudes on the page.
    inches : ndarray [2]
        Of a kpc on the page, in x and in y.
    """
    turn = np.array([towards(0.0), towards(90.0)]).T
    limits = np.array([axis.get_xlim(), axis.get_ylim()]) * inches[:, None]
    written: Any = axis.texts
    taken = [np.asarray(text.xy) * inches for text in written if text.get_text()]
    names = [arm.name for arm in PUBLISHED]
    for arm in arms:
        number = names.index(arm.name)
        page = turn @ arm.xy_kpc() * inches[:, None]
        inside = (page > limits[:, :1]).all(axis=0) & (page < limits[:, 1:]).all(axis=0)
        if not inside.any():
            continue
        how: dict[str, Any] = {"color": COLORS[number], "path_effects": _OUTLINE, "zorder": 4}
        x, y = page / inches[:, None]
        axis.plot(x, y, linestyle=_LINES[number], label=f"{arm.name} arm", **how)
        at, along = _best_place(page, inside, limits, taken)
        taken += [at, at + 0.6 * _HALF_NAME * along, at - 0.6 * _HALF_NAME * along]
        angle = math.degrees(math.atan2(along[1], along[0]))
        upright = angle - 180.0 * round(angle / 180.0)
        x, y = at / inches
        how = {**how, "zorder": 7, "fontsize": 6.5, "rotation": upright, "rotation_mode": "anchor"}
        axis.text(float(x), float(y), arm.name, ha="center", va="bottom", clip_on=True, **how)


def _best_place(page, inside, limits, taken):
    """Where a name stands, and the direction of the arm there: far from what is written, inside the frame."""
    along = np.gradient(page, axis=1)
    along = along / np.hypot(*along)
    room = np.minimum(page - limits[:, :1], limits[:, 1:] - page) - _HALF_NAME * np.abs(along) - _LETTER
    apart = np.full(page.shape[1], 1.0)
    for other in taken:
        apart = np.minimum(apart, np.hypot(*(page - other[:, None])))
    # Better cut off than over another name.
    worth = np.where(inside, 4.0 * np.minimum(room.min(axis=0), 0.0) + apart, -np.inf)
    best = int(np.argmax(worth))
    return page[:, best], along[:, best]
