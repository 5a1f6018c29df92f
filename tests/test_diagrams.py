import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extmap_tf.catalogs.stars import StarBatch
from extmap_tf.diagrams import (
    FieldCounts,
    add_partial_counts,
    batch_to_slots,
    block_to_field_counts,
    count_stars,
    pack_partial_counts,
    pixel_of,
    slots_per_field,
    slots_to_partial_counts,
    unpack_partial_counts,
)
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.settings.config import Config

(VIEW,) = VIEWS = Config.named("carina").views
(DIAGRAM,) = VIEW.diagrams


def random_batch(n, seed=0):
    rng = np.random.default_rng(seed)
    red = rng.uniform(4, 17, n)
    l_deg, b_deg = rng.uniform(9, 13, n), rng.uniform(-2, 2, n)
    return StarBatch(l_deg, b_deg, {"J": red + rng.uniform(-1, 7, n), "Ks": red}, n)


def count(batch, sightlines):
    """The FieldCounts of every field, and the stars in none."""
    slots, elsewhere = batch_to_slots(batch, sightlines, VIEWS)
    n_fields = sightlines.n_sightlines
    ((block, partial),) = slots_to_partial_counts(slots, VIEWS, n_fields)
    assert block == 0
    return [counts for (counts,) in block_to_field_counts(partial, VIEWS, n_fields)], elsewhere


def test_binning_conserves_the_stars_inside():
    batch = random_batch(20_000)
    # Pixels begin 1e-4 of their width below their edges.
    color = batch.magnitudes["J"] - batch.magnitudes["Ks"] + 1e-4 * 0.1
    mag = batch.magnitudes["Ks"] + 1e-4 * 0.15
    inside = (color >= -0.5) & (color < 5.9) & (mag >= 5.6) & (mag < 15.2)
    counts = count_stars(batch.magnitudes, DIAGRAM)
    assert counts.shape == (64, 64)
    assert counts.sum() == inside.sum()
    expected, _, _ = np.histogram2d(mag, color, DIAGRAM.edges)
    np.testing.assert_array_equal(counts, expected)


@settings(max_examples=300, deadline=None)
@given(st.integers(4000, 17000), st.integers(-1000, 7000))
def test_catalog_magnitudes_fall_into_the_same_pixel_in_32_and_64_bits(red_mmag, color_mmag):
    red, blue = red_mmag / 1000, (red_mmag + color_mmag) / 1000
    in_64 = pixel_of({"J": np.float64([blue]), "Ks": np.float64([red])}, DIAGRAM)
    in_32 = pixel_of({"J": np.float32([blue]), "Ks": np.float32([red])}, DIAGRAM)
    # Integer arithmetic in millimagnitudes is exact: pixels are 150 mmag in Ks and 100 mmag in J - Ks.
    i_mag, i_color = (red_mmag - 5600) // 150, (color_mmag + 500) // 100
    exact = i_mag * 64 + i_color if 0 <= i_mag < 64 and 0 <= i_color < 64 else -1
    assert in_64[0] == in_32[0] == exact


def test_nan_magnitudes_are_in_no_pixel():
    magnitudes = {"J": [np.nan, 10.0, np.nan], "Ks": [10.0, np.nan, np.nan]}
    assert pixel_of(magnitudes, DIAGRAM).tolist() == [-1, -1, -1]


def test_partial_counts_of_batches_add_up_to_those_of_the_whole():
    grid = SightlineGrid(10, 12, -1, 1, 0.5, 0.7)
    whole = random_batch(6000)
    parts = []
    for part in (slice(0, 1000), slice(1000, 5999), slice(5999, None)):
        magnitudes = {band: mag[part] for band, mag in whole.magnitudes.items()}
        l_deg = whole.l_deg[part]
        parts.append(StarBatch(l_deg, whole.b_deg[part], magnitudes, n_rows=len(l_deg)))
    whole_fields, whole_elsewhere = count(whole, grid)
    gathered, elsewhere = {}, 0
    for part in parts:
        slots, n = batch_to_slots(part, grid, VIEWS)
        elsewhere += n
        for block, partial in slots_to_partial_counts(slots, VIEWS, 10):
            gathered.setdefault(block, []).append(partial)
    assert elsewhere == whole_elsewhere
    assert sorted(gathered) == [0, 1, 2]
    fields = []
    for block, partials in sorted(gathered.items()):
        n_fields = min(10, grid.n_sightlines - 10 * block)
        found = block_to_field_counts(add_partial_counts(partials), VIEWS, n_fields)
        fields += [counts for (counts,) in found]
    for field, expected in zip(fields, whole_fields, strict=True):
        np.testing.assert_array_equal(field.slots, expected.slots)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("n", [0, 1, 5000])
