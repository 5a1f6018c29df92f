import numpy as np
import pytest
import tensorflow as tf

from extmap_tf.estimate import PERCENTILES
from extmap_tf.model.distribution import N_QUANTILE
from extmap_tf.model.order import in_blocks, percentiles_of, ranked


@pytest.mark.parametrize("n_members", [2, 16, N_QUANTILE])
def test_percentiles_are_those_of_sorted_members(n_members):
    rng = np.random.default_rng(1)
    ensembles = rng.lognormal(size=(5, n_members, 7)).astype(np.float32)
    # Equal members, and an order that is already there or the other way round.
    ensembles[1] = np.round(ensembles[1])
    ensembles[2], ensembles[3] = np.sort(ensembles[2], axis=0), -np.sort(ensembles[3], axis=0)
    found = percentiles_of(tf.constant(ensembles))
    expected = np.percentile(ensembles.astype(float), PERCENTILES, axis=1, method="hazen")
    np.testing.assert_allclose(found, np.moveaxis(expected, 0, 1), rtol=1e-6)


def test_every_rank_can_be_asked_for():
    members = np.random.default_rng(2).permuted(np.tile(np.arange(32.0), (50, 1)), axis=1).T
    found = ranked(tf.constant(members, tf.float32), tuple(range(32)))
    np.testing.assert_array_equal(np.concatenate(found), np.sort(members, axis=0))


def test_a_member_that_is_no_number_harms_its_column_alone():
    members = np.random.default_rng(3).normal(size=(16, 3)).astype(np.float32)
    members[5, 1] = np.nan
    (found,) = ranked(tf.constant(members), (4,))
    np.testing.assert_array_equal(found[0, ::2], np.sort(members, axis=0)[4, ::2])


@pytest.mark.parametrize("n", [0, 1, 32, 70])
def test_blocks_of_rows_give_what_all_rows_give(n):
    rows = np.random.default_rng(4).normal(size=(n, 3)).astype(np.float32)
    traced = tf.function(lambda rows: in_blocks(lambda x: (2 * x, tf.exp(x[:, :2])), rows, ([3], [2])))
    found = traced(tf.constant(rows))
    np.testing.assert_array_equal(found[0], 2 * rows)
    np.testing.assert_allclose(found[1], np.exp(rows[:, :2]), rtol=1e-6)
