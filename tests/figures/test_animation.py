"""The map with distance as time."""

import numpy as np
import pytest
from PIL import Image

from extmap_tf.cli import main
from extmap_tf.errors import DataError
from extmap_tf.figures.animation import frame_bins, frames, save_animation
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.regions import SkyRegion


def test_each_frame_shows_the_column_and_the_dust_of_its_distance(make_map):
    volume, truth = make_map(holes=False), make_map(seed=2, kind="truth", holes=False)
    for k, figure in enumerate(frames(volume, truth)):
        shown = [axis.collections[0] for axis in figure.axes if axis.get_title()]
        expected = [one for each in (volume, truth) for one in (each.extinction, each.rise)]
        for mesh, layer in zip(shown, expected, strict=True):
            np.testing.assert_allclose(mesh.get_array(), layer[..., k], rtol=1e-5, atol=1e-6)
        assert figure.get_suptitle() == f"{volume.distance.outer_kpc[k]:.2f} kpc"
    assert k == volume.distance.n_distances - 1


def test_of_many_bins_some_are_shown_and_the_last_of_all():
    assert frame_bins(12).tolist() == list(range(12))
    bins = frame_bins(1000)
    assert bins.size <= 120
    assert bins[-1] == 999


def test_the_file_moves_and_is_the_same_each_time(make_map, tmp_path):
    grid = HealpixGrid(16, (SkyRegion(l_min_deg=0.0, l_max_deg=30.0, b_min_deg=-5.0, b_max_deg=5.0),))
    volume = make_map(grid, holes=False)
    for name in "ab":
        save_animation(volume, tmp_path / f"{name}.gif")
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == volume.distance.n_distances
        assert picture.info["loop"] == 0
    with pytest.raises(DataError, match="exists already"):
        save_animation(volume, tmp_path / "a.gif")


def test_animation_and_clouds_from_the_command_line(volume, tmp_path, capsys):
    volume.write(tmp_path / "map.fits")
    table = tmp_path / "clouds.csv"
    table.write_text("region,distance_pc,err_pc,l_deg,b_deg\nA,500,20,258.5,0.5\n")
    argv = ["plot", str(tmp_path / "map.fits"), "--clouds", str(table), "--columns", "1"]
    assert main([*argv, "--animate", "--out", str(tmp_path / "a")]) == 0
    assert str(tmp_path / "a" / "distances.gif") in capsys.readouterr().out.split()
    table.write_text("region,distance_pc,err_pc,l_deg,b_deg\nA,500,20,10,0.5\n")
    assert main([*argv, "--out", str(tmp_path / "b")]) == 1
    assert "no published cloud is inside the map" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
