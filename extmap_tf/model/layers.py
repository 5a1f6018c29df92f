"""Layers that carry the method inside the model: normalisation, the reference CMD, positive profiles.

They use `keras.ops` only, so that a model trains on any Keras backend and exports to standard operations.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from extmap_tf.grids.sphere import unit_vectors
from extmap_tf.model.facts import PairFacts

_PACKAGE = "extmap_tf"


@keras.saving.register_keras_serializable(_PACKAGE)
class ReferenceCmd(keras.layers.Layer):
    """The CMD to expect without extinction at a position, interpolated in a table of nodes.

    Inputs are l_deg [batch] and b_deg [batch], the output is log(1 + counts) [batch, n_mag, n_color].
    Between the nodes the values are those of a radial basis function r, the chord on the unit sphere, plus a
    constant: smooth, exact at the nodes, and the same for a regular grid and scattered sightlines.

    Parameters
    ----------
    n_nodes : int
    shape : (int, int)
        (n_mag, n_color).
    diagram : str
        Name of the diagram.
    """

    def __init__(self, n_nodes: int, shape: Sequence[int], diagram: str = "counts", **kwargs: Any) -> None:
        super().__init__(**({"dtype": "float32", "trainable": False} | kwargs))
        self.n_nodes, self.shape, self.diagram = n_nodes, tuple(shape), diagram

    def build(self, *_: Any) -> None:
        n_pixels = self.shape[0] * self.shape[1]
        self.nodes = self.add_weight(shape=(self.n_nodes, 3), name="nodes", initializer="zeros")
        # Rows: the coefficients of each basis function, then of the constant.
        self.coefficients = self.add_weight(
            shape=(self.n_nodes + 1, n_pixels), name="coefficients", initializer="zeros"
        )
        self.built = True

    def learn_from(self, facts: PairFacts) -> None:
        l_deg, b_deg, counts = facts.reference
        self.set_nodes(l_deg, b_deg, counts[self.diagram])

    def set_nodes(self, l_deg: ArrayLike, b_deg: ArrayLike, counts: np.ndarray) -> None:
        """Fill the table.

        Parameters
        ----------
        l_deg, b_deg : ndarray [n_nodes]
            Distinct positions.
        counts : ndarray [n_nodes, n_mag, n_color]
            Expected stars per pixel and field.
        """
        n = self.n_nodes
        nodes = unit_vectors(np.asarray(l_deg, float), np.asarray(b_deg, float))
        system = np.ones((n + 1, n + 1))
        system[:n, :n] = np.linalg.norm(nodes[:, None] - nodes, axis=-1)
        system[n, n] = 0.0
        values = np.zeros((n + 1, self.shape[0] * self.shape[1]))
        values[:n] = np.log1p(np.asarray(counts, np.float64)).reshape(n, -1)
        self.nodes.assign(nodes)
        self.coefficients.assign(np.linalg.solve(system, values))

    def call(self, l_deg: Any, b_deg: Any) -> Any:
        positions = unit_vectors(l_deg, b_deg, ops)  # [batch, 3]
        difference = ops.expand_dims(positions, 1) - ops.expand_dims(self.nodes, 0)  # [batch, n_nodes, 3]
        squared = ops.sum(ops.square(difference), axis=-1)
        basis = ops.sqrt(ops.maximum(squared, 1e-20))
        basis = ops.concatenate([basis, ops.ones_like(basis[:, :1])], axis=1)
        values = ops.maximum(ops.matmul(basis, self.coefficients), 0.0)
        return ops.reshape(values, (-1, *self.shape))

    def compute_output_shape(
        self, l_deg_shape: tuple[int | None, ...], b_deg_shape: tuple[int | None, ...] | None = None
    ) -> tuple[int | None, ...]:
        return (l_deg_shape[0], *self.shape)

    def get_config(self) -> dict[str, Any]:
        own = {"n_nodes": self.n_nodes, "shape": list(self.shape), "diagram": self.diagram}
        return super().get_config() | own


@keras.saving.register_keras_serializable(_PACKAGE)
class CoveredReference(keras.layers.Layer):
    """What to expect of a field that is covered in part: ln(1 + coverage * counts) of ln(1 + counts).

    A coverage that is no number is taken as 1, and one outside 0 to 1 as the nearer of the two.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**({"dtype": "float32", "trainable": False} | kwargs))

    def call(self, reference: Any, coverage: Any) -> Any:
        share = ops.where(ops.isnan(coverage), 1.0, ops.clip(coverage, 0.0, 1.0))
        return ops.log1p(ops.reshape(share, (-1, 1, 1)) * ops.expm1(reference))

    def compute_output_shape(self, reference_shape: Any, coverage_shape: Any = None) -> Any:
        return reference_shape


