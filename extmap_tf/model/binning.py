"""Stars to counts inside a TensorFlow graph, by the rule of `extmap_tf.diagrams`."""

import tensorflow as tf

from extmap_tf.catalogs.cuts import BRIGHTEST_MAG, FAINTEST_MAG
from extmap_tf.grids.cmd import EDGE_TOLERANCE

# After the pixels of a CMD: stars outside it, stars that do not count, padding.
_N_SLOTS = 3


def pixels_and_slots(blue_mag, red_mag, config):
    """Flat pixel of each star, or the slot of one that is not in the CMD.

    A magnitude counts if it is a number between those of `extmap_tf.catalogs.cuts` and not brighter than the
    survey's bright limit. The other cuts need errors and flags, which only the sender has.

    Parameters
    ----------
    blue_mag, red_mag : tf.Tensor of float32 [...]
    config : extmap_tf.settings.config.Config

    Returns
    -------
    tf.Tensor of int32 [...]
        ``i_mag * n_color + i_color``; n_pixels of a star outside the CMD, n_pixels + 1 of one that does not
        count.
    """
    grid, bright_mag = config.cmd, config.survey.cuts.bright_mag
    # The same operations in the same order as `extmap_tf.diagrams.pixel_of`: equal to the last bit.
    color_scale = grid.n_color / (grid.color_max_mag - grid.color_min_mag)
    mag_scale = grid.n_mag / (grid.mag_max_mag - grid.mag_min_mag)
    color = (blue_mag - red_mag - grid.color_min_mag) * color_scale + EDGE_TOLERANCE
    mag = (red_mag - grid.mag_min_mag) * mag_scale + EDGE_TOLERANCE
    counts = tf.ones_like(blue_mag, tf.bool)
    for value in (blue_mag, red_mag):
        counts &= (value > BRIGHTEST_MAG) & (value < FAINTEST_MAG) & (value >= bright_mag)
    inside = counts & (color >= 0) & (color < grid.n_color) & (mag >= 0) & (mag < grid.n_mag)
    # Casting what is no number, or too large a one, gives anything.
    i_color, i_mag = (tf.cast(tf.where(inside, value, 0.0), tf.int32) for value in (color, mag))
    pixel = i_mag * grid.n_color + i_color
    return tf.where(inside, pixel, tf.where(counts, grid.n_pixels, grid.n_pixels + 1))


def flat_stars_to_counts(blue_mag, red_mag, row_splits, config):
    """Counts of stars that stand one sightline after another.

    Parameters
    ----------
    blue_mag, red_mag : tf.Tensor of float32 [n_stars]
    row_splits : tf.Tensor of int64 [batch + 1]
        Sightline i has the stars ``row_splits[i]`` to ``row_splits[i + 1]``, the latter exclusive.
    config : extmap_tf.settings.config.Config

    Returns
    -------
    dict of str to tf.Tensor
        As `_counted`.
    """
    n = tf.shape(blue_mag, tf.int64)[0]
    checks = [
        tf.debugging.assert_equal(tf.shape(red_mag, tf.int64)[0], n, "blue_mag and red_mag differ in length"),
        tf.debugging.assert_greater(tf.size(row_splits), 0, "row_splits is empty: it starts with 0"),
        tf.debugging.assert_equal(row_splits[:1], tf.zeros_like(row_splits[:1]), "row_splits starts with 0"),
        tf.debugging.assert_equal(
            row_splits[-1:], tf.fill(tf.shape(row_splits[-1:]), n), "row_splits ends with the number of stars"
        ),
        tf.debugging.assert_non_negative(row_splits[1:] - row_splits[:-1], "row_splits does not fall"),
    ]
    with tf.control_dependencies(checks):
        slot = pixels_and_slots(blue_mag, red_mag, config)
    counted = tf.raw_ops.RaggedBincount(
        splits=row_splits, values=slot, size=config.cmd.n_pixels + _N_SLOTS, weights=tf.zeros([0], tf.int32)
    )
    return _counted(counted, config.cmd)


def padded_stars_to_counts(blue_mag, red_mag, n_stars, config):
    """Counts of stars in a rectangle, of which each row has its own number.

    Parameters
    ----------
    blue_mag, red_mag : tf.Tensor of float32 [batch, n_max]
        Whatever stands at `n_stars` and after is padding.
    n_stars : tf.Tensor of int64 [batch]
        0 to n_max.
    config : extmap_tf.settings.config.Config

    Returns
    -------
    dict of str to tf.Tensor
        As `_counted`.
    """
    n_max = tf.shape(blue_mag, tf.int64)[1]
    checks = [
        tf.debugging.assert_equal(
            tf.shape(red_mag), tf.shape(blue_mag), "blue_mag and red_mag differ in shape"
        ),
        same_rows(blue_mag, n_stars=n_stars),
        tf.debugging.assert_non_negative(n_stars, "n_stars is negative"),
        tf.debugging.assert_less_equal(n_stars, n_max, "n_stars exceeds the row's length"),
    ]
    with tf.control_dependencies(checks):
        slot = pixels_and_slots(blue_mag, red_mag, config)
    slot = tf.where(tf.range(n_max) < n_stars[:, None], slot, config.cmd.n_pixels + 2)
    counted = tf.raw_ops.DenseBincount(
        input=slot, size=config.cmd.n_pixels + _N_SLOTS, weights=tf.zeros([0], tf.int32), binary_output=False
    )
    return _counted(counted, config.cmd)


def clean_counts(counts):
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


def same_rows(first, **others):
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


def _counted(slots, grid):
    """Counts and what was left out.

    Returns
    -------
    dict of str to tf.Tensor
        counts [batch, n_mag, n_color] float32, and of int32 [batch]: n_stars (in the CMD), n_outside (they
        count but lie outside the CMD), n_ignored (no magnitude, or brighter than the survey's limit).
    """
    pixels = slots[:, : grid.n_pixels]
    return {
        "counts": tf.cast(tf.reshape(pixels, [-1, *grid.shape]), tf.float32),
        "n_stars": tf.reduce_sum(pixels, axis=1),
        "n_outside": slots[:, grid.n_pixels],
        "n_ignored": slots[:, grid.n_pixels + 1],
    }
