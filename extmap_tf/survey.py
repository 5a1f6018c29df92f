"""What a survey does to a star: photometric errors, incompleteness, cuts."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from extmap_tf.catalogs.cuts import apply_cuts

SNR10_ERROR_MAG = float(2.5 / np.log(10.0) / 10.0)
"""The error of a magnitude at a signal-to-noise ratio of 10."""

_LN10_04 = np.float32(0.4 * np.log(10.0))


def photometric_error(mag, band):
    """Standard deviation of a magnitude.

    Parameters
    ----------
    mag : array_like
        Magnitude.
    band : extmap_tf.config.Band

    Returns
    -------
    ndarray, mag
        ``sqrt(floor^2 + (0.1086 * 10^(0.4 (mag - snr10)))^2)``: a calibration floor and the sky's noise,
        which is constant in flux.
    """
    sky = SNR10_ERROR_MAG * np.exp(_LN10_04 * (np.asarray(mag) - band.snr10_mag))
    return np.sqrt(sky * sky + band.error_floor_mag**2)


def detection_probability(mag, band):
    """Chance that a star is in the catalog: a logistic function of its true magnitude."""
    x = (np.asarray(mag) - band.half_complete_mag) / band.completeness_scale_mag
    return 1.0 / (1.0 + np.exp(np.clip(x, -30.0, 30.0)))


def error_cut_mag(band, cuts):
    """The observed magnitude at which the photometric error reaches the cut's largest."""
    sky = cuts.max_error_mag**2 - band.error_floor_mag**2
    return band.snr10_mag + 1.25 * np.log10(sky / SNR10_ERROR_MAG**2) if sky > 0 else -np.inf


def counted_probability(mag, band, cuts):
    """Chance that a star of true magnitude `mag` is detected and observed within the cut in the error."""
    from scipy.special import ndtr

    cut_mag = error_cut_mag(band, cuts)
    return detection_probability(mag, band) * ndtr((cut_mag - mag) / photometric_error(mag, band))


@lru_cache(maxsize=64)
def faint_limit_mag(band, cuts):
    """True magnitude beyond which fewer than one star in a thousand is counted; -inf where none can be.

    Parameters
    ----------
    band : extmap_tf.config.Band
    cuts : extmap_tf.config.Cuts

    Returns
    -------
    float
    """
    # Detection alone is below 1e-3 past its half by seven scale lengths.
    faintest = band.half_complete_mag + 7.0 * band.completeness_scale_mag
    mag = np.linspace(faintest - 20.0, faintest, 20001)
    counted = np.flatnonzero(counted_probability(mag, band, cuts) >= 1e-3)
    return float(mag[counted[-1]]) if counted.size else -np.inf


@dataclass(frozen=True)
class Observed:
    """The stars of a field that a survey detects in both bands and that pass its cuts.

    Parameters
    ----------
    index : ndarray of int [n_detected]
        Which of the stars they are.
    blue_mag, red_mag, blue_error_mag, red_error_mag : ndarray of float32 [n_detected]
        Observed magnitudes and the errors that the survey states.
    """

    index: np.ndarray
    blue_mag: np.ndarray
    red_mag: np.ndarray
    blue_error_mag: np.ndarray
    red_error_mag: np.ndarray


def crowding_loss_mag(red_mag, survey, area_deg2):
    """How much brighter than elsewhere the survey's limits are in a field; see `extmap_tf.config.Crowding`.

    Parameters
    ----------
    red_mag : ndarray [n_stars]
        True apparent magnitudes, extinction included, of all the field's stars.
    survey : extmap_tf.config.SurveyConfig
    area_deg2 : float
        Solid angle of the field.

    Returns
    -------
    float, mag
        0 or more.
    """
    return loss_of_count(np.count_nonzero(red_mag < survey.crowding.limit_mag), survey, area_deg2)


def loss_of_count(n_stars, survey, area_deg2):
    """The same of the number of stars brighter than the limit."""
    crowding = survey.crowding
    excess_dex = np.log10(max(n_stars, 1) / area_deg2) - crowding.log10_stars_per_deg2
    return float(crowding.loss_mag_per_dex * max(excess_dex, 0.0))


def observe(blue_mag, red_mag, survey, area_deg2, rng, depth_shift_mag=0.0):
    """Observe the stars of a field: some are lost, the others get noisy magnitudes.

    Parameters
    ----------
    blue_mag, red_mag : ndarray of float32 [n_stars]
        True apparent magnitudes, extinction included.
    survey : extmap_tf.config.SurveyConfig
    area_deg2 : float
        Solid angle of the field, for its crowding.
    rng : numpy.random.Generator
    depth_shift_mag : float
        Added to the magnitudes of signal-to-noise 10 and of half completeness.

    Returns
    -------
    Observed
    """
    blue, red = survey.blue, survey.red
    shift = np.float32(depth_shift_mag - crowding_loss_mag(red_mag, survey, area_deg2))
    # Hopeless stars are left out before any random number is drawn for them.
    index = np.flatnonzero(
        (red_mag < faint_limit_mag(red, survey.cuts) + shift)
        & (blue_mag < faint_limit_mag(blue, survey.cuts) + shift)
    )
    blue_mag, red_mag = blue_mag[index], red_mag[index]
    chance = rng.random(index.size, dtype=np.float32)
    # Indices take stars from an array several times faster than a mask does.
    seen = np.flatnonzero(
        chance < detection_probability(blue_mag - shift, blue) * detection_probability(red_mag - shift, red)
    )
    index, blue_mag, red_mag = index[seen], blue_mag[seen], red_mag[seen]
    noise = rng.standard_normal((2, index.size), dtype=np.float32)
    blue_mag += noise[0] * photometric_error(blue_mag - shift, blue)
    red_mag += noise[1] * photometric_error(red_mag - shift, red)
    blue_error, red_error = (
        photometric_error(mag - shift, band) for mag, band in ((blue_mag, blue), (red_mag, red))
    )
    kept, _ = apply_cuts(survey, blue_mag, red_mag, blue_error, red_error)
    kept = np.flatnonzero(kept)
    return Observed(index[kept], blue_mag[kept], red_mag[kept], blue_error[kept], red_error[kept])
