import dataclasses

import numpy as np
import pytest

from extmap_tf.catalogs.stars import MockCatalog
from extmap_tf.errors import DataError
from extmap_tf.extinction.profiles import cumulative_at
from extmap_tf.mocks import pairs
from extmap_tf.mocks.fields import dim_and_count, one_field, visible_limits_mag
from extmap_tf.mocks.nuisances import AS_MODELLED, Nuisances, draw_nuisances
from extmap_tf.mocks.patchiness import EVEN, Patchiness, draw_patchiness
from extmap_tf.mocks.pools import SPLITS, sightline_catalog
from extmap_tf.mocks.reference import reference_diagrams, reference_nodes
from extmap_tf.settings.nuisances import NuisanceConfig
from extmap_tf.settings.profiles import ProfilePrior
from extmap_tf.surveys.observing import crowding_loss_mag, observe


def test_a_pair_depends_on_seed_and_number_alone(tiny_config):
    first = pairs.simulate_pair(tiny_config, 7)
    pairs.simulate_pair(tiny_config, 3)
    again = pairs.simulate_pair(tiny_config, 7)
    np.testing.assert_array_equal(first.counts, again.counts)
    np.testing.assert_array_equal(first.density, again.density)
    other = pairs.simulate_pair(tiny_config.replace(seed=2), 7)
    assert (first.density != other.density).any()


def test_a_pair_does_not_depend_on_those_made_with_it(tiny_config, monkeypatch):
    numbers = [7, *range(40, 60), 3]
    monkeypatch.setattr(pairs, "PAIRS_PER_BLOCK", 6)
    together = list(pairs.simulate_pairs(tiny_config, numbers))
    assert [pair.number for pair in together] == numbers
    for pair in together[::3]:
        alone = pairs.simulate_pair(tiny_config, pair.number)
        assert (pair.l_deg, pair.b_deg) == (alone.l_deg, alone.b_deg)
        np.testing.assert_array_equal(pair.density, alone.density)
        np.testing.assert_array_equal(pair.counts, alone.counts)


def test_zero_dust_gives_the_reference(tiny_config):
    config = tiny_config.replace(**{"sightlines.field_deg": 0.5})
    reference = reference_diagrams(config, 284.0, -1.0)["counts"]
    catalog = sightline_catalog(config, 284.0, -1.0, "train")
    rng = np.random.default_rng(0)
    no_dust = np.zeros(config.distance.n_distances, np.float32)
    counts = dim_and_count(catalog, no_dust, config, rng)["counts"] / config.mocks.pool_fields
    # Two independent Poisson draws of 8 fields each.
    sigma = np.sqrt((counts + reference + 0.1) / config.mocks.pool_fields)
    assert np.mean(np.abs(counts - reference) < 3 * sigma) > 0.98
    assert counts.sum() == pytest.approx(reference.sum(), rel=0.03)


def test_dust_reddens_dims_and_removes_stars(tiny_config):
    catalog = sightline_catalog(tiny_config, 284.0, -1.0, "train")
    clear, dusty = (
        dim_and_count(catalog, np.full(40, density, np.float32), tiny_config, np.random.default_rng(1))[
            "counts"
        ]
        for density in (0.0, 0.5)
    )
    color = np.arange(64)
    assert dusty.sum() < clear.sum()
    assert (dusty.sum(axis=0) @ color) / dusty.sum() > (clear.sum(axis=0) @ color) / clear.sum() + 3


def test_patchy_dust_has_the_same_mean_and_spreads_the_colours(tiny_config):
    catalog = sightline_catalog(tiny_config.replace(**{"sightlines.field_deg": 0.5}), 284.0, -1.0, "train")
    density = np.full(40, 0.03, np.float32)
    even, patchy = (
        dim_and_count(catalog, density, tiny_config, np.random.default_rng(1), patchiness)["counts"]
        for patchiness in (EVEN, Patchiness(0.8))
    )
    color = np.arange(64)
    # Stars so bright that extinction of this strength removes none.
    even, patchy = even[:34].sum(axis=0), patchy[:34].sum(axis=0)
    mean = [(counts @ color) / counts.sum() for counts in (even, patchy)]
    spread = [
        np.sqrt(counts @ (color - m) ** 2 / counts.sum())
        for counts, m in zip((even, patchy), mean, strict=True)
    ]
    assert mean[1] == pytest.approx(mean[0], abs=0.3)
    assert spread[1] > spread[0] + 0.1


