"""``extmap-tf info``."""

from extmap_tf.errors import ExtmapError
from extmap_tf.program import Command


def _add_options(parser):
    parser.add_argument("path", nargs="+", help="file or folder, or the name of a shipped model")
    parser.add_argument("--verify", action="store_true", help="also check every checksum")


def _run(args):
    from extmap_tf.info import describe

    errors = []
    for path in args.path:
        try:
            lines = describe(path, verify=args.verify)
        except (ExtmapError, OSError) as error:
            errors.append(error)
        else:
            print("\n".join(lines))
    if errors:
        raise ExceptionGroup("info", errors)


COMMAND = Command(
    "info",
    "Describe anything that extmap-tf writes, or a table of stars.",
    _add_options,
    _run,
)
