import keras
import numpy as np
import pytest
import tensorflow as tf

from extmap_tf.estimate import PERCENTILES
from extmap_tf.evaluation.walls import wall_density
from extmap_tf.evaluation.windows import crps_of_samples, window_scores
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.model import generator as generators
from extmap_tf.model.distribution import N_QUANTILE
from extmap_tf.model.facts import PairFacts
from extmap_tf.model.generator import ProfileGenerator, WholeProfileScore
from extmap_tf.model.heads import EnsembleHead
from extmap_tf.model.objective import crps_by_neighbours

STEP_KPC, N = 0.1, 50
GRID = DistanceGrid(STEP_KPC, N)


def facts(mean_density):
    return PairFacts((np.zeros(0), np.zeros(0), {}), mean_density, {})


def noise_of(generator, n_samples, seed=1, rows=1):
    shape = [rows, n_samples, generator.n_distances + generator.n_noise]
    return tf.random.stateless_normal(shape, [seed, 0])


@pytest.fixture(scope="module")
def truth():
    """Features that tell a wall's place to 0.3 kpc and its height to a tenth, and the walls."""
    rng = np.random.default_rng(1)
    mag, kpc = rng.uniform(0.3, 2.0, 2000), rng.uniform(1.0, 4.0, 2000)
    density = np.array([wall_density(*wall, GRID) for wall in zip(mag, kpc, strict=True)]) + 0.05
    told = [mag * rng.lognormal(0.0, 0.1, 2000), kpc + rng.normal(0.0, 0.3, 2000)]
    return np.stack(told, axis=1).astype(np.float32), density.astype(np.float32)


@pytest.fixture(scope="module")
def trained(truth):
    """A generator behind one hidden layer, trained for some seconds."""
    keras.utils.set_random_seed(1)
    features, density = truth
    inputs = keras.Input((2,))
    hidden = keras.layers.Dense(64, activation="relu")(inputs)
    generator = ProfileGenerator(N, width=64, n_noise=4)
    model = keras.Model(inputs, generator(hidden))
    generator.learn_from(facts(density.mean(axis=0)))
    model.compile(keras.optimizers.Adam(3e-3), WholeProfileScore(STEP_KPC))
    model.fit(features[:1600], density[:1600], batch_size=64, epochs=20, verbose=0)
    return model, generator, keras.Model(inputs, hidden)


def test_a_fresh_generator_gives_the_mean_profile():
    generator = ProfileGenerator(N, width=32, n_noise=4)
    features = tf.random.stateless_normal([3, 8], [1, 2])
    generator(features)
    mean = np.linspace(0.2, 0.01, N)
    generator.learn_from(facts(mean))
    for training, n_samples in ((True, generators.N_SCORE), (False, N_QUANTILE)):
        profiles = generator(features, training=training).numpy()
        assert profiles.shape == (3, n_samples, N)
        np.testing.assert_allclose(np.median(profiles, axis=(0, 1)), mean, rtol=0.25)
        np.testing.assert_array_equal(generator(features, training=training), profiles)


def test_samples_find_the_wall_and_hang_together(trained, truth):
    _, generator, body = trained
    features, density = truth
    hidden = body(features[1600:])
    samples = generator.profiles(hidden, noise_of(generator, 64)).numpy()
    for row in window_scores(samples, density[1600:], STEP_KPC, (0.5, 1.0, 2.0)):
        assert 0.5 < row.coverage_68 < 0.95
        assert row.crps_mag < 0.7 * row.mean_truth_mag
    # Single samples are walls: half of the dust in three bins, at different places.
    share = samples / samples.sum(axis=-1, keepdims=True)
    peak = np.lib.stride_tricks.sliding_window_view(share, 3, axis=-1).sum(axis=-1).max(axis=-1)
    assert np.median(peak) > 0.35
    assert np.std(samples[0].argmax(axis=-1)) > 0.5


def test_percentiles_are_the_ensembles_and_do_not_depend_on_the_batch(trained, truth):
    model, _, _ = trained
    profiles = model(truth[0][:40])
    told = {name: value.numpy() for name, value in generators.summarize(profiles, STEP_KPC).items()}
    assert told["extinction_percentiles"].shape == (40, len(PERCENTILES), N)
    assert (np.diff(told["extinction_percentiles"], axis=1) >= 0).all()
    assert (np.diff(told["extinction_median"], axis=1) >= 0).all()
    alone = generators.summarize(model(truth[0][7:8]), STEP_KPC)
    for name, value in told.items():
        np.testing.assert_allclose(alone[name][0], value[7], rtol=2e-4, atol=1e-6)
    cumulative = np.cumsum(profiles, axis=-1) * STEP_KPC
    np.testing.assert_allclose(told["extinction_median"], np.median(cumulative, axis=1), rtol=1e-3)
    np.testing.assert_allclose(told["extinction_mean"], cumulative.mean(axis=1), rtol=1e-3)


