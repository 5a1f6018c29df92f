"""What a survey does to a star: photometric errors, incompleteness, cuts."""

import numpy as np

SNR10_ERROR_MAG = 2.5 / np.log(10.0) / 10.0
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
    return 1.0 / (1.0 + np.exp(np.clip(x, -30, 30)))


def error_cut_mag(band, cuts):
    """Observed magnitude at which the photometric error reaches the cut's largest; -inf if the floor does."""
    sky = cuts.max_error_mag**2 - band.error_floor_mag**2
    return band.snr10_mag + 1.25 * np.log10(sky / SNR10_ERROR_MAG**2) if sky > 0 else -np.inf


def faint_limit_mag(band, cuts):
    """True magnitude beyond which a star has next to no chance to be counted.

    There, fewer than one star in 400 is detected, or the cut in the photometric error lies more than three
    standard deviations away.
    """
    return min(
        band.half_complete_mag + 6.0 * band.completeness_scale_mag,
        error_cut_mag(band, cuts) + 3.0 * cuts.max_error_mag,
    )


def observe(blue_mag, red_mag, survey, rng):
    """Observe stars: some are lost, the others get noisy magnitudes.

    Parameters
    ----------
    blue_mag, red_mag : ndarray of float32 [n_stars]
        True apparent magnitudes, extinction included.
    survey : extmap_tf.config.SurveyConfig
    rng : numpy.random.Generator

    Returns
    -------
    index : ndarray of int [n_detected]
        Which stars were detected in both bands and pass the cuts.
    blue_mag, red_mag : ndarray of float32 [n_detected]
        Observed magnitudes.
    """
    blue, red = survey.blue, survey.red
    # Hopeless stars are left out before any random number is drawn for them.
    index = np.flatnonzero(
        (red_mag < faint_limit_mag(red, survey.cuts)) & (blue_mag < faint_limit_mag(blue, survey.cuts))
    )
    blue_mag, red_mag = blue_mag[index], red_mag[index]
    chance = rng.random(index.size, dtype=np.float32)
    seen = chance < detection_probability(blue_mag, blue) * detection_probability(red_mag, red)
    index, blue_mag, red_mag = index[seen], blue_mag[seen], red_mag[seen]
    noise = rng.standard_normal((2, index.size), dtype=np.float32)
    blue_mag = blue_mag + noise[0] * photometric_error(blue_mag, blue).astype(np.float32)
    red_mag = red_mag + noise[1] * photometric_error(red_mag, red).astype(np.float32)
    kept = (
        (blue_mag <= error_cut_mag(blue, survey.cuts))
        & (red_mag <= error_cut_mag(red, survey.cuts))
        & (np.minimum(blue_mag, red_mag) >= survey.cuts.bright_mag)
    )
    return index[kept], blue_mag[kept], red_mag[kept]
