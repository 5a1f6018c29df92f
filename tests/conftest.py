import os
import signal
from pathlib import Path

import pytest

from extmap_tf.config import Config


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
    """A configuration whose jobs take seconds: 2 training sightlines, 6 map fields of 0.1 deg."""
    return Config.named("demo").replace(
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
            "mocks.validation_fraction": 0.1,
            "mocks.test_fraction": 0.1,
            "training.batch_size": 32,
            "training.epochs": 3,
            "training.shuffle_buffer": 64,
        }
    )


@pytest.fixture(scope="session")
def mock_records(tiny_config, tmp_path_factory):
    """Finished mock records of the tiny configuration; not to be changed."""
    from beam_jobs.mocks_to_records import make_records

    out = tmp_path_factory.mktemp("records") / "mocks"
    make_records(tiny_config, str(out), examples_per_shard=100)
    return out


@pytest.fixture(scope="session")
def observed_sky(tiny_config, tmp_path_factory):
    """A mock survey table and the dust in front of it: (path, DustCube)."""
    from extmap_tf.extinction.dust import draw_dust
    from extmap_tf.mocksky import write_sky

    dust = draw_dust(tiny_config.dust, tiny_config.sightlines, tiny_config.distance, tiny_config.seed)
    path = tmp_path_factory.mktemp("sky") / "sky.parquet"
    write_sky(tiny_config, dust, path)
    return path, dust


@pytest.fixture(scope="session")
def survey_records(tiny_config, observed_sky, tmp_path_factory):
    """Finished survey records of the tiny configuration; not to be changed."""
    from beam_jobs.twomass_to_records import make_records

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
