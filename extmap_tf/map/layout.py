"""The FITS file of a map: which images or tables, which keywords, which world coordinates."""

import contextlib
import itertools
import os
import typing
import warnings

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import SIGHTLINE_FLAGS
from extmap_tf.files import local_path, whole_file, whole_path
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.healpix import HealpixGrid, SkyRegion
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map import healpix_tables
from extmap_tf.map.header import MapHeader
from extmap_tf.map.provenance import Provenance
from extmap_tf.settings.identity import SCHEMA, require_readable

# Of images on a plate carrée and of tables of HEALPix pixels.
FORMAT_VERSION = 4

# Maps of version 0.3.0, images and tables of HEALPix pixels, called the extinction cumulative.
_OLD_VERSIONS = (2, 3)
_OLD_NAMES = {f"EXTINCTION{end}": f"CUMULATIVE{end}" for end in ("", "_MEAN", "_STD", "_PERCENTILES")}

_BLOCK_BYTES = 2880
_CHECKED = "FITS checksum convention"

# In place of the version, in a copy that `extmap_tf.map.healpix` wrote.
HEALPIX_KEYWORD = "EXTMAPHP"

# Image -> (attribute of ExtinctionMap, further axes than the sky's two, BUNIT, QUANTITY). What has "edge"
# among its axes is given at the outer edges of the distance bins; what has "bin", inside them.
_ALWAYS = {
    "EXTINCTION": (
        "extinction_median",
        ("edge",),
        "mag",
        "A({band}) from the Sun to the outer edge of the bin",
    ),
    "DENSITY": ("density_median", ("bin",), "mag/kpc", "A({band}) per kpc inside the bin"),
    "COVERAGE": ("coverage", (), "", "fraction of the field that has data"),
    "NSTARS": ("n_stars", (), "", "stars in the field"),
    "FLAG": ("flag", (), "", "sum of the bits that apply; 0 is good"),
}
_OF_A_DISTRIBUTION = {
    "EXTINCTION_MEAN": ("extinction_mean", ("edge",), "mag", "mean of EXTINCTION"),
    "EXTINCTION_STD": ("extinction_std", ("edge",), "mag", "standard deviation of EXTINCTION"),
    "EXTINCTION_PERCENTILES": (
        "extinction_percentiles",
        ("percentile", "edge"),
        "mag",
        "percentiles of EXTINCTION",
    ),
    "DENSITY_MEAN": ("density_mean", ("bin",), "mag/kpc", "mean of DENSITY"),
    "DENSITY_STD": ("density_std", ("bin",), "mag/kpc", "standard deviation of DENSITY"),
    "DENSITY_PERCENTILES": (
        "density_percentiles",
        ("percentile", "bin"),
        "mag/kpc",
        "percentiles of DENSITY",
    ),
    "RELIABLE_DISTANCE": ("reliable_distance_kpc", (), "kpc", "how far the profile can be relied on"),
}
_OF_SAMPLES = {
    "SAMPLES": ("samples", ("sample", "edge"), "mag", "equally likely profiles of EXTINCTION"),
}
# Of what is not ">f4".
_DTYPES = {"n_stars": ">i4", "flag": "u1"}

