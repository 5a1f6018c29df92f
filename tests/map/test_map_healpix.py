"""HEALPix copies: other programs find in them exactly what the map says."""

import contextlib
import functools
import io
import resource
import subprocess
import sys
import warnings
from dataclasses import replace

import h5py
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable

from extmap_tf.cli import main
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.grids.healpix_pixels import SIDE_DEG, smallest_nside
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.info import describe
from extmap_tf.map.copies import RANKS, write_hdf5, write_healpix
from extmap_tf.map.pixels import FINEST, pixels_of
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.settings.config import Config


def bayestar(path):
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from dustmaps.bayestar import BayestarQuery

        return BayestarQuery(map_fname=str(path))


def places(pixels, d_kpc):
    return SkyCoord(pixels.l_deg * u.deg, pixels.b_deg * u.deg, d_kpc * u.kpc, frame="galactic")


@pytest.mark.parametrize(
    ("grid", "nside"),
    [
        (SightlineGrid(257.0, 260.0, -1.0, 1.0, 0.5, 0.5), None),
        (SightlineGrid(350.0, 370.0, 30.0, 60.0, 5.0, 5.0), 32),
        (SightlineGrid(0.0, 330.0, -60.0, 60.0, 30.0, 5.0), None),
        (SightlineGrid(10.0, 10.0, 84.0, 84.0, 0.25, 0.25), 1024),
    ],
)
def test_the_pixels_are_all_whose_centres_are_in_the_map(grid, nside):
    healpy = pytest.importorskip("healpy")
    pixels = pixels_of(grid, nside)
    every = np.arange(12 * pixels.nside**2)
    l_deg, b_deg = healpy.pix2ang(pixels.nside, every, nest=True, lonlat=True)
    sightline = grid.sightline_of(l_deg, b_deg)
    np.testing.assert_array_equal(pixels.index, every[sightline >= 0])
    np.testing.assert_array_equal(pixels.sightline, sightline[sightline >= 0])
    assert 0 < pixels.n_sightlines <= grid.n_sightlines