def test_samples_are_members_and_follow_from_seed_and_place(trained, truth):
    profiles = trained[0](truth[0][:3])
    l_deg, b_deg = tf.constant([280.0, 281.0, 280.0]), tf.constant([1.0, 1.0, -1.0])
    drawn = generators.sample(profiles, 8, tf.constant(5), l_deg, b_deg).numpy()
    assert drawn.shape == (3, 8, N)
    alone = generators.sample(profiles[1:2], 8, tf.constant(5), l_deg[1:2], b_deg[1:2]).numpy()
    np.testing.assert_array_equal(alone[0], drawn[1])
    assert (generators.sample(profiles, 8, tf.constant(6), l_deg, b_deg).numpy() != drawn).any()
    everything = generators.sample(profiles, N_QUANTILE, tf.constant(5), l_deg, b_deg).numpy()
    np.testing.assert_allclose(everything.sum(axis=1), profiles.numpy().sum(axis=1), rtol=1e-4)


def test_calibration_mends_what_is_too_sure_and_too_low(trained, truth):
    _, generator, body = trained
    features, density = truth
    hidden = body(features[1600:]).numpy()
    # As if the network stated too much dust, too surely.
    generator.adjustment.assign(np.zeros((3, N)))
    wrong = WholeProfileScore(STEP_KPC)(
        density[1600:] * 0.7, generator.profiles(hidden, noise_of(generator, 16))
    )
    generators.calibrate(generator, hidden, density[1600:] * 0.7, STEP_KPC)
    mended = WholeProfileScore(STEP_KPC)(
        density[1600:] * 0.7, generator.profiles(hidden, noise_of(generator, 16))
    )
    assert float(mended) < 0.9 * float(wrong)
    assert generator.adjustment.numpy()[0].mean() == pytest.approx(np.log(0.7), abs=0.12)
    generator.adjustment.assign(np.zeros((3, N)))


def test_a_model_is_saved_and_loaded(trained, truth, tmp_path):
    model, _, _ = trained
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(truth[0][:5]), model(truth[0][:5]), rtol=1e-5)


def test_the_score_is_least_for_the_truth():
    rng = np.random.default_rng(2)
    level = rng.gamma(2.0, 0.1, (4000, 9, 1))
    drawn = (level * rng.gamma(3.0, 0.3, (4000, 9, N))).astype(np.float32)
    truth, samples = drawn[:, 0], drawn[:, 1:]
    score = WholeProfileScore(STEP_KPC)
    best = float(score(truth, samples))
    # The right distribution in each bin, but bins that do not know of each other.
    apart = rng.permuted(samples, axis=1)
    assert best < float(score(truth, apart)) - 0.005
    assert best < float(score(truth, 1.2 * samples)) - 0.002


def test_a_head_of_whole_profiles_has_all_that_a_head_answers(truth):
    head = EnsembleHead(GRID, width=32, n_noise=4)
    inputs = keras.Input((2,))
    model = keras.Model(inputs, head.build(keras.layers.Dense(16, activation="relu")(inputs)))
    features, density = (part[:256] for part in truth)
    model.get_layer("profile").learn_from(facts(density.mean(axis=0)))
    model.compile(keras.optimizers.Adam(3e-3), head.loss())
    batches = tf.data.Dataset.from_tensor_slices((features, density)).batch(64)
    model.fit(batches, epochs=1, shuffle=False, verbose=0)
    told = []
    fitted = head.calibrate(model, batches, told.append)
    assert told == ["calibrating the profiles on 256 pairs"]
    assert set(fitted) == {"shift", "ln_sigma_factor", "ln_noise_factor"}
    output = model(features[:5])
    assert head.summarize(output)["extinction_median"].shape == (5, N)
    drawn = head.sample(output, 8, tf.constant(1), tf.zeros(5), tf.zeros(5))
    assert drawn.shape == (5, 8, N)


@pytest.mark.parametrize("axis", [0, 1])
def test_the_score_by_neighbours_is_that_of_all_pairs_on_average(axis):
    rng = np.random.default_rng(4)
    samples, truth = rng.normal(size=(3000, 4)), rng.normal(0.5, 1.0, 3000)
    exact = crps_of_samples(samples, truth)
    shown = tf.constant(samples if axis else samples.T), tf.constant(np.expand_dims(truth, axis))
    found = crps_by_neighbours(*shown, axis=axis).numpy()
    assert found.shape == exact.shape
    assert found.mean() == pytest.approx(exact.mean(), abs=0.01)
    assert crps_by_neighbours(tf.ones([4, 1]), tf.zeros([1]), axis=0).numpy() == pytest.approx([1.0])
