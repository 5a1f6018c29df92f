"""What was made before a new option keeps its digest and still opens."""

import dataclasses
import json

import pytest

from extmap_tf.errors import DataError
from extmap_tf.model import card as card_module
from extmap_tf.model.card import ModelCard
from extmap_tf.model.versions import find_saved_model
from extmap_tf.records import manifest as manifest_module
from extmap_tf.records.manifest import FileEntry, Manifest
from extmap_tf.settings import identity
from extmap_tf.settings.config import Config

_DEMO = """name = "demo"
seed = 1
survey = "2mass"
[sightlines]
l_min_deg = 281.0
l_max_deg = 289.0
b_min_deg = -2.0
b_max_deg = 2.0
step_deg = 0.5
field_deg = 0.5
[distance]
step_kpc = 0.1
n_distances = 100
[mocks]
l_deg = [281.0, 285.0, 289.0]
b_deg = [-2.0, 0.0, 2.0]
n_pairs = 16000
[training]
epochs = 20
"""
DEMO = Config.from_toml(_DEMO, "a demo")
DEMO_DIGEST = "e324d8bd50da"
"""As extmap_tf 0.3.0 states it."""
CARD_DIGEST, CARD_CONFIG_DIGEST = "8308735f5996", "ef0072931c0d"


def grown(cls, name, kind, default, **metadata):
    """A copy of a section with one more field."""
    spec = dataclasses.field(default=default, metadata=metadata)
    return dataclasses.make_dataclass(cls.__name__, [(name, kind, spec)], bases=(cls,), frozen=True)


def with_section(*section):
    """`Config` with another section: its name, class and, if it has one, default."""
    return dataclasses.make_dataclass("Config", [section], bases=(Config,), frozen=True)


def config_with_a_new_option(**metadata):
    """`Config` after somebody added ``new: float = 0.5`` to the section of the profiles."""
    prior = grown(type(Config.named("carina").profiles), "new", float, 0.5, **metadata)
    return with_section("profiles", prior, prior())


def config_with_a_new_nested_option():
    """`Config` after somebody added an option to the bands, which are tables in the table of the survey."""
    survey = Config.named("carina").survey
    band = grown(type(survey.blue), "new", float, 0.5)
    telescope = dataclasses.make_dataclass(
        "SurveyConfig", [("blue", band), ("red", band)], bases=(type(survey),), frozen=True
    )
    return with_section("survey", telescope)


def config_with_a_new_table():
    """`Config` after somebody added a section."""
    table = dataclasses.make_dataclass("Table", [("depth", float, 1.0), ("width", float, 2.0)], frozen=True)
    return with_section("table", table, table())


CHANGES = {
    "a section": (config_with_a_new_option, "profiles.new"),
    "a nested section": (config_with_a_new_nested_option, "survey.blue.new"),
    "a new section": (config_with_a_new_table, "table.depth"),
}


def test_a_configuration_has_the_digest_of_version_0_3_0():
    assert DEMO.digest == DEMO_DIGEST


@pytest.mark.parametrize(("change", "option"), CHANGES.values(), ids=CHANGES.keys())
def test_a_new_option_changes_no_digest_until_it_is_used(change, option):
    old, new = DEMO, change().from_toml(_DEMO, "the same")
    assert new.digest == old.digest == DEMO_DIGEST
    assert (new.observation, new.target) == (old.observation, old.target)
    used = new.replace(**{option: 0.75})
    assert used.digest != new.digest
    assert used.replace(**{option: 0.5 if "new" in option else 1.0}).digest == new.digest


@pytest.mark.parametrize(("change", "option"), CHANGES.values(), ids=CHANGES.keys())
def test_the_shipped_model_opens_after_a_new_option(monkeypatch, change, option):
    monkeypatch.setattr(card_module, "Config", change())
    card = find_saved_model("carina")[1]
    assert (card.digest, card.config.digest) == (CARD_DIGEST, CARD_CONFIG_DIGEST)
    again = ModelCard.from_json(card.to_json(), "again")
    assert again == card
    used = dataclasses.replace(card, config=card.config.replace(**{option: 0.75}))
    assert used.digest != card.digest
    assert ModelCard.from_json(used.to_json(), "used") == used


def test_records_keep_their_digest_after_a_new_option(monkeypatch):
    manifest = Manifest("mocks", Config.named("carina"), {"train": (FileEntry("a", 1, "00", 1),)})
    text = manifest.to_json()
    monkeypatch.setattr(manifest_module, "Config", config_with_a_new_option())
    assert Manifest.from_json(text, "m").digest == manifest.digest


def test_networks_that_lost_a_key_keep_the_digests_of_version_0_3_0():
    config = DEMO.replace(**{"network.preset": "cornu2022"})
    assert config.digest == "005aa455229a"
    stated = config.to_dict()
    stated["network"]["rank"] = 8
    assert Config.from_stated({"config": stated, "config_digest": config.digest}, "a card") == config
    assert DEMO.replace(**{"network.rank": 4}).digest == "63089a5b74f3"


def test_an_option_may_say_what_files_without_it_meant():
    new = config_with_a_new_option(as_before=0.25)
    stated = {"config": DEMO.to_dict(), "config_digest": DEMO_DIGEST}
    assert new.from_stated(stated, "a card").profiles.new == 0.25
    # A configuration written today means today's default.
    today = new.from_toml(_DEMO, "the same")
    assert today.profiles.new == 0.5
    assert today.digest != DEMO_DIGEST


@pytest.mark.parametrize("value", [0.75, 0.5])
def test_an_edited_file_is_refused_with_its_new_options_too(value):
    new = config_with_a_new_option()
    used = new.named("carina").replace(**{"profiles.new": 1.0})
    stated = {"config": used.to_dict(), "config_digest": used.digest}
    assert new.from_stated(stated, "a card") == used
    stated["config"]["profiles"]["new"] = value
    with pytest.raises(DataError, match=r"a card: states digest .* it was edited"):
        new.from_stated(stated, "a card")


def test_every_file_of_a_newer_schema_is_refused_with_one_line(tmp_path):
    config, card = Config.named("carina"), find_saved_model("carina")[1]
    manifest = Manifest("mocks", config, {"train": ()})
    newer = identity.SCHEMA + 1
    message = f"x: its schema is {newer}, this extmap_tf knows those up to {newer - 1}: update extmap_tf"
    text = config.to_toml().replace(f"schema = {identity.SCHEMA}", f"schema = {newer}")
    with pytest.raises(DataError, match=message):
        Config.from_toml(text, "x")
    for kind, own in ((ModelCard, card.to_json()), (Manifest, manifest.to_json())):
        data = json.loads(own)
        assert data["schema"] == identity.SCHEMA
        with pytest.raises(DataError, match=message):
            kind.from_json(json.dumps(data | {"schema": newer}), "x")
        with pytest.raises(DataError, match="schema must be a number from 1 on, got: 'new'"):
            kind.from_json(json.dumps(data | {"schema": "new"}), "x")


def test_files_without_a_schema_are_of_the_first():
    config = Config.named("carina")
    assert config.to_toml().startswith(f"schema = {identity.SCHEMA}\n")
    assert Config.from_dict(config.to_dict()) == config
    identity.require_readable({}, "a file of version 0.3.0")
