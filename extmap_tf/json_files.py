"""JSON that the package writes, read back: of bounded size and depth, and every value of its type."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extmap_tf.errors import DataError

MAX_BYTES = 64 << 20
MAX_DEPTH = 32
_MAX_DIGITS = 19

Schema = Any
"""What a value must be.

A type (``float`` takes whole numbers too, ``object`` anything), a tuple of alternatives (``None`` for null),
``[schema]`` for a list, ``{str: schema}`` for an object with any names, or ``{"name": schema, ...}`` for one
that has these names, among others.
"""


@dataclass(frozen=True)
class JsonForm:
    """What one kind of JSON file looks like.

    Parameters
    ----------
    what : str
        For messages: "model card".
    schema : Schema
    advice : str
        What to do about a damaged one.
    file_format : str, optional
        What it must say under ``format``.
    readable : callable, optional
        Takes what an object says and `place`, and raises DataError where it is of a later software.
    """

    what: str
    schema: Schema
    advice: str = "make it again"
    file_format: str | None = None
    readable: Callable[[dict, str], None] | None = None

    def parse(self, text: str | bytes, place: str) -> Any:
        """What the text says; `place` names it in errors.

        Raises
        ------
        DataError
            The text is not UTF-8 or not JSON, too long or too deep, of another format, or a value is missing
            or of another type.
        """
        try:
            found = _parse(text)
            self._require_format(found, place)
            _require(found, self.schema, "")
        except (ValueError, RecursionError) as error:
            reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
            raise DataError(f"{place}: damaged {self.what} ({reason}); {self.advice}") from None
        return found

    def read(self, path: str | os.PathLike) -> Any:
        """As `parse`, of a local file."""
        return self.parse(read_bounded(path), str(path))

    def _require_format(self, found: Any, place: str) -> None:
        if self.file_format and (not isinstance(found, dict) or found.get("format") != self.file_format):
            raise DataError(f"{place}: not a {self.what} of extmap_tf")
        if self.readable and isinstance(found, dict):
            self.readable(found, place)


def read_bounded(path: str | os.PathLike) -> bytes:
    """The bytes of a local file; DataError if it is no regular file, or longer than `MAX_BYTES`."""
    path = Path(path)
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file")
    try:
        with open(path, "rb") as stream:
            found = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if len(found) > MAX_BYTES:
        raise DataError(f"{path}: longer than {MAX_BYTES >> 20} MiB: not a file of extmap_tf")
    return found


def _parse(text: str | bytes) -> Any:
    if len(text) > MAX_BYTES:
        raise ValueError(f"longer than {MAX_BYTES >> 20} MiB")
    if isinstance(text, bytes):
        text = _decoded(text)
    found = json.loads(text, parse_int=_integer)
    _require_shallow(found)
    return found


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"no UTF-8 at byte {error.start}") from None


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)


def _require_shallow(found: Any) -> None:
    level, depth = [found], 0
    while level:
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += [*value, *value.values()]
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
                raise ValueError("half a character in a text")
        level, depth = below, depth + 1


def _require(value: Any, schema: Schema, key: str) -> None:
    if isinstance(schema, tuple):
        if not any(_fits(value, kind, key) for kind in schema):
            raise ValueError(f"{_named(key)} is {_shown(value)}")
    elif isinstance(schema, list):
        _require_kind(value, list, key)
        for i, item in enumerate(value):
            _require(item, schema[0], f"{key}[{i}]")
    elif isinstance(schema, dict):
        _require_kind(value, dict, key)
        if str in schema:
            schema = dict.fromkeys(value, schema[str])
        for name, kind in schema.items():
            if name not in value:
                raise ValueError(f"no {_named(f'{key}.{name}')}")
            _require(value[name], kind, f"{key}.{name}")
    else:
        _require_kind(value, schema, key)


def _fits(value: Any, schema: Schema, key: str) -> bool:
    try:
        _require(value, schema, key)
    except ValueError:
        return False
    return True


def _require_kind(value: Any, kind: type | None, key: str) -> None:
    fits = value is None if kind is None else isinstance(value, (int, float) if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind in (int, float)):
        raise ValueError(f"{_named(key)} is {_shown(value)}")


def _named(key: str) -> str:
    return key.lstrip(".") or "the whole"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