_PROVENANCE_KEYWORDS = {
    "KIND": ("kind", "estimate by a model, or truth of a mock sky"),
    "BAND": ("band", "band of the extinction"),
    "BLUEBAND": ("blue_band", "the other band"),
    "LAW": ("law_model", "extinction law"),
    "LAWRV": ("law_rv", "R(V) of the law; empty where it has none"),
    "BLUERED": ("blue_over_red", "A(BLUEBAND) / A(BAND)"),
    "BANDUM": ("band_um", "[um] wavelength of BAND"),
    "BLUEUM": ("blue_band_um", "[um] wavelength of BLUEBAND"),
    "SURVEY": ("survey", "whose stars"),
    "CONFIG": ("config_name", "configuration"),
    "CONFDIG": ("config_digest", "digest of the configuration"),
    "MODEL": ("model_name", "model"),
    "MODELDIG": ("model_digest", "digest of the model"),
    "RECDIG": ("records_digest", "digest of the training records"),
    "MODELIS": ("model_facts", "from the card of the model"),
    "SOFTWARE": ("software", "made by"),
}
# Left out where there is nothing to say.
_OPTIONAL = ("MODELIS",)
_SIGHTLINE_KEYWORDS = {
    "LMIN": ("l_min_deg", "[deg] first longitude"),
    "LMAX": ("l_max_deg", "[deg] last longitude (may exceed 360)"),
    "BMIN": ("b_min_deg", "[deg] first latitude"),
    "BMAX": ("b_max_deg", "[deg] last latitude"),
    "SKYSTEP": ("step_deg", "[deg] between sightlines"),
    "FIELD": ("field_deg", "[deg] side of a field"),
}
_HEALPIX_KEYWORDS = {
    "SKYNSIDE": ("nside", "HEALPix resolution of the sightlines"),
    "NREGIONS": ("n_regions", "parts of the sky that sightlines are in"),
}
# Of region i, after R and i.
_REGION_KEYWORDS = {
    "LMIN": ("l_min_deg", "[deg] from this longitude"),
    "LMAX": ("l_max_deg", "[deg] to this one (may exceed 360)"),
    "BMIN": ("b_min_deg", "[deg] from this latitude"),
    "BMAX": ("b_max_deg", "[deg] to this one"),
    "L": ("l_deg", "[deg] and around this longitude"),
    "B": ("b_deg", "[deg] and this latitude"),
    "RAD": ("radius_deg", "[deg] within this radius"),
}
_DISTANCE_KEYWORDS = {
    "DSTEP": ("step_kpc", "[kpc] length of a distance bin"),
    "NDIST": ("n_distances", "distance bins, from 0"),
}


def write_layers(path, layers, header, overwrite=False):
    """Write the layers of a map to a FITS file; see `extmap_tf.map.volume.ExtinctionMap.write`.

    Parameters
    ----------
    path : path-like
    layers : dict of str to ndarray [*header.grid.shape, ...]
        By the names of `extmap_tf.estimate.ProfileEstimate`, and ``coverage`` and ``n_stars``.
    header : MapHeader
    overwrite : bool
    """
    with new_map_file(path, header, overwrite) as put:
        n_axes = len(header.grid.shape)
        put(0, {name: layer.reshape(-1, *layer.shape[n_axes:]) for name, layer in layers.items()})


@contextlib.contextmanager
def new_map_file(path, header, overwrite=False):
    """Make a map's file and let the caller fill it, all at once or field by field.

    So a map of images may be larger than the memory; the tables of HEALPix pixels are gathered in it.

    Yields
    ------
    callable
        Called with the index of a first field and the layers, as for `write_layers` but [n, ...], of it and
        those that follow. All fields must be given before the block ends; then the file takes its name.

    Raises
    ------
    DataError
        The file exists and `overwrite` is false.
    OSError
        There is not enough room for it.
    """
    shared = [fits.Card("EXTMAPV", FORMAT_VERSION, "version of this layout of an extmap_tf map")]
    shared += about_cards(header)
    filled = _filled_tables if isinstance(header.grid, HealpixGrid) else _filled_images
    with filled(path, header, shared, overwrite) as put:
        yield put


@contextlib.contextmanager
def _filled_tables(path, header, shared, overwrite):
    grid, images, layers = header.grid, images_of(header), {}

    def put(first, part):
        for name, values in part.items():
            if name not in layers:
                layers[name] = np.zeros((grid.n_sightlines, *values.shape[1:]), values.dtype)
            layers[name][first : first + len(values)] = values

    yield put
    tables = healpix_tables.write_tables(images, layers.__getitem__, grid.pixels, grid.nside, header)
    hdus = fits.HDUList([fits.PrimaryHDU(), *tables])
    explain_flags(hdus["SKY"])
    write_hdus(path, hdus, shared, overwrite)


