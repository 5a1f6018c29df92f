"""Steps of the extinction along sightlines: dust within a short length, more than before and behind it.

What a step is depends on how sharp a map sees, which is a share of the distance, and near the Sun some bins.
In a window from d - h to d + h, with h a share of d and at least one distance bin, in the widest at least
some, the height of a step is the rise inside less what the density in the two halves of a window before and
behind would add to it: 0 in even dust, the column of a cloud that the window holds. It is taken of every
sample of a profile by itself, so that its spread is known. A step is found in the narrowest window in which
it stands out from that spread, unless a wider one around it holds more.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from extmap_tf.errors import DataError, require
from extmap_tf.extinction.profiles import profiles_at
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.map.volume import ExtinctionMap

# Windows at neighbouring distances overlap by three quarters.
_WINDOWS_PER_LENGTH = 4
_PARTS_OF_A_WINDOW = 16
_SIGHTLINES_AT_ONCE = 256
# A wider window must hold so many times as much.
_WIDER = 1.25


@dataclass(frozen=True)
class StepRule:
    """What counts as a step of one sightline.

    Parameters
    ----------
    min_mag : float
        Least mean height.
    min_share : float
        Least mean height over the extinction behind the step.
    min_sigma : float
        Least mean height over its own standard deviation.
    edge_sigma : float
        The same of steps that count only beside one of `min_sigma`, in the same cloud.
    resolutions : tuple of float
        Half the lengths of windows over their distances, ascending.
    least_bins : int
        Half the length of the widest windows is at least so many distance bins: near the Sun, where few stars
        stand in front of a cloud, a map knows its distance no better.
    """

    min_mag: float = 0.05
    min_share: float = 0.1
    min_sigma: float = 3.0
    edge_sigma: float = 1.5
    resolutions: tuple[float, ...] = (0.1, 0.15, 0.2, 0.3, 0.4)
    least_bins: int = 5

    def __post_init__(self) -> None:
        require(self.min_mag > 0, "min_mag", "above 0", self)
        require(0 <= self.min_share < 1, "min_share", "0 to below 1", self)
        require(self.min_sigma >= 0, "min_sigma", "0 or more", self)
        require(self.edge_sigma >= 0, "edge_sigma", "0 or more", self)
        rising = self.resolutions and list(self.resolutions) == sorted(set(self.resolutions))
        within = rising and self.resolutions[0] >= 0.02 and self.resolutions[-1] <= 0.5
        require(self.least_bins >= 1, "least_bins", "1 or more", self)
        require(within, "resolutions", "one or more from 0.02 to 0.5, ascending", self)


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows that steps are looked for in.

    Parameters
    ----------
    centers_kpc, half_kpc : ndarray [n_windows]
        Distances, ascending, and half the lengths.
    """

    centers_kpc: np.ndarray
    half_kpc: np.ndarray

    @classmethod
    def of(cls, distance: DistanceGrid, resolution: float, least_bins: int = 1) -> "Windows":
        """Those of a grid of distances; none reaches beyond it."""

        def half(at_kpc):
            return np.maximum(resolution * np.asarray(at_kpc), least_bins * distance.step_kpc)

        at, centers = max(distance.step_kpc, 0.75 * float(half(distance.step_kpc))), []
        while at + half(at) <= distance.max_kpc * (1 + 1e-9):
            centers.append(at)
            at += 2.0 * half(at) / _WINDOWS_PER_LENGTH
        centers_kpc = np.array(centers)
        return cls(centers_kpc, half(centers_kpc))

    def heights(self, extinction: np.ndarray, distance: DistanceGrid) -> tuple[np.ndarray, np.ndarray]:
        """Heights of the steps in all windows of some profiles, and the extinction behind them.

        Parameters
        ----------
        extinction : ndarray [..., n_distances]
            mag, at the outer edges of the bins.
        distance : DistanceGrid

        Returns
        -------
        heights, behind : ndarray [..., n_windows]
            mag.
        """
        center, half = self.centers_kpc, self.half_kpc
        # There is always something before it: dust that only thins out from the Sun on is no step.
        near_kpc = np.maximum(center - half, 0.5 * half)
        ends = np.stack([center - 2 * half, near_kpc, center + half, center + 2 * half])
        ends = np.clip(ends, 0.0, distance.max_kpc)
        first, near, far, last = np.moveaxis(
            profiles_at(extinction, distance, ends.ravel()).reshape(*extinction.shape[:-1], *ends.shape),
            -2,
            0,
        )
        around_kpc = (ends[1] - ends[0]) + (ends[3] - ends[2])
        around = (near - first) + (last - far)
        return (far - near) - around * (ends[2] - ends[1]) / np.maximum(around_kpc, 1e-9), far


