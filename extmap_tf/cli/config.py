"""``extmap-tf config``."""

import sys
from pathlib import Path

from extmap_tf.errors import ConfigError
from extmap_tf.options import finite, place_of
from extmap_tf.program import Command


def _add_options(parser):
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--show",
        metavar="NAME|PATH",
        help="print a configuration with all its values",
    )
    what.add_argument("--reference", action="store_true", help="print what every key means, as Markdown")
    what.add_argument(
        "--around",
        metavar="L,B",
        help="write a configuration to start from, for the region around a place, in degrees",
    )
    what.add_argument(
        "--from",
        dest="table",
        metavar="TABLE",
        help="write one for the region that the stars of a table fill",
    )
    parser.add_argument("--radius", type=finite, metavar="DEG", help="of the region of --around, up to 30")
    parser.add_argument(
        "--surveys",
        metavar="NAME,...",
        help="surveys of --around or --from, built-in ones or TOML files, the first in the infrared: for "
        "instance 2mass,gaia_dr3 (default: 2mass)",
    )
    parser.add_argument("--out", help="TOML file to make of --around or --from (default: print it)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")


def _run(args):
    starting = args.around is not None or args.table is not None
    if (args.around is None) != (args.radius is None):
        args.parser.error("--around and --radius go together")
    if not starting and (args.out or args.overwrite or args.surveys is not None):
        args.parser.error("--surveys, --out and --overwrite go with --around or --from")
    if starting:
        _start(args)
        return
    from extmap_tf.settings.reference import configuration_text, reference_text

    print(reference_text() if args.reference else configuration_text(args.show), end="")


def _start(args):
    from extmap_tf.files import refuse_existing, whole_file
    from extmap_tf.settings.config import Config
    from extmap_tf.settings.sanity import warnings_of
    from extmap_tf.settings.starting import SkyBox, starting_text, warnings_for

    if args.out:
        refuse_existing(args.out, args.overwrite)
    circle = None
    if args.table is None:
        circle = (*place_of(args.around, "--around"), args.radius)
        box = SkyBox.around(*circle)
    else:
        box = _box_of_table(args.table)
    surveys = [name.strip() for name in ("2mass" if args.surveys is None else args.surveys).split(",")]
    if "" in surveys:
        raise ConfigError(f"--surveys must be names of surveys, NAME,..., got: {args.surveys!r}")
    text = starting_text(box, circle, surveys)
    # A survey's file is looked for beside the configuration.
    folder = Path(args.out).parent if args.out else Path(".")
    config = Config.from_toml(text, "--surveys" if args.surveys else "configuration", folder)
    for line in (*warnings_for(box), *warnings_of(config)):
        print(f"extmap-tf: warning: {line}", file=sys.stderr)
    if args.out:
        with whole_file(args.out, overwrite=args.overwrite) as stream:
            stream.write(text)
    else:
        print(text, end="")


def _box_of_table(path):
    """Where the centres of fields may be that lie within a table's stars."""
    from extmap_tf.catalogs.extent import extent_of
    from extmap_tf.catalogs.tables import open_local
    from extmap_tf.settings.starting import FIELD_DEG, SkyBox

    with open_local(path) as stream:
        l_min, l_max, b_min, b_max = extent_of(stream, path)
    box = SkyBox(l_min, l_max, b_min, b_max).within(0.5 * FIELD_DEG)
    if box is None:
        raise ConfigError(
            f"{path}: its stars fill l {l_min:g} to {l_max:g}, b {b_min:g} to {b_max:g}, less than a field "
            f"of {FIELD_DEG:g} deg: give more stars, or write a configuration with smaller fields"
        )
    return box


COMMAND = Command(
    "config",
    "Print a configuration with all its values, or the meaning, default and bounds of every key, or write "
    "one to start from for a region of the sky.",
    _add_options,
    _run,
)
