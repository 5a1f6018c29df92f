"""One field of mock stars: taken from a pool, dimmed by a profile, observed and counted."""

import numpy as np

from extmap_tf.catalogs.stars import KINDS, MockCatalog
from extmap_tf.diagrams import count_stars
from extmap_tf.draws import uniforms
from extmap_tf.errors import DataError
from extmap_tf.extinction.law import blue_over_red
from extmap_tf.mocks.nuisances import AS_MODELLED, Nuisances
from extmap_tf.mocks.patchiness import EVEN, Patchiness, patchy_extinction
from extmap_tf.settings.config import Config
from extmap_tf.settings.mocks import MIN_POOL_FIELDS
from extmap_tf.settings.survey import SurveyConfig
from extmap_tf.surveys.observing import faint_limit_mag, observe


def dim_and_count(
    catalog: MockCatalog,
    density: np.ndarray,
    config: Config,
    rng: np.random.Generator,
    patchiness: Patchiness = EVEN,
    nuisances: Nuisances = AS_MODELLED,
) -> np.ndarray:
    """Dim every star by the extinction at its distance, observe it, and count the survivors.

    Parameters
    ----------
    catalog : extmap_tf.catalogs.stars.MockCatalog
    density : ndarray [n_distances]
        A(red) per kpc.
    config : extmap_tf.settings.config.Config
    rng : numpy.random.Generator
    patchiness : extmap_tf.mocks.patchiness.Patchiness
    nuisances : Nuisances
        Offsets of magnitudes, depth and law.

    Returns
    -------
    ndarray of int64 [n_mag, n_color]
    """
    a_red = patchy_extinction(catalog.distance_kpc, density, config.distance.step_kpc, patchiness, rng)
    # Dust reddens, whatever the draw.
    ratio = max(blue_over_red(config.law, config.survey) + nuisances.law_ratio, 1.05)
    survey = config.survey
    blue, red = (band.name for band in survey.bands)
    magnitudes = {
        blue: catalog.magnitudes[blue]
        + np.float32(ratio) * a_red
        + np.float32(nuisances.mag_mag + nuisances.color_mag),
        red: catalog.magnitudes[red] + a_red + np.float32(nuisances.mag_mag),
    }
    seen = observe(magnitudes, survey, catalog.area_deg2, rng, nuisances.depth_mag)
    return count_stars(seen.magnitudes, config.diagrams[0])


def one_field(
    catalog: MockCatalog,
    area_deg2: float,
    rng: np.random.Generator,
    nuisances: Nuisances = AS_MODELLED,
    limit_mag: float = np.inf,
) -> MockCatalog:
    """One field's worth of a catalog: a Poisson number of its stars, from a random slice.

    Parameters
    ----------
    catalog : extmap_tf.catalogs.stars.MockCatalog
    area_deg2 : float
        Of the field.
    rng : numpy.random.Generator
    nuisances : Nuisances
        Factors on the number of stars.
    limit_mag : float
        Stars that are not brighter in the red band are left out.

    Returns
    -------
    extmap_tf.catalogs.stars.MockCatalog

    Raises
    ------
    DataError
        The catalog is smaller than two fields, so that every field drawn from it would hold the same stars.
    """
    fields = catalog.area_deg2 / area_deg2
    if fields < MIN_POOL_FIELDS * (1 - 1e-9):
        raise DataError(
            f"{catalog.source}: {catalog.area_deg2:g} deg2 of stars for fields of {area_deg2:g} deg2, at "
            f"least {MIN_POOL_FIELDS:g} fields are needed: use a larger catalog or smaller fields"
        )
    ln_factor = (
        nuisances.ln_count + nuisances.ln_distance * KINDS.ln_kpc + nuisances.ln_luminous * KINDS.is_luminous
    )
    # How many times more often a star may occur. A catalog of few fields has no more to give.
    largest = min(np.exp(ln_factor.max()), 0.8 * fields)
    n = min(int(rng.poisson(largest * catalog.n_stars / fields)), catalog.n_stars)
    start = int(rng.integers(catalog.n_stars - n + 1))
    part = slice(start, start + n)
    taken = catalog.reference_mag[part] < np.float32(limit_mag)
    if nuisances.ln_luminous or nuisances.ln_distance:
        chance = (np.exp(ln_factor) / largest).astype(np.float32)
        taken &= uniforms(rng, n) < chance.take(catalog.kind[part], mode="clip")
    return catalog.take(start + np.flatnonzero(taken), area_deg2)


def visible_limit_mag(survey: SurveyConfig, nuisances: Nuisances) -> float:
    """Red magnitude without extinction beyond which a star plays no part in a field's CMD.

    It is too faint for the survey, be it behind no dust in an empty field, and for the count of crowding
    stars.

    Parameters
    ----------
    survey : extmap_tf.settings.survey.SurveyConfig
    nuisances : Nuisances

    Returns
    -------
    float
    """
    deepest = max(faint_limit_mag(survey.red, survey.cuts) + nuisances.depth_mag, survey.crowding.limit_mag)
    return deepest - nuisances.mag_mag