def test_partial_counts_are_the_same_unpacked(dtype, n):
    rng = np.random.default_rng(n)
    slots = np.sort(rng.choice(2**31 - 1, n, replace=False)).astype(dtype)
    slots[n // 2 :] += np.arange(n - n // 2, dtype=dtype) * (dtype is np.int64) * 2**20
    counts = rng.geometric(0.5, n).astype(np.int32)
    counts[: n // 9] = 2**31 - 1
    found = unpack_partial_counts(pack_partial_counts((slots, counts)))
    for array, expected in zip(found, (slots, counts), strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


def test_partial_counts_of_neighbouring_pixels_take_less_than_two_bytes_each():
    rng = np.random.default_rng(0)
    slots = np.cumsum(rng.geometric(0.1, 10_000)).astype(np.int32)
    assert len(pack_partial_counts((slots, rng.geometric(0.7, 10_000).astype(np.int32)))) < 20_000


def test_partial_counts_hold_blocks_of_very_many_slots():
    # As of fields with several diagrams of 1024 x 1024 pixels.
    fields_per_block = 2**20
    far = (fields_per_block - 1) * slots_per_field(VIEWS) + 7
    assert far > 2**31
    ((block, partial),) = slots_to_partial_counts(np.array([3, far, far]), VIEWS, fields_per_block)
    slots, counts = add_partial_counts([partial, partial])
    assert (block, slots.tolist(), counts.tolist()) == (0, [3, far], [2, 4])


def test_field_counts_are_the_cmd_of_the_fields_stars():
    grid = SightlineGrid(10, 12, -1, 1, 0.5, 0.5)
    batch = random_batch(6000)
    star, field = grid.fields_of(batch.l_deg, batch.b_deg)
    fields, elsewhere = count(batch, grid)
    assert elsewhere == batch.n_stars - np.unique(star).size
    for index, counts in enumerate(fields):
        mine = star[field == index]
        np.testing.assert_array_equal(
            counts.counts["counts"],
            count_stars({band: mag[mine] for band, mag in batch.magnitudes.items()}, DIAGRAM),
        )
        assert counts.n_stars + counts.n_outside == mine.size


@pytest.mark.parametrize(("share", "expected"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0)])
def test_coverage_is_the_share_of_the_field_with_stars(share, expected):
    grid = SightlineGrid(10, 10, 0, 0, 1, 0.6)
    l_deg = 10 + (np.arange(60) + 0.5) / 100 - 0.3
    l, b = np.meshgrid(l_deg[: int(60 * share)], np.arange(-0.295, 0.3, 0.01))
    n = l.size
    magnitudes = {"J": np.full(n, 12.0), "Ks": np.full(n, 11.0)}
    batch = StarBatch(l.ravel(), b.ravel(), magnitudes, n)
    slots, _ = batch_to_slots(batch, grid, VIEWS)
    partials = [partial for _, partial in slots_to_partial_counts(slots, VIEWS, 1)]
    ((counts,),) = block_to_field_counts(add_partial_counts(partials), VIEWS, 1)
    assert counts.coverage == expected
    assert counts.n_stars == n


def test_an_empty_field_counts_nothing():
    ((counts,),) = block_to_field_counts(add_partial_counts([]), VIEWS, 1)
    assert counts.slots.size == FieldCounts.n_slots(VIEW)
    assert (counts.n_stars, counts.n_outside, counts.coverage) == (0, 0, 0.0)


@pytest.mark.parametrize("n_stars", [12, 25, 60, 300])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_coverage_does_not_depend_on_the_number_of_stars(n_stars, share):
    rng = np.random.default_rng(n_stars)
    found = []
    for _ in range(300):
        slots = np.zeros(FieldCounts.n_slots(VIEW), np.int64)
        cells = rng.integers(int(36 * share), size=n_stars)
        np.add.at(slots, DIAGRAM.n_pixels + 1 + cells, 1)
        found.append(FieldCounts(VIEW, slots).coverage)
    assert np.median(found) == pytest.approx(share, abs=0.15)
    assert all(0 <= value <= 1 for value in found)
