"""Options that several subcommands have."""

import argparse
import math
import os
import sys
import tomllib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from extmap_tf.errors import ConfigError

if TYPE_CHECKING:
    from extmap_tf.settings.config import Config
    from extmap_tf.settings.law import LawConfig

_CONFIG_HELP = "name of a built-in configuration (carina, carina_gaia, demo, orion) or a TOML file"


def finite(text: str) -> float:
    """A finite number; argparse tells of any other text."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got: {text!r}") from None
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"must be a finite number, got: {text}")
    return number


def add_out(parser: argparse.ArgumentParser, what: str) -> None:
    """``--out`` and ``--overwrite``."""
    parser.add_argument("--out", required=True, help=what)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing one when done")


def add_model(parser: argparse.ArgumentParser, what: str, required: bool = False) -> None:
    """``--model`` for a SavedModel that is run, and ``--trust-model``."""
    parser.add_argument("--model", required=required, help=what)
    parser.add_argument(
        "--trust-model",
        action="store_true",
        help="run the SavedModel even if its graph can do more than compute, such as read and write files",
    )


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add what tells how tables of surveys are read."""
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="name of a column that is not recognised; ROLE is l, b, ra, dec, blue, red, blue_error, "
        "red_error, ph_qual, cc_flg, blue_limit or red_limit, of one of several surveys with its key, such "
        "as 2mass:blue; may be repeated",
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


def add_numbers_and_figures(parser: argparse.ArgumentParser) -> None:
    """``--out`` and ``--figures`` for what is also printed, with ``--format`` and ``--overwrite``."""
    parser.add_argument("--out", help="also write all numbers to this JSON file")
    parser.add_argument("--figures", metavar="FOLDER", help="also draw figures into this folder")
    parser.add_argument(
        "--format", default="png", choices=["png", "pdf"], help="format of the figures (default: png)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def add_sightlines(parser: argparse.ArgumentParser, what: str) -> None:
    """``--sightline``, which `chosen_sightlines` reads."""
    parser.add_argument("--sightline", action="append", default=[], metavar="L,B", help=what)


def chosen_sightlines(args: argparse.Namespace) -> list[tuple[float, float]]:
    """The places of --sightline, as (l, b) in degrees."""
    return [place_of(text, "--sightline") for text in args.sightline]


def place_of(text: str, option: str) -> tuple[float, float]:
    """The text L,B as (l, b) in degrees; ConfigError names the option otherwise."""
    try:
        l_deg, b_deg = map(finite, text.split(","))
    except (ValueError, argparse.ArgumentTypeError):
        raise ConfigError(f"{option} needs L,B in degrees, got: {text!r}") from None
    return l_deg, b_deg


def named(items: Iterable[str], option: str, what: str = "ROLE=NAME") -> dict[str, str]:
    """Options like ``ROLE=NAME``, each given once, as a dict.

    Parameters
    ----------
    items : sequence of str
    option, what : str
        What it is called in the ConfigError that follows another form, or a role given twice.
    """
    found: dict[str, str] = {}
    for item in items:
        role, equals, name = (part.strip() for part in item.partition("="))
        if not equals:
            raise ConfigError(f"{option} needs {what}, got: {item!r}")
        if role in found:
            raise ConfigError(f"{option} gives {role} twice: {found[role]} and {name}")
        found[role] = name
    return found


def tables_by_survey(given: Iterable[str], config: "Config") -> dict[str, list[str]]:
    """Files and patterns, ``SURVEY=FILE`` or of the first survey FILE alone, by the keys of the surveys."""
    keys = [survey.key for survey in config.surveys]
    found: dict[str, list[str]] = {}
    for text in given:
        key, equals, path = text.partition("=")
        if not equals or os.path.exists(text) or (not key.isidentifier() and key not in keys):
            key, path = keys[0], text
        if not path:
            raise ConfigError(f"table {text}: no file is named")
        if key not in keys:
            raise ConfigError(f"table {text}: no survey {key!r} in {config.name}; it has {', '.join(keys)}")
        found.setdefault(key, []).append(path)
    if not found:
        raise ConfigError(f"no tables: give --table {keys[0]}=FILE")
    return found


def columns_by_survey(given: Iterable[str], config: "Config") -> dict[str, dict[str, str]]:
    """``ROLE=NAME`` of all surveys, or ``SURVEY:ROLE=NAME`` of one, by the keys of the surveys."""
    columns = named(given, "--column")
    found: dict[str, dict[str, str]] = {survey.key: {} for survey in config.surveys}
    for role, name in columns.items():
        key, colon, own = role.partition(":")
        if colon and key not in found:
            raise ConfigError(f"--column {role}={name}: no survey {key!r}; there are: {', '.join(found)}")
        for survey in [key] if colon else found:
            found[survey][own if colon else role] = name
    return found


def add_config(
    parser: argparse.ArgumentParser, required: bool = True, default: str | None = None, extra: str = ""
) -> None:
    """``--config`` and ``--set``, which `config_of` reads."""
    parser.add_argument(
        "--config", required=required and default is None, default=default, help=_CONFIG_HELP + extra
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one value of the configuration, for instance training.epochs=5; may be repeated",
    )


def config_of(args: argparse.Namespace, default: "Config | None" = None, training: bool = True) -> "Config":
    """The configuration of --config with the changes of --set; `default` where --config is not required.

    What is odd about it is told; what is odd of its training, only if `training`.
    """
    from extmap_tf.settings.config import Config
    from extmap_tf.settings.sanity import warnings_of

    config = default if default is not None and args.config is None else Config.load(args.config)
    changes: dict[str, Any] = {}
    for change in args.set:
        key, found, text = change.partition("=")
        if not found:
            raise ConfigError(f"--set needs KEY=VALUE, got: {change!r}")
        try:
            changes[key.strip()] = tomllib.loads(f"x = {text}")["x"]
        except tomllib.TOMLDecodeError:
            changes[key.strip()] = text
    config = config.changed(changes, "--set") if changes else config
    from extmap_tf.extinction.law import band_over_red, blue_over_red

    # A law is looked up by name and must cover the bands: better refused here than by a worker.
    blue_over_red(config.law, config.survey)
    for band in (band for survey in config.surveys for band in survey.bands):
        if band not in (config.survey.blue, config.survey.red):
            band_over_red(config.law, band, config.survey)
    if config.galaxy.components:
        from extmap_tf.galaxy import Galaxy

        # So are density laws and populations.
        Galaxy.of(config.galaxy)
    for line in warnings_of(config, training):
        print(f"extmap-tf: warning: {line}", file=sys.stderr)
    return config


def add_law(parser: argparse.ArgumentParser, what: str) -> None:
    """``--law`` and ``--rv``, which `law_of` reads."""
    parser.add_argument("--law", help=f"{what}: a model of dust_extinction, such as F19")
    parser.add_argument("--rv", type=finite, help="R(V) of --law (default: 3.1)")


def law_of(args: argparse.Namespace) -> "LawConfig | None":
    """The extinction law of --law and --rv, if one is given."""
    if args.law is None:
        if args.rv is not None:
            args.parser.error("--rv goes with --law")
        return None
    from extmap_tf.settings.law import LawConfig

    return LawConfig(args.law) if args.rv is None else LawConfig(args.law, args.rv)
