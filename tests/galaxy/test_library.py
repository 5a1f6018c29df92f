"""The stars of the library lie where observed stars and other models put them."""

from importlib import resources

import numpy as np
import pytest

from extmap_tf.errors import ConfigError
from extmap_tf.galaxy import besancon_components
from extmap_tf.galaxy.library import band_table, library, luminous_factor


@pytest.fixture(scope="module")
def pixels():
    """(library, M_Ks centres, J-Ks centres)."""
    source = library()
    centers = [0.5 * (edges[1:] + edges[:-1]) for edges in (source.mag_edges_mag, source.color_edges_mag)]
    return source, *centers


def mist_isochrone(path):
    """Columns of a MIST isochrone by name."""
    lines = path.read_text().splitlines()
    names = next(line for line in lines if line.startswith("# EEP")).lstrip("# ").split()
    table = np.array([line.split() for line in lines if line.strip() and not line.startswith("#")], float)
    return dict(zip(names, table.T, strict=True))


def mean_color(stars, mag, color, mag_center, width=0.2, color_range=(-1.0, 3.0)):
    """Mean J-Ks of the stars about one absolute magnitude."""
    box = stars[np.abs(mag - mag_center) < width]
    weight = box.sum(0) * ((color > color_range[0]) & (color < color_range[1]))
    return weight @ color / weight.sum()


def test_shipped_table_is_small():
    assert (resources.files("extmap_tf.galaxy") / "library.npz").stat().st_size < 500_000


def test_densities_are_finite_and_not_negative(pixels):
    stars = pixels[0].stars_per_msun
    assert np.isfinite(stars).all()
    assert (stars >= 0).all()
    assert (stars.sum((1, 2)) > 1).all()


def test_every_component_has_its_stars(pixels):
    assert {component.population for component in besancon_components()} <= set(pixels[0].names)


def clump_magnitude(stars, mag, color):
    """M_Ks where the giants of clump colour are most."""
    giants = stars[:, (color > 0.45) & (color < 0.8)].sum(axis=1)
    near = (mag > -2.6) & (mag < -0.6)
    return mag[near][giants[near].argmax()]


def test_red_clump_lies_where_it_is_observed(pixels):
    # The local clump: M_Ks = -1.613, J-Ks = 0.63 (Laney et al. 2012), -1.634 (Hall et al. 2019). Populations
    # differ by 0.1 mag with age, and the metal-poor are fainter by about as much (Girardi 2016, fig. 3).
    source, mag, color = pixels
    disc = [c for c in besancon_components() if c.name.startswith("thin")]
    local = sum(c.density_msun_pc3 * source.stars_per_msun[source.names.index(c.population)] for c in disc)
    assert clump_magnitude(local, mag, color) == pytest.approx(-1.62, abs=0.04)
    for name in ("thin4", "thin5", "thin6", "thin7", "thick"):
        stars = source.stars_per_msun[source.names.index(name)]
        assert clump_magnitude(stars, mag, color) == pytest.approx(-1.61, abs=0.15), name
        assert mean_color(stars, mag, color, -1.6, color_range=(0.45, 0.8)) == pytest.approx(
            0.63, abs=0.05
        ), name


def test_luminous_giants_are_as_many_as_the_isochrone_has(pixels, shared_data):
    # Per giant of 0 < M_Ks < 1. The mean of the age bin is 8.5 Gyr, the isochrone has 9.
    iso = mist_isochrone(shared_data / "isochrones" / "mist_9gyr_feh-0.32.iso.cmd")
    share = np.array([-5.5, -4.5, -3.5, -2.5, -1.0, 0.0, 1.0])
    fine = np.interp(np.arange(0, len(iso["EEP"]) - 1, 0.05), np.arange(len(iso["EEP"])), iso["2MASS_Ks"])
    mass = np.interp(np.arange(0, len(iso["EEP"]) - 1, 0.05), np.arange(len(iso["EEP"])), iso["initial_mass"])
    expected = np.histogram(fine[:-1], share, weights=np.diff(mass).clip(0))[0]
    source, mag, color = pixels
    stars = source.stars_per_msun[source.names.index("thin7")][:, color > 0.4].sum(axis=1)
    # What the discs have more of, star counts asked for.
    stars = stars / luminous_factor(mag)
    found = np.histogram(mag, share, weights=stars)[0]
    np.testing.assert_allclose(found[:-1] / found[-1], expected[:-1] / expected[-1], rtol=0.25)


