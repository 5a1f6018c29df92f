"""Counting and drawing stars."""

import dataclasses
import hashlib
import pickle
from importlib import resources

import numpy as np
import pytest

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.galaxy import Galaxy, besancon_components
from extmap_tf.galaxy.library import band_table, library
from extmap_tf.galaxy.populations import POPULATIONS
from extmap_tf.settings.config import Config


def draw(galaxy=None, l_deg=280.0, b_deg=-2.0, area_deg2=1.0, limit_mag=14.0, seed=1, **more):
    return (galaxy or Galaxy()).draw(l_deg, b_deg, area_deg2, limit_mag, np.random.default_rng(seed), **more)


def columns_of(catalog):
    return [catalog.distance_kpc, *catalog.magnitudes.values()]


def color_of(catalog):
    blue, red = catalog.magnitudes.values()
    return blue - red


def test_same_seed_gives_the_same_stars():
    first, second, other = draw(seed=1), draw(seed=1), draw(seed=2)
    for column, again in zip(columns_of(first), columns_of(second), strict=True):
        np.testing.assert_array_equal(column, again)
    assert other.n_stars != first.n_stars or (other.reference_mag != first.reference_mag).any()


def test_catalog_states_what_was_drawn():
    catalog = draw()
    assert (catalog.l_deg, catalog.b_deg, catalog.area_deg2) == (280.0, -2.0, 1.0)
    assert tuple(catalog.magnitudes) == ("J", "Ks")
    for column in columns_of(catalog):
        assert column.dtype == np.float32
        assert column.shape == (catalog.n_stars,)
        assert np.isfinite(column).all()
    assert (catalog.distance_kpc > 0).all()
    assert catalog.reference_mag.max() < 14.0


@pytest.mark.parametrize(("l_deg", "b_deg"), [(280, -2), (0, 0), (180, 60), (75.5, 90), (359.9, -90)])
def test_number_drawn_is_the_number_expected(l_deg, b_deg):
    galaxy = Galaxy()
    limits = np.array([10.0, 12.0, 13.5, 14.03])
    area = 5e4 / galaxy.expected_counts(l_deg, b_deg, 14.03).sum()
    catalog = draw(galaxy, l_deg, b_deg, area, 14.03)
    expected = galaxy.expected_counts(l_deg, b_deg, limits).sum(0) * area
    drawn = [(catalog.reference_mag < limit).sum() for limit in limits]
    # 5 standard deviations of a Poisson number, and 0.5 % for the cells' width.
    assert (np.abs(drawn - expected) < 5 * np.sqrt(expected) + 0.005 * expected).all()


def test_number_of_stars_is_poisson_distributed():
    galaxy = Galaxy()
    numbers = [draw(galaxy, area_deg2=0.005, limit_mag=12.0, seed=seed).n_stars for seed in range(400)]
    # The ratio of variance to mean of 400 Poisson numbers is 1 with standard deviation sqrt(2 / 400) = 0.07.
    assert np.var(numbers) / np.mean(numbers) == pytest.approx(1.0, abs=0.28)


def test_distances_follow_the_density():
    galaxy = Galaxy()
    catalog = draw(galaxy, area_deg2=4.0, limit_mag=15.0)
    # The same limit at every distance: stars brighter than M_Ks = 0 are complete within 10 kpc.
    edges = np.arange(1.0, 10.0, 0.5)
    modulus = 5 * np.log10(catalog.distance_kpc) + 10
    counts, _ = np.histogram(catalog.distance_kpc[catalog.reference_mag - modulus < 0], edges)
    fine = np.linspace(1.0, 9.5, 1701)
    middle = 0.5 * (fine[1:] + fine[:-1])
    table = band_table("J", "Ks")
    giants = [np.interp(0.0, table.mag_edges_mag, row) for row in table.brighter]
    per_msun = np.array([giants[library().names.index(c.population)] for c in galaxy.components])
    per_kpc = per_msun @ galaxy.mass_density(280.0, -2.0, middle) * middle**2
    expected = np.histogram(middle, edges, weights=per_kpc)[0]
    expected *= counts.sum() / expected.sum()
    assert ((counts - expected) ** 2 / expected).mean() < 2.0