def test_a_pairs_cmd_holds_every_star_that_was_observed_inside(tiny_config):
    catalog = sightline_catalog(tiny_config, 284.0, -1.0, "train")
    no_dust = np.zeros(40, np.float32)
    counts = dim_and_count(catalog, no_dust, tiny_config, np.random.default_rng(5))["counts"]
    rng = np.random.default_rng(5)
    seen = observe(catalog.magnitudes, tiny_config.survey, catalog.area_deg2, rng)
    red = seen.magnitudes["Ks"]
    color = seen.magnitudes["J"] - red
    inside = (color >= -0.5) & (color < 5.9) & (red >= 5.6) & (red < 15.2)
    assert abs(int(counts.sum()) - int(inside.sum())) <= 1
    assert seen.index.size >= counts.sum()


def test_splits_have_their_shares_and_keep_a_pair_whatever_the_number_of_pairs(tiny_config):
    settings = tiny_config.mocks
    places = [
        pairs.place_of(pairs.pair_key(tiny_config.mocks, n), settings.split_salt) for n in range(20_000)
    ]
    splits = [pairs.split_of(place, settings) for place in places]
    share = {name: np.mean([split == name for split, _ in splits]) for name in SPLITS}
    assert share["test"] == pytest.approx(0.1, abs=0.01)
    assert share["validation"] == pytest.approx(0.1, abs=0.01)
    assert all(0 <= within < 1 for _, within in splits)
    more = tiny_config.replace(**{"mocks.n_pairs": 10**6})
    assert pairs.place_of(pairs.pair_key(more.mocks, 17), settings.split_salt) == places[17]


def test_reference_nodes_cover_the_region_and_the_training_sightlines(tiny_config):
    nodes = reference_nodes(tiny_config.mocks, tiny_config.sightlines)
    grid = tiny_config.sightlines
    assert set(tiny_config.mocks.sightlines_deg()) <= set(nodes)
    for l in (grid.l_min_deg, grid.l_max_deg):
        for b in (grid.b_min_deg, grid.b_max_deg):
            assert (l, b) in nodes
    assert len(set(nodes)) == len(nodes)


def test_besancon_output_replaces_the_builtin_galaxy(tiny_config, shared_data):
    config = with_catalog(tiny_config, shared_data / "besancon" / "web_jhkl.cat")
    assert reference_nodes(config.mocks, config.sightlines) == ((121.9, -50.7),)
    pair = pairs.simulate_pair(config, 0)
    # 4915 stars in one square degree without the bright ones; dust and limits leave fewer than these.
    assert 0 < pair.counts.sum() < 4915 * config.sightlines.area_deg2 * 1.2


def with_catalog(config, path, **changes):
    catalog = {"path": str(path), "l_deg": 121.9, "b_deg": -50.7, "area_deg2": 1.0}
    changes = {"mocks.catalogs": [catalog], "sightlines.field_deg": 0.35} | changes
    return config.replace(**{"mocks.l_deg": [], "mocks.b_deg": []} | changes)


def stars_of(catalog):
    return set(zip(catalog.distance_kpc.tolist(), catalog.reference_mag.tolist(), strict=True))


def test_no_star_of_a_file_is_in_the_pools_of_two_splits(tiny_config, tmp_path):
    path = tmp_path / "stars.csv"
    rows = [f"{12 + 1e-3 * i:.3f},{11 + 1e-3 * i:.3f},{1 + 1e-3 * i:.3f}" for i in range(1000)]
    path.write_text("J,Ks,distance_kpc\n" + "\n".join(rows) + "\n")
    config = with_catalog(tiny_config, path)
    pools = [sightline_catalog(config, 121.9, -50.7, split) for split in SPLITS]
    assert [pool.n_stars for pool in pools] == [500, 250, 250]
    assert [pool.area_deg2 for pool in pools] == [0.5, 0.25, 0.25]
    assert len(set.union(*map(stars_of, pools))) == 1000