def test_dwarfs_follow_the_observed_sequence(pixels, shared_data):
    path = shared_data / "colours" / "dwarfs_mamajek_2022.txt"
    rows = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    rows = [row for row in rows if len(row) == 32 and all(row[i].strip(".") for i in (19, 20, 22))]
    known_mag = np.array([float(row[22]) for row in rows])
    known_color = np.array([float(row[19]) + float(row[20]) for row in rows])
    order = np.argsort(known_mag)
    source, mag, color = pixels
    stars = source.stars_per_msun[source.names.index("thin3")]
    for mag_ks in (3.0, 4.0, 5.0, 6.0, 7.0, 8.0):
        expected = np.interp(mag_ks, known_mag[order], known_color[order])
        assert mean_color(stars, mag, color, mag_ks) == pytest.approx(expected, abs=0.05), mag_ks


def test_giant_branch_follows_the_isochrone_of_its_age_and_metallicity(pixels, shared_data):
    # [Fe/H] of the component is -0.37 with a spread, the isochrone's -0.32; the colours differ too.
    iso = mist_isochrone(shared_data / "isochrones" / "mist_9gyr_feh-0.32.iso.cmd")
    branch = (iso["EEP"] > 490) & (iso["EEP"] < 605)
    known_color = (iso["2MASS_J"] - iso["2MASS_Ks"])[branch]
    source, mag, color = pixels
    stars = source.stars_per_msun[source.names.index("thin7")]
    for mag_ks in (-5.0, -4.0, -0.5, 0.5):
        expected = np.interp(-mag_ks, -iso["2MASS_Ks"][branch], known_color)
        assert mean_color(stars, mag, color, mag_ks) == pytest.approx(expected, abs=0.08), mag_ks


def test_turnoff_of_an_old_population_agrees_with_the_isochrone(pixels, shared_data):
    iso = mist_isochrone(shared_data / "isochrones" / "mist_9gyr_feh-0.32.iso.cmd")
    main_sequence = (iso["EEP"] > 300) & (iso["EEP"] < 460)
    bluest = (iso["2MASS_J"] - iso["2MASS_Ks"])[main_sequence].min()
    source, mag, color = pixels
    stars = source.stars_per_msun[source.names.index("thin7")]
    colors = [mean_color(stars, mag, color, mag_ks) for mag_ks in np.arange(1.5, 4.0, 0.25)]
    assert min(colors) == pytest.approx(bluest, abs=0.05)


def test_local_number_of_bright_dwarfs_is_the_published_one(pixels):
    # The Besançon listing of 2003-12: stars per pc3 with M_V < 8, which for dwarfs is M_Ks < 4.9. The library
    # shares ages, IMF and mass densities with it but not the tracks.
    table = band_table("J", "Ks")
    limit = np.searchsorted(table.mag_edges_mag, 4.9)
    published = {"thin1": 0.003999, "thin2": 0.007902, "thin3": 0.006224, "thin4": 0.004020}
    published |= {"thin5": 0.005814, "thin6": 0.004928, "thin7": 0.006590}
    number = sum(rho * table.brighter[library().names.index(name), limit] for name, rho in published.items())
    assert number == pytest.approx(0.0154, rel=0.1)


def test_colour_is_the_difference_of_the_bands():
    j_ks, h_ks, j_h = (band_table(*bands) for bands in (("J", "Ks"), ("H", "Ks"), ("J", "H")))
    for i in range(len(library().names)):
        means = [
            np.diff(t.cumulative[i]) @ (t.color_mag[i] + 0.5 * t.color_step_mag) for t in (j_ks, h_ks, j_h)
        ]
        total = j_ks.cumulative[i][-1]
        assert means[0] == pytest.approx(means[1] + means[2], abs=0.03 * total)


def test_companions_add_light_and_keep_the_mass():
    single, double = band_table("J", "Ks", 0.0), band_table("J", "Ks", 1.0)
    for i in range(len(library().names)):
        # Fewer systems share the same mass, and each is at least as bright as its primary.
        assert double.cumulative[i][-1] == pytest.approx(single.cumulative[i][-1] / 1.55, rel=1e-6)
        share_single, share_double = (t.brighter[i] / t.brighter[i, -1] for t in (single, double))
        assert (share_double >= share_single - 1e-9).all()
        assert share_double.sum() > share_single.sum()


def test_equal_companions_are_three_quarters_of_a_magnitude_brighter_at_most():
    single, double = band_table("J", "Ks", 0.0), band_table("J", "Ks", 1.0)
    i = library().names.index("thin6")
    shift = round(0.8 / single.mag_step_mag)
    share_single, share_double = (t.brighter[i] / t.brighter[i, -1] for t in (single, double))
    assert (share_double[:-shift] <= share_single[shift:] + 1e-9).all()


