"""``extmap-tf convert``."""

import sys
from pathlib import Path

from extmap_tf.errors import ConfigError
from extmap_tf.options import add_law, law_of
from extmap_tf.program import Command


def _add_options(parser):
    parser.add_argument("map", help="map of 'score'")
    parser.add_argument("out", help="file to make: .fits, .h5 or .hdf5")
    parser.add_argument(
        "--nside",
        type=int,
        metavar="N",
        help="nside of the copy, a power of two (default: the smallest that keeps 99 %% of the sightlines)",
    )
    parser.add_argument(
        "--band", help="another band than the map's own, or a colour excess, such as V or E(J-Ks)"
    )
    add_law(parser, "extinction law of --band, instead of the map's own")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")


def _run(args):
    from extmap_tf.files import refuse_existing
    from extmap_tf.map.copies import write_hdf5, write_healpix
    from extmap_tf.map.volume import ExtinctionMap

    suffix = Path(args.out).suffix.lower()
    if suffix not in (".fits", ".h5", ".hdf5"):
        raise ConfigError(f"{args.out}: the name of a copy must end in .fits, .h5 or .hdf5")
    law = law_of(args)
    refuse_existing(args.out, args.overwrite)
    volume = ExtinctionMap.read(args.map)
    write = write_healpix if suffix == ".fits" else write_hdf5
    pixels = write(volume, args.out, args.nside, args.band, law, args.overwrite)
    print(f"{args.out}: {len(pixels.index):,} pixels of nside {pixels.nside}")
    left_out = volume.grid.n_sightlines - pixels.n_sightlines
    if left_out:
        print(
            f"extmap-tf: note: {left_out:,} of {volume.grid.n_sightlines:,} sightlines are nearest to no "
            f"pixel; --nside {2 * pixels.nside} keeps more of them",
            file=sys.stderr,
        )


COMMAND = Command(
    "convert",
    "Copy a map to HEALPix pixels for other programs: .fits for those that read HEALPix tables, .h5 for "
    "dustmaps, whose BayestarQuery reads it.",
    _add_options,
    _run,
)
