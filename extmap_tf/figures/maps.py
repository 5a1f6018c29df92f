"""Pictures of a map. Each function returns a matplotlib `Figure`; `save` writes it as PNG or PDF.

Estimate and truth side by side share one colour scale. Grey is where there is no profile.
"""

import math
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import Flag
from extmap_tf.figures.sky_view import MISSING, STEPS, edges_of, sky_view
from extmap_tf.files import whole_file, whole_paths
from extmap_tf.galaxy.arms import PUBLISHED
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map.query import profiles_at

FORMATS = ("png", "pdf")

# Okabe & Ito's colours, told apart with any colour vision.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
ESTIMATE, TRUTH = COLORS[0], "#555555"

# The brightest half percent of cells do not set the colour scale.
TOP_PERCENTILE = 99.5

# Intervals of an estimate: percentiles, name, how opaque.
INTERVALS = (((5.0, 95.0), "90 % interval", 0.18), ((16.0, 84.0), "68 % interval", 0.32))

# What a view from above is of where a grid may be anywhere on the sky.
NEAR_THE_PLANE_DEG = 10.0

# A sector narrower than this is a diagonal sliver unless it is turned into the frame.
NARROW_DEG = 40.0


def save(figure, path, overwrite=False, dpi=200):
    """Write a figure, as PNG or PDF by the suffix of `path`; the same figure gives the same bytes.

    Raises
    ------
    ConfigError
        Another suffix.
    DataError
        The file exists and `overwrite` is false.
    """
    suffix = Path(path).suffix.lower().lstrip(".")
    if suffix not in FORMATS:
        raise ConfigError(f"a figure's file name must end in .png or .pdf, got: {path}")
    metadata = {"CreationDate": None} if suffix == "pdf" else {}
    with whole_file(path, "wb", overwrite=overwrite) as stream:
        figure.savefig(stream, format=suffix, dpi=dpi, bbox_inches="tight", metadata=metadata)


def save_all(drawings, overwrite=False):
    """Write figures that appear together.

    Parameters
    ----------
    drawings : dict of path-like to callable
        What draws the figure of each path.
    overwrite : bool
    """
    with whole_paths(drawings, overwrite) as temporary:
        for path, draw in zip(temporary, drawings.values(), strict=True):
            save(draw(), path)


def face_on(volume, b_max_deg=None, z_max_kpc=None, truth=None, arms=()):
    """The density seen from above the plane, averaged over the sightlines at each longitude and distance.

    A cell is drawn at its heliocentric distance d along the sightline, (d cos l, d sin l): circles are of one
    distance at every latitude. The Galactic centre is to the right; a narrow sector is turned to lie along
    the frame instead, and its axes say so.

    Parameters
    ----------
    volume : ExtinctionMap
    b_max_deg : float, optional
        Only sightlines with abs(b) up to this; of HEALPix pixels by default `NEAR_THE_PLANE_DEG`.
    z_max_kpc : float, optional
        Only bins whose centre is up to this far from the plane through the Sun.
    truth : ExtinctionMap, optional
        Drawn beside, on the same colour scale.
    arms : sequence of extmap_tf.galaxy.arms.SpiralArm
        Draw these spiral arms.
    """
    means = [_plane_mean(one, b_max_deg, z_max_kpc) for one in _panels(volume, truth)]
    norm, extend = _scale(means)
    l_edges, _ = _columns(volume.grid)
    l_right = 0.5 * (l_edges[0] + l_edges[-1]) if np.ptp(l_edges) < NARROW_DEG else 0.0
    x, y = volume.distance.edges_kpc * _direction(l_edges, l_right)[..., None]
    reach = max(np.ptp(x), np.ptp(y))
    arrow = 0.12 * reach * _direction(0.0, l_right)
    # Room for the labels around: at the outer edge, and at the tip of the arrow.
    ends = np.array([[x.min(), y.min()], [x.max(), y.max()], [0.0, 0.0], 1.6 * arrow])
    margin = np.array([0.13, 0.09]) * reach
    left, low = ends.min(axis=0) - margin
    right, high = ends.max(axis=0) + margin
    figure, axes = _frames(len(means), (right - left) / (high - low), area_in2=30.0)
    for axis, mean, title in zip(axes, means, _titles(volume, truth), strict=True):
        mesh = axis.pcolormesh(x, y, mean, norm=norm, cmap=_cmap("magma_r"), rasterized=True)
        axis.set(aspect="equal", xlim=(left, right), ylim=(low, high), title=title)
        _draw_polar_marks(axis, l_edges, volume.distance.max_kpc, l_right, arrow, reach)
        handles = _draw_arms(axis, arms, l_right)
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    if l_right:
        _outer_labels(axes, f"distance along l = {l_right % 360:g}° (kpc)", "across, towards larger l (kpc)")
    else:
        _outer_labels(axes, "x (kpc), towards the Galactic centre", "y (kpc), towards l = 90°")
    _colorbar(figure, mesh, axes, f"mean density of A({volume.provenance.band}) (mag/kpc)", extend)
    return figure


