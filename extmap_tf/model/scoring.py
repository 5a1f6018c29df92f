"""Batch scoring with an exported SavedModel."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from extmap_tf.config import require_same
from extmap_tf.errors import DataError
from extmap_tf.extinction.profiles import density_to_cumulative
from extmap_tf.map.metrics import evaluate
from extmap_tf.model.card import CARD_NAME, ModelCard
from extmap_tf.model.export import EXTRA, versions
from extmap_tf.records.dataset import corruption_named, evaluation_dataset
from extmap_tf.records.example import parse_examples

BATCH_SIZE = 512


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
    path = Path(path)
    folder = path if (path / "saved_model.pb").is_file() else None
    if folder is None and (numbers := versions(path)):
        folder = path / str(numbers[-1])
    if folder is None or not (folder / "saved_model.pb").is_file():
        raise DataError(f"{path}: no SavedModel there (make one with 'extmap-tf export')")
    card = folder / EXTRA / CARD_NAME
    if not card.is_file():
        raise DataError(f"{folder}: no {EXTRA}/{CARD_NAME}: not a SavedModel of 'extmap-tf export'")
    return folder, ModelCard.from_json(card.read_text(), str(card))


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
        """All outputs of the ``examples`` signature for a batch of serialized examples.

        Parameters
        ----------
        serialized : sequence of bytes [batch]

        Returns
        -------
        dict of str to ndarray [batch, ...]
        """
        outputs = self._examples(examples=tf.constant(list(serialized)))
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    def sample_examples(self, serialized, config, seed):
        """Profiles drawn from the distribution of each of a batch of serialized examples.

        Parameters
        ----------
        serialized : sequence of bytes [batch]
        config : extmap_tf.config.Config
            Of the model.
        seed : int
            The same seed draws the same profiles of an example, in whatever batch it is.

        Returns
        -------
        ndarray of float32 [batch, n_samples, n_distances]
            Density, mag / kpc.
        """
        parsed = parse_examples(tf.constant(list(serialized)), config)
        inputs = {name: parsed[name] for name in ("counts", "l_deg", "b_deg")}
        draw = self._loaded.signatures["samples"]
        return draw(**inputs, seed=tf.constant(seed, tf.int32))["density_samples"].numpy()

    def score_counts(self, counts, l_deg, b_deg):
        """Density, mag / kpc [batch, n_distances], of CMD images [batch, n_mag, n_color] at positions."""
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
