import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from extmap_tf.extinction.profiles import density_to_cumulative, draw_densities
from extmap_tf.fit.prior import FitPrior, options_left_out
from extmap_tf.settings.config import Config
from extmap_tf.settings.profiles import ProfilePrior


@pytest.fixture(scope="module")
def config():
    return Config.named("carina")


@pytest.fixture(scope="module")
def prior(config):
    return FitPrior(config.distance, config.profiles, config.nuisances)


def test_a_fit_names_the_options_of_the_training_prior_that_it_does_not_have(config):
    assert options_left_out(ProfilePrior()) == ()
    assert options_left_out(dataclasses.replace(ProfilePrior(), wall_share=0.2)) == ()
    assert options_left_out(config.profiles) == ("patchy_layers",)


@pytest.mark.parametrize("place", [(280.0, 0.0), (300.0, 3.5)])
def test_standard_normal_parameters_are_the_training_prior_of_discs_and_walls(prior, config, place):
    n, step_kpc = 3000, config.distance.step_kpc
    theta = tf.random.stateless_normal([n, prior.n_parameters], [1, 2])
    found = prior.physical(theta, prior.way(*place))
    ours = density_to_cumulative(found.density.numpy(), step_kpc)
    # One cloud stands for all: of profiles with one, that is the whole prior.
    one = dataclasses.replace(config.profiles, clouds_mean=0.2)
    rng = np.random.default_rng(1)
    theirs = density_to_cumulative(
        draw_densities(one, config.distance, *place, [rng] * n).astype(float), step_kpc
    )
    few = FitPrior(config.distance, one, config.nuisances)
    ours = density_to_cumulative(few.physical(theta, few.way(*place)).density.numpy(), step_kpc)
    for k in (9, 29, 59):
        shares = [np.quantile(a[:, k] / a[:, -1], (0.25, 0.5, 0.75)) for a in (ours, theirs)]
        np.testing.assert_allclose(*shares, atol=0.06)
    np.testing.assert_allclose(
        np.quantile(found.patchiness.numpy(), (0.25, 0.5, 0.75)), np.array([0.25, 0.5, 0.75]) ** 2, atol=0.03
    )


def test_a_fit_may_begin_at_thin_walls(prior, config):
    starts = prior.starts(1)
    density = prior.physical(starts, prior.way(280.0, 0.0)).density.numpy()
    shares = density / density.sum(axis=1, keepdims=True)
    walls = shares[-64:]
    assert np.isfinite(density).all()
    near = np.argmax(walls, axis=1)[:, None] + np.arange(-2, 3)
    held = np.take_along_axis(walls, np.clip(near, 0, walls.shape[1] - 1), axis=1).sum(axis=1)
    assert np.median(held) > 0.8