@contextlib.contextmanager
def _filled_images(path, header, shared, overwrite):
    grid, images, lengths, band = header.grid, images_of(header), header.lengths, header.provenance.band
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for name, (attribute, axes, unit, quantity) in images.items():
        shape = (*(lengths[axis] for axis in axes), *grid.shape)
        # Takes no memory: the header is all that is wanted of it.
        pixels = np.broadcast_to(np.zeros((), _DTYPES.get(attribute, ">f4")), shape)
        hdu = fits.ImageHDU(pixels, name=name)
        hdu.header.extend(_wcs_cards(grid, header.distance, axes), end=True)
        if unit:
            hdu.header["BUNIT"] = (unit, "unit of the pixels")
        hdu.header["QUANTITY"] = quantity.format(band=band)
        hdus.append(hdu)
    explain_flags(hdus["FLAG"])
    _share(hdus, shared)
    with whole_path(path, overwrite=overwrite) as temporary:
        offsets = _write_headers(temporary, hdus)
        # Not memory-mapped: a few fields touch each page of the file, and each touch would cost a fault.
        with open(temporary, "r+b") as stream:

            def put(first, layers):
                for offset, (attribute, *_) in zip(offsets[1:], images.values(), strict=True):
                    dtype = np.dtype(_DTYPES.get(attribute, ">f4"))
                    for place, planes in _runs(first, layers[attribute].astype(dtype, copy=False), grid):
                        for number, plane in enumerate(planes):
                            stream.seek(offset + (number * grid.n_sightlines + place) * dtype.itemsize)
                            stream.write(plane)

            yield put
            stream.flush()
            with fits.open(temporary, memmap=True) as written:
                for hdu in written:
                    # Not in astropy's mode of updates, which would add checksums with the time.
                    _add_checksum(hdu)
                    stream.seek(hdu.fileinfo()["hdrLoc"])
                    stream.write(hdu.header.tostring().encode("ascii"))
            stream.flush()
            os.fsync(stream.fileno())