def test_the_splits_of_the_builtin_galaxy_have_draws_of_their_own(tiny_config, monkeypatch):
    pools = [sightline_catalog(tiny_config, 284.0, -1.0, split) for split in SPLITS]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert not stars_of(pools[i]) & stars_of(pools[j])
    asked = []

    def spy(config, l_deg, b_deg, split):
        asked.append(split)
        return pools[SPLITS.index(split)]

    monkeypatch.setattr(pairs, "sightline_catalog", spy)
    salt = tiny_config.mocks.split_salt
    for number in range(60):
        pairs.simulate_pair(tiny_config, number)
        place = pairs.place_of(pairs.pair_key(tiny_config.mocks, number), salt)
        assert asked[-1] == pairs.split_of(place, tiny_config.mocks)[0]
    assert set(asked) == set(SPLITS)


def test_changed_content_of_a_catalog_is_refused(tiny_config, tmp_path):
    path = tmp_path / "stars.csv"
    path.write_text("J,Ks,distance_kpc\n12,11,1\n")
    config = with_catalog(tiny_config, path).with_catalogs_of(tmp_path)
    path.write_text("J,Ks,distance_kpc\n12,11,2\n")
    with pytest.raises(
        DataError, match=r"stars\.csv: its content has changed .* load the configuration again"
    ):
        pairs.simulate_pair(config, 0)


def test_a_pool_of_less_than_two_fields_is_refused(tiny_config):
    pool = sightline_catalog(tiny_config, 284.0, -1.0, "train")
    with pytest.raises(DataError, match=r"0\.08 deg2 of stars for fields of 0\.05 deg2, at least 2 fields"):
        one_field(pool, 0.05, np.random.default_rng(1))


@pytest.mark.parametrize(
    ("nuisances", "near", "far", "faint"),
    [
        (Nuisances(), 1.0, 1.0, 1.0),
        (Nuisances(ln_count=0.3), np.exp(0.3), np.exp(0.3), np.exp(0.3)),
        (Nuisances(ln_luminous=0.3), np.exp(0.3), np.exp(0.3), 1.0),
        (Nuisances(ln_luminous=-0.3), np.exp(-0.3), np.exp(-0.3), 1.0),
        (Nuisances(ln_distance=0.2), 0.5**0.2, 8**0.2, 0.5**0.2),
    ],
)
def test_factors_on_the_counts_act_on_their_stars(nuisances, near, far, faint):
    # Three kinds: luminous at 0.5 and at 8 kpc, faint at 0.5 kpc.
    n = 30_000
    kind = np.random.default_rng(1).integers(3, size=n)
    distance_kpc = np.array([0.5, 8.0, 0.5], np.float32)[kind]
    red_mag = np.array([0.0, 0.0, 5.0], np.float32)[kind] + 5 * np.log10(distance_kpc) + np.float32(10)
    catalog = MockCatalog(0.0, 0.0, 10.0, distance_kpc, {"J": red_mag, "Ks": red_mag}, "Ks", "test")
    rng = np.random.default_rng(2)
    drawn = np.zeros(3)
    for _ in range(40):
        field = one_field(catalog, 1.0, rng, nuisances)
        luminous = field.reference_mag - 5 * np.log10(field.distance_kpc) - 10 < 2
        is_near = field.distance_kpc < 1
        drawn += [(luminous & is_near).sum(), (~is_near).sum(), (~luminous).sum()]
    np.testing.assert_allclose(drawn / (40 * n / 30), [near, far, faint], rtol=0.03)


