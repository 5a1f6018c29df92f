"""The page of all commands and their options, as Markdown: ``python -m extmap_tf.cli.reference``."""

import argparse
import textwrap
from collections.abc import Iterator

from extmap_tf.cli import command_parser

_INTRODUCTION = """\
# Commands and their options

Made by `python -m extmap_tf.cli.reference > extmap_tf/cli/README.md`; a test compares the two.

Every command has `--help`. Options must be written out in full. No command replaces an existing output
without `--overwrite`, and none leaves anything half-written. Exit status: 0; 1 after an error, which is one
line on stderr; 2 after a wrong option; 130 after Ctrl-C and 143 after SIGTERM.

`records mocks`, `records survey` and `score` are Apache Beam jobs, which also run as
`python -m beam_jobs.mocks_to_records`, `beam_jobs.twomass_to_records` and `beam_jobs.score_to_map`. Options
that they do not know go to Beam, each as `--option=value`: see [beam_jobs](../../beam_jobs/README.md).
"""


def reference_page() -> str:
    """A part for each command: what it does, then a table of its arguments and options."""
    parts = [_INTRODUCTION]
    for name, parser in _commands(command_parser()):
        rows = [_row(action) for action in parser._actions if action.dest != "help"]
        about = textwrap.fill(parser.description or "", 110)
        parts.append("\n".join((f"## {name}\n\n{about}\n", "| option | meaning |", "|---|---|", *rows)))
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Name and parser of every command, those within groups included."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield parser.prog, parser
    for group in groups:
        for within in group.choices.values():
            yield from _commands(within)


def _row(action: argparse.Action) -> str:
    about = (action.help or "") % vars(action)
    if action.required and action.option_strings:
        about = f"{about} (required)".strip()
    form = _form(action).replace("|", "\\|")
    return f"| `{form}` | {about} |"


def _form(action: argparse.Action) -> str:
    """How an argument is written: ``-o, --out OUT``, ``--percentile P [P ...]``, ``map``."""
    dest = action.dest.upper() if action.option_strings else action.dest
    name = action.metavar or ("{" + ",".join(action.choices) + "}" if action.choices else dest)
    values = {None: f" {name}", 0: "", "+": f" {name} [{name} ...]", "*": f" [{name} ...]"}[action.nargs]
    return ", ".join(action.option_strings) + values if action.option_strings else values.strip()


if __name__ == "__main__":
    print(reference_page(), end="")
