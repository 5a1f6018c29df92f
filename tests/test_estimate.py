import numpy as np
import pytest

from extmap_tf.errors import DataError
from extmap_tf.estimate import (
    AXES,
    DOUBT_FLAGS,
    EMPTY_FLAGS,
    PERCENTILES,
    SIGHTLINE_FLAGS,
    Flag,
    ProfileEstimate,
    is_reliable,
    reliable_distance_kpc,
)

STEP_KPC, N = 0.5, 4


def outputs(n=5, seed=0):
    """What a SavedModel gives of n sightlines."""
    density = np.random.default_rng(seed).gamma(1.0, 0.3, (n, N)).astype(np.float32)
    found = {"flag": np.arange(n, dtype=np.int32), "n_ignored": 0}
    for name, median in (("density", density), ("extinction", np.cumsum(density, axis=1) * STEP_KPC)):
        found |= {f"{name}_median": median, f"{name}_mean": 1.1 * median, f"{name}_std": 0.2 * median}
        found[f"{name}_percentiles"] = np.linspace(0.5, 1.5, len(PERCENTILES))[:, None] * median[:, None]
    return found


def test_outputs_of_a_model_become_an_estimate_and_others_are_left_out():
    estimate = ProfileEstimate.from_outputs(outputs())
    assert (estimate.shape, estimate.n_distances, estimate.n_samples) == ((5,), N, 0)
    assert estimate.has_spread
    assert estimate.arrays().keys() == AXES.keys() - {"samples", "odd_surveys", "extinction_common_std"}
    of_two = ProfileEstimate.from_outputs(outputs() | {"odd_surveys": np.arange(5) % 4})
    assert of_two[3:].odd_surveys.tolist() == [3, 0]
    at_50 = estimate.percentile("extinction", 50.0)
    np.testing.assert_allclose(at_50, estimate.extinction_median, rtol=1e-6)
    with pytest.raises(DataError, match=r"one of those of the estimate \(2.5, 5, .*\), got: 50.5"):
        estimate.percentile("extinction", 50.5)


def test_outputs_of_an_older_model_are_refused_with_what_to_run():
    old = outputs()
    old["outlier"] = old.pop("flag")
    with pytest.raises(DataError, match=r"without the output flag: export it again with 'extmap-tf export'"):
        ProfileEstimate.from_outputs(old)


def test_rows_can_be_picked_joined_and_reshaped():
    estimate = ProfileEstimate.from_outputs(outputs(6)).with_samples(np.ones((6, 3, N)), STEP_KPC)
    parts = [estimate[:2], estimate[[2, 3]], estimate[np.arange(6) > 3]]
    for name, array in ProfileEstimate.concatenate(parts).arrays().items():
        np.testing.assert_array_equal(array, getattr(estimate, name), err_msg=name)
    grid = estimate.reshaped(2, 3)
    assert grid.samples.shape == (2, 3, 3, N)
    np.testing.assert_array_equal(grid[1, 2].density_median, estimate[5].density_median)


def test_a_known_profile_has_no_spread():
    truth = ProfileEstimate.of_density(np.ones((2, N)), STEP_KPC)
    np.testing.assert_allclose(truth.extinction_median, [STEP_KPC * np.arange(1, N + 1)] * 2)
    assert not truth.has_spread
    assert (truth.flag == 0).all()
    with pytest.raises(DataError, match=r"\(none\)"):
        truth.percentile("density", 50.0)


def test_what_does_not_go_together_is_refused():
    whole = outputs()
    whole.pop("n_ignored")
    with pytest.raises(DataError, match=r"density_std must have the shape \(5, 4\) .*, got: \(5, 3\)"):
        ProfileEstimate(**whole | {"density_std": np.ones((5, 3))})
    with pytest.raises(DataError, match=r"flag must have the shape \(5,\)"):
        ProfileEstimate(**whole | {"flag": np.zeros(4, int)})
    whole.pop("density_std")
    with pytest.raises(DataError, match="lacks density_std"):
        ProfileEstimate(**whole)


def test_an_extinction_is_reliable_to_a_share_of_it_or_to_a_floor():
    p50 = np.array([0.01, 0.1, 0.5, 1.0, np.nan])
    for half, expected in (
        ([0.049, 0.049, 0.099, 0.199, 0.0], [True, True, True, True, False]),
        ([0.051, 0.051, 0.101, 0.201, 0.0], [False] * 5),
    ):
        half = np.array(half)
        assert is_reliable(p50 - half, p50, p50 + half).tolist() == expected
    estimate = ProfileEstimate.from_outputs(outputs())
    p16, p84 = (estimate.percentile("extinction", percent) for percent in (16.0, 84.0))
    np.testing.assert_array_equal(estimate.reliable, is_reliable(p16, estimate.extinction_median, p84))
    with pytest.raises(DataError, match="none"):
        _ = ProfileEstimate.of_density(np.ones((2, N)), STEP_KPC).reliable


@pytest.mark.parametrize(
    ("reliable", "expected"),
    [
        ("1111111111", 10.0),
        ("1111110000", 6.0),
        # A stretch that is not, no longer than a fifth of the way.
        ("1111011111", 10.0),
        ("1110011111", 10.0),
        ("1100001111", 2.0),
        # A late return.
        ("1100000001", 2.0),
        ("0111111111", 10.0),
        ("0011000000", 0.0),
        ("0000000000", 0.0),
    ],
)
def test_the_reliable_distance_is_reliable_there_and_most_of_the_way(reliable, expected):
    layer = np.array([bit == "1" for bit in reliable])
    assert reliable_distance_kpc(layer, np.arange(1.0, 11.0)) == expected


def test_numpy_and_the_graph_find_the_same_reliable_distance():
    tf = pytest.importorskip("tensorflow")
    rng = np.random.default_rng(1)
    p50 = np.cumsum(rng.gamma(0.5, 0.1, (500, 30)), axis=1).astype(np.float32)
    half = (p50 * rng.uniform(0.0, 0.24, p50.shape)).astype(np.float32)
    half[0] = np.nan
    outer = np.linspace(0.1, 3.0, 30).astype(np.float32)
    expected = reliable_distance_kpc(is_reliable(p50 - half, p50, p50 + half), outer)

    @tf.function
    def in_graph(*percentiles):
        return reliable_distance_kpc(is_reliable(*percentiles), outer, xp=tf.experimental.numpy)

    found = in_graph(*map(tf.constant, (p50 - half, p50, p50 + half)))
    assert found.dtype == tf.float32
    np.testing.assert_array_equal(found.numpy(), expected)
    assert expected[0] == 0.0
    assert len(np.unique(expected)) > 5


def test_every_flag_has_a_text_and_doubts_are_in_the_file():
    assert len({flag.meaning for flag in Flag}) == len(Flag)
    assert set(DOUBT_FLAGS) == set(SIGHTLINE_FLAGS) - set(EMPTY_FLAGS)
    assert Flag.LARGE_EXTINCTION in DOUBT_FLAGS
    assert Flag.UNRELIABLE not in SIGHTLINE_FLAGS
    # The layer of flags is of bytes.
    assert max(SIGHTLINE_FLAGS) < 256
