import numpy as np
import pytest
from apache_beam.ml.inference.base import PredictionResult

from beam_jobs import score_to_map as job
from extmap_tf.errors import DataError
from extmap_tf.map.provenance import Provenance
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.model.scoring import Scorer
from extmap_tf.records.dataset import serialized_examples
from extmap_tf.records.example import field_to_example
from extmap_tf.records.manifest import Records


class TimesTen:
    """Stands for a loaded SavedModel: the length of each example, times ten, at every distance."""

    def score_examples(self, batch):
        return np.array([[10.0 * len(example)] * 4 for example in batch], np.float32)


def test_the_handler_keeps_each_result_with_its_example_and_the_batch_size():
    handler = job.SavedModelHandler("nowhere")
    batch = [b"a", b"bbb", b"cc"]
    results = handler.run_inference(batch, TimesTen())
    assert [result.example for result in results] == batch
    assert [result.inference[0] for result in results] == [10.0, 30.0, 20.0]
    sizes = handler.batch_elements_kwargs()
    assert sizes["min_batch_size"] == sizes["max_batch_size"] == 512


def test_the_map_is_what_the_saved_model_gives_in_memory(saved_model, survey_records, tiny_config, tmp_path):
    job.make_map(survey_records, saved_model, tmp_path / "map.fits")
    records = Records.open(survey_records)
    serialized = list(serialized_examples(records.shard_paths("all")).as_numpy_iterator())
    expected = Scorer(saved_model / "1").score_examples(serialized)
    volume = ExtinctionMap.read(tmp_path / "map.fits")
    np.testing.assert_allclose(volume.density.reshape(expected.shape), expected, rtol=1e-5, atol=1e-7)
    assert volume.provenance.model_name == "dense/1"
    assert [path.name for path in tmp_path.iterdir()] == ["map.fits"]


def test_tiles_come_together_in_any_order(tiny_config, tmp_path):
    grid, distance = tiny_config.sightlines, tiny_config.distance
    rng = np.random.default_rng(0)
    density = rng.random((6, 40)).astype(np.float32)
    rows = [(index, density[index], 10 + index, 1.0) for index in range(6)]
    rng.shuffle(rows)
    paths = []
    for tile, part in ((1, rows[:4]), (0, rows[4:])):
        paths.append(str(tmp_path / job.write_tile((tile, part), str(tmp_path))))
    provenance = Provenance.of(tiny_config, "estimate")
    volume = job.tiles_to_map(paths, grid, distance, provenance)
    np.testing.assert_array_equal(volume.density.reshape(6, 40), density)
    assert volume.n_stars.ravel().tolist() == list(range(10, 16))
    with pytest.raises(DataError, match=r"^2 of 6 fields are missing .* and 0 are there twice"):
        job.tiles_to_map(paths[:1], grid, distance, provenance)
    with pytest.raises(DataError, match=r"^2 of 6 fields are missing .* and 4 are there twice"):
        job.tiles_to_map([paths[0]] * 2, grid, distance, provenance)


def test_a_result_goes_to_its_tile_with_the_fields_counts(survey_records, tiny_config):
    records = Records.open(survey_records)
    example = next(iter(serialized_examples(records.shard_paths("all")).as_numpy_iterator()))
    tile, row = job.result_to_row(job.FIELDS_PER_TILE + 3, PredictionResult(example, np.zeros(40)))
    assert tile == 1
    assert row[0] == job.FIELDS_PER_TILE + 3
    assert row[2] > 0
    assert row[3] == 1.0


def test_mock_records_make_no_map(saved_model, mock_records, tmp_path):
    with pytest.raises(DataError, match="score 'records survey'"):
        job.make_map(mock_records, saved_model, tmp_path / "map.fits")


def test_more_stars_in_a_pixel_than_a_record_holds_are_refused(tiny_config):
    from extmap_tf.cmd import add_partial_counts

    counts = add_partial_counts([(np.array([5]), np.array([70_000]))], tiny_config.cmd)
    with pytest.raises(DataError, match=r"name: 70000 stars in one pixel, a record holds at most 65535"):
        field_to_example(counts, "name", 1.0, 2.0, tiny_config.cmd)
