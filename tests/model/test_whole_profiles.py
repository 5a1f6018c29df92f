"""Networks that draw whole profiles, on the whole line: training, export, answers, samples."""

import numpy as np
import pytest
import tensorflow as tf

from extmap_tf.evaluation.models import evaluate_model
from extmap_tf.model.export import export
from extmap_tf.model.known_answer import KnownAnswer
from extmap_tf.model.scoring import Scorer
from extmap_tf.model.training import train
from extmap_tf.model.trust import require_trusted
from extmap_tf.model.warmup import warmup_inputs
from extmap_tf.records.dataset import serialized_examples
from extmap_tf.records.example import parse_examples
from extmap_tf.records.manifest import Records

SMALL = {"network.widths": [32], "network.generator_width": 32, "network.n_noise": 4}
SMALL_PLANES = {"network.channels": 8, "network.blocks": 1, "network.kept": 4, "network.image_width": 16}
TRAINING = {"training.gradient_norm": 1.0, "training.epochs": 2, "training.learning_rate": 0.003}
WITH_COVERAGE = {"counts_and_coverage", "magnitudes_and_coverage", "samples_and_coverage"}


@pytest.fixture(scope="module")
def partial_records(tiny_config, tmp_path_factory):
    """Records of fields of which most are covered in part."""
    from beam_jobs.graphs.mocks_to_records import make_records

    out = tmp_path_factory.mktemp("records") / "partial"
    config = tiny_config.replace(**{"mocks.partial_share": 0.7})
    make_records(config, str(out), examples_per_shard=200)
    return Records.open(out)


@pytest.fixture(scope="module", params=["ensemble", "planes"])
def line(request, partial_records, tmp_path_factory):
    """A trained and exported model: configuration, training folder, version folder."""
    small = SMALL | (SMALL_PLANES if request.param == "planes" else {})
    config = partial_records.manifest.config.replace(**{"network.preset": request.param})
    config = config.replace(**small, **TRAINING)
    folder = tmp_path_factory.mktemp(request.param)
    train(partial_records, config, folder / "training", echo=lambda line: None)
    return config, folder / "training", export(folder / "training", folder / "model", echo=lambda line: None)


def batch_of(records):
    serialized = next(iter(serialized_examples(records.shard_paths("test")).batch(16)))
    config = records.manifest.config
    parsed = parse_examples(serialized, config.views, "mocks", config.distance.n_distances)
    return serialized.numpy(), {
        name: parsed[name].numpy() for name in ("counts", "l_deg", "b_deg", "coverage")
    }


def test_the_loss_falls_and_the_export_can_be_trusted_and_repeats(line):
    config, training, version = line
    rows = np.genfromtxt(training / "logs" / "training.csv", delimiter=",", names=True)
    assert rows["loss"][-1] < rows["loss"][0]
    require_trusted(version)
    known = KnownAnswer.from_json((version / "assets.extra" / "known_answer.json").read_text(), "known")
    loaded = tf.saved_model.load(str(version))
    answer = loaded.signatures["serving_default"](**{k: tf.constant(v) for k, v in known.inputs.items()})
    ratio, name = known.largest_difference({k: v.numpy() for k, v in answer.items()})
    assert ratio <= 1.0, name
    for signature, inputs in warmup_inputs(known, config).items():
        assert loaded.signatures[signature](**{k: tf.constant(v) for k, v in inputs.items()})


def test_records_and_counts_are_answered_alike_and_samples_are_profiles(line, partial_records):
    config, _, version = line
    scorer = Scorer(version)
    serialized, inputs = batch_of(partial_records)
    by_record, by_counts = scorer.score_examples(serialized), scorer.score_counts(**inputs)
    assert by_record.arrays().keys() == by_counts.arrays().keys()
    for name, array in by_record.arrays().items():
        np.testing.assert_allclose(array, getattr(by_counts, name), rtol=1e-4, atol=1e-5, err_msg=name)
    samples = scorer.sample_examples(serialized, config, seed=3)
    np.testing.assert_array_equal(samples, scorer.sample_counts(**inputs, seed=3))
    assert samples.shape == (16, 32, config.distance.n_distances)
    extinction = samples.sum(axis=-1) * config.distance.step_kpc
    low, high = by_counts.extinction_percentiles[:, 0, -1:], by_counts.extinction_percentiles[:, -1, -1:]
    assert np.mean((low <= extinction) & (extinction <= high)) > 0.85


def test_the_covered_share_counts_and_is_one_where_it_is_not_said(line, partial_records):
    _, _, version = line
    scorer = Scorer(version)
    _, inputs = batch_of(partial_records)
    image = {name: inputs[name] for name in ("counts", "l_deg", "b_deg")}
    unsaid = scorer.score_counts(**image).extinction_median
    for whole in (1.0, np.nan):
        said = scorer.score_counts(**image, coverage=np.full(16, whole)).extinction_median
        np.testing.assert_allclose(said, unsaid, rtol=1e-5)
    half = scorer.score_counts(**image, coverage=np.full(16, 0.5)).extinction_median
    assert np.abs(half - unsaid).max() > 1e-4


def test_only_models_that_know_of_coverage_have_signatures_with_it(line, saved_model):
    _, _, version = line
    assert set(tf.saved_model.load(str(version)).signatures) >= WITH_COVERAGE
    plain = tf.saved_model.load(str(saved_model / "1")).signatures
    assert not WITH_COVERAGE & set(plain)


def test_evaluation_has_windows_and_spectrum(line, partial_records):
    _, _, version = line
    found = evaluate_model(version, partial_records)
    assert [row.lag_kpc for row in found.windows] == [0.2, 0.5, 1.0, 2.0, 4.0]
    assert found.spectrum
    assert {"windows", "spectrum"} <= found.to_dict().keys()
