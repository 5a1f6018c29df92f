"""The stars that mocks are drawn from: pools of a Galaxy model on the training sightlines."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from extmap_tf.catalogs.model_tables import read_model_catalog
from extmap_tf.catalogs.stars import MockCatalog
from extmap_tf.errors import DataError
from extmap_tf.extinction.law import a_over_av
from extmap_tf.files import sha256_of
from extmap_tf.galaxy import Galaxy
from extmap_tf.mocks.nuisances import MAX_SIGMA
from extmap_tf.mocks.seeds import CATALOG, FIT, position_words
from extmap_tf.settings.config import Config
from extmap_tf.settings.mocks import CATALOG_SHARES
from extmap_tf.settings.nuisances import NuisanceConfig
from extmap_tf.settings.survey import SurveyConfig
from extmap_tf.surveys.observing import reach_mag

SPLITS = ("train", "validation", "test")


@lru_cache(maxsize=64)
def sightline_catalog(config: Config, l_deg: float, b_deg: float, split: str) -> MockCatalog:
    """The mock catalog that pairs of one split are drawn from on a sightline; always the same.

    Of the built-in Galaxy each split has a draw of its own; the stars of a file are dealt to the splits.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
    l_deg, b_deg : float
    split : {"train", "validation", "test"}

    Returns
    -------
    extmap_tf.catalogs.stars.MockCatalog
    """
    whole = catalog_of_file(config, l_deg, b_deg)
    if whole is None:
        purpose = [CATALOG, SPLITS.index(split)]
        return draw_catalog(config, l_deg, b_deg, config.mocks.pool_fields, purpose)
    start = 0.0
    for name, share in CATALOG_SHARES:
        if name == split:
            part = slice(round(start * whole.n_stars), round((start + share) * whole.n_stars))
            return whole.take(part, whole.area_deg2 * share)
        start += share
    raise ValueError(split)


def fit_catalog(config: Config, l_deg: float, b_deg: float, n_fields: float) -> MockCatalog:
    """Stars for the tables of the direct fit, which must not know the very stars of the CMDs that it fits.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
    l_deg, b_deg : float
    n_fields : float
        Size of a draw of the built-in Galaxy, in fields. Of a file, the training pairs' share is taken.

    Returns
    -------
    extmap_tf.catalogs.stars.MockCatalog
    """
    if catalog_of_file(config, l_deg, b_deg) is not None:
        return sightline_catalog(config, l_deg, b_deg, "train")
    as_modelled = {"nuisances.mag_sigma_mag": 0.0, "nuisances.depth_sigma_mag": 0.0}
    return draw_catalog(config.replace(**as_modelled), l_deg, b_deg, n_fields, [FIT])


@lru_cache(maxsize=8)
def catalog_of_file(config: Config, l_deg: float, b_deg: float) -> MockCatalog | None:
    """All stars of the configured file of a sightline; None where there is none."""
    for source in config.mocks.catalogs:
        if (source.l_deg, source.b_deg) == (l_deg, b_deg):
            if source.sha256:
                _require_content(source)
            catalog, _ = read_model_catalog(
                source.path,
                config.survey,
                source.area_deg2,
                l_deg,
                b_deg,
                columns=dict(item.split("=", 1) for item in source.columns),
                system=source.system or None,
                a_over_av=a_over_av(config.law),
                seed=config.seed,
            )
            return catalog
    return None


def _require_content(source):
    try:
        with open(source.path, "rb") as stream:
            found = sha256_of(stream)
    except OSError as error:
        raise DataError(f"{source.path}: cannot be read: {error.strerror}; mend mocks.catalogs") from None
    if found != source.sha256:
        raise DataError(
            f"{source.path}: its content has changed (SHA-256 {found[:12]}..., the configuration says "
            f"{source.sha256[:12]}...); load the configuration again, or bring the file back"
        )


def draw_catalog(
    config: Config, l_deg: float, b_deg: float, n_fields: float, purpose: list[int]
) -> MockCatalog:
    """Stars of the built-in Galaxy over `n_fields` fields; `purpose` are the first words of their seed."""
    nuisances = config.nuisances
    # Deep enough for pairs whose stars come out brighter and whose survey goes deeper.
    deeper = MAX_SIGMA * (nuisances.mag_sigma_mag + nuisances.depth_sigma_mag)
    return Galaxy.of(config.galaxy).draw(
        l_deg,
        b_deg,
        area_deg2=n_fields * config.sightlines.area_deg2,
        limit_mag=faint_limit_of(config.surveys) + deeper,
        limits_mag=further_limits_of(config.surveys, nuisances),
        rng=np.random.default_rng([config.seed, *purpose, *position_words(l_deg, b_deg)]),
        bands=bands_of(config.surveys),
    )


def bands_of(surveys: Sequence[SurveyConfig]) -> tuple[str, ...]:
    """The bands that stars need: blue and red of the first survey, then all others that a survey has."""
    first = surveys[0]
    others = (band.name for one in surveys for band in one.bands)
    return tuple(dict.fromkeys((first.blue.name, first.red.name, *others)))


def further_limits_of(
    surveys: Sequence[SurveyConfig], nuisances: NuisanceConfig | None = None
) -> dict[str, float]:
    """As `faint_limit_of`, in the bands of further surveys that are limited in another one than that.

    Parameters
    ----------
    surveys : sequence of SurveyConfig
    nuisances : NuisanceConfig, optional
        Deep enough for pairs whose stars come out brighter by these and whose survey goes deeper.
    """
    first, *others = surveys
    brighter = deeper = 0.0
    if nuisances is not None:
        brighter = MAX_SIGMA * (2.0 * nuisances.mag_sigma_mag + nuisances.color_sigma_mag)
        deeper = MAX_SIGMA * nuisances.depth_sigma_mag
    found: dict[str, float] = {}
    for survey in others:
        band = survey.limiting
        if band.name != first.red.name:
            limit_mag = reach_mag(band, survey.cuts, deeper) + brighter
            found[band.name] = max(limit_mag, found.get(band.name, -np.inf))
    return found


def faint_limit_of(surveys: Sequence[SurveyConfig]) -> float:
    """The magnitude in the first red band beyond which no survey counts a star without extinction.

    The first survey counts a star in all its bands, so in this one, whichever band limits it most.
    """
    first, *others = surveys
    limits = [reach_mag(one.limiting, one.cuts) for one in others if one.limiting.name == first.red.name]
    return max([reach_mag(first.red, first.cuts), *limits])
