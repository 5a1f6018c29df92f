import numpy as np
import pytest
from astropy.io import fits

from beam_jobs.graphs import score_to_map as job
from extmap_tf.compare.steps import StepRule
from extmap_tf.compare.visible_walls import VisibleWalls
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import PERCENTILES, ProfileEstimate
from extmap_tf.map.formats import new_map_file
from extmap_tf.map.header import MapHeader
from extmap_tf.map.provenance import Provenance
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.model.scoring import Scorer
from extmap_tf.model.versions import find_saved_model
from extmap_tf.records.dataset import serialized_examples
from extmap_tf.records.example import field_to_example, parse_examples
from extmap_tf.records.manifest import Records

N_PERCENTILES = len(PERCENTILES)


def estimate_of(density, seed=0):
    """An estimate as a SavedModel gives it [batch], around densities [batch, n_distances]."""
    density = np.asarray(density, np.float32)
    rng = np.random.default_rng(seed)
    steps = np.linspace(0.8, 1.2, N_PERCENTILES)[:, None].astype(np.float32)
    outputs = {"flag": 8 * rng.integers(0, 16, len(density)).astype(np.int32)}
    for name, median in (("density", density), ("extinction", np.cumsum(density, axis=1))):
        outputs[f"{name}_median"] = median
        outputs[f"{name}_mean"] = median * np.float32(1.1)
        outputs[f"{name}_std"] = median * np.float32(0.2)
        outputs[f"{name}_percentiles"] = steps * median[:, None]
    return ProfileEstimate.from_outputs(outputs)


class TimesTen:
    """Stands for a loaded SavedModel: the length of each example, times ten, at every distance."""

    def score_examples(self, batch):
        return estimate_of([[10.0 * len(example)] * 4 for example in batch])


def batch_of(*examples):
    return {"examples": list(examples), "n_stars": np.arange(len(examples))}


def test_the_handler_gives_the_estimates_of_a_batch():
    handler = job.SavedModelHandler("nowhere")
    batches = [batch_of(b"a", b"bbb", b"cc"), batch_of(b"dddd")]
    (several, facts), (one, _) = handler.run_inference(batches, TimesTen())
    assert several.density_median[:, 0].tolist() == [10.0, 30.0, 20.0]
    assert several.extinction_percentiles.shape == (3, N_PERCENTILES, 4)
    assert facts["n_stars"].tolist() == [0, 1, 2]
    assert one.density_median[:, 0].tolist() == [40.0]
    assert handler.get_num_bytes(batches) == 10


def test_the_map_is_what_the_saved_model_gives_in_memory(saved_model, survey_records, tiny_config, tmp_path):
    job.make_map(survey_records, saved_model, tmp_path / "map.fits")
    card = find_saved_model(saved_model)[1]
    with fits.open(tmp_path / "map.fits") as hdus:
        for hdu in hdus:
            facts = hdu.header["MODELIS"]
            assert f"{card.config.network.preset} network, {card.n_weights} weights" in facts
            assert f"{card.training['train_pairs']} training pairs" in facts
            assert f"validation loss {card.training['validation_loss']:.6g}" in facts
    assert ExtinctionMap.read(tmp_path / "map.fits", verify=True).provenance.model_facts == facts
    records = Records.open(survey_records)
    serialized = list(serialized_examples(records.shard_paths("all")).as_numpy_iterator())
    expected = Scorer(saved_model / "1").score_examples(serialized)
    volume = ExtinctionMap.read(tmp_path / "map.fits", verify=True)
    for name, values in expected.arrays().items():
        found = getattr(volume, name).reshape(values.shape)
        np.testing.assert_allclose(found, values, rtol=1e-4, atol=1e-6, err_msg=name)
    assert volume.provenance.model_name == "dense/1"
    assert [path.name for path in tmp_path.iterdir()] == ["map.fits"]


def test_samples_are_kept_only_when_asked_for(saved_model, survey_records, tiny_config, tmp_path):
    job.make_map(survey_records, saved_model, tmp_path / "map.fits", n_samples=3)
    opened = ExtinctionMap.read(tmp_path / "map.fits", verify=True)
    assert opened.n_samples == 3
    steps = tiny_config.seed + np.arange(3)
    for number, step in enumerate(steps):
        found = opened.samples[:, :, number]
        np.testing.assert_allclose(found, step * opened.extinction, rtol=1e-4, atol=1e-5)
    job.make_map(survey_records, saved_model, tmp_path / "none.fits")
    assert ExtinctionMap.read(tmp_path / "none.fits").n_samples == 0
    with pytest.raises(ConfigError, match="samples must be 0 to 32, got: 33"):
        job.make_map(survey_records, saved_model, tmp_path / "many.fits", n_samples=33)


