import dataclasses
import math
import pickle

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import PERCENTILES, Flag, ProfileEstimate
from extmap_tf.extinction.law import blue_over_red
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map.formats.cards import card
from extmap_tf.map.provenance import Provenance
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.settings.config import Config

LAYERS = ("density", "extinction", "coverage", "n_stars", "flag")
SURE_LAYERS = (
    *("density_mean", "density_std", "density_percentiles", "reliable", "reliable_distance_kpc", "samples"),
    *("extinction_mean", "extinction_std", "extinction_percentiles"),
)


@pytest.fixture
def path(volume, tmp_path):
    volume.write(tmp_path / "map.fits")
    return tmp_path / "map.fits"


def assert_same(first, second):
    assert first.grid == second.grid
    assert first.distance == second.distance
    assert first.provenance == second.provenance
    assert first.min_coverage == second.min_coverage
    assert first.percentiles == second.percentiles
    assert first.n_samples == second.n_samples
    for name in (*LAYERS, *(name for name in SURE_LAYERS if hasattr(first, name))):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


def test_file_gives_back_the_map_exactly(volume, path):
    assert_same(ExtinctionMap.read(path, verify=True), volume)


@pytest.mark.parametrize("samples", [True, False])
def test_file_gives_back_the_distribution_exactly(make_sure_map, samples, tmp_path):
    made = make_sure_map(samples=samples)
    made.write(tmp_path / "map.fits")
    opened = ExtinctionMap.read(tmp_path / "map.fits", verify=True)
    assert_same(opened, made)
    assert opened.percentiles == PERCENTILES
    assert opened.n_samples == (32 if samples else 0)
    assert_same(pickle.loads(pickle.dumps(made)), made)


def test_a_distribution_lies_in_the_file_as_documented(sure, tmp_path):
    sure.write(tmp_path / "map.fits")
    with fits.open(tmp_path / "map.fits") as hdus:
        assert [hdu.name for hdu in hdus[1:]] == [
            *("EXTINCTION", "DENSITY", "COVERAGE", "NSTARS", "FLAG", "EXTINCTION_MEAN", "EXTINCTION_STD"),
            *("EXTINCTION_PERCENTILES", "DENSITY_MEAN", "DENSITY_STD", "DENSITY_PERCENTILES"),
            *("RELIABLE", "RELIABLE_DISTANCE", "SAMPLES"),
        ]
        hdu = hdus["EXTINCTION_PERCENTILES"]
        assert hdu.data.shape == (9, 12, 5, 7)
        assert hdu.data.dtype.itemsize == 4
        # Longitude is stored descending.
        np.testing.assert_array_equal(hdu.data[2, :, 3, 7 - 1 - 4], sure.extinction_percentiles[3, 4, 2])
        assert [hdu.header[f"PERC{i}"] for i in range(1, 10)] == list(PERCENTILES)
        assert WCS(hdu.header).naxis == 4
        assert hdu.header["CTYPE4"] == "PERCENTILE"
        assert hdus["EXTINCTION"].header["QUANTITY"].startswith("median of A(Ks)")
        assert hdus["RELIABLE_DISTANCE"].header["BUNIT"] == "kpc"
        assert hdus["RELIABLE"].data.dtype == np.uint8
        np.testing.assert_array_equal(hdus["RELIABLE"].data[:, 3, 7 - 1 - 4], sure.reliable[3, 4])
        assert hdus["SAMPLES"].data.shape == (32, 12, 5, 7)
        assert hdus["FLAG"].header["BIT32"] == "ODD_COLORS"
        for hdu in hdus:
            assert hdu.verify_checksum() == 1
            assert hdu.header["NSAMPLES"] == 32


