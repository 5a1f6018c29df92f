"""The configuration explained: every key with its meaning, type, default and bounds, in the order of TOML."""

import dataclasses
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w

from extmap_tf.bounds import bounds_of, meaning_of
from extmap_tf.networks import PRESETS, Network
from extmap_tf.settings.config import Config
from extmap_tf.settings.identity import SCHEMA

_WIDTH = 110
# Its tables are explained once.
_LIKE_SURVEY = "other_surveys"


def reference_text() -> str:
    """Every key of a configuration as Markdown: a part for each table, the keys as a list."""
    lines = ["# Keys of a configuration", "", *_keys(Config)]
    for name, kind, repeated in _tables(Config, ""):
        lines += ["", f"## {_header(name, repeated)}", "", _summary(kind), "", *_keys(kind)]
    return "\n".join(lines) + "\n"


def configuration_text(name_or_path: str | Path) -> str:
    """A configuration as TOML with all its values, and a comment above each one that says what it means."""
    config = Config.load(name_or_path)
    return f"schema = {SCHEMA}\n" + "\n".join(_commented(config, "", False)) + "\n"


def _keys(cls: type) -> Iterator[str]:
    hints = typing.get_type_hints(cls)
    for spec in dataclasses.fields(cls):
        kind = hints[spec.name]
        if _sections_in(kind) and spec.name not in ("survey", _LIKE_SURVEY):
            continue
        about = ", ".join(filter(None, (_type_name(kind), _default(spec), str(bounds_of(spec)))))
        text = f"- `{spec.name}` ({about}): {meaning_of(spec)}"
        yield textwrap.fill(text, _WIDTH, subsequent_indent="  ", break_long_words=False)


def _tables(cls: type, place: str) -> Iterator[tuple[str, type, bool]]:
    """Name, class and whether it may be repeated of every table, one after the other."""
    hints = typing.get_type_hints(cls)
    for spec in dataclasses.fields(cls):
        if spec.name == _LIKE_SURVEY:
            continue
        name = f"{place}.{spec.name}" if place else spec.name
        for kind in _sections_in(hints[spec.name]):
            yield name, kind, isinstance(hints[spec.name], types.GenericAlias)
            yield from _tables(kind, name)


def _sections_in(hint: Any) -> list[type]:
    """The classes of tables that a type is made of: none for a plain value."""
    if hint is Network:
        return list(PRESETS.values())
    kinds: tuple[type, ...] = typing.get_args(hint) or (hint,)
    return list(filter(dataclasses.is_dataclass, kinds))


def _header(name: str, repeated: bool) -> str:
    return f"[[{name}]]" if repeated else f"[{name}]"


def _summary(kind: type) -> str:
    """What is said of a class before its parameters."""
    text = inspect.cleandoc(kind.__doc__ or "").split("\nParameters\n---")[0]
    return text.strip()


def _default(spec: dataclasses.Field) -> str:
    if spec.default is dataclasses.MISSING:
        return "must be given" if spec.default_factory is dataclasses.MISSING else "default empty"
    if dataclasses.is_dataclass(spec.default):
        return ""
    return f"default {_toml_value(spec.default)}"


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_toml_value(item)}' for key, item in value.items())}}}"
    return " ".join(tomli_w.dumps({"x": value}).removeprefix("x = ").split())


def _type_name(hint: Any) -> str:
    if _sections_in(hint):
        return "table"
    if isinstance(hint, types.GenericAlias) and hint.__origin__ is dict:
        return f"table of {_type_name(typing.get_args(hint)[1])}s"
    if isinstance(hint, types.GenericAlias):
        return f"list of {_type_name(typing.get_args(hint)[0])}"
    return {str: "text", float: "number", int: "whole number", bool: "true or false"}[hint]


def _commented(section: Any, place: str, repeated: bool) -> Iterator[str]:
    tables = []
    hints = typing.get_type_hints(type(section))
    if place:
        yield from ("", _header(place, repeated))
    for spec in dataclasses.fields(section):
        value, name = getattr(section, spec.name), f"{place}.{spec.name}" if place else spec.name
        items = value if isinstance(value, tuple) else (value,)
        if items and dataclasses.is_dataclass(items[0]):
            tables += [_commented(item, name, isinstance(value, tuple)) for item in items]
            continue
        bounds = str(bounds_of(spec))
        comment = meaning_of(spec) + (f" Bounds: {bounds}." if bounds else "")
        yield from textwrap.wrap(comment, _WIDTH, initial_indent="# ", subsequent_indent="# ")
        # An empty list in its place would forbid tables further down.
        empty = not items and _sections_in(hints[spec.name])
        yield f"# {_header(name, True)}" if empty else f"{spec.name} = {_toml_value(value)}"
    for table in tables:
        yield from table
