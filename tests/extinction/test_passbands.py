"""Extinction in broad bands: against published polynomials of model atmospheres, and the passbands."""

import numpy as np
import pytest

from extmap_tf.errors import ConfigError
from extmap_tf.extinction.build_passbands import BANDS, nodes, read_passbands
from extmap_tf.extinction.law import a_over_av
from extmap_tf.extinction.passbands import BroadBands, broad_extinction, passband_nodes
from extmap_tf.settings.law import LawConfig

F19, G23 = LawConfig("F19"), LawConfig("G23")

# A / A0 in X = (BP-RP)0 and A = A0, for F19: terms 1, X, X^2, X^3, A, A^2, A^3, X A, X^2 A, X A^2 (fits of
# Gaia EDR3's documentation to model atmospheres, for stars above the main sequence).
POLYNOMIALS = {
    "G": (
        *(0.99672764, -0.16153291, 0.01218946, 0.00108655, -0.03784187, 0.00150219, -2.43559e-5),
        *(0.01194528, -0.00090041, -0.00028515),
    ),
    "BP": (
        *(1.1547751, -0.08601512, -0.03020712, 0.01404208, -0.02239683, 0.00082354, -1.20366e-5),
        *(0.00699684, -0.00049992, -0.00014869),
    ),
    "RP": (
        *(0.66259539, -0.01671216, -0.00144198, -0.00133749, -0.00655783, 3.36125e-5, 1.61357e-6),
        *(2.20749e-5, 0.00017845, 1.03362e-5),
    ),
}


def published(band, x, a):
    terms = (1, x, x**2, x**3, a, a**2, a**3, x * a, x**2 * a, x * a**2)
    return a * np.dot(POLYNOMIALS[band], terms)


@pytest.mark.parametrize("a0", [0.1, 1.0, 3.0, 10.0])
@pytest.mark.parametrize(
    ("temperature_k", "bp_rp", "within"),
    [
        *((10000, -0.06, 0.04), (8000, 0.21, 0.03), (6500, 0.60, 0.02), (5772, 0.82, 0.02)),
        *((5000, 1.09, 0.02), (4500, 1.37, 0.02), (4000, 1.75, 0.02), (3500, 2.30, 0.03)),
    ],
)
@pytest.mark.parametrize("band", list(POLYNOMIALS))
def test_extinction_is_that_of_model_atmospheres(band, temperature_k, bp_rp, within, a0):
    ours = broad_extinction(band, F19, 0.55, np.array(a0), np.array(temperature_k))
    assert ours == pytest.approx(published(band, bp_rp, a0), rel=within)


def test_a_red_star_and_one_behind_much_dust_lose_less_of_the_broadest_band():
    a_over_a0 = broad_extinction("G", G23, 0.55, np.array([0.1, 10.0])[:, None], np.array([3500.0, 10000.0]))
    a_over_a0 /= np.array([0.1, 10.0])[:, None]
    assert (a_over_a0[:, 0] < a_over_a0[:, 1]).all()
    assert (a_over_a0[1] < a_over_a0[0]).all()


@pytest.mark.parametrize("law", [F19, G23])
@pytest.mark.parametrize("band", list(BANDS))
def test_32_nodes_are_as_good_as_the_whole_passband(shared_data, band, law):
    table = read_passbands(shared_data)
    wavelength_um, photons = table[:, 0] * 1e-3, table[:, 0] * table[:, BANDS[band]]
    curve = a_over_av(law)
    k = np.array([curve(wavelength) for wavelength in wavelength_um]) / curve(0.55)
    for temperature in (6000.0, 20000.0):
        weight = photons / (wavelength_um**5 * np.expm1(14387.77 / (wavelength_um * temperature)))
        for a0 in (0.1, 5.0, 20.0):
            light = np.sum(weight * 10 ** (-0.4 * a0 * k)) / weight.sum()
            ours = broad_extinction(band, law, 0.55, np.array(a0), np.array(temperature))
            assert ours == pytest.approx(-2.5 * np.log10(light), abs=0.008)


def test_the_shipped_nodes_are_those_of_the_published_passbands(shared_data):
    table = read_passbands(shared_data)
    for band, column in BANDS.items():
        for shipped, made in zip(
            passband_nodes()[band], nodes(table[:, 0] * 1e-3, table[:, column]), strict=True
        ):
            np.testing.assert_allclose(shipped, made, atol=6e-6)


def test_the_tables_for_many_stars_agree_with_the_nodes():
    rng = np.random.default_rng(1)
    a_ks, log_t = rng.uniform(0, 3, 2000).astype(np.float32), rng.uniform(3.45, 4.5, 2000).astype(np.float32)
    fast = BroadBands(("G", "BP", "RP"), G23, 2.159)(a_ks, log_t)
    for band, a_mag in fast.items():
        exact = broad_extinction(band, G23, 2.159, a_ks, 10.0**log_t)
        assert a_mag.dtype == np.float32
        # The nearest temperature is within 0.6 %.
        np.testing.assert_allclose(a_mag, exact, rtol=0.01, atol=0.003)
    np.testing.assert_array_equal(
        BroadBands(("G",), G23, 2.159)(np.zeros(3, np.float32), log_t[:3])["G"], 0.0
    )


def test_no_star_has_less_than_the_least_extinction_and_some_have_hardly_more():
    bands = BroadBands(("G",), G23, 2.159)
    rng = np.random.default_rng(2)
    a_ks, log_t = rng.uniform(0, 12, 2000).astype(np.float32), rng.uniform(3.3, 4.7, 2000).astype(np.float32)
    least = bands.at_least("G", a_ks)
    assert (least <= bands(a_ks, log_t)["G"]).all()
    coolest = bands(a_ks, np.full(2000, 3.4, np.float32))["G"]
    np.testing.assert_allclose(least, coolest, atol=0.4)


def test_what_lies_outside_the_tables_stays_at_their_ends():
    bands = BroadBands(("G",), G23, 2.159)
    far = bands(np.array([10.0, 500.0], np.float32), np.array([3.0, 5.0], np.float32))["G"]
    assert np.isfinite(far).all()
    assert (far > 40.0).all()


def test_a_ratio_of_two_bands_says_nothing_of_a_broad_one():
    with pytest.raises(ConfigError, match="extinction in G needs a law of all wavelengths, such as G23"):
        broad_extinction("G", LawConfig("ratio", blue_over_red=2.6), 2.159, np.array(1.0), np.array(5000.0))
