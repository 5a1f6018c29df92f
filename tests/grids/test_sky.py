"""Both kinds of grid answer as `SkyGrid` says."""

import inspect

import numpy as np
import pytest

from extmap_tf.errors import MismatchError
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.regions import SkyRegion
from extmap_tf.grids.sky import SkyGrid
from extmap_tf.grids.sphere import separation_deg, unit_vectors
from extmap_tf.grids.squares import SightlineGrid

SQUARES = SightlineGrid(359.0, 361.0, -1.0, 1.0, 0.5, 0.5)
PIXELS = HealpixGrid(64, (SkyRegion(l_min_deg=280.0, l_max_deg=284.0, b_min_deg=-2.0, b_max_deg=2.0),))
GRIDS = pytest.mark.parametrize("grid", [SQUARES, PIXELS], ids=["squares", "pixels"])


@GRIDS
def test_a_grid_has_every_member_of_the_protocol_with_its_parameters(grid):
    members = [name for name in vars(SkyGrid) if not name.startswith("_")]
    assert len(members) > 15
    for name in [*members, "rectangular"]:
        assert hasattr(grid, name), name
        if inspect.isfunction(asked := getattr(SkyGrid, name, None)):
            own = inspect.signature(getattr(type(grid), name))
            assert list(own.parameters) == list(inspect.signature(asked).parameters), name


@GRIDS
@pytest.mark.parametrize("size_deg", [0.3, 2.0])
def test_tiles_cover_the_fields_and_do_not_overlap(grid, size_deg):
    rng = np.random.default_rng(1)
    tiles = grid.tiles(size_deg)
    area_deg2 = sum(tile.area_deg2 for tile in tiles)
    per_deg2 = 4e4 / area_deg2
    l, b = np.concatenate([tile.draw(round(per_deg2 * tile.area_deg2), rng) for tile in tiles], axis=1)
    covered = grid.n_sightlines * grid.area_deg2
    if grid.rectangular:
        # Squares of half a degree, half a degree apart: the fields' edges at b = 1 deg are a little wider.
        covered = 2.5 * 2.5
    _, field = grid.fields_of(l, b)
    expected = per_deg2 * grid.area_deg2
    counts = np.bincount(field, minlength=grid.n_sightlines)
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected) + 1).all()
    assert area_deg2 > 0.999 * covered


@GRIDS
def test_every_sightline_stands_in_its_row_and_column(grid):
    l_deg, b_deg = grid.centers_deg()
    (l_edges, column), (b_edges, row) = grid.columns(), grid.rows()
    step = np.diff(l_edges)[0]
    assert (np.mod(l_deg - l_edges[column] + 1e-9, 360.0) < step + 2e-9).all()
    assert ((b_edges[row] <= b_deg) & (b_deg <= b_edges[row + 1])).all()
    assert (len(column), len(row)) == (grid.n_sightlines,) * 2


@GRIDS
def test_a_cut_goes_through_the_sightlines_at_its_longitude(grid):
    l = 0.5 * (grid.l_min_deg + grid.l_max_deg) + 0.1
    edges, drawn, index = grid.cut(l)
    assert abs((drawn - l + 180.0) % 360.0 - 180.0) <= 0.25
    middle = 0.5 * (edges[1:] + edges[:-1])
    np.testing.assert_array_equal(index, grid.sightline_of(np.full(middle.shape, drawn), middle))
    assert (grid.cut(100.0)[2] == -1).all()


@GRIDS
def test_the_part_in_a_region_knows_its_sightlines_here(grid):
    region = SkyRegion(grid.l_min_deg % 360.0, grid.l_min_deg % 360.0 + 1.1, -0.6, 3.0)
    part, index = grid.within(region)
    l_deg, b_deg = grid.centers_deg()
    inside = np.flatnonzero(region.contains(l_deg, b_deg))
    assert index.shape == part.shape
    np.testing.assert_array_equal(np.sort(index[index >= 0]), inside)
    for own, of_part in zip(grid.centers_deg(index[index >= 0]), part.centers_deg(), strict=True):
        np.testing.assert_allclose(own, of_part[index.ravel() >= 0])


@GRIDS
def test_a_grid_joined_with_itself_is_itself(grid):
    grid.require_joinable(grid, "a", "b")
    assert grid.joined([grid]) == grid


def test_squares_off_the_steps_cannot_be_joined():
    askew = SightlineGrid(359.25, 361.25, -1.0, 1.0, 0.5, 0.5)
    with pytest.raises(
        MismatchError, match=r"of a \(l from 359\) and b \(from 359\.25\) are not on one grid"
    ):
        SQUARES.require_joinable(askew, "a", "b")


def test_unit_vectors_and_separations_agree():
    rng = np.random.default_rng(1)
    l, b = rng.uniform(0, 360, (2, 50)), rng.uniform(-90, 90, (2, 50))
    first, second = unit_vectors(l, b)
    np.testing.assert_allclose(np.linalg.norm(first, axis=-1), 1.0)
    cosine = np.sum(first * second, axis=-1)
    np.testing.assert_allclose(np.cos(np.radians(separation_deg(l[0], b[0], l[1], b[1]))), cosine, atol=1e-12)
    np.testing.assert_allclose(unit_vectors(90.0, 0.0), (0.0, 1.0, 0.0), atol=1e-15)
