import numpy as np
import pytest

from extmap_tf.grids import PERCENTILES, DistanceGrid, SightlineGrid
from extmap_tf.map.distribution import Distribution
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
            "band_um": 2.159,
            "blue_band_um": 1.235,
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
def make_sure_map(make_provenance):
    """A map with a distribution: gamma-distributed densities of which it keeps 32 samples.

    Sightline (b 1, l 2) has no star, (b 2, l 3) colours unlike the mocks.
    """

    def make(grid=None, distance=None, seed=1, samples=True, scale=1.0, **others):
        grid = grid or SightlineGrid(257.0, 260.0, -1.0, 1.0, 0.5, 0.5)
        distance = distance or DistanceGrid(0.1, 12)
        rng = np.random.default_rng(seed)
        typical = scale * rng.gamma(0.5, 0.4, (*grid.shape, 1, distance.n_distances))
        density = typical * rng.gamma(3.0, 1.0, (*grid.shape, 200, distance.n_distances))
        cumulative = np.cumsum(density, axis=-1) * distance.step_kpc
        n_stars, outlier = rng.integers(1000, 5000, grid.shape), np.zeros(grid.shape, int)
        n_stars[1, 2] = 0
        outlier[2, 3] = 4
        statistics = {}
        for name, draws in (("density", density), ("cumulative", cumulative)):
            statistics[f"{name}_mean"] = draws.mean(axis=2)
            statistics[f"{name}_std"] = draws.std(axis=2)
            statistics[f"{name}_percentiles"] = np.moveaxis(np.percentile(draws, PERCENTILES, axis=2), 0, 2)
        distribution = Distribution(
            cumulative=np.median(cumulative, axis=2),
            reliable_distance_kpc=rng.uniform(0.3, 1.2, grid.shape),
            density_samples=density[:, :, :32] if samples else None,
            **statistics,
        )
        return ExtinctionMap(
            grid,
            distance,
            np.median(density, axis=2),
            np.ones(grid.shape),
            n_stars,
            make_provenance(**others),
            distribution=distribution,
            outlier=outlier,
        )

    return make


@pytest.fixture(scope="session")
def sure(make_sure_map):
    return make_sure_map()


@pytest.fixture(scope="session")
def volume(make_map):
    return make_map()