@pytest.mark.parametrize("depth_mag", [-3.0, 0.0, 0.3])
def test_stars_beyond_the_visible_limit_play_no_part(tiny_config, depth_mag):
    nuisances = Nuisances(color_mag=-0.2, mag_mag=-0.1, depth_mag=depth_mag)
    limit_mag = visible_limits_mag(tiny_config.surveys, nuisances)["Ks"]
    n = 2000
    red_mag = np.linspace(limit_mag - 1.5, limit_mag + 1, n, dtype=np.float32)
    catalog = MockCatalog(0.0, 0.0, 10.0, np.ones(n, np.float32), {"J": red_mag, "Ks": red_mag}, "Ks", "test")
    rng = np.random.default_rng(1)
    faint, bright = (catalog.take(part, 1e-3) for part in (red_mag >= limit_mag, red_mag < limit_mag))
    no_dust = np.zeros(40, np.float32)
    assert dim_and_count(faint, no_dust, tiny_config, rng, nuisances=nuisances)["counts"].sum() == 0
    assert crowding_loss_mag(faint.reference_mag + nuisances.mag_mag, tiny_config.survey, 1e-3) == 0
    for _ in range(3):
        field = one_field(catalog, 5.0, rng, nuisances, {"Ks": limit_mag})
        assert field.n_stars > 0
        assert field.reference_mag.max() < limit_mag
    # It is no deeper than it needs to be.
    seen = dim_and_count(bright, no_dust, tiny_config, rng, nuisances=nuisances)["counts"].sum()
    assert (
        seen > 0 or crowding_loss_mag(bright.reference_mag + nuisances.mag_mag, tiny_config.survey, 1e-3) > 0
    )


def test_the_blue_band_may_limit_the_survey(tiny_config):
    cut = tiny_config.replace(**{"survey.blue.faint_mag": 14.0})
    whole, bright = (pairs.simulate_pair(config, 3).counts for config in (tiny_config, cut))
    assert 0 < bright.sum() < whole.sum()


def test_stars_stay_in_single_precision(tiny_config):
    catalog = sightline_catalog(tiny_config, 284.0, -1.0, "train")
    a_red = cumulative_at(np.full(40, 0.1, np.float32), 0.1, catalog.distance_kpc)
    magnitudes = catalog.magnitudes | {"J": catalog.magnitudes["J"] + a_red}
    seen = observe(magnitudes, tiny_config.survey, 1.0, np.random.default_rng(1))
    arrays = (catalog.reference_mag, a_red, *seen.magnitudes.values(), *seen.errors.values())
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


def test_nuisances_have_their_widths_and_zero_widths_switch_them_off(tiny_config):
    rng = np.random.default_rng(3)
    settings = tiny_config.nuisances
    surveys = tiny_config.replace(surveys=["2mass", "gaia_dr3"]).surveys
    drawn = []
    for _ in range(4000):
        *numbers, others = dataclasses.astuple(draw_nuisances(settings, rng, surveys))
        drawn.append([*numbers, *others["gaia_dr3"][-1]])
    widths = {spec.name: getattr(settings, spec.name) for spec in dataclasses.fields(settings)}
    del widths["law_ratio_mean"]
    np.testing.assert_allclose(np.std(drawn, axis=0), list(widths.values()), rtol=0.06)
    assert (np.abs(drawn) <= 3.0001 * np.array(list(widths.values()))).all()
    off = NuisanceConfig(**dict.fromkeys(widths, 0.0))
    assert draw_nuisances(off, rng) == AS_MODELLED


