r"""Profiles of fields by the likelihood of their diagrams: the most probable, and draws around it.

Minimised, by Fisher scoring with Levenberg's damping, is

.. math:: \sum_b (\mu_b - n_b \ln \mu_b) + \tfrac12 (x - m)^T P (x - m) + \tfrac12 |z|^2
          + \tfrac12 (o - o_0)^T Q (o - o_0)

over the parameters x of a profile (`extmap_tf.fit.tree`), the normal numbers z behind patchiness, and the
offsets o, with the expected counts mu of `extmap_tf.fit.expected`, and the training prior of x as a Gaussian
(`extmap_tf.fit.profile_prior`). Errors are those of the curvature there (Laplace's approximation), in the
parameters of the tree.
"""

from dataclasses import dataclass

import numpy as np

from extmap_tf.fit.expected import BACKGROUND, ExpectedDiagrams, Fields, State
from extmap_tf.fit.profile_prior import ProfilePriorAt

_FIRST_DAMPING, _MIN_DAMPING, _MAX_DAMPING = 1.0, 1e-4, 1e8
_LONGEST_STEP = 2.0
# A step that gains less ends the search.
_LEAST_GAIN = 0.05
N_DRAWS = 32


@dataclass(frozen=True, eq=False)
class OffsetPrior:
    """Offsets of fields beside the table's: mean [7] and covariance [7, 7], in the order of `NUISANCES`."""

    mean: np.ndarray
    covariance: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        # Offsets that are known exactly have no variance.
        return np.linalg.inv(self.covariance + 1e-10 * np.eye(len(self.mean)))


@dataclass(frozen=True, eq=False)
class Found:
    """The most probable state of each field.

    Parameters
    ----------
    state : State [n]
    objective : ndarray [n]
    hessian : ndarray [n, n_parameters, n_parameters]
        Fisher's matrix and the prior's precision.
    expected : ndarray [n, n_blocks]
    converged : ndarray of bool [n]
    """

    state: State
    objective: np.ndarray
    hessian: np.ndarray
    expected: np.ndarray
    converged: np.ndarray


