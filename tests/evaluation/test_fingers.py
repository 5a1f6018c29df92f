import numpy as np
import pytest

from extmap_tf.errors import DataError
from extmap_tf.evaluation.fingers import fingers_of_god, format_fingers
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.squares import SightlineGrid

GRID = SightlineGrid(280.0, 290.0, -3.0, 3.0, 0.5, 0.5)
DISTANCE = DistanceGrid(0.1, 50)


@pytest.fixture
def truth():
    """Blobs as wide on the sky as they are long."""
    rng = np.random.default_rng(1)
    field = rng.normal(size=(*GRID.shape, 50))
    for axis in (0, 1):
        field = field + np.roll(field, 1, axis)
    for _ in range(4):
        field = field + np.roll(field, 1, 2)
    return np.exp(0.5 * field / field.std())


def test_a_perfect_map_has_the_power_of_the_truth(truth):
    found = fingers_of_god(truth, truth, GRID, DISTANCE)
    assert found.finger_power == 1.0
    assert found.elongation_estimate == found.elongation_truth
    assert found.n_pairs == 13 * 20 + 12 * 21


def test_the_powers_add_up_to_mean_squares(truth):
    found = fingers_of_god(truth, truth, GRID, DISTANCE)
    assert np.mean(found.along_truth) == pytest.approx((truth**2).mean())
    across = np.concatenate([np.diff(truth, axis=axis).reshape(-1, 50) for axis in (1, 0)])
    assert np.mean(found.across_truth) == pytest.approx((across**2).mean())
    assert found.elongation_truth == pytest.approx(
        np.sqrt((across**2).mean() / (np.diff(truth, axis=2) ** 2).mean())
    )


def test_errors_stretched_along_the_sight_are_seen_as_fingers(truth):
    rng = np.random.default_rng(2)
    stretched = truth + 0.5 * rng.normal(size=(*GRID.shape, 1)) * np.sin(np.arange(50) / 50 * np.pi)
    speckled = truth + 0.1 * rng.normal(size=truth.shape)
    long, short = (fingers_of_god(one, truth, GRID, DISTANCE) for one in (stretched, speckled))
    assert long.finger_power > 2.0
    assert long.elongation_estimate > 1.2 * long.elongation_truth
    assert short.finger_power < 0.6 * long.finger_power
    assert short.elongation_estimate < long.elongation_estimate


def test_neighbours_are_so_far_apart_that_their_fields_share_no_star(truth):
    overlapping = SightlineGrid(280.0, 290.0, -3.0, 3.0, 0.5, 1.2)
    found = fingers_of_god(truth, truth, overlapping, DISTANCE)
    assert found.lag_steps == 3
    assert found.n_pairs == 13 * 18 + 10 * 21


def test_unknown_sightlines_are_in_no_pair(truth):
    holes = truth.copy()
    holes[0, 0, 3] = np.nan
    assert fingers_of_god(holes, truth, GRID, DISTANCE).n_pairs == 13 * 20 + 12 * 21 - 2
    assert fingers_of_god(truth * np.nan, truth, GRID, DISTANCE) is None


def test_one_sightline_has_no_neighbours():
    grid = SightlineGrid(280.0, 280.0, 0.0, 0.0, 0.5, 0.5)
    assert fingers_of_god(np.ones((1, 1, 50)), np.ones((1, 1, 50)), grid, DISTANCE) is None


def test_wrong_shapes_are_refused(truth):
    with pytest.raises(DataError, match=r"got: \(13, 21, 49\)"):
        fingers_of_god(truth[..., 1:], truth, GRID, DISTANCE)


def test_the_table_has_bands_of_scale(truth):
    lines = format_fingers(fingers_of_god(truth, truth, GRID, DISTANCE)).splitlines()
    assert [line[:8] for line in lines[2:5]] == ["scales a", "1 to 4 k", "below 1 "]
    assert "finger power 1.00" in lines[-1]
