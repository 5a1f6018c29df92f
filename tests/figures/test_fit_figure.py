import numpy as np
import pytest
from scipy.special import ndtri

from extmap_tf.estimate import PERCENTILES
from extmap_tf.figures.fits import fit_figure
from extmap_tf.figures.maps import save
from extmap_tf.settings.config import Config


@pytest.fixture(scope="module")
def case():
    config = Config.named("demo")
    rng = np.random.default_rng(1)
    expected = np.zeros(config.cmd.shape)
    expected[20:60, 8:20] = 3.0
    density = rng.gamma(1.0, 0.1, 100)
    factors = np.exp(0.3 * ndtri(np.array(PERCENTILES) / 100))[:, None]
    outputs = {
        "expected": expected,
        "density_median": density,
        "extinction_median": np.cumsum(density) * 0.1,
        "density_percentiles": density * factors,
        "extinction_percentiles": np.cumsum(density) * 0.1 * factors,
    }
    return config, rng.poisson(expected), outputs


def test_the_curve_is_the_median_from_zero_at_the_sun(case):
    config, counts, outputs = case
    figure = fit_figure(counts, outputs, config, "one")
    axis = next(axis for axis in figure.axes if axis.get_ylabel() == "A(Ks) (mag)")
    (line,) = axis.lines
    np.testing.assert_allclose(line.get_ydata(), np.append(0.0, outputs["extinction_median"]))
    assert len(axis.collections) == 2


def test_truth_and_model_are_drawn_beside(case, tmp_path):
    config, counts, outputs = case
    model = {name: outputs[name] for name in ("density_median", "extinction_median")}
    figure = fit_figure(counts, outputs, config, "one", outputs["density_median"], model)
    axis = next(axis for axis in figure.axes if axis.get_ylabel() == "A(Ks) (mag)")
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["direct fit", "model", "truth"]
    save(figure, tmp_path / "fit.png", dpi=40)


def test_bright_stars_are_up_and_the_residual_is_observed_minus_fitted(case):
    config, counts, outputs = case
    figure = fit_figure(counts, outputs, config, "one")
    axis = next(axis for axis in figure.axes if axis.get_title() == "observed − fitted")
    low, high = axis.get_ylim()
    assert low > high
    shown = axis.collections[0].get_array()
    assert shown[30, 10] == pytest.approx((counts[30, 10] - 3.0) / 2.0)
    assert shown.mask[0, 0]


def test_an_empty_field_can_be_drawn(case, tmp_path):
    config, counts, outputs = case
    nothing = {name: np.zeros_like(value) for name, value in outputs.items()}
    save(fit_figure(0 * counts, nothing, config, "none"), tmp_path / "fit.png", dpi=40)
