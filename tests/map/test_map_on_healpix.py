"""Maps whose sightlines are HEALPix pixels: all that can be asked of other maps."""

import dataclasses
import pickle

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table

from extmap_tf.cli import main
from extmap_tf.compare.clouds import find_clouds
from extmap_tf.compare.maps import compare
from extmap_tf.errors import ConfigError, DataError, MismatchError
from extmap_tf.estimate import Flag, ProfileEstimate
from extmap_tf.evaluation.fingers import fingers_of_god
from extmap_tf.evaluation.metrics import compare_maps
from extmap_tf.figures import comparison as compare_figures
from extmap_tf.figures.gallery import standard_figures
from extmap_tf.figures.plane import PlaneView, face_on, near_the_plane
from extmap_tf.figures.projection import projection_of
from extmap_tf.figures.sky import latitude_cuts, sky
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.regions import SkyRegion
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.info import describe
from extmap_tf.map.copies import write_hdf5, write_healpix
from extmap_tf.map.dustmaps_query import ExtmapQuery
from extmap_tf.map.header import MapHeader
from extmap_tf.map.merge import merge_maps
from extmap_tf.map.pixels import pixels_of
from extmap_tf.map.volume import ExtinctionMap

CAP = HealpixGrid(32, (SkyRegion(b_deg=90.0, radius_deg=6.0),))
PLANE = HealpixGrid(32, (SkyRegion(355.0, 375.0, -4.0, 4.0),))
DISTANCE = DistanceGrid(0.1, 12)
EMPTY, ODD = 1, 5


@pytest.fixture(scope="module")
def make(make_sure_map, make_provenance):
    """A map with a distribution on HEALPix pixels; pixel `EMPTY` has no star, `ODD` odd colours."""

    def made(grid=CAP, seed=1, samples=True, **others):
        # The same random numbers as on a row of squares, and of these the layers alone.
        row = make_sure_map(SightlineGrid(0.0, grid.n_sightlines - 1.0, 0.0, 2.0, 1.0, 1.0), DISTANCE, seed)
        n_stars, flag = row.n_stars[0].copy(), np.zeros(grid.shape, int)
        n_stars[EMPTY], flag[ODD] = 0, Flag.ODD_COLORS
        kept = row.samples[0][:, :8] if samples else None
        profiles = dataclasses.replace(row.profiles[0], flag=flag, samples=kept)
        header = MapHeader(grid, DISTANCE, make_provenance(**others))
        return ExtinctionMap(header, profiles, np.ones(grid.shape), n_stars)

    return made


@pytest.fixture(scope="module")
def cap(make):
    return make()


@pytest.fixture(scope="module")
def cap_file(cap, tmp_path_factory):
    path = tmp_path_factory.mktemp("healpix") / "map.fits"
    cap.write(path)
    return path


def positions(grid, n, seed=3):
    """Over the grid and some way around it."""
    rng = np.random.default_rng(seed)
    l_deg, b_deg = grid.parts_deg(4)
    chosen = rng.integers(l_deg.size, size=n)
    b_deg = np.clip(b_deg[chosen] + rng.normal(0.0, 0.7, n), -90.0, 90.0)
    return l_deg[chosen] + rng.uniform(-2.0, 2.0, n), b_deg, rng.uniform(0.0, 1.2 * DISTANCE.max_kpc, n)


def nearest_by_loop(grid, l_deg, b_deg):
    healpy = pytest.importorskip("healpy")
    pixel = healpy.ang2pix(grid.nside, l_deg, b_deg, nest=True, lonlat=True)
    return {p: i for i, p in enumerate(grid.pixels.tolist())}.get(int(pixel))