def test_nuisances_move_the_diagram_their_way(tiny_config):
    catalog = sightline_catalog(tiny_config, 284.0, -1.0, "train")
    diagram = tiny_config.diagrams[0]
    color, mag = diagram.x.centers, diagram.y.centers

    def observed(density=0.0, **values):
        profile = np.full(40, density, np.float32)
        nuisances = Nuisances(**values)
        return dim_and_count(catalog, profile, tiny_config, np.random.default_rng(1), nuisances=nuisances)[
            "counts"
        ]

    def mean_color(counts):
        return counts[:50].sum(axis=0) @ color / counts[:50].sum()

    plain = observed()
    assert mean_color(observed(color_mag=0.05)) - mean_color(plain) == pytest.approx(0.05, abs=0.01)
    assert observed(mag_mag=-0.15)[:40].sum() > 1.05 * plain[:40].sum()
    assert observed(depth_mag=0.3)[mag > 14.6].sum() > 1.2 * plain[mag > 14.6].sum()
    dusty = mean_color(observed(0.2))
    assert mean_color(observed(0.2, law_ratio=0.2)) > dusty + 0.02


def test_options_of_the_galaxy_change_its_stars(tiny_config):
    plain = sightline_catalog(tiny_config, 284.0, -1.0, "train")
    for key, value in (("galaxy.spiral_arms", True), ("galaxy.binary_fraction", 0.5)):
        other = sightline_catalog(tiny_config.replace(**{key: value}), 284.0, -1.0, "train")
        assert abs(other.n_stars - plain.n_stars) > 5 * np.sqrt(plain.n_stars), key


def test_far_dust_has_a_patchiness_of_its_own(tiny_config):
    catalog = sightline_catalog(tiny_config, 284.0, -1.0, "train")
    density = np.where(np.arange(40) == 25, 10.0, 0.0).astype(np.float32)

    def moved(patchiness):
        """Stars in other pixels than those behind even dust."""
        even, patchy = (
            dim_and_count(catalog, density, tiny_config, np.random.default_rng(1), p)["counts"]
            for p in (EVEN, patchiness)
        )
        return np.abs(even - patchy).sum()

    # All dust is beyond 2 kpc: how patchy it is before plays no part. The draws differ either way.
    noise = moved(Patchiness(0.0, 2.0, 1e-6))
    assert moved(Patchiness(0.8, 2.0, 0.0)) < 1.2 * noise
    assert moved(Patchiness(0.0, 2.0, 0.8)) > 1.5 * noise


def test_patchiness_is_drawn_from_the_prior():
    rng = np.random.default_rng(1)
    prior = ProfilePrior(patchiness_max=1.0, patchiness_power=2.0, patchy_layers=2)
    drawn = [draw_patchiness(prior, 10.0, rng) for _ in range(3000)]
    for sigma in ([p.sigma for p in drawn], [p.sigma_beyond for p in drawn]):
        assert np.median(sigma) == pytest.approx(0.25, abs=0.02)
        assert 0.98 < max(sigma) <= 1.0
    assert np.median([p.beyond_kpc for p in drawn]) == pytest.approx(np.sqrt(0.3 * 10.0), rel=0.1)
    assert draw_patchiness(ProfilePrior(), 10.0, rng).beyond_kpc == np.inf


def test_a_partly_covered_field_has_that_share_of_the_stars(tiny_config):
    config = tiny_config.replace(
        **{"mocks.partial_share": 0.5, "mocks.covered_min": 0.3, "mocks.n_pairs": 400}
    )
    made = list(pairs.simulate_pairs(config.replace(**{"profiles.total_max_mag": 0.06}), range(400)))
    covered = np.array([pair.covered for pair in made])
    stars = np.array([pair.counts.sum() for pair in made])
    assert 0.4 < np.mean(covered < 1.0) < 0.6
    assert covered.min() > 0.3
    assert stars[covered < 0.5].mean() / stars[covered == 1.0].mean() == pytest.approx(0.4, abs=0.05)
    assert all(pair.covered == 1.0 for pair in pairs.simulate_pairs(tiny_config, range(20)))


def test_the_law_may_be_off_in_the_mean():
    nuisances = NuisanceConfig(law_ratio_sigma=0.2, law_ratio_mean=0.23)
    rng = np.random.default_rng(1)
    ratios = [draw_nuisances(nuisances, rng).law_ratio for _ in range(2000)]
    assert np.mean(ratios) == pytest.approx(0.23, abs=0.02)
    assert np.std(ratios) == pytest.approx(0.2, abs=0.02)
