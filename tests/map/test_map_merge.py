import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extmap_tf.cli import main
from extmap_tf.errors import ConfigError, DataError, MismatchError
from extmap_tf.estimate import Flag
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map import merge
from extmap_tf.map.merge import _fields_in, merge_maps, write_merged
from extmap_tf.map.volume import ExtinctionMap

WEST = SightlineGrid(357.0, 359.0, -1.0, 1.0, 0.5, 0.5)
EAST = SightlineGrid(1.0, 3.0, -0.5, 1.5, 0.5, 0.5)
LAYERS = ("extinction", "density_std", "extinction_percentiles", "density_mean", "reliable_distance_kpc")


def test_neighbours_stand_side_by_side_across_l_0(make_sure_map):
    west, east = make_sure_map(WEST), make_sure_map(EAST, seed=2, config_name="other", model_digest="cc")
    both = merge_maps([east, west], ["east", "west"])
    assert both.grid == SightlineGrid(357.0, 363.0, -1.0, 1.5, 0.5, 0.5)
    for part in (west, east):
        l_deg, b_deg = part.grid.centers_deg()
        for how in ({}, {"mode": "std"}, {"mode": "percentile", "percentile": 84, "quantity": "density"}):
            found, flags = both.query_gal(l_deg, b_deg, return_flags=True, **how)
            expected, known = part.query_gal(l_deg, b_deg, return_flags=True, **how)
            np.testing.assert_allclose(found.value, expected.value, rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(flags, known)
    gap = both.query_gal(0.0, 0.0, return_flags=True)[1]
    assert gap & Flag.NO_STARS
    assert both.provenance.config_name == "other + carina"
    assert both.provenance.model_digest == "cc + aaaaaaaaaaaa"


def test_overlapping_maps_count_by_inverse_variance(make_sure_map):
    one, two = make_sure_map(), make_sure_map(seed=2, scale=2.0)
    both = merge_maps([one, two], ["one", "two"])
    a, b = one.extinction_std[3, 3], two.extinction_std[3, 3]
    w = b**2 / (a**2 + b**2)
    mean = w * one.extinction_mean[3, 3] + (1 - w) * two.extinction_mean[3, 3]
    np.testing.assert_allclose(both.extinction_mean[3, 3], np.maximum.accumulate(mean), rtol=1e-5)
    difference = one.extinction_mean[3, 3] - two.extinction_mean[3, 3]
    variance = w * a**2 + (1 - w) * b**2 + w * (1 - w) * difference**2
    np.testing.assert_allclose(both.extinction_std[3, 3], np.sqrt(variance), rtol=1e-4)
    apart = merge_maps([one, two], ["one", "two"], independent=True)
    np.testing.assert_allclose(apart.extinction_std[3, 3], 1 / np.sqrt(a**-2.0 + b**-2.0), rtol=1e-4)
    assert (np.diff(both.extinction[both.has_profile]) >= 0).all()
    assert (np.diff(both.extinction_percentiles[both.has_profile], axis=-1) >= 0).all()
    assert (np.diff(both.extinction_percentiles[both.has_profile], axis=-2) >= -1e-5).all()


def test_a_map_merged_with_itself_is_itself(sure):
    both = merge_maps([sure, sure], ["one", "again"])
    assert both.provenance == sure.provenance
    assert both.n_samples == 0
    np.testing.assert_array_equal(both.flag, sure.flag)
    for name in LAYERS:
        np.testing.assert_allclose(
            getattr(both, name), getattr(sure, name), rtol=1e-4, atol=1e-6, err_msg=name
        )


def test_a_doubtful_profile_does_not_count_beside_a_sure_one(make_sure_map):
    one = make_sure_map()
    sound = make_sure_map(seed=3)
    clean = ExtinctionMap(
        sound.header,
        dataclasses.replace(sound.profiles, flag=np.zeros(sound.grid.shape, int)),
        sound.coverage,
        sound.n_stars,
    )
    both = merge_maps([one, clean], ["one", "clean"])
    assert one.flag[2, 3] == Flag.ODD_COLORS
    assert both.flag[2, 3] == 0
    np.testing.assert_allclose(both.extinction[2, 3], clean.extinction[2, 3], rtol=1e-5)


def test_maps_that_do_not_go_together_are_named_with_what_differs(make_sure_map, make_map):
    one = make_sure_map()
    for other, words in (
        (make_sure_map(law_model="F19"), "law.model = 'G23'.*'F19'"),
        (make_sure_map(blue_over_red=2.5), "blue_over_red = 2.61.*2.5"),
        (make_sure_map(band="H"), "band = 'Ks'.*'H'"),
        (make_sure_map(band_um=2.15), "band_um = 2.159.*2.15"),
        (make_sure_map(distance=DistanceGrid(0.2, 12)), "distance.step_kpc = 0.1.*0.2"),
        (make_sure_map(SightlineGrid(257.0, 260.0, -1.0, 1.0, 1.0, 0.5)), "sky.step_deg = 0.5.*1.0"),
        (
            make_sure_map(SightlineGrid(257.2, 260.2, -1.0, 1.0, 0.5, 0.5)),
            "l from 257.*from 257.2.*not on one",
        ),
        (make_map(), "percentiles"),
    ):
        with pytest.raises(MismatchError, match=words) as caught:
            merge_maps([one, other], ["one.fits", "other.fits"])
        assert "one.fits" in str(caught.value)
        assert "other.fits" in str(caught.value)
    with pytest.raises(ConfigError, match="two or more"):
        merge_maps([one], ["one.fits"])


def test_truths_are_joined_but_not_averaged(make_map):
    west, east = make_map(WEST, kind="truth"), make_map(EAST, kind="truth")
    both = merge_maps([west, east], ["west", "east"])
    np.testing.assert_array_equal(both.query_gal(1.5, 0.5).value, east.query_gal(1.5, 0.5).value)
    with pytest.raises(DataError, match="overlap and have no standard deviation"):
        merge_maps([west, west], ["west", "again"])


@given(
    st.integers(0, 719), st.integers(1, 300), st.integers(-300, 300), st.integers(1, 60), st.integers(-9, 9)
)
@settings(max_examples=200, deadline=None)
def test_every_sightline_keeps_its_place_in_the_union(start, n_first, shift, n_second, up):
    first = SightlineGrid(start / 2, (start + n_first - 1) / 2, -3.0, 3.0, 0.5, 0.5)
    begin = (start + shift) % 720
    second = SightlineGrid(begin / 2, (begin + n_second - 1) / 2, -3.0 + up / 2, 1.0 + up / 2, 0.5, 0.5)
    union = first.joined([second])
    for grid in (first, second):
        own = _fields_in(grid, union)
        (place,) = np.nonzero(own >= 0)
        np.testing.assert_array_equal(np.sort(own[place]), np.arange(grid.n_sightlines))
        i_b, i_l = np.unravel_index(place[np.argsort(own[place])].reshape(grid.shape), union.shape)
        np.testing.assert_allclose(union.b_deg[i_b], np.broadcast_to(grid.b_deg[:, None], grid.shape))
        difference = union.l_deg[i_l] - grid.l_deg
        np.testing.assert_allclose((difference + 180.0) % 360.0, 180.0)
    assert all(abs(x - round(x)) < 1e-6 for x in second.offset_from(first))


def test_a_map_that_tells_nothing_of_its_model_merges_with_one_that_does(make_map):
    west, east = make_map(WEST, model_facts="small network"), make_map(EAST)
    assert merge_maps([west, east], ["west", "east"]).provenance.model_facts == "small network"


@pytest.mark.parametrize("independent", [False, True])
def test_a_map_merged_in_parts_is_the_one_merged_in_memory(make_sure_map, tmp_path, monkeypatch, independent):
    monkeypatch.setattr(merge, "_FIELDS_AT_ONCE", 7)
    paths = [tmp_path / name for name in ("west.fits", "east.fits", "parts.fits", "memory.fits")]
    for path, grid, seed in zip(paths[:2], (WEST, WEST), (1, 2), strict=True):
        make_sure_map(grid, seed=seed).write(path)
    maps = [ExtinctionMap.read(path) for path in paths[:2]]
    write_merged(paths[2], maps, ["west", "east"], independent)
    merge_maps(maps, ["west", "east"], independent).write(paths[3])
    assert paths[2].read_bytes() == paths[3].read_bytes()


def test_memory_is_let_go_and_read_again(make_sure_map, tmp_path):
    made = make_sure_map(WEST)
    made.write(tmp_path / "west.fits")
    west = ExtinctionMap.read(tmp_path / "west.fits")
    for volume in (west, made):
        before = np.array(volume.extinction_percentiles)
        volume.let_go()
        np.testing.assert_array_equal(volume.extinction_percentiles, before)


def test_the_command_writes_the_merged_map(make_sure_map, tmp_path, capsys):
    make_sure_map(WEST).write(tmp_path / "west.fits")
    make_sure_map(EAST, seed=2).write(tmp_path / "east.fits")
    paths = [str(tmp_path / name) for name in ("west.fits", "east.fits", "both.fits")]
    assert main(["merge", *paths[:2], "-o", paths[2]]) == 0
    assert capsys.readouterr().out == f"{paths[2]}\n"
    assert ExtinctionMap.read(paths[2], verify=True).grid.n_l == 13
    assert main(["merge", *paths[:2], "-o", paths[2]]) == 1
    assert "exists already" in capsys.readouterr().err


def test_the_command_refuses_the_same_file_twice(make_sure_map, tmp_path, capsys):
    west = tmp_path / "west.fits"
    make_sure_map(WEST).write(west)
    (tmp_path / "link.fits").symlink_to(west)
    for again in (west, tmp_path / "link.fits", tmp_path / ".." / tmp_path.name / "west.fits"):
        argv = ["merge", str(west), str(again), "-o", str(tmp_path / "both.fits"), "--independent"]
        assert main(argv) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{again} is the same file as {west}: give each map once" in line
    assert not (tmp_path / "both.fits").exists()
