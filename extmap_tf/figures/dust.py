"""Where the dust of a map is, and how sure that is: what its figures draw.

Dust is the rise of the column, of a distribution that of its median (`ExtinctionMap.rise`). It is drawn in
steps of whole bins that grow with distance, as the length does that a map resolves: single bins far away are
noise that looks like walls.
"""

import numpy as np

from extmap_tf.extinction.profiles import profiles_at
from extmap_tf.map.volume import ExtinctionMap

# What is drawn beside the dust, in its colours: as dark as dust of which nothing is known.
UNSURE_TITLE = "half its 68 % interval"

# A step is a bin, or so long a share of the distance of its near end, or of the last one.
STEP_SHARE, LEAST_SHARE = 0.1, 0.02
IN_STEPS = f"in steps of {100 * STEP_SHARE:g} % of the distance"

_SIGHTLINES_AT_ONCE = 4096


def step_bins(n_distances: int) -> np.ndarray:
    """First bin of each step, and at last the number of bins: int [n_steps + 1]."""
    first = [0]
    while first[-1] < n_distances:
        length = max(STEP_SHARE * first[-1], LEAST_SHARE * n_distances)
        first.append(first[-1] + max(1, int(length + 1e-9)))
    if first[-1] > n_distances and len(first) > 2:
        # No short one at the end.
        del first[-2]
    first[-1] = n_distances
    return np.array(first)


def steps_to_bins(layer: np.ndarray, n_distances: int) -> np.ndarray:
    """Values of steps [..., n_steps] -> [..., n_distances]: each bin that of its step."""
    return np.repeat(layer, np.diff(step_bins(n_distances)), axis=-1)


def rise_between(volume: ExtinctionMap, edges_kpc: np.ndarray) -> np.ndarray:
    """Extinction between distances [n + 1], ascending: [*sky, n], mag."""
    return np.diff(profiles_at(volume.extinction, volume.distance, edges_kpc), axis=-1)


def rise_in_steps(volume: ExtinctionMap) -> np.ndarray:
    """The dust, in each bin that of its step: [*sky, n_distances], mag / kpc."""
    n, edges = volume.distance.n_distances, _edges_kpc(volume)
    return steps_to_bins(rise_between(volume, edges) / np.diff(edges), n).astype(np.float32)


def half_interval_between(volume: ExtinctionMap, edges_kpc: np.ndarray) -> np.ndarray | None:
    """Half of the central 68 % interval of `rise_between`: [*sky, n], mag.

    It is that of the samples; of a map without them it is known from the Sun to a distance only, and None
    otherwise. Of `rise_in_steps` see `half_interval_in_steps`.
    """
    if volume.n_samples:
        found = []
        samples = volume.samples.reshape(volume.grid.n_sightlines, volume.n_samples, -1)
        for start in range(0, len(samples), _SIGHTLINES_AT_ONCE):
            block = samples[start : start + _SIGHTLINES_AT_ONCE]
            rises = np.diff(profiles_at(block, volume.distance, edges_kpc), axis=-1)
            low, high = np.percentile(rises, (16.0, 84.0), axis=1)
            found.append(0.5 * (high - low))
        return np.concatenate(found).reshape(*volume.grid.shape, -1)
    if volume.percentiles and len(edges_kpc) == 2 and edges_kpc[0] == 0.0:
        cube = volume.extinction_percentiles
        low, high = (
            profiles_at(cube[..., volume.percentiles.index(level), :], volume.distance, edges_kpc[1:])
            for level in (16.0, 84.0)
        )
        return 0.5 * (high - low)
    return None


def half_interval_in_steps(volume: ExtinctionMap) -> np.ndarray:
    """Half of the central 68 % interval of `rise_in_steps`: [*sky, n_distances], mag / kpc.

    Of a map without samples it is the mean of the step's bins, which is rather too much.
    """
    n, edges = volume.distance.n_distances, _edges_kpc(volume)
    half = half_interval_between(volume, edges)
    if half is not None:
        return steps_to_bins(half / np.diff(edges), n)
    low, high = (
        volume.density_percentiles[..., volume.percentiles.index(level), :] for level in (16.0, 84.0)
    )
    first = step_bins(n)
    means = np.add.reduceat(0.5 * (high - low), first[:-1], axis=-1) / np.diff(first)
    return steps_to_bins(means, n)


def _edges_kpc(volume):
    return volume.distance.edges_kpc[step_bins(volume.distance.n_distances)]
