import numpy as np
import pytest

from extmap_tf.compare import visible_walls as module
from extmap_tf.compare.steps import StepRule
from extmap_tf.compare.visible_walls import VisibleWalls, visible_walls
from extmap_tf.figures.clouds import clouds_and_walls
from extmap_tf.grids.distance import DistanceGrid


@pytest.fixture
def seen_walls(monkeypatch):
    """The walls that are put before the stars, in place of their diagrams."""
    monkeypatch.setattr(module, "_fields_behind", lambda walls, *how: walls)


def near_sighted(walls, l_deg, b_deg):
    """Samples of a model that sees walls from 1 kpc on, its errors being 0.04 mag."""
    rng = np.random.default_rng(3)
    samples = np.repeat(walls[:, None], 32, axis=1)
    samples = samples + rng.gamma(1.0, 0.04 / 0.3, samples.shape) * (np.arange(walls.shape[1]) % 10 == 0)
    samples[..., :8] = 0.01
    return samples


@pytest.mark.usefixtures("seen_walls")
def test_the_smallest_wall_is_that_which_half_of_the_fields_show(tiny_config):
    config = tiny_config.replace(**{"distance.n_distances": 100})
    places = [(284.0, -1.0), (286.0, 1.0)]
    walls = visible_walls(near_sighted, config, places, n_fields=4)
    assert walls.wall_mag.shape == (2, walls.distances_kpc.size)
    near, far = walls.distances_kpc < 0.7, (walls.distances_kpc > 1.2) & (walls.distances_kpc < 7.0)
    assert np.isnan(walls.wall_mag[:, near]).all()
    assert (walls.wall_mag[:, far] >= 0.05).all()
    assert (walls.wall_mag[:, far] <= 0.4).all()


def test_walls_behind_fields_are_those_of_the_nearest_place_and_of_the_dust_before():
    walls = VisibleWalls(
        np.array([280.0, 284.0]),
        np.zeros(2),
        np.array([1.0, 2.0, 3.0]),
        np.array([[0.1, 0.4, 0.4], [0.3, 0.3, np.nan]]),
        (0.1, 0.4),
        StepRule(),
    )
    distance, extinction = DistanceGrid(0.5, 8), np.zeros((3, 8))
    extinction[2] = 3.6
    found = walls.behind(np.array([279.0, 285.0, 279.0]), np.zeros(3), extinction, distance)
    # 0.5, 1, ..., 4 kpc; nearer than the first distance nothing is known to be found, farther it stays.
    np.testing.assert_allclose(found[0], [np.nan, 0.1, 0.2, 0.4, 0.4, 0.4, 0.4, 0.4])
    # Before a distance where none was shown it grows, to none.
    np.testing.assert_allclose(found[1], [np.nan, 0.3, 0.3, 0.3, np.nan, np.nan, np.nan, np.nan])
    # A tenth of 4 mag is 0.4: a smaller step is none.
    np.testing.assert_allclose(found[2], [np.nan] + [0.4] * 7)


def test_places_to_try_are_some_of_the_training_sightlines(tiny_config):
    every = tiny_config.mocks.sightlines_deg()
    places = module.places_to_try(tiny_config)
    assert set(places) <= set(every)
    assert len(places) == min(len(every), module.MOST_PLACES)
    assert len(set(places)) == len(places)


def test_the_figure_draws_walls_and_no_cloud(volume):
    walls = VisibleWalls(
        np.array([258.0]),
        np.zeros(1),
        np.array([0.5, 1.0]),
        np.array([[np.nan, 0.2]]),
        (0.1, 0.2),
        StepRule(),
    )
    above, below = clouds_and_walls([], volume, walls).axes[:2]
    assert above.get_title() == "no cloud found"
    assert "not found" in below.get_legend().get_texts()[0].get_text()
