"""The layer of the smallest wall of dust that a map would show."""

import dataclasses

import numpy as np
import pytest

from extmap_tf.cli import main
from extmap_tf.errors import DataError
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.regions import SkyRegion
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map.header import MapHeader
from extmap_tf.map.merge import merge_maps
from extmap_tf.map.volume import ExtinctionMap


def with_walls(sure, grid=None):
    """A map with the layer: nothing is found in the first two bins, then 0.1 mag at the sightlines' rank."""
    profiles, n = sure.profiles.reshaped(-1), sure.grid.n_sightlines
    walls = 0.1 + 0.001 * np.arange(n)[:, None] + np.zeros(sure.distance.n_distances)
    walls[:, :2] = np.nan
    grid = grid or sure.grid
    walls = walls[: grid.n_sightlines].reshape(*grid.shape, -1)
    header = MapHeader(grid, sure.distance, sure.provenance, wall_sigma=3.0)
    stars = np.full(grid.shape, 100)
    part = profiles[np.arange(grid.n_sightlines)].reshaped(*grid.shape)
    part = dataclasses.replace(part, flag=np.zeros(grid.shape, int))
    return ExtinctionMap(header, part, np.ones(grid.shape), stars, smallest_wall=walls)


@pytest.fixture(params=["squares", "pixels"])
def walled(request, sure):
    pixels = HealpixGrid(32, (SkyRegion(l_deg=258.0, b_deg=0.0, radius_deg=4.0),))
    return with_walls(sure, pixels if request.param == "pixels" else None)


def test_a_file_gives_the_layer_back_and_says_what_it_is(walled, tmp_path, capsys):
    walled.write(tmp_path / "map.fits")
    again = ExtinctionMap.read(tmp_path / "map.fits", verify=True)
    assert again.header.wall_sigma == 3.0
    np.testing.assert_array_equal(again.smallest_wall, walled.smallest_wall)
    assert main(["info", str(tmp_path / "map.fits")]) == 0
    told = capsys.readouterr().out
    assert "smallest wall  found at 3 sigma: 0.1" in told
    assert main(["convert", str(tmp_path / "map.fits"), str(tmp_path / "copy.h5")]) == 0
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "copy.h5") as file:
        assert file["smallest_wall"].attrs["unit"] == "mag"


def test_a_wall_is_in_the_band_of_the_map_and_stays_with_its_sightline(sure):
    walled = with_walls(sure)
    reddening = walled.in_band("E(J-Ks)")
    factor = walled.band_factor("E(J-Ks)")
    np.testing.assert_allclose(reddening.smallest_wall, factor * walled.smallest_wall, rtol=1e-6)
    part = walled.within(SkyRegion(257.9, 259.1, -0.6, 0.6))
    np.testing.assert_array_equal(part.smallest_wall, walled.smallest_wall[1:4, 2:5])
    east, west = (walled.within(SkyRegion(*l_deg, -1.0, 1.0)) for l_deg in ((257, 258.4), (258.4, 260)))
    assert not hasattr(merge_maps([east, west], ["east", "west"]), "smallest_wall")


def test_a_layer_that_cannot_be_is_refused(sure):
    header = dataclasses.replace(sure.header, wall_sigma=3.0)
    arrays = (sure.profiles, sure.coverage, sure.n_stars)
    with pytest.raises(DataError, match="smallest_wall must be given of a map with wall_sigma alone"):
        ExtinctionMap(header, *arrays)
    for walls in (np.ones(sure.grid.shape), np.zeros(sure.extinction.shape)):
        with pytest.raises(DataError, match="must be above 0 or NaN, of the shape"):
            ExtinctionMap(header, *arrays, smallest_wall=walls)
    empty = ~sure.has_profile
    assert empty.any()
    walled = ExtinctionMap(header, *arrays, smallest_wall=np.ones(sure.extinction.shape))
    assert np.isnan(walled.smallest_wall[empty]).all()
    assert isinstance(sure.grid, SightlineGrid)
