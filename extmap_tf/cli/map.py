"""``extmap-tf map``."""

from beam_jobs import start_beam
from extmap_tf.errors import ConfigError
from extmap_tf.formats import MAP_NAME
from extmap_tf.options import (
    add_config,
    add_model,
    add_reading,
    columns_by_survey,
    config_of,
    tables_by_survey,
)
from extmap_tf.program import Command
from extmap_tf.quiet import start_tensorflow


def _add_options(parser):
    add_config(parser)
    parser.add_argument(
        "--table",
        action="append",
        nargs="+",
        required=True,
        metavar="[SURVEY=]FILE",
        help="tables of stars, or patterns, as 'records survey' takes them; may be repeated",
    )
    parser.add_argument("--out", required=True, help="folder to make")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")
    add_model(
        parser, "SavedModel to use (default: a shipped one that serves all fields, else one is trained)"
    )
    parser.add_argument(
        "--train", action="store_true", help="train a network though a shipped model serves all fields"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=2,
        metavar="N",
        help="processes that make training pairs; 0 takes all processors (default: %(default)s)",
    )
    add_reading(parser)


def _run(args):
    from extmap_tf.catalogs.survey_tables import Reading
    from extmap_tf.files import refuse_existing
    from extmap_tf.survey_map import Order, run_map

    if args.model is not None and args.train:
        args.parser.error("--train goes without --model")
    if args.workers < 0:
        raise ConfigError(f"--workers must be 0 or more, got: {args.workers}")
    refuse_existing(args.out, args.overwrite, MAP_NAME)
    config = config_of(args)
    readings = {
        key: Reading(columns, args.errors_from_survey, args.accept_partial)
        for key, columns in columns_by_survey(args.column, config).items()
    }
    tables = tables_by_survey([given for group in args.table for given in group], config)
    order = Order.of(config, tables, readings, args.model, args.train, args.trust_model)
    start_tensorflow()
    start_beam()
    run_map(order, args.out, args.overwrite, args.workers)


COMMAND = Command(
    "map",
    "Make a map of real stars: count them, train a network unless a shipped model serves, map, figures, "
    "report, errors. After a failure, the same command continues with the finished steps in OUT.unfinished.",
    _add_options,
    _run,
)
