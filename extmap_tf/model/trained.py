"""A trained model in its training folder."""

from pathlib import Path

import keras

import extmap_tf.model.build  # noqa: F401  (Keras finds our layers by their names once they are imported)
from extmap_tf.errors import DataError
from extmap_tf.files import PathLike
from extmap_tf.model.card import ModelCard

MODEL_NAME = "model.keras"


def load_trained(folder: PathLike) -> tuple[keras.Model, ModelCard]:
    """The Keras model and card of a training folder.

    Returns
    -------
    model : keras.Model
    card : extmap_tf.model.card.ModelCard

    Raises
    ------
    DataError
        The folder cannot be read, whatever is wrong with it.
    """
    card = ModelCard.read(folder)
    path = Path(folder) / MODEL_NAME
    try:
        return keras.models.load_model(path, compile=False), card
    # Damage in an archive of a program's parts shows in errors of any kind.
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path}: cannot be loaded: {reason}: train again") from None
