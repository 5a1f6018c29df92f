"""Batch scoring with an exported SavedModel."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from extmap_tf.errors import DataError
from extmap_tf.estimate import ProfileEstimate
from extmap_tf.model.trust import require_trusted
from extmap_tf.records.example import parse_examples
from extmap_tf.settings.config import Config

BATCH_SIZE = 512


class Scorer:
    """A loaded SavedModel.

    Parameters
    ----------
    folder : path-like
        A version folder.
    trust_model : bool
        Load it whatever its graph may do, see `extmap_tf.model.trust`.

    Raises
    ------
    DataError
        It cannot be loaded, is not as it was exported, or could do more than compute.
    """

    def __init__(self, folder: str | os.PathLike, trust_model: bool = False) -> None:
        self._folder = folder
        if not trust_model:
            require_trusted(folder)
        try:
            self._loaded = tf.saved_model.load(str(folder))
            self._signatures = self._loaded.signatures
            self._examples, _ = self._signatures["examples"], self._signatures["serving_default"]
        except Exception as error:
            # TensorFlow raises errors of many kinds on damaged files.
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise DataError(f"{folder}: cannot be loaded as a SavedModel: {reason}") from None

    def score_examples(self, serialized: Sequence[bytes]) -> ProfileEstimate:
        """What the model knows of the profiles of a batch of serialized examples.

        Parameters
        ----------
        serialized : sequence of bytes [batch]

        Returns
        -------
        ProfileEstimate [batch]
            NaN where an example cannot be read.
        """
        return self._estimate(self._examples(examples=tf.constant(list(serialized))))

    def sample_examples(self, serialized: Sequence[bytes], config: Config, seed: int) -> np.ndarray:
        """Profiles drawn from the distribution of each of a batch of serialized examples.

        Parameters
        ----------
        serialized : sequence of bytes [batch]
        config : extmap_tf.settings.config.Config
            Of the model.
        seed : int
            The same seed draws the same profiles of an example, in whatever batch it is.

        Returns
        -------
        ndarray of float32 [batch, n_samples, n_distances]
            Density, mag / kpc.
        """
        parsed = parse_examples(tf.constant(list(serialized)), config.views)
        inputs = {name: parsed[name] for name in dict.fromkeys((*config.input_names, "coverage"))}
        return self.sample_counts(**inputs, seed=seed)

    def score_counts(
        self, counts: Any, l_deg: Any, b_deg: Any, coverage: Any = None, **others: Any
    ) -> ProfileEstimate:
        """What the model knows of the profiles behind CMD images.

        Parameters
        ----------
        counts : array_like [batch, n_mag, n_color]
        l_deg, b_deg : array_like [batch]
        coverage : array_like [batch], optional
            Covered share of each field: used where the model was trained on fields that are covered in part.
        others : array_like
            Further diagrams [batch, n_y, n_x] and covered shares [batch], by the names of the model's inputs.

        Returns
        -------
        ProfileEstimate [batch]
        """
        inputs = {"counts": counts, "l_deg": l_deg, "b_deg": b_deg, "coverage": coverage} | others
        answer, inputs = self._asked(("serving_default", "counts_and_coverage", "surveys"), inputs)
        return self._estimate(answer(**inputs))

    def sample_counts(
        self, counts: Any, l_deg: Any, b_deg: Any, coverage: Any = None, seed: int = 0, **others: Any
    ) -> np.ndarray:
        """Profiles [batch, n_samples, n_distances] of `score_counts`' inputs, see `sample_examples`."""
        inputs = {"counts": counts, "l_deg": l_deg, "b_deg": b_deg, "coverage": coverage} | others
        draw, inputs = self._asked(("samples", "samples_and_coverage", "surveys_samples"), inputs)
        return draw(**inputs, seed=tf.constant(seed, tf.int32))["density_samples"].numpy()

    def _asked(self, names, given):
        """The signature that takes all that is given, or all but the coverage, and its inputs."""
        arrays = {
            key: tf.constant(np.asarray(array, np.float32))
            for key, array in given.items()
            if array is not None
        }
        takes = {
            name: set(self._signatures[name].structured_input_signature[1]) - {"seed"}
            for name in names
            if name in self._signatures
        }
        for inputs in (arrays, {key: array for key, array in arrays.items() if key != "coverage"}):
            for name, wanted in takes.items():
                if wanted == inputs.keys():
                    return self._signatures[name], inputs
        unknown = sorted(arrays.keys() - set().union(*takes.values()))
        raise DataError(
            f"{self._folder}: a model with the inputs {', '.join(sorted(set().union(*takes.values())))}"
            + (f" cannot take {', '.join(unknown)}" if unknown else f", given only {', '.join(arrays)}")
        )

    def _estimate(self, outputs):
        try:
            return ProfileEstimate.from_outputs({name: value.numpy() for name, value in outputs.items()})
        except DataError as error:
            raise DataError(f"{self._folder}: {error}") from None
