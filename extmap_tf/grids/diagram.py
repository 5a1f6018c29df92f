"""The diagrams that stars are counted in, and the one rule that says in which pixel a star is.

The rule is written with operators alone, which numpy arrays and TensorFlow's tensors share: a table and a
served graph agree to the last bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from extmap_tf.errors import require

EDGE_TOLERANCE = 1e-4
"""Pixels begin so much of their width below their edges.

Catalogs give magnitudes to 0.001, so that a star often falls on an edge: it is above it, in 32-bit and 64-bit
arithmetic alike.
"""

N_BANDS = {"magnitude": 1, "color": 2, "parallax": 0}
"""How many bands each quantity is made of."""


@dataclass(frozen=True)
class Axis:
    """Equal pixels along one quantity; intervals include their lower end and exclude their upper end.

    Parameters
    ----------
    quantity : {"magnitude", "color", "parallax"}
        A colour is the first band's magnitude less the second's. Magnitudes are in mag, parallaxes in mas.
    bands : tuple of str
        One of a magnitude, two of a colour, none of a parallax.
    minimum, maximum : float
        Lower end of the first pixel, upper end of the last.
    n_pixels : int

    Examples
    --------
    >>> axis = Axis("color", ("J", "Ks"), -0.5, 5.9, 64)
    >>> axis.label, axis.edges[:3].round(6).tolist()
    ('J-Ks', [-0.5, -0.4, -0.3])
    """

    quantity: str
    bands: tuple[str, ...]
    minimum: float
    maximum: float
    n_pixels: int

    def __post_init__(self) -> None:
        require(self.quantity in N_BANDS, "quantity", f"one of {', '.join(N_BANDS)}", self)
        n_bands = N_BANDS[self.quantity]
        require(len(self.bands) == n_bands, "bands", f"{n_bands} for a {self.quantity}", self)
        require(self.maximum > self.minimum, "maximum", "above minimum", self)
        require(self.n_pixels >= 1, "n_pixels", "1 or more", self)

    @property
    def label(self) -> str:
        """``Ks``, ``J-Ks`` or ``parallax``."""
        return "-".join(self.bands) or self.quantity

    @property
    def unit(self) -> str:
        return "mas" if self.quantity == "parallax" else "mag"

    @property
    def width(self) -> float:
        """Size of a pixel."""
        return (self.maximum - self.minimum) / self.n_pixels

    @property
    def edges(self) -> np.ndarray:
        """Edges of the pixels [n_pixels + 1]."""
        return np.linspace(self.minimum, self.maximum, self.n_pixels + 1)

    @property
    def centers(self) -> np.ndarray:
        """Centres of the pixels [n_pixels]."""
        edges = self.edges
        return 0.5 * (edges[:-1] + edges[1:])

    def value_of(self, magnitudes: Mapping[str, Any], parallax_mas: Any = None) -> Any:
        """The quantity of each star, from its magnitudes by band and, where it is that, its parallax."""
        if self.quantity == "parallax":
            return parallax_mas
        first, *second = (magnitudes[band] for band in self.bands)
        return first - second[0] if second else first

    def place_of(self, value: Any) -> Any:
        """Where a quantity stands, in pixels: pixel i is from i to below i + 1.

        Parameters
        ----------
        value : array_like or tf.Tensor of float [...]

        Returns
        -------
        The same type [...]
            Negative, `n_pixels` and more, or NaN outside.
        """
        scale = self.n_pixels / (self.maximum - self.minimum)
        return (value - self.minimum) * scale + EDGE_TOLERANCE

    def holds(self, place: Any) -> Any:
        """Whether a place of `place_of` is in a pixel: bool [...], false of NaN."""
        return (place >= 0) & (place < self.n_pixels)


@dataclass(frozen=True)
class Diagram:
    """Two axes that the stars of one survey are counted along: counts are [y.n_pixels, x.n_pixels].

    Parameters
    ----------
    survey : str
        Its name.
    y, x : Axis
    name : str
        What its counts are called in records, networks and signatures: ``counts`` of the first diagram of a
        configuration.
    """

    survey: str
    y: Axis
    x: Axis
    name: str = "counts"

    def __post_init__(self) -> None:
        # Whole numbers up to here are held by 32-bit floats.
        require(self.n_pixels <= 2**24, "n_pixels", "at most 2^24", self)

    @property
    def shape(self) -> tuple[int, int]:
        return (self.y.n_pixels, self.x.n_pixels)

    @property
    def n_pixels(self) -> int:
        return self.y.n_pixels * self.x.n_pixels

    @property
    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges of the pixels along y and x."""
        return self.y.edges, self.x.edges

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands that a star must have to be in it."""
        return tuple(dict.fromkeys((*self.y.bands, *self.x.bands)))

    def places_of(self, magnitudes: Mapping[str, Any], parallax_mas: Any = None) -> tuple[Any, Any, Any]:
        """Where stars stand: the pixel rule, of numpy arrays and of tensors.

        Parameters
        ----------
        magnitudes : dict of str to array_like or tf.Tensor of float [...]
            By band.
        parallax_mas : the same, optional
            Needed if an axis is a parallax.

        Returns
        -------
        y, x : float [...]
            The integers below them are the pixel's row and column, where the star is inside.
        inside : bool [...]
        """
        y, x = (axis.place_of(axis.value_of(magnitudes, parallax_mas)) for axis in (self.y, self.x))
        return y, x, self.y.holds(y) & self.x.holds(x)


Cmds = Sequence[tuple[Diagram, np.ndarray]]
"""Diagrams, one or more, each with its counts of some fields [n, n_y, n_x]."""
