from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri

from extmap_tf.estimate import PERCENTILES, ProfileEstimate
from extmap_tf.figures.fits import fit_figure
from extmap_tf.fit.directfit import FittedCmds
from extmap_tf.settings.config import Config


@pytest.fixture(scope="module")
def case():
    config = Config.named("carina")
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
    profiles = ProfileEstimate(**spread, flag=0)
    fitted = FittedCmds(profiles, np.float32(0.5), np.float32(1.0), np.float32(1.0), expected)
    of = (config.diagrams[0], config.distance, config.survey.red.name)
    return of, rng.poisson(expected), fitted


def test_the_curve_is_the_median_from_zero_at_the_sun(case):
    of, counts, fitted = case
    figure = fit_figure(counts, fitted, *of, "one")
    axis = next(axis for axis in figure.axes if axis.get_ylabel() == "A(Ks) (mag)")
    (line,) = axis.lines
    np.testing.assert_allclose(line.get_ydata(), np.append(0.0, fitted.profiles.extinction_median))
    assert len(axis.collections) == 2


def test_truth_and_model_are_drawn_beside(case):
    of, counts, fitted = case
    density = fitted.profiles.density_median
    model = ProfileEstimate.of_density(density, 0.1)
    figure = fit_figure(counts, fitted, *of, "one", density, model)
    axis = next(axis for axis in figure.axes if axis.get_ylabel() == "A(Ks) (mag)")
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["direct fit", "model", "truth"]
    of_fit, of_model, of_truth = (line.get_ydata() for line in axis.lines)
    np.testing.assert_allclose(of_fit, of_model)
    # The truth is a density, and its column is drawn.
    np.testing.assert_allclose(of_truth, np.append(0.0, np.cumsum(density) * 0.1))
    axis = next(axis for axis in figure.axes if axis.get_ylabel() == "rise of A(Ks) (mag/kpc)")
    lines = [patch.get_data().values for patch in axis.patches if not patch.get_fill()]
    assert len(lines) == 3
    np.testing.assert_allclose(lines[-1], density)


def test_bright_stars_are_up_and_the_residual_is_observed_minus_fitted(case):
    of, counts, fitted = case
    figure = fit_figure(counts, fitted, *of, "one")
    axis = next(axis for axis in figure.axes if axis.get_title() == "observed − fitted")
    low, high = axis.get_ylim()
    assert low > high
    shown = axis.collections[0].get_array()
    assert shown[30, 10] == pytest.approx((counts[30, 10] - 3.0) / 2.0)
    assert shown.mask[0, 0]


def test_observed_and_fitted_share_a_scale_and_the_title_is_text(case):
    of, counts, fitted = case
    figure = fit_figure(counts, fitted, *of, "one $ two, 3 stars")
    panels = {axis.get_title(): axis.collections[0] for axis in figure.axes if axis.get_title()}
    observed, middle = panels["observed"], panels["fitted"]
    assert observed.norm is middle.norm
    np.testing.assert_array_equal(np.ma.filled(observed.get_array(), 0.0), counts)
    np.testing.assert_allclose(np.ma.filled(middle.get_array(), 0.0), fitted.expected)
    figure.draw_without_rendering()
    assert figure.get_suptitle() == "one $ two, 3 stars"


def test_an_empty_field_is_an_empty_diagram(case):
    of, counts, fitted = case
    zeros = {name: np.zeros_like(value) for name, value in fitted.profiles.arrays().items()}
    profiles = replace(fitted.profiles, **zeros)
    nothing = replace(fitted, profiles=profiles, expected=np.zeros_like(fitted.expected))
    figure = fit_figure(0 * counts, nothing, *of, "none")
    figure.draw_without_rendering()
    panels = {axis.get_title(): axis.collections[0] for axis in figure.axes if axis.get_title()}
    assert all(np.ma.getmaskarray(mesh.get_array()).all() for mesh in panels.values())
    axis = next(axis for axis in figure.axes if axis.get_ylabel() == "A(Ks) (mag)")
    assert not axis.lines[0].get_ydata().any()
    assert axis.get_ylim()[1] > 0