@dataclass(frozen=True, eq=False)
class Steps:
    """Steps of the sightlines of a map.

    Parameters
    ----------
    sightline : ndarray of int [n_steps]
        Ascending.
    distance_kpc, half_kpc : ndarray [n_steps]
        The window.
    heights_mag : ndarray [n_steps, n_samples]
    middles_kpc, depths_kpc : ndarray [n_steps, n_samples]
        Where half of the rise in the window is reached, and the length that the middle 68 % of it take.
    near_kpc, far_kpc : ndarray [n_steps]
        Between these the middle 68 % of the rise are, of the mean of the samples.
    """

    sightline: np.ndarray
    distance_kpc: np.ndarray
    half_kpc: np.ndarray
    heights_mag: np.ndarray
    middles_kpc: np.ndarray
    depths_kpc: np.ndarray
    near_kpc: np.ndarray
    far_kpc: np.ndarray

    @property
    def height_mag(self) -> np.ndarray:
        """Mean heights [n_steps]."""
        return self.heights_mag.mean(axis=1)

    @property
    def sigma(self) -> np.ndarray:
        """Mean heights over their standard deviations [n_steps]; infinite for one profile."""
        std = self.heights_mag.std(axis=1)
        return np.divide(self.height_mag, std, out=np.full_like(std, np.inf), where=std > 1e-6)


def whole_profiles(volume: ExtinctionMap) -> np.ndarray:
    """A map's samples [n_sightlines, n_samples, n_distances], or its only profiles as one sample each.

    Raises
    ------
    DataError
        The map has intervals but no samples, so that nothing is known of differences between distances.
    """
    if volume.n_samples:
        return volume.samples.reshape(volume.grid.n_sightlines, volume.n_samples, -1)
    if volume.percentiles:
        name = volume.path or "this map"
        raise DataError(f"{name}: clouds need whole profiles, and it has none: score with --samples 32")
    return volume.extinction.reshape(volume.grid.n_sightlines, 1, -1)


def find_steps(volume: ExtinctionMap, rule: StepRule) -> Steps:
    """All steps of a map's sightlines, the faint ones of `StepRule.edge_sigma` included.

    Of windows of one resolution that hold one another's centres the one of the highest step counts. A wider
    window takes the place of the narrower one that it holds, if it holds more dust by a quarter and no other.

    Parameters
    ----------
    volume : ExtinctionMap
    rule : StepRule

    Returns
    -------
    Steps

    Raises
    ------
    DataError
        The map has intervals but no samples.
    """
    known = np.flatnonzero(volume.has_profile)
    return steps_in(whole_profiles(volume), known, volume.distance, rule)


