r"""The distribution over whole profiles that a network's output stands for.

The increments of a profile are tied together: dust that is not in front of a star must be behind it. The
differential extinction in bin i is

.. math::

    \rho_i = s_i \,\mathrm{softplus}(z_i), \qquad
    z_i = \mu_i + \tau_i S_i(y_i / \tau_i), \qquad
    y \sim N\!\left(0,\ \mathrm{diag}(\sigma^2) + U U^T\right),

with s the mean density of the training profiles, mu, sigma and the low-rank factor U [n_distances, rank]
from the network, and tau_i the standard deviation of y_i. Densities cannot be negative, so the cumulative
extinction never falls, in any sample. The sinh-arcsinh transformation (Jones & Pewsey 2009, Biometrika 96,
761)

.. math:: S(x) = \frac{2 \sinh[(\mathrm{arsinh}\,x + e)\, t]}{\sinh(t\, \mathrm{arsinh}\,2)}

gives z the skewness e and the tail weight t, two functions of distance that are fitted after the training
(`extmap_tf.model.spread`); until then e = 0 and t = 1, and z is normal.

The density in one bin is a monotonic function of one normal number: its quantiles have a closed form, and
its mean and variance are integrals over that number. The mean of the cumulative extinction is the sum of
theirs, but its spread and quantiles have no closed form. They are taken over `N_QUANTILE` profiles made from
one fixed set of quasi-random normal numbers, the same for every sightline, so that an answer depends on its
diagram alone and not on its place in a batch.

`profile_distribution` is this definition in TensorFlow Probability, for what is not hot: probabilities, and
the tests, which hold the functions below to it. What is hot (the score, quantiles, samples) takes
`to_density`, the same function in operations that are fast on a CPU: a sixth of the time for densities, two
thirds for the score with its gradient. Quantiles over fixed noise, and samples that follow from a seed and a
position, have no counterpart there.
"""

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from scipy.special import ndtri

from extmap_tf.estimate import PERCENTILES
from extmap_tf.model.order import in_blocks, percentiles_of

if TYPE_CHECKING:
    import tensorflow_probability as tfp

N_QUANTILE = 256
"""Profiles behind the quantiles of a sightline."""

N_OWN = 5
"""Parameters of a bin before its row of U: s, mu, sigma, e and t."""

_NODES = 32


def normal_distribution(parameters: tf.Tensor) -> "tfp.distributions.Distribution":
    """The distribution of y.

    Parameters
    ----------
    parameters : tf.Tensor [batch, n_distances, 5 + rank]
        From `extmap_tf.model.layers.ProfileParameters`: s, mu, sigma, e, t and U.

    Returns
    -------
    tensorflow_probability.distributions.Distribution
        Of vectors [n_distances], with batch shape [batch].
    """
    import tensorflow_probability as tfp

    _, loc, sigma, _, _, factor = _parts(parameters)
    return tfp.distributions.MultivariateNormalDiagPlusLowRankCovariance(
        loc=tf.zeros_like(loc), cov_diag_factor=tf.square(sigma), cov_perturb_factor=factor
    )


def profile_distribution(parameters: tf.Tensor) -> "tfp.distributions.TransformedDistribution":
    """The distribution of the profiles rho, mag / kpc, as the module defines it.

    Parameters
    ----------
    parameters : tf.Tensor [batch, n_distances, 5 + rank]

    Returns
    -------
    tensorflow_probability.distributions.TransformedDistribution
        Of vectors [n_distances], with batch shape [batch].
    """
    import tensorflow_probability as tfp

    tfb = tfp.bijectors
    scale, loc, _, skewness, tail, _ = _parts(parameters)
    tau = _deviation(parameters)
    bijectors = (
        tfb.Scale(scale),
        tfb.Softplus(),
        tfb.Shift(loc),
        tfb.Scale(tau),
        tfb.SinhArcsinh(skewness, tail),
        tfb.Scale(1.0 / tau),
    )
    return tfp.distributions.TransformedDistribution(normal_distribution(parameters), tfb.Chain(bijectors))


