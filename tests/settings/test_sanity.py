"""Configurations that cannot be meant are warned of, with the reason and what to do."""

import pytest

from extmap_tf.settings.config import Config, builtin_names
from extmap_tf.settings.sanity import warnings_of


@pytest.mark.parametrize("name", builtin_names())
def test_the_builtin_configurations_are_meant(name):
    assert warnings_of(Config.named(name)) == ()


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"mocks.l_deg": [285.0, 65.0], "mocks.b_deg": [0.0]}, ("l 65, b 0 is 136 deg from the map", "take")),
        ({"mocks.l_deg": [285.0], "mocks.b_deg": [60.0]}, ("l 285, b 60 is 58 deg from the map",)),
        ({"distance.step_kpc": 3.0}, ("reach 300 kpc", "next to no star", "lower step_kpc")),
        (
            {"cmd.mag_min_mag": 16.0, "cmd.mag_max_mag": 20.0},
            ("begins at Ks = 16", "2MASS detects less than half", "lower mag_min_mag"),
        ),
        (
            {"mocks.n_pairs": 1000, "training.epochs": 1000},
            ("900 training pairs are too few",),
        ),
        ({"training.epochs": 1, "mocks.n_pairs": 8000}, ("75 steps are too few", "raise epochs")),
    ],
)
def test_what_cannot_be_meant_is_a_line_with_the_reason_and_what_to_do(changes, parts):
    (line,) = warnings_of(Config.named("demo").replace(surveys=["2mass"]).replace(**changes))
    assert all(part in line for part in parts), line
    assert "\n" not in line


def test_many_far_sightlines_are_one_line_and_none_where_nothing_is_trained():
    config = (
        Config.named("demo")
        .replace(surveys=["2mass"])
        .replace(**{"mocks.l_deg": [65.0, 70.0], "mocks.b_deg": [0.0]})
    )
    (line,) = warnings_of(config)
    assert "of 2 far training sightlines the one at l 70, b 0 is 141 deg from the map" in line
    assert warnings_of(config, training=False) == ()


def test_a_map_across_longitude_zero_has_its_sightlines_beside_it():
    across = {"sightlines.l_min_deg": 355.0, "sightlines.l_max_deg": 365.0, "mocks.l_deg": [350.0, 0.0, 12.0]}
    assert warnings_of(Config.named("demo").replace(surveys=["2mass"]).replace(**across)) == ()


def test_a_map_of_the_whole_sky_has_no_far_sightline():
    data = Config.named("demo").replace(surveys=["2mass"]).to_dict() | {"sightlines": {"nside": 8}}
    assert warnings_of(Config.from_dict(data)) == ()
