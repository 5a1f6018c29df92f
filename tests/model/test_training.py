import csv
import json
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from extmap_tf.errors import DataError, ExtmapError, MismatchError
from extmap_tf.model.card import ModelCard
from extmap_tf.model.checkpoints import _state_of
from extmap_tf.model.checks import find_start
from extmap_tf.model.objective import ProfileScore
from extmap_tf.model.trained import load_trained
from extmap_tf.model.training import facts_of, train
from extmap_tf.records.dataset import evaluation_dataset
from extmap_tf.records.manifest import Records
from extmap_tf.settings.config import Config

SILENT = {"echo": lambda line: None}


def log_of(folder):
    return list(csv.DictReader((folder / "logs" / "training.csv").read_text().splitlines()))


def weights_of(folder):
    return load_trained(folder)[0].get_weights()


def assert_same_weights(first, second, rtol=0.0):
    for a, b in zip(weights_of(first), weights_of(second), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


def test_a_training_leaves_model_card_configuration_and_logs(trained, tiny_config):
    assert sorted(path.name for path in trained.iterdir()) == [
        "SHA256SUMS",
        "config.toml",
        "domain.npz",
        "logs",
        "model.json",
        "model.keras",
    ]
    card = ModelCard.read(trained)
    assert card.config == tiny_config
    assert card.training["epochs"] == 3
    rows = log_of(trained)
    assert [float(row["epoch"]) for row in rows] == [1, 2, 3]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert card.training["validation_loss"] == pytest.approx(
        min(float(row["val_loss"]) for row in rows), rel=1e-6
    )
    assert list((trained / "logs" / "train").glob("events.*"))
    stated = json.loads((trained / "model.json").read_text())
    assert stated["config_digest"] == tiny_config.digest
    assert stated["model_digest"] == card.digest


def test_an_interrupted_training_goes_on_to_the_same_model(trained, mock_records, tmp_path):
    records, lines = Records.open(mock_records), []

    class Stop(Exception):
        pass

    def stop_after_two(line):
        lines.append(line)
        if line.startswith("epoch 2/"):
            raise Stop

    out = tmp_path / "training"
    with pytest.raises(Stop):
        train(records, records.manifest.config, out, echo=stop_after_two)
    assert not (out / "model.json").exists()
    train(records, records.manifest.config, out, echo=lines.append)
    assert "going on after epoch 2 of 3" in lines
    assert sum(line.startswith("epoch ") for line in lines) == 3
    assert_same_weights(trained, out, rtol=1e-6)
    assert (out / "logs" / "training.csv").read_text() == (trained / "logs" / "training.csv").read_text()


_TRAIN = """
import os, signal, sys
from extmap_tf.model.training import train
from extmap_tf.records.manifest import Records

def echo(line):
    print(line, flush=True)
    if line.startswith(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

records = Records.open(sys.argv[1])
train(records, records.manifest.config, sys.argv[2], echo=echo)
"""


def test_a_killed_training_goes_on_in_a_new_process_to_the_same_bits(mock_records, tmp_path):
    def start(name, kill_at="never"):
        command = [sys.executable, "-c", _TRAIN, str(mock_records), str(tmp_path / name), kill_at]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    unbroken, killed = start("unbroken"), start("killed", "epoch 1/")
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    again = start("killed")
    lines = again.communicate()[0].splitlines()
    assert again.returncode == 0
    assert lines[0] == "going on after epoch 1 of 3"
    unbroken.communicate()
    assert unbroken.returncode == 0
    assert log_of(tmp_path / "unbroken") == log_of(tmp_path / "killed")
    assert_same_weights(tmp_path / "unbroken", tmp_path / "killed")


def test_patience_ends_a_training_early_and_keeps_the_best(mock_records, tmp_path):
    records, lines = Records.open(mock_records), []
    config = records.manifest.config.replace(
        **{"training.epochs": 30, "training.patience_epochs": 1, "training.learning_rate": 0.02}
    )
    card = train(records, config, tmp_path / "t", echo=lines.append)
    assert card.training["epochs"] < 30
    assert card.training["best_epoch"] == card.training["epochs"] - 1
    assert any("stopping" in line for line in lines)
    losses = [float(row["val_loss"]) for row in log_of(tmp_path / "t")]
    assert min(losses) == pytest.approx(losses[card.training["best_epoch"] - 1])


def test_the_mean_profile_is_smooth_and_keeps_the_total(mock_records):
    records = Records.open(mock_records)
    mean = np.concatenate([d.numpy() for _, d in evaluation_dataset(records, "train")]).mean(axis=0)
    smooth = facts_of(records).mean_density
    assert smooth.sum() == pytest.approx(mean.sum(), rel=0.05)
    assert np.abs(np.diff(smooth)).mean() < 0.5 * np.abs(np.diff(mean)).mean()


def test_mirrored_over_two_cpu_devices_gives_the_losses_of_one(
    published, published_options, mock_records, tmp_path
):
    # The published network: its loss has no random numbers, which depend on how a batch is divided.
    command = [sys.executable, "-m", "extmap_tf", "train", "--records", str(mock_records)]
    command += [word for key, value in published_options.items() for word in ("--set", f"{key}={value}")]
    command += ["--out", str(tmp_path / "two"), "--cpu-devices", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 replica(s)" in done.stderr
    one, two = ([float(row["loss"]) for row in log_of(out)] for out in (published, tmp_path / "two"))
    assert len(one) == 1
    np.testing.assert_allclose(two, one, rtol=1e-4)


_SCORES = """
import sys
import keras, numpy as np, tensorflow as tf
from extmap_tf.model import layers
from extmap_tf.model.objective import ProfileScore
from extmap_tf.model.training import strategy_for
from extmap_tf.records.dataset import dataset_options, evaluation_dataset
from extmap_tf.records.manifest import Records

two = strategy_for(cpu_devices=2)
records = Records.open(sys.argv[1])
(inputs, density), *_ = evaluation_dataset(records, "validation", 24)
for strategy in (tf.distribute.MirroredStrategy(["CPU:0"]), two):
    with strategy.scope():
        model = keras.models.load_model(sys.argv[2], compile=False)
        model.compile(loss=ProfileScore(records.manifest.config.distance.step_kpc))
    scores = []
    for k in range(60):
        # The truth seeds the random profiles: moved by parts in a hundred thousand, it gives others.
        pairs = tf.data.Dataset.from_tensor_slices((inputs, density * (1 + 1e-5 * k)))
        scores.append(model.evaluate(pairs.batch(24).with_options(dataset_options()), verbose=0))
    print(np.mean(scores))
"""


def test_a_distribution_scores_over_two_devices_as_over_one(trained, mock_records, tmp_path):
    # Each device draws profiles of its own: a single score scatters by 6 %, the mean of 60 by 0.8 %.
    script = tmp_path / "scores.py"
    script.write_text(_SCORES)
    command = [sys.executable, str(script), str(mock_records), str(trained / "model.keras")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two = map(float, done.stdout.split())
    assert two == pytest.approx(one, rel=0.04)


def test_a_distribution_trains_over_two_devices(mock_records, tmp_path):
    out = tmp_path / "mirrored"
    command = [sys.executable, "-m", "extmap_tf", "train", "--records", str(mock_records), "--out", str(out)]
    done = subprocess.run([*command, "--cpu-devices", "2"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 replica(s)" in done.stderr
    losses = [float(row["val_loss"]) for row in log_of(out)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("precision", ["mixed_bfloat16"])
def test_mixed_precision_trains_and_leaves_the_policy_as_it_was(mock_records, tmp_path, precision):
    records = Records.open(mock_records)
    config = records.manifest.config.replace(**{"training.precision": precision, "training.epochs": 1})
    card = train(records, config, tmp_path / "t", **SILENT)
    assert np.isfinite(card.training["validation_loss"])
    assert card.training["precision"] == precision
    assert keras.config.dtype_policy().name == "float32"
    model, _ = load_trained(tmp_path / "t")
    assert model.get_layer("profile").compute_dtype == "float32"


def test_a_finished_model_is_kept_unless_told_otherwise(trained, mock_records):
    records = Records.open(mock_records)
    before = (trained / "model.keras").stat().st_mtime_ns
    with pytest.raises(DataError, match="holds a finished model"):
        train(records, records.manifest.config, trained, **SILENT)
    assert (trained / "model.keras").stat().st_mtime_ns == before


def test_records_of_another_configuration_are_refused_by_name(mock_records, tmp_path):
    records = Records.open(mock_records)
    for key, value in (("cmd.mag_max_mag", 15.0), ("distance.step_kpc", 0.2), ("law.model", "F19")):
        config = records.manifest.config.replace(**{key: value})
        with pytest.raises(MismatchError) as caught:
            train(records, config, tmp_path / "t", **SILENT)
        assert key in str(caught.value)
        assert str(mock_records) in str(caught.value)
    assert not (tmp_path / "t").exists()


def test_survey_records_and_too_few_pairs_are_refused(survey_records, mock_records, tmp_path):
    survey = Records.open(survey_records)
    with pytest.raises(DataError, match="survey records carry no profiles"):
        train(survey, survey.manifest.config, tmp_path / "t", **SILENT)
    records = Records.open(mock_records)
    config = records.manifest.config.replace(**{"training.batch_size": 1000})
    with pytest.raises(DataError, match="do not fill one batch of 1000"):
        train(records, config, tmp_path / "t", **SILENT)


def test_a_diverging_training_says_so(mock_records, tmp_path, monkeypatch):
    records = Records.open(mock_records)
    monkeypatch.setattr(ProfileScore, "call", lambda self, y_true, y_pred: y_pred[:, 0, 0] * float("nan"))
    with pytest.raises(ExtmapError, match=r"loss is not a number in epoch 1: choose a smaller training\.lea"):
        train(records, records.manifest.config, tmp_path / "t", **SILENT)
    assert not (tmp_path / "t" / "model.json").exists()


def test_an_overwrite_that_fails_keeps_the_finished_model(trained, mock_records, tmp_path, monkeypatch):
    out = tmp_path / "t"
    shutil.copytree(trained, out)
    before = {name: (out / name).read_bytes() for name in ("model.keras", "model.json", "config.toml")}
    records = Records.open(mock_records)
    config = records.manifest.config
    with pytest.raises(DataError, match="do not fill one batch"):
        train(records, config.replace(**{"training.batch_size": 5000}), out, overwrite=True, **SILENT)
    monkeypatch.setattr(ProfileScore, "call", lambda self, y_true, y_pred: y_pred[:, 0, 0] * float("nan"))
    with pytest.raises(ExtmapError, match="not a number"):
        train(records, config, out, overwrite=True, **SILENT)
    for name, data in before.items():
        assert (out / name).read_bytes() == data


def test_a_folder_of_somebodys_own_is_never_trained_into(mock_records, tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    records = Records.open(mock_records)
    for overwrite in (False, True):
        with pytest.raises(DataError, match="is no training folder"):
            train(records, records.manifest.config, tmp_path, overwrite=overwrite, **SILENT)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_keras_file_loads_in_a_new_process_as_documented(trained):
    code = (
        "import sys, keras\n"
        "import extmap_tf.model.layers\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "print(model.name, model.count_params())\n"
    )
    command = [sys.executable, "-c", code, str(trained / "model.keras")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2] == "dense"


@pytest.mark.parametrize(
    "change",
    [{"epoch": 3}, {"best_epoch": 2}, {"history": []}, {"history": [{"loss": 1.0}]}, {"epoch": -1}],
)
def test_a_checkpoint_whose_epochs_do_not_go_together_is_one_line(change):
    row = {"epoch": 1.0, "loss": 1.0, "val_loss": 1.0}
    state = {"epoch": 1, "best_epoch": 1, "best_loss": 1.0, "seconds": 2.0, "history": [row]}
    assert _state_of({"state": state}, "x").history == [row]
    with pytest.raises(DataError, match=r"^x: damaged checkpoint .*; train from the beginning"):
        _state_of({"state": state | change}, "x")


@pytest.mark.parametrize("given", ["training folder", "exported model"])
def test_a_training_starts_from_the_weights_of_another(given, trained, saved_model, mock_records, tmp_path):
    records, start = Records.open(mock_records), trained if given == "training folder" else saved_model
    config = records.manifest.config.replace(
        **{"training.epochs": 1, "training.learning_rate": 1e-9, "training.weight_decay": 0.0}
    )
    card = train(records, config, tmp_path / "t", start_from=start, **SILENT)
    assert card.training["started_from"] == ModelCard.read(trained).digest
    assert ModelCard.read(trained).training["started_from"] is None
    first, second = (load_trained(folder)[0] for folder in (trained, tmp_path / "t"))
    for a, b in zip(first.trainable_variables, second.trainable_variables, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    # The calibration after the training is made anew, from nothing, to much the same.
    losses = [ModelCard.read(folder).training["validation_loss"] for folder in (trained, tmp_path / "t")]
    assert losses[1] < 1.2 * losses[0]


def test_a_start_from_another_network_or_other_distances_is_refused(trained, mock_records, tmp_path):
    records = Records.open(mock_records)
    config = records.manifest.config.replace(**{"network.widths": [32, 32]})
    with pytest.raises(MismatchError, match=r"network differs: model .* has widths = .*\[32, 32\]"):
        train(records, config, tmp_path / "t", start_from=trained, **SILENT)
    with pytest.raises(MismatchError, match=r"carina_gaia \(\w+\) has survey gaia_dr3, .* has no survey"):
        find_start("carina_gaia", Config.named("carina"))
    with pytest.raises(DataError, match="no SavedModel there"):
        train(records, records.manifest.config, tmp_path / "t", start_from=tmp_path, **SILENT)
    assert not (tmp_path / "t").exists()


def test_a_checkpoint_of_another_start_is_named(trained, mock_records, tmp_path):
    records = Records.open(mock_records)

    class Stop(Exception):
        pass

    def stop(line):
        if line.startswith("epoch 1/"):
            raise Stop

    with pytest.raises(Stop):
        train(records, records.manifest.config, tmp_path / "t", echo=stop, start_from=trained)
    with pytest.raises(DataError, match=r"unfinished training with started from [0-9a-f]{12}, not None"):
        train(records, records.manifest.config, tmp_path / "t", **SILENT)
