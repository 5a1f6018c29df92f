"""One field of mock stars: taken from a pool, dimmed by a profile, observed and counted."""

from collections.abc import Mapping, Sequence

import numpy as np

from extmap_tf.catalogs.stars import KINDS, MockCatalog
from extmap_tf.diagrams import count_stars
from extmap_tf.draws import uniforms
from extmap_tf.errors import DataError
from extmap_tf.extinction.law import band_over_red, blue_over_red
from extmap_tf.extinction.passbands import broad_bands
from extmap_tf.mocks.nuisances import AS_MODELLED, Nuisances
from extmap_tf.mocks.patchiness import EVEN, Patchiness, patchy_extinction
from extmap_tf.settings.config import Config
from extmap_tf.settings.mocks import MIN_POOL_FIELDS
from extmap_tf.settings.survey import SurveyConfig
from extmap_tf.surveys.observing import observe, reach_mag

_ROUNDING_MAG = 1e-3


def dim_and_count(
    catalog: MockCatalog,
    density: np.ndarray,
    config: Config,
    rng: np.random.Generator,
    patchiness: Patchiness = EVEN,
    nuisances: Nuisances = AS_MODELLED,
) -> dict[str, np.ndarray]:
    """Dim every star by the extinction at its distance, observe it by every survey, and count the survivors.

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
    dict of str to ndarray of int64 [n_y, n_x]
        By the names of the configuration's diagrams.
    """
    a_red = patchy_extinction(catalog.distance_kpc, density, config.distance.step_kpc, patchiness, rng)
    counts: dict[str, np.ndarray] = {}
    for view in config.views:
        survey, is_first = view.survey, view is config.views[0]
        offsets = nuisances.offsets_of(survey, is_first)
        stars, a_stars = catalog, a_red
        if len(config.views) > 1:
            # Each survey sees few of the stars that all together might see.
            part = _within_reach(catalog, a_red, config, survey, offsets, nuisances)
            stars, a_stars = catalog.take(part, catalog.area_deg2), a_red.take(part)
        dimmed = dimmed_magnitudes(stars, a_stars, config, survey, nuisances)
        magnitudes = {band: mag + np.float32(offsets.band_mag[band]) for band, mag in dimmed.items()}
        seen = observe(
            magnitudes,
            survey,
            stars.area_deg2,
            rng,
            offsets.depth_mag,
            stars.distance_kpc,
            offsets.parallaxes,
        )
        for diagram in view.diagrams:
            counts[diagram.name] = count_stars(seen.magnitudes, diagram, seen.parallax_mas)
    return counts


def dimmed_magnitudes(
    catalog: MockCatalog,
    a_red: np.ndarray,
    config: Config,
    survey: SurveyConfig,
    nuisances: Nuisances = AS_MODELLED,
) -> dict[str, np.ndarray]:
    """Magnitudes of stars in a survey's bands behind an extinction [n_stars] in the first survey's red band.

    Parameters
    ----------
    catalog : extmap_tf.catalogs.stars.MockCatalog
        With temperatures, if the survey has broad bands.
    a_red : ndarray of float32 [n_stars]
    config : extmap_tf.settings.config.Config
    survey : extmap_tf.settings.survey.SurveyConfig
        One of its surveys.
    nuisances : Nuisances
        Of these, what is off in the law.
    """
    ratios = extinction_ratios(config, survey, nuisances.law_ratio)
    dimmed = {
        band: catalog.magnitudes[band] + (a_red if ratio == 1.0 else np.float32(ratio) * a_red)
        for band, ratio in ratios.items()
    }
    broad = {band.passband: band.name for band in survey.bands if band.passband}
    if broad:
        if catalog.log_t is None:
            raise DataError(f"{catalog.source}: no temperatures of stars, which {survey.name} needs")
        extinction = _tables_of(config, survey)(_optical(a_red, nuisances), catalog.log_t)
        dimmed |= {
            broad[passband]: catalog.magnitudes[broad[passband]] + a for passband, a in extinction.items()
        }
    return dimmed


