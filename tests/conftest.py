import dataclasses
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from extmap_tf.estimate import PERCENTILES, Flag, ProfileEstimate
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map.header import MapHeader
from extmap_tf.map.provenance import Provenance
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.networks import Dense
from extmap_tf.settings.config import Config
from extmap_tf.settings.nuisances import NuisanceConfig
from extmap_tf.settings.profiles import ProfilePrior
from extmap_tf.settings.training import TrainingConfig


def pytest_configure():
    # A shell's background jobs ignore Ctrl-C, and so would the jobs that the tests start and stop.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data for checks, or a skip."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("EXTMAP_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set EXTMAP_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session")
def tiny_config():
    """A configuration whose jobs take seconds: 2 training sightlines, 6 fields of 0.1 deg; else defaults."""
    plain = dataclasses.replace(
        Config.named("demo").replace(surveys=["2mass"]),
        profiles=ProfilePrior(),
        nuisances=NuisanceConfig(),
        network=Dense(),
        training=TrainingConfig(),
    )
    return plain.replace(
        **{
            "name": "tiny",
            "sightlines.l_min_deg": 284.0,
            "sightlines.l_max_deg": 284.2,
            "sightlines.b_min_deg": -1.0,
            "sightlines.b_max_deg": -0.9,
            "sightlines.step_deg": 0.1,
            "sightlines.field_deg": 0.1,
            "distance.n_distances": 40,
            "mocks.l_deg": [284.0, 285.0],
            "mocks.b_deg": [-1.0],
            "mocks.n_pairs": 240,
            "mocks.partial_share": 0.0,
            "mocks.validation_fraction": 0.1,
            "mocks.test_fraction": 0.1,
            "training.batch_size": 32,
            "training.epochs": 3,
            # Tolerances are those of it; and results the same on all processors.
            "training.precision": "float32",
            "training.shuffle_buffer": 64,
        }
    )


@pytest.fixture(scope="session")
def mock_records(tiny_config, tmp_path_factory):
    """Finished mock records of the tiny configuration; not to be changed."""
    from beam_jobs.graphs.mocks_to_records import make_records

    out = tmp_path_factory.mktemp("records") / "mocks"
    make_records(tiny_config, str(out), examples_per_shard=100)
    return out


@pytest.fixture(scope="session")
def observed_sky(tiny_config, tmp_path_factory):
    """A mock survey table and the dust in front of it: (path, DustCube)."""
    from extmap_tf.extinction.dust import draw_dust
    from extmap_tf.mocks.sky import write_sky

    dust = draw_dust(tiny_config.dust, tiny_config.sightlines, tiny_config.distance, tiny_config.seed)
    path = tmp_path_factory.mktemp("sky") / "sky.parquet"
    write_sky(tiny_config, dust, path)
    return path, dust


@pytest.fixture(scope="session")
def survey_records(tiny_config, observed_sky, tmp_path_factory):
    """Finished survey records of the tiny configuration; not to be changed."""
    from beam_jobs.graphs.twomass_to_records import make_records

    out = tmp_path_factory.mktemp("records") / "survey"
    make_records(tiny_config, [str(observed_sky[0])], str(out))
    return out


@pytest.fixture(scope="session")
def trained(mock_records, tmp_path_factory):
    """A briefly trained model's folder; not to be changed."""
    from extmap_tf.model.training import train
    from extmap_tf.records.manifest import Records

    records = Records.open(mock_records)
    out = tmp_path_factory.mktemp("model") / "training"
    train(records, records.manifest.config, out, echo=lambda line: None)
    return out


@pytest.fixture(scope="session")
def saved_model(trained, tmp_path_factory):
    """Its SavedModel, as the parent of version folder 1."""
    from extmap_tf.model.export import export

    out = tmp_path_factory.mktemp("model") / "saved"
    export(trained, out)
    return out


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
        header = MapHeader(grid, distance, make_provenance(kind, **others))
        return ExtinctionMap(
            header, ProfileEstimate.of_density(density, distance.step_kpc), coverage, n_stars
        )

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
        extinction = np.cumsum(density, axis=-1) * distance.step_kpc
        n_stars, flag = rng.integers(1000, 5000, grid.shape), np.zeros(grid.shape, int)
        n_stars[1, 2] = 0
        flag[2, 3] = Flag.ODD_COLORS
        statistics = {}
        for name, draws in (("density", density), ("extinction", extinction)):
            statistics[f"{name}_median"] = np.median(draws, axis=2)
            statistics[f"{name}_mean"] = draws.mean(axis=2)
            statistics[f"{name}_std"] = draws.std(axis=2)
            statistics[f"{name}_percentiles"] = np.moveaxis(np.percentile(draws, PERCENTILES, axis=2), 0, 2)
        profiles = ProfileEstimate(flag=flag, **statistics)
        if samples:
            profiles = profiles.with_samples(density[:, :, :32], distance.step_kpc)
        header = MapHeader(grid, distance, make_provenance(**others))
        return ExtinctionMap(header, profiles, np.ones(grid.shape), n_stars)

    return make


@pytest.fixture(scope="session")
def sure(make_sure_map):
    return make_sure_map()


@pytest.fixture(scope="session")
def volume(make_map):
    return make_map()
