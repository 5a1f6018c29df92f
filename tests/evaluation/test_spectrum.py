import numpy as np
import pytest

from extmap_tf.evaluation.spectrum import spectrum


def waves(rng, n, wavelengths_kpc=(3.3, 0.33)):
    d = 0.1 * np.arange(100)
    phase = rng.uniform(0, 2 * np.pi, (*n, len(wavelengths_kpc), 1))
    return 1.0 + sum(
        0.3 * np.cos(2 * np.pi * d / length + phase[..., i, :]) for i, length in enumerate(wavelengths_kpc)
    )


def test_samples_like_the_truth_have_its_power_on_every_scale():
    rng = np.random.default_rng(1)
    rows = spectrum(waves(rng, (200, 16)), waves(rng, (200,)), 0.1)
    assert [row.longest_kpc for row in rows] == [10.0, 4.0, 2.0, 1.0, 0.5]
    for row in (rows[1], rows[4]):
        assert row.samples_over_truth == pytest.approx(1.0, abs=0.1)
        assert row.median_over_truth < 0.5
        assert abs(row.coherence) < 0.2


def test_a_smooth_estimate_lacks_the_small_scales():
    rng = np.random.default_rng(2)
    truth = waves(rng, (100,))
    smooth = np.apply_along_axis(np.convolve, 1, truth, np.ones(7) / 7, mode="same")
    rows = spectrum(np.repeat(smooth[:, None], 4, axis=1), truth, 0.1)
    assert rows[1].coherence > 0.95
    assert rows[1].median_over_truth > 0.7
    assert rows[4].median_over_truth < 0.1


def test_an_exact_estimate_is_coherent():
    truth = waves(np.random.default_rng(3), (50,))
    for row in spectrum(np.repeat(truth[:, None], 3, axis=1), truth, 0.1):
        assert row.coherence == pytest.approx(1.0)
        assert row.samples_over_truth == pytest.approx(1.0)
