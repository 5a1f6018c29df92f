"""What a map says beyond its medians: mean, spread, percentiles and samples of every profile."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from extmap_tf.errors import DataError
from extmap_tf.grids import PERCENTILES


@dataclass(frozen=True, eq=False)
class Distribution:
    """The distribution of the profiles of a map, point by point in distance.

    Every statistic is taken at each distance by itself. So medians and percentiles of the cumulative
    extinction rise with distance as each profile does, but none of them is itself a likely profile, and the
    median density is not the slope of the median cumulative extinction.

    Parameters
    ----------
    cumulative, cumulative_mean, cumulative_std : array_like [n_b, n_l, n_distances]
        Median, mean and standard deviation of the cumulative extinction at the bins' outer edges, mag.
    cumulative_percentiles : array_like [n_b, n_l, n_percentiles, n_distances]
        mag, in the order of `percentiles`.
    density_mean, density_std : array_like [n_b, n_l, n_distances]
        Of the density inside the bins, mag/kpc; its median is the map's own density.
    density_percentiles : array_like [n_b, n_l, n_percentiles, n_distances]
        mag/kpc.
    reliable_distance_kpc : array_like [n_b, n_l]
        How far each profile can be relied on.
    density_samples : array_like [n_b, n_l, n_samples, n_distances], optional
        Whole profiles, each as likely as another, mag/kpc.
    percentiles : tuple of float
        In percent, ascending.
    """

    cumulative: np.ndarray
    cumulative_mean: np.ndarray
    cumulative_std: np.ndarray
    cumulative_percentiles: np.ndarray
    density_mean: np.ndarray
    density_std: np.ndarray
    density_percentiles: np.ndarray
    reliable_distance_kpc: np.ndarray
    density_samples: np.ndarray | None = None
    percentiles: tuple = PERCENTILES

    def layers(self, shape, n_distances):
        """The arrays by name, as float32 and checked.

        Parameters
        ----------
        shape : tuple of int
            Of the map's grid.
        n_distances : int

        Raises
        ------
        DataError
            An array does not have the map's shape.
        """
        layers = {}
        for spec in dataclasses.fields(self):
            layer = getattr(self, spec.name)
            if layer is None or spec.name == "percentiles":
                continue
            layer = np.array(layer, np.float32)
            expected = (*shape, n_distances)
            if spec.name == "reliable_distance_kpc":
                expected = tuple(shape)
            elif spec.name.endswith("_percentiles"):
                expected = (*shape, len(self.percentiles), n_distances)
            elif spec.name == "density_samples":
                expected = (*shape, *layer.shape[-2:-1], n_distances)
            if layer.shape != expected:
                raise DataError(
                    f"{spec.name} of a map must have the shape {expected} of its grids, got: {layer.shape}"
                )
            layers[spec.name] = layer
        return layers