@pytest.mark.parametrize(
    "name",
    ["density_median", "density_std", "extinction_percentiles", "samples"],
)
def test_a_distribution_of_another_shape_is_refused_and_a_nan_is_no_profile(sure, name):
    layers = sure.profiles.arrays()

    def make(changed):
        profiles = dataclasses.replace(sure.profiles, **{name: changed})
        shape = sure.grid.shape
        return ExtinctionMap(sure.header, profiles, np.ones(shape), np.ones(shape, int))

    with pytest.raises(DataError, match=f"{name} must have the shape"):
        make(np.ones((*np.shape(layers[name])[:-1], 3)))
    holed = np.nan_to_num(layers[name])
    holed[3, 4, ...] = np.nan
    made = make(holed)
    assert made.flag[3, 4] == Flag.NO_PROFILE
    assert np.isnan(made.density[3, 4]).all()
    assert np.isnan(made.extinction_percentiles[3, 4]).all()


def test_a_law_without_rv_states_none(make_map, tmp_path):
    made = make_map(law_model="ratio", law_rv=None)
    made.write(tmp_path / "map.fits")
    header = fits.getheader(tmp_path / "map.fits")
    assert "LAWRV" in header
    assert header["LAWRV"] is None
    again = ExtinctionMap.read(tmp_path / "map.fits")
    assert again.provenance.law_rv is None
    assert "R(V)" not in "\n".join(again.describe())


@pytest.mark.parametrize(
    "grid",
    [
        SightlineGrid(206.0, 216.0, -20.5, -18.5, 0.25, 0.25),
        SightlineGrid(355.0, 365.0, 2.0, 4.0, 1.0, 0.5),
        SightlineGrid(0.0, 350.0, -10.0, 10.0, 10.0, 2.0),
        SightlineGrid(1.1, 1.1, 0.3, 0.3),
        SightlineGrid(10.1, 10.7, -5.551115123125783e-17, 0.6, 0.1, 0.3),
    ],
)
def test_any_grid_comes_back_exactly(make_map, grid, tmp_path):
    made = make_map(grid, DistanceGrid(0.05, 7), holes=False)
    made.write(tmp_path / "map.fits")
    assert_same(ExtinctionMap.read(tmp_path / "map.fits"), made)


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=100, deadline=None)
def test_header_numbers_are_exact(value):
    assert fits.Header.fromstring(fits.Header([card("KEY", value, "text")]).tostring())["KEY"] == value


@pytest.mark.parametrize(
    "grid",
    [
        SightlineGrid(257.0, 303.0, -5.0, 5.0, 0.5, 0.5),
        SightlineGrid(206.0, 216.0, -20.5, -18.5, 0.25, 0.25),
        SightlineGrid(355.0, 365.0, 40.0, 44.0, 1.0, 0.5),
        SightlineGrid(0.0, 350.0, -80.0, 80.0, 10.0, 2.0),
    ],
)
@pytest.mark.parametrize("image", ["EXTINCTION", "DENSITY"])
def test_pixels_are_where_the_wcs_says(make_map, grid, image, tmp_path):
    made = make_map(grid, DistanceGrid(0.1, 5), holes=False)
    made.write(tmp_path / "map.fits")
    with fits.open(tmp_path / "map.fits") as hdus:
        data, wcs = hdus[image].data.copy(), WCS(hdus[image].header)
    k, j, i = np.indices(data.shape)
    sky, distance = wcs.pixel_to_world(i, j, k)
    assert sky.frame.name == "galactic"
    assert wcs.wcs.cdelt[0] < 0
    i_b = np.round((sky.b.deg - grid.b_min_deg) / grid.step_deg).astype(int)
    i_l = np.round(np.mod(sky.l.deg - grid.l_min_deg + 1e-6, 360.0) / grid.step_deg).astype(int)
    np.testing.assert_allclose(sky.b.deg, grid.b_deg[i_b], atol=1e-9)
    np.testing.assert_allclose(np.mod(sky.l.deg - grid.l_deg[i_l] + 180.0, 360.0), 180.0, atol=1e-9)
    expected = made.distance.outer_kpc if image == "EXTINCTION" else made.distance.centers_kpc
    np.testing.assert_allclose(distance.to_value(u.kpc), expected[k], atol=1e-9)
    np.testing.assert_array_equal(data, getattr(made, image.lower())[i_b, i_l, k])


