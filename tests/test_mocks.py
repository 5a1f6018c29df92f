import numpy as np
import pytest

from extmap_tf import mocks
from extmap_tf.survey import observe


def test_a_pair_depends_on_seed_and_number_alone(tiny_config):
    first = mocks.simulate_pair(tiny_config, 7)
    mocks.simulate_pair(tiny_config, 3)
    again = mocks.simulate_pair(tiny_config, 7)
    np.testing.assert_array_equal(first.counts, again.counts)
    np.testing.assert_array_equal(first.density, again.density)
    other = mocks.simulate_pair(tiny_config.replace(seed=2), 7)
    assert (first.density != other.density).any()


def test_zero_dust_gives_the_reference(tiny_config):
    config = tiny_config.replace(**{"sightlines.field_deg": 0.5})
    reference = mocks.reference_cmd(config, 284.0, -1.0)
    catalog = mocks.sightline_catalog(config, 284.0, -1.0)
    rng = np.random.default_rng(0)
    no_dust = np.zeros(config.distance.n_distances, np.float32)
    counts = mocks.dim_and_count(catalog, no_dust, config, rng) / config.mocks.pool_fields
    # Two independent Poisson draws of 8 fields each.
    sigma = np.sqrt((counts + reference + 0.1) / config.mocks.pool_fields)
    assert np.mean(np.abs(counts - reference) < 3 * sigma) > 0.98
    assert counts.sum() == pytest.approx(reference.sum(), rel=0.03)


def test_dust_reddens_dims_and_removes_stars(tiny_config):
    catalog = mocks.sightline_catalog(tiny_config, 284.0, -1.0)
    clear, dusty = (
        mocks.dim_and_count(catalog, np.full(40, density, np.float32), tiny_config, np.random.default_rng(1))
        for density in (0.0, 0.5)
    )
    color = np.arange(64)
    assert dusty.sum() < clear.sum()
    assert (dusty.sum(axis=0) @ color) / dusty.sum() > (clear.sum(axis=0) @ color) / clear.sum() + 3


def test_patchy_dust_has_the_same_mean_and_spreads_the_colours(tiny_config):
    catalog = mocks.sightline_catalog(tiny_config.replace(**{"sightlines.field_deg": 0.5}), 284.0, -1.0)
    density = np.full(40, 0.03, np.float32)
    even, patchy = (
        mocks.dim_and_count(catalog, density, tiny_config, np.random.default_rng(1), patchiness)
        for patchiness in (0.0, 0.8)
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
    catalog = mocks.sightline_catalog(tiny_config, 284.0, -1.0)
    no_dust = np.zeros(40, np.float32)
    counts = mocks.dim_and_count(catalog, no_dust, tiny_config, np.random.default_rng(5))
    index, blue, red = observe(
        catalog.blue_mag, catalog.red_mag, tiny_config.survey, np.random.default_rng(5)
    )
    color = blue - red
    grid = tiny_config.cmd
    inside = (color >= grid.color_min_mag) & (color < grid.color_max_mag)
    inside &= (red >= grid.mag_min_mag) & (red < grid.mag_max_mag)
    assert abs(int(counts.sum()) - int(inside.sum())) <= 1
    assert index.size >= counts.sum()


def test_splits_have_their_shares_and_keep_a_pair_whatever_the_number_of_pairs(tiny_config):
    settings = tiny_config.mocks
    places = [mocks.place_of(mocks.pair_key(tiny_config, n), settings.split_salt) for n in range(20_000)]
    splits = [mocks.split_of(place, settings) for place in places]
    share = {name: np.mean([split == name for split, _ in splits]) for name in mocks.SPLITS}
    assert share["test"] == pytest.approx(0.1, abs=0.01)
    assert share["validation"] == pytest.approx(0.1, abs=0.01)
    assert all(0 <= within < 1 for _, within in splits)
    more = tiny_config.replace(**{"mocks.n_pairs": 10**6})
    assert mocks.place_of(mocks.pair_key(more, 17), settings.split_salt) == places[17]


def test_reference_nodes_cover_the_region_and_the_training_sightlines(tiny_config):
    nodes = mocks.reference_nodes(tiny_config)
    grid = tiny_config.sightlines
    assert set(tiny_config.mocks.sightlines_deg()) <= set(nodes)
    for l in (grid.l_min_deg, grid.l_max_deg):
        for b in (grid.b_min_deg, grid.b_max_deg):
            assert (l, b) in nodes
    assert len(set(nodes)) == len(nodes)


def test_besancon_output_replaces_the_builtin_galaxy(tiny_config, shared_data):
    catalog = {
        "path": str(shared_data / "besancon" / "web_jhkl.cat"),
        "l_deg": 121.9,
        "b_deg": -50.7,
        "area_deg2": 1.0,
    }
    config = tiny_config.replace(
        **{"mocks.l_deg": [], "mocks.b_deg": [], "mocks.catalogs": [catalog], "sightlines.field_deg": 0.5}
    )
    assert mocks.reference_nodes(config) == ((121.9, -50.7),)
    pair = mocks.simulate_pair(config, 0)
    # 4915 stars in one square degree without the bright ones; dust and limits leave fewer than a quarter.
    assert 0 < pair.counts.sum() < 4915 / 4 * 1.2
