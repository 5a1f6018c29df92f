"""A trained model as a SavedModel that runs with nothing of ours imported."""

from pathlib import Path

import keras
import tensorflow as tf

from extmap_tf.errors import DataError
from extmap_tf.files import local_path, whole_path, write_checksums
from extmap_tf.model.card import CARD_NAME, ModelCard
from extmap_tf.model.networks import build_network
from extmap_tf.model.training import MODEL_NAME
from extmap_tf.model.versions import EXTRA, versions
from extmap_tf.records.example import parse_examples


def load_trained(folder):
    """The Keras model and card of a training folder.

    Returns
    -------
    model : keras.Model
    card : extmap_tf.model.card.ModelCard
    """
    card = ModelCard.read(folder)
    path = Path(folder) / MODEL_NAME
    try:
        return keras.models.load_model(path, compile=False), card
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: cannot be loaded: {str(error).splitlines()[0]}") from None


class Served(tf.Module):
    """The signatures of the SavedModel, computed in float32 whatever the model was trained in.

    ``serving_default``
        counts [batch, n_mag, n_color], l_deg [batch], b_deg [batch], all float32, to distance_kpc, density
        and cumulative, all [batch, n_distances] float32: outer edges in kpc, mag / kpc inside each bin, and
        mag at the outer edges.
    ``examples``
        examples [batch] string, serialized records, to the same.
    ``metadata``
        Nothing, to card [1] string: the model's card as JSON.
    """

    def __init__(self, model, card):
        super().__init__()
        config = card.config
        network = _float32_copy(model, config)
        # The variables are tracked, not the Keras model: it would be saved a second time.
        self.weights = [variable.value for variable in network.variables]
        outer_kpc = tf.constant(config.distance.outer_kpc, tf.float32)
        step_kpc = config.distance.step_kpc
        text = card.to_json()

        def profile(counts, l_deg, b_deg):
            density = network({"counts": counts, "l_deg": l_deg, "b_deg": b_deg}, training=False)
            return {
                "distance_kpc": tf.broadcast_to(outer_kpc, tf.shape(density)),
                "density": density,
                "cumulative": tf.cumsum(density, axis=-1) * step_kpc,
            }

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, *config.cmd.shape], tf.float32, "counts"),
                tf.TensorSpec([None], tf.float32, "l_deg"),
                tf.TensorSpec([None], tf.float32, "b_deg"),
            ]
        )
        def serving_default(counts, l_deg, b_deg):
            return profile(counts, l_deg, b_deg)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
        def examples(examples):
            parsed = parse_examples(examples, config)
            return profile(parsed["counts"], parsed["l_deg"], parsed["b_deg"])

        @tf.function(input_signature=[])
        def metadata():
            return {"card": tf.constant([text])}

        self.signatures_to_save = {
            "serving_default": serving_default,
            "examples": examples,
            "metadata": metadata,
        }


def export(folder, out):
    """Export a trained model into the next version folder, ``OUT/1``, ``OUT/2``, ...

    Parameters
    ----------
    folder : path-like
        From `extmap_tf.model.training.train`.
    out : path-like
        Parent of the version folders. An existing version is never touched.

    Returns
    -------
    pathlib.Path
        The version folder.
    """
    out = local_path(out)
    model, card = load_trained(folder)
    served = Served(model, card)
    version = out / str(1 + max(versions(out), default=0))
    with whole_path(version) as temporary:
        tf.saved_model.save(served, str(temporary), signatures=served.signatures_to_save)
        (temporary / EXTRA).mkdir()
        (temporary / EXTRA / CARD_NAME).write_text(card.to_json())
        files = [path.relative_to(temporary) for path in temporary.rglob("*") if path.is_file()]
        write_checksums(temporary, files, within=EXTRA)
    return version


def _float32_copy(model, config):
    previous_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        copy = build_network(config, model.get_layer("reference").n_nodes, config.seed)
    finally:
        keras.config.set_dtype_policy(previous_policy)
    copy.set_weights(model.get_weights())
    return copy