def test_distances_and_magnitudes_show_no_grid():
    catalog = draw(area_deg2=20.0, limit_mag=14.5)
    # Finer than any cell of the model; a comb would leave some bins empty and fill others.
    for values in (
        catalog.reference_mag[(catalog.reference_mag > 13) & (catalog.reference_mag < 14)],
        catalog.distance_kpc[(catalog.distance_kpc > 3) & (catalog.distance_kpc < 4)],
    ):
        counts, edges = np.histogram(values, 400)
        middle = 0.5 * (edges[1:] + edges[:-1])
        smooth = np.polyval(np.polyfit(middle - middle.mean(), counts, 3), middle - middle.mean())
        assert ((counts - smooth) ** 2 / smooth).mean() == pytest.approx(1.0, abs=0.35)


def test_any_slice_is_a_fair_sample():
    catalog = draw(area_deg2=2.0)
    half = catalog.n_stars // 2
    for column in (catalog.distance_kpc, catalog.reference_mag, color_of(catalog)):
        error = column.std() * np.sqrt(4 / catalog.n_stars)
        assert abs(column[:half].mean() - column[half:].mean()) < 5 * error


def test_red_clump_is_seen_at_its_distance():
    catalog = draw(l_deg=280, b_deg=0, area_deg2=4.0, limit_mag=13.0)
    modulus = 5 * np.log10(catalog.distance_kpc) + 10
    mag_ks, color = catalog.reference_mag - modulus, color_of(catalog)
    giants = mag_ks[(color > 0.5) & (color < 0.75) & (mag_ks < 0)]
    counts, edges = np.histogram(giants, np.arange(-3.0, 0.01, 0.1))
    assert edges[counts.argmax()] + 0.05 == pytest.approx(-1.61, abs=0.1)


def test_other_bands_give_their_own_limit_and_colour():
    ks, h = draw(area_deg2=2.0), draw(area_deg2=2.0, bands=("J", "H"))
    assert h.reference_mag.max() < 14
    assert h.n_stars < ks.n_stars
    assert 0.1 < np.median(color_of(h)) < np.median(color_of(ks))


def test_star_counts_agree_with_the_besancon_model(shared_data):
    # The whole check is tests/benchmarks/galaxy_counts.py. Theirs are drawn numbers, hence the noise term.
    table = np.loadtxt(shared_data / "besancon" / "k_counts_av0.txt", skiprows=1)
    limits = np.arange(11, 17)
    galaxy = Galaxy()
    places = {(l, b): 0.15 for l in (240, 270, 310) for b in (-8, -2, 4)}
    places |= {(90, 20): 0.25, (180, -40): 0.25, (0, 80): 0.25, (50, 6): 0.25}
    for (l, b), tolerance in places.items():
        theirs = table[(table[:, 0] == l) & (table[:, 1] == b)][0, limits - 1]
        ratio = galaxy.expected_counts(l, b, limits).sum(0) / theirs
        assert (np.abs(ratio - 1) < tolerance + 2 / np.sqrt(theirs)).all(), (l, b, ratio.round(2))


def test_binaries_brighten_systems():
    single, double = Galaxy(), Galaxy(binary_fraction=0.5)
    assert draw(double).n_stars != draw(single).n_stars
    # Near the main sequence, a share of the stars moves up: fewer faint systems for each bright one.
    ratio = [g.expected_counts(280, 20, [14.0]).sum() for g in (single, double)]
    assert 0.75 < ratio[1] / ratio[0] < 1.05


def test_spiral_arm_adds_young_stars_at_its_tangent():
    smooth, arms = Galaxy(), Galaxy(components=besancon_components(spiral_arms=True))
    distance = np.linspace(0.01, 12, 1200)
    excess = arms.mass_density(283, 0, distance)[0] / smooth.mass_density(283, 0, distance)[0]
    assert 3.0 < distance[excess.argmax()] < 5.0
    np.testing.assert_array_equal(
        arms.mass_density(283, 0, distance)[1:], smooth.mass_density(283, 0, distance)[1:]
    )


def test_stars_reach_beyond_25_kpc():
    catalog = draw(l_deg=90, b_deg=45, area_deg2=50.0, limit_mag=16.0)
    assert catalog.distance_kpc.max() > 25


def test_galaxy_survives_pickling():
    galaxy = Galaxy(binary_fraction=0.3)
    copy = pickle.loads(pickle.dumps(galaxy))
    assert copy == galaxy
    np.testing.assert_array_equal(draw(copy).reference_mag, draw(galaxy).reference_mag)