def steps_in(profiles: np.ndarray, sightlines: np.ndarray, distance: DistanceGrid, rule: StepRule) -> Steps:
    """As `find_steps`, of some of the sightlines of arrays of samples.

    Parameters
    ----------
    profiles : ndarray [n_sightlines, n_samples, n_distances]
        Extinction at the outer edges of the bins, mag.
    sightlines : ndarray of int [n]
        Those to look at, ascending.
    distance : DistanceGrid
    rule : StepRule

    Returns
    -------
    Steps
    """
    scales = [Windows.of(distance, resolution) for resolution in rule.resolutions]
    scales.append(Windows.of(distance, rule.resolutions[-1], rule.least_bins))
    starts = range(0, sightlines.size, _SIGHTLINES_AT_ONCE)
    blocks = [sightlines[i : i + _SIGHTLINES_AT_ONCE] for i in starts]
    # Without a sightline, nothing of the right shape.
    parts = [_steps_of(profiles[block], block, scales, distance, rule) for block in blocks or [sightlines]]
    return Steps(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _steps_of(profiles, sightlines, scales, distance, rule):
    """The arrays of `Steps`, of some sightlines."""
    found: list[list[_Step]] = [[] for _ in sightlines]
    measured = [(windows, *windows.heights(profiles, distance)) for windows in scales]
    for sigma in (rule.min_sigma, min(rule.min_sigma, rule.edge_sigma)):
        sure = [len(steps) for steps in found]
        for windows, heights, behind in measured:
            for row, window in np.argwhere(_standing_out(heights, behind, windows, rule, sigma)):
                at_kpc, half_kpc = windows.centers_kpc[window], windows.half_kpc[window]
                _take(found[row], _Step(at_kpc, half_kpc, heights[row, :, window]), sure[row])
    row = np.repeat(np.arange(len(sightlines)), [len(steps) for steps in found])
    center, half = (np.array([getattr(step, name) for steps in found for step in steps]) for name in _PLACE)
    heights = np.array([step.heights for steps in found for step in steps])
    heights = heights.reshape(len(row), profiles.shape[1])
    inside = np.linspace(-1.0, 1.0, _PARTS_OF_A_WINDOW + 1)
    places = np.clip(center[:, None] + half[:, None] * inside, 0.0, distance.max_kpc)
    rising = np.empty((row.size, profiles.shape[1], places.shape[1]))
    for step, (sightline, at) in enumerate(zip(row, places, strict=True)):
        rising[step] = profiles_at(profiles[sightline], distance, at)
    rising -= rising[..., :1].copy()
    together = rising.mean(axis=1, keepdims=True)
    low, middle, high = (_reached(rising, share, places[:, None]) for share in (0.16, 0.5, 0.84))
    near, far = (_reached(together, share, places[:, None])[:, 0] for share in (0.16, 0.84))
    return sightlines[row], center, half, heights, middle, high - low, near, far


class _Step(NamedTuple):
    """One window of a sightline with its heights [n_samples]."""

    center_kpc: float
    half_kpc: float
    heights: np.ndarray


_PLACE = ("center_kpc", "half_kpc")


def _take(steps, new, n_sure):
    """Add a step to the narrower ones of its sightline, or put it in the place of one, or leave it out.

    The first `n_sure` are not replaced.
    """
    inside = [
        number
        for number, old in enumerate(steps)
        if abs(new.center_kpc - old.center_kpc) <= max(new.half_kpc, old.half_kpc)
    ]
    if not inside:
        steps.append(new)
    elif len(inside) == 1 and inside[0] >= n_sure:
        old = steps[inside[0]]
        if new.heights.mean() > _WIDER * old.heights.mean():
            steps[inside[0]] = new


def _standing_out(heights, behind, windows, rule, sigma):
    """Which windows of one resolution have a step [n_sightlines, n_windows]."""
    mean = heights.mean(axis=1)
    apart_kpc = np.abs(windows.centers_kpc[:, None] - windows.centers_kpc)
    rivals = apart_kpc <= np.maximum(windows.half_kpc[:, None], windows.half_kpc)
    highest = np.full_like(mean, np.inf)
    if mean.size:
        highest = np.stack([mean[:, near].max(axis=1) for near in rivals], axis=1)
    clear = mean >= np.maximum(rule.min_mag, rule.min_share * behind.mean(axis=1))
    return clear & (mean >= highest) & (mean >= sigma * heights.std(axis=1))


def _reached(rising, share, places_kpc):
    """Where curves [..., n] that begin at 0 reach a share of their last values, in kpc [...]."""
    level = share * rising[..., -1:]
    above = np.maximum(np.argmax(rising >= level, axis=-1), 1)[..., None]
    low, high = (np.take_along_axis(rising, index, axis=-1) for index in (above - 1, above))
    places_kpc = np.broadcast_to(places_kpc, rising.shape)
    start, end = (np.take_along_axis(places_kpc, index, axis=-1) for index in (above - 1, above))
    part = np.clip((level - low) / np.where(high > low, high - low, 1.0), 0.0, 1.0)
    return (start + part * (end - start))[..., 0]
