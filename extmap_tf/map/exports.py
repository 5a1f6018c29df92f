"""A map for other tools: its coverage as a MOC, shells of distance as HEALPix maps, profiles as a table.

Nothing is averaged: every number is one of the map's, see `extmap_tf.map.pixels`.
"""

import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from extmap_tf.catalogs.formats.fits import require_sound_headers
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.extinction.profiles import profiles_at
from extmap_tf.files import PathLike, local_path, whole_path, whole_paths
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.healpix_pixels import pixel_of, smallest_nside
from extmap_tf.grids.sphere import galactic_to_equatorial
from extmap_tf.map.formats.cards import about_cards
from extmap_tf.map.formats.fits_files import require_checksums, require_whole
from extmap_tf.map.parts import profiles_table
from extmap_tf.map.pixels import pixels_of
from extmap_tf.map.volume import ExtinctionMap

# Points along a cell's side that tell which cells of the MOC it touches.
_POINTS_PER_SIDE = 4


def write_profiles(volume: ExtinctionMap, path: PathLike, overwrite: bool = False) -> int:
    """Write all profiles as a table for TOPCAT, pandas and the like: VOTable or Parquet, by the suffix.

    Parameters
    ----------
    volume : ExtinctionMap
    path : path-like
    overwrite : bool

    Returns
    -------
    int
        Rows: one for each sightline with a profile and distance, see `extmap_tf.map.parts.profiles_table`.
    """
    table = profiles_table(volume, np.flatnonzero(volume.has_profile))
    write = _write_votable if Path(path).suffix.lower() == ".vot" else _write_parquet
    with whole_path(path, overwrite=overwrite) as temporary:
        write(table, temporary)
    return len(table)


def _write_votable(table, path):
    from astropy.io.votable.tree import Info, VOTableFile

    document = VOTableFile.from_table(table)
    # astropy leaves the metadata out.
    document.resources[0].infos.extend(
        Info(name=key, value=str(value)) for key, value in table.meta.items() if value not in (None, "")
    )
    document.to_xml(str(path), tabledata_format="binary2")


def _write_parquet(table, path):
    with warnings.catch_warnings():
        # Of the metadata, which it takes all the same.
        warnings.simplefilter("ignore")
        table.write(path, format="parquet")