def test_what_the_models_card_says_comes_back_however_long(make_map, tmp_path):
    facts = ", ".join(f"fact {i} of the model" for i in range(12))
    made = make_map(model_facts=facts)
    made.write(tmp_path / "map.fits")
    assert ExtinctionMap.read(tmp_path / "map.fits", verify=True).provenance == made.provenance
    with fits.open(tmp_path / "map.fits") as hdus:
        assert all(hdu.header["MODELIS"] == facts for hdu in hdus)
    make_map(kind="truth").write(tmp_path / "truth.fits")
    with fits.open(tmp_path / "truth.fits") as hdus:
        assert "MODELIS" not in hdus[0].header


def test_query_agrees_with_the_pixel_the_wcs_finds(volume, path):
    position = SkyCoord(258.13 * u.deg, 0.6 * u.deg, frame="galactic")
    with fits.open(path) as hdus:
        i, j = WCS(hdus["NSTARS"].header).world_to_array_index(position)
        profile = hdus["EXTINCTION"].data[:, i, j]
    np.testing.assert_array_equal(volume.query(position).value, profile)


def test_every_part_says_what_it_is(volume, path):
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == ["EXTINCTION", "DENSITY", "COVERAGE", "NSTARS", "FLAG"]
        for hdu in hdus:
            assert hdu.header["KIND"] == "estimate"
            assert hdu.header["BAND"] == "Ks"
            assert hdu.header["BLUERED"] == 2.61
            assert hdu.header["CONFDIG"] == "0123456789ab"
            assert hdu.header["MODELDIG"] == "aaaaaaaaaaaa"
            assert hdu.header.comments["CONFDIG"]
            assert hdu.verify_checksum() == 1
            assert hdu.verify_datasum() == 1
        assert hdus["EXTINCTION"].header["BUNIT"] == "mag"
        assert hdus["DENSITY"].header["BUNIT"] == "mag/kpc"
        assert hdus["FLAG"].header["BIT1"] == "NO_STARS"
        assert hdus["DENSITY"].header["CUNIT3"] == "kpc"


def test_long_names_survive_the_header(make_map, tmp_path):
    made = make_map(model_name="m" * 150, config_name="it's / a 'name' & more" * 4)
    made.write(tmp_path / "map.fits")
    assert ExtinctionMap.read(tmp_path / "map.fits").provenance == made.provenance


def test_same_map_gives_same_bytes(volume, make_map, path, tmp_path):
    make_map().write(tmp_path / "again.fits")
    assert (tmp_path / "again.fits").read_bytes() == path.read_bytes()


def test_existing_file_is_kept_unless_told(volume, make_map, path):
    before = path.read_bytes()
    with pytest.raises(DataError, match="--overwrite"):
        make_map(seed=2).write(path)
    assert path.read_bytes() == before
    make_map(seed=2).write(path, overwrite=True)
    assert_same(ExtinctionMap.read(path), make_map(seed=2))


def test_arrays_stay_in_the_file_and_cannot_be_changed(path):
    opened = ExtinctionMap.read(path)
    base = opened.extinction
    while getattr(base, "base", None) is not None and not isinstance(base, np.memmap):
        base = base.base
    assert not opened.extinction.flags.owndata
    assert not opened.density.flags.writeable
    assert "mmap" in str(type(base)).lower()


def test_map_from_a_file_is_pickled_as_its_path(path, volume):
    opened = ExtinctionMap.read(path)
    pickled = pickle.dumps(opened)
    assert len(pickled) < 1000
    assert_same(pickle.loads(pickled), volume)


def test_map_in_memory_is_pickled_whole(volume):
    assert_same(pickle.loads(pickle.dumps(volume)), volume)


def test_every_truncation_is_refused(path, tmp_path):
    whole = path.read_bytes()
    short = tmp_path / "short.fits"
    for size in [9, 100, 2879, *range(0, len(whole), 2880), *range(1, len(whole), 3111), len(whole) - 1]:
        short.write_bytes(whole[:size])
        with pytest.raises(DataError) as caught:
            ExtinctionMap.read(short)
        assert str(short) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_damage_is_found_on_asking(path):
    data = bytearray(path.read_bytes())
    with fits.open(path) as hdus:
        place = hdus["DENSITY"].fileinfo()["datLoc"]
    data[place + 6] ^= 1
    path.write_bytes(data)
    ExtinctionMap.read(path)
    with pytest.raises(DataError, match="damaged, the checksum of DENSITY"):
        ExtinctionMap.read(path, verify=True)


