import numpy as np
import pytest

from extmap_tf.estimate import PERCENTILES
from extmap_tf.evaluation.walls import percentiles_of_samples, wall_density, wall_score
from extmap_tf.grids.distance import DistanceGrid

GRID = DistanceGrid(0.1, 100)


def samples_of(walls):
    """Samples [1, n_samples, n_distances], one wall (mag, kpc) each."""
    return np.array([[wall_density(mag, kpc, GRID) for mag, kpc in walls]])


def score(walls, mag=1.0, kpc=2.0):
    return wall_score(percentiles_of_samples(samples_of(walls), GRID.step_kpc), mag, kpc, GRID.step_kpc)


def test_a_wall_holds_its_dust_where_it_is():
    density = wall_density(2.0, 3.04, GRID)
    assert density.sum() * GRID.step_kpc == pytest.approx(2.0)
    assert density[29:31].sum() * GRID.step_kpc > 1.99


def test_a_perfect_estimate_of_a_wall():
    found = score([(1.0, 2.0)] * 9)
    assert found.share_near == pytest.approx(1.0)
    assert found.half_over_distance == pytest.approx(1.0, abs=0.03)
    assert found.total_over_wall == pytest.approx(1.0)


def test_a_wall_seen_too_far_and_too_high():
    found = score([(1.5, 2.6)] * 9)
    assert found.share_near == pytest.approx(0.0, abs=1e-6)
    assert found.half_over_distance == pytest.approx(1.3, abs=0.03)
    assert found.total_over_wall == pytest.approx(1.5)
    assert found.coverage_68 < 0.05


def test_an_uncertain_wall_is_covered():
    rng = np.random.default_rng(1)
    walls = np.column_stack([rng.normal(1.0, 0.1, 400), np.full(400, 2.0)])
    percentiles = np.concatenate([percentiles_of_samples(samples_of(walls), GRID.step_kpc) for _ in range(2)])
    assert wall_score(percentiles, 1.0, 2.0, GRID.step_kpc).coverage_68 == 1.0
    assert wall_score(percentiles, 1.2, 2.0, GRID.step_kpc).coverage_68 == 0.0


def test_no_dust_never_reaches_half_of_a_wall():
    nothing = np.zeros((4, len(PERCENTILES), 100))
    found = wall_score(nothing, 1.0, 2.0, 0.1)
    assert found.n == 4
    assert np.isnan(found.half_over_distance)
    assert found.total_over_wall == 0.0
