"""The standard set of figures of a map."""

import numpy as np

from extmap_tf.errors import DataError
from extmap_tf.evaluation.metrics import compare_maps, require_same_ground
from extmap_tf.figures import maps as figures
from extmap_tf.files import local_path, refuse_existing
from extmap_tf.galaxy.arms import PUBLISHED, arms_named, mock_arms
from extmap_tf.settings.dust import DustConfig


def draw_all(volume, out, truth=None, sightlines=None, suffix="png", overwrite=False, arms=False, cmds=None):
    """Draw the standard figures: face-on view, sky, slices, cuts in latitude, profiles, uncertainty, errors.

    The first is left out where no sightline is near the plane.

    Parameters
    ----------
    volume : extmap_tf.map.volume.ExtinctionMap
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
    cmds : (Diagram, ndarray [n_sightlines, n_mag, n_color]), optional
        The diagrams of `sightlines`, to draw beside the profiles.

    Returns
    -------
    list of pathlib.Path

    Raises
    ------
    DataError
        A figure exists already, no sightline has a profile, or a chosen one is outside the map.
    MismatchError
        The truth is of other grids.
    """
    drawings = standard_figures(volume, truth, sightlines, arms, cmds)
    paths = figure_paths(volume, out, truth, suffix, overwrite)
    figures.save_all({path: drawings[name] for name, path in paths.items()}, overwrite)
    return list(paths.values())


def figure_paths(volume, out, truth=None, suffix="png", overwrite=False):
    """Where `draw_all` puts its figures: dict of name to path; DataError if one exists already."""
    paths = {name: local_path(out) / f"{name}.{suffix}" for name in standard_figures(volume, truth)}
    for path in paths.values():
        refuse_existing(path, overwrite)
    return paths


def standard_figures(volume, truth=None, sightlines=None, arms=False, cmds=None):
    """The standard set: dict of name to a function that draws it. Parameters and errors as for `draw_all`."""
    if truth is not None:
        require_same_ground(volume, truth)
    drawn_arms = arms_named(arms, _arms_behind(volume, truth))
    chosen = sightlines or spread_sightlines(volume)
    for l_deg, b_deg in chosen:
        if volume.grid.sightline_of([l_deg], [b_deg])[0] < 0:
            raise DataError(f"sightline l = {l_deg:g}, b = {b_deg:g} is outside the map")
    drawings = {}
    if figures.reaches_the_plane(volume.grid):
        drawings["face_on"] = lambda: figures.face_on(volume, truth=truth, arms=drawn_arms)
    drawings |= {
        "sky": lambda: figures.sky(volume, truth=truth),
        "slices": lambda: figures.sky(volume, truth=truth, slices_kpc=slice_edges_kpc(volume.distance)),
        "latitudes": lambda: figures.latitude_cuts(volume, truth=truth),
        "profiles": lambda: figures.profiles(volume, chosen, truth=truth, cmds=cmds),
    }
    if volume.percentiles:
        drawings["trust"] = lambda: figures.trust(volume)
    if truth is not None:
        drawings["errors"] = lambda: figures.errors_against_distance(compare_maps(volume, truth).overall)
    return drawings


def _arms_behind(volume, truth):
    """The arms of a mock sky, known by its truth, or those of the Galaxy."""
    a_mock = truth is not None or volume.provenance.kind == "truth"
    return mock_arms(DustConfig().pitch_deg) if a_mock else PUBLISHED


def slice_edges_kpc(distance):
    """Edges of slices that get thicker with distance, as the map's resolution does."""
    return [0.0, *(d for d in (1.0, 2.0, 3.0, 5.0) if d < 0.99 * distance.max_kpc), distance.max_kpc]


def spread_sightlines(volume, n=6):
    """(l, b) of `n` sightlines with a profile, evenly spaced in the order of their total extinction."""
    index = np.flatnonzero(volume.has_profile)
    if not index.size:
        raise DataError("no sightline of the map has a profile: nothing to draw")
    order = np.argsort(volume.extinction[..., -1].ravel()[index], kind="stable")
    picked = order[np.linspace(0, order.size - 1, min(n, order.size)).round().astype(int)]
    return [volume.grid.center_deg(int(index[k])) for k in picked]
