"""Training: Keras under a distribution strategy, with checkpoints and exact resume."""

import shutil
import sys
from collections.abc import Callable

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
    whole_path,
    write_checksums,
)
from extmap_tf.model.build import build_network, expected_diagrams, fill_tables, n_weights
from extmap_tf.model.card import CARD_NAME, ModelCard
from extmap_tf.model.checkpoints import CHECKPOINTS, Keeper, last_checkpoint
from extmap_tf.model.checks import check_training, find_start
from extmap_tf.model.domain import DOMAIN_NAME, Domains
from extmap_tf.model.facts import PairFacts
from extmap_tf.model.heads import Head, head_of
from extmap_tf.model.objective import WarmupCosine
from extmap_tf.model.precision import precision_of, training_precision
from extmap_tf.model.start import take_weights
from extmap_tf.model.trained import MODEL_NAME
from extmap_tf.records.dataset import (
    corruption_named,
    evaluation_dataset,
    steps_per_epoch,
    training_dataset,
)
from extmap_tf.records.manifest import Records
from extmap_tf.settings.config import Config
from extmap_tf.settings.training import TrainingConfig

_MEAN_OVER = 4096
_SMOOTH_BINS = 3.0
_EVALUATION_BATCH = 512


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


def train(
    records: Records,
    config: Config,
    out: PathLike,
    cpu_devices: int = 0,
    overwrite: bool = False,
    echo: Callable[[str], None] | None = None,
    start_from: PathLike | None = None,
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
    start_from : path-like, optional
        A trained model of the same network, diagrams and distances, whose weights a new training starts from:
        see `extmap_tf.model.checks.find_start`.

    Returns
    -------
    ModelCard
    """
    echo = echo or (lambda line: print(line, file=sys.stderr, flush=True))
    check_training(records, config, out, overwrite)
    out = local_path(out)
    steps_per_epoch(records, config.training)
    start = None if start_from is None else find_start(start_from, config)
    made_of = {
        "config_digest": config.digest,
        "records_digest": records.manifest.digest,
        "started_from": start and start[1].digest,
    }
    _refuse_other_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    previous_policy = keras.config.dtype_policy()
    # Keras leaves temporary files where the disk is full.
    with alone_in(out), corruption_named(records.path, records), temporary_files_in_scratch():
        state, checkpoint = last_checkpoint(out, made_of, overwrite)
        keras.config.set_dtype_policy(training_precision(config.training.precision))
        # Also where a training goes on: the order of the pairs mixes the global seed in.
        keras.utils.set_random_seed(config.seed % 2**32)
        try:
            with strategy_for(cpu_devices).scope():
                if checkpoint:
                    model = keras.models.load_model(checkpoint)
                    echo(f"going on after epoch {state.epoch} of {config.training.epochs}")
                else:
                    model = _fresh(records, config, start)
            return _fit(model, records, config, out, made_of, state, echo)
        finally:
            keras.config.set_dtype_policy(previous_policy)


def _fresh(records, config, start):
    """A network to train, with random weights or those of another model, given by its folder and card."""
    facts = facts_of(records)
    model = build_network(config, facts.n_nodes, config.seed)
    fill_tables(model, facts)
    if start:
        take_weights(model, *start)
    steps = steps_per_epoch(records, config.training) * config.training.epochs
    compile_network(model, head_of(config.network, config.distance), config.training, steps)
    return model


def _fit(model, records, config, out, made_of, state, echo):
    training, steps = config.training, steps_per_epoch(records, config.training)
    weights, replicas, precision = (
        n_weights(model),
        model.distribute_strategy.num_replicas_in_sync,
        precision_of(model),
    )
    echo(
        f"training {config.network.preset} ({weights:,} weights) on "
        f"{records.manifest.n_examples('train'):,} pairs, {replicas} replica(s), "
        f"{precision}, batches of {training.batch_size}"
    )
    keeper = Keeper(out, training, made_of, state, steps * training.batch_size, echo)
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
    head = head_of(config.network, config.distance)
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
            "started_from": made_of["started_from"],
        },
    )
    config.write(out / "config.toml", overwrite=True)
    card.write(out, overwrite=True)
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
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
    started = (out / CARD_NAME).exists() or (out / CHECKPOINTS).is_dir()
    if (
        out.exists()
        and not started
        and (not out.is_dir() or {path.name for path in out.iterdir()} - {"logs"})
    ):
        raise DataError(f"{out} exists and is no training folder: choose another name")