def test_the_smallest_walls_are_those_of_the_model_behind_each_fields_dust(
    saved_model, survey_records, tmp_path, monkeypatch
):
    walls = VisibleWalls(
        np.array([0.0]), np.array([0.0]), np.array([0.2, 0.8]), np.array([[0.1, 0.4]]), (0.1, 0.4), StepRule()
    )
    asked = []
    monkeypatch.setattr(job, "visible_walls", lambda sample, config, places: asked.append(places) or walls)
    job.make_map(survey_records, saved_model, tmp_path / "map.fits", with_walls=True)
    assert asked
    volume = ExtinctionMap.read(tmp_path / "map.fits", verify=True)
    assert volume.header.wall_sigma == StepRule().min_sigma
    l_deg, b_deg = volume.grid.centers_deg()
    flat = volume.extinction.reshape(len(l_deg), -1)
    expected = walls.behind(l_deg, b_deg, flat, volume.distance).reshape(volume.extinction.shape)
    np.testing.assert_allclose(volume.smallest_wall, expected, rtol=1e-5)


@pytest.mark.parametrize("at_once", [1, 4096])
def test_tiles_put_in_any_order_give_the_file_of_a_map_made_at_once(
    at_once, tiny_config, tmp_path, monkeypatch
):
    monkeypatch.setattr(job, "_FIELDS_PUT_AT_ONCE", at_once)
    grid, distance = tiny_config.sightlines, tiny_config.distance
    assert grid.shape == (2, 3)
    density = np.random.default_rng(0).random((6, 40)).astype(np.float32)
    density[3, 7] = np.nan
    samples = np.repeat(density[:, None], 3, axis=1)
    estimate = estimate_of(density).with_samples(samples, distance.step_kpc)
    facts = {"n_stars": np.arange(6), "coverage": np.linspace(0.4, 1, 6, dtype=np.float32)}
    header = MapHeader(
        grid, distance, Provenance.of(tiny_config, "estimate"), percentiles=PERCENTILES, n_samples=3
    )
    paths = []
    for first, end in ((2, 4), (4, 6), (0, 2)):
        rows = slice(first, end)
        part = estimate[rows], {name: values[rows] for name, values in facts.items()}
        tile = job.to_map_layers((first, part), header)
        paths.append(str(tmp_path / job.write_tile(tile, str(tmp_path))))
    with new_map_file(tmp_path / "tiles.fits", header) as put:
        job.put_tiles(put, paths, 6)
    facts = {name: values.reshape(grid.shape) for name, values in facts.items()}
    ExtinctionMap(header, estimate.reshaped(*grid.shape), **facts).write(tmp_path / "whole.fits")
    assert (tmp_path / "tiles.fits").read_bytes() == (tmp_path / "whole.fits").read_bytes()
    assert b"checksum updated" not in (tmp_path / "tiles.fits").read_bytes()
    for chosen, words in ((paths[:2], "2 of 6 .* and 0"), ([paths[0]] * 2, "4 of 6 .* and 2")):
        with (
            pytest.raises(DataError, match=f"^{words} are there twice"),
            new_map_file(tmp_path / "not.fits", header) as put,
        ):
            job.put_tiles(put, chosen, 6)
    assert not list(tmp_path.glob("*not.fits*"))


def test_a_shard_is_read_in_batches_with_what_the_map_says_of_each_field(
    survey_records, tiny_config, monkeypatch
):
    monkeypatch.setattr("extmap_tf.model.scoring.BATCH_SIZE", 4)
    records = Records.open(survey_records)
    (path,) = records.shard_paths("all")
    batches = list(job.read_shard((100, path), tiny_config.views))
    assert [first for first, _ in batches] == [100, 104]
    serialized = list(serialized_examples([path]).as_numpy_iterator())
    assert [example for _, batch in batches for example in batch["examples"]] == serialized
    parsed = parse_examples(serialized, tiny_config.views, "survey")
    for name in ("n_stars", "coverage"):
        found = np.concatenate([batch[name] for _, batch in batches])
        np.testing.assert_array_equal(found, parsed[name])


def test_mock_records_make_no_map(saved_model, mock_records, tmp_path):
    with pytest.raises(DataError, match="score 'records survey'"):
        job.make_map(mock_records, saved_model, tmp_path / "map.fits")


def test_more_stars_in_a_pixel_than_a_record_holds_are_refused(tiny_config):
    from extmap_tf.diagrams import FieldCounts

    (view,) = tiny_config.views
    counts = FieldCounts(view, 70_000 * np.eye(1, FieldCounts.n_slots(view), 5, dtype=np.int64)[0])
    with pytest.raises(DataError, match=r"name: 70000 stars in one pixel, a record holds at most 65535"):
        field_to_example([counts], "name", 1.0, 2.0)
