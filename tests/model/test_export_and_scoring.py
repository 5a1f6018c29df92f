import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from beam_jobs.graphs.score_to_map import make_map
from extmap_tf.errors import ConfigError, DataError, MismatchError
from extmap_tf.estimate import EMPTY_FLAGS, PERCENTILES, Flag, ProfileEstimate
from extmap_tf.evaluation.metrics import compare_maps
from extmap_tf.evaluation.models import evaluate_model
from extmap_tf.map.header import MapHeader
from extmap_tf.map.merge import merge_maps
from extmap_tf.map.provenance import Provenance
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.model.card import ModelCard
from extmap_tf.model.checks import require_fit
from extmap_tf.model.distribution import summarize
from extmap_tf.model.domain import Domains
from extmap_tf.model.export import Served, export
from extmap_tf.model.scoring import Scorer
from extmap_tf.model.trained import load_trained
from extmap_tf.model.versions import find_saved_model, versions
from extmap_tf.records.dataset import evaluation_dataset, serialized_examples
from extmap_tf.records.manifest import Records
from extmap_tf.report.report import write_report


@pytest.fixture(scope="module")
def scorer(saved_model):
    return Scorer(saved_model / "1")


@pytest.fixture(scope="module")
def batch(mock_records):
    inputs, density = next(iter(evaluation_dataset(Records.open(mock_records), "test")))
    return {name: value.numpy() for name, value in inputs.items()}, density.numpy()


def test_the_saved_model_equals_the_keras_model(trained, scorer, batch):
    model, _ = load_trained(trained)
    inputs, _ = batch
    expected = summarize(model(inputs), 0.1)
    found = scorer.score_counts(**inputs)
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_examples_give_what_their_counts_give(scorer, batch, mock_records):
    records = Records.open(mock_records)
    serialized = list(serialized_examples(records.shard_paths("test")).as_numpy_iterator())
    inputs, _ = batch
    found = scorer.score_examples(serialized).arrays()
    expected = scorer.score_counts(**inputs).arrays()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-7, err_msg=name)


def test_an_answer_does_not_depend_on_its_batch(scorer, batch):
    inputs, _ = batch
    whole = scorer.score_counts(**inputs).arrays()
    one = scorer.score_counts(**{name: value[5:6] for name, value in inputs.items()}).arrays()
    for name in whole:
        np.testing.assert_allclose(one[name][0], whole[name][5], rtol=1e-4, atol=1e-5, err_msg=name)
    none = scorer.score_counts(**{name: value[:0] for name, value in inputs.items()})
    assert none.shape == (0,)


@pytest.mark.parametrize("least_mag", [0.3, 1e-3])
def test_a_total_near_the_largest_of_the_training_is_flagged(trained, batch, least_mag):
    """The prior is said to end at less, so that some of the same fields reach its end, or all."""
    model, card = load_trained(trained)
    prior = {"profiles.total_max_mag": least_mag, "profiles.total_min_mag": 0.5 * least_mag}
    card = dataclasses.replace(card, config=card.config.replace(**prior))
    served = Served(model, card, Domains.read(trained / "domain.npz", ["counts"]))
    inputs = {name: tf.constant(value[:20]) for name, value in batch[0].items()}
    ask = served.signatures_to_save["serving_default"]
    found = {name: value.numpy() for name, value in ask(**inputs).items()}
    large = found["flag"] & Flag.LARGE_EXTINCTION != 0
    total = found["extinction_percentiles"][:, PERCENTILES.index(84.0), -1]
    np.testing.assert_array_equal(large, total >= 0.85 * least_mag)
    assert large.any()
    assert large.all() or least_mag == 0.3
    inputs["l_deg"] = tf.constant(np.full(20, np.nan, np.float32))
    assert not (ask(**inputs)["flag"].numpy() & Flag.LARGE_EXTINCTION).any()


def test_a_position_outside_the_models_region_is_flagged(scorer, batch):
    inputs = {name: value[:3] for name, value in batch[0].items()}
    inside = scorer.score_counts(**inputs).flag
    assert not (inside & Flag.ODD_PLACE).any()
    for change in ({"l_deg": [284.0, 270.0, 300.0]}, {"b_deg": [-1.0, 2.0, -3.0]}):
        found = scorer.score_counts(**(inputs | {k: np.float32(v) for k, v in change.items()})).flag
        assert (found & Flag.ODD_PLACE).tolist() == [0, 64, 64]


