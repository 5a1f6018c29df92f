import dataclasses

import pytest

from extmap_tf.errors import ConfigError
from extmap_tf.extinction.bands import extinction_ratio
from extmap_tf.extinction.build_law import wavelengths_um
from extmap_tf.extinction.law import (
    a_over_av,
    blue_over_red,
    curve_of,
    known_laws,
    law_text,
    mean_blue_over_red,
    red_over_v,
    stated_rv,
)
from extmap_tf.settings.config import Config
from extmap_tf.settings.law import LawConfig
from extmap_tf.settings.nuisances import NuisanceConfig

SURVEY = Config.named("carina").survey


@pytest.mark.parametrize(
    ("law", "low", "high"),
    [
        # Published J to Ks ratios: Cardelli et al. 1989 table 3 gives 0.282 / 0.114; newer near-infrared laws
        # are steeper (Decleir et al. 2022).
        (LawConfig("CCM89"), 2.40, 2.53),
        (LawConfig("G23"), 2.4, 2.8),
        (LawConfig("D22"), 2.5, 2.9),
    ],
)
def test_ratio_is_that_of_the_published_law(law, low, high):
    assert low < blue_over_red(law, SURVEY) < high
    assert 0.05 < red_over_v(law, SURVEY) < 0.15


def test_a_stated_ratio_is_taken_as_it_is_and_knows_no_visual_band():
    law = LawConfig("ratio", blue_over_red=3.1)
    assert blue_over_red(law, SURVEY) == 3.1
    assert red_over_v(law, SURVEY) != red_over_v(law, SURVEY)
    assert a_over_av(law) is None


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (LawConfig("Nobody99"), "no extinction law 'Nobody99'"),
        (LawConfig("BaseExtRvModel"), "no extinction law 'BaseExtRvModel'"),
        (LawConfig("G23", rv=99.0), "cannot have rv = 99"),
        (LawConfig("RL85"), "cannot|cover|no extinction"),
    ],
)
def test_impossible_laws_are_refused(law, message):
    with pytest.raises(ConfigError, match=message):
        blue_over_red(law, dataclasses.replace(SURVEY, red=dataclasses.replace(SURVEY.red, wavelength_um=29)))


@pytest.mark.parametrize(
    ("law", "rv", "text"),
    [
        (LawConfig("G23", rv=2.8), 2.8, "G23, R(V) = 2.8"),
        (LawConfig("ratio", blue_over_red=3.1), None, "ratio"),
        (LawConfig("GCC09_MWAvg"), None, "GCC09_MWAvg"),
    ],
)
def test_only_a_law_with_a_parameter_states_it(law, rv, text):
    assert stated_rv(law) == rv
    assert law_text(law.model, stated_rv(law)) == text


def test_the_mean_ratio_is_that_of_the_law_and_what_the_pairs_add():
    law = LawConfig("G23")
    assert mean_blue_over_red(law, SURVEY, NuisanceConfig()) == blue_over_red(law, SURVEY)
    added = NuisanceConfig(law_ratio_mean=0.23)
    assert mean_blue_over_red(law, SURVEY, added) == pytest.approx(blue_over_red(law, SURVEY) + 0.23)


def test_other_bands_keep_the_proportions_of_the_law_at_a_known_ratio():
    law = LawConfig("G23")
    of_law = {name: extinction_ratio(name, "Ks", law) for name in ("J", "H", "V", "W2")}
    stretch = (2.9 - 1.0) / (of_law["J"] - 1.0)
    for name, ratio in of_law.items():
        found = extinction_ratio(name, "Ks", law, known=("J", 2.9))
        assert found == pytest.approx(1.0 + stretch * (ratio - 1.0))
        assert extinction_ratio(f"E({name}-Ks)", "Ks", law, known=("J", 2.9)) == pytest.approx(found - 1.0)
    assert extinction_ratio("J", "Ks", law, known=("J", 2.9)) == 2.9
    assert 0 < extinction_ratio("W2", "Ks", law, known=("J", 2.9)) < of_law["W2"]


def test_the_table_of_the_default_law_is_that_of_dust_extinction():
    for (model, rv), known in known_laws().items():
        law = LawConfig(model, rv)
        assert stated_rv(law) == rv
        curve, exact = a_over_av(law), curve_of(law)
        for wavelength_um in (*known, 0.7):
            assert curve(wavelength_um) == pytest.approx(exact(wavelength_um), rel=1e-13)


def test_all_bands_of_the_configurations_that_come_with_this_software_are_in_the_table():
    assert set(wavelengths_um()) <= set(known_laws()["G23", 3.1])
