"""Stars to counts inside a TensorFlow graph, by the rule of `extmap_tf.grids.diagram`."""

import functools
from collections.abc import Mapping

import tensorflow as tf

from extmap_tf.grids.diagram import Diagram
from extmap_tf.settings.survey import Cuts
from extmap_tf.surveys.limits import is_faint_enough, is_magnitude

# After the pixels of a diagram: stars outside it, stars that do not count, padding.
_N_SLOTS = 3


def pixels_and_slots(magnitudes: Mapping[str, tf.Tensor], diagram: Diagram, cuts: Cuts) -> tf.Tensor:
    """Flat pixel of each star, or the slot of one that is not in the diagram.

    A magnitude counts if it is one (`extmap_tf.surveys.limits`) and not brighter than the
    survey's bright limit. The other cuts need errors and flags, which only the sender has.

    Parameters
    ----------
    magnitudes : dict of str to tf.Tensor of float32 [...]
        By band.
    diagram : extmap_tf.grids.diagram.Diagram
    cuts : extmap_tf.settings.config.Cuts

    Returns
    -------
    tf.Tensor of int32 [...]
        ``i_y * n_x + i_x``; n_pixels of a star outside the diagram, n_pixels + 1 of one that does not count.
    """
    counts = functools.reduce(tf.logical_and, (_counts(mag, cuts) for mag in magnitudes.values()))
    y, x, inside = diagram.places_of(magnitudes)
    inside &= counts
    # Casting what is no number, or too large a one, gives anything.
    i_y, i_x = (tf.cast(tf.where(inside, place, 0.0), tf.int32) for place in (y, x))
    pixel = i_y * diagram.x.n_pixels + i_x
    return tf.where(inside, pixel, tf.where(counts, diagram.n_pixels, diagram.n_pixels + 1))


def _counts(mag, cuts):
    return is_magnitude(mag) & is_faint_enough(mag, cuts)


def flat_stars_to_counts(
    magnitudes: Mapping[str, tf.Tensor], row_splits: tf.Tensor, diagram: Diagram, cuts: Cuts
) -> dict[str, tf.Tensor]:
    """Counts of stars that stand one sightline after another.

    Parameters
    ----------
    magnitudes : dict of str to tf.Tensor of float32 [n_stars]
        By band.
    row_splits : tf.Tensor of int64 [batch + 1]
        Sightline i has the stars ``row_splits[i]`` to ``row_splits[i + 1]``, the latter exclusive.
    diagram : extmap_tf.grids.diagram.Diagram
    cuts : extmap_tf.settings.config.Cuts

    Returns
    -------
    dict of str to tf.Tensor
        As `_counted`.
    """
    first, *others = magnitudes.values()
    n = tf.shape(first, tf.int64)[0]
    differ = f"the magnitudes in {' and '.join(magnitudes)} differ in length"
    checks = [
        *(tf.debugging.assert_equal(tf.shape(other, tf.int64)[0], n, differ) for other in others),
        tf.debugging.assert_greater(tf.size(row_splits), 0, "row_splits is empty: it starts with 0"),
        tf.debugging.assert_equal(row_splits[:1], tf.zeros_like(row_splits[:1]), "row_splits starts with 0"),
        tf.debugging.assert_equal(
            row_splits[-1:], tf.fill(tf.shape(row_splits[-1:]), n), "row_splits ends with the number of stars"
        ),
        tf.debugging.assert_non_negative(row_splits[1:] - row_splits[:-1], "row_splits does not fall"),
    ]
    with tf.control_dependencies(checks):
        slot = pixels_and_slots(magnitudes, diagram, cuts)
    counted = tf.raw_ops.RaggedBincount(
        splits=row_splits, values=slot, size=diagram.n_pixels + _N_SLOTS, weights=tf.zeros([0], tf.int32)
    )
    return _counted(counted, diagram)


def padded_stars_to_counts(
    magnitudes: Mapping[str, tf.Tensor], n_stars: tf.Tensor, diagram: Diagram, cuts: Cuts
) -> dict[str, tf.Tensor]:
    """Counts of stars in a rectangle, of which each row has its own number.

    Parameters
    ----------
    magnitudes : dict of str to tf.Tensor of float32 [batch, n_max]
        By band. Whatever stands at `n_stars` and after is padding.
    n_stars : tf.Tensor of int64 [batch]
        0 to n_max.
    diagram : extmap_tf.grids.diagram.Diagram
    cuts : extmap_tf.settings.config.Cuts

    Returns
    -------
    dict of str to tf.Tensor
        As `_counted`.
    """
    first, *others = magnitudes.values()
    n_max = tf.shape(first, tf.int64)[1]
    differ = f"the magnitudes in {' and '.join(magnitudes)} differ in shape"
    checks = [
        *(tf.debugging.assert_equal(tf.shape(other), tf.shape(first), differ) for other in others),
        same_rows(first, n_stars=n_stars),
        tf.debugging.assert_non_negative(n_stars, "n_stars is negative"),
        tf.debugging.assert_less_equal(n_stars, n_max, "n_stars exceeds the row's length"),
    ]
    with tf.control_dependencies(checks):
        slot = pixels_and_slots(magnitudes, diagram, cuts)
    slot = tf.where(tf.range(n_max) < n_stars[:, None], slot, diagram.n_pixels + 2)
    counted = tf.raw_ops.DenseBincount(
        input=slot, size=diagram.n_pixels + _N_SLOTS, weights=tf.zeros([0], tf.int32), binary_output=False
    )
    return _counted(counted, diagram)


def clean_counts(counts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Counts with 0 in place of what is none, and how many pixels of each row that were.

    Parameters
    ----------
    counts : tf.Tensor of float32 [batch, n_mag, n_color]

    Returns
    -------
    counts : tf.Tensor of float32 [batch, n_mag, n_color]
    n_ignored : tf.Tensor of int32 [batch]
        Pixels that were NaN, infinite or negative.
    """
    good = (counts >= 0) & (counts < float("inf"))
    n_ignored = tf.reduce_sum(tf.cast(~good, tf.int32), axis=[1, 2])
    return tf.where(good, counts, 0.0), n_ignored


def same_rows(first: tf.Tensor, **others: tf.Tensor) -> tf.Operation:
    """An assertion that all tensors have as many rows as the first."""
    n = tf.shape(first)[0]
    return tf.group(
        *(
            tf.debugging.assert_equal(
                tf.shape(value)[0], n, f"{name} has another number of rows than the rest"
            )
            for name, value in others.items()
        )
    )


def _counted(slots, diagram):
    """Counts and what was left out.

    Returns
    -------
    dict of str to tf.Tensor
        counts [batch, n_y, n_x] float32, and of int32 [batch]: n_stars (in the diagram), n_outside (they
        count but lie outside it), n_ignored (no magnitude, or brighter than the survey's limit).
    """
    pixels = slots[:, : diagram.n_pixels]
    return {
        "counts": tf.cast(tf.reshape(pixels, [-1, *diagram.shape]), tf.float32),
        "n_stars": tf.reduce_sum(pixels, axis=1),
        "n_outside": slots[:, diagram.n_pixels],
        "n_ignored": slots[:, diagram.n_pixels + 1],
    }