def test_scrambled_headers_are_read_or_refused_in_one_line(path):
    whole, rng, refusals = path.read_bytes(), np.random.default_rng(5), []
    for _ in range(80):
        data = bytearray(whole)
        for place in rng.integers(0, 3 * 2880, 3):
            data[place] = rng.integers(32, 256)
        path.write_bytes(data)
        try:
            ExtinctionMap.read(path)
        except DataError as error:
            refusals.append(str(error))
    assert len(refusals) > 20
    assert not any("\n" in words for words in refusals)


def test_foreign_files_are_refused_in_one_line(tmp_path):
    text, image, missing = tmp_path / "text.fits", tmp_path / "image.fits", tmp_path / "missing.fits"
    text.write_text("l,b,distance\n1,2,3\n")
    fits.writeto(image, np.zeros((3, 4)))
    table = tmp_path / "table.fits"
    fits.BinTableHDU.from_columns([fits.Column("a", "E", array=[1.0])]).writeto(table)
    for bad, words in (
        (text, "not a FITS file"),
        (image, "no map of extmap_tf"),
        (table, "no map of extmap_tf"),
        (missing, "no such file"),
        (tmp_path, "a folder; give the path of a map"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            ExtinctionMap.read(bad)
        assert str(bad) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("image", "keyword", "value", "words"),
    [
        ("DENSITY", "CRPIX1", 3.0, "CRPIX1 of DENSITY"),
        ("PRIMARY", "SKYSTEP", 0.0, "step_deg"),
        ("PRIMARY", "NDIST", 11, "EXTINCTION must be"),
        ("PRIMARY", "LMIN", None, "LMIN"),
        ("PRIMARY", "KIND", "guess", "kind"),
        ("PRIMARY", "EXTMAPV", 99, "update extmap_tf"),
        ("PRIMARY", "EXTMAPV", 1, "made by an older extmap_tf, score it again"),
    ],
)
def test_edited_headers_are_refused(path, image, keyword, value, words):
    with fits.open(path, mode="update") as hdus:
        if value is None:
            del hdus[image].header[keyword]
        else:
            hdus[image].header[keyword] = value
    with pytest.raises(DataError, match=words) as caught:
        ExtinctionMap.read(path)
    assert str(path) in str(caught.value)


def test_failed_write_leaves_nothing(volume, tmp_path, monkeypatch):
    monkeypatch.setattr("os.posix_fallocate", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        volume.write(tmp_path / "new" / "map.fits")
    assert list(tmp_path.iterdir()) == []


def test_sightlines_without_data_are_nan_and_flagged(volume):
    assert volume.flag[1, 2] == Flag.NO_STARS
    assert volume.flag[0, 0] == Flag.LOW_COVERAGE
    assert np.count_nonzero(volume.flag) == 2
    assert np.isnan(volume.density[volume.flag != 0]).all()
    assert np.isfinite(volume.extinction[volume.flag == 0]).all()


def test_truth_needs_no_stars(make_map):
    assert (make_map(kind="truth").flag == 0).all()


def test_unmade_profile_is_flagged(volume):
    density = np.array(volume.density)
    density[:] = 1.0
    density[2, 3, 5] = np.inf
    profiles = ProfileEstimate.of_density(density, 0.1)
    made = ExtinctionMap(volume.header, profiles, np.ones(volume.grid.shape), volume.n_stars)
    assert made.flag[2, 3] == Flag.NO_PROFILE
    assert np.isnan(made.density[2, 3]).all()


def test_arrays_that_cannot_be_are_refused(volume):
    good = {
        "profiles": ProfileEstimate.of_density(np.ones((*volume.grid.shape, 12)), 0.1),
        "coverage": np.ones(volume.grid.shape),
        "n_stars": np.ones(volume.grid.shape, int),
    }
    flagged = dataclasses.replace(good["profiles"], flag=np.full(volume.grid.shape, 256))
    for name, bad in (
        ("profiles", ProfileEstimate.of_density(np.ones((2, 3, 4)), 0.1)),
        ("profiles", ProfileEstimate.of_density(np.ones((*volume.grid.shape, 4)), 0.1)),
        ("coverage", np.full(volume.grid.shape, 1.5)),
        ("coverage", np.full(volume.grid.shape, np.nan)),
        ("n_stars", np.ones(volume.grid.shape)),
        ("n_stars", np.full(volume.grid.shape, -1)),
        ("profiles", flagged),
    ):
        with pytest.raises(DataError, match=f"{'flag' if bad is flagged else name} of a map"):
            ExtinctionMap(volume.header, **{**good, name: bad})


def test_provenance_follows_the_configuration():
    config = Config.named("carina")
    origin = Provenance.of(config, "truth")
    assert origin.config_digest == config.digest
    assert (origin.band, origin.blue_band, origin.survey) == ("Ks", "J", "2MASS")
    assert 2.0 < origin.blue_over_red < 4.0
    assert origin.model_name == ""


def test_the_ratio_of_a_map_is_the_mean_of_its_models_training_pairs(make_map, tmp_path):
    config = Config.named("carina").replace(**{"nuisances.law_ratio_mean": 0.0})
    ratio = blue_over_red(config.law, config.survey)
    model = config.replace(**{"nuisances.law_ratio_mean": 0.23, "nuisances.law_ratio_sigma": 0.2})
    origin = Provenance.of(config, "estimate", model)
    assert (origin.blue_over_red, origin.law_ratio_sigma) == (pytest.approx(ratio + 0.23), 0.2)
    assert Provenance.of(config, "estimate").blue_over_red == pytest.approx(ratio)
    assert Provenance.of(model, "truth").blue_over_red == pytest.approx(ratio + 0.23)
    assert Provenance.of(model, "truth").law_ratio_sigma == 0.0
    made = make_map(blue_over_red=origin.blue_over_red, law_ratio_sigma=0.2)
    made.write(tmp_path / "map.fits")
    header = fits.getheader(tmp_path / "map.fits")
    assert (header["BLUERED"], header["BRSCAT"]) == (origin.blue_over_red, 0.2)
    assert_same(ExtinctionMap.read(tmp_path / "map.fits"), made)
    text = "\n".join(made.describe())
    assert (
        f"A(J)/A(Ks) = {ratio + 0.23:.4f} in the mean of the training pairs, where it scatters by 0.2" in text
    )
    assert f"E(J-Ks)/A(Ks) = {ratio - 0.77:.4f}" in text
    assert made.band_factor("E(J-Ks)") == pytest.approx(ratio - 0.77)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "guess"),
        ("blue_over_red", 0.4),
        ("law_rv", math.nan),
        ("survey", "2MASS é"),
        ("survey", "two\nlines"),
        ("survey", " 2MASS"),
    ],
)
def test_impossible_provenance_is_refused(make_provenance, name, value):
    with pytest.raises(ConfigError, match=name):
        make_provenance(**{name: value})


