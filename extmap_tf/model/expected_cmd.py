"""What a CMD is expected to hold: the exact mean of `extmap_tf.mocks.dim_and_count`, tabulated by extinction.

Every star of a mock catalog of many fields is dimmed by each extinction of a grid. What the survey then makes
of it - loss, noise, cuts - is not drawn but integrated: a star at its true place in the diagram is spread
over the pixels with the probabilities of `extmap_tf.survey`.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse
from scipy.special import ndtr, ndtri

from extmap_tf.errors import ConfigError
from extmap_tf.extinction.law import blue_over_red
from extmap_tf.grids import EDGE_TOLERANCE
from extmap_tf.mocks import sightline_catalog
from extmap_tf.survey import detection_probability, error_cut_mag, faint_limit_mag, photometric_error

# Apart from the catalogs that pairs are drawn from: a fit must not know the very stars of its CMD.
_FIT = 6

# True magnitudes are binned this fine: 0.025 mag of colour and 0.04 mag of Ks where a pixel is 0.1 and 0.15,
# less than the smallest photometric error.
_PARTS = 4
# Pixels around the CMD whose stars noise may carry into it.
_MARGIN = 6
# Equally probable values of the error in the red band.
_RED_NODES = 24
_BLUE_REACH_SIGMA = 4.5

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
    """

    l_deg: float
    b_deg: float
    extinction_mag: np.ndarray
    counts: np.ndarray
    pixels: np.ndarray
    n_fields: float


def extinction_grid(max_mag):
    """Extinctions of a table [n_extinctions], from 0 to `max_mag` or a little more."""
    step = _FIRST_STEP_MAG / _LINEAR_MAG
    n = int(np.ceil(np.arcsinh(max_mag / _LINEAR_MAG) / step)) + 1
    return (_LINEAR_MAG * np.sinh(step * np.arange(n))).astype(np.float32)


def expected_cmd(config, l_deg, b_deg, n_fields=64.0, max_mag=None):
    """Tabulate the expected CMD of a sightline.

    Parameters
    ----------
    config : extmap_tf.config.Config
    l_deg, b_deg : float
        With catalogs of a Galaxy model in the configuration, the nearest of their sightlines is taken.
    n_fields : float
        Size of the built-in Galaxy's catalog in fields. The table has 1 / n_fields of the variance of one
        field's counts.
    max_mag : float, optional
        Largest extinction; by default twice the prior's largest total, since patchiness exceeds it. Stars
        behind more are taken to be behind this.

    Returns
    -------
    ExpectedCmd
    """
    if not n_fields >= 1:
        raise ConfigError(f"n_fields must be 1 or more, got: {n_fields!r}")
    if config.mocks.catalogs:
        l_deg, b_deg = _nearest(config.mocks.sightlines_deg(), l_deg, b_deg)
    config = config.replace(**{"mocks.pool_fields": float(n_fields)})
    # Past the cache: catalogs of so many fields are large, and each is needed once.
    catalog = sightline_catalog.__wrapped__(config, l_deg, b_deg, _FIT)
    extinction_mag = extinction_grid(2.0 * config.profiles.total_max_mag if max_mag is None else max_mag)
    distance, ratio = config.distance, np.float32(blue_over_red(config.law, config.survey))
    edges = np.float32(distance.max_kpc) * (1 - 1e-6)
    shell = np.where(
        catalog.distance_kpc < edges,
        (catalog.distance_kpc / np.float32(distance.step_kpc)).astype(np.int64),
        distance.n_distances,
    )
    n_shells = distance.n_distances + 1
    survey, grid = config.survey, config.cmd
    operator = _spread_operator(survey, grid)
    shape, low, width = _fine_grid(grid)
    scale = np.float32(config.sightlines.area_deg2 / catalog.area_deg2)
    counts = np.zeros((n_shells, len(extinction_mag), grid.n_pixels), np.float32)
    color_mag = catalog.blue_mag - catalog.red_mag
    for i, a_red in enumerate(extinction_mag):
        mag = np.floor((catalog.red_mag + a_red - low[0]) / width[0])
        color = np.floor((color_mag + (ratio - 1) * a_red - low[1]) / width[1])
        inside = (mag >= 0) & (mag < shape[0]) & (color >= 0) & (color < shape[1])
        fine = mag[inside].astype(np.int64) * shape[1] + color[inside].astype(np.int64)
        stars = sparse.csr_array(
            (np.full(fine.size, scale), (shell[inside], fine)), shape=(n_shells, shape[0] * shape[1])
        )
        counts[:, i] = (stars @ operator).toarray()
    pixels = np.flatnonzero(counts.max(axis=(0, 1)) > 0)
    return ExpectedCmd(
        float(l_deg),
        float(b_deg),
        extinction_mag,
        counts[:, :, pixels],
        pixels,
        catalog.area_deg2 / config.sightlines.area_deg2,
    )


