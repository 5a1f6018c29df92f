"""What a survey does to a star: photometric errors, incompleteness, cuts."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from extmap_tf.draws import normals, uniforms
from extmap_tf.settings.survey import Band, Cuts, SurveyConfig
from extmap_tf.surveys.limits import SNR10_ERROR_MAG, error_cut_mag, is_deep_enough, is_faint_enough
from extmap_tf.surveys.parallaxes import AS_PUBLISHED, ParallaxOffsets, measure_parallaxes

_LN10_08 = 0.8 * math.log(10.0)
_PAST_THE_CUT_MAG = 0.1


def photometric_error(mag: ArrayLike, band: Band) -> np.ndarray:
    """Standard deviation of a magnitude.

    Parameters
    ----------
    mag : array_like
        Magnitude.
    band : extmap_tf.settings.survey.Band

    Returns
    -------
    ndarray, mag
        ``sqrt(floor^2 + photons^2 z + (0.1086 z)^2)`` with ``z = 10^(0.4 (mag - snr10))``: a calibration
        floor, the noise of the star's own photons, and the sky's, which is constant in flux.
    """
    faintness = _LN10_08 * (np.asarray(mag) - band.snr10_mag)
    if not band.photon_error_mag:
        return np.sqrt(SNR10_ERROR_MAG**2 * np.exp(faintness) + band.error_floor_mag**2)
    z = np.exp(0.5 * faintness)
    return np.sqrt((SNR10_ERROR_MAG**2 * z + band.photon_error_mag**2) * z + band.error_floor_mag**2)


def detection_probability(mag: ArrayLike, band: Band) -> np.ndarray:
    """Chance that a star is in the catalog: a logistic function of its true magnitude."""
    x = (np.asarray(mag) - band.half_complete_mag) / band.completeness_scale_mag
    return 1.0 / (1.0 + np.exp(np.minimum(x, 30.0)))


def counted_probability(mag: np.ndarray, band: Band, cuts: Cuts) -> np.ndarray:
    """Chance that a star of true magnitude `mag` is detected and observed within the cut in the error."""
    from scipy.special import ndtr

    cut_mag = error_cut_mag(band, cuts)
    return detection_probability(mag, band) * ndtr((cut_mag - mag) / photometric_error(mag, band))


@functools.lru_cache(maxsize=64)
def faint_limit_mag(band: Band, cuts: Cuts) -> float:
    """True magnitude beyond which fewer than one star in a thousand is counted; -inf where none can be.

    Parameters
    ----------
    band : extmap_tf.settings.survey.Band
    cuts : extmap_tf.settings.survey.Cuts

    Returns
    -------
    float
    """
    # Detection alone is below 1e-3 past its half by seven scale lengths.
    faintest = band.half_complete_mag + 7.0 * band.completeness_scale_mag
    mag = np.linspace(faintest - 20.0, faintest, 20001)
    counted = np.flatnonzero(counted_probability(mag, band, cuts) >= 1e-3)
    return float(mag[counted[-1]]) if counted.size else -np.inf


def reach_mag(band: Band, cuts: Cuts, deeper_mag: float = 0.0) -> float:
    """True magnitude beyond which a survey whose depth is `deeper_mag` more counts next to no star."""
    # Errors carry stars over the cut, but those of a band that is cut far above its depth are small.
    return min(faint_limit_mag(band, cuts) + deeper_mag, band.faint_mag + _PAST_THE_CUT_MAG)


@dataclass(frozen=True)
class Observed:
    """The stars of a field that a survey detects in all its bands and that pass its cuts.

    Parameters
    ----------
    index : ndarray of int [n_detected]
        Which of the stars they are.
    magnitudes : dict of str to ndarray of float32 [n_detected]
        Observed magnitudes, by band.
    survey : extmap_tf.settings.survey.SurveyConfig
    shift_mag : float
        How much deeper than the survey the field is.
    parallax_mas : ndarray of float32 [n_detected], optional
        Measured parallaxes, where the survey has them.
    """

    index: np.ndarray
    magnitudes: dict[str, np.ndarray]
    survey: SurveyConfig
    shift_mag: float
    parallax_mas: np.ndarray | None = None

    @property
    def errors(self) -> dict[str, np.ndarray]:
        """The error that the survey states of each magnitude [n_detected], mag, by band."""
        return {
            band.name: photometric_error(self.magnitudes[band.name] - self.shift_mag, band)
            for band in self.survey.bands
        }


def crowding_loss_mag(red_mag: np.ndarray, survey: SurveyConfig, area_deg2: float) -> float:
    """How much brighter than elsewhere the survey's limits are; see `extmap_tf.settings.survey.Crowding`.

    Parameters
    ----------
    red_mag : ndarray [n_stars]
        True apparent magnitudes, extinction included, of all the field's stars.
    survey : extmap_tf.settings.survey.SurveyConfig
    area_deg2 : float
        Solid angle of the field.

    Returns
    -------
    float, mag
        0 or more.
    """
    if not survey.crowding.loss_mag_per_dex:
        return 0.0
    return loss_of_count(int(np.count_nonzero(red_mag < survey.crowding.limit_mag)), survey, area_deg2)


def loss_of_count(n_stars: float, survey: SurveyConfig, area_deg2: float) -> float:
    """The same of the number of stars brighter than the limit."""
    crowding = survey.crowding
    excess_dex = np.log10(max(n_stars, 1) / area_deg2) - crowding.log10_stars_per_deg2
    return float(crowding.loss_mag_per_dex * max(excess_dex, 0.0))


def observe(
    magnitudes: Mapping[str, np.ndarray],
    survey: SurveyConfig,
    area_deg2: float,
    rng: np.random.Generator,
    depth_shift_mag: float = 0.0,
    distance_kpc: np.ndarray | None = None,
    parallaxes: ParallaxOffsets = AS_PUBLISHED,
) -> Observed:
    """Observe the stars of a field: some are lost, the others get noisy magnitudes and parallaxes.

    Parameters
    ----------
    magnitudes : dict of str to ndarray of float32 [n_stars]
        True apparent magnitudes, extinction included, in each of the survey's bands.
    survey : extmap_tf.settings.survey.SurveyConfig
    area_deg2 : float
        Solid angle of the field, for its crowding.
    rng : numpy.random.Generator
    depth_shift_mag : float
        Added to the magnitudes of signal-to-noise 10 and of half completeness.
    distance_kpc : ndarray [n_stars], optional
        Needed if the survey has parallaxes.
    parallaxes : extmap_tf.surveys.parallaxes.ParallaxOffsets
        What is off in these.

    Returns
    -------
    Observed
    """
    cuts, (*others, first) = survey.cuts, survey.bands
    shift = np.float32(depth_shift_mag - crowding_loss_mag(magnitudes[survey.red.name], survey, area_deg2))
    # As a survey without the shift would see them; it comes back at the end.
    mags = {band.name: magnitudes[band.name] - shift for band in survey.bands}
    # Hopeless stars are left out before any random number is drawn for them.
    limits: list[float] = [
        min(faint_limit_mag(b, cuts), b.faint_mag + _PAST_THE_CUT_MAG - float(shift)) for b in survey.bands
    ]
    hopeful = [mags[band.name] < limit for band, limit in zip(survey.bands, limits, strict=True)]
    index = np.flatnonzero(functools.reduce(np.logical_and, hopeful))
    # Indices take stars from an array several times faster than a mask does.
    mags = {name: mag.take(index) for name, mag in mags.items()}
    chances = [detection_probability(mags[band.name], band) for band in survey.bands]
    chance = functools.reduce(np.multiply, chances)
    if survey.lost_share:
        chance *= 1.0 - survey.lost_share
    # Nearly half of the stars are too faint for the cuts in the last band.
    _add_noise(mags, first, rng)
    detected = uniforms(rng, index.size) < chance
    seen = np.flatnonzero(detected & is_deep_enough(mags[first.name], first, cuts, shift))
    index, mags = index.take(seen), {name: mag.take(seen) for name, mag in mags.items()}
    for band in reversed(others):
        _add_noise(mags, band, rng)
    passes = is_faint_enough(functools.reduce(np.minimum, mags.values()), cuts, shift)
    for band in others:
        passes &= is_deep_enough(mags[band.name], band, cuts, shift)
    kept = np.flatnonzero(passes)
    index, mags = index.take(kept), {name: mag.take(kept) + shift for name, mag in mags.items()}
    measured = None
    if survey.parallax.band and distance_kpc is not None:
        of_band = mags[survey.parallax.band]
        measured = measure_parallaxes(distance_kpc.take(index), of_band, survey.parallax, rng, parallaxes)
    return Observed(index, mags, survey, float(shift), measured)


def _add_noise(mags, band, rng):
    mag = mags[band.name]
    mag += normals(rng, mag.size) * photometric_error(mag, band)
