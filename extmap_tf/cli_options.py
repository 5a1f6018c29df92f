"""Options that several subcommands have."""

import argparse
import math

from extmap_tf.errors import ConfigError


def finite(text):
    """A finite number; argparse tells of any other text."""
    number = float(text)
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"must be a finite number, got: {text}")
    return number


def add_out(parser, what):
    """``--out`` and ``--overwrite``."""
    parser.add_argument("--out", required=True, help=what)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing one when done")


def add_numbers_and_figures(parser):
    """``--out`` and ``--figures`` for what is also printed, with ``--format`` and ``--overwrite``."""
    parser.add_argument("--out", help="also write all numbers to this JSON file")
    parser.add_argument("--figures", metavar="FOLDER", help="also draw them")
    parser.add_argument("--format", default="png", choices=["png", "pdf"], help="of the figures")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def add_sightlines(parser, what):
    """``--sightline``, which `chosen_sightlines` reads."""
    parser.add_argument("--sightline", action="append", default=[], metavar="L,B", help=what)


def chosen_sightlines(args):
    """The places of --sightline, as (l, b) in degrees."""
    return [place_of(text, "--sightline") for text in args.sightline]


def place_of(text, option):
    """The text L,B as (l, b) in degrees; ConfigError names the option otherwise."""
    try:
        l_deg, b_deg = map(finite, text.split(","))
    except (ValueError, argparse.ArgumentTypeError):
        raise ConfigError(f"{option} needs L,B in degrees, got: {text!r}") from None
    return l_deg, b_deg


def named(items, option, what="ROLE=NAME"):
    """Options like ``ROLE=NAME``, each given once, as a dict.

    Parameters
    ----------
    items : sequence of str
    option, what : str
        What it is called in the ConfigError that follows another form, or a role given twice.
    """
    found = {}
    for item in items:
        role, equals, name = (part.strip() for part in item.partition("="))
        if not equals:
            raise ConfigError(f"{option} needs {what}, got: {item!r}")
        if role in found:
            raise ConfigError(f"{option} gives {role} twice: {found[role]} and {name}")
        found[role] = name
    return found
