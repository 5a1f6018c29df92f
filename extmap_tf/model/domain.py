"""Whether diagrams are like those a model was trained on."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from extmap_tf.settings.survey import SurveyView

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
    def of(cls, features: Iterable[Sequence[np.ndarray]]) -> Self:
        """Learn the domain from what `features_of` gives of batches of training diagrams."""
        n_stars, excess, shape = (np.concatenate(part) for part in zip(*features, strict=True))
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
        n_stars, excess, shape = features_of(counts, reference)
        strangeness = tf.reduce_sum(tf.square(tf.matmul(shape - self.mean, self.whitening)), axis=-1)
        return (
            bit(Flag.FEW_STARS, n_stars < self.n_stars_min)
            + bit(Flag.ODD_STAR_COUNT, (excess < self.excess_min) | (excess > self.excess_max))
            + bit(Flag.ODD_COLORS, strangeness > self.strangeness_max)
        )


@dataclass(frozen=True)
class Domains:
    """What all diagrams of the training pairs are like.

    Parameters
    ----------
    of_diagram : mapping of str to TrainingDomain
        By the names of the diagrams.
    """

    of_diagram: Mapping[str, TrainingDomain]

    @classmethod
    def of(
        cls,
        batches: Iterable[tuple[Mapping[str, tf.Tensor], tf.Tensor]],
        expected: Callable[[Mapping[str, tf.Tensor]], Mapping[str, tf.Tensor]],
        names: Sequence[str],
    ) -> Self:
        """Learn the domains.

        Parameters
        ----------
        batches : iterable of (dict of str to tf.Tensor, tf.Tensor)
            As `extmap_tf.records.dataset.evaluation_dataset` gives them.
        expected : callable
            Inputs to ln(1 + counts) of the diagrams to expect, see `extmap_tf.model.build.expected_diagrams`.
        names : sequence of str
            Of the diagrams.
        """
        found: dict[str, list[list[np.ndarray]]] = {name: [] for name in names}
        n = 0
        for inputs, density in batches:
            reference = expected(inputs)
            for name in names:
                features = features_of(inputs[name], reference[name])
                found[name].append([feature.numpy() for feature in features])
            n += len(density)
            if n >= _LEARN_FROM:
                break
        return cls({name: TrainingDomain.of(parts) for name, parts in found.items()})

    def flags(
        self,
        views: Sequence[SurveyView],
        inputs: Mapping[str, tf.Tensor],
        reference: Mapping[str, tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Flags that concern the stars, and whose stars they are.

        Parameters
        ----------
        views : sequence of extmap_tf.settings.survey.SurveyView
        inputs : mapping of str to tf.Tensor
            Of the network; of several surveys one that covers nothing of a field is not judged.
        reference : mapping of str to tf.Tensor
            Of `extmap_tf.model.build.expected_diagrams`.

        Returns
        -------
        flag : tf.Tensor of int32 [batch]
            Bits of `extmap_tf.estimate.Flag`: of all surveys together. Without any survey there are too few
            stars.
        odd_surveys : tf.Tensor of int32 [batch]
            Bit i is set where survey i has any of them.
        """
        flag = odd = tf.zeros_like(inputs["l_deg"], tf.int32)
        any_there = tf.zeros_like(flag, tf.bool)
        for i, view in enumerate(views):
            bits = tf.zeros_like(flag)
            for name in (diagram.name for diagram in view.diagrams):
                bits = tf.bitwise.bitwise_or(bits, self.of_diagram[name].flag(inputs[name], reference[name]))
            if len(views) > 1:
                there = ~(inputs[view.named("coverage")] <= 0.0)
                bits, any_there = tf.where(there, bits, 0), any_there | there
            flag = tf.bitwise.bitwise_or(flag, bits)
            odd += tf.where(bits > 0, 1 << i, 0)
        if len(views) > 1:
            flag = tf.where(any_there, flag, Flag.FEW_STARS.value)
        return flag, odd

    def write(self, path: str | os.PathLike, overwrite: bool = False) -> None:
        arrays = {
            _key(name, spec.name): getattr(domain, spec.name)
            for name, domain in self.of_diagram.items()
            for spec in fields(domain)
        }
        with whole_file(path, "wb", overwrite=overwrite) as stream:
            np.savez(stream, **arrays)

    @classmethod
    def read(cls, path: str | os.PathLike, names: Sequence[str]) -> Self:
        """Read the domains of some diagrams back.

        Raises
        ------
        DataError
            The file is missing, cut short, or holds something else.
        """
        n = _BLOCKS * _BLOCKS
        shapes = {"mean": (n,), "whitening": (n, n)}
        parts = [spec.name for spec in fields(TrainingDomain)]
        try:
            # NumPy leaves a file open that turns out to be no zip.
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as data:
                found = {
                    name: {part: np.asarray(data[_key(name, part)], np.float32) for part in parts}
                    for name in names
                }
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
        for part, value in (item for domain in found.values() for item in domain.items()):
            if value.shape != shapes.get(part, ()) or not np.isfinite(value).all():
                raise DataError(f"{path}: damaged training domain ({part}); {_ADVICE}")
        return cls({name: TrainingDomain(**domain) for name, domain in found.items()})


def _key(diagram, part):
    """The name of an array in the file: of the first diagram, that of the part."""
    return part if diagram == "counts" else f"{diagram}.{part}"


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


def features_of(counts: tf.Tensor, reference: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Stars, ln(stars / stars of the reference) [batch] and shape [batch, 64]; arguments as of `flag`."""
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
