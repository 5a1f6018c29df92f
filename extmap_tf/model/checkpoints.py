"""Checkpoints of a training, and how to go on from them."""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import keras
import numpy as np

from extmap_tf.errors import DataError, ExtmapError
from extmap_tf.files import whole_file, whole_path
from extmap_tf.json_files import JsonForm
from extmap_tf.model.trained import MODEL_NAME
from extmap_tf.settings.identity import SCHEMA, require_readable
from extmap_tf.settings.training import TrainingConfig

CHECKPOINTS = "checkpoints"
_CHECKPOINT = JsonForm(
    "checkpoint",
    {
        "config_digest": str,
        "records_digest": str,
        "started_from": (str, None),
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


@dataclass
class State:
    """Where a training stands after an epoch; written with each checkpoint."""

    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = float("inf")
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


class Keeper(keras.callbacks.Callback):
    """Checkpoints, the best model, early stopping, the CSV log and a line of progress, epoch by epoch.

    A checkpoint holds the model with its optimizer and the `State`; it appears whole, then the one before is
    removed, so that a kill at any moment leaves one to go on from.

    Parameters
    ----------
    out : pathlib.Path
        Training folder.
    training : extmap_tf.settings.training.TrainingConfig
    made_of : mapping of str to str
        Digests, see `last_checkpoint`.
    state : State
        Is kept up to date.
    images_per_epoch : int
    echo : callable
        Takes a line of progress.
    """

    def __init__(
        self,
        out: Path,
        training: TrainingConfig,
        made_of: Mapping[str, str | None],
        state: State,
        images_per_epoch: int,
        echo: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._out, self._training, self._state, self._echo = out, training, state, echo
        self._made_of = made_of
        self._images_per_epoch = images_per_epoch
        self._started = 0.0

    def best_path(self, epoch: int) -> Path:
        return self._out / CHECKPOINTS / f"best-{epoch:05d}.keras"

    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self._state.epoch - self._state.best_epoch >= self._training.patience_epochs

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        state, training = self._state, self._training
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
        folder = self._out / CHECKPOINTS
        current = folder / f"epoch-{state.epoch:05d}"
        with whole_path(current, overwrite=True, folder_with="state.json") as temporary:
            temporary.mkdir()
            self.model.save(temporary / MODEL_NAME)
            (temporary / "state.json").write_text(
                json.dumps({"schema": SCHEMA, **self._made_of, "state": asdict(state)})
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


def last_checkpoint(
    out: Path, made_of: Mapping[str, str | None], overwrite: bool
) -> tuple[State, Path | None]:
    """State and model of the checkpoint to go on from; a fresh state and None where there is none.

    Parameters
    ----------
    out : pathlib.Path
        Training folder.
    made_of : mapping of str to str
        Digests of the configuration, the records and, if any, the model that it started from.
    overwrite : bool
        Remove checkpoints of another training.

    Raises
    ------
    DataError
        They are of another training, or damaged.
    """
    checkpoints = sorted((out / CHECKPOINTS).glob("epoch-*/state.json"))
    if not checkpoints:
        return State(), None
    last = checkpoints[-1]
    data = _CHECKPOINT.read(last)
    for what, given in made_of.items():
        if data[what] != given:
            if overwrite:
                shutil.rmtree(out / CHECKPOINTS)
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
