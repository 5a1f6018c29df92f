"""Training pairs: a mock catalog dimmed by a random profile and observed, next to that profile.

Every pair has a number; its random numbers depend on the configuration's seed and on that number alone, so
that any worker can make any pair.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import numpy as np

from extmap_tf.catalogs.model_tables import read_model_catalog
from extmap_tf.catalogs.stars import KINDS
from extmap_tf.diagrams import count_stars
from extmap_tf.draws import normals, uniforms
from extmap_tf.errors import DataError
from extmap_tf.extinction.law import a_over_av, blue_over_red
from extmap_tf.extinction.profiles import cumulative_at, draw_densities
from extmap_tf.files import sha256_of
from extmap_tf.galaxy import Galaxy
from extmap_tf.grids.squares import sightline_name
from extmap_tf.settings.mocks import CATALOG_SHARES, MIN_POOL_FIELDS
from extmap_tf.surveys.observing import faint_limit_mag, observe

SPLITS = ("train", "validation", "test")

# The first word of every seed says what it is for, so that no two uses share random numbers.
_CATALOG, _PAIR, _REFERENCE, _FIT = 1, 2, 3, 6

MAX_SIGMA = 3.0
"""Nuisances are cut at so many standard deviations."""

REFERENCE_FIELDS = 8.0
"""Size of the draw behind a reference CMD: its noise is a third of a field's."""

PAIRS_PER_BLOCK = 64
"""So many profiles are drawn together: numpy's calls cost more than their numbers."""


@dataclass(frozen=True)
class Pair:
    """One training pair.

    Parameters
    ----------
    number : int
        Which pair of the configuration it is.
    l_deg, b_deg : float
        The sightline.
    counts : ndarray of int64 [n_mag, n_color]
        The CMD.
    density : ndarray of float32 [n_distances]
        The profile: differential extinction in the red band, mag / kpc.
    """

    number: int
    l_deg: float
    b_deg: float
    counts: np.ndarray
    density: np.ndarray


def pair_key(config, number):
    """The unique name of a pair, which decides its split and its place."""
    l_deg, b_deg = _sightline(config, number)
    return f"{sightline_name(l_deg, b_deg)}/{number:09d}"


def place_of(key, salt):
    """Where a key stands in [0, 1), from a salted hash: the same on every machine."""
    digest = hashlib.blake2b(key.encode(), digest_size=8, key=salt.encode()).digest()
    # 53 bits, so that the quotient is exact and below one.
    return (int.from_bytes(digest, "big") >> 11) / 2.0**53


def split_of(place, mocks):
    """Which split a place in [0, 1) belongs to, and the place within that split, again in [0, 1).

    Parameters
    ----------
    place : float
    mocks : extmap_tf.settings.mocks.MocksConfig

    Returns
    -------
    split : {"train", "validation", "test"}
    within : float
    """
    lower = 0.0
    for split, width in (("test", mocks.test_fraction), ("validation", mocks.validation_fraction)):
        if place < lower + width:
            return split, (place - lower) / width
        lower += width
    return "train", (place - lower) / (1.0 - lower)


@lru_cache(maxsize=64)
def sightline_catalog(config, l_deg, b_deg, split):
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
    whole = _catalog_of_file(config, l_deg, b_deg)
    if whole is None:
        purpose = [_CATALOG, SPLITS.index(split)]
        return _draw_catalog(config, l_deg, b_deg, config.mocks.pool_fields, purpose)
    start = 0.0
    for name, share in CATALOG_SHARES:
        if name == split:
            part = slice(round(start * whole.n_stars), round((start + share) * whole.n_stars))
            return whole.take(part, whole.area_deg2 * share)
        start += share
    raise ValueError(split)


def fit_catalog(config, l_deg, b_deg, n_fields):
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
    if _catalog_of_file(config, l_deg, b_deg) is not None:
        return sightline_catalog(config, l_deg, b_deg, "train")
    as_modelled = {"nuisances.mag_sigma_mag": 0.0, "nuisances.depth_sigma_mag": 0.0}
    return _draw_catalog(config.replace(**as_modelled), l_deg, b_deg, n_fields, [_FIT])


@lru_cache(maxsize=8)
def _catalog_of_file(config, l_deg, b_deg):
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


def _draw_catalog(config, l_deg, b_deg, n_fields, purpose):
    nuisances, survey = config.nuisances, config.survey
    # Deep enough for pairs whose stars come out brighter and whose survey goes deeper.
    deeper = MAX_SIGMA * (nuisances.mag_sigma_mag + nuisances.depth_sigma_mag)
    return Galaxy.of(config.galaxy).draw(
        l_deg,
        b_deg,
        area_deg2=n_fields * config.sightlines.area_deg2,
        limit_mag=faint_limit_mag(survey.red, survey.cuts) + deeper,
        rng=np.random.default_rng([config.seed, *purpose, *_position_words(l_deg, b_deg)]),
        bands=(survey.blue.name, survey.red.name),
    )


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


def draw_nuisances(nuisances, rng):
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
    return Nuisances(*(normal * sigmas).tolist())