@pytest.mark.parametrize("bands", [("J", "W1"), ("K", "J"), ("J", "J")])
def test_impossible_bands_are_refused(bands):
    with pytest.raises(ConfigError, match="got: "):
        band_table(*bands)


def test_pixels_are_found_as_a_bisection_finds_them():
    table = band_table("J", "Ks")
    rng = np.random.default_rng(1)
    for edges, find in zip(table.cumulative, table.finders, strict=True):
        total = edges[-1]
        x = np.concatenate([rng.random(10_000) * total, total * np.exp(-40 * rng.random(10_000)), [0, total]])
        bisected = np.minimum(np.searchsorted(edges, x, "right") - 1, len(edges) - 2)
        found = find(x)
        # Numbers that are equal to an edge in 32 bits may fall on either side.
        assert np.mean(found != bisected) < 1e-3
        assert (edges[found] <= x * (1 + 1e-6)).all()
        assert (x <= edges[found + 1] * (1 + 1e-6)).all()


def offsets_at(source, mag_ks, j_ks):
    """(G-Ks, BP-RP, temperature) of the pixel of a star."""
    row = np.searchsorted(source.mag_edges_mag, mag_ks) - 1
    column = np.searchsorted(source.color_edges_mag, j_ks) - 1
    g, bp, rp = (source.offset_mag[band][row, column] for band in ("G", "BP", "RP"))
    return g, bp - rp, 10 ** source.log_t[row, column]


@pytest.mark.parametrize(
    ("mag_ks", "j_ks", "g_ks", "bp_rp", "temperature_k"),
    [
        # The Sun (Willmer 2018), the red clump (Hall et al. 2019; Mucciarelli
        # et al. 2021 at 4800 K), and M4V and K5V of the dwarfs' table.
        (3.27, 0.37, 1.40, 0.82, 5772),
        (-1.61, 0.62, 2.10, 1.20, 4800),
        (7.36, 0.84, 3.85, 2.94, 3210),
        (4.40, 0.70, 2.44, 1.43, 4440),
    ],
)
def test_stars_have_the_gaia_colours_that_they_are_observed_with(
    pixels, mag_ks, j_ks, g_ks, bp_rp, temperature_k
):
    found = offsets_at(pixels[0], mag_ks, j_ks)
    assert found[0] == pytest.approx(g_ks, abs=0.1)
    assert found[1] == pytest.approx(bp_rp, abs=0.1)
    assert found[2] == pytest.approx(temperature_k, rel=0.03)


def test_every_pixel_with_stars_has_all_bands(pixels):
    source = pixels[0]
    used = source.stars_per_msun.any(axis=0)
    assert (10 ** source.log_t[used] > 2300).all()
    assert (10 ** source.log_t[used] < 50_000).all()
    # Hot stars are brightest in BP, cool ones in RP.
    bp_rp = (source.offset_mag["BP"] - source.offset_mag["RP"])[used]
    assert -0.6 < bp_rp.min() < -0.3
    assert bp_rp.max() < 6.0


def test_further_bands_leave_the_first_two_as_they_are():
    plain, more = band_table("J", "Ks"), band_table("J", "Ks", 0.0, ("H", "G", "BP", "RP"))
    for first, second in zip(plain.cumulative, more.cumulative, strict=True):
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(plain.brighter, more.brighter)
    assert {band: len(parts) for band, parts in more.offset_mag.items()} == dict.fromkeys(
        ("H", "G", "BP", "RP"), len(library().names)
    )


def test_pixels_are_in_the_order_in_which_a_deeper_band_reaches_them():
    table = band_table("J", "Ks", 0.0, ("G",), (("G", 3.0),))
    for population, brighter in enumerate(table.brighter):
        faintest = np.minimum(
            table.mag_mag[population], table.mag_mag[population] + table.offset_mag["G"][population] - 3.0
        )
        # Within the pixels' own size.
        assert (np.diff(faintest) > -2 * table.mag_step_mag).all()
        assert brighter[-1] == pytest.approx(table.cumulative[population][-1])


def test_unknown_and_doubled_bands_are_refused():
    with pytest.raises(ConfigError, match="bands must be of Ks, J, H, G, BP, RP, got: 'V'"):
        band_table("J", "Ks", 0.0, ("V",))
    with pytest.raises(ConfigError, match="bands must be different ones, got: 'Ks' twice"):
        band_table("J", "Ks", 0.0, ("Ks",))
