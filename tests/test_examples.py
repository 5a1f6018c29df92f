"""The examples in docstrings give what they say."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import extmap_tf

ROOT = Path(extmap_tf.__file__).parent
WITH_EXAMPLES = sorted(
    path for path in ROOT.rglob("*.py") if re.search(r"^ *>>> ", path.read_text(), re.MULTILINE)
)


def name_of(path):
    return ".".join((ROOT.name, *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=name_of)
def test_examples_hold(path):
    found = doctest.testmod(importlib.import_module(name_of(path)))
    assert found.attempted
    assert not found.failed


def test_the_central_classes_have_examples():
    found = {name_of(path) for path in WITH_EXAMPLES}
    central = ("map", "estimate", "diagrams", "grids.diagram", "settings.config", "extinction.bands")
    assert {f"extmap_tf.{name}" for name in central} <= found
