r"""A diagram as stars of known kinds see it: in the plane of distance and extinction.

A star of absolute magnitude M and colour c at distance d behind the extinction A stands at one place of
the diagram, magnitude M + 5 log10(d / 10 pc) + A and colour c + (A(blue)/A(red) - 1) A. So for each of a
few kinds of stars the diagram becomes an image over (d, A), in which the profile is a curve (`StarPlanes`).
`extmap_tf.networks.Planes` works it through by convolutions along d; its columns of A are their channels.

Beside the logarithms of counts and reference goes the number of stars itself, in units of its noise
(`CountsOverNoise`): what a likelihood takes from a diagram are sums over pixels of counts times weights, and
a sum of logarithms is none.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from extmap_tf.model.facts import PairFacts

_PACKAGE = "extmap_tf"

STAR_TYPES = (
    (-1.61, 0.62),
    (-4.0, 0.95),
    (-6.0, 1.15),
    (0.8, 0.58),
    (2.3, 0.25),
    (0.3, 0.0),
    (3.6, 0.40),
    (5.5, 0.85),
)
"""M(Ks) and J - Ks: red clump, giants, their tip, subgiants, turn-off, hot stars, G and M dwarfs."""

N_DISTANCES, N_EXTINCTIONS = 32, 32
_LINEAR_SHARE = 4.0 / 45.0
_STARS_ELSEWHERE = 0.2


@keras.saving.register_keras_serializable(_PACKAGE)
class CountsOverNoise(layers.Layer):
    """Counts [batch, n_mag, n_color] over the root of their mean in the training diagrams.

    Parameters
    ----------
    diagram : str
        Name of the diagram.
    """

    def __init__(self, diagram: str = "counts", **kwargs: Any) -> None:
        super().__init__(**({"dtype": "float32", "trainable": False} | kwargs))
        self.diagram = diagram

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.weights_of_pixels = self.add_weight(shape=tuple(shape[1:]), name="weights", initializer="ones")
        self.built = True

    def learn_from(self, facts: PairFacts) -> None:
        self.weights_of_pixels.assign(1.0 / np.sqrt(facts.mean_counts[self.diagram] + _STARS_ELSEWHERE))

    def call(self, counts: Any) -> Any:
        return ops.maximum(ops.cast(counts, "float32"), 0.0) * self.weights_of_pixels

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"diagram": self.diagram}


@keras.saving.register_keras_serializable(_PACKAGE)
class StarPlanes(layers.Layer):
    """Images [batch, n_mag, n_color] to [batch, `N_DISTANCES`, n_types * `N_EXTINCTIONS`], by interpolation.

    Parameters
    ----------
    color_edges_mag, mag_edges_mag : sequence of float
        Edges of the pixels, equally spaced.
    blue_over_red : float
        A(blue) / A(red).
    star_types : sequence of (float, float)
        Absolute red magnitude and colour.
    nearest_kpc, farthest_kpc : float
        First and last of the distances, which are evenly spaced in their logarithm.
    most_mag : float
        Last of the extinctions from 0 on, which are evenly spaced at first and far apart at the end.
    """

    def __init__(
        self,
        color_edges_mag: Sequence[float] | np.ndarray,
        mag_edges_mag: Sequence[float] | np.ndarray,
        blue_over_red: float,
        star_types: Any = STAR_TYPES,
        nearest_kpc: float = 0.2,
        farthest_kpc: float = 10.0,
        most_mag: float = 4.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**({"dtype": "float32", "trainable": False} | kwargs))
        self.color_edges_mag, self.mag_edges_mag = list(color_edges_mag), list(mag_edges_mag)
        self.blue_over_red, self.star_types = float(blue_over_red), [list(kind) for kind in star_types]
        self.nearest_kpc, self.farthest_kpc, self.most_mag = nearest_kpc, farthest_kpc, most_mag
        pixels, weights = plane_pixels(
            np.array(color_edges_mag),
            np.array(mag_edges_mag),
            blue_over_red,
            np.array(star_types),
            (nearest_kpc, farthest_kpc),
            most_mag,
        )
        self._pixels, self._shares = pixels, weights

    def call(self, image: Any) -> Any:
        flat = ops.pad(ops.reshape(image, (-1, self._n_pixels())), [[0, 0], [0, 1]])
        # Rows of a transposed image are gathered many times faster than columns.
        flat = ops.transpose(flat)
        found = 0.0
        for corner in range(4):
            part = ops.take(flat, self._pixels[..., corner], axis=0)
            found = found + part * self._shares[..., corner, None]
        # [n_types, n_distances, n_extinctions, batch]
        found = ops.transpose(found, (3, 1, 0, 2))
        return ops.reshape(found, (-1, N_DISTANCES, len(self.star_types) * N_EXTINCTIONS))

    def _n_pixels(self):
        return (len(self.color_edges_mag) - 1) * (len(self.mag_edges_mag) - 1)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (shape[0], N_DISTANCES, len(self.star_types) * N_EXTINCTIONS)

    def get_config(self) -> dict[str, Any]:
        names = ["color_edges_mag", "mag_edges_mag", "blue_over_red", "star_types"]
        names += ["nearest_kpc", "farthest_kpc", "most_mag"]
        return super().get_config() | {name: getattr(self, name) for name in names}


def plane_pixels(
    color_edges_mag: np.ndarray,
    mag_edges_mag: np.ndarray,
    blue_over_red: float,
    star_types: np.ndarray,
    range_kpc: tuple[float, float],
    most_mag: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The four pixels around each place of the planes, and their shares.

    Returns
    -------
    pixels : ndarray of int32 [n_types, N_DISTANCES, N_EXTINCTIONS, 4]
        Flat; the number of pixels where there is none.
    shares : ndarray of float32 [n_types, N_DISTANCES, N_EXTINCTIONS, 4]
    """
    distance_kpc = np.geomspace(*range_kpc, N_DISTANCES)
    steps = np.linspace(0.0, np.arcsinh(1.0 / _LINEAR_SHARE), N_EXTINCTIONS)
    a_mag = _LINEAR_SHARE * most_mag * np.sinh(steps)
    modulus = 5.0 * np.log10(100.0 * distance_kpc)
    mag = star_types[:, 0, None, None] + modulus[:, None] + a_mag
    color = np.broadcast_to(star_types[:, 1, None, None] + (blue_over_red - 1.0) * a_mag, mag.shape)
    places, shape = [], []
    for value, edges in ((mag, mag_edges_mag), (color, color_edges_mag)):
        places.append((value - edges[0]) / (edges[1] - edges[0]) - 0.5)
        shape.append(len(edges) - 1)
    below = [np.floor(place).astype(int) for place in places]
    pixels, shares = [], []
    for up in (0, 1):
        for right in (0, 1):
            row, column = below[0] + up, below[1] + right
            inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
            pixels.append(np.where(inside, row * shape[1] + column, shape[0] * shape[1]))
            part = [1.0 - abs(place - index) for place, index in zip(places, (row, column), strict=True)]
            shares.append(part[0] * part[1])
    return np.stack(pixels, axis=-1).astype(np.int32), np.stack(shares, axis=-1).astype(np.float32)