def to_density(y: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
    """The profiles rho, mag / kpc [..., batch, n_distances], of y [..., batch, n_distances]."""
    scale, loc, _, skewness, tail, _ = _parts(parameters)
    tau = _deviation(parameters)
    return scale * tf.nn.softplus(loc + tau * _bent(y / tau, skewness, tail))


def profiles_from_noise(parameters: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Profiles from given standard normal numbers: if these are random, y follows `normal_distribution`.

    Parameters
    ----------
    parameters : tf.Tensor [batch, n_distances, 5 + rank]
    noise : tf.Tensor [batch or 1, n_samples, n_distances + rank]

    Returns
    -------
    tf.Tensor [batch, n_samples, n_distances]
        Density, mag / kpc.
    """
    _, _, sigma, _, _, factor = _parts(parameters)
    n_distances = parameters.shape[1]
    own, shared = noise[..., :n_distances], noise[..., n_distances:]
    shared = tf.broadcast_to(shared, tf.concat([tf.shape(parameters)[:1], tf.shape(shared)[1:]], 0))
    # [batch, samples, rank] x [batch, rank, distances]
    y = sigma[:, None] * own + tf.matmul(shared, factor, transpose_b=True)
    return to_density(y, parameters[:, None])


def quantile_noise(width: int) -> tf.Tensor:
    """The fixed quasi-random normal numbers behind all quantiles: tf.Tensor [1, `N_QUANTILE`, width]."""
    from scipy.stats import qmc

    normal = qmc.MultivariateNormalQMC(np.zeros(width), rng=np.random.default_rng(0))
    return tf.constant(normal.random(N_QUANTILE)[None], tf.float32)


def summarize(parameters: tf.Tensor, step_kpc: float) -> dict[str, tf.Tensor]:
    """What the distribution says of the density and of the cumulative extinction, sightline by sightline.

    Parameters
    ----------
    parameters : tf.Tensor [batch, n_distances, 5 + rank]
    step_kpc : float

    Returns
    -------
    dict of str to tf.Tensor
        For ``density`` (mag / kpc in the bins) and ``extinction`` (cumulative, mag, at the outer edges):
        ``_median``, ``_mean``, ``_std`` [batch, n_distances] and ``_percentiles`` [batch, n_percentiles,
        n_distances], those of `extmap_tf.estimate.PERCENTILES`.
    """
    n_distances, width = parameters.shape[1:]
    noise = quantile_noise(n_distances + width - N_OWN)
    density = _density_in_one_bin(parameters)

    def column(some):
        cumulative = tf.cumsum(profiles_from_noise(some, noise), axis=-1) * step_kpc
        return tf.math.reduce_std(cumulative, axis=1), percentiles_of(cumulative)

    shapes = [n_distances], [len(PERCENTILES), n_distances]
    extinction = (tf.cumsum(density[0], axis=-1) * step_kpc, *in_blocks(column, parameters, shapes))
    return named("density", *density) | named("extinction", *extinction)


def named(quantity: str, mean: tf.Tensor, std: tf.Tensor, percentiles: tf.Tensor) -> dict[str, tf.Tensor]:
    """What is known of a quantity, by the names of a `summarize`; its median is among the percentiles."""
    median = percentiles[:, PERCENTILES.index(50.0)]
    values = {"median": median, "mean": mean, "std": std, "percentiles": percentiles}
    return {f"{quantity}_{name}": value for name, value in values.items()}


def draw_profiles(
    parameters: tf.Tensor, n_samples: int, seed: tf.Tensor, l_deg: tf.Tensor, b_deg: tf.Tensor
) -> tf.Tensor:
    """Whole profiles; those of a sightline follow from the seed and its position, whatever the batch.

    Parameters
    ----------
    parameters : tf.Tensor [batch, n_distances, 5 + rank]
    n_samples : int
    seed : tf.Tensor of int32, scalar
    l_deg, b_deg : tf.Tensor [batch]

    Returns
    -------
    tf.Tensor [batch, n_samples, n_distances]
        Density, mag / kpc.
    """
    width = parameters.shape[1] + parameters.shape[2] - N_OWN

    def normal(place):
        return tf.random.stateless_normal([n_samples, width], seed=tf.stack([seed, place]))

    places, spec = seeds_of_places(l_deg, b_deg), tf.TensorSpec([n_samples, width], tf.float32)
    return profiles_from_noise(parameters, tf.map_fn(normal, places, fn_output_signature=spec))


def seeds_of_places(l_deg: tf.Tensor, b_deg: tf.Tensor) -> tf.Tensor:
    """A number of int32 for each position [batch] of float32, hardly ever the same for two."""
    l_bits, b_bits = (tf.bitcast(angle, tf.int32) for angle in (l_deg, b_deg))
    return tf.bitwise.bitwise_xor(l_bits, tf.bitwise.right_shift(b_bits, 3))


def summarize_point(density: tf.Tensor, step_kpc: float) -> dict[str, tf.Tensor]:
    """The medians of `summarize` for a network that gives one profile, which is all that is known."""
    return {"density_median": density, "extinction_median": tf.cumsum(density, axis=-1) * step_kpc}


def _parts(parameters):
    return *(parameters[..., i] for i in range(N_OWN)), parameters[..., N_OWN:]


def _deviation(parameters):
    """tau [..., n_distances]."""
    _, _, sigma, _, _, factor = _parts(parameters)
    return tf.sqrt(tf.square(sigma) + tf.reduce_sum(tf.square(factor), axis=-1))


def _bent(x, skewness, tail):
    """S(x) in functions that are fast on a CPU: a ninth of the time of asinh and sinh."""
    root = tf.exp(tail * (tf.math.log(x + tf.sqrt(tf.square(x) + 1.0)) + skewness))
    return (root - 1.0 / root) / tf.sinh(tail * np.float32(np.arcsinh(2.0)))


def _density_in_one_bin(parameters):
    """Mean, standard deviation [batch, n_distances] and percentiles of the density, bin by bin."""
    tau = _deviation(parameters)[:, None]

    def at(x):
        return to_density(tf.constant(x, tf.float32)[:, None] * tau, parameters[:, None])

    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = tf.constant(weights / weights.sum(), tf.float32)[:, None]
    values = at(nodes)
    mean = tf.reduce_sum(weights * values, axis=1)
    variance = tf.reduce_sum(weights * tf.square(values - mean[:, None]), axis=1)
    return mean, tf.sqrt(variance), at(ndtri(np.array(PERCENTILES) / 100.0))
