"""Copies of a map on HEALPix pixels for other programs: a FITS table, and an HDF5 file as dustmaps has them.

Nothing is averaged: every number of a copy is one of the map's, see `extmap_tf.map.pixels`.
"""

import warnings

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from extmap_tf import __version__
from extmap_tf.catalogs.formats.fits import require_sound_headers
from extmap_tf.errors import DataError
from extmap_tf.estimate import SIGHTLINE_FLAGS
from extmap_tf.files import PathLike, local_path
from extmap_tf.map.formats.cards import about_cards, parts_of
from extmap_tf.map.formats.fits_files import require_checksums, require_whole
from extmap_tf.map.formats.fits_maps import HEALPIX_KEYWORD
from extmap_tf.map.formats.hdf5_files import whole_hdf5
from extmap_tf.map.formats.tables import new_tables, require_tables
from extmap_tf.map.pixels import Pixels, pixels_of
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.settings.identity import SCHEMA, require_readable
from extmap_tf.settings.law import LawConfig

# Ranks of the profiles that stand for samples in a map without any, in percent: of n samples NumPy, and so
# dustmaps, takes number k to be the quantile k / (n - 1).
RANKS = tuple(np.linspace(0.0, 100.0, 21))

# Of fewer a straight line between two passes by the percentiles.
_LEAST_PROFILES = 16

_WRONG = (ValueError, TypeError, AttributeError)

_PIXELS_AT_ONCE = 4096

# Distance modulus of 1 pc: dustmaps asks from where on a profile is reliable, and ours are from the Sun on.
_DM_AT_THE_SUN = -5.0


def write_healpix(
    volume: ExtinctionMap,
    path: PathLike,
    nside: int | None = None,
    band: str | None = None,
    law: LawConfig | str | None = None,
    overwrite: bool = False,
) -> Pixels:
    """Write a map as FITS tables of HEALPix pixels, see `extmap_tf.map.formats.tables`.

    In table SKY, also the sightline that each pixel's profile is of. All tables repeat the provenance, and
    say in INBAND what the values are.

    Parameters
    ----------
    volume : ExtinctionMap
    path : path-like
    nside : int, optional
        As for `pixels_of`.
    band : str, optional
        Band or colour excess of all values; the map's own if left out.
    law : LawConfig or str, optional
        As for `ExtinctionMap.band_factor`.
    overwrite : bool

    Returns
    -------
    Pixels
    """
    volume = volume.in_band(band, law)
    pixels = pixels_of(volume.grid, nside)
    place = np.unravel_index(pixels.sightline, volume.grid.shape)
    l_deg, b_deg = volume.grid.centers_deg(pixels.sightline)
    shared = [fits.Card(HEALPIX_KEYWORD, 1, "version of this HEALPix copy of a map")]
    shared.append(fits.Card("INBAND", volume.quantity, "what the values are"))
    shared += about_cards(volume.header)
    parts = parts_of(volume.header).values()
    with new_tables(
        path,
        pixels.index,
        pixels.nside,
        volume.header,
        shared,
        overwrite,
        {"SIGHTLINE_L": l_deg * u.deg, "SIGHTLINE_B": b_deg * u.deg},
        volume.quantity,
        volume.describe(),
    ) as put:
        for first in range(0, pixels.index.size, _PIXELS_AT_ONCE):
            chosen = tuple(index[first : first + _PIXELS_AT_ONCE] for index in place)
            put(first, {part.layer: getattr(volume, part.layer)[chosen] for part in parts})
            volume.let_go()
    return pixels


