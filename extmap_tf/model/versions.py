"""Which version folder of an exported model to use; needs no TensorFlow."""

import os
import re

from extmap_tf.errors import DataError
from extmap_tf.files import local_path
from extmap_tf.model.card import CARD_NAME, ModelCard

EXTRA = "assets.extra"


def versions(out):
    """Numbers of the version folders in a model folder, ascending."""
    if not os.path.isdir(out):
        return []
    return sorted(int(name) for name in os.listdir(out) if re.fullmatch(r"[1-9]\d*", name))


def find_saved_model(path):
    """The version folder to use: `path` itself, or the highest version in it.

    Returns
    -------
    folder : pathlib.Path
    card : extmap_tf.model.card.ModelCard

    Raises
    ------
    DataError
        No SavedModel there, or one without a card of ours.
    """
    path = local_path(path)
    folder = path if (path / "saved_model.pb").is_file() else None
    if folder is None and (numbers := versions(path)):
        folder = path / str(numbers[-1])
    if folder is None or not (folder / "saved_model.pb").is_file():
        raise DataError(f"{path}: no SavedModel there (make one with 'extmap-tf export')")
    card = folder / EXTRA / CARD_NAME
    if not card.is_file():
        raise DataError(f"{folder}: no {EXTRA}/{CARD_NAME}: not a SavedModel of 'extmap-tf export'")
    return folder, ModelCard.from_json(card.read_text(), str(card))
