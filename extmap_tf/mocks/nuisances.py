"""What is off in one training pair: magnitudes, the survey's depth, numbers of stars, the law."""

from dataclasses import dataclass

import numpy as np

from extmap_tf.settings.nuisances import NuisanceConfig

MAX_SIGMA = 3.0
"""Nuisances are cut at so many standard deviations."""


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
    """

    color_mag: float = 0.0
    mag_mag: float = 0.0
    depth_mag: float = 0.0
    ln_count: float = 0.0
    ln_luminous: float = 0.0
    ln_distance: float = 0.0
    law_ratio: float = 0.0


AS_MODELLED = Nuisances()


def draw_nuisances(nuisances: NuisanceConfig, rng: np.random.Generator) -> Nuisances:
    """Draw what is off in one pair.

    Parameters
    ----------
    nuisances : extmap_tf.settings.nuisances.NuisanceConfig
    rng : numpy.random.Generator

    Returns
    -------
    Nuisances
    """
    sigmas = (
        nuisances.color_sigma_mag,
        nuisances.mag_sigma_mag,
        nuisances.depth_sigma_mag,
        nuisances.count_sigma,
        nuisances.luminous_sigma,
        nuisances.distance_sigma,
        nuisances.law_ratio_sigma,
    )
    normal = np.clip(rng.standard_normal(len(sigmas)), -MAX_SIGMA, MAX_SIGMA)
    offsets = normal * sigmas
    offsets[-1] += nuisances.law_ratio_mean
    return Nuisances(*offsets.tolist())