@pytest.mark.parametrize("grid", [CAP, PLANE], ids=["pole", "plane"])
def test_nearest_values_equal_a_brute_force_loop(make, grid):
    volume = make(grid)
    l_deg, b_deg, d_kpc = positions(grid, 400)
    cumulative, flags = volume.query_gal(l_deg, b_deg, d_kpc, return_flags=True)
    density = volume.query_gal(l_deg, b_deg, d_kpc, quantity="density")
    high = volume.query_gal(l_deg, b_deg, d_kpc, mode="percentile", percentile=84)
    n_outside = 0
    for i in range(len(l_deg)):
        index = nearest_by_loop(grid, l_deg[i], b_deg[i])
        if index is None:
            assert np.isnan(cumulative[i])
            assert flags[i] == Flag.OUTSIDE_SKY
            n_outside += 1
            continue
        expected = int(volume.flag[index])
        expected |= Flag.BEYOND_LAST_DISTANCE if d_kpc[i] > DISTANCE.max_kpc else 0
        at = min(int(np.ceil(d_kpc[i] / 0.1)) - 1, DISTANCE.n_distances - 1)
        expected |= 0 if volume.reliable[index, at] else Flag.UNRELIABLE
        assert flags[i] == expected
        edges = DISTANCE.edges_kpc
        for found, profile in (
            (cumulative, volume.extinction[index]),
            (high, volume.extinction_percentiles[index, 6]),
        ):
            at = np.interp(d_kpc[i], edges, np.append(0.0, profile))
            np.testing.assert_allclose(found[i].value, at, rtol=1e-5, atol=1e-6)
        if d_kpc[i] < DISTANCE.max_kpc:
            np.testing.assert_array_equal(density[i].value, volume.density[index, int(d_kpc[i] / 0.1)])
    assert 0 < n_outside < 300


def test_linear_values_lie_between_and_are_exact_at_the_centres(cap):
    l_deg, b_deg = cap.grid.centers_deg()
    good = cap.has_profile
    found = cap.query_gal(l_deg, b_deg, 0.75, sky="linear")
    np.testing.assert_allclose(found[good], cap.query_gal(l_deg, b_deg, 0.75)[good], rtol=1e-4)
    l_deg, b_deg, d_kpc = positions(cap.grid, 300)
    values, flags = cap.query_gal(l_deg, b_deg, d_kpc, sky="linear", return_flags=True)
    for i in range(len(l_deg)):
        outside = nearest_by_loop(cap.grid, l_deg[i], b_deg[i]) is None
        assert outside == bool(flags[i] & Flag.OUTSIDE_SKY)
        if outside:
            assert np.isnan(values[i])
            continue
        corners = cap.grid.interpolation(l_deg[i : i + 1], b_deg[i : i + 1])
        by_hand = 0.0
        for index, weight in corners:
            if weight[0] > 0:
                profile = np.append(0.0, cap.extinction[index[0]])
                by_hand += weight[0] * np.interp(d_kpc[i], DISTANCE.edges_kpc, profile)
        np.testing.assert_allclose(values[i].value, by_hand, rtol=1e-4, atol=1e-6)


def test_whole_profiles_samples_and_other_frames(cap):
    assert cap.query_gal(10.0, 89.0).shape == (12,)
    assert cap.query_gal([10.0, 20.0], 89.0, mode="samples").shape == (2, 8, 12)
    assert cap.query_gal([10.0, 20.0], 89.0, 0.5, mode="percentile", percentile=[16, 84]).shape == (2, 2)
    drawn = cap.query_gal(*cap.grid.centers_deg(), 0.6, mode="random_sample", seed=3)
    assert drawn.shape == cap.grid.shape
    place = SkyCoord(30 * u.deg, 88 * u.deg, distance=0.5 * u.kpc, frame="galactic")
    assert cap.query(place.icrs).value == pytest.approx(cap.query(place).value)
    query = ExtmapQuery(cap)
    found, flags = query.query(place, return_flags=True)
    assert found == pytest.approx(cap.query(place).value)
    assert flags["flag"] in (0, int(Flag.UNRELIABLE))


def test_a_map_comes_back_from_its_file_lazily(cap, cap_file, tmp_path):
    again = ExtinctionMap.read(cap_file, verify=True)
    assert (again.grid, again.distance, again.provenance) == (cap.grid, cap.distance, cap.provenance)
    assert again.percentiles == cap.percentiles
    assert again.n_samples == 8
    for name, layer in cap._layers.items():
        np.testing.assert_array_equal(getattr(again, name), layer, err_msg=name)
        assert not getattr(again, name).flags.writeable
    assert not again.extinction_percentiles.flags.owndata
    base = again.extinction_percentiles
    while isinstance(base, np.ndarray):
        base = base.base
    assert type(base).__name__ == "mmap"
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(again)).flag, cap.flag)
    assert len(pickle.dumps(again)) < 5000
    cap.write(tmp_path / "same.fits")
    assert (tmp_path / "same.fits").read_bytes() == cap_file.read_bytes()


