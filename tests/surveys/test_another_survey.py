"""A survey of the same kind is one TOML file: no code knows its name, its bands or its depth."""

import numpy as np
import pytest

from extmap_tf.catalogs.cuts import apply_cuts
from extmap_tf.catalogs.survey_tables import read_survey_table
from extmap_tf.diagrams import count_stars
from extmap_tf.errors import ConfigError
from extmap_tf.extinction.dust import draw_dust
from extmap_tf.mocks.pairs import simulate_pair
from extmap_tf.mocks.pools import sightline_catalog
from extmap_tf.mocks.reference import reference_diagrams
from extmap_tf.mocks.sky import write_sky
from extmap_tf.settings.config import Config
from extmap_tf.surveys.observing import observe

DEEP = """
name = "deep"

[blue]
name = "H"
wavelength_um = 1.631
error_floor_mag = 0.01
snr10_mag = 18.6
half_complete_mag = 18.9
completeness_scale_mag = 0.15

[red]
name = "Ks"
wavelength_um = 2.201
error_floor_mag = 0.01
snr10_mag = 18.0
half_complete_mag = 18.3
completeness_scale_mag = 0.15

[cuts]
bright_mag = 12.0
"""


BAND = """
name = "{}"
wavelength_um = {}
error_floor_mag = 0.01
snr10_mag = {}
half_complete_mag = {}
completeness_scale_mag = 0.15
"""

DEEP_JHK = f"""
name = "Deep VVV"

[blue]{BAND.format("J", 1.25, 19.5, 19.8)}
[red]{BAND.format("Ks", 2.15, 18.0, 18.3)}
[[other_bands]]{BAND.format("H", 1.65, 18.6, 18.9)}
[crowding]
limit_mag = 15.0
log10_stars_per_deg2 = 5.0
loss_mag_per_dex = 0.5

[cuts]
bright_mag = 12.0

[[diagrams]]
y = {{of = "Ks", minimum = 11.0, maximum = 18.2, n_pixels = 48}}
x = {{of = "J-Ks", minimum = -0.5, maximum = 5.9, n_pixels = 32}}

[[diagrams]]
y = {{of = "J-H", minimum = -0.3, maximum = 3.7, n_pixels = 40}}
x = {{of = "H-Ks", minimum = -0.3, maximum = 2.9, n_pixels = 32}}
"""


@pytest.fixture(scope="module")
def three(tiny_config, tmp_path_factory):
    """2MASS, Gaia, and a deep survey of three bands."""
    folder = tmp_path_factory.mktemp("three")
    (folder / "vvv.toml").write_text(DEEP_JHK)
    data = tiny_config.to_dict()
    del data["survey"], data["other_surveys"]
    config = Config.from_dict(data | {"surveys": ["2mass", "gaia_dr3", "vvv.toml"]}, folder=folder)
    return config.replace(**{"mocks.pool_fields": 2.0})


def test_a_third_survey_with_three_bands_stands_beside_two(three):
    assert [band.name for band in three.surveys[2].bands] == ["J", "H", "Ks"]
    names = ["counts", "counts_gaia_dr3", "counts_gaia_dr3_2", "counts_deep_vvv", "counts_deep_vvv_2"]
    assert [diagram.name for diagram in three.diagrams] == names
    pair = simulate_pair(three, 1)
    assert list(pair.diagrams) == names
    first, of_magnitude, of_colors = (pair.diagrams[names[i]] for i in (0, 3, 4))
    # It goes four magnitudes deeper than 2MASS, and has no bright stars.
    assert of_magnitude.sum() > 2 * first.sum()
    ks = three.diagrams[3].y
    assert of_magnitude[ks.edges[1:] <= 12.0].sum() == 0
    assert of_magnitude[ks.centers > 17.0].sum() > 0
    assert 0.8 * of_magnitude.sum() < of_colors.sum() <= 1.2 * of_magnitude.sum()


@pytest.fixture(scope="module")
def deep_config(tiny_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deep")
    (folder / "deep.toml").write_text(DEEP)
    cmd = {"color_min_mag": -0.3, "color_max_mag": 2.9, "mag_min_mag": 11.0, "mag_max_mag": 18.0}
    return Config.from_dict(tiny_config.to_dict() | {"survey": "deep.toml", "cmd": cmd}, folder=folder)


def test_its_pairs_and_references_are_made(deep_config, tiny_config):
    (diagram,) = deep_config.diagrams
    assert (diagram.survey, diagram.y.label, diagram.x.label) == ("deep", "Ks", "H-Ks")
    reference = reference_diagrams(deep_config, 284.0, -1.0)["counts"]
    below = diagram.y.edges[1:] <= 12.0
    assert reference[below].sum() == 0.0
    # Stars down to Ks 18 are several times as many as those of 2MASS.
    assert reference.sum() > 4 * reference_diagrams(tiny_config, 284.0, -1.0)["counts"].sum()
    pair = simulate_pair(deep_config, 0)
    assert pair.counts.shape == diagram.shape
    assert 0 < pair.counts.sum() < 2 * reference.sum()


def test_its_mock_stars_pass_the_cuts_of_its_tables(deep_config):
    survey = deep_config.survey
    stars = sightline_catalog(deep_config, 284.0, -1.0, "train").take(slice(0, 50_000), 1.0)
    assert set(stars.magnitudes) == {"H", "Ks"}
    seen = observe(stars.magnitudes, survey, stars.area_deg2, np.random.default_rng(1))
    kept, rejected = apply_cuts(survey.cuts, ("H", "Ks"), seen.magnitudes, seen.errors)
    # On the limit itself single precision may put a star on either side.
    assert kept.mean() > 0.9995, rejected
    assert count_stars(seen.magnitudes, deep_config.diagrams[0]).sum() > 0.5 * kept.sum()


def test_its_mock_sky_is_a_table_of_its_bands(deep_config, tmp_path):
    path, fields = tmp_path / "sky.parquet", deep_config.sightlines
    dust = draw_dust(deep_config.dust, fields, deep_config.distance, seed=1)
    n_rows = write_sky(deep_config, dust, path)
    with path.open("rb") as stream:
        batches = list(read_survey_table(stream, str(path), deep_config.survey))
    assert sum(batch.n_rows for batch in batches) == n_rows
    assert sum(batch.n_stars for batch in batches) > 0.999 * n_rows
    assert set(batches[0].magnitudes) == {"H", "Ks"}


def test_a_band_is_reached_by_name(deep_config):
    survey = deep_config.survey
    assert [band.name for band in survey.bands] == ["H", "Ks"]
    assert survey.band("H") is survey.blue
    with pytest.raises(ConfigError, match="survey deep has no band 'J'; its bands are H, Ks"):
        survey.band("J")