def test_description_says_what_is_there_and_what_is_missing(volume):
    text = "\n".join(volume.describe())
    assert "without uncertainty" in text
    for words in ("A(Ks)", "A(J), E(J-Ks)", "7 x 5", "33 of 35", "no star", "0123456789ab", "G23", "1.2 kpc"):
        assert words in text


def test_description_of_a_distribution_says_what_it_has(sure):
    text = "\n".join(sure.describe())
    for words in ("percentiles 2.5, 5, 16", "32 samples", "reliable to", "1 are doubtful: colours unlike"):
        assert words in text


def of_0_3_0(path, columns=()):
    """Make a map's file one of version 0.3.0, which called the extinction cumulative."""
    with fits.open(path) as hdus:
        for hdu in hdus:
            hdu.header["EXTMAPV"] = 3 if columns else 2
            hdu.header.remove("SCHEMA")
            if not columns and hdu.name.startswith("EXTINCTION"):
                hdu.name = hdu.name.replace("EXTINCTION", "CUMULATIVE")
        for name in columns:
            hdus["PROFILES"].columns.change_name(name, name.replace("EXTINCTION", "CUMULATIVE"))
        for hdu in hdus:
            hdu.add_checksum()
        hdus.writeto(path.with_name("old.fits"))
    return path.with_name("old.fits")


