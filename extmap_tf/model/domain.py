"""Whether a CMD is like those a model was trained on."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Self
from zipfile import BadZipFile
from zlib import error

import numpy as np
import tensorflow as tf

from extmap_tf.errors import DataError
from extmap_tf.estimate import Flag
from extmap_tf.files import whole_file
from extmap_tf.settings.profiles import ProfilePrior

DOMAIN_NAME = "domain.npz"
_BLOCKS = 8
_TAIL = 1e-3
_REGULARISATION = 0.05
_LEARN_FROM = 20000
_NEAR_LARGEST = 0.85
_ADVICE = "train the model again"


@dataclass(frozen=True)
class TrainingDomain:
    """What the CMDs of the training pairs are like.

    The shape of a CMD is the square root of its counts in 8 x 8 blocks, less that of the reference, which
    makes the noise the same everywhere; its strangeness is the squared Mahalanobis distance from the training
    pairs. A CMD is unlike them where one in a thousand of them, or fewer, goes as far.

    Parameters
    ----------
    n_stars_min : float
        Least stars in a CMD.
    excess_min, excess_max : float
        Range of ln(stars / stars of the reference).
    mean : ndarray [64]
    whitening : ndarray [64, 64]
    strangeness_max : float
    """

    n_stars_min: np.ndarray
    excess_min: np.ndarray
    excess_max: np.ndarray
    mean: np.ndarray
    whitening: np.ndarray
    strangeness_max: np.ndarray

    @classmethod
    def of(
        cls,
        batches: Iterable[tuple[Mapping[str, tf.Tensor], tf.Tensor]],
        expected: Callable[[Mapping[str, tf.Tensor]], tf.Tensor],
    ) -> Self:
        """Learn the domain.

        Parameters
        ----------
        batches : iterable of (dict of str to tf.Tensor, tf.Tensor)
            As `extmap_tf.records.dataset.evaluation_dataset` gives them.
        expected : callable
            Inputs to ln(1 + counts) of the diagram to expect, see `extmap_tf.model.build.expected_diagrams`.
        """
        parts, n = [], 0
        for inputs, _ in batches:
            features = _features(inputs["counts"], expected(inputs))
            parts.append([feature.numpy() for feature in features])
            n += len(parts[-1][0])
            if n >= _LEARN_FROM:
                break
        n_stars, excess, shape = (np.concatenate(part) for part in zip(*parts, strict=True))
        mean = shape.mean(axis=0)
        covariance = np.cov(shape.T) + _REGULARISATION * np.eye(shape.shape[1])
        values, vectors = np.linalg.eigh(covariance)
        whitening = vectors / np.sqrt(values)
        strangeness = np.square((shape - mean) @ whitening).sum(axis=1)
        return cls(
            *(
                np.asarray(value, np.float32)
                for value in (
                    np.quantile(n_stars, _TAIL),
                    np.quantile(excess, _TAIL / 2),
                    np.quantile(excess, 1 - _TAIL / 2),
                    mean,
                    whitening,
                    np.quantile(strangeness, 1 - _TAIL),
                )
            )
        )

    def flag(self, counts: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
        """Bits of `extmap_tf.estimate.Flag` that concern the stars.

        Parameters
        ----------
        counts : tf.Tensor [batch, n_mag, n_color]
        reference : tf.Tensor [batch, n_mag, n_color]
            ln(1 + counts).

        Returns
        -------
        tf.Tensor of int32 [batch]
        """
        n_stars, excess, shape = _features(counts, reference)
        strangeness = tf.reduce_sum(tf.square(tf.matmul(shape - self.mean, self.whitening)), axis=-1)
        return (
            bit(Flag.FEW_STARS, n_stars < self.n_stars_min)
            + bit(Flag.ODD_STAR_COUNT, (excess < self.excess_min) | (excess > self.excess_max))
            + bit(Flag.ODD_COLORS, strangeness > self.strangeness_max)
        )

    def write(self, path: str | os.PathLike, overwrite: bool = False) -> None:
        with whole_file(path, "wb", overwrite=overwrite) as stream:
            np.savez(stream, **{spec.name: getattr(self, spec.name) for spec in fields(self)})

    @classmethod
    def read(cls, path: str | os.PathLike) -> Self:
        """Read one back.

        Raises
        ------
        DataError
            The file is missing, cut short, or holds something else.
        """
        n = _BLOCKS * _BLOCKS
        shapes = {"mean": (n,), "whitening": (n, n)}
        try:
            with np.load(path, allow_pickle=False) as data:
                found = {spec.name: np.asarray(data[spec.name], np.float32) for spec in fields(cls)}
        except (
            OSError,
            ValueError,
            KeyError,
            EOFError,
            TypeError,
            AttributeError,
            RuntimeError,
            BadZipFile,
            error,
        ) as problem:
            reason = " ".join(str(problem).split())
            raise DataError(f"{path}: cannot be read as a training domain: {reason}; {_ADVICE}") from None
        for name, value in found.items():
            if value.shape != shapes.get(name, ()) or not np.isfinite(value).all():
                raise DataError(f"{path}: damaged training domain ({name}); {_ADVICE}")
        return cls(**found)


def near_largest(total_mag: tf.Tensor, prior: ProfilePrior) -> tf.Tensor:
    """Whether totals are near the largest of the training profiles, or may be beyond it: bool [batch].

    Of larger ones a network knows nothing: it gives about the largest. By the model of 0.4.0, of 60 fields a
    case, the 84th percentile is so for 80 to 92 % of the totals of 1.1 to 1.9 times the largest, for 38 % of
    those of 0.7 times, and for 7 % of the training pairs.

    Parameters
    ----------
    total_mag : tf.Tensor [batch]
        84th percentile of the extinction to the last distance, or the only value there is.
    prior : extmap_tf.settings.profiles.ProfilePrior
    """
    return total_mag >= _NEAR_LARGEST * prior.total_max_mag


def bit(flag: Flag, condition: tf.Tensor) -> tf.Tensor:
    """A flag's bit where a condition [batch] holds, else 0: int32 [batch]."""
    return tf.where(condition, flag.value, 0)


def _features(counts, reference):
    """Stars, ln(stars / stars of the reference) and shape [batch, 64]."""
    expected = tf.math.expm1(reference)
    n_stars = tf.reduce_sum(counts, axis=[1, 2])
    excess = tf.math.log((n_stars + 1.0) / (tf.reduce_sum(expected, axis=[1, 2]) + 1.0))
    return n_stars, excess, tf.sqrt(_blocks(counts)) - tf.sqrt(_blocks(expected))


def _blocks(image):
    padding = [(-n) % _BLOCKS for n in image.shape[1:]]
    image = tf.pad(image, [[0, 0], [0, padding[0]], [0, padding[1]]])
    n_mag, n_color = image.shape[1:]
    split = tf.reshape(image, [-1, _BLOCKS, n_mag // _BLOCKS, _BLOCKS, n_color // _BLOCKS])
    return tf.reshape(tf.reduce_sum(split, axis=[2, 4]), [-1, _BLOCKS * _BLOCKS])