def sky(volume, d_max_kpc=None, truth=None, slices_kpc=None):
    """Extinction on the sky, l increasing to the left.

    Parameters
    ----------
    volume : ExtinctionMap
    d_max_kpc : float, optional
        Integrate from the Sun to here; to the last distance if left out.
    truth : ExtinctionMap, optional
        Drawn beside, on the same colour scale.
    slices_kpc : sequence of float, optional
        Edges of slices of distance, ascending, instead of `d_max_kpc`; one row or panel each.
    """
    edges = (0.0, volume.distance.max_kpc if d_max_kpc is None else d_max_kpc)
    edges = np.asarray(edges if slices_kpc is None else slices_kpc, float)
    last = volume.distance.max_kpc * (1.0 + 1e-9)
    if len(edges) < 2 or edges[0] < 0 or edges[-1] > last or not (np.diff(edges) > 0).all():
        raise ConfigError(
            f"distances of a sky view must ascend within 0 to {volume.distance.max_kpc:g} kpc, "
            f"got: {edges.tolist()}"
        )
    layers, titles = [], []
    for i in range(len(edges) - 1):
        for one, title in zip(_panels(volume, truth), _titles(volume, truth), strict=True):
            at_edges = profiles_at(one.extinction, one.distance, edges[i : i + 2])
            layers.append(at_edges[..., 1] - at_edges[..., 0])
            titles.append(f"{title}, {edges[i]:.3g} to {edges[i + 1]:.3g} kpc")
    norm, extend = _scale(layers)
    view = sky_view(volume.grid)
    n_columns = _sky_columns(len(layers), view.shape, truth)
    figure, axes = _frames(len(layers), view.shape, area_in2=16.0, n_columns=n_columns)
    for axis, layer, title in zip(axes, layers, titles, strict=True):
        mesh = view.draw(axis, layer, norm, colormaps["magma_r"], title)
    _outer_labels(axes, *view.labels)
    _colorbar(figure, mesh, axes, f"A({volume.provenance.band}) (mag)", extend)
    return figure


def latitude_cuts(volume, l_deg=None, truth=None):
    """The density against latitude and distance, at some longitudes.

    Parameters
    ----------
    volume : ExtinctionMap
    l_deg : sequence of float, optional
        Longitudes, in degrees: the nearest of the grid are drawn, or the HEALPix pixels they run through. By
        default up to four, evenly spread.
    truth : ExtinctionMap, optional
        Drawn beside, on the same colour scale.
    """
    grid = volume.grid
    chosen = _cut_longitudes(volume) if l_deg is None else np.asarray(l_deg, float)
    layers, titles = [], []
    for l in chosen:
        b_edges, l_drawn, index = _cut(grid, l)
        place = np.unravel_index(np.maximum(index, 0), grid.shape)
        for one, title in zip(_panels(volume, truth), _titles(volume, truth), strict=True):
            layers.append(np.where(index[:, None] >= 0, one.density[place], np.nan))
            titles.append(f"{title}, l = {l_drawn % 360:g}°")
    norm, extend = _scale(layers)
    edges = volume.distance.edges_kpc
    figure, axes = _frames(len(layers), 2.4, area_in2=16.0, n_columns=1 if truth is None else 2)
    for axis, layer, title in zip(axes, layers, titles, strict=True):
        mesh = axis.pcolormesh(edges, b_edges, layer, norm=norm, cmap=_cmap("magma_r"), rasterized=True)
        axis.set_title(title, fontsize="medium")
        axis.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    _outer_labels(axes, "distance (kpc)", "b (deg)")
    _colorbar(figure, mesh, axes, f"density of A({volume.provenance.band}) (mag/kpc)", extend)
    return figure


