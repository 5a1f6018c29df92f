import numpy as np
import pytest

from extmap_tf.evaluation.windows import crps_of_samples, window_scores


def drawn(n=600, n_samples=128, n_distances=40, seed=1, correlated=True):
    """Samples and truths of one distribution; or samples whose bins do not know of each other."""
    rng = np.random.default_rng(seed)
    level = rng.gamma(2.0, 1.0, (n, n_samples + 1, 1))
    profiles = level * rng.gamma(4.0, 0.25, (n, n_samples + 1, n_distances))
    samples, truth = profiles[:, 1:], profiles[:, 0]
    return (samples if correlated else rng.permuted(samples, axis=1)), truth


def test_honest_samples_cover_every_window():
    rows = window_scores(*drawn(), 0.1, lags_kpc=(0.2, 1.0, 4.0, 9.0))
    assert [row.lag_kpc for row in rows] == [0.2, 1.0, 4.0]
    for row in rows:
        assert row.coverage_68 == pytest.approx(0.68, abs=0.03)
        assert row.coverage_90 == pytest.approx(0.90, abs=0.03)
        assert row.mean_truth_mag == pytest.approx(2.0 * row.lag_kpc, rel=0.1)
        assert row.crps_mag < row.mean_absolute_error_mag


def test_few_honest_samples_cover_as_often_as_many():
    for row in window_scores(*drawn(n=4000, n_samples=32), 0.1, lags_kpc=(1.0,)):
        assert row.coverage_68 == pytest.approx(0.68, abs=0.012)
        assert row.coverage_90 == pytest.approx(0.90, abs=0.012)


def test_right_bins_that_do_not_hang_together_are_found_out():
    for row in window_scores(*drawn(correlated=False), 0.1, lags_kpc=(1.0, 4.0)):
        assert row.coverage_68 < 0.5


def test_windows_by_where_they_begin():
    samples, truth = drawn(n=20, n_samples=8)
    near, far = window_scores(samples, truth, 0.1, (1.0,), ((0.0, 1.0), (1.0, np.inf)))
    assert (near.from_kpc, near.to_kpc) == (0.0, 1.0)
    assert near.n == 20 * 2
    assert far.n == 20 * 5


def test_crps_of_a_standard_normal():
    rng = np.random.default_rng(1)
    samples, truth = rng.standard_normal((4000, 32)), rng.standard_normal(4000)
    assert crps_of_samples(samples, truth).mean() == pytest.approx(1 / np.sqrt(np.pi), abs=0.02)
    assert crps_of_samples(np.ones((1, 2)), np.zeros(1)) == pytest.approx([1.0])