@pytest.mark.parametrize("name", ["demo", "carina"])
def test_the_default_pixels_keep_nearly_all_sightlines(name):
    grid = Config.named(name).sightlines
    pixels = pixels_of(grid)
    assert pixels.n_sightlines >= 0.99 * grid.n_sightlines
    assert pixels_of(grid, pixels.nside // 2).n_sightlines < 0.99 * grid.n_sightlines


def test_the_default_pixels_stay_within_bounds_near_a_pole(monkeypatch):
    grid = SightlineGrid(0.0, 359.0, 82.0, 84.0, 1.0, 1.0)
    pixels = pixels_of(grid)
    assert pixels.n_sightlines < 0.99 * grid.n_sightlines
    assert FINEST / 2 < grid.step_deg * pixels.nside / SIDE_DEG <= FINEST
    monkeypatch.setattr("extmap_tf.map.pixels.MAX_SIGHTLINES", 4 * grid.n_sightlines)
    assert pixels_of(grid).nside == smallest_nside(1.0)


def test_pixels_of_the_smallest_nside_are_as_wide_as_the_step_or_less():
    for step_deg in (0.1, 0.25, 0.5, 1.0, 5.0, 30.0):
        nside = smallest_nside(step_deg)
        assert SIDE_DEG / nside <= step_deg * (1 + 1e-9)
        assert nside == 1 or SIDE_DEG / (nside // 2) > step_deg


@pytest.mark.parametrize(
    ("nside", "words"),
    [(100, "power of two, got: 100"), (0, "power of two"), (64, "give 128 or more"), (1 << 20, "at most")],
)
def test_other_pixels_are_refused(nside, words, sure, tmp_path):
    with pytest.raises(ConfigError, match=words):
        write_hdf5(sure, tmp_path / "map.h5", nside)
    assert list(tmp_path.iterdir()) == []


def test_dustmaps_reads_the_numbers_of_the_map(sure, tmp_path):
    pixels = write_hdf5(sure, tmp_path / "map.h5")
    query = bayestar(tmp_path / "map.h5")
    np.testing.assert_allclose(query.distances.to_value(u.kpc), sure.distance.outer_kpc)
    rng = np.random.default_rng(0)
    coords = places(pixels, rng.choice(sure.distance.outer_kpc, len(pixels.index)))
    np.testing.assert_allclose(query.query(coords, mode="best"), sure.query(coords).value, rtol=1e-5)
    near = places(pixels, np.full(len(pixels.index), 0.03))
    np.testing.assert_allclose(query.query(near, mode="best"), sure.query(near).value, rtol=1e-5)
    coords = places(pixels, np.full(len(pixels.index), 0.75))
    _, flags = query.query(coords, mode="best", return_flags=True)
    reach = sure.reliable_distance_kpc.ravel()[pixels.sightline]
    np.testing.assert_array_equal(flags["reliable_dist"], reach >= 0.75)
    np.testing.assert_array_equal(flags["converged"], sure.flag.ravel()[pixels.sightline] == 0)


@pytest.mark.parametrize("n_samples", [4, 16, 32])
def test_the_samples_have_the_maps_intervals_and_rise_along_the_sight(n_samples, tmp_path):
    example = ExtinctionMap.example()
    profiles = example.profiles
    samples = np.concatenate([profiles.samples, profiles.samples * 1.01], axis=2)[:, :, :n_samples]
    volume = ExtinctionMap(
        example.header,
        replace(profiles, samples=samples),
        example.coverage,
        example.n_stars,
        example.surveys,
    )
    pixels = write_hdf5(volume, tmp_path / "map.h5")
    query = bayestar(tmp_path / "map.h5")
    good = volume.has_profile.ravel()[pixels.sightline]
    for d_kpc in (1.0, 2.0, 5.0, 8.0):
        coords = places(pixels, np.full(len(pixels.index), d_kpc))[good]
        for pct, least in (([16, 84], 0.94), ([2.5, 97.5], 0.88)):
            theirs = np.diff(query.query(coords, mode="percentile", pct=pct), axis=-1)
            ours = np.diff(volume.query(coords, mode="percentile", percentile=pct).value, axis=-1)
            assert least < theirs.sum() / ours.sum() < 1.1
        median = query.query(coords, mode="median")
        assert np.mean(np.abs(median / volume.query(coords).value - 1.0)) < 0.04
    with h5py.File(tmp_path / "map.h5") as file:
        written = file["samples"][:][good]
        assert written.shape[1] >= 16
        assert (np.diff(written, axis=2) >= 0.0).all()
        # The rank of a sample among the others stays, but where the sorting along the sight moves it.
        ranks = [
            np.argsort(np.argsort(part[:, ::k], axis=1), axis=1)
            for part, k in (
                (samples.reshape(-1, n_samples, 100)[pixels.sightline][good], 1),
                (written, written.shape[1] // n_samples),
            )
        ]
        assert np.corrcoef(ranks[0].ravel(), ranks[1].ravel())[0, 1] > 0.9


def test_without_samples_the_ranks_give_medians_and_percentiles(make_sure_map, tmp_path):
    volume = make_sure_map(samples=False)
    pixels = write_hdf5(volume, tmp_path / "map.h5", band="E(B-V)", law="F19")
    good = volume.has_profile.ravel()[pixels.sightline]
    coords = places(pixels, np.full(len(pixels.index), 1.0))[good]
    query, how = bayestar(tmp_path / "map.h5"), {"band": "E(B-V)", "law": "F19"}
    found = query.query(coords, mode="samples")
    expected = volume.query(coords, mode="percentile", percentile=RANKS[1:-1], **how).value
    np.testing.assert_allclose(found[:, 1:-1], expected, rtol=1e-5)
    np.testing.assert_allclose(
        query.query(coords, mode="median"), volume.query(coords, **how).value, rtol=1e-5
    )
    # The 68 and 95 % intervals that dustmaps takes from them are ours.
    for low, high in ((16.0, 84.0), (2.5, 97.5)):
        pct = [low, high]
        theirs = np.diff(query.query(coords, mode="percentile", pct=pct), axis=-1)
        ours = np.diff(volume.query(coords, mode="percentile", percentile=pct, **how).value, axis=-1)
        assert np.mean(theirs / ours) == pytest.approx(1.0, abs=0.02)
        np.testing.assert_allclose(theirs, ours, rtol=0.06)
    with h5py.File(tmp_path / "map.h5") as file:
        assert file.attrs["band"] == "E(B-V)"
        assert file.attrs["map_band"] == "Ks"
        assert file.attrs["map_config_digest"] == volume.provenance.config_digest
        assert file.attrs["band_over_map_band"] == pytest.approx(volume.band_factor("E(B-V)", "F19"))
        assert "equal rank" in file.attrs["samples_are"]
        assert file["density_median"].attrs["unit"] == "mag/kpc"
        assert file["extinction_percentiles"].shape[1:] == (9, 12)


def test_a_truth_has_one_profile_a_pixel(make_map, tmp_path):
    truth = make_map(kind="truth", model_name="", model_digest="", records_digest="", holes=False)
    pixels = write_hdf5(truth, tmp_path / "truth.h5")
    coords = places(pixels, np.full(len(pixels.index), 0.7))
    for mode in ("best", "median", "mean"):
        found = bayestar(tmp_path / "truth.h5").query(coords, mode=mode)
        np.testing.assert_allclose(found, truth.query(coords).value, rtol=1e-5)


def test_programs_for_healpix_read_the_table(sure, tmp_path):
    healpy = pytest.importorskip("healpy")
    path = tmp_path / "map_healpix.fits"
    pixels = write_healpix(sure, path, 256)
    place = np.unravel_index(pixels.sightline, sure.grid.shape)
    whole = healpy.read_map(path, field=0, nest=True)
    assert healpy.get_nside(whole) == 256
    np.testing.assert_array_equal(whole[pixels.index], sure.extinction[..., -1][place])
    assert np.count_nonzero(whole != healpy.UNSEEN) == len(pixels.index)
    sky, profiles = QTable.read(path, hdu="SKY"), QTable.read(path, hdu="PROFILES")
    np.testing.assert_array_equal(sky["FLAG"], sure.flag[place])
    np.testing.assert_array_equal(sky["RELIABLE_DISTANCE"].to_value(u.kpc), sure.reliable_distance_kpc[place])
    for name in ("extinction", "density_std", "extinction_percentiles"):
        column = profiles[name.upper()]
        np.testing.assert_array_equal(column.value, getattr(sure, name)[place])
        assert column.unit == (u.mag / u.kpc if name.startswith("density") else u.mag)
    np.testing.assert_array_equal(profiles["SAMPLES"].value, sure.samples[place])
    with fits.open(path, checksum=True) as hdus:
        header = hdus["SKY"].header
        assert [header[key] for key in ("PIXTYPE", "ORDERING", "COORDSYS", "INDXSCHM")] == [
            "HEALPIX",
            "NESTED",
            "G",
            "EXPLICIT",
        ]
        assert header["MODELDIG"] == sure.provenance.model_digest
    with pytest.raises(DataError, match="a HEALPix copy of a map"):
        ExtinctionMap.read(path)


def test_the_same_map_gives_the_same_bytes(sure, tmp_path):
    for name, write in (("map.fits", write_healpix), ("map.h5", write_hdf5)):
        write(sure, tmp_path / name)
        first = (tmp_path / name).read_bytes()
        write(sure, tmp_path / name, overwrite=True)
        assert (tmp_path / name).read_bytes() == first


def test_convert_writes_and_info_tells(sure, tmp_path, capsys):
    sure.write(tmp_path / "map.fits")
    for name in ("copy.fits", "copy.h5"):
        argv = ["convert", str(tmp_path / "map.fits"), str(tmp_path / name)]
        assert main(argv) == 0
        captured = capsys.readouterr()
        assert "pixels of nside 256" in captured.out
        assert captured.err == ""
        assert main(argv) == 1
        assert "exists already" in capsys.readouterr().err
        text = "\n".join(describe(tmp_path / name))
        assert "HEALPix pixels of nside 256" in text
        assert sure.provenance.config_digest in text
        assert main([*argv, "--nside", "128", "--overwrite"]) == 0
        captured = capsys.readouterr()
        assert "pixels of nside 128" in captured.out
        assert "2 of 35 sightlines are nearest to no pixel; --nside 256 keeps more" in captured.err
    assert main(["convert", str(tmp_path / "map.fits"), str(tmp_path / "copy.txt")]) == 1
    assert "must end in .fits, .h5" in capsys.readouterr().err


def test_a_fits_copy_may_be_in_another_band(sure, tmp_path):
    pixels = write_healpix(sure, tmp_path / "own.fits")
    write_healpix(sure, tmp_path / "e.fits", band="E(J-Ks)")
    with fits.open(tmp_path / "own.fits") as own, fits.open(tmp_path / "e.fits") as other:
        found = other["PROFILES"].data["EXTINCTION_PERCENTILES"]
        np.testing.assert_allclose(found, 1.61 * own["PROFILES"].data["EXTINCTION_PERCENTILES"], rtol=1e-6)
        np.testing.assert_array_equal(other["PROFILES"].data["RELIABLE"], own["PROFILES"].data["RELIABLE"])
        for hdus, quantity in ((own, "A(Ks)"), (other, "E(J-Ks)")):
            assert hdus["SKY"].header["INBAND"] == quantity
            assert f"{quantity} to the last distance" in repr(hdus["SKY"].header)
            assert hdus["SKY"].header["BAND"] == "Ks"
            assert len(hdus["SKY"].data) == len(pixels.index)


def test_foreign_hdf5_files_are_one_line(tmp_path):
    path = tmp_path / "foreign.h5"
    with h5py.File(path, "w") as file:
        file["x"] = [1.0]
    with pytest.raises(DataError, match="no map of extmap_tf"):
        describe(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read as HDF5"):
        describe(path)
    with pytest.raises(DataError, match="HDF5, as copies of a map"):
        ExtinctionMap.read(path)


def test_a_copy_cut_short_is_one_line(sure, tmp_path):
    path = tmp_path / "copy.fits"
    write_healpix(sure, path)
    whole = path.read_bytes()
    for size in (6000, 20_000, len(whole) // 2, len(whole) - 2880):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"truncated|cannot be read") as caught:
            describe(path)
        assert "\n" not in str(caught.value)
    path = tmp_path / "copy.h5"
    with h5py.File(path, "w") as file:
        file["pixel_info"] = [1.0]
        file.attrs["made_by"] = "someone"
    with pytest.raises(DataError, match=r"cannot be read as HDF5, convert the map again: .*band"):
        describe(path)


def test_verify_finds_one_changed_byte_in_a_copy(sure, tmp_path):
    path = tmp_path / "copy.fits"
    write_healpix(sure, path)
    describe(path, verify=True)
    with fits.open(path) as hdus:
        at = hdus["PROFILES"].fileinfo()["datLoc"] + 1000
    _change(path, at)
    describe(path)
    with pytest.raises(DataError, match="damaged, the checksum of PROFILES fails"):
        describe(path, verify=True)
    path = tmp_path / "copy.h5"
    write_hdf5(sure, path)
    describe(path, verify=True)
    for name in ("pixel_info", "best_fit"):
        with h5py.File(path) as file:
            at = file[name].id.get_chunk_info(0).byte_offset + 100
        before = path.read_bytes()
        _change(path, at)
        with pytest.raises(DataError, match=f"damaged, {name} cannot be read"):
            describe(path, verify=True)
        path.write_bytes(before)
    with h5py.File(path, "r+") as file:
        file["more"] = [1.0]
    with pytest.raises(DataError, match="more has no checksum"):
        describe(path, verify=True)


def _change(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("size", [500, 3_000, 20_000, 40_000])
def test_a_full_disk_is_one_line_without_a_crash(size, sure, tmp_path):
    """The HDF5 library itself ends with tracebacks or a segmentation fault."""
    path = tmp_path / "map.fits"
    sure.write(path)
    command = [sys.executable, "-m", "extmap_tf", "convert", str(path), "copy.h5"]
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=limit)
    assert (done.returncode, done.stderr) == (1, "extmap-tf: error: copy.h5: File too large\n")
    assert [p.name for p in tmp_path.iterdir()] == ["map.fits"]
