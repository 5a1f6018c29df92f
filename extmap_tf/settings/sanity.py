"""Configurations that are possible but can hardly be meant."""

import math
from collections.abc import Iterator, Sequence

from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.sky import SkyGrid
from extmap_tf.settings.config import Config
from extmap_tf.settings.mocks import MocksConfig
from extmap_tf.settings.survey import SurveyView
from extmap_tf.settings.training import TrainingConfig

# The stars along a training sightline stand for those of the map: this far away they are of other kinds.
MAX_AWAY_DEG = 20.0
# The discs end near 15 kpc from the centre, the Sun is at 8: beyond, a survey has next to no star.
MAX_KPC = 25.0
# The built-in configurations have 14,000 training pairs and 1,100 steps, or more.
MIN_TRAINING_PAIRS, MIN_STEPS = 5_000, 500


def warnings_of(config: Config, training: bool = True) -> tuple[str, ...]:
    """What is odd about a configuration: a line each, with the reason and what to do.

    Parameters
    ----------
    config : Config
    training : bool
        Whether pairs and networks are made of it; else its map alone counts.
    """
    of_map = (*_distances(config.distance), *_empty_diagrams(config.views))
    if not training:
        return of_map
    mocks = config.mocks
    return (*of_map, *_far_sightlines(mocks, config.sightlines), *_training(mocks, config.training))


def _far_sightlines(mocks: MocksConfig, grid: SkyGrid) -> Iterator[str]:
    places = mocks.sightlines_deg()
    away_deg = [_away_deg(grid, l_deg, b_deg) for l_deg, b_deg in places]
    n_far = sum(away > MAX_AWAY_DEG for away in away_deg)
    if n_far:
        farthest = max(away_deg)
        l_deg, b_deg = places[away_deg.index(farthest)]
        which = "the training sightline" if n_far == 1 else f"of {n_far} far training sightlines the one at"
        yield (
            f"mocks: {which} l {l_deg:g}, b {b_deg:g} is {farthest:.0f} deg from the map, "
            f"where the stars are others: take sightlines within {MAX_AWAY_DEG:g} deg"
        )


def _away_deg(grid, l_deg, b_deg):
    """Roughly how far a position is from the range of l and b that a map's sightlines are in."""
    center, half = 0.5 * (grid.l_min_deg + grid.l_max_deg), 0.5 * (grid.l_max_deg - grid.l_min_deg)
    off_l = max(0.0, abs((l_deg - center + 180.0) % 360.0 - 180.0) - half)
    off_b = max(0.0, grid.b_min_deg - b_deg, b_deg - grid.b_max_deg)
    # At the higher latitude, where a degree of longitude is shortest.
    cos_b = math.cos(math.radians(max(abs(b_deg), min(abs(grid.b_min_deg), abs(grid.b_max_deg)))))
    return math.hypot(off_l * cos_b, off_b)


def _distances(distance: DistanceGrid) -> Iterator[str]:
    if distance.max_kpc > MAX_KPC:
        yield (
            f"distance: the bins reach {distance.max_kpc:g} kpc, and beyond {MAX_KPC:g} kpc there is "
            "next to no star: lower step_kpc or n_distances"
        )


def _empty_diagrams(views: Sequence[SurveyView]) -> Iterator[str]:
    for survey, diagram in ((view.survey, diagram) for view in views for diagram in view.diagrams):
        for axis in (diagram.y, diagram.x):
            if axis.quantity != "magnitude":
                continue
            band = survey.band(axis.label)
            if axis.minimum >= band.half_complete_mag:
                place = "diagrams" if survey.diagrams else "cmd"
                yield (
                    f"{place}: it begins at {band.name} = {axis.minimum:g}, "
                    f"where {survey.name} detects less than half of the stars ({band.half_complete_mag:g}): "
                    f"lower {'minimum and maximum' if survey.diagrams else 'mag_min_mag and mag_max_mag'}"
                )


def _training(mocks: MocksConfig, training: TrainingConfig) -> Iterator[str]:
    pairs = mocks.n_pairs * (1.0 - mocks.validation_fraction - mocks.test_fraction)
    if pairs < MIN_TRAINING_PAIRS:
        yield (
            f"mocks: {pairs:,.0f} training pairs are too few for a network to learn from: raise n_pairs "
            f"until there are {MIN_TRAINING_PAIRS:,} or more"
        )
    steps = training.epochs * pairs / training.batch_size
    if steps < MIN_STEPS:
        yield (
            f"training: {steps:,.0f} steps are too few for a network to learn in: raise epochs or n_pairs, "
            f"or lower batch_size, until there are {MIN_STEPS} or more"
        )
