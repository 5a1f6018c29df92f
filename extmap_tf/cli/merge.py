"""``extmap-tf merge``."""

from pathlib import Path

from extmap_tf.errors import ConfigError
from extmap_tf.program import Command


def _add_options(parser):
    parser.add_argument("maps", nargs="+", help="maps of 'score', two or more")
    parser.add_argument("-o", "--out", required=True, help="map to make (FITS)")
    parser.add_argument(
        "--independent", action="store_true", help="the maps rest on different stars, so errors average out"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing map")


def _run(args):
    from extmap_tf.files import refuse_existing
    from extmap_tf.map.merge import write_merged
    from extmap_tf.map.volume import ExtinctionMap

    refuse_existing(args.out, args.overwrite)
    known: dict[Path, str] = {}
    for path in args.maps:
        # The same stars twice would count as two measurements.
        real = Path(path).resolve()
        if real in known:
            raise ConfigError(f"{path} is the same file as {known[real]}: give each map once")
        known[real] = path
    volumes = [ExtinctionMap.read(path) for path in args.maps]
    write_merged(args.out, volumes, args.maps, args.independent, args.overwrite)
    print(args.out)


COMMAND = Command(
    "merge",
    "Combine maps of neighbouring regions or of several runs.",
    _add_options,
    _run,
)