def trust(volume, d_kpc=None):
    """How far a map can be trusted: its uncertainty at a distance, and the reliable distance, on the sky.

    A dot marks a field that is unlike the training diagrams.

    Parameters
    ----------
    volume : ExtinctionMap
        With a distribution.
    d_kpc : float, optional
        Of the uncertainty; the last distance if left out.
    """
    if not volume.percentiles:
        raise DataError("the map has no uncertainty to draw: it has one profile a sightline")
    d_kpc = volume.distance.max_kpc if d_kpc is None else d_kpc
    if not 0 < d_kpc <= volume.distance.max_kpc * (1.0 + 1e-9):
        raise ConfigError(f"d_kpc must be above 0 and at most {volume.distance.max_kpc:g}, got: {d_kpc:g}")
    std = profiles_at(volume.extinction_std, volume.distance, [d_kpc])[..., 0]
    band = volume.provenance.band
    norm, extend = _scale([std])
    panels = (
        (std, norm, "viridis", extend, "(mag)", f"standard deviation of A({band}) to {d_kpc:.3g} kpc"),
        (
            volume.reliable_distance_kpc,
            Normalize(0.0, volume.distance.max_kpc),
            "cividis",
            "neither",
            "(kpc)",
            "reliable distance",
        ),
    )
    view = sky_view(volume.grid)
    figure, axes = _frames(2, view.shape, area_in2=16.0)
    doubtful = volume.has_profile & (volume.flag > 0)
    for axis, (layer, norm, cmap, extend, label, title) in zip(axes, panels, strict=True):
        mesh = view.draw(axis, layer, norm, colormaps[cmap], title)
        marks = view.mark(axis, doubtful)
        _colorbar(figure, mesh, [axis], label, extend)
    if doubtful.any():
        marks.set_label("field unlike the training diagrams")
        figure.legend(handles=[marks], loc="outside upper right", frameon=False)
    _outer_labels(axes, *view.labels)
    return figure


def profiles(volume, sightlines, truth=None, cmds=None):
    """Extinction and density against distance, and perhaps the CMD, one row a sightline.

    The line of a map with a distribution is the median, between its 68 and 90 % intervals; a dotted line
    is the reliable distance.

    Parameters
    ----------
    volume : ExtinctionMap
    sightlines : sequence of (float, float)
        (l, b) in degrees; the nearest sightlines of the map are drawn.
    truth : ExtinctionMap, optional
    cmds : (Diagram, ndarray [n_sightlines, n_mag, n_color]), optional
        The diagrams that the profiles come from: stars in each pixel.
    """
    if not len(sightlines):
        raise ConfigError("profiles need one or more sightlines (l, b), got: none")
    n = len(sightlines)
    band = volume.provenance.band
    if cmds is None:
        figure = Figure(figsize=(9.0, 0.8 + 2.0 * n), layout="constrained")
        axes = figure.subplots(n, 2, squeeze=False)
    else:
        figure = Figure(figsize=(11.5, 0.8 + 2.3 * n), layout="constrained")
        every = figure.subplots(n, 3, squeeze=False, width_ratios=(0.8, 1.0, 1.0))
        axes = every[:, 1:]
        _draw_cmds(figure, every[:, 0], *cmds, volume.provenance)
    for axis in axes[:-1].ravel():
        axis.tick_params(labelbottom=False)
    shown = {}
    for (l, b), (left, right) in zip(sightlines, axes, strict=True):
        curves = [(volume, ESTIMATE, volume.provenance.kind, 1.6, 3)]
        if truth is not None:
            curves.append((truth, TRUTH, "truth", 2.6, 2))
        for one, color, label, width, order in curves:
            style = {"color": color, "linewidth": width, "zorder": order}
            shown |= _draw_profile(left, right, one, l, b, label, **style)
        left.set_title(f"l = {l:g}°, b = {b:g}°", loc="left", fontsize="medium")
        left.set_ylabel(f"A({band}) (mag)")
        right.set_ylabel(f"density of A({band}) (mag/kpc)" if n == 1 else "density (mag/kpc)")
        for axis in (left, right):
            axis.set_xlim(0.0, volume.distance.max_kpc)
            axis.set_ylim(bottom=0.0)
            axis.grid(alpha=0.25)
    if shown:
        names, lines = list(shown), list(shown.values())
        figure.legend(lines, names, loc="outside upper center", ncols=5, frameon=False)
    for axis in axes[-1]:
        axis.set_xlabel("distance (kpc)")
    return figure


