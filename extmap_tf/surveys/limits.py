"""Which stars lie within a survey's limits: one rule for tables, for mock stars and for a served model.

A table states each star's error. A mock star's error follows from its magnitude, so that the largest error of
the cuts is a magnitude: comparing magnitudes is much faster, and decides the same.
"""

import math
from typing import Any

import numpy as np

from extmap_tf.settings.survey import Band, Cuts

SNR10_ERROR_MAG = float(2.5 / np.log(10.0) / 10.0)
"""The error of a magnitude at a signal-to-noise ratio of 10."""

# Catalogs give errors to 0.001 mag; 32-bit tables hold 0.15 as 0.1500000060.
_ROUNDING_MAG = 1e-6


# No telescope's star lies outside; tables write a missing magnitude as 99.999, -999 and so on.
_FAINTEST_MAG, _BRIGHTEST_MAG = 40.0, -20.0


def is_magnitude(mag: Any) -> Any:
    """Whether a number (array or tensor) can be a star's magnitude: bool like it, false of NaN."""
    return (mag > _BRIGHTEST_MAG) & (mag < _FAINTEST_MAG)


def is_error_allowed(error_mag: Any, cuts: Cuts) -> Any:
    """Whether a stated error is at most the largest: bool like it, false of NaN."""
    return error_mag <= cuts.max_error_mag + _ROUNDING_MAG


def error_cut_mag(band: Band, cuts: Cuts) -> float:
    """The observed magnitude at which the error that the survey states reaches the largest.

    Minus infinity where all errors exceed it. This inverts `extmap_tf.surveys.observing.photometric_error`.
    """
    sky = cuts.max_error_mag**2 - band.error_floor_mag**2
    if sky <= 0:
        return -math.inf
    if not band.photon_error_mag:
        return band.snr10_mag + 1.25 * math.log10(sky / SNR10_ERROR_MAG**2)
    # Of the flux at snr10_mag over that at the cut, z: sky^2 z^2 + photons^2 z = what the floor leaves.
    photons, of_sky = band.photon_error_mag**2, SNR10_ERROR_MAG**2
    z = (math.sqrt(photons**2 + 4.0 * of_sky * sky) - photons) / (2.0 * of_sky)
    return band.snr10_mag + 2.5 * math.log10(z)


def is_deep_enough(mag: Any, band: Band, cuts: Cuts, shift_mag: Any = 0.0) -> Any:
    """The same of an observed magnitude, by the error that the survey would state of it, and by `faint_mag`.

    Parameters
    ----------
    mag : array_like or tf.Tensor
    band : extmap_tf.settings.survey.Band
    cuts : extmap_tf.settings.survey.Cuts
    shift_mag : float
        Taken from `faint_mag`, where it has been taken from the magnitudes.
    """
    return mag <= min(error_cut_mag(band, cuts), band.faint_mag - shift_mag)


def is_bright_enough(mag: Any, faint_mag: float) -> Any:
    """Whether a magnitude of a table is at most a band's `faint_mag`: bool like it, false of NaN."""
    return mag <= faint_mag + _ROUNDING_MAG


def is_faint_enough(mag: Any, cuts: Cuts, shift_mag: Any = 0.0) -> Any:
    """Whether an observed magnitude (array or tensor) is not brighter than the bright limit: false of NaN.

    Parameters
    ----------
    mag : array_like or tf.Tensor
    cuts : extmap_tf.settings.survey.Cuts
    shift_mag : float
        Taken from the limit, where it has been taken from the magnitudes.
    """
    return mag >= cuts.bright_mag - shift_mag
