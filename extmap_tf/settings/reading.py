"""From TOML to dataclasses: unknown keys, wrong types and impossible values are refused with their place."""

import dataclasses
import math
import os
import tomllib
import types
import typing
from typing import Any, TypeVar

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.json_files import read_bounded
from extmap_tf.networks import Dense, Network, network_class
from extmap_tf.settings.identity import as_before, without_gone

T = TypeVar("T")


# The parser takes a time that grows with the square of a dotted key's length.
_MAX_LINE, _MAX_CHARACTERS = 10_000, 1_000_000


def toml_text(path: str | os.PathLike) -> str:
    """The text of a local TOML file; ConfigError says why there is none."""
    try:
        return read_bounded(path).decode("utf-8")
    except DataError as error:
        raise ConfigError(str(error)) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a TOML text: no UTF-8 at byte {error.start}") from None


def parse_toml(text: str, place: str) -> dict[str, Any]:
    """The tables of a TOML text; `place` names it in errors."""
    longest = max(map(len, text.splitlines()), default=0)
    if longest > _MAX_LINE or len(text) > _MAX_CHARACTERS:
        raise ConfigError(
            f"{place}: too long for a configuration: {len(text)} characters, {longest} of them in one line "
            f"(at most {_MAX_CHARACTERS} and {_MAX_LINE})"
        )
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{place}: not valid TOML: {error}") from None
    except ValueError:
        raise ConfigError(f"{place}: not valid TOML: a whole number of too many digits") from None
    except RecursionError:
        raise ConfigError(f"{place}: not valid TOML: nested too deep") from None


def build(cls: type[T], data: Any, place: str, section: str = "", stored: bool = False) -> T:
    """Make a dataclass, and those inside it, from nested dicts.

    Parameters
    ----------
    cls : dataclass
    data : dict
    place : str
        Names the file in errors.
    section : str
        Dotted name of the table in it.
    stored : bool
        Of a file that once stated everything: a key that is not there was added to the software later and
        means "as before". Else it has its default.

    Raises
    ------
    ConfigError
        A key is unknown or missing, a value of the wrong type or impossible.
    """
    where = f"{place}: [{section}]" if section else place
    if not isinstance(data, dict):
        raise ConfigError(f"{where} must be a table, got: {_shown(data)}")
    if stored:
        data = without_gone(data, cls, section)
    known = {spec.name: spec for spec in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in known:
            advice = "; other software wrote it: make it again" if stored else ""
            raise ConfigError(f"{where}: unknown key {key!r}; known: {', '.join(sorted(known))}{advice}")
    hints = typing.get_type_hints(cls)
    values = {}
    for key, spec in known.items():
        if key in data:
            name = f"{section}.{key}" if section else key
            values[key] = _convert(hints[key], data[key], place, name, stored)
        elif stored and as_before(spec) is not dataclasses.MISSING:
            values[key] = as_before(spec)
        elif spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: missing key {key!r}")
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _convert(hint, value, place, key, stored):
    if isinstance(hint, types.UnionType):
        hint = _kind_of(hint, value)
    if hint is Network:
        hint = class_of_network(value, place, key)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return build(hint, value, place, key, stored)
    if isinstance(hint, types.GenericAlias):
        if hint.__origin__ is dict:
            item = typing.get_args(hint)[1]
            if not isinstance(value, dict):
                raise ConfigError(f"{place}: {key} must be a table, got: {_shown(value)}")
            return {name: _convert(item, v, place, f"{key}.{name}", stored) for name, v in value.items()}
        item = typing.get_args(hint)[0]
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{place}: {key} must be a list, got: {_shown(value)}")
        return tuple(_convert(item, v, place, key, stored) for v in value)
    if type(value) is int and abs(value) >= 2**63:
        raise ConfigError(f"{place}: {key} must be within +-2^63, got: a number of {value.bit_length()} bits")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not hint:
        raise ConfigError(f"{place}: {key} must be of type {hint.__name__}, got: {_shown(value)}")
    if hint is float and not math.isfinite(value):
        raise ConfigError(f"{place}: {key} must be finite, got: {_shown(value)}")
    return value


def class_of_network(data: Any, place: str, section: str) -> type[Network]:
    """The class of the network that a section names; ConfigError lists the presets."""
    preset = data.get("preset", Dense.preset) if isinstance(data, dict) else Dense.preset
    try:
        return network_class(preset)
    except ConfigError as error:
        raise ConfigError(f"{place}: [{section}]: {error}") from None


def _shown(value):
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _kind_of(hint, value):
    """The alternative whose first field a table gives; else the first one, which then says what it lacks."""
    kinds = typing.get_args(hint)
    given = (kind for kind in kinds if isinstance(value, dict) and dataclasses.fields(kind)[0].name in value)
    return next(given, kinds[0])