def errors_against_distance(rows):
    """Mean absolute and root-mean-square error, bias and relative error against distance.

    Parameters
    ----------
    rows : sequence of extmap_tf.evaluation.metrics.DistanceErrors
        One line for each group among them.
    """
    if not rows:
        raise DataError("no errors to draw: give one or more rows of profile_errors")
    figure = Figure(figsize=(11.0, 3.8), layout="constrained")
    size, bias, relative = figure.subplots(1, 3)
    groups = list(dict.fromkeys(row.group for row in rows))
    for i, group in enumerate(groups):
        chosen = [row for row in rows if row.group == group]
        distance_kpc = [row.distance_kpc for row in chosen]
        style = {"color": COLORS[i % len(COLORS)], "marker": "os^Dvpx"[i % 7], "markersize": 5}
        size.plot(distance_kpc, [row.mean_absolute_error_mag for row in chosen], label=group, **style)
        size.plot(distance_kpc, [row.rmse_mag for row in chosen], linestyle="--", alpha=0.7, **style)
        bias.plot(distance_kpc, [row.bias_mag for row in chosen], **style)
        relative.plot(distance_kpc, [100 * row.relative_error for row in chosen], **style)
    size.plot([], [], color="black", label="mean |error|")
    size.plot([], [], color="black", linestyle="--", alpha=0.7, label="rms error")
    bias.axhline(0.0, color="black", linewidth=0.8)
    size.set_ylabel("error of the extinction (mag)")
    bias.set_ylabel("bias: mean of estimate − truth (mag)")
    relative.set_ylabel("mean |error| / mean truth (%)")
    for axis in (size, bias, relative):
        axis.set_xlabel("distance (kpc)")
        axis.set_xlim(left=0.0)
        axis.grid(alpha=0.25)
    for axis in (size, relative):
        axis.set_ylim(0.0, 1.08 * axis.dataLim.ymax)
    figure.legend(loc="outside upper center", ncols=min(len(groups) + 2, 4), frameon=False)
    return figure


def _panels(volume, truth):
    if truth is None:
        return [volume]
    if truth.grid != volume.grid or truth.distance != volume.distance:
        raise DataError(
            "maps drawn side by side must have the same grids: compare_maps says which value differs"
        )
    return [volume, truth]


def _titles(volume, truth):
    return [volume.provenance.kind] if truth is None else [volume.provenance.kind, truth.provenance.kind]


def reaches_the_plane(grid):
    """Whether `face_on` has something to draw by default."""
    _, b_deg = grid.centers_deg()
    return isinstance(grid, SightlineGrid) or bool((np.abs(b_deg) <= NEAR_THE_PLANE_DEG).any())


def _columns(grid):
    """Edges [n + 1] of the longitudes of a view from above, and the column of each sightline."""
    if isinstance(grid, SightlineGrid):
        return edges_of(grid.l_deg, grid.step_deg), np.arange(grid.n_sightlines) % grid.n_l
    # As far apart as pixels are on the equator; rings lie there half a step askew.
    step = 90.0 / grid.nside
    first = math.floor(grid.l_min_deg / step + 1e-9)
    n = min(math.floor(grid.l_max_deg / step + 1e-9) + 1 - first, 4 * grid.nside)
    l_deg, _ = grid.centers_deg()
    column = np.floor(np.mod(l_deg - step * first, 360.0) / step + 1e-9).astype(int)
    return step * (first + np.arange(n + 1)), column


