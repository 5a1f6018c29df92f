"""Clouds along sightlines: where the extinction rises in a step, over what extent, and by how much."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import Flag
from extmap_tf.extinction.profiles import profiles_at
from extmap_tf.map.volume import ExtinctionMap

MIN_JUMP_MAG = 0.05
MIN_CONTRAST = 0.5
MIN_SIGMA = 2.0


@dataclass(frozen=True)
class Cloud:
    """A peak of the density along one sightline.

    Parameters
    ----------
    l_deg, b_deg : float
        The sightline.
    distance_kpc : float
        Where half of the jump is reached.
    distance_low_kpc, distance_high_kpc : float
        Between these the map's 16th and 84th percentile of the extinction reach that value; NaN
        without percentiles.
    extent_kpc : float
        Full width of the peak at half of its height above its surroundings. Not less than a distance bin,
        and smeared by the map's own resolution: an upper limit.
    jump_mag : float
        Rise of the extinction across the peak.
    jump_std_mag : float
        Its standard deviation: from the samples if the map has them, else an upper limit from those of the
        extinction at both sides; NaN without.
    flags : int
        Bits of `extmap_tf.estimate.Flag`: those of the sightline, and whether the distance is beyond
        the one to which it is reliable.
    """

    l_deg: float
    b_deg: float
    distance_kpc: float
    distance_low_kpc: float
    distance_high_kpc: float
    extent_kpc: float
    jump_mag: float
    jump_std_mag: float
    flags: int = 0


def find_clouds(
    volume: ExtinctionMap,
    l_deg: float,
    b_deg: float,
    min_jump_mag: float = MIN_JUMP_MAG,
    min_contrast: float = MIN_CONTRAST,
    min_sigma: float = MIN_SIGMA,
) -> list[Cloud]:
    """Clouds along the map's sightline nearest to a position, near ones first.

    Parameters
    ----------
    volume : ExtinctionMap
    l_deg, b_deg : float
    min_jump_mag : float
        Smaller jumps are left out.
    min_contrast : float
        A peak counts if it stands out from its surroundings by this share of its own height.
    min_sigma : float
        Jumps of fewer of their own standard deviations are left out, where these are known.

    Returns
    -------
    list of Cloud
        Empty without a profile.
    """
    if not min_jump_mag > 0 or not 0 < min_contrast <= 1 or not min_sigma >= 0:
        raise ConfigError(
            "min_jump_mag must be above 0, min_contrast above 0 to 1 and min_sigma 0 or more, "
            f"got: {min_jump_mag}, {min_contrast}, {min_sigma}"
        )
    index = int(volume.grid.sightline_of([l_deg], [b_deg])[0])
    if index < 0:
        raise DataError(f"sightline l = {l_deg:g}, b = {b_deg:g} is outside the map")
    sky = np.unravel_index(index, volume.grid.shape)
    if not volume.has_profile[sky]:
        return []
    peaks = _peaks(np.asarray(volume.density[sky], float), volume.distance, min_contrast)
    clouds = [_cloud(volume, index, *peak) for peak in peaks]
    # A standard deviation that is not known leaves none out.
    return sorted(
        (
            cloud
            for cloud in clouds
            if cloud.jump_mag >= min_jump_mag and not cloud.jump_mag < min_sigma * cloud.jump_std_mag
        ),
        key=lambda cloud: cloud.distance_kpc,
    )


def _peaks(density, distance, min_contrast):
    """Clear peaks of a density [n_distances]: near end, far end and width at half height of each, kpc."""
    from scipy.signal import find_peaks, peak_widths

    if not density.any():
        return
    # Zeros at both ends: a peak may lie in the first or the last bin.
    padded = np.concatenate([[0.0], density, [0.0]])
    peaks, about = find_peaks(padded, prominence=0.0)
    clear = about["prominences"] >= min_contrast * padded[peaks]
    peaks = peaks[clear]
    bases = tuple(about[name][clear] for name in ("prominences", "left_bases", "right_bases"))
    half = peak_widths(padded, peaks, rel_height=0.5, prominence_data=bases)
    wide = peak_widths(padded, peaks, rel_height=0.95, prominence_data=bases)
    for width, *ends in zip(half[0], wide[2], wide[3], strict=True):
        # Bin k of the map is element k + 1; its centre is half a bin past its inner edge.
        near, far = (float(np.clip((end - 0.5) * distance.step_kpc, 0.0, distance.max_kpc)) for end in ends)
        yield near, far, float(max(width, 1.0) * distance.step_kpc)


def _cloud(volume, index, near_kpc, far_kpc, extent_kpc):
    """The cloud between two distances on sightline `index` of a map."""
    sky, (l_deg, b_deg) = np.unravel_index(index, volume.grid.shape), volume.grid.center_deg(index)
    edges, rising = volume.distance.edges_kpc, np.append(0.0, volume.extinction[sky].astype(float))
    low, high = np.interp([near_kpc, far_kpc], edges, rising)
    middle = 0.5 * (low + high)
    nearest = farthest = std = math.nan
    if volume.percentiles:
        curves = volume.query_gal(l_deg, b_deg, mode="percentile", percentile=[84, 16]).value
        nearest, farthest = (_reached(middle, edges, np.append(0.0, curve)) for curve in curves)
        sides = np.append(0.0, volume.extinction_std[sky])
        std = float(np.hypot(*np.interp([near_kpc, far_kpc], edges, sides)))
    if volume.n_samples:
        ends = profiles_at(volume.samples[sky], volume.distance, [near_kpc, far_kpc])
        std = float(np.std(ends[:, 1] - ends[:, 0]))
    distance_kpc = _reached(middle, edges, rising)
    flags = int(volume.flag[sky])
    if volume.percentiles and distance_kpc > volume.reliable_distance_kpc[sky]:
        flags |= Flag.BEYOND_RELIABLE_DISTANCE.value
    rise_mag = float(high - low)
    return Cloud(l_deg, b_deg, distance_kpc, nearest, farthest, extent_kpc, rise_mag, std, flags)


def find_all_clouds(
    volume: ExtinctionMap, sightlines: Iterable[tuple[float, float]] | None = None, **finding: float
) -> list[Cloud]:
    """Clouds along many sightlines.

    Parameters
    ----------
    volume : ExtinctionMap
    sightlines : sequence of (float, float), optional
        (l, b) in degrees; by default all that have a profile.
    finding
        As for `find_clouds`.

    Returns
    -------
    list of Cloud
        Sightline by sightline, near ones first.
    """
    if sightlines is None:
        sightlines = np.transpose(volume.grid.centers_deg())[volume.has_profile.ravel()]
    return [cloud for place in sightlines for cloud in find_clouds(volume, *map(float, place), **finding)]


def _reached(level_mag, edges_kpc, rising):
    """Where a rising curve first reaches a level, in kpc; the last distance if it does not."""
    index = int(np.searchsorted(rising, level_mag))
    if index == len(rising):
        return float(edges_kpc[-1])
    if index == 0 or rising[index] == rising[index - 1]:
        return float(edges_kpc[index])
    share = (level_mag - rising[index - 1]) / (rising[index] - rising[index - 1])
    return float(edges_kpc[index - 1] + share * (edges_kpc[index] - edges_kpc[index - 1]))
