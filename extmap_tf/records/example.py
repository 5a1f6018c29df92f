"""The schema of an example: the one place that writes and parses tf.train.Example."""

import numpy as np
import tensorflow as tf

from extmap_tf.errors import DataError

COUNT_DTYPE = np.dtype("<u2")


def pair_to_example(pair, key, seed):
    """Serialize a training pair.

    Parameters
    ----------
    pair : extmap_tf.mocks.Pair
    key : str
    seed : int
        The configuration's seed; with the pair's number it reproduces the pair.

    Returns
    -------
    bytes
    """
    return _serialize(
        key=_bytes(key.encode()),
        sightline=_bytes(key.split("/")[0].encode()),
        l_deg=_floats([pair.l_deg]),
        b_deg=_floats([pair.b_deg]),
        counts=_bytes(encode_counts(pair.counts, key)),
        n_stars=_ints([pair.counts.sum()]),
        density=_floats(pair.density),
        seed=_ints([seed]),
        pair=_ints([pair.number]),
    )


def field_to_example(counts, key, l_deg, b_deg, grid):
    """Serialize the counts of a survey field.

    Parameters
    ----------
    counts : extmap_tf.cmd.FieldCounts
    key : str
    l_deg, b_deg : float
    grid : extmap_tf.grids.CmdGrid

    Returns
    -------
    bytes
    """
    return _serialize(
        key=_bytes(key.encode()),
        sightline=_bytes(key.encode()),
        l_deg=_floats([l_deg]),
        b_deg=_floats([b_deg]),
        counts=_bytes(encode_counts(counts.cmd(grid), key)),
        n_stars=_ints([counts.n_stars(grid)]),
        n_outside=_ints([counts.n_outside(grid)]),
        coverage=_floats([counts.coverage(grid)]),
    )


def encode_counts(counts, key):
    """Counts as little-endian uint16 bytes; DataError names a field with more in one pixel."""
    if counts.max(initial=0) > np.iinfo(COUNT_DTYPE).max:
        raise DataError(
            f"{key}: {counts.max()} stars in one pixel, a record holds at most 65535: use smaller fields or "
            "a finer CMD grid"
        )
    return counts.astype(COUNT_DTYPE).tobytes()


def parse_examples(serialized, config, kind=None):
    """Parse a batch of examples.

    Parameters
    ----------
    serialized : tf.Tensor of string [batch]
    config : extmap_tf.config.Config
    kind : {"mocks", "survey", None}
        Which features to expect beside those that all examples have.

    Returns
    -------
    dict of str to tf.Tensor
        sightline [batch], l_deg [batch], b_deg [batch], counts [batch, n_mag, n_color] (float32),
        n_stars [batch]; of mocks density [batch, n_distances], of a survey coverage [batch].
    """
    features = {
        "sightline": tf.io.FixedLenFeature([], tf.string),
        "l_deg": tf.io.FixedLenFeature([], tf.float32),
        "b_deg": tf.io.FixedLenFeature([], tf.float32),
        "counts": tf.io.FixedLenFeature([], tf.string),
        "n_stars": tf.io.FixedLenFeature([], tf.int64),
    }
    if kind == "mocks":
        features["density"] = tf.io.FixedLenFeature([config.distance.n_distances], tf.float32)
    elif kind == "survey":
        features["coverage"] = tf.io.FixedLenFeature([], tf.float32)
    parsed = tf.io.parse_example(serialized, features)
    counts = tf.io.decode_raw(parsed["counts"], tf.uint16, little_endian=True)
    # Not -1 rows: counts of another size would pass as other rows.
    parsed["counts"] = tf.cast(tf.reshape(counts, [tf.size(serialized), *config.cmd.shape]), tf.float32)
    return parsed


def parse_readable_examples(serialized, config):
    """What a network sees of a batch of examples, of which some may be damaged.

    An example that `parse_examples` would refuse, whatever is wrong with it, is NaN in all of its row and
    leaves the others as they are.

    Parameters
    ----------
    serialized : tf.Tensor of string [batch]
    config : extmap_tf.config.Config

    Returns
    -------
    dict of str to tf.Tensor of float32
        counts [batch, n_mag, n_color], l_deg [batch], b_deg [batch], in degrees.
    """

    def parsed(index, serialized):
        found = parse_examples(serialized, config)
        return index, {name: found[name] for name in ("counts", "l_deg", "b_deg")}

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


def parse_field_facts(serialized):
    """Of survey examples, what a map says of a field beside its profile.

    Parameters
    ----------
    serialized : tf.Tensor of string [batch]

    Returns
    -------
    dict of str to tf.Tensor
        n_stars (int64) and coverage (float32) [batch].
    """
    features = {"n_stars": tf.int64, "coverage": tf.float32}
    return tf.io.parse_example(
        serialized, {name: tf.io.FixedLenFeature([], dtype) for name, dtype in features.items()}
    )


def _serialize(**features):
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(
        deterministic=True
    )


def _bytes(value):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _floats(values):
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def _ints(values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(v) for v in values]))