def test_the_file_is_a_table_that_other_programs_read(cap, cap_file):
    healpy = pytest.importorskip("healpy")
    sky = Table.read(cap_file, hdu="SKY")
    np.testing.assert_array_equal(sky["PIXEL"], cap.grid.pixels)
    np.testing.assert_array_equal(sky["EXTINCTION"], cap.extinction[:, -1])
    assert sky["EXTINCTION"].unit == u.mag
    profiles = Table.read(cap_file, hdu="PROFILES")
    np.testing.assert_array_equal(profiles["DENSITY_PERCENTILES"], cap.density_percentiles)
    with fits.open(cap_file) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == ["SKY", "PROFILES", "DISTANCES"]
        header = hdus["SKY"].header
        stated = {"PIXTYPE": "HEALPIX", "ORDERING": "NESTED", "NSIDE": 32, "COORDSYS": "G"}
        stated |= {"INDXSCHM": "EXPLICIT", "OBJECT": "PARTIAL", "BIT32": "ODD_COLORS", "EXTMAPV": 6}
        assert {key: header[key] for key in stated} == stated
        assert (header["SKYNSIDE"], header["NREGIONS"], header["R1B"], header["R1RAD"]) == (32, 1, 90.0, 6.0)
        assert header["CONFDIG"] == cap.provenance.config_digest
        names = hdus["PROFILES"].columns.names
        comments = [hdus["PROFILES"].header.get(f"TCOMM{i}") for i in range(1, len(names) + 1)]
        assert dict(zip(names, comments, strict=True))["DENSITY"].startswith("median of A(Ks) per kpc")
    whole = healpy.read_map(cap_file, field=0, nest=True)
    assert whole.size == 12 * 32**2
    known = np.flatnonzero(whole != healpy.UNSEEN)
    np.testing.assert_array_equal(known[np.isfinite(whole[known])], cap.grid.pixels[cap.has_profile])


