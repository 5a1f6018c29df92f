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
            self._examples = self._loaded.signatures["examples"]
            self._counts = self._loaded.signatures["serving_default"]
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
        parsed = parse_examples(tf.constant(list(serialized)), config.diagrams[0])
        inputs = {name: parsed[name] for name in ("counts", "l_deg", "b_deg")}
        draw = self._loaded.signatures["samples"]
        return draw(**inputs, seed=tf.constant(seed, tf.int32))["density_samples"].numpy()

    def score_counts(self, counts: Any, l_deg: Any, b_deg: Any) -> ProfileEstimate:
        """The same of CMD images [batch, n_mag, n_color] at positions [batch]."""
        arrays = {"counts": counts, "l_deg": l_deg, "b_deg": b_deg}
        tensors = {name: tf.constant(np.asarray(array, np.float32)) for name, array in arrays.items()}
        return self._estimate(self._counts(**tensors))

    def _estimate(self, outputs):
        try:
            return ProfileEstimate.from_outputs({name: value.numpy() for name, value in outputs.items()})
        except DataError as error:
            raise DataError(f"{self._folder}: {error}") from None
