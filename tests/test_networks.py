import dataclasses
from dataclasses import dataclass

import pytest

from extmap_tf.errors import ConfigError
from extmap_tf.networks import PRESETS, Cornu2022, Dense, Network, network, network_class
from extmap_tf.settings.config import Config


@pytest.fixture
def wide():
    """A network that a user adds."""

    @network
    @dataclass(frozen=True)
    class Wide(Network):
        preset: str = "wide"
        width: int = 16

        head = "profile"

        def body(self, seen):
            from keras import layers

            return layers.Dense(self.width, activation="relu")(seen.flat())

    yield Wide
    del PRESETS["wide"]


def test_an_unknown_preset_is_an_error_that_lists_the_known_ones(tiny_config):
    known = "preset must be one of dense, cornu2022, ensemble, planes, got: 'resnet'"
    with pytest.raises(ConfigError, match=known):
        tiny_config.replace(**{"network.preset": "resnet"})
    data = tiny_config.to_dict() | {"network": {"preset": "resnet", "depth": 50}}
    with pytest.raises(ConfigError, match=r"c.toml: \[network\]: " + known):
        Config.from_dict(data, "c.toml")
    with pytest.raises(ConfigError, match=known):
        network_class("resnet")
    with pytest.raises(ConfigError, match="preset must be one of dense, got: 'cornu2022'"):
        Dense(preset="cornu2022")
    for odd in (["dense"], None, 3):
        with pytest.raises(ConfigError, match="preset must be"):
            Config.from_dict(tiny_config.to_dict() | {"network": {"preset": odd}})


def test_a_network_without_a_body_cannot_be_made():
    class Bodiless(Network):
        pass

    for kind in (Network, Bodiless):
        with pytest.raises(TypeError, match="abstract method"):
            kind("dense")


def test_a_hyperparameter_of_another_preset_is_an_error(tiny_config):
    data = tiny_config.to_dict() | {"network": {"preset": "cornu2022", "rank": 8}}
    with pytest.raises(ConfigError, match=r"\[network\]: unknown key 'rank'; known: preset"):
        Config.from_dict(data)
    published = tiny_config.replace(**{"network.preset": "cornu2022"})
    assert published.network == Cornu2022()
    with pytest.raises(ConfigError, match="unknown key 'rank'"):
        published.replace(**{"network.rank": 4})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": ()}, "widths must be 1 to 32 numbers"),
        ({"widths": (512, 0)}, "widths must be 1 to 65536"),
        ({"rank": 65}, "rank must be 0 to 64"),
    ],
)
def test_hyperparameters_have_bounds(change, message):
    with pytest.raises(ConfigError, match=message):
        Dense(**change)


def test_widths_count_in_the_digest_where_they_are_used(tiny_config):
    assert Config.from_toml(tiny_config.to_toml()) == tiny_config
    other = tiny_config.replace(**{"network.widths": [64, 64]})
    assert other.network == Dense(widths=(64, 64))
    assert other.digest != tiny_config.digest
    assert other.replace(**{"network.widths": [512, 512, 512]}).digest == tiny_config.digest
    assert Config.from_toml(other.to_toml()) == other


def test_changing_the_preset_keeps_no_hyperparameters_of_the_one_before(tiny_config):
    narrow = tiny_config.replace(**{"network.rank": 4})
    assert narrow.replace(**{"network.preset": "dense"}).network == Dense(rank=4)
    back = narrow.replace(**{"network.preset": "cornu2022"}).replace(**{"network.preset": "dense"})
    assert back.network == Dense()


def test_a_network_is_added_by_one_class(wide, tiny_config):
    config = tiny_config.replace(**{"network.preset": "wide", "network.width": 4})
    assert config.network == wide(width=4)
    assert Config.from_toml(config.to_toml()) == config

    from extmap_tf.model.build import build_network
    from extmap_tf.model.heads import ProfileHead, head_of

    assert head_of(config.network, config.distance) == ProfileHead(config.distance)
    model = build_network(config, 2, seed=1)
    assert model.name == "wide"
    assert model.output_shape == (None, config.distance.n_distances)
    built_by_hand = dataclasses.replace(config, network=wide(width=8))
    assert build_network(built_by_hand, 2, seed=1).layers[-3].units == 8
