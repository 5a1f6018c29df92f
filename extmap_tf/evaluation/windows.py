"""Windows of distance: errors and honesty of A(d2) - A(d1), the extinction between two distances.

Intervals of A(d) that hold at every distance say little about what lies between two distances: that is in how
errors at the two hang together, which only whole profiles tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from extmap_tf.text_tables import aligned, row_to_dict

LAGS_KPC = (0.2, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class WindowScore:
    """Estimates of A(d2) - A(d1) over all sightlines and all windows of a length.

    Parameters
    ----------
    lag_kpc : float
        d2 - d1.
    from_kpc, to_kpc : float
        The windows begin at distances from the first to below the second.
    n : int
        Windows: half of each lies in the next.
    mean_truth_mag, mean_absolute_error_mag, bias_mag : float
        Errors are those of the median of the samples.
    crps_mag : float
        Mean continuous ranked probability score.
    coverage_68, coverage_90 : float
        Share of the truths in the central interval of the samples: 0.68 and 0.90 for 20 samples or more from
        the truth's distribution.
    """

    lag_kpc: float
    from_kpc: float
    to_kpc: float
    n: int
    mean_truth_mag: float
    mean_absolute_error_mag: float
    bias_mag: float
    crps_mag: float
    coverage_68: float
    coverage_90: float

    to_dict = row_to_dict


def window_scores(
    samples: np.ndarray,
    truth: np.ndarray,
    step_kpc: float,
    lags_kpc: Sequence[float] = LAGS_KPC,
    ranges_kpc: Sequence[tuple[float, float]] = ((0.0, np.inf),),
) -> list[WindowScore]:
    """Score whole profiles window by window.

    Parameters
    ----------
    samples : ndarray [n, n_samples, n_distances]
        Density, mag / kpc; two or more samples.
    truth : ndarray [n, n_distances]
        Density, mag / kpc.
    step_kpc : float
    lags_kpc : sequence of float
        Lengths of windows; those that the profiles are too short for are left out.
    ranges_kpc : sequence of (float, float)
        Where windows begin, a row for each.

    Returns
    -------
    list of WindowScore
    """
    drawn, true = (
        np.pad(np.cumsum(a, axis=-1, dtype=float) * step_kpc, [(0, 0)] * (a.ndim - 1) + [(1, 0)])
        for a in (np.asarray(samples), np.asarray(truth))
    )
    n_distances, rows = true.shape[-1] - 1, []
    for lag_kpc in lags_kpc:
        lag = max(1, round(lag_kpc / step_kpc))
        for low, high in ranges_kpc:
            starts = np.arange(0, n_distances - lag + 1, max(1, lag // 2))
            starts = starts[(starts * step_kpc >= low - 1e-9) & (starts * step_kpc < high - 1e-9)]
            if starts.size:
                inside = drawn[..., starts + lag] - drawn[..., starts]
                to_kpc = min(high, n_distances * step_kpc)
                rows.append(_score(inside, true[..., starts + lag] - true[..., starts], lag_kpc, low, to_kpc))
    return rows


def format_windows(rows: list[WindowScore]) -> str:
    """The scores as a table."""
    header = [("lag", "kpc"), ("from", "kpc"), ("to", "kpc"), ("truth", "mag"), ("error", "mag")]
    header += [("bias", "mag"), ("CRPS", "mag"), ("in 68 %", "%"), ("in 90 %", "%")]
    lines = []
    for row in rows:
        mags = (row.mean_truth_mag, row.mean_absolute_error_mag, row.bias_mag, row.crps_mag)
        lines.append(
            [f"{value:g}" for value in (row.lag_kpc, row.from_kpc, row.to_kpc)]
            + [f"{value:.4f}" for value in mags]
            + [f"{100 * value:.1f}" for value in (row.coverage_68, row.coverage_90)]
        )
    return aligned(header, lines)


def crps_of_samples(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Unbiased CRPS [n, ...] of samples [n, n_samples, ...]: E|x - y| - E|x - x'| / 2."""
    n_samples = samples.shape[1]
    error = np.mean(np.abs(samples - truth[:, None]), axis=1)
    # Sum over pairs of |x - x'| by ranks.
    rank = 2.0 * np.arange(n_samples) - n_samples + 1.0
    spread = np.tensordot(np.sort(samples, axis=1), rank, axes=([1], [0]))
    return error - spread / (n_samples * (n_samples - 1))


def _score(samples, truth, lag_kpc, low, high):
    # At p (n + 1) in the order of n samples one more draw lies below with probability p, which it does not at
    # the usual p (n - 1) + 1 where n is small (Hyndman & Fan 1996, Am. Stat. 50, 361, definition 6).
    levels = (5, 16, 50, 84, 95)
    p5, p16, median, p84, p95 = np.percentile(samples, levels, axis=1, method="weibull")
    error = median - truth
    return WindowScore(
        lag_kpc=float(lag_kpc),
        from_kpc=float(low),
        to_kpc=float(high),
        n=truth.size,
        mean_truth_mag=float(truth.mean()),
        mean_absolute_error_mag=float(np.abs(error).mean()),
        bias_mag=float(error.mean()),
        crps_mag=float(crps_of_samples(samples, truth).mean()),
        coverage_68=float(np.mean((p16 <= truth) & (truth <= p84))),
        coverage_90=float(np.mean((p5 <= truth) & (truth <= p95))),
    )
