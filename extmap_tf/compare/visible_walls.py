"""The smallest wall of dust that a model would show, by distance: walls before mock stars, looked for.

The samples of a map cannot tell it. Where a model sees no dust its samples agree on none, whether it would
have seen some or not; near the Sun, with few stars in front of a cloud, it does not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from extmap_tf.compare.steps import StepRule, steps_in
from extmap_tf.errors import ConfigError
from extmap_tf.evaluation.walls import wall_density
from extmap_tf.extinction.dust import relative_density
from extmap_tf.extinction.profiles import density_to_cumulative
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.sphere import separation_deg
from extmap_tf.mocks.fields import dim_and_count, one_field, visible_limits_mag
from extmap_tf.mocks.nuisances import nothing_off
from extmap_tf.mocks.pools import sightline_catalog
from extmap_tf.settings.config import Config
from extmap_tf.settings.dust import DustConfig

DISTANCES_KPC = (0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
WALLS_MAG = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
MOST_PLACES = 9
# A wall is found if a step is within this share of its distance.
NEAR_SHARE = 0.3

Sample = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Diagrams [n, n_mag, n_color], l and b in deg [n] -> densities [n, n_samples, n_distances] in mag/kpc, as
`extmap_tf.model.scoring.Scorer.sample_counts`."""


@dataclass(frozen=True, eq=False)
class VisibleWalls:
    """The smallest walls that half of the fields show.

    Parameters
    ----------
    l_deg, b_deg : ndarray [n_places]
    distances_kpc : ndarray [n_distances]
    wall_mag : ndarray [n_places, n_distances]
        Extinction of the wall; NaN where even the largest that was tried is not shown.
    tried_mag : tuple of float
        The walls that were tried, ascending.
    rule : StepRule
        By which they were looked for.
    """

    l_deg: np.ndarray
    b_deg: np.ndarray
    distances_kpc: np.ndarray
    wall_mag: np.ndarray
    tried_mag: tuple[float, ...]
    rule: StepRule

    def behind(
        self, l_deg: np.ndarray, b_deg: np.ndarray, extinction: np.ndarray, distance: DistanceGrid
    ) -> np.ndarray:
        """The smallest wall that each sightline of a map shows, at the outer edges of its bins.

        It is that of the nearest place, between the distances there by its logarithm, and no less than the
        share of the extinction behind it that the rule asks of a step: much dust hides a small wall.

        Parameters
        ----------
        l_deg, b_deg : ndarray [n]
        extinction : ndarray [n, n_distances]
            Median, mag.
        distance : DistanceGrid

        Returns
        -------
        ndarray [n, n_distances]
            mag; NaN where even the largest that was tried is not shown, as nearer than the first distance.
        """
        apart = separation_deg(l_deg[:, None], b_deg[:, None], self.l_deg, self.b_deg)
        largest = max(self.tried_mag)
        # Where none was shown it would have been a larger one.
        logs = np.log(np.where(np.isnan(self.wall_mag), 2.0 * largest, self.wall_mag))
        walls = np.array(
            [np.interp(distance.outer_kpc, self.distances_kpc, row, left=np.nan) for row in logs]
        )
        walls = np.exp(walls)[np.argmin(apart, axis=1)]
        walls[walls > largest * (1.0 + 1e-9)] = np.nan
        share = self.rule.min_share
        return np.maximum(walls, share / (1.0 - share) * extinction)


def visible_walls(
    sample: Sample,
    config: Config,
    places: Sequence[tuple[float, float]],
    rule: StepRule | None = None,
    n_fields: int = 6,
    distances_kpc: Sequence[float] = DISTANCES_KPC,
    walls_mag: Sequence[float] = WALLS_MAG,
    seed: int = 0,
) -> VisibleWalls:
    """Put thin walls behind smooth dust before mock stars, and look for them as for clouds.

    Parameters
    ----------
    sample : callable
    config : extmap_tf.settings.config.Config
        Of the model, of one diagram.
    places : sequence of (float, float)
        l and b in degrees, such as training sightlines.
    rule : StepRule, optional
    n_fields : int
        For each wall; a wall is visible if half of them show it.
    distances_kpc, walls_mag : sequence of float
    seed : int

    Returns
    -------
    VisibleWalls
    """
    if len(config.diagrams) > 1:
        raise ConfigError(
            f"walls are tried for models of one diagram, {config.name} has {len(config.diagrams)}"
        )
    rule = rule or StepRule()
    distance, rng = config.distance, np.random.default_rng(seed)
    at_kpc = np.array([kpc for kpc in distances_kpc if kpc < distance.max_kpc])
    walls = [wall_density(mag, kpc, distance) for mag in walls_mag for kpc in at_kpc for _ in range(n_fields)]
    smallest = []
    for place in places:
        counts = _fields_behind(np.array(walls), config, place, rng)
        l_deg, b_deg = (np.full(len(counts), angle) for angle in place)
        profiles = density_to_cumulative(sample(counts, l_deg, b_deg).astype(float), distance.step_kpc)
        steps = steps_in(profiles, np.arange(len(counts)), distance, rule)
        true_kpc = np.tile(np.repeat(at_kpc, n_fields), len(walls_mag))[steps.sightline]
        sure = steps.sigma >= rule.min_sigma
        near = np.abs(np.median(steps.middles_kpc, axis=1) - true_kpc) <= NEAR_SHARE * true_kpc
        shown = np.isin(np.arange(len(counts)), steps.sightline[near & sure])
        often = shown.reshape(len(walls_mag), at_kpc.size, n_fields).mean(axis=2) >= 0.5
        smallest.append(np.where(often.any(axis=0), np.array(walls_mag)[np.argmax(often, axis=0)], np.nan))
    l_deg, b_deg = np.array(places, float).T
    return VisibleWalls(l_deg, b_deg, at_kpc, np.array(smallest), tuple(walls_mag), rule)


def places_to_try(config: Config) -> list[tuple[float, float]]:
    """Up to `MOST_PLACES` of a model's training sightlines, spread over them."""
    places = config.mocks.sightlines_deg()
    return [
        places[i] for i in sorted({k * (len(places) - 1) // (MOST_PLACES - 1) for k in range(MOST_PLACES)})
    ]


def _fields_behind(walls, config, place, rng):
    """Diagrams of fields at a place behind walls [n, n_distances] and smooth dust, with nothing off."""
    pool = sightline_catalog(config, *place, "test")
    l_deg, b_deg = (np.array([angle]) for angle in place)
    dust = DustConfig(arm_contrast=0.0)
    smooth = dust.local_mag_per_kpc * relative_density(dust, l_deg, b_deg, config.distance.centers_kpc)
    off = nothing_off(config.nuisances)
    limits_mag, area_deg2 = visible_limits_mag(config.surveys, off), config.sightlines.area_deg2
    counts = []
    for wall in walls:
        stars = one_field(pool, area_deg2, rng, off, limits_mag)
        counts.append(dim_and_count(stars, smooth + wall, config, rng, nuisances=off)["counts"])
    return np.array(counts)
