"""Which version folder of an exported model to use; needs no TensorFlow."""

import os
import re
from importlib import resources
from pathlib import Path

from extmap_tf.errors import DataError
from extmap_tf.files import PathLike, local_path
from extmap_tf.json_files import read_bounded
from extmap_tf.model.card import CARD_NAME, ModelCard
from extmap_tf.settings.config import Config

EXTRA = "assets.extra"

_SAVED_MODEL = "saved_model.pb"
_OF_A_MODEL = (_SAVED_MODEL, CARD_NAME)


def versions(out: PathLike) -> list[int]:
    """Numbers of the version folders in a model folder, ascending."""
    if not os.path.isdir(out):
        return []
    return sorted(int(name) for name in os.listdir(out) if re.fullmatch(r"[1-9]\d*", name))


def shipped_models() -> dict[str, Path]:
    """Names of the trained models that come with the package, and their folders."""
    return {
        folder.name: folder
        for folder in Path(str(resources.files("saved_models"))).iterdir()
        if folder.is_dir() and versions(folder)
    }


def shipped_models_for(config: Config) -> dict[str, Path]:
    """Those for CMDs and profiles like those of a configuration, wherever it is: folders by name."""
    found = {}
    for name, folder in sorted(shipped_models().items()):
        other = find_saved_model(folder)[1].config
        if (other.observation, other.target) == (config.observation, config.target):
            found[name] = folder
    return found


def path_or_shipped(path: PathLike) -> Path:
    """A local path, or the folder of the shipped model of that name, unless a model or a file has it here."""
    here = local_path(path)
    mine = here.is_file() or versions(here) or any((here / name).exists() for name in _OF_A_MODEL)
    return here if mine else local_path(shipped_models().get(str(path), here))


def find_saved_model(path: PathLike) -> tuple[Path, ModelCard]:
    """The version folder to use: `path` itself, the highest version in it, or that of a shipped model's name.

    Returns
    -------
    folder : pathlib.Path
    card : extmap_tf.model.card.ModelCard

    Raises
    ------
    DataError
        No SavedModel there, or one without a card of ours.
    """
    path = path_or_shipped(path)
    folder = path if (path / _SAVED_MODEL).is_file() else None
    if folder is None and (numbers := versions(path)):
        folder = path / str(numbers[-1])
    if folder is None or not (folder / _SAVED_MODEL).is_file():
        raise DataError(
            f"{path}: no SavedModel there (make one with 'extmap-tf export', or give the name of a shipped "
            f"one: {', '.join(sorted(shipped_models())) or 'none'})"
        )
    card = folder / EXTRA / CARD_NAME
    if not card.is_file():
        raise DataError(f"{folder}: no {EXTRA}/{CARD_NAME}: not a SavedModel of 'extmap-tf export'")
    return folder, ModelCard.from_json(read_bounded(card), str(card))
