import numpy as np
import pytest
import tensorflow as tf

from extmap_tf.catalogs.cuts import apply_cuts
from extmap_tf.diagrams import count_stars, pixel_of
from extmap_tf.model.binning import clean_counts, flat_stars_to_counts, padded_stars_to_counts
from extmap_tf.settings.config import Config

CONFIG = Config.named("carina")
DIAGRAM = CONFIG.diagrams[0]


def by_band(blue, red):
    return {"J": blue, "Ks": red}


def served(function, n_axes):
    """The function as a signature has it, with every length unknown; `n_axes` are those of the magnitudes."""
    stars, rows = tf.TensorSpec([None] * n_axes), tf.TensorSpec([None], tf.int64)

    def counts(blue, red, lengths):
        return function(by_band(blue, red), lengths, CONFIG.views[0])

    return tf.function(counts, input_signature=[stars, stars, rows])


flat, padded = served(flat_stars_to_counts, 1), served(padded_stars_to_counts, 2)


def random_stars(n, seed):
    rng = np.random.default_rng(seed)
    red = rng.uniform(3, 17, n)
    return (red + rng.uniform(-1, 7, n)).astype(np.float32), red.astype(np.float32)


def edge_stars():
    """Stars on the edges of pixels, where catalogs with three decimals often put them, and next to them."""
    y_edges, x_edges = DIAGRAM.edges
    red, color = (edges.ravel() for edges in np.meshgrid(y_edges, x_edges, indexing="ij"))
    shifts = np.array([0.0, 1e-3, -1e-3, 2e-5, -2e-5])
    red, color = (np.concatenate([value + shift for shift in shifts]) for value in (red, color))
    return np.round(red + color, 6).astype(np.float32), np.round(red, 6).astype(np.float32)


def odd_stars():
    bright = CONFIG.survey.cuts.bright_mag
    odd = [np.nan, np.inf, -np.inf, 99.999, -999.0, 1e30, bright, np.nextafter(bright, 0), 12.0]
    blue, red = np.meshgrid(odd, odd)
    return blue.ravel().astype(np.float32), red.ravel().astype(np.float32)


def expected_of(blue, red):
    no_error = np.zeros_like(blue)
    bands = tuple(band.name for band in CONFIG.survey.bands)
    magnitudes = by_band(blue, red)
    kept, _ = apply_cuts(CONFIG.survey.cuts, bands, magnitudes, dict.fromkeys(bands, no_error))
    counts = count_stars(by_band(blue[kept], red[kept]), DIAGRAM)
    n_stars = int(counts.sum())
    return counts, n_stars, int(kept.sum()) - n_stars, int((~kept).sum())


def assert_counted(found, row, blue, red):
    counts, *numbers = expected_of(blue, red)
    np.testing.assert_array_equal(found["counts"][row], counts)
    assert [int(found[name][row]) for name in ("n_stars", "n_outside", "n_ignored")] == numbers


SIGHTLINES = [random_stars(5000, 1), edge_stars(), odd_stars(), random_stars(0, 2), random_stars(300, 3)]


def test_flat_stars_are_counted_as_numpy_counts_them():
    blue, red = (np.concatenate(part) for part in zip(*SIGHTLINES, strict=True))
    splits = np.cumsum([0, *(len(blue) for blue, _ in SIGHTLINES)])
    found = flat(blue, red, splits)
    for row, stars in enumerate(SIGHTLINES):
        assert_counted(found, row, *stars)
    assert found["counts"].dtype == tf.float32


def test_stars_on_an_edge_fall_where_64_bit_arithmetic_puts_them():
    blue, red = edge_stars()
    found = flat(blue, red, [0, len(blue)])["counts"][0]
    stars = (np.round(mag.astype(float), 6) for mag in (blue, red))
    pixel = pixel_of(by_band(*stars), DIAGRAM)
    expected = np.bincount(pixel[pixel >= 0], minlength=DIAGRAM.n_pixels)
    np.testing.assert_array_equal(found, expected.reshape(DIAGRAM.shape))


@pytest.mark.parametrize("padding", [np.nan, 12.0])
def test_padded_stars_are_counted_whatever_the_padding(padding):
    n_stars = np.array([len(blue) for blue, _ in SIGHTLINES])
    blue, red = (np.full((len(SIGHTLINES), n_stars.max()), padding, np.float32) for _ in range(2))
    for row, stars in enumerate(SIGHTLINES):
        blue[row, : n_stars[row]], red[row, : n_stars[row]] = stars
    found = padded(blue, red, n_stars)
    for row, stars in enumerate(SIGHTLINES):
        assert_counted(found, row, *stars)


def test_no_sightlines_and_no_stars_have_counts_of_that_shape():
    assert flat(tf.zeros([0]), tf.zeros([0]), [0])["counts"].shape == (0, 64, 64)
    none = tf.zeros([0], tf.int64)
    assert padded(tf.zeros([0, 5]), tf.zeros([0, 5]), none)["counts"].shape == (0, 64, 64)
    assert padded(tf.zeros([2, 0]), tf.zeros([2, 0]), [0, 0])["n_stars"].numpy().tolist() == [0, 0]


@pytest.mark.parametrize(
    ("n_blue", "n_red", "splits", "message"),
    [
        (5, 4, [0, 5], "differ in length"),
        (5, 1, [0, 5], "differ in length"),
        (5, 5, [], "is empty"),
        (5, 5, [1, 5], "starts with 0"),
        (5, 5, [0, 4], "ends with the number of stars"),
        (5, 5, [0, 6, 2, 5], "does not fall"),
    ],
)
def test_splits_that_fit_no_stars_are_refused(n_blue, n_red, splits, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        flat(tf.fill([n_blue], 12.0), tf.fill([n_red], 12.0), tf.constant(splits, tf.int64))


@pytest.mark.parametrize(
    ("shape", "n_stars", "message"),
    [
        ((2, 4), [3, 3], "differ in shape"),
        ((2, 3), [3], "n_stars has another number of rows"),
        ((2, 3), [3, -1], "negative"),
        ((2, 3), [3, 4], "exceeds"),
    ],
)
def test_rows_that_fit_no_stars_are_refused(shape, n_stars, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        padded(tf.fill([2, 3], 12.0), tf.fill(shape, 12.0), n_stars)


def test_what_is_no_count_becomes_zero_and_is_told():
    counts = np.ones((3, 64, 64), np.float32)
    counts[1, 0, :4] = np.nan, -1.0, np.inf, -np.inf
    found, n_ignored = clean_counts(tf.constant(counts))
    assert n_ignored.numpy().tolist() == [0, 4, 0]
    np.testing.assert_array_equal(found[1, 0, :5], [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(found[2], counts[2])