def _plane_mean(volume, b_max_deg, z_max_kpc):
    """Mean density [n_columns, n_distances] over the sightlines asked for; NaN where there is none."""
    grid = volume.grid
    if b_max_deg is None and not isinstance(grid, SightlineGrid):
        b_max_deg = NEAR_THE_PLANE_DEG
    _, b_deg = grid.centers_deg()
    chosen = np.full(b_deg.shape, True) if b_max_deg is None else np.abs(b_deg) <= b_max_deg + 1e-9
    z_kpc = np.sin(np.radians(b_deg))[:, None] * volume.distance.centers_kpc
    near = chosen[:, None] & (np.abs(z_kpc) <= (np.inf if z_max_kpc is None else z_max_kpc))
    if not near.any():
        raise ConfigError(
            f"no sightline within b_max_deg = {b_max_deg}, z_max_kpc = {z_max_kpc}: the map has b "
            f"{grid.b_min_deg:g} to {grid.b_max_deg:g} deg; widen them"
        )
    l_edges, column = _columns(grid)
    density = volume.density.reshape(grid.n_sightlines, -1)
    counted = near & np.isfinite(density)
    number, total = np.zeros((2, l_edges.size - 1, volume.distance.n_distances))
    np.add.at(number, column, counted)
    np.add.at(total, column, np.where(counted, density, 0.0))
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _cut_longitudes(volume):
    """Up to four longitudes, evenly spread over those with a profile."""
    if not volume.has_profile.any():
        raise DataError("no sightline of the map has a profile: nothing to draw")
    good = volume.has_profile.ravel()
    _, column = _columns(volume.grid)
    # Through a sightline of the column, which its middle may miss at the edge of a region.
    known, first = np.unique(column[good], return_index=True)
    n = min(4, known.size)
    l_deg, _ = volume.grid.centers_deg(np.flatnonzero(good)[first])
    return l_deg[((np.arange(n) + 0.5) / n * known.size).astype(int)]


def _cut(grid, l_deg):
    """A cut at a longitude: edges in b [n + 1], the longitude that is drawn, sightlines [n], -1 without."""
    if isinstance(grid, SightlineGrid):
        column = grid.sightline_of([l_deg], [grid.b_deg[0]])[0]
        index = column + grid.n_l * np.arange(grid.n_b)
        edges = edges_of(grid.b_deg, grid.step_deg)
        drawn = grid.l_deg[column]
    else:
        # Finer than the pixels, which lie askew.
        half = 0.5 * grid.field_deg
        low, high = max(grid.b_min_deg - half, -90.0), min(grid.b_max_deg + half, 90.0)
        edges = np.linspace(low, high, 4 * math.ceil((high - low) / grid.field_deg) + 1)
        index = grid.sightline_of(np.float64(l_deg), 0.5 * (edges[1:] + edges[:-1]))
        column, drawn = index.max(), l_deg
    if column < 0:
        raise DataError(f"longitude l = {l_deg:g} is outside the map")
    return edges, drawn, index


