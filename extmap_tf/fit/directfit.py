r"""The direct fit: a CMD's extinction profile by the exact forward model, without a network.

The expected CMD of a field is a sum over shells of distance, each dimmed by its own extinction,

.. math:: \mu_p = c \sum_k \sum_q w_q \, T_{kp}\big(A_k\, e^{s \xi_q - s^2 / 2}\big) + \epsilon,

with T from `extmap_tf.fit.expected_cmd`, linear between its extinctions, A_k the cumulative extinction at
the middle of bin k, c a factor on the star counts and s the patchiness: the log-normal spread of columns over
the field. It is fitted to the counts n_p by minimising

.. math:: \sum_p (\mu_p - n_p \ln \mu_p) + \tfrac12 |\theta|^2,

the Poisson likelihood and the prior. The parameters theta are standard normal under the training prior
(`extmap_tf.extinction.profiles`): the modes of the Gaussian random field, and for the total extinction, the
spectral index, the log-density's standard deviation, the scale height and the patchiness the normal quantiles
of their ranges, as of the length and the warp of a disc. Where the training has walls, one cloud stands
beside the field: its share of the total has the prior of all clouds', its place that of a wall's. Other
clouds, and all where there are no walls, are left to the field. Dust has one patchiness, where training may
have two layers of their own.
The prior of c is log-normal, with ``nuisances.count_sigma``.

The other nuisances of a pair (`extmap_tf.settings.nuisances.NuisanceConfig`) are not fitted but taken to be
zero: offsets of colour and magnitude, of the depth that is left after crowding, and of the law, factors on
the numbers of luminous and of distant stars. Where they are not zero the errors that a fit states are too
small.

The minimum is found by Fisher scoring with Levenberg's damping, from coarse to fine pixels; it is the
estimate. Its errors are those of the curvature there (Laplace's approximation), carried on to the logarithms
of density and extinction to first order: every percentile is that of a log-normal distribution around the
estimate. They know of nothing but this one minimum.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike
from scipy.special import ndtri

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import PERCENTILES, ProfileEstimate
from extmap_tf.fit.blocks import block_of, summed
from extmap_tf.fit.prior import AT_ONCE, FitPrior
from extmap_tf.settings.config import Config

if TYPE_CHECKING:
    from extmap_tf.fit.expected_cmd import ExpectedCmd

# Expected stars per pixel that no model has: without them a single stray star in a pixel where none is
# expected would outweigh all the others.
BACKGROUND = 1e-3

# The fit goes from coarse pixels and a high background to the CMD as it is: pixels per block along each axis,
# background per block, share of the iterations. Far from the solution most stars lie where none is expected,
# and the likelihood of single pixels is steep and full of minima; coarse ones also cost next to nothing.
_STAGES = ((4, 1.0, 0.5), (2, 0.1, 0.2), (1, BACKGROUND, 0.3))

# Nodes of the log-normal spread of columns, in standard deviations: the trapezoidal rule, which for a
# Gaussian is exact to many digits.
_PATCH_NODES = np.arange(-3.4, 3.41, 0.2)

_FIRST_DAMPING, _MIN_DAMPING, _MAX_DAMPING = 1.0, 1e-4, 1e8

# The coarsest stage begins at the best few of many draws of the prior. Twelve in place of four found a better
# minimum for 2 of 24 `carina` fields behind more than 0.9 mag, in 2.6 times the time.
_N_STARTS = 4


class _Sky(NamedTuple):
    """A sightline at one size of pixels: its way through the disc [4, n], and the table of expected stars."""

    way: tf.Tensor
    extinction_mag: tf.Tensor
    counts: tf.Tensor
    background: tf.Tensor


class Sightline(NamedTuple):
    """What a fit knows of a sightline; made by `DirectFit.prepare`.

    Parameters
    ----------
    skies : tuple
        From coarse to fine pixels.
    blocks : tuple of ndarray of int
        Which coarse pixel each pixel is in.
    pixels : ndarray of int
        The flat pixels that any star can reach.
    starts : tf.Tensor [n_starts, n_coarse]
        Coarse CMDs of the profiles that a fit may begin with.
    """

    skies: tuple[Any, ...]
    blocks: tuple[np.ndarray, ...]
    pixels: np.ndarray
    starts: tf.Tensor


@dataclass(frozen=True, eq=False)
class FittedCmds:
    """What a fit made of some CMDs.

    Parameters
    ----------
    profiles : ProfileEstimate [n]
        In A(red); no flag is set.
    patchiness, count_scale, deviance : ndarray [n]
    expected : ndarray [n, n_mag, n_color]
        The fitted CMDs, stars per pixel.
    """

    profiles: ProfileEstimate
    patchiness: np.ndarray
    count_scale: np.ndarray
    deviance: np.ndarray
    expected: np.ndarray

    def __getitem__(self, rows: Any) -> Self:
        return type(self)(*(getattr(self, spec.name)[rows] for spec in fields(self)))

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Several one after the other."""
        arrays = {
            spec.name: np.concatenate([getattr(part, spec.name) for part in parts])
            for spec in fields(cls)
            if spec.name != "profiles"
        }
        return cls(ProfileEstimate.concatenate([part.profiles for part in parts]), **arrays)