def test_strange_diagrams_are_flagged_and_training_ones_are_not(scorer, mock_records):
    batches = evaluation_dataset(Records.open(mock_records), "train")
    inputs = {name: value.numpy() for name, value in next(iter(batches))[0].items()}
    assert np.mean(scorer.score_counts(**inputs).flag > 0) < 0.03
    assert (scorer.score_counts(**(inputs | {"counts": 0 * inputs["counts"]})).flag & Flag.FEW_STARS).all()
    # Dust takes most stars of some fields away: thirty times as many of those are still not too many.
    more = scorer.score_counts(**(inputs | {"counts": 30 * inputs["counts"]})).flag
    assert (more > 0).all()
    assert np.mean((more & Flag.ODD_STAR_COUNT) > 0) > 0.9
    moved = np.roll(inputs["counts"], 25, axis=2)
    moved = scorer.score_counts(**(inputs | {"counts": moved})).flag
    assert np.mean((moved & Flag.ODD_COLORS) > 0) > 0.9


def test_samples_are_seeded_and_follow_the_percentiles(saved_model, scorer, batch):
    inputs, _ = batch
    signature = tf.saved_model.load(str(saved_model / "1")).signatures["samples"]

    def draw(rows, seed):
        tensors = {name: tf.constant(value[rows]) for name, value in inputs.items()}
        return signature(**tensors, seed=tf.constant(seed, tf.int32))["density_samples"].numpy()

    first = draw(slice(None), 1)
    np.testing.assert_allclose(draw(slice(3, 4), 1)[0], first[3], rtol=1e-4, atol=1e-6)
    assert (draw(slice(None), 2) != first).any()
    summary = scorer.score_counts(**inputs)
    cumulative = np.cumsum(first, axis=-1) * 0.1
    p16, p84 = (summary.extinction_percentiles[:, PERCENTILES.index(p)] for p in (16.0, 84.0))
    inside = (cumulative >= p16[:, None]) & (cumulative <= p84[:, None])
    assert inside.mean() == pytest.approx(0.68, abs=0.06)


def test_a_network_without_a_spread_makes_a_map_of_one_profile_a_sightline(
    published, survey_records, observed_sky, tiny_config, tmp_path, batch
):
    saved = export(published, tmp_path / "s")
    found = Scorer(saved).score_counts(**batch[0])
    assert set(found.arrays()) == {"extinction_median", "density_median", "flag"}
    assert np.isfinite(found.extinction_median).all()
    with pytest.raises(ConfigError, match=r"cornu2022, gives one profile .* --samples and --walls out"):
        make_map(survey_records, saved, tmp_path / "map.fits", n_samples=1)
    make_map(survey_records, saved, tmp_path / "map.fits")
    volume = ExtinctionMap.read(tmp_path / "map.fits")
    assert (volume.header.percentiles, volume.n_samples) == ((), 0)
    assert (volume.flag & EMPTY_FLAGS == 0).all()
    assert not volume.profiles.has_spread
    (path,) = Records.open(survey_records).shard_paths("all")
    examples = list(serialized_examples([path]).as_numpy_iterator())
    expected = Scorer(saved).score_examples(examples).extinction_median.reshape(volume.extinction.shape)
    np.testing.assert_allclose(volume.extinction, expected, rtol=1e-4, atol=1e-6)
    assert "one profile a sightline, without uncertainty" in str(volume)
    truth = ExtinctionMap(
        MapHeader(volume.grid, volume.distance, Provenance.of(tiny_config, "truth")),
        ProfileEstimate.of_density(observed_sky[1].field_density(volume.grid), volume.distance.step_kpc),
        volume.coverage,
        volume.n_stars,
    )
    evaluation = compare_maps(volume, truth)
    assert evaluation.left_out == ("calibration and reliability: the estimate carries no percentiles",)
    assert np.isfinite(evaluation.overall[0].bias_mag)
    write_report(volume, tmp_path / "report.html", truth=truth)
    with pytest.raises(DataError, match="overlap and have no standard deviation to weigh them by"):
        merge_maps([volume, volume], ["a", "b"])


