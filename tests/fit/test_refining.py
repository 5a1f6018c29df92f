from dataclasses import replace

import numpy as np
import pytest

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import PERCENTILES, ProfileEstimate
from extmap_tf.extinction.profiles import density_to_cumulative, draw_densities
from extmap_tf.fit import profile_prior, tables
from extmap_tf.fit.offsets import RegionOffsets
from extmap_tf.fit.refining import Refiner, Seen, statistics_of
from extmap_tf.fit.tables import RegionTable, region_table
from extmap_tf.galaxy import Galaxy
from extmap_tf.mocks.fields import dim_and_count, one_field
from extmap_tf.mocks.nuisances import Nuisances

L_DEG, B_DEG, N = 284.0, -1.0, 10


@pytest.fixture(scope="module", autouse=True)
def coarse():
    """Tables of half the extinctions, and priors of fewer draws, take a third of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_STEP_MAG", 0.06)
        patch.setattr(profile_prior, "_N_DRAWS", 500)
        yield


@pytest.fixture(scope="module")
def config(tiny_config):
    """Fields of 0.5 deg, some thousand stars each."""
    return tiny_config.replace(
        **{
            "sightlines.field_deg": 0.5,
            "distance.n_distances": 30,
            "survey.crowding.loss_mag_per_dex": 0.0,
            "profiles.total_max_mag": 1.5,
            "profiles.patchiness_max": 0.2,
        }
    )


@pytest.fixture(scope="module")
def table(config):
    return region_table(config)


def fields(config, off, seed):
    """Densities of N fields with these offsets, and the fields as a blurred, shifted answer sees them."""
    rngs = [np.random.default_rng([seed, i]) for i in range(N)]
    density = draw_densities(config.profiles, config.distance, L_DEG, B_DEG, rngs)
    stars = Galaxy.of(config.galaxy).draw(L_DEG, B_DEG, 6.0, 17.0, rngs[0])
    counts = []
    for one, rng in zip(density, rngs, strict=True):
        field = one_field(stars, config.sightlines.area_deg2, rng, off)
        counts.append(dim_and_count(field, one, config, rng, nuisances=off)["counts"])
    blurred = np.stack([np.convolve(np.pad(one, 4, mode="edge"), np.ones(9) / 9, "valid") for one in density])
    estimate = estimate_of(1.15 * blurred, config.distance)
    samples = np.repeat(1.15 * blurred[:, None], 32, axis=1)
    place = np.full(N, L_DEG), np.full(N, B_DEG)
    return density, Seen(np.array(counts), *place, np.ones(N), estimate, samples)


def estimate_of(density, distance):
    rows = [
        statistics_of(one * distance.step_kpc * np.linspace(0.6, 1.4, 32)[:, None], distance)
        for one in density
    ]
    arrays = {name: np.array([row[name] for row in rows]) for name in rows[0] if name != "samples"}
    return ProfileEstimate(**arrays, flag=np.zeros(len(density), np.uint8))


@pytest.fixture(scope="module")
def refined(config, table):
    density, seen = fields(config, Nuisances(), 1)
    offsets = RegionOffsets(np.zeros(7), np.zeros((7, 7)))
    return density, seen, Refiner(config, table, offsets).refine(seen)


def test_refined_profiles_are_nearer_to_the_truth(refined, config):
    density, seen, found = refined
    truth = density_to_cumulative(density, config.distance.step_kpc)
    good = found.flag == 0
    assert good.mean() > 0.7
    error, before = (
        np.abs(estimate.extinction_median - truth)[good][:, 9:30].mean()
        for estimate in (found, seen.estimate)
    )
    assert error < 0.75 * before
    assert error < 0.03


def test_refined_intervals_hold_truths(refined, config):
    density, _, found = refined
    truth = density_to_cumulative(density, config.distance.step_kpc)[:, 4::5]
    q = found.extinction_percentiles[:, :, 4::5]
    inside = (truth >= q[:, PERCENTILES.index(5.0)]) & (truth <= q[:, PERCENTILES.index(95.0)])
    assert inside[found.flag == 0].mean() > 0.65
    assert (np.diff(found.extinction_percentiles, axis=1) >= 0).all()
    assert (np.diff(found.samples, axis=2) >= 0).all()


def test_a_field_is_refined_alike_alone_and_among_others(refined, config, table):
    _, seen, found = refined
    alone = Refiner(config, table, RegionOffsets(np.zeros(7), np.zeros((7, 7)))).refine(seen[3:4])
    np.testing.assert_allclose(alone.extinction_median[0], found.extinction_median[3], atol=2e-3)


def test_what_cannot_be_refined_stays_as_it_is(refined, config, table):
    _, seen, _ = refined
    few = replace(seen[:3], counts=seen.counts[:3].copy(), coverage=np.ones(3))
    few.counts[0] = 0
    few.counts[1] = 0
    few.counts[1, 40, 10] = 3
    few.coverage[2] = 0.2
    found = Refiner(config, table, RegionOffsets(np.zeros(7), np.zeros((7, 7)))).refine(few)
    assert not found.flag.any()
    assert not found.extinction_common_std.any()
    np.testing.assert_array_equal(found.extinction_median, few.estimate.extinction_median)


def test_a_table_is_read_as_it_was_written(config, table, tmp_path):
    with open(tmp_path / "table.npz", "wb") as stream:
        table.write(stream, config)
    again = RegionTable.read(tmp_path / "table.npz", config)
    assert again.baked == table.baked
    np.testing.assert_array_equal(again.at(L_DEG, B_DEG).counts, table.at(L_DEG, B_DEG).counts)
    with pytest.raises(DataError, match=f"a table of configuration {config.digest}, not"):
        RegionTable.read(tmp_path / "table.npz", config.replace(seed=2))
    (tmp_path / "other.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="no table of expected diagrams"):
        RegionTable.read(tmp_path / "other.npz", config)


def test_offsets_are_read_from_a_file(config, tmp_path):
    path = tmp_path / "offsets.json"
    path.write_text(
        '{"format": "extmap_tf offsets", "offsets": {"color_mag": {"value": 0.02, "error": 0.005}}}'
    )
    offsets = RegionOffsets.read(path, config.nuisances)
    assert offsets.mean.tolist() == [0.02, 0, 0, 0, 0, 0, 0]
    assert np.sqrt(np.diag(offsets.covariance))[[0, 1]] == pytest.approx(
        [0.005, config.nuisances.mag_sigma_mag]
    )
    assert offsets.text().startswith("colour +0.020 +- 0.005 mag, ")
    assert offsets.text().endswith("; given")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"offsets": {}}', "not a file of offsets"),
        (
            '{"format": "extmap_tf offsets", "offsets": {"size": {"value": 1, "error": 1}}}',
            "no offset 'size'",
        ),
        ('{"format": "extmap_tf offsets", "offsets": {"color_mag": {"value": 1, "error": -1}}}', "0 or more"),
        ('{"format": "extmap_tf offsets", "offsets": {"color_mag": 0.1}}', "damaged file of offsets"),
    ],
)
def test_wrong_offsets_are_refused(text, words, config, tmp_path):
    (tmp_path / "offsets.json").write_text(text)
    with pytest.raises((ConfigError, DataError), match=words):
        RegionOffsets.read(tmp_path / "offsets.json", config.nuisances)
