"""A map for other tools: coverage, shells of distance, tables of profiles; and its parts."""

import dataclasses
import pickle

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits, votable
from astropy.table import Table
from astropy_healpix import healpix_to_lonlat, lonlat_to_healpix
from pyarrow import parquet

from extmap_tf.cli import main
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import EMPTY_FLAGS
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.regions import SkyRegion
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.info import describe
from extmap_tf.map.example import EXAMPLE_FILE, example_layers
from extmap_tf.map.exports import write_moc, write_profiles, write_shells
from extmap_tf.map.header import MapHeader
from extmap_tf.map.make_example import pack
from extmap_tf.map.table_query import read_table
from extmap_tf.map.volume import ExtinctionMap


@pytest.fixture(scope="module")
def pixels(make_sure_map, make_provenance):
    """A map on HEALPix pixels across l = 0."""
    grid = HealpixGrid(32, (SkyRegion(355.0, 365.0, -4.0, 4.0),))
    row = make_sure_map(SightlineGrid(0.0, grid.n_sightlines - 1.0, 0.0, 2.0, 1.0, 1.0))
    profiles = dataclasses.replace(row.profiles[0], flag=np.zeros(grid.shape, int))
    header = MapHeader(grid, row.distance, make_provenance())
    return ExtinctionMap(header, profiles, np.ones(grid.shape), np.full(grid.shape, 100))


