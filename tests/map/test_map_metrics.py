import json
import math

import numpy as np
import pytest

from extmap_tf.errors import ConfigError, DataError, MismatchError
from extmap_tf.grids import DistanceGrid, SightlineGrid
from extmap_tf.map.metrics import (
    compare_maps,
    errors_by_class,
    errors_by_stars,
    errors_by_total,
    format_table,
    profile_errors,
)

GRID = DistanceGrid(0.5, 10)


@pytest.fixture
def pair():
    rng = np.random.default_rng(2)
    truth = np.cumsum(rng.gamma(0.5, 0.2, (40, 10)), axis=1)
    return truth, truth + rng.normal(0.02, 0.1, truth.shape)


def test_errors_equal_their_definitions(pair):
    truth, estimate = pair
    rows = profile_errors(truth, estimate, GRID, (0.5, 2.0, 5.0))
    assert [row.distance_kpc for row in rows] == [0.5, 2.0, 5.0]
    for row, k in zip(rows, (0, 3, 9), strict=True):
        error = estimate[:, k] - truth[:, k]
        assert row.n == 40
        assert row.n_excluded == 0
        assert row.mean_absolute_error_mag == pytest.approx(np.abs(error).mean())
        assert row.bias_mag == pytest.approx(error.mean())
        assert row.rmse_mag == pytest.approx(math.sqrt((error**2).mean()))
        assert row.mean_truth_mag == pytest.approx(truth[:, k].mean())
        assert row.relative_error == pytest.approx(np.abs(error).mean() / truth[:, k].mean())


def test_between_edges_the_cumulative_is_linear(pair):
    truth, estimate = pair
    (row,) = profile_errors(truth, estimate, GRID, (1.25,))
    error = 0.5 * (estimate[:, 1] + estimate[:, 2]) - 0.5 * (truth[:, 1] + truth[:, 2])
    assert row.bias_mag == pytest.approx(error.mean())


def test_bias_has_the_sign_of_estimate_minus_truth(pair):
    truth, _ = pair
    assert profile_errors(truth, truth + 0.3, GRID, (2.0,))[0].bias_mag == pytest.approx(0.3)


def test_distances_beyond_the_grid_are_left_out(pair):
    assert [row.distance_kpc for row in profile_errors(*pair, GRID)] == [1.0, 2.0, 3.0, 5.0]


def test_nan_sightlines_are_counted_and_left_out(pair):
    truth, estimate = pair
    expected = profile_errors(truth[2:], estimate[2:], GRID, (3.0,))[0]
    truth[0, 9], estimate[1] = math.nan, math.nan
    row = profile_errors(truth, estimate, GRID, (3.0,))[0]
    assert (row.n, row.n_excluded) == (38, 2)
    assert row.rmse_mag == pytest.approx(expected.rmse_mag)


def test_nothing_left_is_nan_and_null_in_json(pair):
    truth, estimate = pair
    row = profile_errors(truth, estimate * math.nan, GRID, (3.0,))[0]
    assert row.n == 0
    assert json.loads(json.dumps(row.to_dict(), allow_nan=False))["rmse_mag"] is None
    assert "nan" in format_table([row])


def test_no_extinction_has_no_relative_error():
    row = profile_errors(np.zeros((3, 10)), np.full((3, 10), 0.1), GRID, (1.0,))[0]
    assert math.isnan(row.relative_error)
    assert row.mean_absolute_error_mag == pytest.approx(0.1)


def test_wrong_shapes_and_distances_are_refused(pair):
    truth, estimate = pair
    with pytest.raises(DataError, match=r"got: \(40, 10\) and \(40, 9\)"):
        profile_errors(truth, estimate[:, :9], GRID)
    with pytest.raises(ConfigError, match="above 0"):
        profile_errors(truth, estimate, GRID, (0.0, 1.0))
    with pytest.raises(DataError, match="40 sightlines, got: 3"):
        errors_by_stars(truth, estimate, GRID, [1, 2, 3])
    with pytest.raises(ConfigError, match="ascending"):
        errors_by_stars(truth, estimate, GRID, np.arange(40), edges=[3, 1])


def test_given_edges_make_the_classes(pair):
    truth, estimate = pair
    stars = np.arange(40)
    rows = errors_by_stars(truth, estimate, GRID, stars, edges=[0, 10, 39], distances_kpc=(2.0,))
    assert [row.group for row in rows] == ["stars 0 to 10", "stars 10 to 39"]
    assert [row.n for row in rows] == [10, 30]
    assert rows[0].bias_mag == pytest.approx((estimate[:10, 3] - truth[:10, 3]).mean())


def test_quantile_classes_hold_every_sightline_once(pair):
    rows = errors_by_total(*pair, GRID, n_classes=4, distances_kpc=(5.0,))
    assert [row.n for row in rows] == [10, 10, 10, 10]
    truths = [row.mean_truth_mag for row in rows]
    assert truths == sorted(truths)
    assert rows[0].group.startswith("A(Ks) ")
    assert rows[0].group.endswith(" mag")


def test_one_value_makes_one_class(pair):
    rows = errors_by_class(*pair, GRID, np.full(40, 7), "stars", distances_kpc=(2.0,))
    assert [row.n for row in rows] == [40]


def test_table_is_aligned_and_has_units(pair):
    lines = format_table(profile_errors(*pair, GRID)).splitlines()
    assert len(lines) == 2 + 4
    assert lines[1].split() == ["kpc", "mag", "mag", "mag", "mag", "%"]
    assert len({len(line) for line in lines[2:]}) == 1
    assert len(lines[0]) == len(lines[2])


def test_maps_are_compared_sightline_by_sightline(make_map):
    estimate, truth = make_map(seed=1), make_map(seed=2, kind="truth")
    found = compare_maps(estimate, truth, (0.5, 1.0))
    good = estimate.flag == 0
    error = (estimate.cumulative[good] - truth.cumulative[good])[:, 9]
    assert found.overall[1].bias_mag == pytest.approx(error.mean(), rel=1e-5)
    assert (found.overall[1].n, found.overall[1].n_excluded) == (33, 2)
    assert sum(row.n for row in found.by_total if row.distance_kpc == 1.0) == 33
    assert sum(row.n for row in found.by_stars if row.distance_kpc == 1.0) == 33
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"grid": SightlineGrid(257.0, 260.5, -1.0, 1.0, 0.5, 0.5)}, "l_max_deg = 260.0.*260.5"),
        ({"distance": DistanceGrid(0.2, 12)}, "step_kpc = 0.1.*0.2"),
        ({"band": "W1"}, "band = 'Ks'.*'W1'"),
    ],
)
def test_maps_of_different_grids_are_refused(make_map, other, words):
    with pytest.raises(MismatchError, match=words):
        compare_maps(make_map(), make_map(kind="truth", **other))