def write_moc(volume: ExtinctionMap, path: PathLike, overwrite: bool = False) -> tuple[int, float]:
    """Write where the map has profiles as a Multi-Order Coverage map (IVOA MOC 2.0), in FITS.

    A cell of the finest order, which is a quarter of the map's step wide or half of its pixels, is in it if
    the map has a profile at one of its points. As the standard asks, cells are of the equatorial sky (ICRS),
    in NUNIQ numbers.

    Parameters
    ----------
    volume : ExtinctionMap
    path : path-like
    overwrite : bool

    Returns
    -------
    order : int
        Of the finest cells.
    area_deg2 : float
        Of all.

    Raises
    ------
    DataError
        No sightline has a profile.
    """
    order, cells = _covered_cells(volume)
    area_deg2 = 41252.96 * cells.size / (12 * 4**order)
    uniq = []
    for level in range(order, -1, -1):
        parents, children = np.unique(cells // 4, return_counts=True)
        whole = parents[children == 4] if level else np.empty(0, np.int64)
        uniq.append(cells[~np.isin(cells // 4, whole)] + 4 * 4**level)
        cells = whole
    numbers = np.sort(np.concatenate(uniq))
    hdu = fits.BinTableHDU.from_columns([fits.Column("UNIQ", "K", array=numbers)], name="MOC")
    for key, value, text in (
        ("PIXTYPE", "HEALPIX", "HEALPix cells"),
        ("ORDERING", "NUNIQ", "order and cell in one number"),
        ("COORDSYS", "C", "equatorial (ICRS)"),
        ("MOCVERS", "2.0", "version of the IVOA standard"),
        ("MOCDIM", "SPACE", "sky only"),
        ("MOCORD_S", order, "finest order"),
        ("MOCORDER", order, "the same for version 1"),
        ("MOCTOOL", "extmap_tf", "made by"),
    ):
        hdu.header[key] = (value, text)
    with whole_path(path, overwrite=overwrite) as temporary:
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(temporary, checksum=True)
    return order, area_deg2


def _covered_cells(volume):
    """Finest order, and its cells [n] that the map's profiles touch, ascending."""
    grid = volume.grid
    if not volume.has_profile.any():
        raise DataError("no sightline of the map has a profile: its coverage is empty")
    if isinstance(grid, HealpixGrid):
        nside = 2 * grid.nside
        l_deg, b_deg = grid.parts_deg(_POINTS_PER_SIDE)
        known = np.repeat(volume.has_profile, _POINTS_PER_SIDE**2)
    else:
        nside = 4 * smallest_nside(grid.step_deg)
        pixels = pixels_of(grid, 2 * nside)
        l_deg, b_deg = pixels.l_deg, pixels.b_deg
        known = volume.has_profile.ravel()[pixels.sightline]
    cells = pixel_of(*galactic_to_equatorial(l_deg[known], b_deg[known]), nside)
    return int(np.log2(nside)), np.unique(cells)


def write_shells(
    volume: ExtinctionMap,
    folder: PathLike,
    edges_kpc: Sequence[float],
    nside: int | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write the dust of each shell of distance as a HEALPix map, of which Hipsgen makes a HiPS.

    Each is a FITS table PIXEL, EXTINCTION (rise of the median extinction in the shell, mag; NaN without a
    profile), nested and Galactic, named for its shell, as ``shell_0.5_1kpc.fits``.

    Parameters
    ----------
    volume : ExtinctionMap
    folder : path-like
        Made if needed.
    edges_kpc : sequence of float
        Two or more, ascending, from 0 to the map's last distance.
    nside : int, optional
        As for `pixels_of`.
    overwrite : bool

    Returns
    -------
    list of Path
        The files, which appear together.
    """
    edges = [float(edge) for edge in edges_kpc]
    rising = len(edges) > 1 and all(near < far for near, far in pairwise(edges))
    if not rising or edges[0] < 0 or edges[-1] > volume.distance.max_kpc * (1 + 1e-9):
        raise ConfigError(
            f"shells need two edges or more, ascending, from 0 to {volume.distance.max_kpc:g} kpc, got: "
            f"{', '.join(f'{edge:g}' for edge in edges)}"
        )
    pixels = pixels_of(volume.grid, nside)
    place = np.unravel_index(pixels.sightline, volume.grid.shape)
    rises = np.diff(profiles_at(volume.extinction[place], volume.distance, edges), axis=-1)
    shells = list(pairwise(edges))
    paths = [local_path(folder) / f"shell_{near:g}_{far:g}kpc.fits" for near, far in shells]
    with whole_paths(paths, overwrite) as temporary:
        for path, (near, far), rise in zip(temporary, shells, rises.T, strict=True):
            _shell(volume, pixels, rise, near, far).writeto(path, checksum=True, overwrite=True)
    return paths


def _shell(volume, pixels, rise, near_kpc, far_kpc):
    """The FITS file of one shell."""
    columns = [
        fits.Column("PIXEL", "K", array=pixels.index),
        fits.Column("EXTINCTION", "E", unit="mag", array=rise.astype(np.float32)),
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="SHELL")
    for key, value, text in (
        ("PIXTYPE", "HEALPIX", "HEALPix pixels"),
        ("ORDERING", "NESTED", "pixel ordering scheme"),
        ("NSIDE", pixels.nside, "resolution parameter"),
        ("COORDSYS", "G", "Galactic"),
        ("INDXSCHM", "EXPLICIT", "pixel numbers are in the column PIXEL"),
        ("OBJECT", "PARTIAL", "part of the sky"),
        ("QUANTITY", volume.quantity, "what EXTINCTION is"),
        ("SHELLMIN", near_kpc, "[kpc] from this distance"),
        ("SHELLMAX", far_kpc, "[kpc] to this one"),
    ):
        hdu.header[key] = (value, text)
    hdu.header.extend(about_cards(volume.header), end=True)
    return fits.HDUList([fits.PrimaryHDU(), hdu])


def is_export(head: bytes) -> bool:
    """Whether a file that begins so is by `write_moc` or `write_shells`."""
    return b"MOCTOOL = 'extmap_tf" in head or b"SHELLMAX=" in head


def describe_export(path: PathLike, verify: bool = False) -> list[str]:
    """What a file of `write_moc` or `write_shells` says of itself, as a list of lines of plain text.

    Parameters
    ----------
    path : path-like
    verify : bool
        Read the whole file once and compare it with its checksums.

    Raises
    ------
    DataError
        It is cut short or damaged.
    """
    require_sound_headers(path)
    try:
        with warnings.catch_warnings():
            # What astropy only warns of on opening (a file cut short) is refused below.
            warnings.simplefilter("ignore", AstropyWarning)
            with fits.open(path) as hdus:
                require_whole(path, hdus, fits.BinTableHDU)
                if verify:
                    require_checksums(path, hdus)
                about, n_rows = hdus[1].header, len(hdus[1].data)
                lines = _about_moc(about, n_rows) if "MOCORDER" in about else _about_shell(about, n_rows)
    except (OSError, LookupError, ValueError, TypeError, fits.VerifyError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read, convert the map again: {reason}") from None
    return [f"{name:<14} {text}" for name, text in lines]


def _about_moc(about, n_rows):
    order = about["MOCORDER"]
    return [("MOC", f"coverage of a map, {n_rows:,} cells of order {order} and coarser (ICRS)")]


def _about_shell(about, n_rows):
    return [
        ("shell", f"{about['QUANTITY']} between {about['SHELLMIN']:g} and {about['SHELLMAX']:g} kpc, mag"),
        ("", f"{n_rows:,} HEALPix pixels of nside {about['NSIDE']} (nested, Galactic)"),
        ("software", about["SOFTWARE"]),
    ]
