"""``extmap-tf report``."""

from extmap_tf.cli.views import add_band, add_view, maps_of, note_what_is_missing, view_of
from extmap_tf.errors import ConfigError
from extmap_tf.options import add_sightlines
from extmap_tf.program import Command


def _add_options(parser):
    parser.add_argument("map", help="map of 'score'")
    parser.add_argument(
        "-o", "--out", required=True, help="file to make (.html), or a folder for report.html"
    )
    parser.add_argument("--truth", help="true map; adds errors")
    parser.add_argument("--model", help="SavedModel that made the map, to show its card")
    add_sightlines(parser, "profile to draw, in degrees; may be repeated (default: six of them)")
    add_band(parser)
    add_view(parser)
    parser.add_argument(
        "--static",
        action="store_true",
        help="leave out the part to explore: a slider of distance, profiles and CMDs at a click",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")


def _run(args):
    from extmap_tf.files import refuse_existing
    from extmap_tf.report.report import report_path, write_report

    refuse_existing(report_path(args.out), args.overwrite)
    volume, truth = maps_of(args)
    model = _summary_of_model(args.model, volume) if args.model else ()
    interactive = not args.static
    how = {"truth": truth, "model": model, "interactive": interactive, "overwrite": args.overwrite}
    if args.records and interactive:
        from extmap_tf.figures.behind import cmds_behind

        places = list(zip(*volume.grid.centers_deg(), strict=True))
        how["all_cmds"] = cmds_behind(args.records, volume, places)
    view = view_of(args, volume, how.get("all_cmds", ()))
    print(write_report(volume, args.out, **how, **view))
    note_what_is_missing(volume)


def _summary_of_model(path, volume):
    from extmap_tf.info import model_summary
    from extmap_tf.model.versions import find_saved_model

    _, card = find_saved_model(path)
    if card.digest != volume.provenance.model_digest:
        raise ConfigError(
            f"{path} is not the model of the map: it is {card.digest}, the map was made by "
            f"{volume.provenance.model_digest or 'none'}"
        )
    return model_summary(card)


COMMAND = Command(
    "report",
    "Write one HTML file on a map: what it is, a sky to explore, figures, flags, reliable distances, errors "
    "if the truth is known. It needs no network and no other file.",
    _add_options,
    _run,
)
