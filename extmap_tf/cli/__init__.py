"""The command line, ``extmap-tf``: a module a command, each importing heavy libraries only when it runs."""

from collections.abc import Sequence

from beam_jobs import mocks_to_records, score_to_map, twomass_to_records
from extmap_tf import __version__
from extmap_tf.cli import (
    clouds,
    compare,
    config,
    convert,
    demo,
    evaluate,
    export,
    fetch,
    fit,
    info,
    map,
    merge,
    plot,
    query,
    report,
    serve_check,
    train,
)
from extmap_tf.program import Parser, run_program

GROUPS = {"records": "Make sharded TFRecords of CMDs"}

# In the order of the work.
COMMANDS = (
    demo.COMMAND,
    fetch.COMMAND,
    map.COMMAND,
    mocks_to_records.COMMAND,
    twomass_to_records.COMMAND,
    train.COMMAND,
    export.COMMAND,
    evaluate.COMMAND,
    fit.COMMAND,
    score_to_map.COMMAND,
    serve_check.COMMAND,
    query.COMMAND,
    compare.COMMAND,
    clouds.COMMAND,
    merge.COMMAND,
    convert.COMMAND,
    plot.COMMAND,
    report.COMMAND,
    config.COMMAND,
    info.COMMAND,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; as `extmap_tf.program.run_program`."""
    return run_program(command_parser(), argv)


def command_parser() -> Parser:
    """The parser of all commands."""
    parser = Parser(prog="extmap-tf", description="3D maps of the Milky Way's dust from star counts.")
    parser.add_argument("--version", action="version", version=f"extmap-tf {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    within = {"": commands}
    for command in COMMANDS:
        group, _, name = command.name.rpartition(" ")
        if group not in within:
            parent = commands.add_parser(group, help=GROUPS[group], description=f"{GROUPS[group]}.")
            within[group] = parent.add_subparsers(dest="what", required=True, metavar="WHAT")
        # argparse takes a help, unlike a description, for a format.
        command.describe(within[group].add_parser(name, help=command.summary.replace("%", "%%")))
    return parser
