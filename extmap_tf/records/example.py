"""The schema of an example: which features pairs and fields have, to write and to parse."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from extmap_tf.diagrams import FieldCounts
from extmap_tf.errors import DataError
from extmap_tf.grids.diagram import Diagram
from extmap_tf.mocks.pairs import Pair
from extmap_tf.records.writing import serialize_example

if TYPE_CHECKING:
    import tensorflow as tf

COUNT_DTYPE = np.dtype("<u2")


def pair_to_example(pair: Pair, key: str, seed: int) -> bytes:
    """Serialize a training pair.

    Parameters
    ----------
    pair : extmap_tf.mocks.pairs.Pair
    key : str
    seed : int
        The configuration's seed; with the pair's number it reproduces the pair.

    Returns
    -------
    bytes
        With the covered share of the field, unless that is the whole field.
    """
    partial = {} if pair.covered == 1.0 else {"coverage": np.array([pair.covered], np.float32)}
    return serialize_example(
        key=key.encode(),
        sightline=key.split("/")[0].encode(),
        l_deg=[pair.l_deg],
        b_deg=[pair.b_deg],
        counts=encode_counts(pair.counts, key),
        n_stars=int(pair.counts.sum()),
        density=pair.density,
        seed=seed,
        pair=pair.number,
        **partial,
    )


def field_to_example(counts: FieldCounts, key: str, l_deg: float, b_deg: float, diagram: Diagram) -> bytes:
    """Serialize the counts of a survey field.

    Parameters
    ----------
    counts : extmap_tf.diagrams.FieldCounts
    key : str
    l_deg, b_deg : float
    diagram : extmap_tf.grids.diagram.Diagram

    Returns
    -------
    bytes
    """
    return serialize_example(
        key=key.encode(),
        sightline=key.encode(),
        l_deg=[l_deg],
        b_deg=[b_deg],
        counts=encode_counts(counts.counts(diagram), key),
        n_stars=counts.n_stars(diagram),
        n_outside=counts.n_outside(diagram),
        coverage=[counts.coverage(diagram)],
    )


def encode_counts(counts: np.ndarray, key: str) -> bytes:
    """Counts as little-endian uint16 bytes; DataError names a field with more in one pixel."""
    if counts.max(initial=0) > np.iinfo(COUNT_DTYPE).max:
        raise DataError(
            f"{key}: {counts.max()} stars in one pixel, a record holds at most 65535: use smaller fields or "
            "a finer CMD grid"
        )
    return counts.astype(COUNT_DTYPE).tobytes()


def parse_examples(
    serialized: "tf.Tensor", diagram: Diagram, kind: str | None = None, n_distances: int = 0
) -> "dict[str, tf.Tensor]":
    """Parse a batch of examples.

    Parameters
    ----------
    serialized : tf.Tensor of string [batch]
    diagram : extmap_tf.grids.diagram.Diagram
    kind : {"mocks", None}
        Of mocks a profile is expected beside the features that all examples have.
    n_distances : int
        Distance bins of the profiles of mocks.

    Returns
    -------
    dict of str to tf.Tensor
        sightline [batch], l_deg [batch], b_deg [batch], counts [batch, n_y, n_x] (float32),
        n_stars [batch], coverage [batch] (the covered share of the field, 1 where an example states none);
        of mocks density [batch, n_distances].
    """
    import tensorflow as tf

    features = {
        "sightline": tf.io.FixedLenFeature([], tf.string),
        "l_deg": tf.io.FixedLenFeature([], tf.float32),
        "b_deg": tf.io.FixedLenFeature([], tf.float32),
        "counts": tf.io.FixedLenFeature([], tf.string),
        "n_stars": tf.io.FixedLenFeature([], tf.int64),
        "coverage": tf.io.FixedLenFeature([], tf.float32, default_value=1.0),
    }
    if kind == "mocks":
        features["density"] = tf.io.FixedLenFeature([n_distances], tf.float32)
    parsed = tf.io.parse_example(serialized, features)
    counts = tf.io.decode_raw(parsed["counts"], tf.uint16, little_endian=True)
    # Not -1 rows: counts of another size would pass as other rows.
    parsed["counts"] = tf.cast(tf.reshape(counts, [tf.size(serialized), *diagram.shape]), tf.float32)
    return parsed


def parse_readable_examples(
    serialized: "tf.Tensor", diagram: Diagram, names: Sequence[str] = ("counts", "l_deg", "b_deg")
) -> "dict[str, tf.Tensor]":
    """What a network sees of a batch of examples, of which some may be damaged.

    An example that `parse_examples` would refuse, whatever is wrong with it, is NaN in all of its row and
    leaves the others as they are.

    Parameters
    ----------
    serialized : tf.Tensor of string [batch]
    diagram : extmap_tf.grids.diagram.Diagram
    names : sequence of str
        Of features that are wanted.

    Returns
    -------
    dict of str to tf.Tensor of float32
        Those of counts [batch, n_y, n_x], l_deg [batch], b_deg [batch], in degrees, and coverage [batch].
    """
    import tensorflow as tf

    def parsed(index, serialized):
        found = parse_examples(serialized, diagram)
        return index, {name: found[name] for name in names}

    def attempt(dataset):
        return dataset.map(parsed).ignore_errors()

    # Of all that a graph may hold, tf.data alone catches errors. It computes only what is taken: an example
    # at a time where all at once fail, none where each fails.
    Dataset = tf.data.Dataset
    index, n = tf.range(tf.size(serialized)), tf.size(serialized, tf.int64)
    together = attempt(Dataset.from_tensors((index, serialized)))
    singly = attempt(Dataset.from_tensor_slices((index[:, None], serialized[:, None])))
    none = attempt(Dataset.from_tensors((index[:0], serialized[:0])))
    attempts = together.concatenate(singly.rebatch(tf.maximum(n, 1))).concatenate(none)
    index, found = attempts.take(1).get_single_element()

    def in_place(value):
        unknown = tf.fill([n, *value.shape[1:]], np.float32(np.nan))
        return tf.tensor_scatter_nd_update(unknown, index[:, None], value)

    return {name: in_place(value) for name, value in found.items()}


def parse_field_facts(serialized: "tf.Tensor") -> "dict[str, tf.Tensor]":
    """Of survey examples, what a map says of a field beside its profile.

    Parameters
    ----------
    serialized : tf.Tensor of string [batch]

    Returns
    -------
    dict of str to tf.Tensor
        n_stars (int64) and coverage (float32) [batch].
    """
    import tensorflow as tf

    features = {"n_stars": tf.int64, "coverage": tf.float32}
    return tf.io.parse_example(
        serialized, {name: tf.io.FixedLenFeature([], dtype) for name, dtype in features.items()}
    )
