import pytest

from extmap_tf.model.training import train
from extmap_tf.records.manifest import Records


@pytest.fixture(scope="session")
def published_options():
    """What makes the tiny configuration one of the published network, trained for one epoch.

    Steps are small: Adam's first ones carry the rounding of a sum, which depends on how a batch is divided.
    """
    return {"network.preset": "cornu2022", "training.epochs": 1, "training.learning_rate": 1e-6}


@pytest.fixture(scope="session")
def published(published_options, mock_records, tmp_path_factory):
    """The published network's training folder, of one epoch on one device; not to be changed."""
    records, lines = Records.open(mock_records), []
    out = tmp_path_factory.mktemp("published") / "training"
    train(records, records.manifest.config.replace(**published_options), out, echo=lines.append)
    assert any("1 replica(s)" in line for line in lines)
    return out
