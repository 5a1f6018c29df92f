"""The real gate of Gaia: a field of the plane against the built-in Galaxy behind one fitted rate of dust."""

import importlib
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def gaia_field(shared_data):
    """The code of the benchmark."""
    if not (shared_data / "gaia").is_dir():
        pytest.skip(f"{shared_data / 'gaia'} is absent")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).resolve().parents[1] / "benchmarks")
        return importlib.import_module("gaia_field")


@pytest.fixture(scope="module")
def fields(gaia_field, shared_data):
    """(real field, mock field)."""
    real, mock = gaia_field.real_field(shared_data), gaia_field.Mock(gaia_field.gaia_config())
    return real, mock.behind(gaia_field.fitted_rate(real, mock))


def test_counts_per_magnitude_agree(fields):
    real, mock = fields
    noise = 3.0 / np.sqrt(real.counts())
    assert (np.abs(mock.counts() / real.counts() - 1.0) < np.maximum(0.15, noise)).all()
    assert mock.counts()[2:] == pytest.approx(real.counts()[2:], rel=0.15)


@pytest.mark.parametrize("name", ["bp_rp_mag", "parallax_mas"])
def test_quartiles_agree_within_the_spread(fields, name):
    quartiles = [np.percentile(getattr(field, name), [25, 50, 75]) for field in fields]
    spread = quartiles[0][2] - quartiles[0][0]
    np.testing.assert_allclose(quartiles[1], quartiles[0], atol=0.25 * spread)


def test_as_many_parallaxes_are_negative(fields):
    real, mock = ((field.parallax_mas < 0).mean() for field in fields)
    assert 0.3 * real < mock < 2.0 * real


def test_real_stars_raise_no_flag_by_the_outlier_rule_of_mock_pairs(gaia_field, shared_data):
    flags = gaia_field.flags_by_pairs(shared_data, 600)
    assert len(flags) == 2
    assert not any(flags.values()), flags


def test_the_model_that_knows_gaia_doubts_nothing_but_the_place(gaia_field, shared_data):
    _, estimate = gaia_field.asked(shared_data, "carina_gaia")
    assert estimate.flag[0] == gaia_field.Flag.ODD_PLACE
    assert estimate.odd_surveys[0] == 0
    # Behind even dust by the counts there are 0.057 mag a kpc, to 6 kpc.
    assert 0.1 < estimate.extinction_median[0, -1] < 0.6