def test_damaged_files_are_refused_in_one_line(cap_file, tmp_path):
    good = cap_file.read_bytes()

    def refused(content, message, verify=False):
        path = tmp_path / "bad.fits"
        path.write_bytes(content)
        with pytest.raises(DataError, match=message) as caught:
            ExtinctionMap.read(path, verify=verify)
        assert "\n" not in str(caught.value)

    refused(good[: len(good) // 2], "truncated")
    with fits.open(cap_file) as hdus:
        place = hdus["PROFILES"].fileinfo()["datLoc"] + 4000
    broken = bytearray(good)
    broken[place] ^= 0xFF
    refused(bytes(broken), "damaged, the checksum of PROFILES fails", verify=True)
    changed = tmp_path / "changed.fits"
    for edit, message in (
        (lambda hdus: hdus.pop(), "the table DISTANCES is missing"),
        (lambda hdus: hdus["SKY"].data["PIXEL"].__setitem__(0, 0), "pixels of SKY are not those of its grid"),
        (lambda hdus: hdus[0].header.__setitem__("SKYNSIDE", 64), "PIXEL must be .* by its grids"),
        (lambda hdus: hdus[0].header.__setitem__("SKYNSIDE", 33), "nside must be a power of two"),
        (lambda hdus: hdus["PROFILES"].columns.del_col("DENSITY"), "PROFILES has no column DENSITY"),
        (lambda hdus: hdus[0].header.__setitem__("EXTMAPV", 7), "update extmap_tf"),
    ):
        with fits.open(cap_file) as hdus:
            edit(hdus)
            hdus.writeto(changed, overwrite=True)
        refused(changed.read_bytes(), message)


def test_a_truth_has_no_distribution_and_comes_back(make_map, tmp_path):
    grid = HealpixGrid(8)
    rng = np.random.default_rng(1)
    flat = make_map(kind="truth", holes=False)
    profiles = ProfileEstimate.of_density(rng.gamma(0.5, 0.4, (*grid.shape, 12)), DISTANCE.step_kpc)
    header = MapHeader(grid, DISTANCE, flat.provenance)
    made = ExtinctionMap(header, profiles, np.ones(grid.shape), np.zeros(grid.shape, int))
    made.write(tmp_path / "truth.fits")
    again = ExtinctionMap.read(tmp_path / "truth.fits", verify=True)
    assert again.grid == grid
    assert fits.getheader(tmp_path / "truth.fits", "SKY")["OBJECT"] == "FULLSKY"
    np.testing.assert_array_equal(again.density, made.density)
    # Linear interpolation knows no edge on the whole sky.
    l_deg, b_deg = rng.uniform(-400, 800, 3000), np.degrees(np.arcsin(rng.uniform(-1, 1, 3000)))
    assert np.isfinite(made.query_gal(l_deg, b_deg, 1.0, sky="linear").value).all()


def test_merged_maps_have_the_sightlines_of_both(make):
    other = make(HealpixGrid(32, (SkyRegion(l_deg=0.0, b_deg=80.0, radius_deg=6.0),)), seed=2)
    one = make()
    both = merge_maps([one, other], ["one", "other"])
    np.testing.assert_array_equal(both.grid.pixels, np.union1d(one.grid.pixels, other.grid.pixels))
    alone = ~np.isin(one.grid.pixels, other.grid.pixels)
    l_deg, b_deg = (angle[alone] for angle in one.grid.centers_deg())
    for how in ({}, {"mode": "std"}, {"mode": "percentile", "percentile": 84, "quantity": "density"}):
        found, flags = both.query_gal(l_deg, b_deg, return_flags=True, **how)
        expected, known = one.query_gal(l_deg, b_deg, return_flags=True, **how)
        np.testing.assert_allclose(found.value, expected.value, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(flags, known)
    shared = np.intersect1d(one.grid.pixels, other.grid.pixels)
    assert shared.size
    i, j, k = (np.searchsorted(volume.grid.pixels, shared[-1]) for volume in (one, other, both))
    a, b = one.extinction_std[i], other.extinction_std[j]
    w = b**2 / (a**2 + b**2)
    mean = w * one.extinction_mean[i] + (1 - w) * other.extinction_mean[j]
    np.testing.assert_allclose(both.extinction_mean[k], np.maximum.accumulate(mean), rtol=1e-4)


def test_maps_of_other_grids_do_not_go_together(make, sure):
    with pytest.raises(MismatchError, match=r"grid = 'HealpixGrid', b .* has 'SightlineGrid'"):
        merge_maps([make(), sure], ["a", "b"])
    with pytest.raises(MismatchError, match=r"nside = 32, b .* has 64"):
        merge_maps([make(), make(HealpixGrid(64, (SkyRegion(b_deg=90.0, radius_deg=3.0),)))], ["a", "b"])
    with pytest.raises(MismatchError, match="grid"):
        compare_maps(make(), sure)


def test_copies_have_the_maps_own_pixels(cap, cap_file, tmp_path):
    pixels = write_healpix(cap, tmp_path / "copy.fits")
    np.testing.assert_array_equal(pixels.index, cap.grid.pixels)
    copy, own = (Table.read(path, hdu="SKY") for path in (tmp_path / "copy.fits", cap_file))
    for name in own.colnames:
        np.testing.assert_array_equal(copy[name], own[name])
    assert pixels_of(cap.grid, 32).n_sightlines == cap.grid.n_sightlines
    with pytest.raises(ConfigError, match="on HEALPix pixels of nside 32 already, got: 64"):
        pixels_of(cap.grid, 64)
    write_hdf5(cap, tmp_path / "copy.h5")
    assert "HEALPix pixels of nside 32" in "\n".join(describe(tmp_path / "copy.h5", verify=True))


def test_clouds_are_found_on_pixels_that_share_edges(cap, make_provenance):
    first, second = (pixels[0] for pixels in CAP.adjacent_pairs())
    density = np.full((*CAP.shape, 12), 0.02)
    density[[first, second], 5:7] = 2.0
    header = MapHeader(CAP, DISTANCE, make_provenance())
    profiles = ProfileEstimate.of_density(density, 0.1)
    (cloud,) = find_clouds(ExtinctionMap(header, profiles, np.ones(CAP.shape), np.full(CAP.shape, 100)))
    assert cloud.sightlines == tuple(sorted((first, second)))
    assert cloud.area_deg2 == pytest.approx(2 * CAP.area_deg2)


def test_a_map_is_compared_with_its_truth_and_beside_another(cap, make):
    assert all(row.mean_absolute_error_mag == 0 for row in compare_maps(cap, cap).overall if row.n)
    other = make(seed=2)
    evaluation = compare_maps(cap, other)
    assert evaluation.fingers.n_pairs > 0
    assert evaluation.fingers.lag_steps == 1
    found = compare(cap, other, distances_kpc=[0.5, 1.0], name="other")
    assert found.rows[0].n == np.count_nonzero(cap.has_profile & other.has_profile)
    axis = compare_figures.difference(found).axes[0]
    drawn = np.unique(np.ma.filled(axis.images[-1].get_array(), np.nan))
    values = (found.extinction_mag - found.other_mag)[:, 0]
    np.testing.assert_allclose(drawn[np.isfinite(drawn)], np.unique(values[np.isfinite(values)]), rtol=1e-6)


def test_the_same_structure_has_no_fingers(cap):
    density = np.array(cap.density)
    found = fingers_of_god(density, density, cap.grid, DISTANCE)
    assert found.finger_power == pytest.approx(1.0)
    # A pair counts once, and only if both have a profile.
    first, second, _ = cap.grid.neighbour_pairs()
    assert found.n_pairs == np.count_nonzero(cap.has_profile[first] & cap.has_profile[second])


def test_the_view_from_above_is_of_what_is_near_the_plane(cap, make, make_provenance):
    assert "face_on" not in standard_figures(cap)
    with pytest.raises(ConfigError, match="no sightline within b_max_deg = 10"):
        face_on(cap)
    plane = make(PLANE)
    assert "face_on" in standard_figures(plane)
    first, second = (axis.collections[0] for axis in face_on(plane, truth=plane).axes[:2])
    np.testing.assert_array_equal(first.get_array(), second.get_array())
    # A density that is the longitude tells where it is drawn.
    l_deg, _ = PLANE.centers_deg()
    density = np.repeat((l_deg + 10.0)[:, None] % 360.0, 12, axis=1)
    profiles = ProfileEstimate.of_density(density, DISTANCE.step_kpc)
    header = MapHeader(PLANE, DISTANCE, make_provenance())
    volume = ExtinctionMap(header, profiles, np.ones(PLANE.shape), np.ones(PLANE.shape, int))
    edges = PlaneView.of(volume).l_edges
    mean = PlaneView.of(volume).mean(volume.density, near_the_plane(volume))
    known = np.isfinite(mean[:, 0])
    middle = 0.5 * (edges[1:] + edges[:-1]) + 10.0 - 360.0
    assert known.sum() > 5
    assert np.abs(mean[known, 0] - middle[known]).max() <= 0.5 * np.diff(edges)[0]


def test_cuts_and_views_of_the_sky_show_each_pixel_where_it_is(make):
    plane = make(PLANE)
    with pytest.raises(DataError, match="longitude l = 100 is outside the map"):
        latitude_cuts(plane, l_deg=[100.0])
    edges, _, index = PLANE.cut(2.0)
    expected = PLANE.sightline_of(np.full(index.shape, 2.0), 0.5 * (edges[1:] + edges[:-1]))
    np.testing.assert_array_equal(index, expected)
    figure = sky(plane)
    image = figure.axes[0].images[-1]
    left, right, low, high = image.get_extent()
    data = np.ma.filled(image.get_array(), np.nan)
    x, y = projection_of(*PLANE.centers_deg()).to_plane(*PLANE.centers_deg())
    row = ((y - low) / (high - low) * data.shape[0]).astype(int)
    column = ((x - left) / (right - left) * data.shape[1]).astype(int)
    np.testing.assert_allclose(data[row, column], plane.extinction[:, -1], rtol=1e-6)


def test_commands_answer_for_a_position_and_say_what_they_leave_out(cap_file, tmp_path, capsys):
    assert main(["query", str(cap_file), "--l", "10", "--b", "89", "--distance", "0.5"]) == 0
    assert capsys.readouterr().out.endswith("mag\n")
    (tmp_path / "stars.csv").write_text("l,b,distance\n10,89,0.5\n10,-89,0.5\n")
    table = ["--table", str(tmp_path / "stars.csv"), "--out", str(tmp_path / "red.csv")]
    assert main(["query", str(cap_file), *table]) == 0
    assert "2 rows, 1 without a value" in capsys.readouterr().out
    assert main(["report", str(cap_file), "--out", str(tmp_path / "report.html")]) == 0
    notes = capsys.readouterr().err
    assert "no view from above" in notes
    text = (tmp_path / "report.html").read_text()
    assert 'id="explorer-data"' in text
    assert "within 6 deg of l 0, b 90" in text
    assert main(["convert", str(cap_file), str(tmp_path / "copy.fits"), "--nside", "64"]) == 1
    assert "nside 32 already" in capsys.readouterr().err
    assert main(["info", "--verify", str(cap_file)]) == 0
    assert "HEALPix pixels of nside 32 (nested, Galactic)" in capsys.readouterr().out
