import numpy as np
import pytest
from scipy import stats

from extmap_tf.draws import normals, uniforms

DRAWS = (uniforms, normals)


def generator(seed=1):
    return np.random.Generator(np.random.SFC64(seed))


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 1001])
def test_any_number_of_them_is_drawn_in_single_precision(draw, n):
    found = draw(generator(), n)
    assert (found.shape, found.dtype) == ((n,), np.float32)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("source", [np.random.PCG64, np.random.SFC64])
def test_the_same_seed_gives_the_same_numbers_and_a_few_are_the_first_of_many(draw, source):
    many, again, few, other = (
        draw(np.random.Generator(source(seed)), n) for seed, n in ((1, 1000), (1, 1000), (1, 10), (2, 1000))
    )
    np.testing.assert_array_equal(many, again)
    np.testing.assert_array_equal(many[:10], few)
    assert np.mean(many == other) < 0.01


@pytest.mark.parametrize("draw", DRAWS)
def test_what_is_drawn_next_is_new(draw):
    rng = generator()
    first, second = draw(rng, 100_000), draw(rng, 100_000)
    # The correlation of independent numbers scatters by 1 / sqrt(n).
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(100_000)
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 5 / np.sqrt(100_000)


@pytest.mark.parametrize(
    ("draw", "distribution", "low", "high"),
    [(uniforms, stats.uniform(), 0.0, 1.0), (normals, stats.norm(), -4.34, 4.34)],
)
def test_they_follow_their_distribution_within_its_range(draw, distribution, low, high):
    n = 1_000_000
    found = draw(generator(), n).astype(float)
    assert low < found.min() < distribution.ppf(1e-4)
    assert distribution.ppf(1 - 1e-4) < found.max() < high
    for moment in (1, 2, 3, 4):
        scatter = np.sqrt((distribution.moment(2 * moment) - distribution.moment(moment) ** 2) / n)
        assert np.mean(found**moment) == pytest.approx(distribution.moment(moment), abs=5 * scatter + 1e-3)
    # The largest distance of the two distribution functions; steps of 1 / 65,536 are far below it.
    assert stats.kstest(found, distribution.cdf).statistic < 2.0 / np.sqrt(n)


def test_all_levels_of_normals_have_mean_zero_and_variance_one():
    # Each of the 65,536 quantiles is as likely as another.
    class EveryLevel:
        class bit_generator:
            @staticmethod
            def random_raw(n):
                return np.arange(2**16, dtype=np.uint16).view(np.uint64)[:n]

    found = normals(EveryLevel, 2**16).astype(float)
    assert found.mean() == pytest.approx(0.0, abs=1e-7)
    assert found.std() == pytest.approx(1.0, abs=1e-6)
    assert (np.diff(found) > 0).all()
