from dataclasses import replace

import numpy as np
import pytest

from extmap_tf.errors import ConfigError
from extmap_tf.extinction.profiles import cumulative_at, draw_density
from extmap_tf.fit import expected_cmd as module
from extmap_tf.fit.expected_cmd import crowding_losses_mag, expected_cmd, expected_cmds, extinction_grid
from extmap_tf.mocks.fields import dim_and_count
from extmap_tf.mocks.pairs import simulate_pair
from extmap_tf.mocks.pools import SPLITS, fit_catalog, sightline_catalog
from extmap_tf.settings.config import builtin_survey
from extmap_tf.settings.survey import Crowding
from extmap_tf.surveys.observing import crowding_loss_mag

N_FIELDS, L_DEG, B_DEG = 32.0, 284.0, -1.0


@pytest.fixture(scope="module")
def table(tiny_config):
    return expected_cmd(tiny_config, L_DEG, B_DEG, N_FIELDS)


def expected_of(table, density, step_kpc, n_pixels):
    """The sum over shells, each at the extinction of its middle [n_pixels]."""
    outer = np.cumsum(density) * step_kpc
    middle = np.append(outer - 0.5 * step_kpc * density, outer[-1])
    place = np.interp(middle, table.extinction_mag, np.arange(len(table.extinction_mag)))
    low = np.minimum(place.astype(int), len(table.extinction_mag) - 2)
    share, shell = (place - low)[:, None], np.arange(len(middle))
    expected = np.zeros(n_pixels)
    parts = (1 - share) * table.counts[shell, low] + share * table.counts[shell, low + 1]
    expected[table.pixels] = parts.sum(axis=0)
    return expected


def with_crowding(config, n_per_deg2, loss_mag_per_dex=1.0):
    """The configuration with a crowding limit such that a field of so many stars loses 0.4 mag."""
    crowding = Crowding(14.0, float(np.log10(n_per_deg2)) - 0.4, loss_mag_per_dex)
    return replace(config, survey=replace(config.survey, crowding=crowding))


@pytest.mark.parametrize(
    ("seed", "crowded"), [(None, False), (1, False), (2, False), (None, True), (3, True)]
)
def test_the_table_is_the_mean_of_drawn_cmds(table, tiny_config, seed, crowded):
    config, n_draws = tiny_config, 20
    rng = np.random.default_rng(seed)
    density = np.zeros(40, np.float32)
    if seed:
        density = draw_density(config.profiles, config.distance, L_DEG, B_DEG, rng)
    catalog = fit_catalog(config, L_DEG, B_DEG, N_FIELDS)
    n_bright = np.count_nonzero(catalog.reference_mag < 14.0)
    config = with_crowding(config, n_bright / catalog.area_deg2, 1.0 if crowded else 0.0)
    if crowded:
        a_red = cumulative_at(density, config.distance.step_kpc, catalog.distance_kpc)
        loss_mag = crowding_loss_mag(catalog.reference_mag + a_red, config.survey, catalog.area_deg2)
        assert loss_mag > 0.2
        table = expected_cmd(config, L_DEG, B_DEG, N_FIELDS, loss_mag=loss_mag)
    drawn = sum(dim_and_count(catalog, density, config, rng)["counts"] for _ in range(n_draws)).ravel()
    expected = expected_of(table, density, config.distance.step_kpc, config.diagrams[0].n_pixels)
    expected *= table.n_fields * n_draws
    assert drawn.sum() == pytest.approx(expected.sum(), rel=0.005)
    many = expected > 20
    assert many.sum() > 250
    # The stars are the same, so the scatter is below that of independent counts. What the table's cells
    # leave is less than a thirtieth of one field's noise.
    found = np.mean((drawn - expected)[many] ** 2 / expected[many])
    assert found < 0.9 + n_draws * table.n_fields / 30.0**2