def test_maps_of_0_4_0_still_open_and_tell_what_is_reliable(sure, tmp_path):
    """Their RELIABLE_DISTANCE ended at the first bin that was not; they had no RELIABLE, BRSCAT."""
    sure.write(tmp_path / "map.fits")
    with fits.open(tmp_path / "map.fits") as hdus:
        del hdus["RELIABLE"]
        hdus["RELIABLE_DISTANCE"].data[:] = 0.1
        for hdu in hdus:
            hdu.header["EXTMAPV"] = 4
            hdu.add_checksum()
        hdus.writeto(tmp_path / "old.fits")
    assert_same(ExtinctionMap.read(tmp_path / "old.fits", verify=True), sure)


def test_maps_of_0_3_0_still_open(sure, tmp_path):
    sure.write(tmp_path / "map.fits")
    old = of_0_3_0(tmp_path / "map.fits")
    with fits.open(old) as hdus:
        assert "CUMULATIVE_PERCENTILES" in hdus
        assert "EXTINCTION" not in hdus
    assert_same(ExtinctionMap.read(old, verify=True), sure)


def test_tables_of_0_3_0_still_open(sure, tmp_path):
    grid = HealpixGrid(8)
    rows = sure.profiles.reshaped(-1)[np.arange(grid.n_sightlines) % sure.grid.n_sightlines]
    header = dataclasses.replace(sure.header, grid=grid)
    made = ExtinctionMap(header, rows, np.ones(grid.shape), np.full(grid.shape, 3000))
    made.write(tmp_path / "map.fits")
    names = [f"EXTINCTION{end}" for end in ("", "_MEAN", "_STD", "_PERCENTILES")]
    assert_same(ExtinctionMap.read(of_0_3_0(tmp_path / "map.fits", names)), made)


@pytest.mark.parametrize(
    ("part", "keyword", "value", "words"),
    [
        (3, "NAXIS1", -7, "NAXIS1 is -7"),
        (3, "NAXIS3", -12, "NAXIS3 is -12"),
        (3, "PCOUNT", -2880, "PCOUNT is -2880"),
        (3, "GCOUNT", -1, "GCOUNT is -1"),
        (0, "PERC1", "120.0", "percentiles must be ascending, above 0 and below 100"),
        (0, "PERC9", "1.0", "percentiles must be ascending"),
        (0, "NPERC", "'x'", "NPERC must be a whole number, got: 'x'"),
        (0, "NPERC", 10**9, "PERC10"),
        (0, "NSAMPLES", -3, "n_samples must be 0 or more"),
        (0, "LMIN", "'x'", "LMIN must be a number, got: 'x'"),
        (0, "NDIST", "12.5", "NDIST must be a whole number, got: 12.5"),
        (0, "KIND", 17, "KIND must be text, got: 17"),
        (0, "MINCOVER", "7.0", "min_coverage must be 0 to 1"),
    ],
)
def test_a_header_that_cannot_be_is_one_line(sure, part, keyword, value, words, tmp_path):
    path = tmp_path / "map.fits"
    sure.write(path)
    with fits.open(path) as hdus:
        start = hdus[part].fileinfo()["hdrLoc"]
    data = path.read_bytes()
    at = data.index(f"{keyword:<8}= ".encode(), start)
    path.write_bytes(data[:at] + f"{keyword:<8}= {value:>20}".ljust(80).encode() + data[at + 80 :])
    with pytest.raises(DataError, match=words) as caught:
        ExtinctionMap.read(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_long_strings_are_announced(make_map, tmp_path):
    for facts, long in (("short", False), ("x" * 200, True)):
        made = make_map(model_facts=facts)
        made.write(tmp_path / "map.fits", overwrite=True)
        with fits.open(tmp_path / "map.fits") as hdus:
            assert {"LONGSTRN" in hdu.header for hdu in hdus} == {long}
        assert ExtinctionMap.read(tmp_path / "map.fits", verify=True).provenance.model_facts == facts