def test_galaxy_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Galaxy().binary_fraction = 0.1


def test_field_too_bright_for_any_star_is_empty():
    assert draw(limit_mag=-20.0).n_stars == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"l_deg": np.nan},
        {"b_deg": 90.1},
        {"b_deg": np.nan},
        {"area_deg2": 0.0},
        {"area_deg2": np.inf},
        {"limit_mag": np.nan},
    ],
)
def test_impossible_field_is_refused(wrong):
    with pytest.raises(DataError, match=f"{next(iter(wrong))} .*got: "):
        draw(**wrong)


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigError, match=r"bands .*got: "):
        draw(bands=("J",))
    with pytest.raises(ConfigError, match=r"bands .*got: 'K'"):
        draw(bands=("J", "K"))
    with pytest.raises(ConfigError, match=r"binary_fraction .*got: 1.5"):
        Galaxy(binary_fraction=1.5)
    with pytest.raises(ConfigError, match=r"components .*got: "):
        Galaxy(components=())
    component = besancon_components()[0]
    with pytest.raises(ConfigError, match=r"population .*got: 'dwarf'"):
        dataclasses.replace(component, population="dwarf")
    with pytest.raises(ConfigError, match=r"density_msun_pc3 .*got: -1"):
        dataclasses.replace(component, density_msun_pc3=-1)


def test_high_latitude_field_resembles_trilegal(shared_data):
    # Another model altogether (Girardi et al. 2005). Its M dwarfs are bluer than the observed sequence by
    # 0.08 mag, so only the blue edge of the diagram, the turn-off of the old stars, is compared.
    table = np.genfromtxt(shared_data / "trilegal" / "starfield.csv", delimiter=",", names=True)
    red, color = table["Ks_mag"] - 0.01, table["J_mag"] - table["Ks_mag"] - 0.02
    ours = draw(l_deg=120.57, b_deg=-55.26, area_deg2=10.0, limit_mag=16.0)
    assert ours.n_stars / 10 == pytest.approx((red < 16).sum(), rel=0.3)
    for limit in (13, 14, 15):
        near = (red > limit) & (red < limit + 1)
        near_ours = (ours.reference_mag > limit) & (ours.reference_mag < limit + 1)
        edge = np.percentile(color_of(ours)[near_ours], 10)
        assert edge == pytest.approx(np.percentile(color[near], 10), abs=0.07)


def test_the_plane_is_as_dense_as_2mass_found_it():
    # log10 N(Ks < 14) / deg2 is about 4.0 to 4.5 for |b| < 5 (2MASS Extended Mission documents), behind dust.
    places = [(l, b) for l in range(10, 360, 20) for b in (-4, -1, 2)]
    density = np.array([Galaxy().expected_counts(l, b, [14.0]).sum() for l, b in places])
    assert 4.0 < np.log10(np.median(density)) < 4.5
    assert 4.1 < np.log10(density.mean()) < 4.7


@pytest.mark.parametrize(
    ("changes", "n_stars", "checksum"),
    [
        ({}, 828, "7cc4841103c96d34"),
        ({"galaxy.spiral_arms": True}, 849, "57d0db2e0432a9b8"),
        ({"galaxy.binary_fraction": 0.5}, 685, "579d0611666d2ebb"),
    ],
)
def test_the_stars_of_version_0_3_0_are_drawn_to_the_bit(changes, n_stars, checksum):
    galaxy = Galaxy.of(Config.named("carina").replace(**changes).galaxy)
    stars = draw(galaxy, 280.0, 1.0, 0.02, 15.0)
    data = b"".join(column.astype("<f4").tobytes() for column in columns_of(stars))
    assert (stars.n_stars, hashlib.sha256(data).hexdigest()[:16]) == (n_stars, checksum)


BULGE = """
[[galaxy.components]]
name = "{name}"
law = "bulge"
population = "bulge"
density_msun_pc3 = {density}
parameters = {{ angle_deg = 27.0 }}
"""


def galaxy_of(*tables):
    demo = (resources.files("extmap_tf") / "configs" / "demo.toml").read_text()
    config = Config.from_toml(demo + "".join(tables))
    again = Config.from_toml(config.to_toml())
    # Mock catalogs are kept by the section.
    assert again == config
    assert hash(again.galaxy) == hash(config.galaxy)
    return Galaxy.of(config.galaxy)


