"""What is known of extinction profiles: percentiles, mean, spread, samples, flags, what is reliable."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from types import ModuleType
from typing import Any, Self

import numpy as np

from extmap_tf.errors import DataError
from extmap_tf.extinction.profiles import density_to_cumulative

# The percentiles (in percent) of an estimate that a model gives and a map stores: the ends of its 50, 68, 90
# and 95 % intervals, and its median.
PERCENTILES = (2.5, 5.0, 16.0, 25.0, 50.0, 75.0, 84.0, 95.0, 97.5)

# 0.05 mag of A(Ks) redden a star by about 0.08 mag, less than a pixel of the CMD (0.1 mag). Without such a
# floor no sightline could be relied on near the Sun, where there is next to no extinction to compare with.
RELIABLE_MAG = 0.05
RELIABLE_FRACTION = 0.2

# Where the first dust lies is not known to a bin, so many profiles are unsure for a kiloparsec behind it and
# sure again farther out: so much of the way to a reliable distance may be unsure.
_UNSURE_SHARE_PERCENT = 20


class Flag(IntFlag):
    """What is wrong with a sightline or a queried position; the first eight are also in the file.

    ``NO_STARS``, ``LOW_COVERAGE`` and ``NO_PROFILE`` come with NaN, as do ``OUTSIDE_SKY`` and
    ``NO_PLACE``. With ``BEYOND_LAST_DISTANCE`` the extinction is a lower limit and the density is NaN.
    The others warn of a value that is given: the field is unlike those that the model was trained on or at
    their edge, or the extinction at the position is not reliable (`is_reliable`).

    Examples
    --------
    >>> [flag.meaning for flag in Flag if 72 & flag]
    ['too few stars for the model', "position outside the model's region"]
    """

    NO_STARS = 1
    LOW_COVERAGE = 2
    NO_PROFILE = 4
    FEW_STARS = 8
    ODD_STAR_COUNT = 16
    ODD_COLORS = 32
    ODD_PLACE = 64
    LARGE_EXTINCTION = 128
    OUTSIDE_SKY = 256
    BEYOND_LAST_DISTANCE = 512
    NO_PLACE = 1024
    UNRELIABLE = 2048

    @property
    def meaning(self) -> str:
        """The flag in a few words."""
        return _MEANINGS[self]


_MEANINGS = {
    Flag.NO_STARS: "no star in the field",
    Flag.LOW_COVERAGE: "field covered less than the minimum",
    Flag.NO_PROFILE: "no profile, although there are data",
    Flag.FEW_STARS: "too few stars for the model",
    Flag.ODD_STAR_COUNT: "star count unlike the training mocks",
    Flag.ODD_COLORS: "colours unlike the training mocks",
    Flag.ODD_PLACE: "position outside the model's region",
    Flag.LARGE_EXTINCTION: "extinction near the largest of the mocks",
    Flag.OUTSIDE_SKY: "outside the sky grid",
    Flag.BEYOND_LAST_DISTANCE: "beyond the last distance",
    Flag.NO_PLACE: "no valid position or distance",
    Flag.UNRELIABLE: f"uncertain by more than {100 * RELIABLE_FRACTION:g} % and {RELIABLE_MAG:g} mag",
}
EMPTY_FLAGS = Flag.NO_STARS | Flag.LOW_COVERAGE | Flag.NO_PROFILE
SIGHTLINE_FLAGS = tuple(flag for flag in Flag if flag < Flag.OUTSIDE_SKY)


def flag_names(bits: np.ndarray) -> np.ndarray:
    """The names of the flags that apply.

    Parameters
    ----------
    bits : ndarray of int [n]
        Of `Flag`.

    Returns
    -------
    ndarray of str [n]
        Joined by ``|``, empty where none applies.

    Examples
    --------
    >>> flag_names(np.array([0, 72])).tolist()
    ['', 'FEW_STARS|ODD_PLACE']
    """
    present, place = np.unique(bits, return_inverse=True)
    names = ["|".join(str(flag.name) for flag in Flag if flag & int(value)) for value in present]
    return np.array(names, str)[place]


# What the model says of a field unlike those it was trained on, or at their edge: the value is given, and
# doubtful.
DOUBT_FLAGS = Flag(sum(SIGHTLINE_FLAGS)) & ~EMPTY_FLAGS

# Array of an estimate -> its axes after those of the sightlines. "edge" is a value at the outer edge of each
# distance bin, "bin" one inside it.
AXES: dict[str, tuple[str, ...]] = {
    "extinction_median": ("edge",),
    "density_median": ("bin",),
    "flag": (),
    "extinction_mean": ("edge",),
    "extinction_std": ("edge",),
    "extinction_percentiles": ("percentile", "edge"),
    "density_mean": ("bin",),
    "density_std": ("bin",),
    "density_percentiles": ("percentile", "bin"),
    "samples": ("sample", "edge"),
    "odd_surveys": (),
    "extinction_common_std": ("edge",),
}
_ALWAYS = ("extinction_median", "density_median", "flag")
_OPTIONAL = ("samples", "odd_surveys", "extinction_common_std")
_SPREAD = tuple(name for name in AXES if name not in (*_ALWAYS, *_OPTIONAL))


@dataclass(frozen=True, eq=False)
class ProfileEstimate:
    """What is known of the profiles of some sightlines, point by point in distance.

    A SavedModel's outputs, a direct fit, the layers of a map and the truth behind a mock are all this, with
    the same names. ``*sky`` is one or more axes of sightlines.

    Every statistic is taken at each distance by itself. So medians and percentiles of the extinction rise
    with distance as each profile does, but none of them is itself a likely profile, and the median density is
    not the slope of the median extinction.

    Parameters
    ----------
    extinction_median : array_like [*sky, n_distances]
        Extinction from the Sun to the bins' outer edges, mag. Of a truth, or where one profile is all that is
        known, that profile.
    density_median : array_like [*sky, n_distances]
        Extinction per length inside the bins, mag/kpc.
    flag : array_like of int [*sky]
        Bits of `Flag`.
    extinction_mean, extinction_std, density_mean, density_std : array_like [*sky, n_distances], optional
        These and the percentiles are all given, or none.
    extinction_percentiles, density_percentiles : array_like [*sky, n_percentiles, n_distances], optional
        In the order of `percentiles`.
    samples : array_like [*sky, n_samples, n_distances], optional
        Whole profiles of extinction at the outer edges, each as likely as another, mag.
    odd_surveys : array_like of int [*sky], optional
        Of several surveys: bit i is set where the stars of survey i raised a flag.
    extinction_common_std : array_like [*sky, n_distances], optional
        Of a refined estimate the part of `extinction_std` that all its fields have in common, so that means
        over fields have it, too, mag; 0 where a field was not refined.
    percentiles : tuple of float
        In percent, ascending.

    Raises
    ------
    DataError
        An array has another shape than the median, or some of those that go together are missing.
    """

    extinction_median: np.ndarray
    density_median: np.ndarray
    flag: np.ndarray
    extinction_mean: np.ndarray | None = None
    extinction_std: np.ndarray | None = None
    extinction_percentiles: np.ndarray | None = None
    density_mean: np.ndarray | None = None
    density_std: np.ndarray | None = None
    density_percentiles: np.ndarray | None = None
    samples: np.ndarray | None = None
    odd_surveys: np.ndarray | None = None
    extinction_common_std: np.ndarray | None = None
    percentiles: tuple[float, ...] = PERCENTILES

    def __post_init__(self) -> None:
        object.__setattr__(self, "percentiles", tuple(map(float, self.percentiles)))
        for name in AXES:
            if getattr(self, name) is not None:
                object.__setattr__(self, name, np.asarray(getattr(self, name)))
        missing = [name for name in _SPREAD if getattr(self, name) is None]
        if missing and len(missing) < len(_SPREAD):
            raise DataError(f"an estimate of profiles with a spread lacks {', '.join(missing)}")
        if not self.extinction_median.ndim:
            raise DataError("extinction_median must be [..., n_distances], got a single number")
        n = self.n_distances
        lengths = {"edge": n, "bin": n, "percentile": len(self.percentiles), "sample": self.n_samples}
        for name, array in self.arrays().items():
            expected = (*self.shape, *(lengths[axis] for axis in AXES[name]))
            if array.shape != expected:
                raise DataError(
                    f"{name} must have the shape {expected} by the median extinction, got: {array.shape}"
                )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the sightlines."""
        return self.extinction_median.shape[:-1]

    @property
    def n_distances(self) -> int:
        return self.extinction_median.shape[-1]

    @property
    def n_samples(self) -> int:
        """Samples of each profile, 0 if there are none."""
        return 0 if self.samples is None or self.samples.ndim < 2 else self.samples.shape[-2]

    @property
    def has_spread(self) -> bool:
        """Whether mean, standard deviation and percentiles are known."""
        return self.extinction_percentiles is not None

    @property
    def reliable(self) -> np.ndarray:
        """Where the extinction is reliable (`is_reliable`): ndarray of bool [*sky, n_distances].

        Raises
        ------
        DataError
            Percentiles 16, 50 or 84 are not among those there are.
        """
        return is_reliable(*(self.percentile("extinction", percent) for percent in (16.0, 50.0, 84.0)))

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays there are, by name."""
        return {name: getattr(self, name) for name in AXES if getattr(self, name) is not None}

    def percentile(self, quantity: str, percent: float) -> np.ndarray:
        """One of the percentiles of the "extinction" or the "density" [*sky, n_distances].

        Raises
        ------
        DataError
            It is not among those there are.
        """
        if not self.has_spread or percent not in self.percentiles:
            there = ", ".join(f"{p:g}" for p in self.percentiles) if self.has_spread else "none"
            raise DataError(f"percentile must be one of those of the estimate ({there}), got: {percent:g}")
        return getattr(self, f"{quantity}_percentiles")[..., self.percentiles.index(percent), :]

    def __getitem__(self, rows: Any) -> Self:
        """The same of some sightlines, by an index of the axes of the sightlines."""
        return self._changed(lambda array: array[rows])

    def reshaped(self, *shape: int) -> Self:
        """The same sightlines on axes of another shape."""
        n_axes = len(self.shape)
        return self._changed(lambda array: array.reshape(*shape, *array.shape[n_axes:]))

    def _changed(self, change: Callable[[np.ndarray], np.ndarray]) -> Self:
        changed: dict[str, Any] = {name: change(array) for name, array in self.arrays().items()}
        return dataclasses.replace(self, **changed)

    def with_samples(self, density: Any, step_kpc: float) -> Self:
        """The same with samples, from their density [*sky, n_samples, n_distances] in mag/kpc."""
        samples = density_to_cumulative(np.asarray(density, float), step_kpc).astype(np.float32)
        return dataclasses.replace(self, samples=samples)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Several estimates as one, along the first axis; all have a spread, or samples, or none has."""
        together: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in parts[0].arrays()
        }
        return dataclasses.replace(parts[0], **together)

    @classmethod
    def of_density(cls, density: Any, step_kpc: float, flag: Any = None) -> Self:
        """Of profiles that are known, or given without a spread.

        Parameters
        ----------
        density : array_like [*sky, n_distances]
            mag/kpc.
        step_kpc : float
            Length of a distance bin.
        flag : array_like of int [*sky], optional
            By default none is set.

        Examples
        --------
        >>> profiles = ProfileEstimate.of_density([[0.5, 1.0, 0.0]], step_kpc=0.1)
        >>> profiles.extinction_median.round(3).tolist()
        [[0.05, 0.15, 0.15]]
        """
        density = np.asarray(density, np.float32)
        flag = np.zeros(density.shape[:-1], np.uint8) if flag is None else flag
        return cls(density_to_cumulative(density.astype(float), step_kpc), density, flag)

    @classmethod
    def from_outputs(cls, outputs: Mapping[str, Any]) -> Self:
        """Of the outputs of a SavedModel; those that are no part of an estimate are left out.

        Raises
        ------
        DataError
            An output is missing, as from a SavedModel of version 0.3.0 or before. One whose network gives one
            profile has none of a spread.
        """
        needed = (*_ALWAYS, *_SPREAD) if any(name in outputs for name in _SPREAD) else _ALWAYS
        missing = [name for name in needed if name not in outputs]
        if missing:
            raise DataError(
                f"a SavedModel without the output {', '.join(missing)}: export it again with "
                "'extmap-tf export'"
            )
        arrays: dict[str, Any] = {name: outputs[name] for name in AXES if name in outputs}
        return cls(**arrays)


