"""``extmap-tf map``."""

import os
import re

from beam_jobs import start_beam
from extmap_tf.errors import ConfigError
from extmap_tf.formats import MAP_NAME
from extmap_tf.options import add_config, add_model, config_of, named
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
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="name of a column that is not recognised, as of 'records survey'; may be repeated",
    )
    parser.add_argument(
        "--errors-from-survey",
        action="store_true",
        help="for tables without errors: use those that the survey has at each magnitude",
    )
    parser.add_argument(
        "--accept-partial",
        action="store_true",
        help="also count tables whose own source says that rows are missing",
    )


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
    reading = Reading(named(args.column, "--column"), args.errors_from_survey, args.accept_partial)
    tables = _tables_of([given for group in args.table for given in group], config)
    order = Order.of(config, tables, reading, args.model, args.train, args.trust_model)
    start_tensorflow()
    start_beam()
    run_map(order, args.out, args.overwrite, args.workers)


def _tables_of(given, config):
    """Files and patterns without the name of their survey, which must be the configuration's."""
    key = re.sub(r"[^a-z0-9]+", "_", config.survey.name.lower()).strip("_")
    found = []
    for text in given:
        survey, equals, path = text.partition("=")
        if not equals or os.path.exists(text):
            found.append(text)
        elif survey == key and path:
            found.append(path)
        else:
            raise ConfigError(f"--table {text}: no survey {survey!r} in {config.name}; it has {key}")
    return found


COMMAND = Command(
    "map",
    "Make a map of real stars: count them, train a network unless a shipped model serves, map, figures, "
    "report, errors. After a failure, the same command continues with the finished steps in OUT.unfinished.",
    _add_options,
    _run,
)
