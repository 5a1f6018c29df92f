import numpy as np
import pytest
from scipy.stats import norm

from extmap_tf.errors import DataError
from extmap_tf.estimate import PERCENTILES
from extmap_tf.evaluation.calibration import (
    calibration_of,
    crps_of_percentiles,
    format_calibration,
    format_reliability,
    reliability_of,
)

NORMAL = norm.ppf(np.array(PERCENTILES) / 100.0)


def gaussian_percentiles(n, loc=0.0, scale=1.0, n_columns=1):
    return np.broadcast_to((loc + scale * NORMAL)[:, None], (n, len(PERCENTILES), n_columns))


def gaussian_crps(y, loc=0.0, scale=1.0):
    """Gneiting & Raftery 2007, eq. 21."""
    z = (y - loc) / scale
    return scale * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))


@pytest.mark.parametrize(
    ("loc", "scale", "tolerance"), [(0, 1, 0.002), (0.5, 1, 0.002), (0, 0.3, 0.002), (0, 2, 0.015)]
)
def test_crps_of_a_gaussian_is_that_of_its_formula(loc, scale, tolerance):
    y = np.random.default_rng(1).standard_normal((100_000, 1))
    found = crps_of_percentiles(gaussian_percentiles(len(y), loc, scale), y).mean()
    assert found == pytest.approx(gaussian_crps(y, loc, scale).mean(), rel=tolerance)


def test_crps_of_percentiles_is_the_integral_of_its_definition():
    rng = np.random.default_rng(2)
    q = np.sort(rng.normal(size=(5, 3, 4)), axis=1)
    y = rng.normal(size=(5, 4))
    x = np.linspace(-8, 8, 160_001)
    found = crps_of_percentiles(q, y, (20.0, 50.0, 90.0))
    for i, k in np.ndindex(*y.shape):
        f = np.interp(x, q[i, :, k], [0.2, 0.5, 0.9], left=0.0, right=1.0)
        direct = ((f - (x >= y[i, k])) ** 2).sum() * (x[1] - x[0])
        assert found[i, k] == pytest.approx(direct, abs=5e-4)


def test_crps_of_one_value_is_the_absolute_error():
    q = np.full((2, 9, 3), 0.4)
    np.testing.assert_allclose(crps_of_percentiles(q, np.full((2, 3), 1.0)), 0.6)


def test_honest_intervals_cover_what_they_say():
    y = np.random.default_rng(4).standard_normal((20_000, 2))
    rows = calibration_of(y, gaussian_percentiles(len(y), n_columns=2), (1.0, 2.0))
    assert [row.distance_kpc for row in rows] == [1.0, 2.0]
    for row in rows:
        found = [row.coverage_50, row.coverage_68, row.coverage_90, row.coverage_95]
        np.testing.assert_allclose(found, [0.5, 0.68, 0.9, 0.95], atol=0.015)
        np.testing.assert_allclose(row.ranks, np.diff([0, *PERCENTILES, 100]) / 100, atol=0.01)
        assert row.half_width_68 == pytest.approx(norm.ppf(0.84))
        assert row.crps == pytest.approx(1 / np.sqrt(np.pi), rel=0.02)


def test_too_narrow_intervals_cover_less_and_put_truths_in_the_tails():
    y = np.random.default_rng(5).standard_normal((5000, 1))
    (row,) = calibration_of(y, gaussian_percentiles(len(y), scale=0.5), (1.0,))
    assert row.coverage_68 == pytest.approx(2 * norm.cdf(0.5 * norm.ppf(0.84)) - 1, abs=0.02)
    assert row.ranks[0] > 0.12
    assert row.ranks[-1] > 0.12


def test_a_sightline_with_nan_is_left_out():
    y = np.array([[0.0], [np.nan], [0.1]])
    q = gaussian_percentiles(3).copy()
    q[2, 4] = np.nan
    (row,) = calibration_of(y, q, (1.0,))
    assert (row.n, row.n_excluded, row.coverage_50) == (1, 2, 1.0)
    (row,) = calibration_of(y * np.nan, q, (1.0,))
    assert row.n == 0
    assert row.to_dict()["crps"] is None
    assert row.to_dict()["ranks"] == [None] * 10


def test_intervals_without_their_percentiles_are_nan():
    y = np.zeros((3, 1))
    (row,) = calibration_of(
        y, np.broadcast_to([[-1.0], [0.0], [1.0]], (3, 3, 1)), (1.0,), levels=(16, 50, 84)
    )
    assert row.coverage_68 == 1.0
    assert np.isnan(row.coverage_90)


@pytest.mark.parametrize(
    ("q", "levels", "words"),
    [
        (np.zeros((4, 8, 1)), PERCENTILES, r"got: \(4, 8, 1\) and \(4, 1\)"),
        (np.zeros((4, 2, 1)), (84.0, 16.0), "ascend between 0 and 100"),
        (np.broadcast_to([[1.0], [0.0]], (4, 2, 1)), (16.0, 84.0), "must not fall"),
    ],
)
def test_impossible_percentiles_are_refused(q, levels, words):
    with pytest.raises(DataError, match=words):
        crps_of_percentiles(q, np.zeros((4, 1)), levels)


def test_reliability_compares_errors_of_what_is_reliable_with_those_of_the_rest():
    outer = np.array([1.0, 2.0])
    q = np.zeros((2, 9, 2))
    q[:, 6, 1] = 0.5  # unsure at 2 kpc
    truth = np.array([[0.01, 0.3], [0.08, 0.5]])
    found = reliability_of(truth, q, outer)
    assert found.quartiles_kpc == (1.0, 1.0, 1.0)
    assert (found.reliable_share, found.kept_share) == (0.5, 0.5)
    assert found.mean_absolute_error_reliable_mag == pytest.approx(0.045)
    assert found.mean_absolute_error_unreliable_mag == pytest.approx(0.4)
    assert "1.0" in format_reliability([found])
    with pytest.raises(DataError, match="16, 50 and 84"):
        reliability_of(truth, q[:, :2], outer, levels=(5.0, 95.0))


def test_table_has_the_unit_of_its_quantity():
    q = gaussian_percentiles(10)
    for quantity, unit in (("extinction", "mag"), ("density", "mag/kpc")):
        lines = format_calibration(calibration_of(np.zeros((10, 1)), q, (1.0,), quantity)).splitlines()
        assert lines[0].startswith(quantity)
        assert lines[1].split()[-2:] == [unit, unit]
        assert len(lines) == 3
