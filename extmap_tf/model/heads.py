"""Heads: what is made of a network's features, how it is scored, and what it says of a sightline.

A head stands at the end of every network and knows what the numbers that it puts out mean.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from extmap_tf.estimate import PERCENTILES
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.model import generator
from extmap_tf.model.distribution import draw_profiles, summarize, summarize_point
from extmap_tf.model.generator import ProfileGenerator, WholeProfileScore
from extmap_tf.model.layers import FirstDistances, ProfileParameters
from extmap_tf.model.objective import ProfileLoss, ProfileScore
from extmap_tf.model.spread import fit_spread
from extmap_tf.networks import Network


class Head(ABC):
    """Base of all heads."""

    distance: DistanceGrid

    percentiles: ClassVar[tuple[float, ...]]
    """Of the profiles that it gives, in percent; empty where it gives one profile without a spread."""

    @classmethod
    @abstractmethod
    def of(cls, network: Network, distance: DistanceGrid) -> Self:
        """The head of a network, for profiles on a grid of distances."""

    @abstractmethod
    def build(self, features: Any) -> Any:
        """The output for features [batch, n], Keras tensors."""

    @abstractmethod
    def loss(self) -> keras.losses.Loss:
        """Of the true density [batch, n_distances] in mag / kpc and the output."""

    @abstractmethod
    def summarize(self, output: tf.Tensor) -> dict[str, tf.Tensor]:
        """What an output says, see `extmap_tf.model.distribution.summarize`; the medians alone where the head
        has no percentiles."""

    @abstractmethod
    def sample(
        self, output: tf.Tensor, n_samples: int, seed: tf.Tensor, l_deg: tf.Tensor, b_deg: tf.Tensor
    ) -> tf.Tensor:
        """Density [batch, n_samples, n_distances], see `extmap_tf.model.distribution.draw_profiles`."""

    @abstractmethod
    def calibrate(
        self, model: keras.Model, batches: tf.data.Dataset, echo: Callable[[str], None]
    ) -> dict[str, list[float]] | None:
        """Fit the spread of a trained model to pairs that it has not seen, and set it in the model.

        Parameters
        ----------
        model : keras.Model
        batches : tf.data.Dataset
            Of (inputs, density [batch, n_distances]).
        echo : callable
            Takes a line of progress.

        Returns
        -------
        dict of str to list of float, or None
            What was fitted, for the card; None where there is nothing to fit.
        """


@dataclass(frozen=True)
class DistributionHead(Head):
    """A distribution over profiles: its parameters [batch, n_distances, 5 + rank].

    Parameters
    ----------
    distance : extmap_tf.grids.distance.DistanceGrid
    rank : int
        Columns of the low-rank factor.
    """

    distance: DistanceGrid
    rank: int

    percentiles: ClassVar[tuple[float, ...]] = PERCENTILES

    @classmethod
    def of(cls, network: Any, distance: DistanceGrid) -> Self:
        return cls(distance, network.rank)

    def build(self, features: Any) -> Any:
        # Small weights: a fresh network starts at the mean profile whatever the diagram.
        start = keras.initializers.RandomNormal(stddev=0.01)
        n, rank = self.distance.n_distances, self.rank
        x = layers.Dense(n * (2 + rank), dtype="float32", kernel_initializer=start, name="activations")(
            features
        )
        return ProfileParameters(n, rank, name="profile")(x)

    def loss(self) -> keras.losses.Loss:
        return ProfileScore(self.distance.step_kpc)

    def summarize(self, output: tf.Tensor) -> dict[str, tf.Tensor]:
        return summarize(output, self.distance.step_kpc)

    def sample(
        self, output: tf.Tensor, n_samples: int, seed: tf.Tensor, l_deg: tf.Tensor, b_deg: tf.Tensor
    ) -> tf.Tensor:
        return draw_profiles(output, n_samples, seed, l_deg, b_deg)

    def calibrate(
        self, model: keras.Model, batches: tf.data.Dataset, echo: Callable[[str], None]
    ) -> dict[str, list[float]] | None:
        return fit_spread(model, batches, self.distance.step_kpc, echo)


@dataclass(frozen=True)
class ProfileHead(Head):
    """One profile: its density [batch, n_distances], mag / kpc, with no spread.

    Parameters
    ----------
    distance : extmap_tf.grids.distance.DistanceGrid
    """

    distance: DistanceGrid

    percentiles: ClassVar[tuple[float, ...]] = ()

    @classmethod
    def of(cls, network: Network, distance: DistanceGrid) -> Self:
        return cls(distance)

    def build(self, features: Any) -> Any:
        n = self.distance.n_distances
        x = layers.Dense(max(128, n), dtype="float32", name="profile")(features)
        return FirstDistances(n, name="density")(x)

    def loss(self) -> keras.losses.Loss:
        return ProfileLoss(self.distance.step_kpc)

    def summarize(self, output: tf.Tensor) -> dict[str, tf.Tensor]:
        return summarize_point(output, self.distance.step_kpc)

    def sample(
        self, output: tf.Tensor, n_samples: int, seed: tf.Tensor, l_deg: tf.Tensor, b_deg: tf.Tensor
    ) -> tf.Tensor:
        return tf.repeat(output[:, None], n_samples, axis=1)

    def calibrate(
        self, model: keras.Model, batches: tf.data.Dataset, echo: Callable[[str], None]
    ) -> dict[str, list[float]] | None:
        return None


@dataclass(frozen=True)
class EnsembleHead(Head):
    """Whole profiles drawn of a diagram: density [batch, n_samples, n_distances], mag / kpc.

    Parameters
    ----------
    distance : extmap_tf.grids.distance.DistanceGrid
    width, n_noise : int
        See `extmap_tf.model.generator.ProfileGenerator`.
    """

    distance: DistanceGrid
    width: int = 256
    n_noise: int = 16
    percentiles: ClassVar[tuple[float, ...]] = PERCENTILES

    @classmethod
    def of(cls, network: Any, distance: DistanceGrid) -> Self:
        return cls(distance, network.generator_width, network.n_noise)

    def build(self, features: Any) -> Any:
        return ProfileGenerator(self.distance.n_distances, self.width, self.n_noise, name="profile")(features)

    def loss(self) -> keras.losses.Loss:
        return WholeProfileScore(self.distance.step_kpc)

    def summarize(self, output: tf.Tensor) -> dict[str, tf.Tensor]:
        return generator.summarize(output, self.distance.step_kpc)

    def sample(
        self, output: tf.Tensor, n_samples: int, seed: tf.Tensor, l_deg: tf.Tensor, b_deg: tf.Tensor
    ) -> tf.Tensor:
        return generator.sample(output, n_samples, seed, l_deg, b_deg)

    def calibrate(
        self, model: keras.Model, batches: tf.data.Dataset, echo: Callable[[str], None]
    ) -> dict[str, list[float]] | None:
        layer = model.get_layer("profile")
        body = keras.Model(model.inputs, layer.input)
        pairs = [(body(inputs, training=False).numpy(), density.numpy()) for inputs, density in batches]
        features, density = (np.concatenate(part) for part in zip(*pairs, strict=True))
        echo(f"calibrating the profiles on {len(density):,} pairs")
        return generator.calibrate(layer, features, density, self.distance.step_kpc)


HEADS: dict[str, type[Head]] = {
    "distribution": DistributionHead,
    "ensemble": EnsembleHead,
    "profile": ProfileHead,
}
"""Heads by the name that a network calls them."""


def head_of(network: Network, distance: DistanceGrid) -> Head:
    """The head of a network, for profiles on a grid of distances."""
    return HEADS[network.head].of(network, distance)
