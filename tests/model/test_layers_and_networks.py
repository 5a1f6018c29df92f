from itertools import pairwise

import keras
import numpy as np
import pytest

from extmap_tf.extinction.profiles import draw_density
from extmap_tf.model.build import build_network, fill_tables, n_weights
from extmap_tf.model.distribution import N_QUANTILE, normal_distribution, summarize, to_density
from extmap_tf.model.facts import PairFacts
from extmap_tf.model.layers import ReferenceCmd
from extmap_tf.model.objective import ProfileLoss, ProfileScore, WarmupCosine

# The whole sky folds into one turn of longitude: the last node lies across l = 0.
NODES = (np.array([280.0, 285.0, 280.0, 285.0, 359.9]), np.array([-2.0, -2.0, 2.0, 2.0, 0.0]))


@pytest.fixture(scope="module")
def reference():
    layer = ReferenceCmd(5, (64, 64))
    layer.build()
    counts = np.random.default_rng(0).gamma(2.0, 2.0, (5, 64, 64)).astype(np.float32)
    layer.set_nodes(*NODES, counts)
    return layer, counts


def test_the_reference_is_exact_at_its_nodes(reference):
    layer, counts = reference
    found = np.asarray(layer(*(np.float32(x) for x in NODES)))
    np.testing.assert_allclose(found, np.log1p(counts), atol=2e-3)


def test_the_reference_between_nodes_lies_between_them_and_knows_that_longitude_turns(reference):
    layer, counts = reference
    half_way = np.asarray(layer(np.float32([282.5]), np.float32([0.0])))[0].mean()
    corners = np.log1p(counts[:4]).mean(axis=(1, 2))
    assert corners.min() - 0.02 < half_way < corners.max() + 0.02
    a, b = (np.asarray(layer(np.float32([l]), np.float32([0.0]))) for l in (0.1, 360.1))
    np.testing.assert_allclose(a, b, atol=1e-3)
    np.testing.assert_allclose(a[0], np.log1p(counts[4]), atol=0.05)


@pytest.fixture(scope="module")
def counts():
    return np.random.default_rng(1).poisson(0.7, (6, 64, 64)).astype(np.float32)


def built(config, preset):
    model = build_network(config.replace(**{"network.preset": preset}), 5, seed=1)
    reference = (*NODES, {"counts": np.ones((5, 64, 64), np.float32)})
    facts = PairFacts(reference, np.full(config.distance.n_distances, 0.1), {"counts": np.ones((64, 64))})
    fill_tables(model, facts)
    return model


def test_a_layer_that_nobody_knows_learns_from_the_pairs_too():
    class Peak(keras.layers.Layer):
        def learn_from(self, facts):
            self.peak = facts.mean_counts["counts"].max()

        def call(self, x):
            return x

    inputs = keras.Input((2,))
    model = keras.Model(inputs, Peak(name="peak")(inputs))
    fill_tables(model, PairFacts((np.zeros(0), np.zeros(0), {}), np.zeros(2), {"counts": np.arange(4.0)}))
    assert model.get_layer("peak").peak == 3.0


def test_cornu2022_is_the_published_network(tiny_config):
    model = built(tiny_config, "cornu2022")
    conv = 5 * 5 * 2 * 12 + 12
    dense = (32 * 32 * 12 + 1) * 3072 + (3072 + 1) * 3072 + (3072 + 1) * 2048 + (2048 + 1) * 128
    assert n_weights(model) == conv + dense == 53_748_452


@pytest.mark.parametrize("preset", ["dense", "cornu2022", "ensemble", "planes"])
def test_networks_give_a_profile_for_each_image_and_are_seeded(tiny_config, counts, preset):
    inputs = {"counts": counts, "l_deg": np.full(6, 284.0), "b_deg": np.full(6, -1.0)}
    inputs = {name: np.float32(value) for name, value in inputs.items()}
    first = np.asarray(built(tiny_config, preset)(inputs))
    n_distances = tiny_config.distance.n_distances
    one, ensemble = (6, n_distances), (6, N_QUANTILE, n_distances)
    expected = {"dense": (*one, 5 + 8), "cornu2022": one, "ensemble": ensemble, "planes": ensemble}
    assert first.shape == expected[preset]
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, np.asarray(built(tiny_config, preset)(inputs)))
    other = build_network(tiny_config.replace(**{"network.preset": preset}), 5, seed=2)
    assert (np.asarray(other(inputs)) != first).any()