def is_reliable(p16: Any, p50: Any, p84: Any) -> Any:
    """Whether an extinction is reliable: known to 20 %, or to 0.05 mag.

    That is, half of its central 68 % interval is at most 20 % of its median or 0.05 mag, whichever is more.

    Parameters
    ----------
    p16, p50, p84 : array_like or tf.Tensor
        Percentiles of the extinction, mag.

    Returns
    -------
    ndarray or tf.Tensor of bool
        False where the interval is NaN.
    """
    half_width = 0.5 * (p84 - p16)
    return (half_width <= RELIABLE_MAG) | (half_width <= RELIABLE_FRACTION * p50)


def reliable_distance_kpc(reliable: Any, outer_kpc: Any, xp: ModuleType = np) -> Any:
    """The farthest distance at which a profile is reliable, and has been most of the way from the Sun.

    The outer edge of the last bin that is reliable and up to which at least 80 % of the bins are; 0 if there
    is none. In front of it are at most short stretches that are not, and behind it may be some that are:
    which, only the layer `reliable` tells.

    Parameters
    ----------
    reliable : array_like of bool [..., n_distances]
        Of `is_reliable`, at the outer edges: an array of NumPy, or a tensor with `xp`.
    outer_kpc : array_like [n_distances]
    xp : module
        With functions of NumPy: ``tensorflow.experimental.numpy`` in a graph.

    Returns
    -------
    ndarray or tf.Tensor [...]
        Of the type of `outer_kpc`.
    """
    outer_kpc = np.asarray(outer_kpc)
    number = np.arange(1, len(outer_kpc) + 1, dtype=np.int32)
    so_far = xp.cumsum(xp.where(reliable, np.int32(1), np.int32(0)), axis=-1)
    most = 100 * so_far >= (100 - _UNSURE_SHARE_PERCENT) * number
    return xp.max(xp.where(reliable & most, outer_kpc, outer_kpc.dtype.type(0)), axis=-1)
