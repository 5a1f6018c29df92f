"""Where the dust of a map is: what its figures draw as density.

It is the rise of the column, of a distribution that of its median (`ExtinctionMap.rise`).
"""

import numpy as np

from extmap_tf.extinction.profiles import profiles_at
from extmap_tf.map.volume import ExtinctionMap


def rise_between(volume: ExtinctionMap, edges_kpc: np.ndarray) -> np.ndarray:
    """Extinction between distances [n + 1], ascending: [*sky, n], mag."""
    return np.diff(profiles_at(volume.extinction, volume.distance, edges_kpc), axis=-1)


def half_interval(volume: ExtinctionMap) -> np.ndarray:
    """Half of the central 68 % interval of the density in each bin: [*sky, n_distances], mag / kpc."""
    low, high = (
        volume.density_percentiles[..., list(volume.percentiles).index(level), :] for level in (16.0, 84.0)
    )
    return 0.5 * (high - low)
