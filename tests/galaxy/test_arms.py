import numpy as np
import pytest

from extmap_tf.errors import ConfigError
from extmap_tf.galaxy.arms import PUBLISHED, arms_named, mock_arms

ARMS = {arm.name: arm for arm in PUBLISHED}


def test_arms_are_where_they_are_seen():
    """Tangents of the arms: Carina near l = 284, Scutum near 31, Centaurus near 309."""
    for name, low, high in (("Sagittarius–Carina", 281, 289), ("Scutum–Centaurus", 304, 313)):
        x, y = ARMS[name].xy_kpc(np.linspace(-80.0, -1.0, 400))
        assert low < np.degrees(np.arctan2(y, x)).min() % 360.0 < high
    x, y = ARMS["Scutum–Centaurus"].xy_kpc(np.linspace(1.0, 80.0, 400))
    assert 28 < np.degrees(np.arctan2(y, x)).max() < 34
    x, y = ARMS["Perseus"].xy_kpc([0.0])
    assert (float(x[0]), float(y[0])) == pytest.approx((-1.9, 0.0), abs=0.3)


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        (True, [arm.name for arm in PUBLISHED]),
        (False, []),
        (None, []),
        (["perseus", "Carina"], ["Perseus", "Sagittarius–Carina"]),
        (["sagittarius-carina", "SAG"], ["Sagittarius–Carina"]),
        (["Centaurus"], ["Scutum–Centaurus"]),
    ],
)
def test_arms_are_chosen_by_the_names_people_use(chosen, names):
    assert [arm.name for arm in arms_named(chosen, PUBLISHED)] == names


@pytest.mark.parametrize("name", ["Andromeda", ""])
def test_an_unknown_arm_is_named_with_those_there_are(name):
    with pytest.raises(ConfigError, match=f"no spiral arm '{name}'; there are Scutum–Centaurus, "):
        arms_named([name], PUBLISHED)


def test_a_start_of_two_names_is_told_with_both():
    with pytest.raises(
        ConfigError, match="'s' may be Scutum–Centaurus or Sagittarius–Carina: give more of it"
    ):
        arms_named(["s"], PUBLISHED)


def test_mock_arms_pass_through_their_reference_points_with_one_pitch():
    for arm, published in zip(mock_arms(12.0), PUBLISHED, strict=True):
        assert arm.name == published.name
        assert arm.radius_at(arm.beta_deg) == pytest.approx(arm.radius_kpc)
        ratio = arm.radius_at(arm.beta_deg - 1.0) / arm.radius_at(arm.beta_deg + 1.0)
        assert np.log(ratio) / np.radians(2.0) == pytest.approx(np.tan(np.radians(12.0)))
