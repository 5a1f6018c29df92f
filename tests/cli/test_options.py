"""What the command line makes of the options that several commands have."""

import argparse

import pytest

from extmap_tf.errors import ConfigError
from extmap_tf.options import add_config, config_of

COMPONENT = '[{name = "ring", law = "LAW", population = "thin1", density_msun_pc3 = 1.0}]'


def config_by(*argv):
    parser = argparse.ArgumentParser()
    add_config(parser)
    return config_of(parser.parse_args(argv))


def test_a_configuration_that_cannot_be_meant_is_a_warning_and_is_used(capsys):
    sets = ("training.epochs=1", "mocks.n_pairs=8000", "distance.n_distances=3000")
    config = config_by("--config", "demo", *(part for value in sets for part in ("--set", value)))
    assert config.training.epochs == 1
    distances, training = capsys.readouterr().err.splitlines()
    assert distances.startswith("extmap-tf: warning: distance: the bins reach 300 kpc")
    assert training.startswith("extmap-tf: warning: training: 75 steps are too few")


def test_a_configuration_that_is_meant_says_nothing(capsys):
    config_by("--config", "demo")
    assert capsys.readouterr().err == ""


def test_a_component_of_the_galaxy_is_checked_before_any_work():
    argv = ("--config", "demo", "--set")
    more = config_by(*argv, f"galaxy.components={COMPONENT.replace('LAW', 'thin_disc')}")
    assert more.galaxy.components[0].name == "ring"
    with pytest.raises(ConfigError, match="ring: law must be one of thin_disc, young_disc"):
        config_by(*argv, f"galaxy.components={COMPONENT.replace('LAW', 'torus')}")
