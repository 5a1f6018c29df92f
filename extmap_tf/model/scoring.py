"""Batch scoring with an exported SavedModel."""

import numpy as np
import tensorflow as tf

from extmap_tf.config import require_same
from extmap_tf.errors import DataError
from extmap_tf.extinction.profiles import density_to_cumulative
from extmap_tf.map.metrics import evaluate
from extmap_tf.model.versions import find_saved_model
from extmap_tf.records.dataset import corruption_named, evaluation_dataset

BATCH_SIZE = 512


def require_fit(card, model_name, records):
    """Raise MismatchError unless a model was trained for CMDs like those of the records."""
    require_same(
        "observation",
        card.config.observation,
        f"model {model_name}",
        records.manifest.config.observation,
        f"records {records.path}",
    )


class Scorer:
    """A loaded SavedModel.

    Parameters
    ----------
    folder : path-like
        A version folder.
    """

    def __init__(self, folder):
        try:
            self._loaded = tf.saved_model.load(str(folder))
            self._examples = self._loaded.signatures["examples"]
            self._counts = self._loaded.signatures["serving_default"]
        except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
            raise DataError(
                f"{folder}: cannot be loaded as a SavedModel: {str(error).splitlines()[0]}"
            ) from None

    def score_examples(self, serialized):
        """Profiles of a batch of serialized examples.

        Parameters
        ----------
        serialized : sequence of bytes [batch]

        Returns
        -------
        ndarray of float32 [batch, n_distances]
            Density, mag / kpc.
        """
        return self._examples(examples=tf.constant(list(serialized)))["density"].numpy()

    def score_counts(self, counts, l_deg, b_deg):
        """Profiles of CMD images [batch, n_mag, n_color] at positions [batch]; as `score_examples`."""
        arrays = {"counts": counts, "l_deg": l_deg, "b_deg": b_deg}
        tensors = {name: tf.constant(np.asarray(array, np.float32)) for name, array in arrays.items()}
        return self._counts(**tensors)["density"].numpy()


def evaluate_model(path, records, split="test"):
    """Errors of a SavedModel on mock records.

    Parameters
    ----------
    path : path-like
        As `find_saved_model` takes it.
    records : extmap_tf.records.manifest.Records
        Of kind "mocks".
    split : str

    Returns
    -------
    extmap_tf.map.metrics.Evaluation
    """
    if records.manifest.kind != "mocks":
        raise DataError(
            f"{records.path}: survey records carry no profiles to compare with; give mock records"
        )
    folder, card = find_saved_model(path)
    require_fit(card, str(folder), records)
    config = records.manifest.config
    require_same(
        "profile target", card.config.target, f"model {folder}", config.target, f"records {records.path}"
    )
    scorer = Scorer(folder)
    truth, estimate, n_stars = [], [], []
    with corruption_named(records.path, records):
        for inputs, density in evaluation_dataset(records, split, BATCH_SIZE):
            arrays = (inputs[name].numpy() for name in ("counts", "l_deg", "b_deg"))
            estimate.append(scorer.score_counts(*arrays))
            truth.append(density.numpy())
            n_stars.append(inputs["counts"].numpy().sum(axis=(1, 2)))
    step_kpc = config.distance.step_kpc
    return evaluate(
        density_to_cumulative(np.concatenate(truth), step_kpc),
        density_to_cumulative(np.concatenate(estimate), step_kpc),
        np.concatenate(n_stars),
        config.distance,
        config.survey.red.name,
    )