@lru_cache(maxsize=4)
def _spread_operator(survey, grid):
    """Probability that a star in a fine cell of true magnitudes is counted in a pixel.

    Returns
    -------
    scipy.sparse.csr_array of float32 [n_cells, n_pixels]
    """
    shape, low, width = _fine_grid(grid)
    red, color = np.meshgrid(
        *(low[i] + width[i] * (np.arange(shape[i]) + 0.5) for i in (0, 1)), indexing="ij"
    )
    red, blue = red.ravel(), (red + color).ravel()
    cuts = survey.cuts
    seen = detection_probability(red, survey.red) * detection_probability(blue, survey.blue)
    seen[(red >= faint_limit_mag(survey.red, cuts)) | (blue >= faint_limit_mag(survey.blue, cuts))] = 0.0
    cells = np.flatnonzero(seen > 0)
    red, blue, seen = red[cells], blue[cells], seen[cells]
    red_error, blue_error = photometric_error(red, survey.red), photometric_error(blue, survey.blue)
    red_cut, blue_cut = error_cut_mag(survey.red, cuts), error_cut_mag(survey.blue, cuts)
    mag_width = (grid.mag_max_mag - grid.mag_min_mag) / grid.n_mag
    color_width = (grid.color_max_mag - grid.color_min_mag) / grid.n_color
    n_near = int(np.ceil(2 * _BLUE_REACH_SIGMA * blue_error.max(initial=0.0) / color_width)) + 2
    operator = sparse.csr_array((shape[0] * shape[1], grid.n_pixels), dtype=np.float32)
    for node in ndtri((np.arange(_RED_NODES) + 0.5) / _RED_NODES):
        observed = red + node * red_error
        mag = np.floor((observed - grid.mag_min_mag) / mag_width + EDGE_TOLERANCE).astype(np.int64)
        kept = np.flatnonzero(
            (observed <= red_cut) & (observed >= cuts.bright_mag) & (mag >= 0) & (mag < grid.n_mag)
        )
        observed, true, error = observed[kept, None], blue[kept, None], blue_error[kept, None]
        first = np.floor((true - observed - _BLUE_REACH_SIGMA * error - grid.color_min_mag) / color_width)
        pixel = first.astype(np.int64) + np.arange(n_near)
        edges = observed + grid.color_min_mag + color_width * (first + np.arange(n_near + 1))
        below = ndtr((np.clip(edges, cuts.bright_mag, blue_cut) - true) / error)
        share = np.diff(below, axis=1) * (seen[kept, None] / _RED_NODES)
        inside = (pixel >= 0) & (pixel < grid.n_color) & (share > 1e-7)
        row, _ = np.nonzero(inside)
        column = (mag[kept, None] * grid.n_color + pixel)[inside]
        operator = operator + sparse.csr_array(
            (share[inside].astype(np.float32), (cells[kept[row]], column)), shape=operator.shape
        )
    return operator


def _fine_grid(grid):
    """Shape, lower ends and widths of the cells of true magnitude and colour."""
    width = np.array(
        [
            (grid.mag_max_mag - grid.mag_min_mag) / grid.n_mag,
            (grid.color_max_mag - grid.color_min_mag) / grid.n_color,
        ]
    )
    low = np.array([grid.mag_min_mag, grid.color_min_mag]) - _MARGIN * width
    shape = tuple(_PARTS * (n + 2 * _MARGIN) for n in grid.shape)
    return shape, low, width / _PARTS


def _nearest(sightlines, l_deg, b_deg):
    def apart(place):
        x = (place[0] - l_deg + 180.0) % 360.0 - 180.0
        return (x * np.cos(np.radians(b_deg))) ** 2 + (place[1] - b_deg) ** 2

    return min(sightlines, key=apart)
