"""The configuration explains itself, and what it prints is a configuration."""

import dataclasses

import pytest

from extmap_tf.networks import PRESETS
from extmap_tf.settings.config import Config, builtin_names
from extmap_tf.settings.mocks import MocksConfig
from extmap_tf.settings.reference import configuration_text, reference_text


@pytest.mark.parametrize("name", builtin_names())
def test_a_configuration_with_comments_is_that_configuration(name):
    text = configuration_text(name)
    assert Config.from_toml(text) == Config.named(name)
    assert max(map(len, text.splitlines())) <= 110


def test_tables_that_repeat_survive(tmp_path):
    mocks = {"l_deg": [], "b_deg": [], "catalogs": [_catalog(10.0), _catalog(20.0)]}
    sightlines = {"nside": 8, "regions": [{"b_min_deg": 80.0}, {"b_max_deg": -80.0}]}
    data = Config.named("carina").to_dict() | {"mocks": mocks, "sightlines": sightlines}
    config = Config.from_dict(data).with_catalogs_of(tmp_path)
    config.write(tmp_path / "mine.toml")
    text = configuration_text(tmp_path / "mine.toml")
    assert Config.from_toml(text) == config
    assert text.count("[[mocks.catalogs]]") == text.count("[[sightlines.regions]]") == 2


def _catalog(l_deg):
    return {"path": "a.csv", "l_deg": l_deg, "b_deg": 0.0, "area_deg2": 500.0}


def test_the_reference_has_every_key_with_meaning_type_default_and_bounds():
    text = reference_text()
    part = text.split("## [mocks]")[1].split("\n## ")[0]
    for spec in dataclasses.fields(MocksConfig):
        assert (f"- `{spec.name}` (" in part) == (spec.name != "catalogs")
    n_pairs = (
        "- `n_pairs` (whole number, default 36000, 1 to 1e9): Training pairs over all sightlines and splits."
    )
    assert n_pairs in text
    assert "- `path` (text, must be given): A table that" in text.split("## [[mocks.catalogs]]")[1]
    assert "one of auto, float32, mixed_bfloat16, mixed_float16" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 110


def test_the_reference_tells_the_tables_in_the_order_of_the_configuration():
    headers = [line[3:] for line in reference_text().splitlines() if line.startswith("## ")]
    assert headers[:3] == ["[survey]", "[survey.blue]", "[survey.red]"]
    assert headers.count("[sightlines]") == 2
    assert headers.count("[network]") == len(PRESETS)
    top = [name for name in headers if "." not in name]
    order = [f"[{spec.name}]" for spec in dataclasses.fields(Config)]
    assert list(dict.fromkeys(top)) == [name for name in order if name in top]
