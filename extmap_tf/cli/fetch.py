"""``extmap-tf fetch``."""

import sys

from extmap_tf.errors import ConfigError
from extmap_tf.fetch.services import MODES, SERVICES, choose_service
from extmap_tf.formats import FETCH_NAME
from extmap_tf.options import add_config, config_of, finite
from extmap_tf.program import Command

_BOX_DEG = (0.05, 10.0)


def _add_options(parser):
    parser.add_argument("survey", choices=list(SERVICES), help="whose stars: %(choices)s")
    add_config(parser, extra="; its sightlines say where")
    parser.add_argument(
        "--out",
        required=True,
        help="folder to make, of Parquet files; an unfinished one, OUT.unfinished, is resumed",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")
    known = "; ".join(f"{name}: {', '.join(s.name for s in found)}" for name, found in SERVICES.items())
    parser.add_argument(
        "--service",
        metavar="NAME|URL",
        help=f"archive to ask, or the address of a TAP service ({known}; default: the first)",
    )
    parser.add_argument("--table", metavar="NAME", help="its table (default: the archive's of this survey)")
    parser.add_argument(
        "--mode",
        choices=MODES,
        help="ask in single requests or by jobs (default: async for the Gaia archive, else sync)",
    )
    parser.add_argument(
        "--max-rows",
        type=int,
        default=200_000,
        metavar="N",
        help="most rows to ask for at once; a box of the sky with more is divided (default: %(default)s)",
    )
    parser.add_argument(
        "--box",
        type=finite,
        default=1.0,
        metavar="DEG",
        help="size of the boxes to ask for, 0.05 to 10 degrees (default: 1)",
    )
    parser.add_argument(
        "--requests",
        type=int,
        default=1,
        metavar="N",
        help="boxes to ask for at once, 1 to 8; a public archive may refuse more than one (default: 1)",
    )
    parser.add_argument(
        "--timeout",
        type=finite,
        default=300.0,
        metavar="S",
        help="most of the silence within a request, in seconds (default: 300)",
    )
    parser.add_argument(
        "--retries",
        type=int,
        default=6,
        metavar="N",
        help="how often to ask again, after longer and longer pauses, where a failure may pass (default: "
        "%(default)s)",
    )


def _run(args):
    from extmap_tf.files import refuse_existing

    _check_numbers(args)
    service = choose_service(args.survey, args.service, args.table, args.mode)
    refuse_existing(args.out, args.overwrite, FETCH_NAME)
    config = config_of(args, training=False)
    survey = _survey(config, args.survey)
    from extmap_tf.fetch.asking import Manners, TapClient
    from extmap_tf.fetch.stars import fetch_stars

    client = TapClient(service.url, service.mode, Manners(args.retries, args.timeout), _note)
    n_rows = fetch_stars(
        config,
        survey,
        client,
        service,
        args.out,
        args.box,
        args.max_rows,
        args.requests,
        args.overwrite,
        _progress,
    )
    print(f"{n_rows:,} stars: {args.out}/*.parquet")


def _check_numbers(args):
    low, high = _BOX_DEG
    for option, value, ok, what in (
        ("--max-rows", args.max_rows, args.max_rows >= 1, "1 or more"),
        ("--box", args.box, low <= args.box <= high, f"{low:g} to {high:g}"),
        ("--requests", args.requests, 1 <= args.requests <= 8, "1 to 8"),
        ("--timeout", args.timeout, args.timeout > 0, "above 0"),
        ("--retries", args.retries, 0 <= args.retries <= 100, "0 to 100"),
    ):
        if not ok:
            raise ConfigError(f"{option} must be {what}, got: {value:g}")


def _survey(config, name):
    """The survey of the configuration that has a built-in one's name, else the built-in one."""
    from extmap_tf.settings.config import builtin_survey

    return next((survey for survey in config.surveys if survey.key == name), None) or builtin_survey(name)


def _progress(boxes):
    from tqdm import tqdm

    return tqdm(boxes, desc="fetch", unit="box", mininterval=1.0)


def _note(line):
    from tqdm import tqdm

    tqdm.write(f"extmap-tf: note: {line}", file=sys.stderr)


COMMAND = Command(
    "fetch",
    "Get the stars of a survey from an archive by TAP, for all fields of a configuration. It asks for one "
    "box of the sky after another, checks each against the archive's COUNT(*), and writes Parquet files that "
    "'records survey' reads. It was tried on a TAP server of our own, not on the archives.",
    _add_options,
    _run,
)
