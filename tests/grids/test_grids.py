import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extmap_tf.errors import ConfigError
from extmap_tf.grids.cmd import CmdGrid
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.squares import SightlineGrid, sightline_name


def fields_by_brute_force(grid, l_deg, b_deg):
    l0, b0 = grid.centers_deg()
    x = (np.mod(l_deg[:, None] - l0 + 180.0, 360.0) - 180.0) * np.cos(np.radians(b0))
    y = b_deg[:, None] - b0
    half = 0.5 * grid.field_deg
    inside = (x >= -half - 1e-9) & (x < half - 1e-9) & (y >= -half - 1e-9) & (y < half - 1e-9)
    return set(zip(*map(np.ndarray.tolist, np.nonzero(inside)), strict=True))


@pytest.mark.parametrize(
    "grid",
    [
        SightlineGrid(257, 303, -5, 5, 0.25, 0.5),
        SightlineGrid(280, 281, 0, 0.5, 0.5, 0.2),
        SightlineGrid(359, 361, -1, 1, 0.5, 0.7),
        SightlineGrid(0, 359.5, 60, 62, 0.5, 1.7),
        SightlineGrid(100, 100, 80, 80, 1, 3),
    ],
)
def test_fields_of_agrees_with_brute_force(grid):
    rng = np.random.default_rng(1)
    l_deg = rng.uniform(grid.l_min_deg - 3, grid.l_max_deg + 3, 4000) % 360
    b_deg = rng.uniform(grid.b_min_deg - 2, grid.b_max_deg + 2, 4000)
    position, field = grid.fields_of(l_deg, b_deg)
    found = set(zip(position.tolist(), field.tolist(), strict=True))
    assert len(found) == len(position)
    assert found == fields_by_brute_force(grid, l_deg, b_deg)


def test_a_missing_position_is_in_no_field():
    grid = SightlineGrid(0, 359.75, -1, 1, 0.25, 0.5)
    position, _ = grid.fields_of([10.0, np.nan, 10.0, np.nan], [0.0, 0.0, np.nan, np.nan])
    assert set(position.tolist()) == {0}


def test_adjoining_fields_share_no_position_and_leave_none_out():
    grid = SightlineGrid(10, 12, -0.5, 0.5, 0.5, 0.5)
    # Multiples of a quarter degree lie on the edges of the fields.
    b_deg = np.arange(-0.75, 0.75, 0.25)
    position, _ = grid.fields_of(np.full(b_deg.size, 11.0), b_deg)
    assert sorted(position) == list(range(b_deg.size))


@settings(max_examples=200, deadline=None)
@given(
    st.floats(0, 359.9),
    st.floats(-80, 80),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([0.1, 0.25, 0.5, 1.0]),
)
def test_every_centre_is_nearest_to_itself(l_min, b_min, n_l, n_b, step):
    b_min = min(b_min, 84 - n_b * step)
    grid = SightlineGrid(l_min, l_min + (n_l - 1) * step, b_min, b_min + (n_b - 1) * step, step, 0.5)
    l_deg, b_deg = grid.centers_deg()
    assert grid.shape == (n_b, n_l)
    np.testing.assert_array_equal(grid.sightline_of(l_deg, b_deg), np.arange(grid.n_sightlines))
    centers = np.array([grid.center_deg(i) for i in range(grid.n_sightlines)])
    np.testing.assert_allclose(centers, np.column_stack([l_deg, b_deg]), atol=1e-9)
    np.testing.assert_array_equal(grid.centers_deg([n_l * n_b - 1]), centers[-1:].T)


def test_sightline_of_is_minus_one_outside_and_for_nan():
    grid = SightlineGrid(359, 361, -1, 1, 0.5, 0.5)
    assert grid.sightline_of([358.7, 361.3, 0.0, np.nan], [0, 0, 1.3, 0]).tolist() == [-1, -1, -1, -1]
    assert grid.sightline_of([0.0], [0.0])[0] == 2 * grid.n_l + 2


def test_the_first_edge_belongs_to_the_first_sightline():
    for l_min in (0.0, 0.3, 123.45, 359.9):
        grid = SightlineGrid(l_min, l_min + 1.0, -0.5, 0.5, 0.1, 0.1)
        assert grid.sightline_of([l_min - 0.05], [-0.55])[0] == 0
        assert grid.sightline_of([l_min - 0.0501], [-0.5])[0] == -1


def test_a_closed_grid_has_a_sightline_for_every_longitude():
    grid = SightlineGrid(0.1, 360.0, 0, 0, 0.1, 0.1)
    edges = 0.05 + 0.1 * np.arange(-2, 3603)
    found = grid.sightline_of(np.concatenate([edges, edges - 1e-12, edges + 1e-12]), np.zeros(3 * edges.size))
    assert found.min() == 0
    assert found.max() == grid.n_l - 1


@pytest.mark.parametrize(
    ("l_max", "b_min", "size"), [(359.5, 4.0, 0.5), (359.5, 60.0, 0.7), (340.0, 4.0, 0.5)]
)
def test_tiles_cover_every_field_and_no_longitude_twice(l_max, b_min, size):
    grid = SightlineGrid(0.0, l_max, b_min, b_min + 1.0, 0.5, 0.5)
    tiles = grid.tiles(size)
    row = [tile for tile in tiles if tile.b_deg == tiles[0].b_deg]
    first, last = row[0].l_deg - 0.5 * row[0].width_deg, row[-1].l_deg + 0.5 * row[-1].width_deg
    assert last - first == pytest.approx(sum(tile.width_deg for tile in row))
    assert last - first <= 360.0 + 1e-9
    reach = 0.25 / np.cos(np.radians(b_min + 1.0))
    assert last - first >= min(l_max + 2.0 * reach, 360.0) - 1e-9
    l_deg, b_deg = row[-1].draw(1000, np.random.default_rng(1))
    assert abs(l_deg - row[-1].l_deg).max() <= 0.5 * row[-1].width_deg
    assert abs(b_deg - row[-1].b_deg).max() <= 0.5 * size
    assert row[0].area_deg2 == pytest.approx(row[0].width_deg * size * np.cos(np.radians(row[0].b_deg)))


def test_carina_grid_has_the_documented_size():
    assert SightlineGrid(257, 303, -5, 5, 0.25, 0.5).n_sightlines == 7585


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: SightlineGrid(0, 10, -90, 0, 1, 1), "b_min_deg"),
        (lambda: SightlineGrid(0, 360, 0, 0, 1, 1), "l_max_deg"),
        (lambda: SightlineGrid(0, 1.3, 0, 0, 0.5, 0.5), "l_max_deg"),
        (lambda: CmdGrid(color_min_mag=3, color_max_mag=2), "color_max_mag"),
        (lambda: DistanceGrid(step_kpc=0), "step_kpc"),
    ],
)
def test_impossible_grids_are_refused_by_name(make, name):
    with pytest.raises(ConfigError, match=rf"^{name} must be .*, got: "):
        make()


def test_sightline_names_are_unique_to_a_milliarc_degree_and_wrap():
    assert sightline_name(280.5, -3.25) == "l280.500b-03.250"
    assert sightline_name(360.0, 0.0) == sightline_name(0.0, -0.0) == "l000.000b+00.000"