def test_the_default_networks_density_cannot_be_negative_and_starts_at_the_mean(tiny_config, counts):
    model = built(tiny_config, "dense")
    inputs = {"counts": 100 * counts, "l_deg": np.full(6, 284.0), "b_deg": np.full(6, -1.0)}
    found = model({name: np.float32(value) for name, value in inputs.items()})
    summary = summarize(found, tiny_config.distance.step_kpc)
    assert summary["density_percentiles"].numpy().min() >= 0
    assert (np.diff(summary["extinction_percentiles"], axis=-1) >= 0).all()
    assert np.median(summary["density_median"]) == pytest.approx(0.1, rel=0.3)


@pytest.mark.parametrize("preset", ["dense", "cornu2022", "ensemble", "planes"])
def test_a_model_survives_its_file(tiny_config, counts, preset, tmp_path):
    model = built(tiny_config, preset)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    inputs = {"counts": counts, "l_deg": np.full(6, 284.0), "b_deg": np.full(6, -1.0)}
    inputs = {name: np.float32(value) for name, value in inputs.items()}
    np.testing.assert_array_equal(np.asarray(again(inputs)), np.asarray(model(inputs)))


def test_loss_and_metric_agree_with_their_formulas(tiny_config):
    rng = np.random.default_rng(2)
    step = tiny_config.distance.step_kpc
    truth, guess = (
        np.array(
            [draw_density(tiny_config.profiles, tiny_config.distance, 284.0, 0.0, rng) for _ in range(5)]
        )
        for _ in range(2)
    )
    a, a_guess = np.cumsum(truth, axis=1) * step, np.cumsum(guess, axis=1) * step
    expected = np.mean(np.abs(a_guess - a) / (a + 0.1), axis=1)
    level = truth.mean(axis=1) + 0.1 / tiny_config.distance.max_kpc
    expected += 0.2 * np.mean(np.abs(guess - truth), axis=1) / level
    assert float(ProfileLoss(step)(truth, guess)) == pytest.approx(expected.mean(), rel=1e-5)
    assert float(ProfileLoss(step)(truth, truth)) == 0.0


def test_the_score_is_the_crps_of_the_distribution(tiny_config):
    rng = np.random.default_rng(3)
    n, step = tiny_config.distance.n_distances, tiny_config.distance.step_kpc
    parameters = np.tile(np.float32([0.2, 0.0, 0.4, 0.1, 0.8, 0.3, 0.3]), (2000, n, 1))
    parameters[..., 1] = rng.normal(0, 0.5, (2000, n))
    normal = normal_distribution(parameters)
    truth = to_density(normal.sample(seed=[1, 2]), parameters).numpy()
    samples = to_density(normal.sample(100, seed=[3, 4]), parameters).numpy()
    expected = 0.0
    for weight, x, y in (
        (1.0, np.log(np.cumsum(samples, -1) * step + 0.1), np.log(np.cumsum(truth, -1) * step + 0.1)),
        (0.2, np.log1p(samples / 0.2), np.log1p(truth / 0.2)),
    ):
        # Without bias in the number of samples: x and its reverse are as good as independent pairs.
        pairs = np.abs(x[: len(x) // 2] - x[len(x) // 2 :]).mean()
        expected += weight * (np.abs(x - y).mean() - 0.5 * pairs)
    assert float(ProfileScore(step)(truth, parameters)) == pytest.approx(expected, rel=0.02)
    for changed, columns in ((2, [2, 5, 6]), (0.5, [2, 5, 6]), (-10, [3])):
        other = parameters.copy()
        other[..., columns] *= changed
        assert float(ProfileScore(step)(truth, other)) > expected


def test_learning_rate_rises_then_falls_to_a_hundredth():
    schedule = WarmupCosine(1e-3, 10, 100)
    rates = [float(schedule(step)) for step in range(101)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[10] == max(rates) == pytest.approx(1e-3)
    assert rates[100] == pytest.approx(1e-5)
    assert all(a >= b for a, b in pairwise(rates[10:]))