@keras.saving.register_keras_serializable(_PACKAGE)
class Available(keras.layers.Layer):
    """Which surveys have data, from the covered share by each of them [batch]: 0 or 1 [batch, n_surveys]."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**({"dtype": "float32", "trainable": False} | kwargs))

    def call(self, coverages: Sequence[Any]) -> Any:
        # What is no number counts as covered, as elsewhere.
        absent = ops.stack([ops.less_equal(ops.cast(share, "float32"), 0.0) for share in coverages], axis=-1)
        return 1.0 - ops.cast(absent, "float32")

    def compute_output_shape(self, shapes: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return (shapes[0][0], len(shapes))


@keras.saving.register_keras_serializable(_PACKAGE)
class CmdChannels(keras.layers.Layer):
    """Raw counts and the reference to the network's input [batch, n_mag, n_color, 2].

    Counts become log(1 + counts), the reference comes so already; both lie near 0 to 5. Counts below zero,
    which only a foreign client could send, are taken as zero.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**({"dtype": "float32"} | kwargs))

    def call(self, counts: Any, reference: Any) -> Any:
        counts = ops.log1p(ops.maximum(ops.cast(counts, "float32"), 0.0))
        return ops.stack([counts, reference], axis=-1)

    def compute_output_shape(
        self, counts_shape: tuple[int | None, ...], reference_shape: tuple[int | None, ...] | None = None
    ) -> tuple[int | None, ...]:
        return (*counts_shape, 2)


@keras.saving.register_keras_serializable(_PACKAGE)
class ProfileParameters(keras.layers.Layer):
    """Activations to the parameters of a distribution over profiles, see `extmap_tf.model.distribution`.

    From [batch, n_distances * (2 + rank)] to [batch, n_distances, 5 + rank]: the scale s, the centre mu, the
    deviation sigma, the skewness e, the tail weight t and the low-rank factor U. The scale is the mean
    density of the training profiles, bin by bin, so that a fresh network starts there. The adjustment is
    fitted after the training (`extmap_tf.model.spread`), bin by bin: the logarithm of a factor on mu and a
    shift of it, logarithms of factors on sigma and U, e, and ln t.
    """

    def __init__(self, n_distances: int, rank: int, **kwargs: Any) -> None:
        super().__init__(**({"dtype": "float32", "trainable": False} | kwargs))
        self.n_distances, self.rank = n_distances, rank

    def build(self, *_: Any) -> None:
        self.scale = self.add_weight(shape=(self.n_distances,), name="scale", initializer="ones")
        self.adjustment = self.add_weight(shape=(6, self.n_distances), name="adjustment", initializer="zeros")
        self.built = True

    def learn_from(self, facts: PairFacts) -> None:
        self.scale.assign(np.maximum(facts.mean_density, 1e-6) / np.log(2.0))

    def call(self, x: Any) -> Any:
        x = ops.reshape(x, (-1, self.n_distances, 2 + self.rank))
        return self.adjusted(x, self.adjustment)

    def adjusted(self, x: Any, adjustment: Any) -> Any:
        """The output for activations x [batch, n_distances, 2 + rank] and an adjustment [6, n_distances]."""
        ln_loc, shift, ln_sigma, ln_factor, skewness, ln_tail = (
            ops.expand_dims(a, -1) for a in ops.unstack(adjustment)
        )
        loc = x[..., :1] * ops.exp(ln_loc) + shift
        sigma = (ops.softplus(x[..., 1:2] - 1.0) + 1e-3) * ops.exp(ln_sigma)
        factor = x[..., 2:] * ops.exp(ln_factor)
        scale, skewness, tail = (
            ops.broadcast_to(a, ops.shape(loc))
            for a in (ops.expand_dims(self.scale, -1), skewness, ops.exp(ln_tail))
        )
        return ops.concatenate([scale, loc, sigma, skewness, tail, factor], axis=-1)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (shape[0], self.n_distances, 5 + self.rank)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"n_distances": self.n_distances, "rank": self.rank}


@keras.saving.register_keras_serializable(_PACKAGE)
class FirstDistances(keras.layers.Layer):
    """The first `n_distances` of a wider output, as they are."""

    def __init__(self, n_distances: int, **kwargs: Any) -> None:
        super().__init__(**({"dtype": "float32"} | kwargs))
        self.n_distances = n_distances

    def call(self, x: Any) -> Any:
        return x[:, : self.n_distances]

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (shape[0], self.n_distances)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"n_distances": self.n_distances}
