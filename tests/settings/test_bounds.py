"""Bounds stand beside the fields, and are checked and told in words."""

import dataclasses
from dataclasses import dataclass

import pytest

from extmap_tf.bounds import Bounds, Section, bounds_of, meaning_of, setting
from extmap_tf.errors import ConfigError, require
from extmap_tf.settings.config import Config


@dataclass(frozen=True)
class Room(Section):
    """A room."""

    width_m: float = setting(doc="From wall\n    to wall.", above=0, at_most=100)
    angles_deg: tuple[float, ...] = setting((90.0,), "Of the corners.", at_least=0, below=360)
    kind: str = setting("hall", "What for.", one_of=("hall", "kitchen"))

    def check(self):
        require(self.kind != "kitchen" or self.width_m < 10, "width_m", "below 10 for a kitchen", self)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width_m": 0.0}, r"width_m must be above 0 and at most 100, got: 0\.0"),
        ({"width_m": float("nan")}, "width_m must be above 0 and at most 100, got: nan"),
        (
            {"width_m": 1.0, "angles_deg": (3.0, 360.0)},
            r"angles_deg must be from 0 to below 360, got: \(3\.0",
        ),
        ({"width_m": 1.0, "kind": "bath"}, "kind must be one of hall, kitchen, got: 'bath'"),
        ({"width_m": 20.0, "kind": "kitchen"}, r"width_m must be below 10 for a kitchen, got: 20\.0"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_its_name_and_bounds(values, message):
    with pytest.raises(ConfigError, match=message):
        Room(**values)


def test_the_meanings_are_the_documentation_of_the_class():
    assert (
        "Parameters\n----------\nwidth_m : float\n    From wall to wall.\nangles_deg : tuple" in Room.__doc__
    )


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        (Bounds(), ""),
        (Bounds(at_least=1, at_most=10**9), "1 to 1e9"),
        (Bounds(at_least=2.0, at_most=65536), "2 to 65536"),
        (Bounds(above=0, below=1), "above 0 and below 1"),
        (Bounds(at_least=0), "0 or more"),
        (Bounds(at_most=20), "at most 20"),
        (Bounds(below=85), "below 85"),
        (Bounds(above=-85), "above -85"),
    ],
)
def test_bounds_are_told_in_words(bounds, text):
    assert str(bounds) == text


def sections(owner):
    yield owner
    for spec in dataclasses.fields(owner):
        if dataclasses.is_dataclass(getattr(owner, spec.name)):
            yield from sections(getattr(owner, spec.name))


def test_every_value_of_the_configuration_says_what_it_means():
    for section in sections(Config.named("carina")):
        for spec in dataclasses.fields(section):
            assert meaning_of(spec), f"{type(section).__name__}.{spec.name}"
            default = spec.default
            if default is not dataclasses.MISSING and not isinstance(default, tuple):
                assert bounds_of(spec).hold(default)
