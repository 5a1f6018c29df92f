r"""Whether an estimate is as sure as it says: coverage, CRPS, rank of the truth, and what is called reliable.

An estimate is given by percentiles of its distribution, at every distance by itself. Between two percentiles
its distribution function is taken to be linear; what lies outside the first and the last of them is taken to
lie on them. With the nine of `extmap_tf.estimate.PERCENTILES` the mean CRPS of a Gaussian comes out right to
0.2 % if the truths are as it says, and to 1.5 % if it is twice too wide.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from extmap_tf.errors import DataError
from extmap_tf.estimate import (
    PERCENTILES,
    RELIABLE_FRACTION,
    RELIABLE_MAG,
    is_reliable,
    reliable_distance_kpc,
)
from extmap_tf.text_tables import aligned, row_to_dict

CENTRAL_PERCENT = (50, 68, 90, 95)


@dataclass(frozen=True)
class Calibration:
    """How well stated distributions agree with the truths, at one distance, over a group of sightlines.

    Parameters
    ----------
    quantity : {"extinction", "density"}
    group : str
        Which sightlines.
    distance_kpc : float
        Of the extinction, or the middle of the bin of the density.
    n, n_excluded : int
        Sightlines that count, and those left out because of a NaN.
    coverage_50, coverage_68, coverage_90, coverage_95 : float
        Share of the truths inside the central interval, both ends included; NaN where its percentiles are not
        given.
    crps : float
        Mean continuous ranked probability score, mag or mag / kpc: `crps_of_percentiles`.
    half_width_68 : float
        Mean of half the central 68 % interval, mag or mag / kpc.
    ranks : tuple of float [n_percentiles + 1]
        Share of the truths below the first percentile, between each two, and above the last: the histogram
        of the probability integral transform.
    """

    quantity: str
    group: str
    distance_kpc: float
    n: int
    n_excluded: int
    coverage_50: float
    coverage_68: float
    coverage_90: float
    coverage_95: float
    crps: float
    half_width_68: float
    ranks: tuple[float, ...]

    to_dict = row_to_dict


@dataclass(frozen=True)
class Reliability:
    """What `extmap_tf.estimate.is_reliable` is worth, over a group of sightlines and all distances.

    Parameters
    ----------
    group : str
    n : int
    quartiles_kpc : tuple of float [3]
        Of the reliable distances, `extmap_tf.estimate.reliable_distance_kpc`.
    reliable_share : float
        Share of the profiles' values that are reliable.
    kept_share : float
        Share of these that are as close to the truth as is asked of them; 0.68 or more where the intervals
        are honest.
    mean_absolute_error_reliable_mag, mean_absolute_error_unreliable_mag : float
        Of the median extinction, where it is reliable and where not; NaN without such values.
    """

    group: str
    n: int
    quartiles_kpc: tuple[float, ...]
    reliable_share: float
    kept_share: float
    mean_absolute_error_reliable_mag: float
    mean_absolute_error_unreliable_mag: float

    to_dict = row_to_dict


def crps_of_percentiles(
    percentiles: ArrayLike, truth: ArrayLike, levels: Sequence[float] = PERCENTILES
) -> np.ndarray:
    r"""Continuous ranked probability score of distributions given by percentiles.

    .. math:: \mathrm{CRPS} = \int (F(x) - H(x - y))^2 dx

    (Gneiting & Raftery 2007, JASA 102, 359, eq. 20), exact for the distribution function F described at the
    top of this module. It has the unit of the values, and is the absolute error where all percentiles agree.

    Parameters
    ----------
    percentiles : array_like [..., n_percentiles, n]
        Ascending along the last but one axis.
    truth : array_like [..., n]
    levels : sequence of float [n_percentiles]
        In percent.

    Returns
    -------
    ndarray [..., n]
    """
    q, y, f = _checked(percentiles, truth, levels)
    low, high = q[..., :-1, :], q[..., 1:, :]
    f_low, f_high = f[:-1, None], f[1:, None]
    # Each segment of F is split where the truth is: F^2 is integrated below it, (1 - F)^2 above it.
    split = np.clip(y, low, high)
    width = high - low
    share = np.divide(split - low, width, out=np.zeros_like(width), where=width > 0)
    f_split = f_low + share * (f_high - f_low)
    below = (split - low) * _mean_square(f_low, f_split)
    above = (high - split) * _mean_square(1.0 - f_split, 1.0 - f_high)
    outside = np.maximum(q[..., :1, :] - y, 0.0) + np.maximum(y - q[..., -1:, :], 0.0)
    return (below + above).sum(axis=-2) + outside[..., 0, :]


def calibration_of(
    truth: ArrayLike,
    percentiles: ArrayLike,
    distances_kpc: Iterable[float],
    quantity: str = "extinction",
    group: str = "all",
    levels: Sequence[float] = PERCENTILES,
) -> list[Calibration]:
    """Calibration of each column.

    Parameters
    ----------
    truth : array_like [n_sightlines, n]
        mag, or mag / kpc. A sightline with a NaN here or in `percentiles` is left out.
    percentiles : array_like [n_sightlines, n_percentiles, n]
    distances_kpc : sequence of float [n]
    quantity, group : str
    levels : sequence of float [n_percentiles]
        In percent.

    Returns
    -------
    list of Calibration

    Raises
    ------
    DataError
        The shapes do not go together, or percentiles fall.
    """
    truth, percentiles = np.asarray(truth, float), np.asarray(percentiles, float)
    good = np.isfinite(truth).all(axis=-1) & np.isfinite(percentiles).all(axis=(-2, -1))
    q, y, _ = _checked(percentiles[good], truth[good], levels)
    y = y[:, 0]
    n, n_excluded = int(good.sum()), int((~good).sum())
    if not n:
        nothing: list[Any] = [math.nan] * 6 + [(math.nan,) * (len(levels) + 1)]
        return [Calibration(quantity, group, float(d), 0, n_excluded, *nothing) for d in distances_kpc]
    inside = {c: _inside(q, y, levels, c) for c in CENTRAL_PERCENT}
    crps = crps_of_percentiles(q, y, levels)
    widths = _interval(q, levels, 68)
    half_width = np.full(y.shape[1], math.nan) if widths is None else 0.5 * np.mean(widths[1] - widths[0], 0)
    rank = (y[:, None] > q).sum(axis=1)
    return [
        Calibration(
            quantity=quantity,
            group=group,
            distance_kpc=float(d),
            n=n,
            n_excluded=n_excluded,
            **{f"coverage_{c}": float(inside[c][i]) for c in CENTRAL_PERCENT},
            crps=float(crps[:, i].mean()),
            half_width_68=float(half_width[i]),
            ranks=tuple(float(x) for x in np.bincount(rank[:, i], minlength=len(levels) + 1) / n),
        )
        for i, d in enumerate(distances_kpc)
    ]


def reliability_of(
    truth: ArrayLike,
    percentiles: ArrayLike,
    outer_kpc: ArrayLike,
    group: str = "all",
    levels: Sequence[float] = PERCENTILES,
) -> Reliability:
    """What reliable values are worth.

    Parameters
    ----------
    truth : array_like [n_sightlines, n_distances]
        Extinction, mag.
    percentiles : array_like [n_sightlines, n_percentiles, n_distances]
        Among them 16, 50 and 84.
    outer_kpc : array_like [n_distances]
    group : str
    levels : sequence of float [n_percentiles]

    Returns
    -------
    Reliability
    """
    truth, percentiles = np.asarray(truth, float), np.asarray(percentiles, float)
    good = np.isfinite(truth).all(axis=-1) & np.isfinite(percentiles).all(axis=(-2, -1))
    inside, stated = truth[good], percentiles[good]
    try:
        p16, p50, p84 = (stated[:, list(levels).index(level)] for level in (16.0, 50.0, 84.0))
    except ValueError:
        raise DataError(f"the percentiles must hold 16, 50 and 84, got: {list(levels)}") from None
    reliable = is_reliable(p16, p50, p84)
    reach = reliable_distance_kpc(reliable, outer_kpc)
    error = np.abs(p50 - inside)
    close = error <= np.maximum(RELIABLE_MAG, RELIABLE_FRACTION * p50)
    return Reliability(
        group=group,
        n=len(inside),
        quartiles_kpc=tuple(float(x) for x in np.percentile(reach, (25, 50, 75)))
        if len(inside)
        else (math.nan,) * 3,
        reliable_share=_mean(reliable),
        kept_share=_mean(close[reliable]),
        mean_absolute_error_reliable_mag=_mean(error[reliable]),
        mean_absolute_error_unreliable_mag=_mean(error[~reliable]),
    )


def calibration_table(rows: Sequence[Calibration]) -> tuple[Sequence[tuple[str, str]], list[list[str]]]:
    """Rows of `Calibration` of one quantity, as `extmap_tf.evaluation.profile_errors.errors_table`."""
    unit = "mag" if rows[0].quantity == "extinction" else "mag/kpc"
    header = (
        (rows[0].quantity, ""),
        ("distance", "kpc"),
        ("n", ""),
        *((f"in {c} %", "%") for c in CENTRAL_PERCENT),
        ("CRPS", unit),
        ("half 68 %", unit),
    )
    lines = [
        [
            row.group,
            f"{row.distance_kpc:g}",
            str(row.n),
            *(f"{100 * getattr(row, f'coverage_{c}'):.1f}" for c in CENTRAL_PERCENT),
            f"{row.crps:.4f}",
            f"{row.half_width_68:.4f}",
        ]
        for row in rows
    ]
    return header, lines


def format_calibration(rows: Sequence[Calibration]) -> str:
    """Rows of `Calibration` of one quantity as aligned plain text."""
    return aligned(*calibration_table(rows))


def reliability_table(rows: Sequence[Reliability]) -> tuple[Sequence[tuple[str, str]], list[list[str]]]:
    """Rows of `Reliability`, as `extmap_tf.evaluation.profile_errors.errors_table`."""
    header = (
        ("reliable distance", ""),
        ("n", ""),
        ("25 %", "kpc"),
        ("50 %", "kpc"),
        ("75 %", "kpc"),
        ("reliable", "%"),
        ("kept", "%"),
        ("|error| of these", "mag"),
        ("|error| of others", "mag"),
    )
    lines = [
        [
            row.group,
            str(row.n),
            *(f"{x:.1f}" for x in row.quartiles_kpc),
            f"{100 * row.reliable_share:.1f}",
            f"{100 * row.kept_share:.1f}",
            f"{row.mean_absolute_error_reliable_mag:.4f}",
            f"{row.mean_absolute_error_unreliable_mag:.4f}",
        ]
        for row in rows
    ]
    return header, lines


def format_reliability(rows: Sequence[Reliability]) -> str:
    """Rows of `Reliability` as aligned plain text."""
    return aligned(*reliability_table(rows))


def _checked(percentiles, truth, levels):
    """Percentiles [..., n_percentiles, n], truths [..., 1, n], and levels as shares."""
    q, y, f = np.asarray(percentiles, float), np.asarray(truth, float), np.asarray(levels, float) / 100.0
    if q.ndim < 2 or q.shape[:-2] + q.shape[-1:] != y.shape or q.shape[-2] != len(f):
        raise DataError(
            f"percentiles must be [..., {len(f)}, n] for truths [..., n], got: {q.shape} and {y.shape}"
        )
    if not ((f > 0) & (f < 1)).all() or not (np.diff(f) > 0).all():
        raise DataError(f"levels of percentiles must ascend between 0 and 100, got: {list(levels)}")
    # What a single-precision graph rounds is no fall.
    if (np.diff(q, axis=-2) < -1e-4 * (1.0 + np.abs(q[..., 1:, :]))).any():
        raise DataError("percentiles must not fall from one level to the next")
    return np.maximum.accumulate(q, axis=-2), y[..., None, :], f


def _interval(q, levels, percent):
    """Ends of a central interval, each [n_sightlines, n]; None where the levels lack it."""
    ends = [50.0 - 0.5 * percent, 50.0 + 0.5 * percent]
    if not set(ends) <= set(levels):
        return None
    return [q[:, list(levels).index(end)] for end in ends]


def _inside(q, y, levels, percent):
    ends = _interval(q, levels, percent)
    if ends is None:
        return np.full(y.shape[1], math.nan)
    return ((y >= ends[0]) & (y <= ends[1])).mean(axis=0)


def _mean_square(a, b):
    """Mean of the square of a linear function between its values at both ends."""
    return (a * a + a * b + b * b) / 3.0


def _mean(values):
    return float(values.mean()) if values.size else math.nan
