"""What a survey makes of stars of known true magnitudes: the chance to be counted in each part of a diagram.

This is the mean of `extmap_tf.surveys.observing.observe`, integrated and not drawn.
"""

import itertools

import numpy as np
from scipy import sparse
from scipy.special import ndtr

from extmap_tf.grids.diagram import Diagram
from extmap_tf.settings.survey import SurveyConfig
from extmap_tf.surveys.limits import error_cut_mag
from extmap_tf.surveys.observing import detection_probability, faint_limit_mag, photometric_error

_SQRT_2_PI = np.sqrt(2.0 * np.pi)
_REACH_SIGMA = 4.0
# Stars of like errors are treated together: those of small ones reach few pixels.
_BLUE_ERRORS_MAG = (0.0, 0.045, 0.09, np.inf)
_LEAST_SHARE = 1e-6


def response(
    red_mag: np.ndarray,
    blue_mag: np.ndarray,
    widths_mag: tuple[float, float],
    survey: SurveyConfig,
    diagram: Diagram,
    blocks: np.ndarray,
    depth_mag: float = 0.0,
) -> sparse.csr_array:
    """Chance of stars to be counted in each block of pixels.

    Parameters
    ----------
    red_mag, blue_mag : ndarray [n]
        True magnitudes, extinction included: the centres of cells.
    widths_mag : (float, float)
        Widths of the cells in the red magnitude and in the colour, over which stars are spread evenly.
    survey : extmap_tf.settings.survey.SurveyConfig
    diagram : extmap_tf.grids.diagram.Diagram
    blocks : ndarray of int [n_pixels]
        Which block each flat pixel is in.
    depth_mag : float
        How much deeper than the survey the field is.

    Returns
    -------
    scipy.sparse.csr_array of float32 [n, n_blocks]
    """
    red, blue = red_mag - depth_mag, blue_mag - depth_mag
    cuts = survey.cuts
    chance = detection_probability(red, survey.red) * detection_probability(blue, survey.blue)
    hopeless = (red >= faint_limit_mag(survey.red, cuts)) | (blue >= faint_limit_mag(survey.blue, cuts))
    chance[hopeless] = 0.0
    in_cell = widths_mag[0] / np.sqrt(12.0)
    red_error = np.hypot(photometric_error(red, survey.red), in_cell)
    blue_error = np.hypot(photometric_error(blue, survey.blue), widths_mag[1] / np.sqrt(12.0))
    # Of what is between a star's red magnitude and the middle of its cell, this is its own and in both bands.
    own = (in_cell / red_error) ** 2
    rows, columns, shares = [], [], []
    for low, high in itertools.pairwise(_BLUE_ERRORS_MAG):
        here = np.flatnonzero((chance > 0) & (blue_error >= low) & (blue_error < high))
        if here.size:
            row, column, share = _shares(
                (red_mag[here], red_error[here], own[here]),
                (blue_mag[here], np.hypot(blue_error, in_cell * np.sqrt(1.0 - own))[here]),
                survey,
                diagram,
                depth_mag,
            )
            rows.append(here[row])
            columns.append(blocks[column])
            shares.append(share * chance[here[row]])
    shape = (len(red_mag), int(blocks.max()) + 1)
    if not rows:
        return sparse.csr_array(shape, dtype=np.float32)
    where = (np.concatenate(rows), np.concatenate(columns))
    return sparse.coo_array((np.concatenate(shares).astype(np.float32), where), shape=shape).tocsr()


def _shares(red, blue, survey, diagram, depth_mag):
    """Rows, flat pixels and chances of stars of (magnitudes, errors) [n] in both bands.

    Third of the red ones is the share of an observed difference that is in the blue band, too.
    """
    cuts, color = survey.cuts, diagram.x
    red_cut, blue_cut = (error_cut_mag(band, cuts) + depth_mag for band in (survey.red, survey.blue))
    star, part, seen, spread, chance = _red_parts(red[0], red[1], diagram.y, cuts.bright_mag, red_cut)
    own = red[2][star]
    true = (blue[0][star] + own * (seen - red[0][star]))[:, None]
    error = np.hypot(blue[1][star], (1.0 - own) * spread)[:, None]
    seen = seen[:, None]
    n_near = int(np.ceil(2 * _REACH_SIGMA * error.max() / color.width)) + 1
    first = np.floor((true - seen - _REACH_SIGMA * error - color.minimum) / color.width)
    pixel = first.astype(np.int64) + np.arange(n_near)
    edges = seen + color.minimum + color.width * (first + np.arange(n_near + 1))
    share = np.diff(ndtr((np.clip(edges, cuts.bright_mag, blue_cut) - true) / error), axis=1)
    share *= chance[:, None]
    row, near = np.nonzero(color.holds(pixel) & (share > _LEAST_SHARE))
    return star[row], part[row] * color.n_pixels + pixel[row, near], share[row, near]


def _red_parts(mag, error, axis, bright_mag, cut_mag):
    """Where stars are seen along the red magnitude: inside a row of pixels, at their mean.

    Returns
    -------
    star, row : ndarray of int [m]
        Which star, and in which row.
    seen, spread, chance : ndarray [m]
        Mean and standard deviation of the observed magnitudes there, and the chance to be there.
    """
    width = axis.width
    n_near = int(np.ceil(2 * _REACH_SIGMA * error.max() / width)) + 1
    first = np.floor((mag - _REACH_SIGMA * error - axis.minimum) / width)
    part = first.astype(np.int64)[:, None] + np.arange(n_near)
    edges = axis.minimum + width * (first[:, None] + np.arange(n_near + 1))
    x = (np.clip(edges, bright_mag, cut_mag) - mag[:, None]) / error[:, None]
    below, density = ndtr(x), np.exp(-0.5 * x**2) / _SQRT_2_PI
    chance = np.diff(below, axis=1)
    star, near = np.nonzero((part >= 0) & (part < axis.n_pixels) & (chance > _LEAST_SHARE))
    chance = chance[star, near]
    # Moments of a normal distribution cut at both ends.
    mean = -np.diff(density, axis=1)[star, near] / chance
    square = 1.0 - np.diff(x * density, axis=1)[star, near] / chance
    spread = np.sqrt(np.maximum(square - mean**2, 0.0)) * error[star]
    return star, part[star, near], mag[star] + mean * error[star], spread, chance
