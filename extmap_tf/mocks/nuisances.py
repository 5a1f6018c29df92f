"""What is off in one training pair: magnitudes, the survey's depth, numbers of stars, the law."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from extmap_tf.settings.nuisances import NuisanceConfig
from extmap_tf.settings.survey import SurveyConfig
from extmap_tf.surveys.parallaxes import AS_PUBLISHED, ParallaxOffsets

MAX_SIGMA = 3.0
"""Nuisances are cut at so many standard deviations."""


@dataclass(frozen=True)
class SurveyOffsets:
    """What is off in one survey's stars, by default nothing.

    Parameters
    ----------
    band_mag : mapping of str to float
        Added to the magnitudes, by band; 0 where a band is not named.
    depth_mag : float
        Added to the survey's depth.
    parallaxes : extmap_tf.surveys.parallaxes.ParallaxOffsets
    """

    band_mag: Mapping[str, float] = field(default_factory=dict)
    depth_mag: float = 0.0
    parallaxes: ParallaxOffsets = AS_PUBLISHED


@dataclass(frozen=True)
class Nuisances:
    """What is off in one pair, by default nothing; see `extmap_tf.settings.nuisances.NuisanceConfig`.

    Parameters
    ----------
    color_mag, mag_mag, depth_mag : float
        Added to the blue magnitudes, to both, and to the survey's depth.
    ln_count, ln_luminous, ln_distance : float
        Natural logarithms of factors on the number of stars: all, luminous ones, per e-fold of distance.
    law_ratio : float
        Added to A(blue)/A(red).
    ln_optical : float
        Natural logarithm of a factor on the extinction in broad optical bands.
    others : mapping of str to SurveyOffsets
        What is off beside these, by the keys of surveys: in all bands of further surveys, whose stars are the
        same and have `mag_mag`, too, and in the first survey's further bands.
    """

    color_mag: float = 0.0
    mag_mag: float = 0.0
    depth_mag: float = 0.0
    ln_count: float = 0.0
    ln_luminous: float = 0.0
    ln_distance: float = 0.0
    law_ratio: float = 0.0
    ln_optical: float = 0.0
    others: Mapping[str, SurveyOffsets] = field(default_factory=dict)

    def offsets_of(self, survey: SurveyConfig, is_first: bool = True) -> SurveyOffsets:
        """All that is off in the magnitudes and the depth of a survey."""
        own = self.others.get(survey.key, SurveyOffsets())
        band_mag = {band.name: self.mag_mag + own.band_mag.get(band.name, 0.0) for band in survey.bands}
        if not is_first:
            return SurveyOffsets(band_mag, own.depth_mag, own.parallaxes)
        band_mag[survey.blue.name] += self.color_mag
        return SurveyOffsets(band_mag, self.depth_mag, own.parallaxes)


AS_MODELLED = Nuisances()


def nothing_off(nuisances: NuisanceConfig) -> Nuisances:
    """What a sky is like where nothing is off: the law has the mean of its prior."""
    return Nuisances(law_ratio=nuisances.law_ratio_mean)


def draw_nuisances(
    nuisances: NuisanceConfig, rng: np.random.Generator, surveys: Sequence[SurveyConfig] = ()
) -> Nuisances:
    """Draw what is off in one pair.

    Parameters
    ----------
    nuisances : extmap_tf.settings.nuisances.NuisanceConfig
    rng : numpy.random.Generator
    surveys : sequence of extmap_tf.settings.survey.SurveyConfig
        All surveys of the configuration, where more is drawn than of the two bands of one: further bands have
        an offset of `color_sigma_mag` each, further surveys one of `mag_sigma_mag` in all their bands, one of
        `color_sigma_mag` in each but the red one, and a depth of their own; surveys with parallaxes have an
        offset and other errors of these, and one factor is on the extinction in all broad bands.

    Returns
    -------
    Nuisances
    """
    offsets = _normals(rng, len(nuisances.sigmas)) * nuisances.sigmas
    offsets[-1] += nuisances.law_ratio_mean
    others: dict[str, SurveyOffsets] = {}
    for number, survey in enumerate(surveys):
        bands = [band.name for band in survey.bands if band != survey.red]
        if number == 0:
            bands.remove(survey.blue.name)
            if not bands:
                continue
        colors_mag = nuisances.color_sigma_mag * _normals(rng, len(bands))
        mag, depth = (0.0, 0.0) if number == 0 else _normals(rng, 2).tolist()
        mag_mag = nuisances.mag_sigma_mag * mag
        band_mag = {band.name: mag_mag for band in survey.bands}
        for band, color_mag in zip(bands, colors_mag.tolist(), strict=True):
            band_mag[band] += color_mag
        parallaxes = _parallax_offsets(nuisances, rng) if survey.parallax.band else AS_PUBLISHED
        others[survey.key] = SurveyOffsets(band_mag, nuisances.depth_sigma_mag * depth, parallaxes)
    ln_optical = 0.0
    if any(band.passband for survey in surveys for band in survey.bands):
        ln_optical = nuisances.optical_sigma * float(_normals(rng, 1)[0])
    return replace(Nuisances(*offsets.tolist()), ln_optical=ln_optical, others=others)


def _parallax_offsets(nuisances, rng):
    zero_point, ln_error = _normals(rng, 2).tolist()
    return ParallaxOffsets(
        nuisances.parallax_sigma_mas * zero_point, nuisances.parallax_error_sigma * ln_error
    )


def _normals(rng, n):
    return np.clip(rng.standard_normal(n), -MAX_SIGMA, MAX_SIGMA)