def _within_reach(catalog, a_red, config, survey, offsets, nuisances):
    """Indices of the stars that a survey might see behind their extinction, and of those that crowd it."""
    ratios = extinction_ratios(config, survey, nuisances.law_ratio)
    taken = np.zeros(catalog.n_stars, bool)
    for band, limit_mag in _limits_of(survey, offsets).items():
        if band in ratios:
            least = np.float32(ratios[band]) * a_red
        else:
            passband = survey.band(band).passband
            least = _tables_of(config, survey).at_least(passband, _optical(a_red, nuisances))
        least += catalog.magnitudes[band]
        taken |= least < np.float32(limit_mag + _ROUNDING_MAG)
    return np.flatnonzero(taken)


def _tables_of(config, survey):
    """Extinction in a survey's broad bands."""
    broad = tuple(band.passband for band in survey.bands if band.passband)
    return broad_bands(broad, config.law, config.survey.red.wavelength_um)


def _optical(a_red, nuisances):
    """The extinction that the tables of broad bands are asked for."""
    return np.float32(np.exp(nuisances.ln_optical)) * a_red


def extinction_ratios(config: Config, survey: SurveyConfig, law_ratio: float = 0.0) -> dict[str, float]:
    """A(band) over the extinction in the red band of the first survey, by the survey's bands but broad ones.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
    survey : extmap_tf.settings.survey.SurveyConfig
        One of its surveys.
    law_ratio : float
        What is added to A(blue)/A(red) of the first survey; the reddening of other bands changes in
        proportion.
    """
    first = config.survey
    modelled = blue_over_red(config.law, first)
    # Dust reddens, whatever the draw.
    drawn = max(modelled + law_ratio, 1.05)
    found = {}
    for band in survey.bands:
        if band.passband:
            continue
        if band == first.red:
            found[band.name] = 1.0
        elif band == first.blue:
            found[band.name] = drawn
        else:
            excess = band_over_red(config.law, band, first) - 1.0
            found[band.name] = 1.0 + excess * (drawn - 1.0) / (modelled - 1.0)
    return found


def one_field(
    catalog: MockCatalog,
    area_deg2: float,
    rng: np.random.Generator,
    nuisances: Nuisances = AS_MODELLED,
    limits_mag: Mapping[str, float] | None = None,
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
    limits_mag : mapping of str to float, optional
        Stars that are brighter in none of these bands are left out.

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
    taken = np.ones(n, bool) if limits_mag is None else np.zeros(n, bool)
    for band, limit_mag in (limits_mag or {}).items():
        taken |= catalog.magnitudes[band][part] < np.float32(limit_mag)
    if nuisances.ln_luminous or nuisances.ln_distance:
        chance = (np.exp(ln_factor) / largest).astype(np.float32)
        taken &= uniforms(rng, n) < chance.take(catalog.kind[part], mode="clip")
    return catalog.take(start + np.flatnonzero(taken), area_deg2)


def visible_limits_mag(surveys: Sequence[SurveyConfig], nuisances: Nuisances) -> dict[str, float]:
    """Magnitudes without extinction beyond which a star plays no part in any diagram of a field.

    It is too faint for the surveys, be it behind no dust in an empty field, and for the count of crowding
    stars.

    Parameters
    ----------
    surveys : sequence of extmap_tf.settings.survey.SurveyConfig
        All surveys of the configuration.
    nuisances : Nuisances

    Returns
    -------
    dict of str to float
        By the bands that limit the surveys, and the red ones of those that lose depth in dense fields.
    """
    found: dict[str, float] = {}
    for survey in surveys:
        for band, mag in _limits_of(survey, nuisances.offsets_of(survey, survey is surveys[0])).items():
            found[band] = max(mag, found.get(band, -np.inf))
    return found


def _limits_of(survey, offsets):
    """The same of one survey."""
    red, limiting = survey.red, survey.limiting
    deepest = {limiting.name: reach_mag(limiting, survey.cuts, offsets.depth_mag)}
    if survey.crowding.loss_mag_per_dex:
        deepest[red.name] = max(survey.crowding.limit_mag, deepest.get(red.name, -np.inf))
    return {band: mag - offsets.band_mag[band] for band, mag in deepest.items()}
