"""What is known of extinction profiles: percentiles, mean, spread, samples, flags, reliable distance."""

import dataclasses
from dataclasses import dataclass
from enum import IntFlag

import numpy as np

from extmap_tf.errors import DataError

# The percentiles (in percent) of an estimate that a model gives and a map stores: the ends of its 50, 68, 90
# and 95 % intervals, and its median.
PERCENTILES = (2.5, 5.0, 16.0, 25.0, 50.0, 75.0, 84.0, 95.0, 97.5)

# 0.05 mag of A(Ks) redden a star by about 0.08 mag, less than a pixel of the CMD (0.1 mag). Without such a
# floor no sightline could be relied on near the Sun, where there is next to no extinction to compare with.
RELIABLE_MAG = 0.05
RELIABLE_FRACTION = 0.2


class Flag(IntFlag):
    """What is wrong with a sightline or a queried position; the first seven are also in the file.

    ``NO_STARS``, ``LOW_COVERAGE`` and ``NO_PROFILE`` come with NaN, as do ``OUTSIDE_SKY`` and
    ``NOT_A_NUMBER``. With ``BEYOND_LAST_DISTANCE`` the cumulative extinction is a lower limit and the density
    is NaN. The others warn of a value that is given: the field is unlike those that the model was trained
    on, or the position is beyond the distance to which its sightline is reliable.
    """

    NO_STARS = 1
    LOW_COVERAGE = 2
    NO_PROFILE = 4
    FEW_STARS = 8
    ODD_STAR_COUNT = 16
    ODD_COLORS = 32
    ODD_PLACE = 64
    OUTSIDE_SKY = 256
    BEYOND_LAST_DISTANCE = 512
    NOT_A_NUMBER = 1024
    BEYOND_RELIABLE_DISTANCE = 2048

    @property
    def meaning(self):
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
    Flag.OUTSIDE_SKY: "outside the sky grid",
    Flag.BEYOND_LAST_DISTANCE: "beyond the last distance",
    Flag.NOT_A_NUMBER: "position or distance is NaN",
    Flag.BEYOND_RELIABLE_DISTANCE: "beyond the reliable distance",
}
EMPTY_FLAGS = Flag.NO_STARS | Flag.LOW_COVERAGE | Flag.NO_PROFILE
SIGHTLINE_FLAGS = tuple(flag for flag in Flag if flag < Flag.OUTSIDE_SKY)

# The model's bits 1, 2, 4, 8 for an unusual diagram, in this order, are these flags.
OUTLIER_FLAGS = (Flag.FEW_STARS, Flag.ODD_STAR_COUNT, Flag.ODD_COLORS, Flag.ODD_PLACE)
OUTLIER_SHIFT = 3


@dataclass(frozen=True, eq=False)
class Distribution:
    """The distribution of the profiles of a map, point by point in distance.

    Every statistic is taken at each distance by itself. So medians and percentiles of the cumulative
    extinction rise with distance as each profile does, but none of them is itself a likely profile, and the
    median density is not the slope of the median cumulative extinction.

    Below, ``*sky`` is the shape of the map's grid: (n_b, n_l) or (n_pixels,).

    Parameters
    ----------
    cumulative, cumulative_mean, cumulative_std : array_like [*sky, n_distances]
        Median, mean and standard deviation of the cumulative extinction at the bins' outer edges, mag.
    cumulative_percentiles : array_like [*sky, n_percentiles, n_distances]
        mag, in the order of `percentiles`.
    density_mean, density_std : array_like [*sky, n_distances]
        Of the density inside the bins, mag/kpc; its median is the map's own density.
    density_percentiles : array_like [*sky, n_percentiles, n_distances]
        mag/kpc.
    reliable_distance_kpc : array_like [*sky]
        How far each profile can be relied on.
    density_samples : array_like [*sky, n_samples, n_distances], optional
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


def reliable_distance_kpc(p16, p50, p84, outer_kpc):
    """How far each profile can be relied on.

    The far edge of the last bin up to which, in every bin, half the central 68 % interval of the cumulative
    extinction is at most 20 % of its median or 0.05 mag, whichever is more; 0 if the first bin is not so.

    Parameters
    ----------
    p16, p50, p84 : array_like [..., n_distances]
        Percentiles of the cumulative extinction, mag.
    outer_kpc : array_like [n_distances]

    Returns
    -------
    ndarray [...]
    """
    p16, p50, p84 = (np.asarray(p, float) for p in (p16, p50, p84))
    sure = 0.5 * (p84 - p16) <= np.maximum(RELIABLE_MAG, RELIABLE_FRACTION * p50)
    n_sure = np.cumprod(sure, axis=-1).sum(axis=-1)
    return np.append(0.0, outer_kpc)[n_sure]