def test_a_component_of_the_configuration_changes_that_of_its_name_and_another_name_adds_one():
    usual = Galaxy().expected_counts(5.0, 0.0, [14.0])
    changed = galaxy_of(BULGE.format(name="bulge", density=5.4))
    assert [c.name for c in changed.components] == [c.name for c in Galaxy().components]
    assert changed.components[-1].law.angle_deg == 27.0
    np.testing.assert_array_equal(changed.expected_counts(5.0, 0.0, [14.0])[:-1], usual[:-1])
    more = galaxy_of(BULGE.format(name="bar", density=2.7))
    np.testing.assert_array_equal(more.expected_counts(5.0, 0.0, [14.0])[:-1], usual)
    without = galaxy_of(BULGE.format(name="bulge", density=0))
    assert [c.name for c in without.components] == [c.name for c in Galaxy().components[:-1]]
    # Twice the bulge, and its own position of the bar: the stars drawn follow the counts.
    area = 0.01
    for galaxy in (changed, more, without):
        expected = area * galaxy.expected_counts(5.0, 0.0, [14.0]).sum()
        drawn = draw(galaxy, 5.0, 0.0, area, 14.0).n_stars
        assert abs(drawn - expected) < 5 * np.sqrt(expected) + 0.005 * expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BULGE.replace('law = "bulge"', 'law = "ring"'), r"components\]\] bar: law must be one of thin_disc"),
        (
            BULGE.replace("angle_deg", "angel_deg"),
            "law bulge has no parameter 'angel_deg'; known: ",
        ),
        (BULGE.replace("angle_deg = 27", "x0_kpc = 0"), "law bulge has no density with these parameters"),
        (BULGE.replace('population = "bulge"', 'population = "dwarfs"'), "population must be one of thin1, "),
        (BULGE.replace("27.0", '"wide"'), r"galaxy\.components\.parameters\.angle_deg must be of type float"),
        (BULGE * 2, "components must be of different names"),
    ],
)
def test_a_component_that_cannot_be_is_refused_with_its_name(text, message):
    with pytest.raises(ConfigError, match=message):
        galaxy_of(text.format(name="bar", density=1.0))


def test_which_populations_have_more_luminous_giants_is_their_own_property():
    assert [p.name for p in POPULATIONS if not p.luminous_ramp] == ["spheroid", "bulge"]
    assert tuple(p.name for p in POPULATIONS) == library().names


def test_further_bands_belong_to_the_same_stars():
    plain, more = draw(), draw(bands=("J", "Ks", "H", "G", "BP", "RP"))
    for band in ("J", "Ks"):
        np.testing.assert_array_equal(plain.magnitudes[band], more.magnitudes[band])
    np.testing.assert_array_equal(plain.distance_kpc, more.distance_kpc)
    assert plain.log_t is None
    assert np.corrcoef(more.magnitudes["G"] - more.magnitudes["Ks"], more.log_t)[0, 1] < -0.9
    some = more.take(slice(5, 9), 0.1)
    np.testing.assert_array_equal(some.log_t, more.log_t[5:9])


@pytest.mark.parametrize("binary_fraction", [0.0, 0.4])
def test_stars_that_a_further_band_reaches_are_drawn_too(binary_fraction):
    galaxy = Galaxy(binary_fraction=binary_fraction)
    bands = ("J", "Ks", "G")
    either = draw(galaxy, limit_mag=12.0, bands=bands, limits_mag={"G": 15.0})
    ks, g = either.magnitudes["Ks"], either.magnitudes["G"]
    assert ((ks < 12.0) | (g < 15.0)).all()
    # The same numbers as of a draw to a limit in Ks that no star of G < 15 is beyond.
    deep = draw(galaxy, limit_mag=16.5, bands=bands, seed=2)
    deep_ks, deep_g = deep.magnitudes["Ks"], deep.magnitudes["G"]
    assert deep_ks[deep_g < 15.0].max() < 16.0
    for ours, others in (
        ((ks < 12.0).sum(), (deep_ks < 12.0).sum()),
        ((g < 15.0).sum(), (deep_g < 15.0).sum()),
        (((ks >= 12.0) & (g < 15.0)).sum(), ((deep_ks >= 12.0) & (deep_g < 15.0)).sum()),
    ):
        assert abs(ours - others) < 5 * np.sqrt(ours + others)