def test_tables_made_together_are_those_made_alone(tiny_config):
    together = expected_cmds(tiny_config, L_DEG, B_DEG, [0.0, 0.35], 4.0, 1.0)
    assert [table.loss_mag for table in together] == [0.0, 0.35]
    for table in together:
        alone = expected_cmd(tiny_config, L_DEG, B_DEG, 4.0, 1.0, table.loss_mag)
        np.testing.assert_array_equal(alone.pixels, table.pixels)
        np.testing.assert_allclose(alone.counts, table.counts, rtol=1e-4, atol=1e-3)
    # Faint stars go, bright ones do not.
    n_before, n_after = (np.bincount(t.pixels // 64, t.counts[:, 0].sum(axis=0), 64) for t in together)
    assert n_after[:50].sum() == pytest.approx(n_before[:50].sum(), rel=1e-3)
    assert n_after[60:].sum() < 0.7 * n_before[60:].sum()


def losses_of(counts, config):
    return crowding_losses_mag(counts, config.diagrams[0], config.survey, config.sightlines.area_deg2)


def test_the_loss_of_depth_is_known_from_the_counts(tiny_config, monkeypatch):
    clear = {"sightlines.field_deg": 0.5, "profiles.total_max_mag": 1.0, "profiles.patchiness_max": 0.0}
    config = with_crowding(tiny_config.replace(**clear), 1e4)
    true, pairs = [], []

    def told(*args):
        true.append(crowding_loss_mag(*args))
        return true[-1]

    monkeypatch.setattr("extmap_tf.surveys.observing.crowding_loss_mag", told)
    while len(pairs) < 8:
        pairs.append(simulate_pair(config, len(pairs)))
    found = losses_of(np.stack([pair.counts for pair in pairs]), config)
    assert max(true) > 0.2
    np.testing.assert_allclose(found, true, atol=0.045)
    np.testing.assert_allclose(found / 0.05, np.round(found / 0.05), atol=1e-6)


def test_an_empty_field_loses_nothing_and_edges_within_pixels_are_shared_out(tiny_config):
    counts = np.zeros((2, 64, 64))
    config = with_crowding(tiny_config, 100.0 / tiny_config.sightlines.area_deg2)
    config = replace(config, cmd=replace(config.cmd, mag_min_mag=5.55, mag_max_mag=15.15))
    assert (losses_of(counts, config) == 0.0).all()
    # Pixels of 0.15 mag: the limit, 14, is a third into this one.
    row = int((14.0 - 5.55) / 0.15)
    counts[0, row - 1, 5] = 250
    counts[1, row, 5] = 1000
    expected = np.log10([2.5, 10 / 3]) + 0.4
    np.testing.assert_allclose(losses_of(counts, config), expected, atol=0.026)


def test_a_fit_knows_none_of_the_stars_of_its_cmds(tiny_config):
    ours = fit_catalog(tiny_config, L_DEG, B_DEG, 4.0)
    for split in SPLITS:
        theirs = sightline_catalog(tiny_config, L_DEG, B_DEG, split)
        assert len(np.intersect1d(ours.distance_kpc, theirs.distance_kpc)) < 0.01 * ours.n_stars


def test_extinction_takes_stars_away_and_makes_them_redder(table, tiny_config):
    shell = 15
    stars = table.counts[shell].sum(axis=1)
    assert (np.diff(stars) <= 1e-3 * stars[0]).all()
    color = table.pixels % tiny_config.diagrams[0].x.n_pixels
    step = np.searchsorted(table.extinction_mag, 0.3)
    before, after = ((table.counts[shell, i] * color).sum() / stars[i] for i in (0, step))
    # 0.3 mag of A(Ks) are about 0.5 mag of J - Ks, five pixels, but the faintest stars go.
    assert before + 3.0 < after < before + 6.0


def test_the_same_seed_gives_the_same_table(table, tiny_config):
    again = expected_cmd(tiny_config, L_DEG, B_DEG, N_FIELDS)
    np.testing.assert_array_equal(again.counts, table.counts)
    other = expected_cmd(tiny_config.replace(seed=2), L_DEG, B_DEG, N_FIELDS)
    assert other.counts.shape != table.counts.shape or (other.counts != table.counts).any()


def test_extinctions_begin_at_zero_and_reach_the_last():
    grid = extinction_grid(3.0)
    assert grid[0] == 0.0
    assert 3.0 <= grid[-1] < 3.1
    assert grid[1] == pytest.approx(0.015, rel=1e-3)
    assert (np.diff(grid, 2) > -1e-6).all()


def test_a_third_band_of_the_survey_changes_nothing(table, tiny_config):
    with_h = replace(tiny_config, survey=replace(builtin_survey("2mass_h"), diagrams=()))
    found = expected_cmd(with_h, L_DEG, B_DEG, N_FIELDS)
    # Other stars are drawn.
    assert found.counts.sum() == pytest.approx(table.counts.sum(), rel=0.05)


def test_no_field_makes_no_table(tiny_config):
    with pytest.raises(ConfigError, match="n_fields must be 2 to 1000, got: 0"):
        expected_cmd(tiny_config, L_DEG, B_DEG, 0.0)


def test_the_nearest_catalog_is_across_the_seam_of_longitude():
    assert module._nearest(((350.0, 0.0), (5.0, 0.0)), 359.0, 0.0) == (5.0, 0.0)
    assert module._nearest(((350.0, 0.0), (10.0, 0.0)), 359.0, 0.5) == (350.0, 0.0)