class DirectFit:
    """Fits CMDs, sightline by sightline.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
        Of the CMDs; its prior is that of the fit.
    n_iterations : int
        Steps of the minimisation, those that were refused included.
    seed : int
        Of the draws of the prior that the fit begins with.
    """

    def __init__(self, config: Config, n_iterations: int = 40, seed: int = 1) -> None:
        if n_iterations < 1:
            raise ConfigError(f"a fit needs 1 or more iterations, got: {n_iterations}")
        self._config, self._diagram, self._n_iterations = config, config.diagrams[0], n_iterations
        n = self._n = config.distance.n_distances
        self.prior = FitPrior(config.distance, config.profiles, config.nuisances)
        self._draws = self.prior.starts(seed)
        nodes = _PATCH_NODES if config.profiles.patchiness_max else np.zeros(1)
        weights = np.exp(-0.5 * nodes**2)
        self._nodes = tf.constant(nodes, tf.float32)
        self._weights = tf.constant(weights / weights.sum(), tf.float32)
        # One trace each, whatever the sightline and the number of CMDs.
        parameters = tf.TensorSpec([None, self.prior.n_parameters], tf.float32)
        sky = _Sky(
            way=tf.TensorSpec([4, n], tf.float32),
            extinction_mag=tf.TensorSpec([None], tf.float32),
            counts=tf.TensorSpec([n + 1, None, None], tf.float32),
            background=tf.TensorSpec([], tf.float32),
        )
        images, numbers = tf.TensorSpec([None, None], tf.float32), tf.TensorSpec([None], tf.float32)
        matrices = tf.TensorSpec([None, self.prior.n_parameters, self.prior.n_parameters], tf.float64)
        for name, takes in (
            ("_mean", [parameters, sky]),
            ("_trial", [parameters, images, sky]),
            ("_propose", [parameters, parameters, matrices, numbers]),
            ("_answer", [parameters, matrices, sky]),
        ):
            setattr(self, name, tf.function(getattr(self, name), autograph=False, input_signature=takes))

    def prepare(self, table: "ExpectedCmd") -> Sightline:
        """What `fit` needs to know of a sightline.

        Parameters
        ----------
        table : extmap_tf.fit.expected_cmd.ExpectedCmd

        Returns
        -------
        Sightline
        """
        way = self.prior.way(table.l_deg, table.b_deg)
        skies, blocks = [], []
        for size, background, _ in _STAGES:
            blocks.append(block_of(table.pixels, self._diagram, size))
            skies.append(
                _Sky(
                    way,
                    tf.constant(table.extinction_mag),
                    tf.constant(summed(table.counts, blocks[-1])),
                    tf.constant(background),
                )
            )
        starts = [self._mean(part, skies[0]) for part in tf.split(self._draws, len(self._draws) // AT_ONCE)]
        return Sightline(tuple(skies), tuple(blocks), table.pixels, tf.concat(starts, axis=0))

    def fit(self, counts: ArrayLike, sightline: Sightline) -> FittedCmds:
        """Fit some CMDs of a sightline, all at once.

        Parameters
        ----------
        counts : array_like [batch, n_mag, n_color]
        sightline : Sightline
            Of `prepare`.

        Returns
        -------
        FittedCmds [batch]

        Raises
        ------
        DataError
            The counts do not have the grid's shape or are negative.
        """
        counts = np.asarray(counts, np.float32)
        shape = self._diagram.shape
        if counts.ndim != 3 or counts.shape[1:] != shape or not (counts >= 0).all():
            raise DataError(
                f"counts must be [batch, {shape[0]}, {shape[1]}] and not negative, got: {counts.shape}"
            )
        flat = counts.reshape(len(counts), -1)[:, sightline.pixels]
        theta = self._begin(tf.constant(summed(flat, sightline.blocks[0])), sightline.starts)
        for i, (_, _, share) in enumerate(_STAGES):
            observed = tf.constant(summed(flat, sightline.blocks[i]))
            n_iterations = max(1, round(share * self._n_iterations))
            if i == 0:
                theta = self._best_of(theta, observed, sightline.skies[0], n_iterations)
            else:
                _, theta, fisher = self._minimise(theta, observed, sightline.skies[i], n_iterations)
        answer = self._answer(theta, fisher, sightline.skies[-1])
        answer = {name: value.numpy() for name, value in answer.items()}
        flat_expected = np.full((len(counts), self._diagram.n_pixels), BACKGROUND, np.float32)
        flat_expected[:, sightline.pixels] = answer.pop("expected")
        expected = flat_expected.reshape(counts.shape)
        about = {name: answer.pop(name) for name in ("patchiness", "count_scale")}
        profiles = ProfileEstimate(**answer, flag=np.zeros(len(counts), np.uint8))
        return FittedCmds(profiles, expected=expected, deviance=_deviance(counts, expected), **about)

    def _begin(self, observed, starts):
        """Parameters [batch, _N_STARTS, n_parameters] of the best starts, for each CMD."""
        misfit = tf.reduce_sum(starts, 1) - tf.matmul(observed, tf.math.log(starts), transpose_b=True)
        return tf.gather(self._draws, tf.math.top_k(-misfit, _N_STARTS).indices)

    def _best_of(self, theta, observed, sky, n_iterations):
        """Minimise from every start, and keep the best for each CMD: parameters [batch, n_parameters]."""
        flat = tf.reshape(theta, [-1, self.prior.n_parameters])
        repeated = tf.repeat(observed, _N_STARTS, axis=0)
        objective, flat, _ = self._minimise(flat, repeated, sky, n_iterations)
        best = tf.argmin(tf.reshape(objective, [-1, _N_STARTS]), axis=1)
        return tf.gather(tf.reshape(flat, tf.shape(theta)), best, batch_dims=1)

    def _minimise(self, theta, observed, sky, n_iterations):
        """Levenberg's method for each CMD of the batch: objective, parameters and Fisher matrix of its end.

        The damping follows Nielsen 1999 (IMM-REP-1999-05): it falls with the ratio of the gain to that of the
        quadratic model, and rises faster and faster while steps are refused.
        """
        objective, gradient, fisher = self._trial(theta, observed, sky)
        damping = tf.fill(tf.shape(objective), _FIRST_DAMPING)
        growth = tf.fill(tf.shape(objective), 2.0)
        for _ in range(n_iterations):
            proposal, predicted = self._propose(theta, gradient, fisher, damping)
            trial = self._trial(proposal, observed, sky)
            gain = (objective - trial[0]) / predicted
            better = gain > 0
            theta = tf.where(better[:, None], proposal, theta)
            gradient = tf.where(better[:, None], trial[1], gradient)
            fisher = tf.where(better[:, None, None], trial[2], fisher)
            objective = tf.where(better, trial[0], objective)
            fall = tf.maximum(1.0 / 5.0, 1.0 - (2.0 * tf.clip_by_value(gain, 0.0, 1.0) - 1.0) ** 3)
            damping *= tf.where(better, fall, growth)
            damping = tf.clip_by_value(damping, _MIN_DAMPING, _MAX_DAMPING)
            growth = tf.where(better, 2.0, 2.0 * growth)
        return objective, theta, fisher

    def _mean(self, theta, sky):
        """Expected counts [batch, n_kept]."""
        return self._expected(*self.prior.physical(theta, sky.way)[1:], sky)[0]

    def _expected(self, shells, patchiness, scale, sky):
        """Expected counts [batch, n_kept], and their derivatives [batch, n + 3, n_kept].

        The derivatives are those by every shell's extinction, by the patchiness and by the scale's logarithm.
        """
        grid, n_shells = sky.extinction_mag, shells.shape[1]
        n_grid = tf.size(grid)
        # [batch, 1, n_nodes]: factors of mean one, whatever the nodes.
        raw = tf.exp(patchiness[:, None, None] * self._nodes)
        mean = tf.reduce_sum(self._weights * raw, axis=-1, keepdims=True)
        factor = raw / mean
        tilt = self._nodes - tf.reduce_sum(self._weights * raw * self._nodes, -1, keepdims=True) / mean
        extinction = shells[:, :, None] * factor  # [batch, n_shells, n_nodes]
        index = tf.clip_by_value(tf.searchsorted(grid, tf.reshape(extinction, [-1]), "right"), 1, n_grid - 1)
        index = tf.reshape(index, tf.shape(extinction))
        low, high = tf.gather(grid, index - 1), tf.gather(grid, index)
        inside = tf.cast(extinction <= grid[-1], tf.float32)
        share = tf.clip_by_value((extinction - low) / (high - low), 0.0, 1.0)
        slope = self._weights * factor * inside / (high - low)
        rows = tf.reshape(tf.range(tf.size(shells)), tf.shape(shells))[:, :, None] * n_grid

        def spread(below, above):
            """Sum weights on the table's extinctions: [n_shells, batch, n_extinctions]."""
            ids = tf.concat([tf.reshape(rows + index - 1, [-1]), tf.reshape(rows + index, [-1])], 0)
            values = tf.concat([tf.reshape(below, [-1]), tf.reshape(above, [-1])], 0)
            flat = tf.math.unsorted_segment_sum(values, ids, tf.size(shells) * n_grid)
            return tf.transpose(tf.reshape(flat, [-1, n_shells, n_grid]), [1, 0, 2])

        weight = spread(self._weights * (1.0 - share), self._weights * share)
        by_extinction = spread(-slope, slope)
        by_patchiness = spread(-slope * shells[:, :, None] * tilt, slope * shells[:, :, None] * tilt)
        parts = tf.concat([weight, by_extinction, by_patchiness], axis=1)
        batch = tf.shape(shells)[0]
        images = tf.matmul(parts, sky.counts)  # [n_shells, 3 batch, n_kept]
        stars = scale[:, None] * tf.reduce_sum(images[:, :batch], axis=0)
        slopes = scale[:, None, None] * tf.transpose(images[:, batch : 2 * batch], [1, 0, 2])
        last = [scale[:, None] * tf.reduce_sum(images[:, 2 * batch :], axis=0), stars]
        return stars + sky.background, tf.concat([slopes, tf.stack(last, axis=1)], axis=1)

    def _trial(self, theta, observed, sky):
        """Objective [batch], its gradient [batch, n_parameters], and Fisher matrix, the prior's included."""
        with tf.GradientTape() as tape:
            tape.watch(theta)
            _, shells, patchiness, scale = self.prior.physical(theta, sky.way)
            inner = tf.concat([shells, patchiness[:, None], tf.math.log(scale)[:, None]], axis=1)
        chain = tape.batch_jacobian(inner, theta)  # [batch, n + 3, n_parameters]
        expected, slopes = self._expected(shells, patchiness, scale, sky)
        prior = 0.5 * tf.reduce_sum(theta**2, axis=1)
        objective = tf.reduce_sum(expected - observed * tf.math.log(expected), axis=1) + prior
        pull = tf.linalg.matvec(slopes, 1.0 - observed / expected)
        gradient = tf.linalg.matvec(chain, pull, transpose_a=True) + theta
        # In single precision its small eigenvalues, those of the prior, would drown beside the large ones.
        weighted = tf.cast(slopes * tf.math.rsqrt(expected)[:, None], tf.float64)
        inner_fisher, chain = tf.matmul(weighted, weighted, transpose_b=True), tf.cast(chain, tf.float64)
        fisher = tf.matmul(chain, tf.matmul(inner_fisher, chain), transpose_a=True)
        return objective, gradient, fisher + tf.eye(self.prior.n_parameters, dtype=tf.float64)

    def _propose(self, theta, gradient, fisher, damping):
        damped = tf.linalg.set_diag(
            fisher, tf.linalg.diag_part(fisher) + tf.cast(damping, tf.float64)[:, None]
        )
        step = -tf.linalg.cholesky_solve(
            tf.linalg.cholesky(damped), tf.cast(gradient, tf.float64)[:, :, None]
        )
        step = tf.cast(step[:, :, 0], tf.float32)
        # What the quadratic model gains.
        predicted = 0.5 * tf.reduce_sum(step * (damping[:, None] * step - gradient), axis=1)
        return theta + step, predicted

    def _answer(self, theta, fisher, sky):
        n, step_kpc = self._n, self._config.distance.step_kpc
        with tf.GradientTape() as tape:
            tape.watch(theta)
            density, shells, patchiness, scale = self.prior.physical(theta, sky.way)
            extinction = tf.cumsum(density, axis=1) * step_kpc
            logarithms = tf.math.log(tf.concat([density, extinction], axis=1))
        chain = tape.batch_jacobian(logarithms, theta)  # [batch, 2 n, n_parameters]
        chain = tf.cast(tf.linalg.matrix_transpose(chain), tf.float64)
        spread = tf.norm(tf.linalg.triangular_solve(tf.linalg.cholesky(fisher), chain), axis=1)
        spread = tf.cast(spread, tf.float32)
        answer = {
            "patchiness": patchiness,
            "count_scale": scale,
            "expected": self._expected(shells, patchiness, scale, sky)[0],
        }
        quantiles = tf.constant(ndtri(np.asarray(PERCENTILES) / 100.0), tf.float32)[:, None]
        for name, median, sigma in (
            ("density", density, spread[:, :n]),
            ("extinction", extinction, spread[:, n:]),
        ):
            percentiles = median[:, None] * tf.exp(quantiles * sigma[:, None])
            if name == "extinction":
                # The percentiles of what cannot fall with distance do not fall either.
                percentiles = _running_maximum(percentiles)
            answer[f"{name}_median"] = median
            answer[f"{name}_percentiles"] = percentiles
            answer[f"{name}_mean"] = median * tf.exp(0.5 * sigma**2)
            answer[f"{name}_std"] = answer[f"{name}_mean"] * tf.sqrt(tf.math.expm1(sigma**2))
        return answer


def _running_maximum(values):
    """Largest value so far along the last axis."""
    return tf.transpose(tf.scan(tf.maximum, tf.transpose(values, [2, 0, 1])), [1, 2, 0])


def _deviance(counts, expected):
    """Twice the log-likelihood ratio of a perfect model to this one [batch]."""
    ratio = np.where(counts > 0, counts, 1.0) / np.where(counts > 0, expected, 1.0)
    return 2.0 * (counts * np.log(ratio) - counts + expected).sum(axis=(1, 2), dtype=float)
