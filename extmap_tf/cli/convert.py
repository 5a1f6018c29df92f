"""``extmap-tf convert``."""

import sys
from pathlib import Path

from extmap_tf.errors import ConfigError
from extmap_tf.options import add_law, finite, law_of
from extmap_tf.program import Command

_NAMES = "the name of a copy must end in .fits, .h5, .hdf5, .moc.fits, .vot or .parquet"


def _add_options(parser):
    parser.add_argument("map", help="map of 'score'")
    parser.add_argument(
        "out",
        help="file to make: .fits (HEALPix tables), .h5 or .hdf5 (dustmaps), .moc.fits (coverage, a MOC), "
        ".vot or .parquet (profiles); with --shells a folder",
    )
    parser.add_argument(
        "--shells",
        type=finite,
        nargs="+",
        metavar="KPC",
        help="edges of shells of distance: a HEALPix map of the dust in each, of which Hipsgen makes a HiPS",
    )
    parser.add_argument(
        "--nside",
        type=int,
        metavar="N",
        help="for .fits, .h5 and --shells: nside of the copy, a power of two (default: the smallest that "
        "keeps 99 %% of the sightlines)",
    )
    parser.add_argument(
        "--band",
        help="for .fits and .h5: another band than the map's own, or a colour excess, such as V or E(J-Ks)",
    )
    add_law(parser, "extinction law of --band, instead of the map's own")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def _run(args):
    from extmap_tf.files import refuse_existing
    from extmap_tf.map import copies, exports
    from extmap_tf.map.volume import ExtinctionMap

    kind, law = _kind_of(args), law_of(args)
    if kind not in (".fits", ".h5") and (args.band or law):
        option = "--band" if args.band else "--law"
        raise ConfigError(f"{option} goes with .fits and .h5; {args.out} stays in the map's own band")
    if kind in (".moc.fits", "table") and args.nside:
        raise ConfigError(f"--nside goes with .fits, .h5 and --shells, not with {args.out}")
    if kind != "shells":
        refuse_existing(args.out, args.overwrite)
    volume = ExtinctionMap.read(args.map)
    if kind == "table":
        print(f"{args.out}: {exports.write_profiles(volume, args.out, args.overwrite):,} rows")
    elif kind == ".moc.fits":
        order, area_deg2 = exports.write_moc(volume, args.out, args.overwrite)
        print(f"{args.out}: {area_deg2:,.4g} deg2 in cells of order {order} and coarser")
    elif kind == "shells":
        paths = exports.write_shells(volume, args.out, args.shells, args.nside, args.overwrite)
        print("\n".join(map(str, paths)))
    else:
        write = copies.write_healpix if kind == ".fits" else copies.write_hdf5
        _tell(args.out, volume, write(volume, args.out, args.nside, args.band, law, args.overwrite))


def _kind_of(args):
    """Which copy is asked for; ConfigError if none is."""
    name = Path(args.out).name.lower()
    if args.shells:
        if Path(name).suffix in (".fits", ".h5", ".hdf5", ".vot", ".parquet"):
            raise ConfigError(
                f"--shells makes a file for each shell in a folder, got the name of a file: {name}"
            )
        return "shells"
    if name.endswith((".vot", ".parquet")):
        return "table"
    for kind, suffixes in ((".moc.fits", (".moc.fits",)), (".fits", (".fits",)), (".h5", (".h5", ".hdf5"))):
        if name.endswith(suffixes):
            return kind
    raise ConfigError(f"{args.out}: {_NAMES}")


def _tell(out, volume, pixels):
    print(f"{out}: {len(pixels.index):,} pixels of nside {pixels.nside}")
    left_out = volume.grid.n_sightlines - pixels.n_sightlines
    if left_out:
        print(
            f"extmap-tf: note: {left_out:,} of {volume.grid.n_sightlines:,} sightlines are nearest to no "
            f"pixel; --nside {2 * pixels.nside} keeps more of them",
            file=sys.stderr,
        )


COMMAND = Command(
    "convert",
    "Copy a map for other programs: HEALPix tables, HDF5 for dustmaps, coverage as a MOC, shells of distance "
    "as HEALPix maps, profiles as a table.",
    _add_options,
    _run,
)
