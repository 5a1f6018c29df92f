"""Training pairs: a mock catalog dimmed by a random profile and observed, next to that profile.

Every pair has a number; its random numbers depend on the configuration's seed and on that number alone, so
that any worker can make any pair.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from extmap_tf.extinction.profiles import draw_densities
from extmap_tf.grids.squares import sightline_name
from extmap_tf.mocks.fields import dim_and_count, one_field, visible_limits_mag
from extmap_tf.mocks.nuisances import draw_nuisances
from extmap_tf.mocks.patchiness import draw_patchiness
from extmap_tf.mocks.pools import sightline_catalog
from extmap_tf.mocks.seeds import PAIR
from extmap_tf.settings.config import Config
from extmap_tf.settings.mocks import MocksConfig

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
    diagrams : dict of str to ndarray of int64 [n_y, n_x]
        Stars in each pixel, by the names of the configuration's diagrams.
    density : ndarray of float32 [n_distances]
        The profile: differential extinction in the red band, mag / kpc.
    covered : float
        Share of the field that the surveys cover.
    """

    number: int
    l_deg: float
    b_deg: float
    diagrams: dict[str, np.ndarray]
    density: np.ndarray
    covered: float = 1.0

    @property
    def counts(self) -> np.ndarray:
        """The first diagram [n_mag, n_color]."""
        return self.diagrams["counts"]


def pair_key(mocks: MocksConfig, number: int) -> str:
    """The unique name of a pair, which decides its split and its place."""
    l_deg, b_deg = _sightline(mocks, number)
    return f"{sightline_name(l_deg, b_deg)}/{number:09d}"


def place_of(key: str, salt: str) -> float:
    """Where a key stands in [0, 1), from a salted hash: the same on every machine."""
    digest = hashlib.blake2b(key.encode(), digest_size=8, key=salt.encode()).digest()
    # 53 bits, so that the quotient is exact and below one.
    return (int.from_bytes(digest, "big") >> 11) / 2.0**53


def split_of(place: float, mocks: MocksConfig) -> tuple[str, float]:
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


def simulate_pair(config: Config, number: int) -> Pair:
    """Make one training pair: `simulate_pairs` of one number.

    Returns
    -------
    Pair
    """
    (pair,) = simulate_pairs(config, [number])
    return pair


def simulate_pairs(config: Config, numbers: Iterable[int]) -> Iterator[Pair]:
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
    mocks = config.mocks
    for (l_deg, b_deg), group in groupby(numbers, lambda number: _sightline(mocks, number)):
        here, pools = list(group), {}
        for start in range(0, len(here), PAIRS_PER_BLOCK):
            block = here[start : start + PAIRS_PER_BLOCK]
            # A third faster than NumPy's default where the random numbers of thousands of stars are drawn.
            rngs = [np.random.Generator(np.random.SFC64([config.seed, PAIR, number])) for number in block]
            densities = draw_densities(config.profiles, config.distance, l_deg, b_deg, rngs)
            for number, density, rng in zip(block, densities, rngs, strict=True):
                split, _ = split_of(place_of(pair_key(mocks, number), mocks.split_salt), mocks)
                if split not in pools:
                    pools[split] = sightline_catalog(config, l_deg, b_deg, split)
                diagrams, covered = _draw_diagrams(config, pools[split], density, rng)
                yield Pair(number, l_deg, b_deg, diagrams, density, covered)


def _draw_diagrams(config, pool, density, rng):
    """The diagrams of one field of a pool of stars behind a profile, and the covered share of the field."""
    nuisances = draw_nuisances(config.nuisances, rng, config.surveys)
    covered = draw_covered(config.mocks, rng)
    limits_mag = visible_limits_mag(config.surveys, nuisances)
    stars = one_field(pool, covered * config.sightlines.area_deg2, rng, nuisances, limits_mag)
    patchiness = draw_patchiness(config.profiles, config.distance.max_kpc, rng)
    return dim_and_count(stars, density, config, rng, patchiness, nuisances), covered


def draw_covered(mocks: MocksConfig, rng: np.random.Generator) -> float:
    """Draw the covered share of one pair's field."""
    if not mocks.partial_share or rng.random() >= mocks.partial_share:
        return 1.0
    return float(rng.uniform(mocks.covered_min, 1.0))


def _sightline(mocks, number):
    sightlines = mocks.sightlines_deg()
    return sightlines[number % len(sightlines)]
