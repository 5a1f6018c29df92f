"""A trained model as a SavedModel that runs with nothing of ours imported."""

from pathlib import Path

import keras
import tensorflow as tf

from extmap_tf.errors import DataError
from extmap_tf.files import local_path, whole_path, write_checksums
from extmap_tf.grids import PERCENTILES
from extmap_tf.map.calibration import RELIABLE_FRACTION, RELIABLE_MAG
from extmap_tf.model.card import CARD_NAME, ModelCard
from extmap_tf.model.distribution import draw_profiles, summarize, summarize_point
from extmap_tf.model.domain import DOMAIN_NAME, TrainingDomain, outside_region
from extmap_tf.model.networks import build_network, gives_distribution
from extmap_tf.model.training import MODEL_NAME
from extmap_tf.model.versions import EXTRA, versions
from extmap_tf.records.example import parse_examples

N_SAMPLES = 32


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
        counts [batch, n_mag, n_color], l_deg [batch], b_deg [batch], all float32, to distance_kpc [batch,
        n_distances] (outer edges), for density (mag / kpc in each bin) and extinction (cumulative, mag, at
        the outer edges) ``_median``, ``_mean``, ``_std`` [batch, n_distances] and ``_percentiles`` [batch,
        n_percentiles, n_distances], outlier [batch] int32 (`extmap_tf.map.provenance.OUTLIER_FLAGS`) and
        reliable_distance_kpc [batch].
    ``examples``
        examples [batch] string, serialized records, to the same.
    ``samples``
        The inputs of ``serving_default`` and seed (scalar int32), to density_samples [batch, 32,
        n_distances]: whole profiles, each as likely as another. Of a network that gives one profile, that
        profile.
    ``metadata``
        Nothing, to card [1] string: the model's card as JSON.
    """

    def __init__(self, model, card, domain):
        super().__init__()
        config = card.config
        network = _float32_copy(model, config)
        # The variables are tracked, not the Keras model: it would be saved a second time.
        self.weights = [variable.value for variable in network.variables]
        outer_kpc = tf.constant(config.distance.outer_kpc, tf.float32)
        step_kpc = config.distance.step_kpc
        text = card.to_json()
        reference_of = network.get_layer("reference")

        def output(counts, l_deg, b_deg):
            return network({"counts": counts, "l_deg": l_deg, "b_deg": b_deg}, training=False)

        def answer(counts, l_deg, b_deg):
            found = output(counts, l_deg, b_deg)
            summary = (summarize if gives_distribution(network) else summarize_point)(found, step_kpc)
            median = summary["extinction_median"]
            return summary | {
                "distance_kpc": tf.broadcast_to(outer_kpc, tf.shape(median)),
                "outlier": domain.outlier(counts, reference_of(l_deg, b_deg))
                + outside_region(config, l_deg, b_deg),
                "reliable_distance_kpc": _reliable_distance(summary["extinction_percentiles"], outer_kpc),
            }

        image = tf.TensorSpec([None, *config.cmd.shape], tf.float32, "counts")
        degrees = [tf.TensorSpec([None], tf.float32, name) for name in ("l_deg", "b_deg")]

        @tf.function(input_signature=[image, *degrees])
        def serving_default(counts, l_deg, b_deg):
            return answer(counts, l_deg, b_deg)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
        def examples(examples):
            parsed = parse_examples(examples, config)
            return answer(parsed["counts"], parsed["l_deg"], parsed["b_deg"])

        @tf.function(input_signature=[image, *degrees, tf.TensorSpec([], tf.int32, "seed")])
        def samples(counts, l_deg, b_deg, seed):
            found = output(counts, l_deg, b_deg)
            if gives_distribution(network):
                return {"density_samples": draw_profiles(found, N_SAMPLES, seed, l_deg, b_deg)}
            return {"density_samples": tf.repeat(found[:, None], N_SAMPLES, axis=1)}

        @tf.function(input_signature=[])
        def metadata():
            return {"card": tf.constant([text])}

        self.signatures_to_save = {
            "serving_default": serving_default,
            "examples": examples,
            "samples": samples,
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
    served = Served(model, card, TrainingDomain.read(Path(folder) / DOMAIN_NAME))
    version = out / str(1 + max(versions(out), default=0))
    with whole_path(version) as temporary:
        tf.saved_model.save(served, str(temporary), signatures=served.signatures_to_save)
        (temporary / EXTRA).mkdir()
        (temporary / EXTRA / CARD_NAME).write_text(card.to_json())
        files = [path.relative_to(temporary) for path in temporary.rglob("*") if path.is_file()]
        write_checksums(temporary, files, within=EXTRA)
    return version


def _reliable_distance(percentiles, outer_kpc):
    """`extmap_tf.map.calibration.reliable_distance_kpc` in the graph; 0 where no spread is known."""
    p16, p50, p84 = (percentiles[:, PERCENTILES.index(percent)] for percent in (16.0, 50.0, 84.0))
    sure = 0.5 * (p84 - p16) <= tf.maximum(RELIABLE_MAG, RELIABLE_FRACTION * p50)
    n_sure = tf.reduce_sum(tf.math.cumprod(tf.cast(sure, tf.int32), axis=-1), axis=-1)
    return tf.gather(tf.concat([[0.0], outer_kpc], 0), n_sure)


def _float32_copy(model, config):
    previous_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        copy = build_network(config, model.get_layer("reference").n_nodes, config.seed)
    finally:
        keras.config.set_dtype_policy(previous_policy)
    copy.set_weights(model.get_weights())
    return copy
