"""Where a training starts: at random weights, or at those of a model that was trained before.

A network for another region, another prior or one more survey has most of its work done by one that has
learned what a profile does to a diagram.
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from extmap_tf.errors import DataError
from extmap_tf.files import PathLike
from extmap_tf.model.build import build_network, layer_name
from extmap_tf.model.card import CARD_NAME, ModelCard
from extmap_tf.model.trained import load_trained
from extmap_tf.model.trust import require_trusted

_AFTER_TRAINING = "adjustment"


def take_weights(model: keras.Model, folder: PathLike, card: ModelCard) -> None:
    """Give a fresh network the weights and normalisations of a trained one.

    What is expected without extinction stays that of the records, and the calibration after the training is
    to be made anew. Of surveys that the trained one does not know, weights begin at zero.

    Parameters
    ----------
    model : keras.Model
        Its tables are filled.
    folder : path-like
    card : extmap_tf.model.card.ModelCard
        With the folder from `extmap_tf.model.checks.find_start`.

    Raises
    ------
    DataError
        The trained model cannot be loaded, or its weights are others than its card says.
    """
    trained, fixed = _variables(Path(folder), card.config)
    if len(trained) != len(model.trainable_variables):
        raise _not_as_stated(folder)
    for variable, value in zip(model.trainable_variables, trained, strict=True):
        rows = variable.shape[0] - value.shape[0]
        if rows < 0 or tuple(variable.shape[1:]) != value.shape[1:]:
            raise _not_as_stated(folder)
        # The inputs that come last are those of further surveys.
        variable.assign(np.pad(value, [(0, rows), *[(0, 0)] * (value.ndim - 1)]))
    for variable in model.non_trainable_variables:
        if variable.path in fixed:
            if tuple(variable.shape) != fixed[variable.path].shape:
                raise _not_as_stated(folder)
            variable.assign(fixed[variable.path])


def _not_as_stated(folder):
    return DataError(f"{folder}: its weights are not those of the network that its card states")


def _variables(folder, config):
    """Trained variables of a training folder or a version folder, and by path the normalisations."""
    if (folder / CARD_NAME).is_file():
        model, _ = load_trained(folder)
        parts = (model.trainable_variables, model.non_trainable_variables)
    else:
        require_trusted(folder)
        try:
            loaded = tf.saved_model.load(str(folder))
            parts = (loaded.weights, loaded.fixed)
        # TensorFlow raises errors of many kinds on damaged files.
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise DataError(f"{folder}: cannot be loaded as a SavedModel: {reason}") from None
        # An export has no paths; the number of nodes does not matter for them.
        model = build_network(config, 1, config.seed)
    trained, fixed = ([np.asarray(value, np.float32) for value in part] for part in parts)
    if len(fixed) != len(model.non_trainable_variables):
        raise _not_as_stated(folder)
    own = {layer_name("reference", diagram.name) for diagram in config.diagrams}
    return trained, {
        variable.path: value
        for variable, value in zip(model.non_trainable_variables, fixed, strict=True)
        if variable.path.split("/")[0] not in own and not variable.path.endswith(_AFTER_TRAINING)
    }
