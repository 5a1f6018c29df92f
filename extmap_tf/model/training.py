"""Training: Keras under a distribution strategy, with checkpoints and exact resume."""

import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter1d

from extmap_tf.errors import ConfigError, DataError, ExtmapError
from extmap_tf.files import (
    PathLike,
    alone_in,
    local_path,
    temporary_files_in_scratch,
    whole_file,
    whole_path,
    write_checksums,
)
from extmap_tf.json_files import JsonForm
from extmap_tf.model.build import build_network, expected_diagrams, fill_tables, n_weights
from extmap_tf.model.card import CARD_NAME, ModelCard
from extmap_tf.model.checks import check_training
from extmap_tf.model.domain import DOMAIN_NAME, Domains
from extmap_tf.model.facts import PairFacts
from extmap_tf.model.heads import Head, head_of
from extmap_tf.model.objective import WarmupCosine
from extmap_tf.model.precision import precision_of, training_precision
from extmap_tf.records.dataset import (
    corruption_named,
    evaluation_dataset,
    steps_per_epoch,
    training_dataset,
)
from extmap_tf.records.manifest import Records
from extmap_tf.settings.config import Config
from extmap_tf.settings.identity import SCHEMA, require_readable
from extmap_tf.settings.training import TrainingConfig

MODEL_NAME = "model.keras"
_CHECKPOINTS = "checkpoints"
_MEAN_OVER = 4096
_SMOOTH_BINS = 3.0
_EVALUATION_BATCH = 512
_CHECKPOINT = JsonForm(
    "checkpoint",
    {
        "config_digest": str,
        "records_digest": str,
        "state": {
            "epoch": int,
            "best_epoch": int,
            "best_loss": float,
            "seconds": float,
            "history": [{str: float}],
        },
    },
    "train from the beginning with --overwrite",
    readable=require_readable,
)


def strategy_for(cpu_devices: int = 0) -> tf.distribute.Strategy:
    """All GPUs where there are any, else the plain strategy; or `cpu_devices` logical CPU devices.

    Logical CPU devices exercise the same code as several GPUs; they are for tests, not for speed.
    """
    if cpu_devices:
        cpu = tf.config.list_physical_devices("CPU")[0]
        try:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * cpu_devices
            )
        except RuntimeError:
            if len(tf.config.list_logical_devices("CPU")) < cpu_devices:
                raise ConfigError(
                    "--cpu-devices must be chosen before TensorFlow starts; begin a new process"
                ) from None
        return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(cpu_devices)])
    if tf.config.list_physical_devices("GPU"):
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


@dataclass
class State:
    """Where a training stands after an epoch; written with each checkpoint."""

    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = float("inf")
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def train(
    records: Records,
    config: Config,
    out: PathLike,
    cpu_devices: int = 0,
    overwrite: bool = False,
    echo: Callable[[str], None] | None = None,
) -> ModelCard:
    """Train a network on records, or go on with a training that was cut off.

    Parameters
    ----------
    records : extmap_tf.records.manifest.Records
        Of kind "mocks".
    config : extmap_tf.settings.config.Config
        Its grids, survey, law and field must be those of the records; network and training are its own.
    out : path-like
        Folder for ``model.keras``, ``model.json``, ``domain.npz``, ``config.toml``, ``logs/`` and, until
        done, checkpoints.
    cpu_devices : int
        See `strategy_for`.
    overwrite : bool
        Replace a finished model. An unfinished training in `out` is resumed, after the last whole epoch, with
        the result that an unbroken one would have had.
    echo : callable, optional
        Takes a line of progress; by default they go to standard error.

    Returns
    -------
    ModelCard
    """
    echo = echo or (lambda line: print(line, file=sys.stderr, flush=True))
    check_training(records, config, out, overwrite)
    out = local_path(out)
    steps_per_epoch(records, config.training)
    _refuse_other_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    previous_policy = keras.config.dtype_policy()
    # Keras leaves temporary files where the disk is full.
    with alone_in(out), corruption_named(records.path, records), temporary_files_in_scratch():
        state, checkpoint = _last_checkpoint(out, config, records, overwrite)
        keras.config.set_dtype_policy(training_precision(config.training.precision))
        # Also where a training goes on: the order of the pairs mixes the global seed in.
        keras.utils.set_random_seed(config.seed % 2**32)
        try:
            return _fit(records, config, out, strategy_for(cpu_devices), state, checkpoint, echo)
        finally:
            keras.config.set_dtype_policy(previous_policy)


