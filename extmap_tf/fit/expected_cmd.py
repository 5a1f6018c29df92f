"""What a CMD is expected to hold: the mean of `extmap_tf.mocks.fields.dim_and_count` by extinction.

All nuisances are zero. Every star of a mock catalog of many fields is dimmed by each extinction of a grid.
What the survey then makes of it - loss, noise, cuts - is not drawn but integrated: a star at its true place
in the diagram is spread over the pixels with the probabilities of `extmap_tf.surveys.observing`. How much
depth a field loses to crowding follows from all its stars: it is one number for a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.special import ndtr, ndtri

from extmap_tf.errors import ConfigError
from extmap_tf.extinction.law import mean_blue_over_red
from extmap_tf.grids.diagram import Axis, Diagram
from extmap_tf.mocks.pools import fit_catalog
from extmap_tf.settings.config import Config
from extmap_tf.settings.mocks import MIN_POOL_FIELDS
from extmap_tf.settings.survey import SurveyConfig
from extmap_tf.surveys.limits import error_cut_mag, is_faint_enough
from extmap_tf.surveys.observing import (
    detection_probability,
    faint_limit_mag,
    loss_of_count,
    photometric_error,
)

# True magnitudes are binned this fine, in magnitude and colour: 0.02 mag of Ks and 0.025 mag of colour where
# a pixel is 0.15 and 0.1, about the smallest photometric error.
_MAG_PARTS, _COLOR_PARTS = 8, 4
# Pixels around the CMD whose stars noise may carry into it.
_MARGIN = 6
# Equally probable values of the error in the red band.
_RED_NODES = 24
_BLUE_REACH_SIGMA = 4.5

# Fields share a table if their losses of depth differ by less than this.
_LOSS_STEP_MAG = 0.05

# The extinctions of a table grow from steps of 0.015 mag, which move a star by a quarter of a pixel, in
# proportion to A beyond A = 1 mag, where patchiness blurs the diagram anyway.
_FIRST_STEP_MAG = 0.015
_LINEAR_MAG = 1.0


@dataclass(frozen=True, eq=False)
class ExpectedCmd:
    """Expected stars of one field by shell of distance and extinction.

    Parameters
    ----------
    l_deg, b_deg : float
        The sightline.
    extinction_mag : ndarray of float32 [n_extinctions]
        A(red), ascending from 0; `extinction_grid`.
    counts : ndarray of float32 [n_distances + 1, n_extinctions, n_kept]
        Stars per pixel and field of each distance bin, and of all beyond the last one.
    pixels : ndarray of int64 [n_kept]
        Flat pixels of the CMD that any of these stars can reach.
    n_fields : float
        Fields in the catalog that the table was made from.
    loss_mag : float
        How much brighter than elsewhere the survey's limits are: crowding.
    """

    l_deg: float
    b_deg: float
    extinction_mag: np.ndarray
    counts: np.ndarray
    pixels: np.ndarray
    n_fields: float
    loss_mag: float


def extinction_grid(max_mag: float) -> np.ndarray:
    """Extinctions of a table [n_extinctions], from 0 to `max_mag` or a little more."""
    step = _FIRST_STEP_MAG / _LINEAR_MAG
    n = int(np.ceil(np.arcsinh(max_mag / _LINEAR_MAG) / step)) + 1
    return (_LINEAR_MAG * np.sinh(step * np.arange(n))).astype(np.float32)


def crowding_losses_mag(
    counts: ArrayLike, diagram: Diagram, survey: SurveyConfig, area_deg2: ArrayLike
) -> np.ndarray:
    """The loss of depth that crowding makes in each field, by the field's own CMD.

    The stars brighter than the limit of `extmap_tf.surveys.observing.crowding_loss_mag` are nearly
    all in the CMD. Those that the blue band loses behind much dust are not: behind less than 1 mag of
    A(red) the loss is right to 0.01 mag, behind more than 1.5 mag it is too small by
    0.03 to 0.1 mag in the densest `carina` fields.

    Parameters
    ----------
    counts : array_like [n_fields, n_mag, n_color]
    diagram : extmap_tf.grids.diagram.Diagram
    survey : extmap_tf.settings.survey.SurveyConfig
    area_deg2 : float or array_like [n_fields]
        Of a field that is covered as these are.

    Returns
    -------
    ndarray of float [n_fields]
        Multiples of 0.05 mag, so that fields can share tables.
    """
    stars = np.asarray(counts, float).sum(axis=2)
    up_to_edge = np.pad(np.cumsum(stars, axis=1), ((0, 0), (1, 0)))
    losses = [
        loss_of_count(np.interp(survey.crowding.limit_mag, diagram.y.edges, brighter), survey, float(area))
        for brighter, area in zip(up_to_edge, np.broadcast_to(area_deg2, len(up_to_edge)), strict=True)
    ]
    return np.round(_LOSS_STEP_MAG * np.round(np.array(losses) / _LOSS_STEP_MAG), 9)


def expected_cmds(
    config: Config,
    l_deg: float,
    b_deg: float,
    losses_mag: Sequence[float],
    n_fields: float = 64.0,
    max_mag: float | None = None,
) -> list[ExpectedCmd]:
    """Tabulate the expected CMDs of a sightline, one for each loss of depth.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
    l_deg, b_deg : float
        With catalogs of a Galaxy model in the configuration, the nearest of their sightlines is taken.
    losses_mag : sequence of float
        How much brighter than elsewhere the survey's limits are: of `crowding_losses_mag`.
    n_fields : float
        Size of the built-in Galaxy's catalog in fields. The table has 1 / n_fields of the variance of one
        field's counts.
    max_mag : float, optional
        Largest extinction; by default twice the prior's largest total, since patchiness exceeds it. Stars
        behind more are taken to be behind this.

    Returns
    -------
    list of ExpectedCmd
    """
    if not MIN_POOL_FIELDS <= n_fields <= 1000:
        raise ConfigError(f"n_fields must be {MIN_POOL_FIELDS:g} to 1000, got: {n_fields!r}")
    if config.mocks.catalogs:
        l_deg, b_deg = _nearest(config.mocks.sightlines_deg(), l_deg, b_deg)
    catalog = fit_catalog(config, l_deg, b_deg, n_fields)
    extinction_mag = extinction_grid(2.0 * config.profiles.total_max_mag if max_mag is None else max_mag)
    survey, diagram, n_shells = config.survey, config.diagrams[0], config.distance.n_distances + 1
    operators = [_spread_operator(survey, diagram, float(loss_mag)) for loss_mag in losses_mag]
    counts = [np.zeros((n_shells, len(extinction_mag), diagram.n_pixels), np.float32) for _ in operators]
    scale = np.float32(config.sightlines.area_deg2 / catalog.area_deg2)
    limits_mag = [faint_limit_mag(band, survey.cuts) - min(losses_mag) for band in (survey.red, survey.blue)]
    for i, stars in enumerate(_dimmed(catalog, extinction_mag, config, *limits_mag)):
        for table, operator in zip(counts, operators, strict=True):
            table[:, i] = scale * (stars @ operator).toarray()
    tables = []
    for loss_mag in losses_mag:
        table = counts.pop(0)
        pixels = np.flatnonzero(table.max(axis=(0, 1)) > 0)
        place = (float(l_deg), float(b_deg))
        n_found = catalog.area_deg2 / config.sightlines.area_deg2
        tables.append(
            ExpectedCmd(*place, extinction_mag, table[:, :, pixels], pixels, n_found, float(loss_mag))
        )
    return tables


def expected_cmd(
    config: Config,
    l_deg: float,
    b_deg: float,
    n_fields: float = 64.0,
    max_mag: float | None = None,
    loss_mag: float = 0.0,
) -> ExpectedCmd:
    """The same for a single loss of depth."""
    return expected_cmds(config, l_deg, b_deg, [loss_mag], n_fields, max_mag)[0]


def _dimmed(catalog, extinction_mag, config, red_limit_mag, blue_limit_mag):
    """Yield, for every extinction, the stars by shell and fine cell: sparse [n_shells, n_cells]."""
    distance = config.distance
    ratio = np.float32(mean_blue_over_red(config.law, config.survey, config.nuisances))
    shell = np.where(
        catalog.distance_kpc < np.float32(distance.max_kpc) * (1 - 1e-6),
        (catalog.distance_kpc / np.float32(distance.step_kpc)).astype(np.int64),
        distance.n_distances,
    )
    order = np.argsort(shell, kind="stable")
    shell = shell[order]
    survey = config.survey
    blue_mag, red_mag = (catalog.magnitudes[band.name][order] for band in (survey.blue, survey.red))
    fine = _finer(config.diagrams[0])
    for a_red in extinction_mag:
        # Extinctions ascend: what is too faint behind this one is so behind all that follow.
        bright = (red_mag + a_red < red_limit_mag) & (blue_mag + ratio * a_red < blue_limit_mag)
        if not bright.all():
            shell, red_mag, blue_mag = shell[bright], red_mag[bright], blue_mag[bright]
        mag = fine.y.place_of(red_mag + a_red)
        color = fine.x.place_of(blue_mag - red_mag + (ratio - 1) * a_red)
        inside = fine.y.holds(mag) & fine.x.holds(color)
        cells = (np.floor(mag[inside]) * fine.x.n_pixels + np.floor(color[inside])).astype(np.int32)
        rows = np.searchsorted(shell[inside], np.arange(distance.n_distances + 2))
        yield sparse.csr_array(
            (np.ones(cells.size, np.float32), cells, rows.astype(np.int32)),
            shape=(distance.n_distances + 1, fine.n_pixels),
        )


@lru_cache(maxsize=16)
def _spread_operator(survey, diagram, loss_mag):
    """Probability that a star in a fine cell of true magnitudes is counted in a pixel.

    The survey has lost `loss_mag` of depth.

    Returns
    -------
    scipy.sparse.csr_array of float32 [n_cells, n_pixels]
    """
    fine, (mag_axis, color_axis) = _finer(diagram), (diagram.y, diagram.x)
    red, color = np.meshgrid(fine.y.centers, fine.x.centers, indexing="ij")
    red, blue = red.ravel(), (red + color).ravel()
    cuts = survey.cuts
    red_limit, blue_limit = (faint_limit_mag(band, cuts) - loss_mag for band in (survey.red, survey.blue))
    seen = detection_probability(red + loss_mag, survey.red)
    seen *= detection_probability(blue + loss_mag, survey.blue)
    seen[(red >= red_limit) | (blue >= blue_limit)] = 0.0
    cells = np.flatnonzero(seen > 0)
    red, blue, seen = red[cells], blue[cells], seen[cells]
    red_error = photometric_error(red + loss_mag, survey.red)
    blue_error = photometric_error(blue + loss_mag, survey.blue)
    red_cut, blue_cut = (error_cut_mag(band, cuts) - loss_mag for band in (survey.red, survey.blue))
    color_width = color_axis.width
    n_near = int(np.ceil(2 * _BLUE_REACH_SIGMA * blue_error.max(initial=0.0) / color_width)) + 2
    operator = sparse.csr_array((fine.n_pixels, diagram.n_pixels), dtype=np.float32)
    for node in ndtri((np.arange(_RED_NODES) + 0.5) / _RED_NODES):
        observed = red + node * red_error
        mag = mag_axis.place_of(observed)
        kept = np.flatnonzero((observed <= red_cut) & is_faint_enough(observed, cuts) & mag_axis.holds(mag))
        observed, true, error = observed[kept, None], blue[kept, None], blue_error[kept, None]
        first = np.floor((true - observed - _BLUE_REACH_SIGMA * error - color_axis.minimum) / color_width)
        pixel = first.astype(np.int64) + np.arange(n_near)
        edges = observed + color_axis.minimum + color_width * (first + np.arange(n_near + 1))
        below = ndtr((np.clip(edges, cuts.bright_mag, blue_cut) - true) / error)
        share = np.diff(below, axis=1) * (seen[kept, None] / _RED_NODES)
        inside = color_axis.holds(pixel) & (share > 1e-7)
        row, _ = np.nonzero(inside)
        column = (mag[kept, None].astype(np.int64) * color_axis.n_pixels + pixel)[inside]
        operator = operator + sparse.csr_array(
            (share[inside].astype(np.float32), (cells[kept[row]], column)), shape=operator.shape
        )
    return operator


def _finer(diagram: Diagram) -> Diagram:
    """The cells of true magnitude and colour, which reach beyond the diagram."""

    def finer(axis, n_parts):
        reach = _MARGIN * axis.width
        n = n_parts * (axis.n_pixels + 2 * _MARGIN)
        return Axis(axis.quantity, axis.bands, axis.minimum - reach, axis.maximum + reach, n)

    return Diagram(diagram.survey, finer(diagram.y, _MAG_PARTS), finer(diagram.x, _COLOR_PARTS))


def _nearest(sightlines, l_deg, b_deg):
    def apart(place):
        x = (place[0] - l_deg + 180.0) % 360.0 - 180.0
        return (x * np.cos(np.radians(b_deg))) ** 2 + (place[1] - b_deg) ** 2

    return min(sightlines, key=apart)