def dim_and_count(catalog, density, config, rng, patchiness=0.0, nuisances=AS_MODELLED):
    """Dim every star by the extinction at its distance, observe it, and count the survivors.

    Parameters
    ----------
    catalog : extmap_tf.catalogs.stars.MockCatalog
    density : ndarray [n_distances]
        A(red) per kpc.
    config : extmap_tf.settings.config.Config
    rng : numpy.random.Generator
    patchiness : float
        Standard deviation of the natural logarithm of the column across the field; the profile is the mean.
        Columns through clouds are log-normal at first (Kainulainen et al. 2009, A&A 508, L35).
    nuisances : Nuisances
        Offsets of magnitudes, depth and law.

    Returns
    -------
    ndarray of int64 [n_mag, n_color]
    """
    a_red = cumulative_at(density, config.distance.step_kpc, catalog.distance_kpc)
    if patchiness:
        normal = normals(rng, catalog.n_stars)
        normal *= np.float32(patchiness)
        normal -= np.float32(0.5 * patchiness**2)
        a_red *= np.exp(normal, out=normal)
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


def one_field(catalog, area_deg2, rng, nuisances=AS_MODELLED, limit_mag=np.inf):
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


def visible_limit_mag(config, nuisances):
    """Red magnitude without extinction beyond which a star plays no part in a field's CMD.

    It is too faint for the survey, be it behind no dust in an empty field, and for the count of crowding
    stars.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
    nuisances : Nuisances

    Returns
    -------
    float
    """
    survey = config.survey
    deepest = max(faint_limit_mag(survey.red, survey.cuts) + nuisances.depth_mag, survey.crowding.limit_mag)
    return deepest - nuisances.mag_mag


def simulate_pair(config, number):
    """Make one training pair: `simulate_pairs` of one number.

    Returns
    -------
    Pair
    """
    (pair,) = simulate_pairs(config, [number])
    return pair


def simulate_pairs(config, numbers):
    """Make training pairs.

    A pair does not depend on those beside it, but it is made several times faster next to others of its
    sightline.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
    numbers : iterable of int
        From 0 to ``config.mocks.n_pairs - 1``.

    Yields
    ------
    Pair
        In the order of the numbers.
    """
    for place, group in groupby(numbers, lambda number: _sightline(config, number)):
        here, pools = list(group), {}
        for start in range(0, len(here), PAIRS_PER_BLOCK):
            block = here[start : start + PAIRS_PER_BLOCK]
            # A third faster than NumPy's default where the random numbers of thousands of stars are drawn.
            rngs = [np.random.Generator(np.random.SFC64([config.seed, _PAIR, number])) for number in block]
            densities = draw_densities(config.profiles, config.distance, place[1], rngs)
            for number, density, rng in zip(block, densities, rngs, strict=True):
                split, _ = split_of(place_of(pair_key(config, number), config.mocks.split_salt), config.mocks)
                if split not in pools:
                    pools[split] = sightline_catalog(config, *place, split)
                yield Pair(number, *place, _draw_counts(config, pools[split], density, rng), density)


def _draw_counts(config, pool, density, rng):
    """The CMD of one field of a pool of stars behind a profile."""
    nuisances = draw_nuisances(config.nuisances, rng)
    limit_mag = visible_limit_mag(config, nuisances)
    stars = one_field(pool, config.sightlines.area_deg2, rng, nuisances, limit_mag)
    patchiness = rng.uniform(0.0, config.profiles.patchiness_max)
    return dim_and_count(stars, density, config, rng, patchiness, nuisances)


def reference_nodes(config):
    """Where reference CMDs are tabulated.

    Returns
    -------
    tuple of (float, float)
        (l, b) in degrees: the training sightlines and, with the built-in Galaxy, a grid over the map's
        region, its borders included.
    """
    if config.mocks.catalogs:
        return config.mocks.sightlines_deg()
    nodes = set(config.sightlines.nodes_deg(config.mocks.reference_step_deg))
    return tuple(sorted(nodes | set(config.mocks.sightlines_deg())))


def reference_cmd(config, l_deg, b_deg):
    """The CMD to expect without extinction: the mean over `REFERENCE_FIELDS` fields, or a file's stars.

    Returns
    -------
    ndarray of float32 [n_mag, n_color]
        Stars per pixel and field.
    """
    catalog = _catalog_of_file(config, l_deg, b_deg)
    if catalog is None:
        catalog = _draw_catalog(config, l_deg, b_deg, REFERENCE_FIELDS, [_REFERENCE])
    rng = np.random.default_rng([config.seed, _REFERENCE, *_position_words(l_deg, b_deg), 1])
    no_dust = np.zeros(config.distance.n_distances, np.float32)
    counts = dim_and_count(catalog, no_dust, config, rng)
    return (counts * (config.sightlines.area_deg2 / catalog.area_deg2)).astype(np.float32)


def _sightline(config, number):
    sightlines = config.mocks.sightlines_deg()
    return sightlines[number % len(sightlines)]


def _position_words(l_deg, b_deg):
    return [round((l_deg % 360.0) * 1e6), round((b_deg + 90.0) * 1e6)]
