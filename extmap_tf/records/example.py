"""The schema of an example: which features pairs and fields have, to write and to parse."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from extmap_tf.diagrams import FieldCounts
from extmap_tf.errors import DataError
from extmap_tf.mocks.pairs import Pair
from extmap_tf.records.writing import serialize_example
from extmap_tf.settings.survey import SurveyView

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
        With the covered share of the field, the same for all surveys, unless that is the whole field.
    """
    partial = {} if pair.covered == 1.0 else {"coverage": np.array([pair.covered], np.float32)}
    return serialize_example(
        key=key.encode(),
        sightline=key.split("/")[0].encode(),
        l_deg=[pair.l_deg],
        b_deg=[pair.b_deg],
        n_stars=int(pair.counts.sum()),
        density=pair.density,
        seed=seed,
        pair=pair.number,
        **{name: encode_counts(counts, key) for name, counts in pair.diagrams.items()},
        **partial,
    )


def field_to_example(surveys: Sequence[FieldCounts], key: str, l_deg: float, b_deg: float) -> bytes:
    """Serialize the counts of a field.

    Parameters
    ----------
    surveys : sequence of extmap_tf.diagrams.FieldCounts
        Of each survey.
    key : str
    l_deg, b_deg : float

    Returns
    -------
    bytes
    """
    features: dict[str, Any] = {}
    for found in surveys:
        for name in ("n_stars", "n_outside"):
            features[found.view.named(name)] = getattr(found, name)
        features[found.view.named("coverage")] = [found.coverage]
        features |= {name: encode_counts(counts, key) for name, counts in found.counts.items()}
    place = {"l_deg": [l_deg], "b_deg": [b_deg]}
    return serialize_example(key=key.encode(), sightline=key.encode(), **place, **features)


def encode_counts(counts: np.ndarray, key: str) -> bytes:
    """Counts as little-endian uint16 bytes; DataError names a field with more in one pixel."""
    if counts.max(initial=0) > np.iinfo(COUNT_DTYPE).max:
        raise DataError(
            f"{key}: {counts.max()} stars in one pixel, a record holds at most 65535: use smaller fields or "
            "a finer CMD grid"
        )
    return counts.astype(COUNT_DTYPE).tobytes()


def parse_examples(
    serialized: "tf.Tensor", views: Sequence[SurveyView], kind: str | None = None, n_distances: int = 0
) -> "dict[str, tf.Tensor]":
    """Parse a batch of examples.

    Parameters
    ----------
    serialized : tf.Tensor of string [batch]
    views : sequence of extmap_tf.settings.survey.SurveyView
        The surveys that are wanted. Of the first every example must have its diagrams; of the others, one
        that does not has none of the stars and is covered to 0.
    kind : {"mocks", None}
        Of mocks a profile is expected beside the features that all examples have.
    n_distances : int
        Distance bins of the profiles of mocks.

    Returns
    -------
    dict of str to tf.Tensor
        sightline [batch], l_deg [batch], b_deg [batch], n_stars [batch] of the first diagram, by the names of
        the diagrams the counts [batch, n_y, n_x] (float32), coverage [batch] of each survey (the covered
        share of the field, that of the first, or 1, where an example states none); of mocks density [batch,
        n_distances].
    """
    import tensorflow as tf

    first, *others = views
    features = {
        "sightline": tf.io.FixedLenFeature([], tf.string),
        "l_deg": tf.io.FixedLenFeature([], tf.float32),
        "b_deg": tf.io.FixedLenFeature([], tf.float32),
        **{diagram.name: tf.io.FixedLenFeature([], tf.string) for diagram in first.diagrams},
        "n_stars": tf.io.FixedLenFeature([], tf.int64),
        "coverage": tf.io.FixedLenFeature([], tf.float32, default_value=1.0),
    }
    for view in others:
        features[view.named("coverage")] = tf.io.FixedLenFeature([], tf.float32, default_value=np.nan)
        for diagram in view.diagrams:
            features[diagram.name] = tf.io.FixedLenFeature([], tf.string, default_value=b"")
    if kind == "mocks":
        features["density"] = tf.io.FixedLenFeature([n_distances], tf.float32)
    parsed = tf.io.parse_example(serialized, features)
    for view in others:
        stated, there = parsed[view.named("coverage")], True
        for diagram in view.diagrams:
            given = parsed[diagram.name] != b""
            none = tf.constant(bytes(COUNT_DTYPE.itemsize * diagram.n_pixels))
            parsed[diagram.name] = tf.where(given, parsed[diagram.name], none)
            there &= given
        stated = tf.where(tf.math.is_nan(stated), parsed["coverage"], stated)
        parsed[view.named("coverage")] = tf.where(there, stated, 0.0)
    for diagram in (diagram for view in views for diagram in view.diagrams):
        counts = tf.io.decode_raw(parsed[diagram.name], tf.uint16, little_endian=True)
        # Not -1 rows: counts of another size would pass as other rows.
        counts = tf.reshape(counts, [tf.size(serialized), *diagram.shape])
        parsed[diagram.name] = tf.cast(counts, tf.float32)
    return parsed


def parse_readable_examples(
    serialized: "tf.Tensor",
    views: Sequence[SurveyView],
    names: Sequence[str] = ("counts", "l_deg", "b_deg"),
) -> "dict[str, tf.Tensor]":
    """What a network sees of a batch of examples, of which some may be damaged.

    An example that `parse_examples` would refuse, whatever is wrong with it, is NaN in all of its row and
    leaves the others as they are.

    Parameters
    ----------
    serialized : tf.Tensor of string [batch]
    views : sequence of extmap_tf.settings.survey.SurveyView
    names : sequence of str
        Of features that are wanted.

    Returns
    -------
    dict of str to tf.Tensor of float32
        Those of the counts [batch, n_y, n_x], l_deg [batch], b_deg [batch], in degrees, and coverage [batch].
    """
    import tensorflow as tf

    @tf.autograph.experimental.do_not_convert
    def parsed(index, serialized):
        found = parse_examples(serialized, views)
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


def parse_field_facts(serialized: "tf.Tensor", views: Sequence[SurveyView]) -> "dict[str, tf.Tensor]":
    """Of survey examples, what a map says of a field beside its profile.

    Parameters
    ----------
    serialized : tf.Tensor of string [batch]
    views : sequence of extmap_tf.settings.survey.SurveyView
        The surveys of the records.

    Returns
    -------
    dict of str to tf.Tensor
        n_stars (int64) and coverage (float32) [batch], those of the survey that has most of each; of several
        surveys also surveys (int32) [batch]: bit i is set where survey i has stars.
    """
    import tensorflow as tf

    names = [(view.named("n_stars"), view.named("coverage")) for view in views]
    features = {}
    for (n_stars, coverage), default in zip(names, [None, *([0] * (len(names) - 1))], strict=True):
        features[n_stars] = tf.io.FixedLenFeature([], tf.int64, default)
        features[coverage] = tf.io.FixedLenFeature([], tf.float32, default)
    parsed = tf.io.parse_example(serialized, features)
    n_stars, coverage = (tf.stack([parsed[name] for name in column]) for column in zip(*names, strict=True))
    found = {"n_stars": tf.reduce_max(n_stars, axis=0), "coverage": tf.reduce_max(coverage, axis=0)}
    if len(names) > 1:
        bits = tf.constant([[1 << i] for i in range(len(names))])
        found["surveys"] = tf.reduce_sum(tf.where(coverage > 0, bits, 0), axis=0)
    return found
