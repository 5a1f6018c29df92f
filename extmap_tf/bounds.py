"""Values of a dataclass whose meaning and bounds stand beside the field.

::

    @dataclass(frozen=True)
    class Cuts(Section):
        "Which stars count."

        max_error_mag: float = setting(0.15, "Largest photometric error.", above=0, at_most=1)

A value outside its bounds is refused with its name; rules between fields are in a section's `check`. The
meanings become the numpydoc of the class and the reference of the configuration.
"""

import dataclasses
import inspect
import textwrap
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from typing import Any

from extmap_tf.errors import require

_DOC, _BOUNDS = "doc", "bounds"


@dataclass(frozen=True)
class Bounds:
    """What a value, or each item of a tuple, may be; None and the empty tuple: no such bound."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    one_of: tuple[Any, ...] = ()

    def hold(self, value: Any) -> bool:
        """Whether a value is inside; a NaN is not, where there is any bound."""
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
            and (not self.one_of or value in self.one_of)
        )

    def __str__(self) -> str:
        low = None if self.at_least is None else _number(self.at_least)
        above = None if self.above is None else f"above {_number(self.above)}"
        high = None if self.at_most is None else _number(self.at_most)
        below = None if self.below is None else f"below {_number(self.below)}"
        if self.one_of:
            return f"one of {', '.join(str(item) or 'nothing' for item in self.one_of)}"
        if low and (high or below):
            return f"{low} to {high}" if high else f"from {low} to {below}"
        if above and (high or below):
            return f"{above} and {below or f'at most {high}'}"
        return above or below or (low and f"{low} or more") or (high and f"at most {high}") or ""


def setting(
    default: Any = MISSING,
    doc: str = "",
    *,
    default_factory: Any = MISSING,
    as_before: Any = MISSING,
    counts_as: Mapping[Any, Any] | None = None,
    **bounds: Any,
) -> Any:
    """A field with its meaning and bounds.

    Parameters
    ----------
    default : optional
        Without one the value must be given.
    doc : str
        What it means, with its unit.
    as_before : optional
        For a field added later whose default is not what files without it meant: what they meant, see
        `extmap_tf.settings.identity`.
    counts_as : mapping, optional
        Values that count as others where a configuration is identified, see `extmap_tf.settings.identity`.
    default_factory : callable, optional
        Makes the default, where that can be changed, as a dict can; it is left out of the section's hash.
    bounds
        `at_least`, `above`, `at_most`, `below`, `one_of`: see `Bounds`.
    """
    about = {_DOC: " ".join(doc.split()), _BOUNDS: Bounds(**bounds)}
    if as_before is not MISSING:
        about["as_before"] = as_before
    if counts_as is not None:
        about["counts_as"] = counts_as
    if default_factory is not MISSING:
        return dataclasses.field(default_factory=default_factory, hash=False, metadata=about)
    return dataclasses.field(default=default, metadata=about)


def meaning_of(spec: dataclasses.Field) -> str:
    """What a field means; empty where nothing is said of it."""
    return spec.metadata.get(_DOC, "")


def bounds_of(spec: dataclasses.Field) -> Bounds:
    """The bounds of a field."""
    return spec.metadata.get(_BOUNDS, Bounds())


class Section:
    """Base of frozen dataclasses whose values are checked when they are made.

    Raises
    ------
    ConfigError
        A value is outside its bounds, or does not go with the others.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        entries = [
            f"{name} : {_type_name(kind)}\n{textwrap.indent(textwrap.fill(meaning_of(spec), 100), '    ')}"
            for name, kind in inspect.get_annotations(cls).items()
            if isinstance(spec := cls.__dict__.get(name), dataclasses.Field) and meaning_of(spec)
        ]
        if entries:
            own = inspect.cleandoc(cls.__doc__ or "")
            cls.__doc__ = "\n".join([own, "", "Parameters", "----------", *entries])

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):  # type: ignore[arg-type]
            bounds, value = bounds_of(spec), getattr(self, spec.name)
            items = value if isinstance(value, tuple) else (value,)
            require(all(bounds.hold(item) for item in items), spec.name, bounds, self)
        self.check()

    def check(self) -> None:
        """Raise ConfigError unless the values go together; by default they do."""


def _number(value):
    whole = isinstance(value, int) and abs(value) < 1e6
    return str(value) if whole else f"{value:g}".replace("e+0", "e")


def _type_name(kind):
    return kind.__name__ if isinstance(kind, type) else str(kind)
