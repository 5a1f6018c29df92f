import numpy as np
import pytest

from extmap_tf.errors import ConfigError
from extmap_tf.extinction.profiles import draw_density
from extmap_tf.mocks import dim_and_count, sightline_catalog
from extmap_tf.model import expected_cmd as module
from extmap_tf.model.expected_cmd import expected_cmd, extinction_grid

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


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_the_table_is_the_mean_of_drawn_cmds(table, tiny_config, seed):
    config, n_draws = tiny_config, 20
    rng = np.random.default_rng(seed)
    density = np.zeros(40, np.float32)
    if seed:
        density = draw_density(config.profiles, config.distance, B_DEG, rng)
    pool = config.replace(**{"mocks.pool_fields": N_FIELDS})
    catalog = sightline_catalog.__wrapped__(pool, L_DEG, B_DEG, module._FIT)
    drawn = sum(dim_and_count(catalog, density, config, rng) for _ in range(n_draws)).ravel()
    expected = expected_of(table, density, config.distance.step_kpc, config.cmd.n_pixels)
    expected *= table.n_fields * n_draws
    assert drawn.sum() == pytest.approx(expected.sum(), rel=0.005)
    many = expected > 20
    assert many.sum() > 300
    # The stars are the same, so the scatter is below that of independent counts.
    assert np.mean((drawn - expected)[many] ** 2 / expected[many]) < 1.15


def test_extinction_takes_stars_away_and_makes_them_redder(table, tiny_config):
    shell = 15
    stars = table.counts[shell].sum(axis=1)
    assert (np.diff(stars) <= 1e-3 * stars[0]).all()
    color = table.pixels % tiny_config.cmd.n_color
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


def test_no_field_makes_no_table(tiny_config):
    with pytest.raises(ConfigError, match="n_fields must be 1 or more, got: 0"):
        expected_cmd(tiny_config, L_DEG, B_DEG, 0.0)


def test_the_nearest_catalog_is_across_the_seam_of_longitude():
    assert module._nearest(((350.0, 0.0), (5.0, 0.0)), 359.0, 0.0) == (5.0, 0.0)
    assert module._nearest(((350.0, 0.0), (10.0, 0.0)), 359.0, 0.5) == (350.0, 0.0)
