"""The standard set of figures of a map."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from extmap_tf.errors import DataError
from extmap_tf.evaluation.metrics import require_same_ground
from extmap_tf.evaluation.profile_errors import profile_errors
from extmap_tf.figures.animation import ANIMATION, save_animation
from extmap_tf.figures.evaluation import errors_against_distance
from extmap_tf.figures.marks import Clouds, clouds_inside
from extmap_tf.figures.plane import face_on, reaches_the_plane
from extmap_tf.figures.profiles import profiles
from extmap_tf.figures.sky import latitude_cuts, sky, slices
from extmap_tf.figures.style import TWO_COLUMNS, figure_paths, save_all
from extmap_tf.figures.trust import trust
from extmap_tf.files import local_path, refuse_existing
from extmap_tf.galaxy.arms import PUBLISHED, SpiralArm, arms_named, mock_arms
from extmap_tf.grids.diagram import Cmds
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.settings.dust import DustConfig

# Where slices end, over the last distance.
_SLICES = (0.1, 0.2, 0.3, 0.5)


def draw_all(
    volume: ExtinctionMap,
    out: str | Path,
    truth: ExtinctionMap | None = None,
    sightlines: Sequence[tuple[float, float]] | None = None,
    suffix: str = "png",
    overwrite: bool = False,
    arms: bool | Iterable[str] | None = False,
    cmds: Callable[[], Cmds] | None = None,
    clouds: Clouds | None = None,
    width: float = TWO_COLUMNS,
    animate: bool = False,
) -> list[Path]:
    """Draw the standard figures: face-on view, sky, slices, cuts in latitude, profiles, uncertainty, errors.

    The first is left out where no sightline is near the plane. They appear together.

    Parameters
    ----------
    volume : ExtinctionMap
    out : path-like
        Folder for the figures; made if needed.
    truth : ExtinctionMap, optional
        Of the same grids; then errors against distance are drawn too.
    sightlines : sequence of (float, float), optional
        (l, b) in degrees of the profiles to draw; by default six spread over the map.
    suffix : {"png", "pdf"}
    overwrite : bool
    arms : bool or sequence of str
        Draw spiral arms over the face-on view, all or those of these names: the published ones or, of a mock
        sky whose truth is given, those along which its dust was drawn (with the pitch angle of `DustConfig`).
    cmds : callable, optional
        Gives the diagrams of `sightlines`, to draw beside the profiles; called after all else was checked.
    clouds : mapping of str to extmap_tf.compare.published_clouds.TableCloud, optional
        Draw those that are inside the map over the face-on view, the sky and its slices.
    width : float
        Of the page, inches: `extmap_tf.figures.style.WIDTHS`.
    animate : bool
        Also make ``distances.gif``, see `extmap_tf.figures.animation`.

    Returns
    -------
    list of pathlib.Path

    Raises
    ------
    DataError
        A figure exists already, no sightline has a profile, or a chosen one is outside the map.
    MismatchError
        The truth is of other grids.
    ConfigError
        No cloud is inside the map.
    """
    drawings = standard_figures(volume, truth, sightlines, arms, cmds, clouds, width)
    paths = figure_paths(drawings, out, suffix, overwrite)
    moving = local_path(out) / f"{ANIMATION}.gif"
    if animate:
        refuse_existing(moving, overwrite)
    save_all({paths[name]: draw for name, draw in drawings.items()}, overwrite)
    if not animate:
        return list(paths.values())
    save_animation(volume, moving, truth, width, overwrite)
    return [*paths.values(), moving]


def standard_figures(
    volume: ExtinctionMap,
    truth: ExtinctionMap | None = None,
    sightlines: Sequence[tuple[float, float]] | None = None,
    arms: bool | Iterable[str] | None = False,
    cmds: Callable[[], Cmds] | None = None,
    clouds: Clouds | None = None,
    width: float = TWO_COLUMNS,
) -> dict[str, Callable[[], Figure]]:
    """The standard set: dict of name to a function that draws it. Parameters and errors as for `draw_all`."""
    if truth is not None:
        require_same_ground(volume, truth)
    clouds_inside(volume, clouds)
    drawn_arms = chosen_arms(volume, truth, arms)
    chosen = sightlines or spread_sightlines(volume)
    for l_deg, b_deg in chosen:
        if volume.grid.sightline_of([l_deg], [b_deg])[0] < 0:
            raise DataError(f"sightline l = {l_deg:g}, b = {b_deg:g} is outside the map")
    drawings = {}
    if reaches_the_plane(volume.grid):
        drawings["face_on"] = lambda: face_on(
            volume, truth=truth, arms=drawn_arms, clouds=clouds, width=width
        )
    drawings |= {
        "sky": lambda: sky(volume, truth=truth, clouds=clouds, width=width),
        "slices": lambda: slices(volume, slice_edges_kpc(volume.distance), truth, clouds, width),
        "latitudes": lambda: latitude_cuts(volume, truth=truth, width=width),
        "profiles": lambda: profiles(volume, chosen, truth, cmds() if cmds else (), width),
    }
    if volume.percentiles:
        drawings["trust"] = lambda: trust(volume, width=width)
    if truth is not None:
        drawings["errors"] = lambda: errors_against_distance(_errors_everywhere(volume, truth), width)
    return drawings


def chosen_arms(
    volume: ExtinctionMap, truth: ExtinctionMap | None, arms: bool | Iterable[str] | None
) -> list[SpiralArm]:
    """The arms to draw: of a mock sky, known by its truth, or of the Galaxy; `arms` as for `draw_all`."""
    a_mock = truth is not None or volume.provenance.kind == "truth"
    return arms_named(arms, mock_arms(DustConfig().pitch_deg) if a_mock else PUBLISHED)


def _errors_everywhere(volume, truth):
    """Errors of all sightlines at every distance of the map."""
    of_truth, of_map = (one.extinction.reshape(volume.grid.n_sightlines, -1) for one in (truth, volume))
    return profile_errors(of_truth, of_map, volume.distance, volume.distance.outer_kpc)


def slice_edges_kpc(distance: DistanceGrid) -> list[float]:
    """Edges of slices that get thicker with distance, as the map's resolution does: whole bins."""
    last = distance.n_distances
    bins = {0, *(round(share * last) for share in _SLICES), last}
    return [float(distance.edges_kpc[k]) for k in sorted(bins)]


def spread_sightlines(volume: ExtinctionMap, n: int = 6) -> list[tuple[float, float]]:
    """(l, b) of `n` sightlines with a profile, evenly spaced in the order of their total extinction."""
    index = np.flatnonzero(volume.has_profile)
    if not index.size:
        raise DataError("no sightline of the map has a profile: nothing to draw")
    order = np.argsort(volume.extinction[..., -1].ravel()[index], kind="stable")
    picked = order[np.linspace(0, order.size - 1, min(n, order.size)).round().astype(int)]
    return [volume.grid.center_deg(int(index[k])) for k in picked]
