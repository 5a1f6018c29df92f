"""``extmap-tf config``."""

from extmap_tf.program import Command


def _add_options(parser):
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--show",
        metavar="NAME|PATH",
        help="print a configuration with all its values",
    )
    what.add_argument("--reference", action="store_true", help="print what every key means, as Markdown")


def _run(args):
    from extmap_tf.settings.reference import configuration_text, reference_text

    print(reference_text() if args.reference else configuration_text(args.show), end="")


COMMAND = Command(
    "config",
    "Print a configuration with all its values, or the meaning, default and bounds of every key.",
    _add_options,
    _run,
)
