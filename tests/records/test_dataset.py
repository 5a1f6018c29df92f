"""Records as a tf.data.Dataset."""

import numpy as np
import pytest
import tensorflow as tf

from extmap_tf.errors import DataError
from extmap_tf.mocks.pairs import Pair
from extmap_tf.records.dataset import corruption_named, evaluation_dataset, training_dataset
from extmap_tf.records.example import pair_to_example, parse_examples
from extmap_tf.records.manifest import Records, contents


def test_an_epoch_depends_on_its_number_alone(mock_records, tiny_config):
    records = Records.open(mock_records)

    def epoch(first, skip):
        batches = training_dataset(records, tiny_config.training, 1, first_epoch=first)
        steps = records.manifest.n_examples("train") // tiny_config.training.batch_size
        return [density.numpy() for _, density in batches.skip(skip * steps).take(steps)]

    for a, b in zip(epoch(2, 0), epoch(0, 2), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(epoch(0, 0), epoch(1, 0), strict=True))


def test_evaluation_is_one_ordered_pass(mock_records):
    records = Records.open(mock_records)
    densities = [density.numpy() for _, density in evaluation_dataset(records, "train", batch_size=50)]
    assert sum(map(len, densities)) == records.manifest.n_examples("train")


def test_an_error_on_whole_records_is_not_called_damage(mock_records):
    records = Records.open(mock_records)
    error = tf.errors.InvalidArgumentError(None, None, "shapes do not fit")
    with pytest.raises(tf.errors.InvalidArgumentError), corruption_named(mock_records, records):
        raise error
    with pytest.raises(DataError, match="shard: corrupted"), corruption_named("shard"):
        raise error


def test_a_pair_states_the_covered_share_of_its_field_unless_it_is_the_whole(tiny_config):
    (diagram,), n_distances = tiny_config.diagrams, tiny_config.distance.n_distances
    zeros = {"counts": np.zeros(diagram.shape, int)}, np.zeros(n_distances, np.float32)
    examples = [
        pair_to_example(Pair(number, 284.0, -1.0, *zeros, covered), f"p/{number}", 1)
        for number, covered in enumerate((1.0, 0.4))
    ]
    assert [b"coverage" in example for example in examples] == [False, True]
    parsed = parse_examples(tf.constant(examples), tiny_config.views, "mocks", n_distances)
    np.testing.assert_array_equal(parsed["coverage"], np.float32([1.0, 0.4]))
    assert "coverage" not in contents(tiny_config, "mocks")
    assert "coverage" in contents(tiny_config.replace(**{"mocks.partial_share": 0.3}), "mocks")
