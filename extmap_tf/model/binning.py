"""Stars to counts inside a TensorFlow graph, by the rule of `extmap_tf.grids.diagram`."""

import functools
from collections.abc import Mapping

import tensorflow as tf

from extmap_tf.grids.diagram import Diagram
from extmap_tf.settings.diagrams import PARALLAX
from extmap_tf.settings.survey import Cuts, SurveyView
from extmap_tf.surveys.limits import is_faint_enough, is_magnitude

# After the pixels of a diagram: stars outside it, stars that do not count, padding.
_N_SLOTS = 3


def pixels_and_slots(stars: Mapping[str, tf.Tensor], diagram: Diagram, cuts: Cuts) -> tf.Tensor:
    """Flat pixel of each star, or the slot of one that is not in the diagram.

    A magnitude counts if it is one (`extmap_tf.surveys.limits`) and not brighter than the
    survey's bright limit, a parallax if it is finite. The other cuts need errors and flags, which only the
    sender has.

    Parameters
    ----------
    stars : dict of str to tf.Tensor of float32 [...]
        Magnitudes by band, and ``parallax`` in mas where the survey has it.
    diagram : extmap_tf.grids.diagram.Diagram
    cuts : extmap_tf.settings.survey.Cuts

    Returns
    -------
    tf.Tensor of int32 [...]
        ``i_y * n_x + i_x``; n_pixels of a star outside the diagram, n_pixels + 1 of one that does not count.
    """
    counts = functools.reduce(tf.logical_and, (_counts(name, value, cuts) for name, value in stars.items()))
    y, x, inside = diagram.places_of(stars, stars.get(PARALLAX))
    inside &= counts
    # Casting what is no number, or too large a one, gives anything.
    i_y, i_x = (tf.cast(tf.where(inside, place, 0.0), tf.int32) for place in (y, x))
    pixel = i_y * diagram.x.n_pixels + i_x
    return tf.where(inside, pixel, tf.where(counts, diagram.n_pixels, diagram.n_pixels + 1))


def _counts(name, value, cuts):
    if name == PARALLAX:
        return tf.math.is_finite(value)
    return is_magnitude(value) & is_faint_enough(value, cuts)


def flat_stars_to_counts(
    stars: Mapping[str, tf.Tensor], row_splits: tf.Tensor, view: SurveyView
) -> dict[str, tf.Tensor]:
    """Counts of stars that stand one sightline after another.

    Parameters
    ----------
    stars : dict of str to tf.Tensor of float32 [n_stars]
        As of `pixels_and_slots`.
    row_splits : tf.Tensor of int64 [batch + 1]
        Sightline i has the stars ``row_splits[i]`` to ``row_splits[i + 1]``, the latter exclusive.
    view : extmap_tf.settings.survey.SurveyView

    Returns
    -------
    dict of str to tf.Tensor
        As `_counted`.
    """
    first, *others = stars.values()
    n = tf.shape(first, tf.int64)[0]
    differ = f"the magnitudes in {' and '.join(stars)} differ in length"
    checks = [
        *(tf.debugging.assert_equal(tf.shape(other, tf.int64)[0], n, differ) for other in others),
        tf.debugging.assert_greater(tf.size(row_splits), 0, "row_splits is empty: it starts with 0"),
        tf.debugging.assert_equal(row_splits[:1], tf.zeros_like(row_splits[:1]), "row_splits starts with 0"),
        tf.debugging.assert_equal(
            row_splits[-1:], tf.fill(tf.shape(row_splits[-1:]), n), "row_splits ends with the number of stars"
        ),
        tf.debugging.assert_non_negative(row_splits[1:] - row_splits[:-1], "row_splits does not fall"),
    ]

    def count(slot, size):
        return tf.raw_ops.RaggedBincount(
            splits=row_splits, values=slot, size=size, weights=tf.zeros([0], tf.int32)
        )

    with tf.control_dependencies(checks):
        return _counted(stars, view, count)


def padded_stars_to_counts(
    stars: Mapping[str, tf.Tensor], n_stars: tf.Tensor, view: SurveyView
) -> dict[str, tf.Tensor]:
    """Counts of stars in a rectangle, of which each row has its own number.

    Parameters
    ----------
    stars : dict of str to tf.Tensor of float32 [batch, n_max]
        As of `pixels_and_slots`. Whatever stands at `n_stars` and after is padding.
    n_stars : tf.Tensor of int64 [batch]
        0 to n_max.
    view : extmap_tf.settings.survey.SurveyView

    Returns
    -------
    dict of str to tf.Tensor
        As `_counted`.
    """
    first, *others = stars.values()
    n_max = tf.shape(first, tf.int64)[1]
    differ = f"the magnitudes in {' and '.join(stars)} differ in shape"
    checks = [
        *(tf.debugging.assert_equal(tf.shape(other), tf.shape(first), differ) for other in others),
        same_rows(stars=first, n_stars=n_stars),
        tf.debugging.assert_non_negative(n_stars, "n_stars is negative"),
        tf.debugging.assert_less_equal(n_stars, n_max, "n_stars exceeds the row's length"),
    ]

    def count(slot, size):
        slot = tf.where(tf.range(n_max) < n_stars[:, None], slot, size - 1)
        return tf.raw_ops.DenseBincount(
            input=slot, size=size, weights=tf.zeros([0], tf.int32), binary_output=False
        )

    with tf.control_dependencies(checks):
        return _counted(stars, view, count)


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


def same_rows(**values: tf.Tensor) -> tf.Operation:
    """An assertion that all tensors have as many rows as the first."""
    first, *others = values
    n = tf.shape(values[first])[0]
    return tf.group(
        *(
            tf.debugging.assert_equal(
                tf.shape(values[name])[0], n, f"{name} has another number of rows than the rest"
            )
            for name in others
        )
    )


def _counted(stars, view, count):
    """Counts and what was left out.

    Returns
    -------
    dict of str to tf.Tensor
        By the names of the diagrams the counts [batch, n_y, n_x] float32, and by the survey's names, int32
        [batch]: n_stars (in the first diagram), n_outside (they count but lie outside it), n_ignored (no
        magnitude, or brighter than the survey's limit).
    """
    found: dict[str, tf.Tensor] = {}
    for diagram in view.diagrams:
        n_pixels = diagram.n_pixels
        slots = count(pixels_and_slots(stars, diagram, view.survey.cuts), n_pixels + _N_SLOTS)
        pixels = slots[:, :n_pixels]
        if not found:
            found = {
                view.named("n_stars"): tf.reduce_sum(pixels, axis=1),
                view.named("n_outside"): slots[:, n_pixels],
                view.named("n_ignored"): slots[:, n_pixels + 1],
            }
        found[diagram.name] = tf.cast(tf.reshape(pixels, [-1, *diagram.shape]), tf.float32)
    return found