def _draw_polar_marks(axis, l_edges, max_kpc, l_right, arrow, reach_kpc):
    """Distance circles, longitudes, the Sun and the direction of the Galactic centre."""
    low, high = l_edges[0], l_edges[-1]
    around = _direction(np.linspace(low, high, 361), l_right)
    closed = high - low > 359.0
    # Beside the sector's edge; a full circle has none, and l = 225 is away from every other label.
    start, beside = (225.0, 225.0) if closed else (low, low - 90.0)
    for radius in MaxNLocator(5, steps=STEPS).tick_values(0.0, max_kpc):
        if 0 < radius <= max_kpc * (1 + 1e-9):
            axis.plot(*radius * around, color="black", linewidth=0.5, alpha=0.5)
            _label(axis, f"{radius:g} kpc", radius * _direction(start, l_right), _direction(beside, l_right))
    apart = max((high - low) / 6.5, math.degrees(0.08 * reach_kpc / max_kpc))
    step = next((s for s in (1, 2, 5, 10, 15, 30, 45) if s >= apart), 60)
    for l in np.arange(math.ceil(low / step), math.floor(high / step + 1e-9) + 1) * step:
        toward = _direction(l, l_right)
        axis.plot(*np.outer(toward, [0.0, max_kpc]), color="black", linewidth=0.5, alpha=0.25)
        if l - low < 360.0 - 0.5 * step:
            _label(axis, f"l = {l % 360:g}°", max_kpc * toward, toward)
    style = {"arrowstyle": "-|>", "color": "black", "shrinkA": 5, "shrinkB": 0}
    style["path_effects"] = [withStroke(linewidth=3.0, foreground="white")]
    axis.annotate("", arrow, (0.0, 0.0), arrowprops=style)
    _label(axis, "Galactic\ncentre", arrow, arrow / np.hypot(*arrow))
    axis.plot(0.0, 0.0, marker="o", color="#E69F00", markeredgecolor="black", markersize=7, zorder=7)
    # Beside the Sun, where neither the sector nor the arrow is.
    away = -(around[:, 180] + arrow / np.hypot(*arrow))
    _label(axis, "Sun", (0.0, 0.0), away / max(np.hypot(*away), 1e-6))


def _label(axis, text, place, toward):
    """Text beside `place`, shifted in the direction `toward`."""
    horizontal = "left" if toward[0] > 0.5 else "right" if toward[0] < -0.5 else "center"
    vertical = "bottom" if toward[1] > 0.5 else "top" if toward[1] < -0.5 else "center"
    box = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.7}
    shift = 6.0 * np.asarray(toward)
    axis.annotate(
        text,
        place,
        shift,
        textcoords="offset points",
        ha=horizontal,
        va=vertical,
        fontsize=8,
        bbox=box,
        zorder=6,
    )


def _draw_profile(left, right, volume, l_deg, b_deg, label, **style):
    """Draw one map's profile; what it drew as a dict of name to artist, or empty after saying why not."""
    cumulative, flag = volume.query_gal(l_deg, b_deg, return_flags=True)
    if not np.isfinite(cumulative.value).all():
        why = next((bit.meaning for bit in Flag if flag & bit.value), "no data")
        right.text(0.97, 0.9, f"{label}: {why}", transform=right.transAxes, ha="right", va="top")
        return {}
    edges, shown = volume.distance.edges_kpc, {}
    density = volume.query_gal(l_deg, b_deg, quantity="density").value
    right.stairs(density, edges, baseline=None, **style)
    shown[label] = left.plot(edges, np.append(0.0, cumulative.value), **style)[0]
    if not volume.percentiles:
        return shown
    shown = {f"{label}, median": shown[label]}
    for percentiles, name, alpha in INTERVALS:
        look = {"color": style["color"], "alpha": alpha, "linewidth": 0.0, "zorder": 1}
        how = {"mode": "percentile", "percentile": percentiles}
        low, high = volume.query_gal(l_deg, b_deg, **how).value
        shown[name] = left.fill_between(edges, np.append(0.0, low), np.append(0.0, high), **look)
        low, high = volume.query_gal(l_deg, b_deg, quantity="density", **how).value
        right.stairs(high, edges, baseline=low, fill=True, **look)
    index = volume.grid.sightline_of([l_deg], [b_deg])[0]
    limit_kpc = volume.reliable_distance_kpc[np.unravel_index(index, volume.grid.shape)]
    for axis in (left, right):
        line = axis.axvline(limit_kpc, color="black", linestyle=":", linewidth=1.0)
    return shown | {"reliable to": line}


