"""Errors and completeness of 2MASS against magnitude, fitted to real tables.

Command: ``python tests/benchmarks/survey_fit.py [--data FOLDER] [--figure FILE]``, FOLDER the reference data.
It prints the values for each table and band; ``extmap_tf/configs/surveys/2mass.toml`` holds their means.

Errors: the median error of the detections in bins of 0.25 mag, against a calibration floor and a sky-limited
term (`extmap_tf.surveys.observing.photometric_error`), in the least squares of the logarithm.

Completeness: the number of detections in bins of 0.1 mag against the Galaxy model's, dimmed by the table's
mean extinction (fitted as a shift in magnitude), times a constant and a logistic function of the magnitude;
most likely in the Poisson sense. Both tables lie far from the plane, so they tell nothing of crowding.
"""

import argparse
import os
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from scipy.optimize import least_squares, minimize

from extmap_tf.galaxy import Galaxy
from extmap_tf.settings.survey import Band
from extmap_tf.surveys.observing import detection_probability, photometric_error

# Band -> (wavelength in um, range of the errors' fit, of the completeness' fit).
BANDS = {
    "J": (1.235, (8.0, 16.5), (12.0, 17.5)),
    "H": (1.662, (8.0, 15.7), (11.5, 17.0)),
    "Ks": (2.159, (8.0, 15.2), (11.0, 16.5)),
}
COUNT_STEP_MAG = 0.1


def detections(folder):
    """Name of each table -> ((l, b) of its centre, band -> magnitudes and errors of its detections)."""
    orion = fits.getdata(folder / "twomass" / "orion_a.fits", 1)
    ngc1333 = Table.read(folder / "twomass" / "ngc1333_vizier.csv", format="ascii.csv")
    found = {"Orion A": ((211.5, -19.3), {}), "NGC 1333": ((158.3, -20.5), {})}
    for i, band in enumerate(BANDS):
        letter = band[0]
        mag, error = (np.asarray(orion[f"{p}{letter}mag"], float) for p in ("", "e_"))
        found["Orion A"][1][band] = _valid(mag, error, np.ones(mag.size, bool))
        mag, error = (np.ma.filled(ngc1333[f"{p}{letter}mag"].astype(float), np.nan) for p in ("", "e_"))
        seen = np.array([str(flag)[i] in "ABCD" for flag in ngc1333["Qflg"]])
        found["NGC 1333"][1][band] = _valid(mag, error, seen)
    return found


def _valid(mag, error, seen):
    good = seen & np.isfinite(mag) & (error > 0) & (error < 1)
    return mag[good], error[good]


def binned_errors(mag, error, low, high, step=0.25):
    """Centres of the bins with 20 stars or more, and the median errors there."""
    edges = np.arange(low, high + step / 2, step)
    index = np.digitize(mag, edges) - 1
    used = [i for i in range(len(edges) - 1) if (index == i).sum() >= 20]
    return edges[used] + step / 2, np.array([np.median(error[index == i]) for i in used])


def fit_errors(centers, medians):
    """(error_floor_mag, snr10_mag, largest relative misfit)."""

    def residual(parameters):
        band = Band("x", 1.0, abs(parameters[0]), parameters[1], 15.0, 0.2)
        return np.log(photometric_error(centers, band) / medians)

    solution = least_squares(residual, [0.02, 15.0], loss="soft_l1", f_scale=0.1)
    return abs(solution.x[0]), solution.x[1], np.abs(np.expm1(solution.fun)).max()


def model_counts(l_deg, b_deg, band, edges):
    """Stars per deg2 of the Galaxy model in bins of magnitude, without extinction."""
    return np.diff(Galaxy().expected_counts(l_deg, b_deg, edges, band).sum(axis=0))


def fit_completeness(mag, sightline, band, low, high):
    """(half_complete_mag, completeness_scale_mag, edges, counts, expected when complete, expected)."""
    edges = np.arange(low, high + COUNT_STEP_MAG / 2, COUNT_STEP_MAG)
    counts = np.histogram(mag, edges)[0]
    centers = 0.5 * (edges[1:] + edges[:-1])

    def expected(parameters):
        ln_area, dimming, half, ln_scale = parameters
        intrinsic = model_counts(*sightline, band, edges - dimming) * np.exp(ln_area)
        seen = detection_probability(centers, Band(band, 1.0, 0.02, 15.0, half, np.exp(ln_scale)))
        return intrinsic, intrinsic * seen

    def minus_ln_likelihood(parameters):
        if not -3 < parameters[3] < 0.5:
            return 1e12
        _, mean = expected(parameters)
        return np.sum(mean - counts * np.log(np.maximum(mean, 1e-9)))

    start = [
        np.log(counts[:20].sum() / model_counts(*sightline, band, edges[:21]).sum()),
        0.1,
        high - 1,
        -1.6,
    ]
    options = {"maxiter": 4000, "xatol": 1e-4, "fatol": 1e-4}
    best = minimize(minus_ln_likelihood, start, method="Nelder-Mead", options=options)
    return best.x[2], np.exp(best.x[3]), edges, counts, *expected(best.x)


def main():
    shared = Path(os.environ.get("EXTMAP_SHARED_DATA", "../shared/data"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=shared)
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    tables = detections(args.data)
    panels = {}
    for band, (_, error_range, count_range) in BANDS.items():
        for name, (sightline, table) in tables.items():
            mag, error = table[band]
            centers, medians = binned_errors(mag, error, *error_range)
            floor, snr10, misfit = fit_errors(centers, medians)
            half, scale, *counts = fit_completeness(mag, sightline, band, *count_range)
            print(
                f"{band:2s} {name:9s} error_floor_mag {floor:.4f}  snr10_mag {snr10:.2f}  (misfit "
                f"{misfit:.0%})  half_complete_mag {half:.2f}  completeness_scale_mag {scale:.2f}"
            )
            panels[name, band] = (centers, medians, floor, snr10, half, counts)
    if args.figure:
        figure(args.figure, tables, panels)


def figure(path, tables, panels):
    """Above errors, below counts: points are the tables, lines the fits."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(11, 6), layout="constrained")
    axes = fig.subplots(2, 3)
    for color, name in zip(("C0", "C3"), tables, strict=True):
        for (above, below), band in zip(axes.T, BANDS, strict=True):
            centers, medians, floor, snr10, half, (edges, counts, complete, seen) = panels[name, band]
            at = 0.5 * (edges[1:] + edges[:-1])
            above.semilogy(centers, medians, ".", color=color)
            above.semilogy(
                centers, photometric_error(centers, Band(band, 1.0, floor, snr10, 15.0, 0.2)), color=color
            )
            above.set(title=band, ylabel="median error / mag", xlim=(8, 17))
            below.semilogy(at, counts, ".", color=color, ms=3, label=name)
            below.semilogy(at, complete, color=color, lw=0.7, ls=":")
            below.semilogy(at, seen, color=color, lw=1)
            below.axvline(half, color=color, lw=0.5)
            below.set(xlabel=f"{band} / mag", ylabel="stars in 0.1 mag", ylim=(3, 2e4))
    axes[1, 0].legend(frameon=False)
    fig.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
