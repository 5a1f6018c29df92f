"""``extmap-tf plot``."""

from extmap_tf.cli.views import add_band, add_view, maps_of, note_what_is_missing, view_of
from extmap_tf.options import add_sightlines
from extmap_tf.program import Command


def _add_options(parser):
    parser.add_argument("map", help="map of 'score'")
    parser.add_argument("--out", required=True, help="folder for the figures")
    parser.add_argument("--truth", help="true map to show beside it")
    add_sightlines(parser, "profile to draw, in degrees; may be repeated")
    parser.add_argument("--format", default="png", choices=["png", "pdf"], help="default: png")
    parser.add_argument(
        "--columns",
        default="2",
        choices=["1", "2"],
        help="print width: columns of a journal (default: 2)",
    )
    parser.add_argument(
        "--animate", action="store_true", help="also make distances.gif, a frame for each distance"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing figures")
    add_band(parser)
    add_view(parser)


def _run(args):
    from extmap_tf.figures.gallery import draw_all
    from extmap_tf.figures.style import WIDTHS

    volume, truth = maps_of(args)
    how = {"truth": truth, "suffix": args.format, "overwrite": args.overwrite, "animate": args.animate}
    how["width"] = WIDTHS[int(args.columns)]
    paths = draw_all(volume, args.out, **how, **view_of(args, volume))
    for path in paths:
        print(path)
    note_what_is_missing(volume)


COMMAND = Command(
    "plot",
    "Draw figures of a map: face-on view, sky, slices, profiles, uncertainty.",
    _add_options,
    _run,
)