class Posterior:
    """The posterior of fields of one place.

    Parameters
    ----------
    model : ExpectedDiagrams
    prior : ProfilePriorAt
    offsets : OffsetPrior
    """

    def __init__(self, model: ExpectedDiagrams, prior: ProfilePriorAt, offsets: OffsetPrior) -> None:
        self.model, self._prior, self._offsets = model, prior, offsets
        self._n = len(prior.mean)
        n_all = self._n + model.n_patchiness + len(offsets.mean)
        self.precision = np.eye(n_all)
        self.precision[: self._n, : self._n] = prior.precision
        self.precision[self._n + model.n_patchiness :, self._n + model.n_patchiness :] = offsets.precision
        self.center = np.concatenate([prior.mean, np.zeros(model.n_patchiness), offsets.mean])

    def start(self, profile: np.ndarray) -> State:
        """A state [n] of profiles' parameters [n, n_distances], all else as the prior says."""
        n = len(profile)
        return State(
            np.array(profile, float),
            np.zeros((n, self.model.n_patchiness)),
            np.tile(self._offsets.mean, (n, 1)),
        )

    def misfit(
        self, state: State, counts: np.ndarray, fields: Fields, background: float = BACKGROUND
    ) -> np.ndarray:
        """Minus the logarithm of the likelihood, but for a constant [n]."""
        mean = self.model.mean(state, fields) + background
        return (mean - counts * np.log(mean)).sum(axis=1)

    def find(
        self,
        start: State,
        counts: np.ndarray,
        fields: Fields,
        n_steps: int = 20,
        background: float = BACKGROUND,
    ) -> Found:
        """Minimise from a start.

        Parameters
        ----------
        start : State [n]
        counts : ndarray [n, n_blocks]
        fields : Fields [n]
        n_steps : int
            At most.
        background : float
            Stars in every block, whatever the model: with many, the likelihood is smoother.
        """
        state, n = start, len(counts)
        objective, gradient, hessian, expected = self._local(state, counts, fields, background)
        damping, growth, last = np.full(n, _FIRST_DAMPING), np.full(n, 2.0), np.full(n, np.inf)
        for _ in range(n_steps):
            going = np.flatnonzero((last > _LEAST_GAIN) & (damping < _MAX_DAMPING))
            if not going.size:
                break
            damped = hessian[going] + damping[going, None, None] * np.eye(hessian.shape[1])
            step = -np.linalg.solve(damped, gradient[going][..., None])[..., 0]
            step *= np.minimum(1.0, _LONGEST_STEP / np.abs(step[:, : self._n]).max(axis=1))[:, None]
            predicted = -(gradient[going] * step).sum(axis=1)
            predicted -= 0.5 * np.einsum("ni,nij,nj->n", step, hessian[going], step)
            trial = state[going].moved(step)
            part = Fields(fields.scale[going], fields.depth_mag[going])
            new = self._local(trial, counts[going], part, background)
            gain = objective[going] - new[0]
            better = gain > 0
            ratio = gain / np.maximum(predicted, 1e-9)
            moved = going[better]
            for old, fresh in zip((objective, gradient, hessian, expected), new, strict=True):
                old[moved] = fresh[better]
            whole = np.zeros((n, step.shape[1]))
            whole[moved] = step[better]
            state = state.moved(whole)
            fall = np.maximum(0.2, 1.0 - (2.0 * np.clip(ratio, 0.0, 1.0) - 1.0) ** 3)
            damping[going] = np.clip(
                damping[going] * np.where(better, fall, growth[going]), _MIN_DAMPING, None
            )
            growth[going] = np.where(better, 2.0, 2.0 * growth[going])
            # A refused step says nothing of how near the end is, unless steps are tiny already.
            last[going] = np.where(better, gain, np.where(predicted < _LEAST_GAIN, 0.0, np.inf))
        return Found(state, objective, hessian, expected, last <= _LEAST_GAIN)

    def likelihood_at(
        self, state: State, counts: np.ndarray, fields: Fields
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gradient [n, n_parameters] of minus the logarithm of the likelihood, and Fisher's matrix."""
        mean, slopes = self.model.with_slopes(state, fields)
        mean = mean + BACKGROUND
        return self._chained(state, slopes, 1.0 - counts / mean, 1.0 / mean)

    def draw(self, found: Found, row: int, rng: np.random.Generator) -> np.ndarray:
        """Draws of one field's profile around it: extinctions of the bins [N_DRAWS, n_distances], mag."""
        # H = L L^T, and so L^-T times normal numbers has the covariance H^-1.
        factor = np.linalg.cholesky(found.hessian[row])
        step = np.linalg.solve(factor.T, rng.standard_normal((len(self.center), N_DRAWS)))[: self._n].T
        return self.model.tree.increments(found.state.profile[row] + step)

    def common_std(self, found: Found, row: int, covariance: np.ndarray) -> np.ndarray:
        """Standard deviation of a field's extinction by errors that all fields share [n_distances], mag.

        Parameters
        ----------
        found : Found
        row : int
        covariance : ndarray [7, 7]
            Of the offsets that all fields share.
        """
        moved = np.linalg.inv(found.hessian[row])[: self._n, -len(covariance) :] @ self._offsets.precision
        profile = found.state.profile[row]
        slopes = self.model.tree.slopes(profile, self.model.tree.increments(profile))
        by_offset = np.cumsum(slopes @ moved, axis=0)
        return np.sqrt(np.einsum("di,ij,dj->d", by_offset, covariance, by_offset))

    def _vector(self, state):
        return np.concatenate([state.profile, state.patchiness, state.nuisances], axis=1)

    def _local(self, state, counts, fields, background):
        """Objective [n], gradient, Hessian (Fisher's and the prior's) and expected counts."""
        mean, slopes = self.model.with_slopes(state, fields)
        mean = mean + background
        off = self._vector(state) - self.center
        pull = off @ self.precision
        objective = (mean - counts * np.log(mean)).sum(axis=1) + 0.5 * (off * pull).sum(axis=1)
        gradient, fisher = self._chained(state, slopes, 1.0 - counts / mean, 1.0 / mean)
        return objective, gradient + pull, fisher + self.precision, mean

    def _chained(self, state, slopes, pull, weight):
        """Gradient and Fisher's matrix by the parameters, of derivatives by what the model knows."""
        tree, n_bins = self.model.tree, self._n
        chain = np.zeros((len(pull), slopes.shape[1], len(self.center)))
        chain[:, :n_bins, :n_bins] = tree.slopes(state.profile, tree.increments(state.profile))
        chain[:, np.arange(n_bins, slopes.shape[1]), np.arange(n_bins, len(self.center))] = 1.0
        inner = np.einsum("nib,nb->ni", slopes, pull)
        weighted = slopes * np.sqrt(weight)[:, None]
        fisher = weighted @ np.swapaxes(weighted, 1, 2)
        back = np.swapaxes(chain, 1, 2)
        return (back @ inner[..., None])[..., 0], back @ fisher @ chain