def _runs(first, layer, grid):
    """What of a layer [n, ...], of the fields from `first` on, lies together in a sky image: l descends.

    Yields
    ------
    int, ndarray [n_planes, n_together]
        Where in each plane the pixels begin, and the pixels.
    """
    n_l, end = grid.n_l, first + len(layer)
    # Part of a row of the sky, whole rows, part of a row; some may be empty.
    bounds = np.clip([first, -(-first // n_l) * n_l, end // n_l * n_l, end], first, end)
    for begin, stop in itertools.pairwise(np.unique(bounds).tolist()):
        whole = begin % n_l == 0 and stop % n_l == 0
        width = n_l if whole else stop - begin
        rows = layer[begin - first : stop - first].reshape(-1, width, *layer.shape[1:])[:, ::-1]
        planes = rows.reshape(stop - begin, -1).T
        i_b, i_l = divmod(begin, n_l)
        yield i_b * n_l + n_l - i_l - width, np.ascontiguousarray(planes)


def _write_headers(path, hdus):
    """Write a FITS file whose data are zeros yet; returns where they begin, in bytes."""
    offsets = []
    with open(path, "wb") as stream:
        for hdu in hdus:
            # Of the length that they will have.
            hdu.header["CHECKSUM"], hdu.header["DATASUM"] = ("0" * 16, _CHECKED), ("0", _CHECKED)
            stream.write(hdu.header.tostring().encode("ascii"))
            offsets.append(stream.tell())
            stream.seek(-(-hdu.size // _BLOCK_BYTES) * _BLOCK_BYTES, os.SEEK_CUR)
        size = stream.tell()
        stream.truncate(size)
        if hasattr(os, "posix_fallocate"):
            # In one piece on the disk, and a disk that is full is told now.
            os.posix_fallocate(stream.fileno(), 0, size)
    return offsets


def about_cards(header):
    """What every part of a file says of the map: origin, grids, percentiles, number of samples."""
    grid, percentiles = header.grid, header.percentiles
    cards = [_card("SCHEMA", SCHEMA, "of extmap_tf's files")]
    cards += _cards(header.provenance, _PROVENANCE_KEYWORDS)
    if isinstance(grid, HealpixGrid):
        cards += _cards(grid, _HEALPIX_KEYWORDS)
        for number, region in enumerate(grid.regions, 1):
            cards += _cards(region, _region_keywords(number))
    else:
        cards += _cards(grid, _SIGHTLINE_KEYWORDS)
    cards += _cards(header.distance, _DISTANCE_KEYWORDS)
    cards.append(_card("MINCOVER", float(header.min_coverage), "least coverage of an estimate"))
    cards.append(_card("NPERC", len(percentiles), "percentiles in this file"))
    cards += [_card(f"PERC{i}", float(p), "[%] percentile") for i, p in enumerate(percentiles, 1)]
    cards.append(_card("NSAMPLES", header.n_samples, "samples of each profile in this file"))
    return cards


def _cards(owner, keywords):
    values = {key: (getattr(owner, name), text) for key, (name, text) in keywords.items()}
    return [_card(key, *card) for key, card in values.items() if card[0] or key not in _OPTIONAL]


def _region_keywords(number):
    return {f"R{number}{key}": value for key, value in _REGION_KEYWORDS.items()}


def explain_flags(hdu):
    """Say in a header what the bits of a sightline's flag mean."""
    for flag in SIGHTLINE_FLAGS:
        hdu.header[f"BIT{flag.value}"] = (flag.name, flag.meaning)


def write_hdus(path, hdus, shared, overwrite=False):
    """Write a FITS file whose parts all end with the cards `shared` and with checksums."""
    _share(hdus, shared)
    for hdu in hdus:
        _add_checksum(hdu)
    with whole_file(path, "wb", overwrite=overwrite) as stream:
        hdus.writeto(stream)


def _share(hdus, cards):
    hdus.update_extend()
    for hdu in hdus:
        hdu.header.extend(cards, end=True)


def _add_checksum(hdu):
    # A fixed comment: astropy's own holds the time, and the same map must give the same bytes.
    hdu.add_checksum(when=_CHECKED)


def read_layers(path, verify=False):
    """Open the layers of a map; see `extmap_tf.map.volume.ExtinctionMap.read`.

    Returns
    -------
    layers : dict of str to ndarray
        As for `write_layers`: views of the memory-mapped file.
    header : MapHeader
    """
    path = local_path(path)
    try:
        with open(path, "rb") as stream:
            if stream.read(9) != b"SIMPLE  =":
                raise DataError(f"{path}: not a FITS file (or compressed: unpack it first)")
        with warnings.catch_warnings():
            # What astropy only warns of on opening (a file cut short) is refused below.
            warnings.simplefilter("ignore", AstropyWarning)
            with fits.open(path, memmap=True) as hdus:
                return _layers_of(path, hdus, verify)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; give the path of a map") from None
    except IsADirectoryError:
        raise DataError(f"{path}: a folder; give the path of a map") from None
    except (OSError, ValueError, TypeError, KeyError, fits.VerifyError, ConfigError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read as a map, make it again: {reason}") from None


def _layers_of(path, hdus, verify):
    header = hdus[0].header
    version = header.get("EXTMAPV")
    if HEALPIX_KEYWORD in header:
        raise DataError(f"{path}: a HEALPix copy of a map, for other programs; give the map itself")
    if version is None:
        raise DataError(f"{path}: a FITS file, but no map of extmap_tf (no keyword EXTMAPV); give a map")
    if version not in (*_OLD_VERSIONS, FORMAT_VERSION):
        old = isinstance(version, int) and version < _OLD_VERSIONS[0]
        advice = "made by an older extmap_tf, score it again" if old else "update extmap_tf"
        known = ", ".join(map(str, _OLD_VERSIONS))
        raise DataError(
            f"{path}: layout {version}, but this program reads {known} and {FORMAT_VERSION}: {advice}"
        )
    require_readable(header, str(path))
    healpix = "SKYNSIDE" in header
    require_whole(path, hdus, fits.BinTableHDU if healpix else fits.ImageHDU)
    about = _header_of(header)
    images = images_of(about)
    if version in _OLD_VERSIONS:
        images = {_OLD_NAMES.get(name, name): image for name, image in images.items()}
    if healpix:
        healpix_tables.require_tables(path, hdus)
    else:
        _require_images(path, hdus, images)
    if verify:
        require_checksums(path, hdus)
    read = healpix_tables.read_tables if healpix else _read_images
    return read(path, hdus, images, about), about


def _header_of(header):
    """The `MapHeader` that a FITS header tells."""
    return MapHeader(
        _healpix_grid(header)
        if "SKYNSIDE" in header
        else _from_header(SightlineGrid, header, _SIGHTLINE_KEYWORDS),
        _from_header(DistanceGrid, header, _DISTANCE_KEYWORDS),
        _from_header(Provenance, header, _PROVENANCE_KEYWORDS),
        float(header["MINCOVER"]),
        tuple(float(header[f"PERC{i}"]) for i in range(1, 1 + header["NPERC"])),
        header["NSAMPLES"],
    )


def _require_images(path, hdus, images):
    for name in images:
        if name not in hdus:
            raise DataError(f"{path}: truncated, the image {name} is missing; fetch or make it again")


def _read_images(path, hdus, images, about):
    grid, lengths, layers = about.grid, about.lengths, {}
    for name, (attribute, axes, _, _) in images.items():
        expected = (*(lengths[axis] for axis in axes), *grid.shape)
        if hdus[name].shape != expected:
            raise DataError(f"{path}: {name} must be {expected} by its grids, got: {hdus[name].shape}")
        _require_wcs(path, hdus[name].header, _wcs_cards(grid, about.distance, axes), name)
        layers[attribute] = np.flip(_sky_first(np.asarray(hdus[name].data)), axis=1)
    return layers


def _healpix_grid(header):
    regions = (
        _from_header(SkyRegion, header, _region_keywords(number))
        for number in range(1, 1 + header["NREGIONS"])
    )
    return HealpixGrid(int(header["SKYNSIDE"]), tuple(regions))


def require_whole(path, hdus, kind):
    """Raise DataError unless a FITS file's parts after the first are of `kind` and end inside the file."""
    size = path.stat().st_size
    for number, hdu in enumerate(hdus):
        if not isinstance(hdu, fits.PrimaryHDU | kind):
            raise DataError(
                f"{path}: part {number} is no {kind.__name__} (damaged, or not ours); fetch or make it again"
            )
        place = hdu.fileinfo()
        if place["datLoc"] + place["datSpan"] > size:
            raise DataError(f"{path}: truncated at {size} bytes, inside {hdu.name}; fetch or make it again")


def require_checksums(path, hdus):
    """Raise DataError unless every part of a FITS file has the checksums that `write_hdus` gave it."""
    for hdu in hdus:
        if not hdu.verify_datasum() == hdu.verify_checksum() == 1:
            raise DataError(f"{path}: damaged, the checksum of {hdu.name} fails; fetch or make it again")


def images_of(header):
    """The images of a map: dict of name to (attribute, axes after the sky's, unit, quantity)."""
    images = dict(_ALWAYS)
    if header.percentiles:
        images |= _OF_A_DISTRIBUTION
        for name in ("EXTINCTION", "DENSITY"):
            attribute, axes, unit, quantity = images[name]
            images[name] = attribute, axes, unit, f"median of {quantity}"
    if header.n_samples:
        images |= _OF_SAMPLES
    return images


def _sky_first(data):
    """[..., n_b, n_l], the order of FITS images -> [n_b, n_l, ...]."""
    return np.moveaxis(data, (-2, -1), (0, 1))


def _card(keyword, value, comment):
    if isinstance(value, float):
        # astropy cuts numbers at 20 characters; the grids must come back exactly.
        text = repr(float(value)).upper()
        return fits.Card.fromstring(f"{keyword:<8}= {text:>20} / {comment}")
    return fits.Card(keyword, value, comment)


def _from_header(cls, header, keywords):
    hints = typing.get_type_hints(cls)
    values = {}
    for keyword, (name, _) in keywords.items():
        if keyword in _OPTIONAL and keyword not in header:
            continue
        value, kinds = header[keyword], typing.get_args(hints[name]) or (hints[name],)
        # A keyword without a value stands for None.
        none = value is None and type(None) in kinds
        values[name] = None if none else kinds[0](value)
    return cls(**values)


def _wcs_cards(grid, distance, axes):
    """World coordinates of an image: plate carrée on the sky, l descending; distance, if any, is third."""
    column = grid.n_l // 2
    # A CAR projection is linear in l and b only around a reference point on the equator: CRVAL2 is 0.
    cards = [
        _card("WCSAXES", 2 + len(axes), "axes of the world coordinates"),
        _card("CTYPE1", "GLON-CAR", "Galactic longitude, plate carree"),
        _card("CUNIT1", "deg", "unit of longitude"),
        _card("CRPIX1", float(column + 1), "column of CRVAL1 (the first is 1)"),
        _card(
            "CRVAL1", float(grid.l_deg[grid.n_l - 1 - column] % 360.0), "[deg] longitude of the column CRPIX1"
        ),
        _card("CDELT1", -float(grid.step_deg), "[deg] longitude increases to the left"),
        _card("CTYPE2", "GLAT-CAR", "Galactic latitude, plate carree"),
        _card("CUNIT2", "deg", "unit of latitude"),
        _card("CRPIX2", float(1.0 - grid.b_min_deg / grid.step_deg), "row of b = 0 (the first is 1)"),
        _card("CRVAL2", 0.0, "[deg] latitude of the row CRPIX2"),
        _card("CDELT2", float(grid.step_deg), "[deg] step in latitude"),
        _card("LONPOLE", 0.0, "[deg] native longitude of the pole"),
        _card("LATPOLE", 90.0, "[deg] native latitude of the pole"),
    ]
    if axes:
        first = distance.outer_kpc[0] if axes[-1] == "edge" else distance.centers_kpc[0]
        what = "outer edge" if axes[-1] == "edge" else "centre"
        cards += [
            _card("CTYPE3", "DIST", f"heliocentric distance: {what} of the bin"),
            _card("CUNIT3", "kpc", "unit of distance"),
            _card("CRPIX3", 1.0, "plane of CRVAL3 (the first is 1)"),
            _card("CRVAL3", float(first), f"[kpc] {what} of the first bin"),
            _card("CDELT3", float(distance.step_kpc), "[kpc] length of a bin"),
        ]
    if len(axes) > 1:
        what = "number i of the percentile PERCi" if axes[0] == "percentile" else "number of the sample"
        cards += [
            _card("CTYPE4", axes[0].upper(), what),
            _card("CRPIX4", 1.0, "the first"),
            _card("CRVAL4", 1.0, "has the number 1"),
            _card("CDELT4", 1.0, "and the next one more"),
        ]
    return cards


def _require_wcs(path, header, cards, image):
    for card in cards:
        if header.get(card.keyword) != card.value:
            raise DataError(
                f"{path}: {card.keyword} of {image} must be {card.value!r} by its grids (an image cut "
                f"out?), got: {header.get(card.keyword)!r}"
            )