def covered(path, place):
    """Whether positions are in a MOC, by its own numbers."""
    table = Table.read(path)
    inside = np.zeros(len(place), bool)
    for uniq in table["UNIQ"].data:
        order = int(np.log2(uniq // 4)) // 2
        cells = lonlat_to_healpix(place.ra, place.dec, 2**order, order="nested")
        inside |= cells == uniq - 4 * 4**order
    return inside


@pytest.mark.parametrize("kind", ["squares", "pixels"])
def test_a_moc_covers_the_sightlines_that_have_a_profile(kind, sure, pixels, tmp_path):
    volume = sure if kind == "squares" else pixels
    order, area_deg2 = write_moc(volume, tmp_path / "map.moc.fits")
    l_deg, b_deg = volume.grid.centers_deg()
    place = SkyCoord(l_deg * u.deg, b_deg * u.deg, frame="galactic").icrs
    found = covered(tmp_path / "map.moc.fits", place)
    assert found[volume.has_profile.ravel()].all()
    cell_deg2 = 41252.96 / (12 * 4**order)
    sky_deg2 = volume.grid.cells_deg2()[volume.has_profile.ravel()].sum()
    border = 4 * np.sqrt(volume.grid.n_sightlines * volume.grid.cells_deg2().max() * cell_deg2)
    assert sky_deg2 * 0.98 < area_deg2 < sky_deg2 + 3 * border
    # Cells are finer than the map's fields, so that little beside them is in it.
    assert cell_deg2 < 0.3 * volume.grid.cells_deg2().min()
    away = SkyCoord([20.0, l_deg[0]] * u.deg, [0.0, 30.0] * u.deg, frame="galactic").icrs
    assert not covered(tmp_path / "map.moc.fits", away).any()
    header = fits.getheader(tmp_path / "map.moc.fits", 1)
    assert (header["ORDERING"], header["COORDSYS"], header["MOCORDER"]) == ("NUNIQ", "C", order)
    assert "coverage of a map" in "\n".join(describe(tmp_path / "map.moc.fits", verify=True))


def test_cells_of_a_moc_are_merged_and_apart(pixels, tmp_path):
    order, area_deg2 = write_moc(pixels, tmp_path / "map.moc.fits")
    uniq = Table.read(tmp_path / "map.moc.fits")["UNIQ"].data
    levels = np.log2(uniq // 4).astype(int) // 2
    assert np.unique(levels).size > 1
    fine = [
        (number - 4 * 4**level) * 4 ** (order - level) + np.arange(4 ** (order - level))
        for number, level in zip(uniq.tolist(), levels.tolist(), strict=True)
    ]
    fine = np.concatenate(fine)
    assert np.unique(fine).size == fine.size
    assert area_deg2 == pytest.approx(fine.size * 41252.96 / (12 * 4**order))


def test_shells_add_up_to_the_column(sure, tmp_path):
    paths = write_shells(sure, tmp_path / "shells", [0.0, 0.5, 1.2])
    assert [path.name for path in paths] == ["shell_0_0.5kpc.fits", "shell_0.5_1.2kpc.fits"]
    shells = [Table.read(path) for path in paths]
    header = fits.getheader(paths[1], 1)
    assert (header["ORDERING"], header["COORDSYS"], header["SHELLMIN"]) == ("NESTED", "G", 0.5)
    place = healpix_to_lonlat(shells[0]["PIXEL"], header["NSIDE"], order="nested")
    whole = sure.query_gal(*place, 1.2)
    together = shells[0]["EXTINCTION"] + shells[1]["EXTINCTION"]
    np.testing.assert_allclose(together, whole.value, atol=1e-5)
    assert "between 0.5 and 1.2 kpc" in "\n".join(describe(paths[1], verify=True))
    for bad in ([0.5], [0.5, 0.5], [1.0, 0.5], [0.0, 5.0], [-1.0, 1.0]):
        with pytest.raises(ConfigError, match="shells need two edges or more"):
            write_shells(sure, tmp_path / "other", bad)
    with pytest.raises(DataError, match="exists already"):
        write_shells(sure, tmp_path / "shells", [0.5, 1.2])
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("suffix", ["vot", "parquet"])
def test_profiles_come_back_with_units_and_origin(suffix, sure, tmp_path):
    path = tmp_path / f"profiles.{suffix}"
    n_rows = write_profiles(sure, path)
    assert n_rows == np.count_nonzero(sure.has_profile) * sure.distance.n_distances
    table = read_table(path)
    one = table[(table["l"] == 258.0) & (table["b"] == 0.0)]
    assert list(one["distance"]) == pytest.approx(sure.distance.outer_kpc)
    expected = sure.query_gal(258.0, 0.0, mode="percentile", percentile=97.5).value
    np.testing.assert_array_equal(one["extinction_p97_5"], expected)
    if suffix == "vot":
        assert table["extinction"].unit == u.mag
        told = {info.name: info.value for info in votable.parse(path).resources[0].infos}
        assert (told["BAND"], told["MODEL_NAME"]) == ("Ks", "carina-small")
    else:
        told = str(parquet.read_schema(path).metadata)
        assert "unit: mag" in told
        assert "carina-small" in told
    assert "profiles" in "\n".join(describe(path))
    with pytest.raises(DataError, match="exists already"):
        write_profiles(sure, path)


def test_the_command_makes_all_copies_and_says_what_goes_with_what(sure, tmp_path, capsys):
    sure.write(tmp_path / "map.fits")

    def convert(*words):
        return main(["convert", str(tmp_path / "map.fits"), *map(str, words)])

    for name in ("c.moc.fits", "c.vot", "c.parquet"):
        assert convert(tmp_path / name) == 0
    assert convert(tmp_path / "shells", "--shells", 0, 1) == 0
    assert "shell_0_1kpc.fits" in capsys.readouterr().out
    for words, message in (
        ((tmp_path / "x.txt",), "must end in .fits"),
        ((tmp_path / "x.fits", "--shells", 0, 1), "in a folder"),
        ((tmp_path / "x.vot", "--nside", 64), "--nside goes with"),
        ((tmp_path / "x.moc.fits", "--band", "V"), "--band goes with .fits and .h5"),
        ((tmp_path / "shells", "--shells", 0, 1), "exists already"),
    ):
        assert convert(*words) == 1
        assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("x.*"))


def test_a_part_of_a_map_on_squares_is_a_map(sure, tmp_path):
    part = sure.within(SkyRegion(257.9, 259.1, -0.6, 0.6))
    assert part.grid == SightlineGrid(258.0, 259.0, -0.5, 0.5, 0.5, 0.5)
    place = (258.5, 0.5, 0.7)
    assert part.query_gal(*place) == sure.query_gal(*place)
    np.testing.assert_array_equal(part.flag, sure.flag[1:4, 2:5])
    part.write(tmp_path / "part.fits")
    assert ExtinctionMap.read(tmp_path / "part.fits").grid == part.grid
    with pytest.raises(DataError, match="no sightline of the map is in the region"):
        sure.within(SkyRegion(10.0, 20.0))


def test_a_part_of_a_map_on_pixels_is_exactly_the_region(pixels):
    region = SkyRegion(l_deg=5.0, b_deg=0.0, radius_deg=2.5)
    part = pixels.within(region)
    assert part.grid == HealpixGrid(32, (region,))
    l_deg, b_deg = part.grid.centers_deg()
    known = pixels.grid.sightline_of(l_deg, b_deg) >= 0
    assert known.any()
    assert not known.all()
    np.testing.assert_array_equal(part.has_profile, known)
    assert (part.flag[~known] & EMPTY_FLAGS.value != 0).all()
    same = pixels.query_gal(l_deg[known], b_deg[known], 0.9)
    np.testing.assert_array_equal(part.query_gal(l_deg[known], b_deg[known], 0.9), same)


def test_the_profile_at_a_position_is_a_table(sure, volume):
    place = SkyCoord(258.1 * u.deg, 0.1 * u.deg, frame="galactic")
    table = sure.at(place)
    np.testing.assert_array_equal(table["extinction"], sure.query(place))
    assert {"extinction_std", "extinction_p16", "extinction_p2_5", "reliable"} <= set(table.colnames)
    assert table.meta["BAND"] == "Ks"
    assert "reliable" not in volume.at(place.icrs).colnames
    with pytest.raises(DataError, match="outside the map"):
        sure.at(SkyCoord(10 * u.deg, 0 * u.deg, frame="galactic"))
    with pytest.raises(DataError, match="one position, got: 2"):
        sure.at(SkyCoord([1, 2] * u.deg, [0, 0] * u.deg, frame="galactic"))


def test_the_example_is_a_whole_small_map(tmp_path):
    volume = ExtinctionMap.example()
    assert volume.has_profile.all()
    assert volume.n_samples >= 8
    assert volume.path is None
    back = pickle.loads(pickle.dumps(volume))
    np.testing.assert_array_equal(back.extinction, volume.extinction)
    volume.write(tmp_path / "map.fits")
    assert describe(tmp_path / "map.fits", verify=True)[1:] == volume.describe()
    assert example_layers()[1] == volume.header


def test_the_example_is_made_anew_as_it_is(tmp_path):
    ExtinctionMap.example().write(tmp_path / "map.fits")
    n_bytes = pack(tmp_path / "map.fits", tmp_path / EXAMPLE_FILE)
    assert n_bytes < 1_000_000


def test_an_example_needs_samples(make_sure_map, tmp_path):
    make_sure_map(samples=False).write(tmp_path / "map.fits")
    with pytest.raises(DataError, match="16 are needed"):
        pack(tmp_path / "map.fits", tmp_path / EXAMPLE_FILE)


@pytest.mark.parametrize("kind", ["moc", "shell"])
def test_an_export_that_is_damaged_is_one_line(kind, sure, tmp_path):
    write_moc(sure, tmp_path / "map.moc.fits")
    (shell,) = write_shells(sure, tmp_path / "shells", (0.0, sure.distance.max_kpc))
    path = shell if kind == "shell" else tmp_path / "map.moc.fits"
    whole = path.read_bytes()
    at = whole.rindex(b"NAXIS2  =")
    for data in (whole[:-2880], whole[:at] + b"NAXIS2  =                   -5" + whole[at + 30 :]):
        path.write_bytes(data)
        with pytest.raises(DataError) as caught:
            describe(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