def _draw_cmds(figure, axes, diagram, counts, origin):
    """Diagrams on one scale, cut to the pixels where one of them has stars."""
    filled = np.nonzero(np.asarray(counts).any(axis=0))
    rows, columns = (
        (index.min(initial=n - 1), index.max(initial=0) + 1)
        for index, n in zip(filled, diagram.shape, strict=True)
    )
    mag_edges, color_edges = diagram.edges
    norm = LogNorm(0.7, max(float(np.max(counts)), 2.0))
    for axis, image in zip(axes, counts, strict=True):
        shown = np.ma.masked_equal(image, 0)
        mesh = axis.pcolormesh(color_edges, mag_edges, shown, norm=norm, cmap="viridis", rasterized=True)
        axis.set_xlim(*color_edges[list(columns)])
        axis.set_ylim(*mag_edges[list(rows)][::-1])
        axis.set_ylabel(f"{origin.band} (mag)")
        if axis is not axes[-1]:
            axis.tick_params(labelbottom=False)
    axes[-1].set_xlabel(f"{origin.blue_band} − {origin.band} (mag)")
    ticks = [t for power in range(5) for t in (10**power, 2 * 10**power, 5 * 10**power) if t <= norm.vmax]
    style = {"location": "left", "shrink": 1.0 / len(axes) ** 0.5, "aspect": 20.0, "format": "{x:g}"}
    bar = figure.colorbar(mesh, ax=list(axes), label="stars per pixel", ticks=ticks, **style)
    bar.minorticks_off()


def _draw_arms(axis, arms, l_right):
    """Draw spiral arms; the lines of those that are in the frame, for a legend."""
    turn = np.array([_direction(0.0, l_right), _direction(90.0, l_right)]).T
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    lines = []
    names = [arm.name for arm in PUBLISHED]
    for arm in arms:
        number = names.index(arm.name)
        x, y = turn @ arm.xy_kpc()
        if ((x > left) & (x < right) & (y > low) & (y < high)).any():
            effects = [withStroke(linewidth=3.0, foreground="white")]
            style = {"color": COLORS[number], "linewidth": 1.5, "path_effects": effects, "zorder": 4}
            style["linestyle"] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)))[number]
            lines += axis.plot(x, y, label=f"{arm.name} arm", **style)
    return lines


def _direction(l_deg, l_right_deg):
    """Unit vectors [2, ...] of longitudes in a view with `l_right_deg` to the right."""
    angle = np.radians(np.asarray(l_deg) - l_right_deg)
    return np.array([np.cos(angle), np.sin(angle)])


def _scale(layers):
    """One linear colour scale from 0 for all layers, and whether values exceed it."""
    values = np.concatenate([layer[np.isfinite(layer)] for layer in layers])
    top = np.percentile(values, TOP_PERCENTILE) if values.size else 0.0
    extend = "max" if values.size and values.max() > top else "neither"
    return Normalize(0.0, top if top > 0 else 1.0), extend


def _cmap(name):
    return colormaps[name].with_extremes(bad=MISSING)


def _frames(n, shape, area_in2, n_columns=None):
    """A figure of `n` panels of width / height `shape`, `area_in2` square inches each or less if many."""
    if n_columns is None:
        n_columns = 1 if shape > 1.4 else n
    n_rows = math.ceil(n / n_columns)
    area_in2 = area_in2 / max(1.0, n / 3.0)
    width, height = math.sqrt(area_in2 * shape), math.sqrt(area_in2 / shape)
    figure = Figure(
        figsize=(1.6 + n_columns * (width + 0.7), 0.4 + n_rows * (height + 0.8)), layout="compressed"
    )
    axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).ravel()
    for spare in axes[n:]:
        spare.remove()
    return figure, axes[:n]


def _sky_columns(n, shape, truth):
    if truth is not None and n > 2:
        return 2
    return 1 if shape > 1.4 else _balanced(n)


def _balanced(n):
    """Columns for `n` panels: at most 4, rows of nearly equal length."""
    return math.ceil(n / math.ceil(n / 4))


def _outer_labels(axes, x_label, y_label):
    """Label the axes at the outside of a grid of panels only."""
    for i, axis in enumerate(axes):
        place = axis.get_subplotspec()
        n_columns = place.get_gridspec().ncols
        if i + n_columns >= len(axes):
            axis.set_xlabel(x_label)
            axis.tick_params(labelbottom=True)
        if place.is_first_col():
            axis.set_ylabel(y_label)


def _colorbar(figure, mesh, axes, label, extend="neither"):
    # The bar keeps its width, about a quarter of an inch, on tall figures too.
    aspect = max(12.0, 4.0 * figure.get_figheight())
    figure.colorbar(mesh, ax=list(axes), label=label, extend=extend, aspect=aspect, extendfrac=0.03, pad=0.02)