def test_the_saved_model_runs_in_a_process_without_our_code(saved_model, scorer, batch, tmp_path):
    inputs, _ = batch
    np.savez(tmp_path / "in.npz", **inputs)
    code = (
        "import sys, json, numpy as np, tensorflow as tf\n"
        "sys.modules['extmap_tf'] = sys.modules['keras'] = None\n"
        "model = tf.saved_model.load(sys.argv[1])\n"
        "data = np.load(sys.argv[2])\n"
        "out = model.signatures['serving_default'](**{k: tf.constant(v) for k, v in data.items()})\n"
        "card = json.loads(model.signatures['metadata'](rows=tf.constant([0]))['card'].numpy()[0])\n"
        "np.savez(sys.argv[3], digest=card['config_digest'], **{k: v.numpy() for k, v in out.items()})\n"
    )
    paths = [str(saved_model / "1"), str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    subprocess.run([sys.executable, "-c", code, *paths], check=True, stderr=subprocess.DEVNULL, cwd=tmp_path)
    out = np.load(tmp_path / "out.npz")
    for name, value in scorer.score_counts(**inputs).arrays().items():
        np.testing.assert_array_equal(out[name], value, err_msg=name)
    config = ModelCard.from_json(
        (saved_model / "1" / "assets.extra" / "model.json").read_text(), "card"
    ).config
    assert out["digest"] == config.digest
    np.testing.assert_allclose(out["distance_kpc"][0], config.distance.outer_kpc, rtol=1e-6)
    assert out["distance_kpc"].shape == out["extinction_median"].shape


def test_half_the_size_gives_nearly_the_same_answers(trained, scorer, batch, saved_model, tmp_path):
    version = export(trained, tmp_path / "s", half=True)

    def size(folder):
        return sum(path.stat().st_size for path in (folder / "variables").iterdir())

    assert size(version) < 0.7 * size(saved_model / "1")
    found, expected = (one.score_counts(**batch[0]).arrays() for one in (Scorer(version), scorer))
    for name in ("extinction_median", "extinction_std"):
        np.testing.assert_allclose(found[name], expected[name], rtol=0.01, atol=1e-3, err_msg=name)


def test_every_version_is_kept(trained, saved_model, tmp_path):
    out = tmp_path / "saved"
    shutil.copytree(saved_model, out)
    before = (out / "1" / "saved_model.pb").read_bytes()
    assert export(trained, out) == out / "2"
    assert versions(out) == [1, 2]
    assert (out / "1" / "saved_model.pb").read_bytes() == before
    assert sorted(path.name for path in out.iterdir()) == ["1", "2", "serving"]
    assert find_saved_model(out)[0] == out / "2"


def test_an_export_in_another_process_gives_the_same_bytes(trained, tmp_path):
    command = [sys.executable, "-m", "extmap_tf", "export", "--model", str(trained), "--out"]
    outs = [tmp_path / "a", tmp_path / "b"]
    processes = [subprocess.Popen([*command, str(out)], stderr=subprocess.DEVNULL) for out in outs]
    assert [process.wait() for process in processes] == [0, 0]
    first, second = (
        {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
        for out in outs
    )
    assert first == second


def test_a_mixed_precision_model_is_served_in_float32(trained, tmp_path, batch):
    # The trained weights are float32 in any policy; only the arithmetic differs.
    model, card = load_trained(trained)
    config = card.config.replace(**{"training.precision": "mixed_bfloat16"})
    (tmp_path / "t").mkdir()
    for name in ("model.keras", "domain.npz"):
        (tmp_path / "t" / name).write_bytes((trained / name).read_bytes())
    dataclasses.replace(card, config=config).write(tmp_path / "t")
    version = export(tmp_path / "t", tmp_path / "saved")
    served = Scorer(version).score_counts(**batch[0]).extinction_mean
    expected = summarize(model(batch[0]), 0.1)["extinction_mean"]
    np.testing.assert_allclose(served, expected, rtol=1e-4, atol=1e-6)


def test_evaluation_is_that_of_the_scored_profiles(saved_model, scorer, batch, mock_records, tiny_config):
    inputs, density = batch
    evaluation = evaluate_model(saved_model, Records.open(mock_records))
    step_kpc = tiny_config.distance.step_kpc
    error = scorer.score_counts(**inputs).extinction_median - np.cumsum(density, axis=1) * step_kpc
    by_distance = {row.distance_kpc: row for row in evaluation.overall}
    assert by_distance[2.0].n == len(density)
    assert by_distance[2.0].mean_absolute_error_mag == pytest.approx(np.abs(error[:, 19]).mean(), rel=1e-4)
    assert by_distance[2.0].bias_mag == pytest.approx(error[:, 19].mean(), rel=1e-3, abs=1e-6)
    assert 5.0 not in by_distance


def test_a_model_for_other_cmds_is_refused_by_name(saved_model, mock_records, tiny_config):
    _, card = find_saved_model(saved_model)
    other = dataclasses.replace(card, config=tiny_config.replace(**{"survey.cuts.max_error_mag": 0.1}))
    with pytest.raises(MismatchError) as caught:
        require_fit(other, "model m", Records.open(mock_records).manifest, mock_records)
    for part in ("model m", str(mock_records), "survey.cuts.max_error_mag", "0.1", "0.15"):
        assert part in str(caught.value)


def test_a_model_of_another_region_is_refused_by_name(saved_model, survey_records, tiny_config):
    _, card = find_saved_model(saved_model)
    records = Records.open(survey_records)
    far = {"sightlines.l_min_deg": 100.0, "sightlines.l_max_deg": 101.0}
    other = dataclasses.replace(card, config=tiny_config.replace(**far, **{"mocks.l_deg": [100.0]}))
    with pytest.raises(MismatchError) as caught:
        require_fit(other, "model m", records.manifest, records.path)
    for part in ("model m", "l 99.95 to 101.05", str(survey_records), "l 284 to 284.2"):
        assert part in str(caught.value)
    # In part of the region: flagged, not refused.
    near = {"sightlines.l_min_deg": 284.1, "sightlines.l_max_deg": 285.0}
    require_fit(
        dataclasses.replace(card, config=tiny_config.replace(**near)),
        "model m",
        records.manifest,
        records.path,
    )


def test_an_edited_outcome_in_a_card_is_refused(trained):
    text = (trained / "model.json").read_text()
    assert '"epochs": 3' in text
    with pytest.raises(DataError, match=r"card of x: states model digest \w+, its contents have \w+"):
        ModelCard.from_json(text.replace('"epochs": 3', '"epochs": 300', 1), "card of x")


def test_what_is_no_model_is_refused_in_a_line(tmp_path, trained, saved_model):
    with pytest.raises(DataError, match="no SavedModel there"):
        find_saved_model(tmp_path)
    with pytest.raises(DataError, match=r"no model\.json: not a trained model"):
        load_trained(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"junk")
    with pytest.raises(DataError, match=r"no assets\.extra/model\.json"):
        find_saved_model(tmp_path)
    with pytest.raises(DataError, match="cannot be loaded as a SavedModel") as caught:
        Scorer(tmp_path)
    assert "\n" not in str(caught.value)
    (tmp_path / "model.json").write_bytes((trained / "model.json").read_bytes())
    (tmp_path / "model.keras").write_bytes(b"junk")
    archive = (trained / "model.keras").read_bytes()
    for damaged in (b"", archive[:-40], archive.replace(b"config.json", b"c0nfig.json"), archive[:300]):
        (tmp_path / "model.keras").write_bytes(damaged)
        with pytest.raises(DataError, match=r"model\.keras: cannot be loaded") as caught:
            load_trained(tmp_path)
        assert "\n" not in str(caught.value)


def test_a_damaged_card_is_refused_in_a_line(trained):
    text = (trained / "model.json").read_text()
    for bad in ("{", json.dumps({"format": "else"}), text.replace('"records_digest"', '"r"')):
        with pytest.raises(DataError, match="card"):
            ModelCard.from_json(bad, "card of x")


def test_wrong_shapes_get_tensorflows_own_error(scorer):
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError, ValueError)):
        scorer.score_counts(np.zeros((1, 32, 64)), [0.0], [0.0])


def test_an_edited_law_in_a_card_is_refused(trained):
    text = (trained / "model.json").read_text()
    assert '"model": "G23"' in text
    with pytest.raises(DataError, match=r"card of x: states digest \w+, its configuration has \w+"):
        ModelCard.from_json(text.replace('"model": "G23"', '"model": "F19"'), "card of x")
