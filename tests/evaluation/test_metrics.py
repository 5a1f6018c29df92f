import json
import math

import numpy as np
import pytest

from extmap_tf.errors import ConfigError, DataError, MismatchError
from extmap_tf.estimate import ProfileEstimate
from extmap_tf.evaluation.metrics import (
    compare_maps,
    evaluate,
    format_evaluation,
    write_json,
)
from extmap_tf.evaluation.profile_errors import classes_of, density_errors, format_table, profile_errors
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.squares import SightlineGrid

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
        classes_of(np.ones(40, bool), [1, 2, 3], "stars", "")
    with pytest.raises(ConfigError, match="ascending"):
        classes_of(np.ones(40, bool), np.arange(40), "stars", "", edges=[3, 1])


def test_given_edges_make_the_classes():
    everything = np.ones(40, bool)
    classes = dict(classes_of(everything, np.arange(40), "stars", "", edges=[0, 10, 39]))
    assert list(classes) == ["stars 0 to 10", "stars 10 to 39"]
    assert [np.flatnonzero(mask)[[0, -1]].tolist() for mask in classes.values()] == [[0, 9], [10, 39]]


def test_quantile_classes_hold_every_sightline_once(pair):
    total = pair[0][:, -1]
    classes = classes_of(np.ones(40, bool), total, "A(Ks)", "mag", n_classes=4)
    assert [mask.sum() for _, mask in classes] == [10, 10, 10, 10]
    means = [total[mask].mean() for _, mask in classes]
    assert means == sorted(means)
    assert all(name.startswith("A(Ks) ") and name.endswith(" mag") for name, _ in classes)


def test_one_value_makes_one_class():
    ((_, mask),) = classes_of(np.ones(40, bool), np.full(40, 7), "stars", "")
    assert mask.all()


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
    error = (estimate.extinction[good] - truth.extinction[good])[:, 9]
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


def test_density_errors_are_those_of_the_bins_in_each_range():
    rng = np.random.default_rng(3)
    truth, estimate = rng.gamma(0.5, 0.2, (2, 40, 10))
    rows = density_errors(truth, estimate, GRID)
    assert [(row.from_kpc, row.to_kpc) for row in rows] == [(0, 1), (1, 2), (2, 3), (3, 5)]
    error = (estimate - truth)[:, 6:10]
    assert rows[3].mean_absolute_error_mag_kpc == pytest.approx(np.abs(error).mean())
    assert rows[3].bias_mag_kpc == pytest.approx(error.mean())
    assert rows[3].relative_error == pytest.approx(np.abs(error).mean() / truth[:, 6:10].mean())
    truth[0, 9] = math.nan
    assert (density_errors(truth, estimate, GRID)[0].n, rows[0].n) == (39, 40)


def estimate_around(truth_density, rng):
    """An honest estimate: normal percentiles around a shifted truth."""
    levels = np.array([-1.96, -1.645, -0.9945, -0.6745, 0, 0.6745, 0.9945, 1.645, 1.96])[:, None]
    truth = np.cumsum(truth_density, axis=1) * 0.5
    median = truth + 0.1 * rng.standard_normal((len(truth), 1))
    density = truth_density + 0.05 * rng.standard_normal(truth.shape)
    return ProfileEstimate(
        extinction_median=median,
        extinction_mean=median,
        extinction_std=np.full(truth.shape, 0.1),
        extinction_percentiles=median[:, None] + 0.1 * levels,
        density_median=density,
        density_mean=density,
        density_std=np.full(truth.shape, 0.05),
        density_percentiles=density[:, None] + 0.05 * levels,
        flag=np.zeros(len(truth), int),
    )


def test_an_estimate_is_evaluated_with_their_calibration():
    rng = np.random.default_rng(4)
    truth_density = 1.0 + rng.gamma(0.5, 0.2, (3000, 10))
    estimate = estimate_around(truth_density, rng)
    truth = ProfileEstimate.of_density(truth_density, 0.5)
    found = evaluate(truth, estimate, rng.integers(100, 1000, 3000), GRID)
    groups = list(dict.fromkeys(r.group for r in [*found.overall, *found.by_total, *found.by_stars]))
    assert len(groups) == 7
    for rows in (found.density, found.calibration, found.density_calibration, found.reliability):
        assert list(dict.fromkeys(row.group for row in rows)) == groups
    assert [row.distance_kpc for row in found.calibration[:4]] == [1, 2, 3, 5]
    assert [row.distance_kpc for row in found.density_calibration[:4]] == [0.75, 1.75, 2.75, 4.75]
    for row in (*found.calibration[:4], *found.density_calibration[:4]):
        assert row.coverage_68 == pytest.approx(0.68, abs=0.03)
        assert row.coverage_90 == pytest.approx(0.90, abs=0.02)
    assert found.calibration[0].crps == pytest.approx(0.1 / math.sqrt(math.pi), rel=0.03)
    assert found.left_out == ()
    text = format_evaluation(found)
    for word in ("mean |error|", "in 68 %", "reliable distance", "mag/kpc"):
        assert word in text
    json.dumps(found.to_dict(), allow_nan=False)


def test_without_percentiles_the_calibration_is_left_out_and_said_so(pair):
    truth, estimate = (
        ProfileEstimate.of_density(np.diff(one, axis=1, prepend=0.0) / 0.5, 0.5) for one in pair
    )
    found = evaluate(truth, estimate, np.arange(40), GRID)
    assert found.calibration == []
    assert found.left_out == ("calibration and reliability: the estimate carries no percentiles",)
    assert "left out: calibration" in format_evaluation(found)
    assert found.to_dict()["left_out"]
    assert found.density[0].mean_truth_mag_kpc == pytest.approx(pair[0][:, 1].mean(), rel=1e-5)


def test_maps_are_searched_for_fingers(make_map, tmp_path):
    estimate, truth = make_map(seed=1), make_map(seed=2, kind="truth")
    found = compare_maps(estimate, truth)
    assert found.fingers.n_pairs == 30 + 28 - 2 - 4
    assert "fingers of God" in format_evaluation(found)
    write_json(found.to_dict(), tmp_path / "e.json")
    assert json.loads((tmp_path / "e.json").read_text())["fingers"]["n_pairs"] == 52


def test_percentiles_of_a_map_are_used(make_sure_map):
    estimate, truth = make_sure_map(seed=1), make_sure_map(seed=2)
    found = compare_maps(estimate, truth, (1.0,))
    level = list(estimate.percentiles).index(84.0)
    good = (estimate.has_profile & truth.has_profile).ravel()
    low, high = (
        estimate.extinction_percentiles[..., k, 9].ravel()[good]
        for k in (list(estimate.percentiles).index(16.0), level)
    )
    at = truth.extinction[..., 9].ravel()[good]
    assert found.calibration[0].coverage_68 == pytest.approx(((at >= low) & (at <= high)).mean())
    assert found.density_calibration[0].n == good.sum()
