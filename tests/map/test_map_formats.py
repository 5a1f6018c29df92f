"""A further format of maps is a class and a line in `FORMATS`; all that reads or makes maps takes it."""

import contextlib
from zipfile import BadZipFile

import numpy as np
import pytest
from astropy.io import fits

from extmap_tf.errors import DataError
from extmap_tf.files import whole_path
from extmap_tf.info import describe
from extmap_tf.map import formats
from extmap_tf.map.formats.cards import about_cards, header_of
from extmap_tf.map.formats.fits_files import new_fits_file
from extmap_tf.map.volume import ExtinctionMap


class NumpyMaps:
    """Layers as arrays of a NumPy archive, with the header as text."""

    def takes(self, path):
        return str(path).endswith(".npz")

    def sniff(self, start):
        return start.startswith(b"PK\x03\x04")

    def open(self, path, verify):
        try:
            with np.load(path) as arrays:
                layers = dict(arrays)
        except BadZipFile as error:
            raise DataError(f"{path}: {error}") from None
        header = header_of(fits.Header.fromstring(str(layers.pop("about")), sep="\n"))
        return layers, header

    @contextlib.contextmanager
    def create(self, path, header, overwrite):
        layers, grid = {}, header.grid

        def put(first, part):
            for name, values in part.items():
                whole = layers.setdefault(
                    name, np.zeros((grid.n_sightlines, *values.shape[1:]), values.dtype)
                )
                whole[first : first + len(values)] = values

        yield put
        about = fits.Header(about_cards(header)).tostring(sep="\n")
        shaped = {name: layer.reshape(*grid.shape, *layer.shape[1:]) for name, layer in layers.items()}
        with whole_path(path, overwrite=overwrite) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, about=about, **shaped)


@pytest.fixture
def numpy_maps(monkeypatch):
    monkeypatch.setattr(formats, "FORMATS", (NumpyMaps(), *formats.FORMATS))


@pytest.mark.usefixtures("numpy_maps")
def test_a_map_comes_back_from_a_format_that_was_added(volume, tmp_path):
    path = tmp_path / "map.npz"
    volume.write(path)
    assert path.read_bytes().startswith(b"PK")
    back = ExtinctionMap.read(path)
    assert back.header == volume.header
    for name, array in volume.profiles.arrays().items():
        np.testing.assert_array_equal(getattr(back, name), array, err_msg=name)
    np.testing.assert_array_equal(back.n_stars, volume.n_stars)
    assert describe(path)[1:] == volume.describe()


@pytest.mark.usefixtures("numpy_maps")
def test_other_names_are_still_fits(volume, tmp_path):
    volume.write(tmp_path / "map.fits")
    assert (tmp_path / "map.fits").read_bytes().startswith(b"SIMPLE  =")
    assert ExtinctionMap.read(tmp_path / "map.fits").header == volume.header


def test_a_format_that_is_not_known_is_refused(volume, tmp_path):
    path = tmp_path / "map.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(DataError, match="not a FITS file"):
        ExtinctionMap.read(path)


@pytest.mark.parametrize("seed", range(20))
def test_a_file_filled_in_afterwards_has_the_checksums_of_astropy(tmp_path, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, int(rng.integers(0, 9000)), np.uint8)
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros_like(pixels))])
    with new_fits_file(tmp_path / "a.fits", hdus, [fits.Card("SEED", seed)]) as (stream, offsets):
        stream.seek(offsets[1])
        stream.write(pixels.tobytes())
    with fits.open(tmp_path / "a.fits") as written:
        assert all(hdu.verify_checksum() == hdu.verify_datasum() == 1 for hdu in written)
        np.testing.assert_array_equal(written[1].data if pixels.size else [], pixels)