def _fit(records, config, out, strategy, state, checkpoint, echo):
    training, head = config.training, head_of(config.network, config.distance)
    steps = steps_per_epoch(records, training)
    with strategy.scope():
        if checkpoint:
            model = keras.models.load_model(checkpoint)
            echo(f"going on after epoch {state.epoch} of {training.epochs}")
        else:
            facts = facts_of(records)
            model = build_network(config, facts.n_nodes, config.seed)
            fill_tables(model, facts)
            compile_network(model, head, training, steps * training.epochs)
    weights, replicas, precision = n_weights(model), strategy.num_replicas_in_sync, precision_of(model)
    echo(
        f"training {config.network.preset} ({weights:,} weights) on "
        f"{records.manifest.n_examples('train'):,} pairs, {replicas} replica(s), "
        f"{precision}, batches of {training.batch_size}"
    )
    keeper = Keeper(out, config, records.manifest.digest, state, steps * training.batch_size, echo)
    # Keras builds a mirrored model's evaluation from its first batch, which must divide among the replicas.
    batch_size = (
        max(1, min(_EVALUATION_BATCH, records.manifest.n_examples("validation")) // replicas) * replicas
    )
    if state.epoch < training.epochs and not keeper.exhausted():
        model.fit(
            training_dataset(records, training, config.seed, first_epoch=state.epoch),
            validation_data=evaluation_dataset(records, "validation", batch_size),
            initial_epoch=state.epoch,
            epochs=training.epochs,
            steps_per_epoch=steps,
            callbacks=[
                keras.callbacks.TensorBoard(str(out / "logs"), write_graph=False),
                keras.callbacks.TerminateOnNaN(),
                keeper,
            ],
            shuffle=False,
            verbose=0,
        )
    if not state.best_epoch:
        raise ExtmapError(
            f"{out}: the loss was not a number in the first epoch: choose a smaller training.learning_rate"
        )
    best = state.history[state.best_epoch - 1]
    model = keras.models.load_model(keeper.best_path(state.best_epoch), compile=False)
    spread = head.calibrate(model, evaluation_dataset(records, "validation", batch_size), echo)
    with whole_path(out / MODEL_NAME, overwrite=True) as temporary:
        # Keras wants its suffix.
        model.save(keras_path := temporary.with_name(temporary.name + ".keras"))
        keras_path.replace(temporary)
    batches, names = evaluation_dataset(records, "train"), [diagram.name for diagram in config.diagrams]
    Domains.of(batches, expected_diagrams(model, config), names).write(out / DOMAIN_NAME, overwrite=True)
    card = ModelCard(
        config=config,
        records_digest=records.manifest.digest,
        n_weights=weights,
        training={
            "epochs": state.epoch,
            "best_epoch": state.best_epoch,
            "train_pairs": records.manifest.n_examples("train"),
            "images_seen": state.epoch * steps * training.batch_size,
            "validation_loss": best["val_loss"],
            "spread": spread,
            "replicas": replicas,
            "precision": precision,
        },
    )
    config.write(out / "config.toml", overwrite=True)
    card.write(out, overwrite=True)
    shutil.rmtree(out / _CHECKPOINTS, ignore_errors=True)
    write_checksums(out, [MODEL_NAME, CARD_NAME, DOMAIN_NAME, "config.toml"])
    echo(f"best epoch {state.best_epoch} of {state.epoch}: validation loss {best['val_loss']:.4f}")
    return card


def compile_network(model: keras.Model, head: Head, training: TrainingConfig, n_steps: int) -> None:
    """Give a network its loss, optimizer and learning-rate schedule.

    Parameters
    ----------
    model : keras.Model
        From `extmap_tf.model.build.build_network`.
    head : extmap_tf.model.heads.Head
        The network's.
    training : extmap_tf.settings.training.TrainingConfig
    n_steps : int
        Batches that it will be trained on.
    """
    schedule = WarmupCosine(training.learning_rate, round(training.warmup_fraction * n_steps), n_steps)
    model.compile(
        optimizer=keras.optimizers.AdamW(
            schedule, weight_decay=training.weight_decay, global_clipnorm=training.gradient_norm or None
        ),
        loss=head.loss(),
        jit_compile=False,
    )


class Keeper(keras.callbacks.Callback):
    """Checkpoints, the best model, early stopping, the CSV log and a line of progress, epoch by epoch.

    A checkpoint holds the model with its optimizer and the `State`; it appears whole, then the one before is
    removed, so that a kill at any moment leaves one to go on from.
    """

    def __init__(
        self,
        out: Path,
        config: Config,
        records_digest: str,
        state: State,
        images_per_epoch: int,
        echo: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._out, self._config, self._state, self._echo = out, config, state, echo
        self._records_digest = records_digest
        self._images_per_epoch = images_per_epoch
        self._started = 0.0

    def best_path(self, epoch: int) -> Path:
        return self._out / _CHECKPOINTS / f"best-{epoch:05d}.keras"

    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self._state.epoch - self._state.best_epoch >= self._config.training.patience_epochs

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        state, training = self._state, self._config.training
        seconds = time.monotonic() - self._started
        if not np.isfinite(logs["loss"]):
            raise ExtmapError(
                f"{self._out}: the loss is not a number in epoch {epoch + 1}: choose a smaller "
                "training.learning_rate and go on from the last checkpoint"
            )
        state.epoch = epoch + 1
        state.seconds += seconds
        state.history.append({"epoch": state.epoch} | {k: float(v) for k, v in logs.items()})
        if logs["val_loss"] < state.best_loss:
            state.best_loss, state.best_epoch = float(logs["val_loss"]), state.epoch
        self._save()
        left = (training.epochs - state.epoch) * state.seconds / state.epoch
        self._echo(
            f"epoch {state.epoch}/{training.epochs}  loss {logs['loss']:.4f}  validation "
            f"{logs['val_loss']:.4f}  "
            f"{self._images_per_epoch / seconds:,.0f} images/s  {left:.0f} s left"
        )
        if self.exhausted() and state.epoch < training.epochs:
            self._echo(f"no better for {training.patience_epochs} epochs: stopping")
            self.model.stop_training = True

    def _save(self):
        state = self._state
        folder = self._out / _CHECKPOINTS
        current = folder / f"epoch-{state.epoch:05d}"
        with whole_path(current, overwrite=True, folder_with="state.json") as temporary:
            temporary.mkdir()
            self.model.save(temporary / MODEL_NAME)
            (temporary / "state.json").write_text(
                json.dumps(
                    {
                        "schema": SCHEMA,
                        "config_digest": self._config.digest,
                        "records_digest": self._records_digest,
                        "state": asdict(state),
                    }
                )
            )
            if state.best_epoch == state.epoch:
                with whole_path(self.best_path(state.epoch), overwrite=True) as best:
                    shutil.copyfile(temporary / MODEL_NAME, best)
        for old in folder.iterdir():
            if old not in (current, self.best_path(state.best_epoch)):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        with whole_file(self._out / "logs" / "training.csv", overwrite=True) as stream:
            columns = list(state.history[0])
            stream.write(",".join(columns) + "\n")
            for row in state.history:
                stream.write(",".join(f"{row[name]:.8g}" for name in columns) + "\n")


def facts_of(records: Records) -> PairFacts:
    """What layers must know of records: the means are those of the first few thousand training pairs.

    The mean profile is smoothed: it scales the network's outputs, so that what noise it has would stand in
    every profile.
    """
    names = [diagram.name for diagram in records.manifest.config.diagrams]
    total, stars, n = np.zeros(1, np.float32), dict.fromkeys(names, np.zeros(1, np.float32)), 0
    for inputs, density in evaluation_dataset(records, "train"):
        total = total + density.numpy().sum(axis=0)
        stars = {name: counts + inputs[name].numpy().sum(axis=0) for name, counts in stars.items()}
        n += len(density)
        if n >= _MEAN_OVER:
            break
    density = gaussian_filter1d(total / n, _SMOOTH_BINS, mode="nearest")
    return PairFacts(records.reference(), density, {name: counts / n for name, counts in stars.items()})


def _refuse_other_folder(out):
    started = (out / CARD_NAME).exists() or (out / _CHECKPOINTS).is_dir()
    if (
        out.exists()
        and not started
        and (not out.is_dir() or {path.name for path in out.iterdir()} - {"logs"})
    ):
        raise DataError(f"{out} exists and is no training folder: choose another name")


def _last_checkpoint(out, config, records, overwrite):
    """State and model of the checkpoint to go on from; a fresh state and None where there is none."""
    checkpoints = sorted((out / _CHECKPOINTS).glob("epoch-*/state.json"))
    if not checkpoints:
        return State(), None
    last = checkpoints[-1]
    data = _CHECKPOINT.read(last)
    for what, given in (("config_digest", config.digest), ("records_digest", records.manifest.digest)):
        if data[what] != given:
            if overwrite:
                shutil.rmtree(out / _CHECKPOINTS)
                return State(), None
            raise DataError(
                f"{out} holds an unfinished training with {what.replace('_', ' ')} {data[what]}, not "
                f"{given}: choose another name or give --overwrite"
            )
    return _state_of(data, last), last.parent / MODEL_NAME


def _state_of(data, place):
    state = State(**{spec.name: data["state"][spec.name] for spec in fields(State)})
    columns = [set(row) for row in state.history]
    whole = 0 <= state.best_epoch <= state.epoch == len(columns) and state.epoch > 0
    if not whole or any(names != columns[0] for names in columns) or "val_loss" not in columns[0]:
        raise DataError(f"{place}: damaged checkpoint (epochs and history differ); {_CHECKPOINT.advice}")
    return state
