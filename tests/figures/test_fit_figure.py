from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri

from extmap_tf.estimate import PERCENTILES, ProfileEstimate
from extmap_tf.figures.fits import fit_figure
from extmap_tf.figures.maps import save
from extmap_tf.fit.directfit import FittedCmds
from extmap_tf.settings.config import Config


@pytest.fixture(scope="module")
def case():
    config = Config.named("demo")
    rng = np.random.default_rng(1)
    expected = np.zeros(config.diagrams[0].shape)
    expected[20:60, 8:20] = 3.0
    density = rng.gamma(1.0, 0.1, 100)
    factors = np.exp(0.3 * ndtri(np.array(PERCENTILES) / 100))[:, None]
    extinction = np.cumsum(density) * 0.1
    spread = {}
    for name, median in (("extinction", extinction), ("density", density)):
        spread |= {f"{name}_median": median, f"{name}_mean": median, f"{name}_std": 0.3 * median}
        spread[f"{name}_percentiles"] = median * factors
    profiles = ProfileEstimate(**spread, flag=0, reliable_distance_kpc=1.0)
    fitted = FittedCmds(profiles, np.float32(0.5), np.float32(1.0), np.float32(1.0), expected)
    return config, rng.poisson(expected), fitted


def test_the_curve_is_the_median_from_zero_at_the_sun(case):
    config, counts, fitted = case
    figure = fit_figure(counts, fitted, config, "one")
    axis = next(axis for axis in figure.axes if axis.get_ylabel() == "A(Ks) (mag)")
    (line,) = axis.lines
    np.testing.assert_allclose(line.get_ydata(), np.append(0.0, fitted.profiles.extinction_median))
    assert len(axis.collections) == 2


def test_truth_and_model_are_drawn_beside(case, tmp_path):
    config, counts, fitted = case
    density = fitted.profiles.density_median
    model = ProfileEstimate.of_density(density, 0.1)
    figure = fit_figure(counts, fitted, config, "one", density, model)
    axis = next(axis for axis in figure.axes if axis.get_ylabel() == "A(Ks) (mag)")
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["direct fit", "model", "truth"]
    save(figure, tmp_path / "fit.png", dpi=40)


def test_bright_stars_are_up_and_the_residual_is_observed_minus_fitted(case):
    config, counts, fitted = case
    figure = fit_figure(counts, fitted, config, "one")
    axis = next(axis for axis in figure.axes if axis.get_title() == "observed − fitted")
    low, high = axis.get_ylim()
    assert low > high
    shown = axis.collections[0].get_array()
    assert shown[30, 10] == pytest.approx((counts[30, 10] - 3.0) / 2.0)
    assert shown.mask[0, 0]


def test_an_empty_field_can_be_drawn(case, tmp_path):
    config, counts, fitted = case
    zeros = {name: np.zeros_like(value) for name, value in fitted.profiles.arrays().items()}
    empty = replace(
        fitted, profiles=replace(fitted.profiles, **zeros), expected=np.zeros_like(fitted.expected)
    )
    save(fit_figure(0 * counts, empty, config, "none"), tmp_path / "fit.png", dpi=40)
