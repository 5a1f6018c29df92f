"""The training prior of profiles as a Gaussian of the parameters of `extmap_tf.fit.tree`."""

from dataclasses import dataclass

import numpy as np

from extmap_tf.extinction.profiles import draw_densities
from extmap_tf.fit.tree import ProfileTree
from extmap_tf.mocks.seeds import FIT, position_words
from extmap_tf.settings.config import Config

# Enough that the smallest eigenvalues of a covariance of 100 distances mean something.
_N_DRAWS = 2000
_AT_ONCE = 250
# Less dust than this in mag / kpc is as good as none: 0.03 mag on 10 kpc.
_LEAST_DENSITY = 0.003
# Beside what the draws say, every parameter is uncertain by this.
_LEAST_SIGMA = 0.2


@dataclass(frozen=True, eq=False)
class ProfilePriorAt:
    """The mean [n] and the precision [n, n] of the parameters of a profile, at one place."""

    mean: np.ndarray
    precision: np.ndarray


def profile_prior(config: Config, l_deg: float, b_deg: float) -> ProfilePriorAt:
    """The Gaussian of the moments of the training profiles at a place; always the same."""
    words = position_words(l_deg, b_deg)
    tree, parts = ProfileTree(config.distance.n_distances, config.profiles), []
    for part in range(_N_DRAWS // _AT_ONCE):
        rngs = [
            np.random.Generator(np.random.SFC64([config.seed, FIT, *words, part, i])) for i in range(_AT_ONCE)
        ]
        density = draw_densities(config.profiles, config.distance, l_deg, b_deg, rngs)
        parts.append(tree.of_increments((density + _LEAST_DENSITY) * config.distance.step_kpc))
    draws = np.concatenate(parts)
    covariance = np.cov(draws.T) + _LEAST_SIGMA**2 * np.eye(draws.shape[1])
    return ProfilePriorAt(draws.mean(axis=0), np.linalg.inv(covariance))
