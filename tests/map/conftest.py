import numpy as np
import pytest

from extmap_tf.grids import DistanceGrid, SightlineGrid
from extmap_tf.map.provenance import Provenance
from extmap_tf.map.volume import ExtinctionMap


@pytest.fixture(scope="session")
def make_provenance():
    def make(kind="estimate", **others):
        values = {
            "survey": "2MASS",
            "law_model": "G23",
            "law_rv": 3.1,
            "blue_over_red": 2.61,
            "config_name": "carina",
            "config_digest": "0123456789ab",
            "model_name": "carina-small",
            "model_digest": "aaaaaaaaaaaa",
            "records_digest": "bbbbbbbbbbbb",
        }
        return Provenance(kind=kind, **{**values, **others})

    return make


@pytest.fixture(scope="session")
def make_map(make_provenance):
    """A map of random densities; sightline (b 1, l 2) has no star, (b 0, l 0) little coverage."""

    def make(grid=None, distance=None, seed=1, kind="estimate", holes=True, **others):
        grid = grid or SightlineGrid(257.0, 260.0, -1.0, 1.0, 0.5, 0.5)
        distance = distance or DistanceGrid(0.1, 12)
        rng = np.random.default_rng(seed)
        coverage, n_stars = np.full(grid.shape, 0.9), rng.integers(1000, 5000, grid.shape)
        if holes:
            coverage[0, 0] = 0.2
            n_stars[1, 2] = 0
        density = rng.gamma(0.5, 0.4, (*grid.shape, distance.n_distances))
        return ExtinctionMap(grid, distance, density, coverage, n_stars, make_provenance(kind, **others))

    return make


@pytest.fixture(scope="session")
def volume(make_map):
    return make_map()
