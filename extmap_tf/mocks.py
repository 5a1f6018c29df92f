"""Training pairs: a mock catalog dimmed by a random profile and observed, next to that profile.

Every pair has a number; its random numbers depend on the configuration's seed and on that number alone, so
that any worker can make any pair.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from extmap_tf.catalogs.model_tables import read_model_catalog
from extmap_tf.cmd import stars_to_cmd
from extmap_tf.extinction.law import a_over_av, blue_over_red
from extmap_tf.extinction.profiles import cumulative_at, draw_density
from extmap_tf.galaxy import Galaxy
from extmap_tf.grids import sightline_name
from extmap_tf.survey import faint_limit_mag, observe

SPLITS = ("train", "validation", "test")

# The first word of every seed says what it is for, so that no two uses share random numbers.
_CATALOG, _PAIR, _REFERENCE = 1, 2, 3


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
    mocks : extmap_tf.config.MocksConfig

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
def sightline_catalog(config, l_deg, b_deg, purpose=_CATALOG):
    """The mock catalog of a sightline, from the configured file or the built-in Galaxy; always the same."""
    for source in config.mocks.catalogs:
        if (source.l_deg, source.b_deg) == (l_deg, b_deg):
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
    rng = np.random.default_rng([config.seed, purpose, *_position_words(l_deg, b_deg)])
    return Galaxy().draw(
        l_deg,
        b_deg,
        area_deg2=config.mocks.pool_fields * config.sightlines.area_deg2,
        limit_mag=faint_limit_mag(config.survey.red, config.survey.cuts),
        rng=rng,
        bands=(config.survey.blue.name, config.survey.red.name),
    )


def dim_and_count(catalog, density, config, rng, patchiness=0.0):
    """Dim every star by the extinction at its distance, observe it, and count the survivors.

    Parameters
    ----------
    catalog : extmap_tf.catalogs.stars.MockCatalog
    density : ndarray [n_distances]
        A(red) per kpc.
    config : extmap_tf.config.Config
    rng : numpy.random.Generator
    patchiness : float
        Standard deviation of the natural logarithm of the column across the field; the profile is the mean.
        Columns through clouds are log-normal at first (Kainulainen et al. 2009, A&A 508, L35).

    Returns
    -------
    ndarray of int64 [n_mag, n_color]
    """
    a_red = cumulative_at(density, config.distance.step_kpc, catalog.distance_kpc)
    if patchiness:
        normal = rng.standard_normal(catalog.n_stars, dtype=np.float32)
        a_red = a_red * np.exp(np.float32(patchiness) * normal - np.float32(0.5 * patchiness**2))
    ratio = np.float32(blue_over_red(config.law, config.survey))
    _, blue_mag, red_mag = observe(
        catalog.blue_mag + ratio * a_red, catalog.red_mag + a_red, config.survey, rng
    )
    return stars_to_cmd(blue_mag, red_mag, config.cmd)


def one_field(catalog, area_deg2, count_scale, rng):
    """One field's worth of a catalog: a Poisson number of its stars, taken as a random slice.

    Parameters
    ----------
    catalog : extmap_tf.catalogs.stars.MockCatalog
    area_deg2 : float
        Of the field.
    count_scale : float
        Factor on the expected number of stars.
    rng : numpy.random.Generator

    Returns
    -------
    extmap_tf.catalogs.stars.MockCatalog
    """
    expected = count_scale * catalog.n_stars * area_deg2 / catalog.area_deg2
    n = min(int(rng.poisson(expected)), catalog.n_stars)
    start = int(rng.integers(catalog.n_stars - n + 1))
    part = slice(start, start + n)
    return type(catalog)(
        catalog.l_deg,
        catalog.b_deg,
        area_deg2,
        catalog.distance_kpc[part],
        catalog.blue_mag[part],
        catalog.red_mag[part],
        catalog.source,
    )


def simulate_pair(config, number):
    """Make one training pair.

    Parameters
    ----------
    config : extmap_tf.config.Config
    number : int
        From 0 to ``config.mocks.n_pairs - 1``.

    Returns
    -------
    Pair
    """
    l_deg, b_deg = _sightline(config, number)
    rng = np.random.default_rng([config.seed, _PAIR, number])
    density = draw_density(config.profiles, config.distance, b_deg, rng)
    count_scale = np.exp(config.mocks.count_scale_sigma * rng.standard_normal())
    pool = sightline_catalog(config, l_deg, b_deg)
    catalog = one_field(pool, config.sightlines.area_deg2, count_scale, rng)
    patchiness = rng.uniform(0.0, config.profiles.patchiness_max)
    counts = dim_and_count(catalog, density, config, rng, patchiness)
    return Pair(number, l_deg, b_deg, counts, density)


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
    grid = config.sightlines
    nodes = {
        (round(float(l) % 360.0, 6), round(float(b), 6))
        for l in _spread(grid.l_min_deg, grid.l_max_deg, config.mocks.reference_step_deg)
        for b in _spread(grid.b_min_deg, grid.b_max_deg, config.mocks.reference_step_deg)
    }
    return tuple(sorted(nodes | set(config.mocks.sightlines_deg())))


def reference_cmd(config, l_deg, b_deg):
    """The CMD to expect without extinction: the mean over a sightline's catalog.

    Returns
    -------
    ndarray of float32 [n_mag, n_color]
        Stars per pixel and field.
    """
    catalog = sightline_catalog(config, l_deg, b_deg, _REFERENCE)
    rng = np.random.default_rng([config.seed, _REFERENCE, *_position_words(l_deg, b_deg), 1])
    no_dust = np.zeros(config.distance.n_distances, np.float32)
    counts = dim_and_count(catalog, no_dust, config, rng)
    return (counts * (config.sightlines.area_deg2 / catalog.area_deg2)).astype(np.float32)


def _sightline(config, number):
    sightlines = config.mocks.sightlines_deg()
    return sightlines[number % len(sightlines)]


def _spread(low, high, step):
    return np.linspace(low, high, max(2, int(np.ceil((high - low) / step - 1e-9)) + 1))


def _position_words(l_deg, b_deg):
    return [round((l_deg % 360.0) * 1e6), round((b_deg + 90.0) * 1e6)]