def write_hdf5(
    volume: ExtinctionMap,
    path: PathLike,
    nside: int | None = None,
    band: str | None = None,
    law: LawConfig | str | None = None,
    overwrite: bool = False,
) -> Pixels:
    """Write a map as an HDF5 file with the layout of dustmaps' Bayestar maps.

    ``dustmaps.bayestar.BayestarQuery(map_fname=path)`` reads it. ``/pixel_info`` has one row a pixel: nside,
    healpix_index (nested, Galactic), n_stars, converged (no flag is set), DM_reliable_min and _max
    (of `extmap_tf.estimate.reliable_distance_kpc`; the data set ``reliable`` tells it of each distance), and
    of ours l, b, coverage and flag; its attribute DM_bin_edges has the distance moduli. ``/best_fit``
    [n_pixels, n_distances] is the median extinction at these, ``/samples`` [n_pixels, n_samples,
    n_distances] profiles whose medians and percentiles at each distance are the map's, as dustmaps takes
    them. They are the map's samples, each put at every distance to the map's own quantile of its rank among
    them and then in rising order along the sight (a few samples by themselves have narrower intervals); each
    several times if there are under 16. For a map without samples these are profiles of equal rank, the
    percentiles 0, 5 to 100; the attribute ``samples_are`` says which. Further data sets have the names of the
    attributes of `ExtinctionMap`. All have checksums (Fletcher-32), which HDF5 checks as it reads. What the
    file is, is in the attributes of its root.

    Parameters
    ----------
    volume : ExtinctionMap
    path : path-like
    nside : int, optional
        As for `pixels_of`.
    band : str, optional
        Band or colour excess of all values; the map's own if left out.
    law : LawConfig or str, optional
        As for `ExtinctionMap.band_factor`.
    overwrite : bool

    Returns
    -------
    Pixels
    """
    pixels = pixels_of(volume.grid, nside)
    place = np.unravel_index(pixels.sightline, volume.grid.shape)
    factor = np.float32(volume.band_factor(band, law))
    moduli = 5.0 * np.log10(volume.distance.outer_kpc) + 10.0
    # A truth is right everywhere; of an estimate without a spread nothing is stated.
    unstated_kpc = volume.distance.max_kpc if volume.provenance.kind == "truth" else np.nan
    reliable = (
        volume.reliable_distance_kpc[place]
        if volume.percentiles
        else np.full(len(pixels.index), unstated_kpc)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        last = np.where(reliable > 0, 5.0 * np.log10(reliable) + 10.0, np.nan)
    info = np.rec.fromarrays(  # type: ignore[call-overload]
        [
            np.full(len(pixels.index), pixels.nside, np.int32),
            pixels.index,
            volume.n_stars[place],
            (volume.flag[place] == 0).astype(np.uint8),
            np.full(len(pixels.index), _DM_AT_THE_SUN, np.float32),
            last.astype(np.float32),
            pixels.l_deg.astype(np.float32),
            pixels.b_deg.astype(np.float32),
            volume.coverage[place],
            volume.flag[place],
        ],
        names="nside,healpix_index,n_stars,converged,DM_reliable_min,DM_reliable_max,l,b,coverage,flag",
    )
    cubes = {
        part.layer: getattr(volume, part.layer)[place] * factor
        for part in parts_of(volume.header).values()
        if part.axes and part.unit
    }
    if volume.percentiles:
        cubes["reliable"] = volume.reliable[place].astype(np.uint8)
    best_fit = cubes.pop("extinction_median")
    how = {"band": band, "law": law}
    if volume.n_samples:
        samples = _spread(cubes.pop("samples"), volume, pixels, how)
        what = "equally likely profiles, spread at each distance as the map's percentiles"
    elif volume.percentiles:
        samples = _ranked(volume, pixels, how, RANKS)
        what = "profiles of equal rank: the percentiles 0, 5, ..., 100 at each distance"
    else:
        samples, what = best_fit[:, None], "the one profile of the map"
    about = _attributes(volume, pixels, band, float(factor)) | {"samples_are": what}
    with whole_hdf5(path, overwrite) as file:
        file.attrs.update(about)
        sound = {"fletcher32": True}
        file.create_dataset("pixel_info", data=info, **sound).attrs["DM_bin_edges"] = moduli
        for name, values in {"best_fit": best_fit, "samples": samples, **cubes}.items():
            unit = "mag/kpc" if name.startswith("density") else "" if name == "reliable" else "mag"
            small = {"compression": "gzip", "shuffle": True}
            file.create_dataset(name, data=values, **small, **sound).attrs["unit"] = unit
    return pixels


def _spread(samples, volume, pixels, how):
    """Samples [n_pixels, n, n_distances] with the map's percentiles, where the map has some.

    They keep their ranks at each distance (the empirical copula: Schefzik et al. 2013, Stat. Sci. 28, 616),
    and rise along the sight, for which intervals change by a few percent.
    """
    if not volume.percentiles:
        return samples
    again = -(-_LEAST_PROFILES // volume.n_samples)
    samples = np.repeat(samples, again, axis=1)
    quantiles = _ranked(volume, pixels, how, tuple(np.linspace(0.0, 100.0, samples.shape[1])))
    for first in range(0, len(samples), _PIXELS_AT_ONCE):
        some = slice(first, first + _PIXELS_AT_ONCE)
        order = np.argsort(np.argsort(samples[some], axis=1, kind="stable"), axis=1, kind="stable")
        quantiles[some] = np.sort(np.take_along_axis(quantiles[some], order, axis=1), axis=2)
    return quantiles


def _ranked(volume, pixels, how, ranks):
    """Profiles [n_pixels, n_ranks, n_distances] at ranks, whose 68 and 95 % intervals are the map's."""

    def at(percentiles):
        where = (pixels.l_deg, pixels.b_deg)
        return volume.query_gal(*where, mode="percentile", percentile=percentiles, **how).value

    stored = volume.percentiles[0], volume.percentiles[-1]
    inner = [rank for rank in ranks if stored[0] < rank < stored[1]]
    first = ranks.index(inner[0])
    end = first + len(inner)
    samples = np.empty((len(pixels.index), len(ranks), volume.distance.n_distances), np.float32)
    samples[:, first:end] = at(inner)
    outermost = at(stored)
    for side, row, beyond in ((0, first, range(first)), (1, end - 1, range(end, len(ranks)))):
        # Straight on from the outermost rank through the outermost percentile.
        for k in beyond:
            share = (ranks[k] - ranks[row]) / (stored[side] - ranks[row])
            samples[:, k] = samples[:, row] + share * (outermost[:, side] - samples[:, row])
    return np.maximum(samples, 0.0)


def _attributes(volume, pixels, band, factor):
    origin = volume.provenance
    about = {f"map_{name}": value for name, value in origin.to_dict().items() if value is not None}
    for owner in (volume.grid, volume.distance):
        about |= {f"map_{name}": value for name, value in vars(owner).items() if np.isscalar(value)}
    return about | {
        "schema": SCHEMA,
        "made_by": f"extmap_tf {__version__}",
        "about": volume.describe(),
        "band": band or origin.band,
        "unit": "mag",
        "band_over_map_band": factor,
        "min_coverage": volume.min_coverage,
        "percentiles": np.array(volume.percentiles, float),
        "nside": pixels.nside,
        "ordering": "nested",
        "frame": "galactic",
        "distance_moduli": "DM_bin_edges of pixel_info: the outer edges of the distance bins",
        "flag_bits": [f"{flag.value} {flag.name}: {flag.meaning}" for flag in SIGHTLINE_FLAGS],
    }


def describe_copy(path: PathLike, verify: bool = False) -> list[str]:
    """What a copy says of itself, as a list of lines of plain text: pixels, then as the map describes itself.

    Parameters
    ----------
    path : path-like
    verify : bool
        Read the whole file once and compare it with its checksums.

    Raises
    ------
    DataError
        An HDF5 or FITS file of somebody else, one cut short, or (with `verify`) a damaged one.
    """
    path = local_path(path)
    with open(path, "rb") as stream:
        head = stream.read(8)
    about = _about_hdf5 if _is_hdf5(head) else _about_fits
    kind, nside, number, lines = about(path, verify)
    return [f"{'copy':<14} {kind}, {number:,} HEALPix pixels of nside {nside}", *lines]


def is_copy(path: PathLike) -> bool:
    """Whether a file is HDF5, or FITS tables by `write_healpix`."""
    with open(path, "rb") as stream:
        head = stream.read(2880 * 8)
    return _is_hdf5(head) or (head.startswith(b"SIMPLE  =") and HEALPIX_KEYWORD.encode() in head)


def _is_hdf5(head):
    return head.startswith(b"\x89HDF\r\n\x1a\n")


def _about_fits(path, verify):
    require_sound_headers(path)
    try:
        with warnings.catch_warnings():
            # What astropy only warns of on opening (a file cut short) is refused below.
            warnings.simplefilter("ignore", AstropyWarning)
            with fits.open(path) as hdus:
                require_whole(path, hdus, fits.BinTableHDU)
                require_tables(path, hdus)
                if verify:
                    require_checksums(path, hdus)
                about, table = hdus[0].header, hdus["SKY"].header
                require_readable(about, str(path))
                lines = [text for keyword, text in about.items() if keyword.startswith("ABOUT")]
                return "FITS tables", table["NSIDE"], table["NAXIS2"], lines
    except (OSError, LookupError, *_WRONG, fits.VerifyError) as error:
        raise _unreadable(path, "a HEALPix copy of a map", error) from None


def _about_hdf5(path, verify):
    import h5py

    try:
        with h5py.File(path) as file:
            about = file.attrs
            if "pixel_info" not in file or "made_by" not in about:
                raise DataError(f"{path}: an HDF5 file, but no map of extmap_tf")
            require_readable({"schema": int(about.get("schema", 1))}, str(path))
            if verify:
                _require_sound(path, file)
            kind = f"HDF5 for dustmaps, values are {about['band']} in {about['unit']}, {about['samples_are']}"
            return kind, about["nside"], len(file["pixel_info"]), list(about["about"])
    # Whatever h5py raises on a damaged file.
    except (OSError, RuntimeError, LookupError, ArithmeticError, *_WRONG, SystemError) as error:
        raise _unreadable(path, "HDF5", error) from None


def _require_sound(path, file):
    """Read every data set, by which HDF5 compares it with its checksums."""
    for name, values in file.items():
        if not values.fletcher32:
            raise DataError(
                f"{path}: {name} has no checksum, so it cannot be verified: convert the map again"
            )
        try:
            for chunk in values.iter_chunks():
                values[chunk]
        except OSError:
            raise DataError(f"{path}: damaged, {name} cannot be read: convert the map again") from None


def _unreadable(path, what, error):
    reason = " ".join(str(error).split())
    return DataError(f"{path}: cannot be read as {what}, convert the map again: {reason}")
