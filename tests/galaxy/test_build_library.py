"""The parts of the library's script that need no stellar tracks."""

import numpy as np
import pytest

from extmap_tf.errors import DataError
from extmap_tf.galaxy.build_library import imf_integral
from extmap_tf.galaxy.populations import DISC_IMF
from extmap_tf.galaxy.stellar_colors import Colors
from extmap_tf.galaxy.stellar_tracks import CLUMP_LOG_L, cool_giants, mass_grid, samples, settle_clump


@pytest.fixture(scope="module")
def colors(shared_data):
    return Colors.read(shared_data)


def test_sun_has_its_magnitude_and_colour(colors):
    # Willmer 2018, ApJS 236, 47: M_Ks = 3.27, M_J - M_Ks = 0.40, M_H - M_Ks = 0.05 (2MASS, Vega).
    mag_ks, color = colors.magnitudes(np.array([0.0]), np.log10([5772.0]), np.array([1.0]), 0.0)
    assert mag_ks[0] == pytest.approx(3.27, abs=0.05)
    assert color["j_ks"][0] == pytest.approx(0.40, abs=0.05)
    assert color["h_ks"][0] == pytest.approx(0.05, abs=0.03)


@pytest.mark.parametrize("name", ["mist_9gyr_feh-0.32.iso.cmd", "mist_10gyr_feh-0.50.iso.cmd"])
def test_colours_at_a_temperature_are_those_of_the_isochrones(colors, shared_data, name):
    lines = (shared_data / "isochrones" / name).read_text().splitlines()
    names = next(line for line in lines if line.startswith("# EEP")).lstrip("# ").split()
    table = np.array([line.split() for line in lines if line.strip() and not line.startswith("#")], float)
    iso = dict(zip(names, table.T, strict=True))
    # Dwarfs and giants between 4000 and 6300 K; the K dwarfs of the two sources differ by up to 0.06.
    used = (iso["log_Teff"] > np.log10(4000)) & (iso["log_Teff"] < np.log10(6300)) & (iso["EEP"] > 350)
    feh = iso["[Fe/H]_init"][0]
    _, color = colors.magnitudes(iso["log_L"][used], iso["log_Teff"][used], iso["initial_mass"][used], feh)
    off = color["j_ks"] - (iso["2MASS_J"] - iso["2MASS_Ks"])[used]
    assert abs(np.median(off)) < 0.012
    assert np.abs(off).max() < 0.045


def test_metal_poor_dwarfs_of_one_temperature_are_redder_in_j_ks(colors):
    # Casagrande et al. 2010, table 4: X = 0.314 at 6000 K and [Fe/H] = 0, 0.338 at -1.
    log_l, log_t, mass = np.array([0.1]), np.log10([6000.0]), np.array([0.9])
    poor, solar = (colors.magnitudes(log_l, log_t, mass, feh)[1]["j_ks"][0] for feh in (-1.0, 0.0))
    assert poor - solar == pytest.approx(0.024, abs=0.002)


def test_giant_branch_cools_with_luminosity_and_metallicity(colors):
    log_l = np.linspace(0.8, 3.4, 27)
    temperatures = [colors.giant_log_t(log_l, 1.0, feh) for feh in (-1.0, -0.5, 0.0)]
    assert all((np.diff(log_t) < 0).all() for log_t in temperatures)
    assert (temperatures[0] > temperatures[1]).all()
    assert (temperatures[1] > temperatures[2]).all()


def test_imf_integral_matches_numerical_integration():
    m = np.geomspace(0.1, 20, 200001)
    density = np.where(m < 1, m**-1.6, m**-3.0)
    expected = np.trapezoid(density, m)
    assert imf_integral(DISC_IMF, np.array([0.1]), np.array([20.0]))[0] == pytest.approx(expected, rel=1e-6)
    edges = mass_grid()
    parts = imf_integral(DISC_IMF, edges[:-1], edges[1:])
    assert parts.sum() == pytest.approx(imf_integral(DISC_IMF, edges[:1], edges[-1:])[0])


def test_samples_cover_a_life_until_its_remnant(colors):
    steps = {
        "track": np.zeros(6, int),
        "age_gyr": np.array([0.0, 4.0, 8.0, 9.0, 10.0, 11.0]),
        "mass": np.array([1.0, 1.0, 1.0, 1.0, 0.9, 0.6]),
        "log_l": np.array([0.0, 0.1, 0.3, 0.8, 2.0, -3.0]),
        "log_t": np.log10([5800.0, 5900.0, 5700.0, 5000.0, 4200.0, 6000.0]),
        "kind": np.array([1, 1, 2, 3, 3, 11]),
    }
    point = samples(cool_giants(steps, 0.0, colors))
    assert (point["to_gyr"] - point["from_gyr"]).sum() == pytest.approx(11.0)
    # The step onto the remnant holds the giant's state; nothing is as faint as the remnant.
    assert point["log_l"].min() >= 0.0
    giant = point["from_gyr"] >= 10.0
    np.testing.assert_allclose(point["log_t"][giant], colors.giant_log_t(2.0, 0.9, 0.0))


def clump_steps(mass=1.0):
    """A track through giant branch, clump (10 steps), asymptotic branch (5) and remnant."""
    age = np.concatenate(
        [[0, 9, 9.9], 10 + np.linspace(0, 0.1, 10), 10.1 + np.linspace(0, 0.004, 5), [10.11]]
    )
    kind = np.array([1, 2, 3] + [4] * 10 + [5] * 5 + [11])
    log_l = np.concatenate([[0, 0.3, 2.5], np.linspace(1.73, 2.2, 10), np.linspace(2.2, 3.3, 5), [-2]])
    shape = np.zeros(age.size, int)
    return {
        "track": shape,
        "age_gyr": age,
        "mass": shape + mass,
        "log_l": log_l,
        "log_t": shape + 3.69,
        "kind": kind,
    }


def test_the_clump_stays_at_its_luminosity_and_the_branch_takes_its_time(colors):
    steps, settled = clump_steps(), settle_clump(clump_steps(), colors)
    clump, branch = steps["kind"] == 4, steps["kind"] == 5
    assert np.ptp(settled["log_l"][clump][:9]) < 0.12
    assert settled["log_l"][clump][1] == pytest.approx(1.73 + 0.1 * 0.47 + CLUMP_LOG_L, abs=0.02)
    assert np.ptp(settled["age_gyr"][branch]) == pytest.approx(0.0117)
    # The asymptotic branch's own clump, and its tip.
    assert np.median(settled["log_l"][branch]) == pytest.approx(2.3, abs=0.1)
    assert settled["log_l"][branch][-1] > 3.2
    assert (np.diff(settled["age_gyr"]) >= 0).all()
    for name in ("age_gyr", "log_l"):
        np.testing.assert_array_equal(settled[name][:3], steps[name][:3])


def test_massive_stars_keep_their_loops(colors):
    steps = clump_steps(mass=3.0)
    settled = settle_clump(steps, colors)
    np.testing.assert_array_equal(settled["log_l"], steps["log_l"])
    np.testing.assert_array_equal(settled["age_gyr"], steps["age_gyr"])


def test_missing_table_is_named(tmp_path):
    with pytest.raises(DataError, match=r"dwarfs_mamajek_2022.txt: cannot be read"):
        Colors.read(tmp_path)
