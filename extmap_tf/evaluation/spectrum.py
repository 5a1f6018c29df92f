"""Structure along the sight: how much of it estimates have, scale by scale, and how much of it is true.

The power of each profile's density, in units of its own mean density, is averaged over the sightlines in
bands of wavelength. A sample of an honest distribution has the truth's power on every scale; the median has
less where the diagrams do not tell. The coherence is the correlation with the truth, scale by scale. Units
of the true mean would not do: a sample stands for the truth, but knows nothing of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from extmap_tf.text_tables import aligned, row_to_dict

WAVELENGTHS_KPC = (10.0, 4.0, 2.0, 1.0, 0.5, 0.2)


@dataclass(frozen=True)
class SpectrumRow:
    """A band of wavelengths.

    Parameters
    ----------
    longest_kpc, shortest_kpc : float
        The first is in the band, the second is not.
    samples_over_truth, median_over_truth : float
        Power of single samples, and of the slope of the median extinction, over the truth's.
    coherence : float
        Of the median's slope with the truth: 1 where each structure is at its place, 0 where none is.
    """

    longest_kpc: float
    shortest_kpc: float
    samples_over_truth: float
    median_over_truth: float
    coherence: float

    to_dict = row_to_dict


def spectrum(
    samples: np.ndarray,
    truth: np.ndarray,
    step_kpc: float,
    wavelengths_kpc: Sequence[float] = WAVELENGTHS_KPC,
) -> list[SpectrumRow]:
    """Power along the sight over the truth's.

    Parameters
    ----------
    samples : ndarray [n, n_samples, n_distances]
        Density, mag / kpc.
    truth : ndarray [n, n_distances]
    step_kpc : float
    wavelengths_kpc : sequence of float
        Ends of the bands, descending; bands that hold no mode are left out.

    Returns
    -------
    list of SpectrumRow
    """
    samples, truth = np.asarray(samples, float), np.asarray(truth, float)
    median = np.diff(np.median(np.cumsum(samples, axis=-1), axis=1), axis=-1, prepend=0.0)
    of_truth, of_median, of_samples = (_modes(profile) for profile in (truth, median, samples))
    power = {
        "truth": np.mean(np.abs(of_truth) ** 2, axis=0),
        "median": np.mean(np.abs(of_median) ** 2, axis=0),
        "samples": np.mean(np.abs(of_samples) ** 2, axis=(0, 1)),
        "cross": np.mean((of_truth * of_median.conj()).real, axis=0),
    }
    n_distances = truth.shape[-1]
    wavelength = n_distances * step_kpc / np.maximum(np.arange(n_distances // 2 + 1), 1e-9)
    rows = []
    for longest, shortest in pairwise(wavelengths_kpc):
        band = (wavelength <= longest * (1 + 1e-9)) & (wavelength > shortest * (1 + 1e-9))
        if band.any():
            total = {name: value[band].sum() for name, value in power.items()}
            rows.append(
                SpectrumRow(
                    longest_kpc=float(longest),
                    shortest_kpc=float(shortest),
                    samples_over_truth=float(total["samples"] / total["truth"]),
                    median_over_truth=float(total["median"] / total["truth"]),
                    coherence=float(total["cross"] / np.sqrt(total["median"] * total["truth"])),
                )
            )
    return rows


def format_spectrum(rows: list[SpectrumRow]) -> str:
    """The bands as a table."""
    header = [("longest", "kpc"), ("shortest", "kpc"), ("samples", "/ truth"), ("median", "/ truth")]
    lines = [
        [f"{value:g}" for value in (row.longest_kpc, row.shortest_kpc)]
        + [f"{value:.2f}" for value in (row.samples_over_truth, row.median_over_truth, row.coherence)]
        for row in rows
    ]
    return aligned([*header, ("coherence", "")], lines)


def _modes(density):
    """Fourier modes along the last axis, tapered so that the ends do not meet; none without dust."""
    mean = density.mean(axis=-1, keepdims=True)
    contrast = np.divide(density, mean, out=np.ones_like(density), where=mean > 0) - 1.0
    return np.fft.rfft(contrast * np.hanning(density.shape[-1] + 2)[1:-1], axis=-1)
