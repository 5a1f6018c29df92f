"""What every grid of sightlines answers, so that what works on one works on the other."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike

from extmap_tf.grids.regions import SkyRegion


class SkyTile(Protocol):
    """A small part of the sky."""

    @property
    def l_deg(self) -> float: ...
    @property
    def b_deg(self) -> float: ...
    @property
    def area_deg2(self) -> float: ...

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Positions (l, b) of `n` stars strewn evenly over it."""


class SkyGrid(Protocol):
    """A grid of sightlines: `extmap_tf.grids.squares.SightlineGrid` or `extmap_tf.grids.healpix.HealpixGrid`.

    Each sightline is the centre of a field, and has an index from 0 to `n_sightlines` - 1.
    """

    rectangular: ClassVar[bool]
    """Whether the sightlines stand in rows and columns of l and b."""

    @property
    def l_min_deg(self) -> float:
        """First longitude of a sightline."""

    @property
    def l_max_deg(self) -> float:
        """Last longitude; exceeds 360 where the range is across l = 0."""

    @property
    def b_min_deg(self) -> float:
        """Least latitude of a sightline."""

    @property
    def b_max_deg(self) -> float:
        """Largest latitude of a sightline."""

    @property
    def field_deg(self) -> float:
        """Side of a field, or of a square of its area."""

    @property
    def area_deg2(self) -> float:
        """Solid angle of a field."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of sky images."""

    @property
    def n_sightlines(self) -> int:
        """Number of sightlines."""

    @property
    def spacing(self) -> dict[str, float]:
        """What grids must have in common to be joined."""

    def summary(self) -> tuple[str, str]:
        """Lines of text: where, and how finely."""

    def centers_deg(self, index: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Centres (l, b) of the fields `index` [n], all by default; l in [0, 360)."""

    def center_deg(self, index: int) -> tuple[float, float]:
        """Centre (l, b) of one field."""

    def fields_of(self, l_deg: ArrayLike, b_deg: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Which fields positions [n] lie in: index of the position and of the field, one pair a match."""

    def place_in_field(
        self, sightline: np.ndarray, l_deg: np.ndarray, b_deg: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """How far positions [n] are across fields [n], from 0 to 1 along each side."""

    def sightline_of(self, l_deg: ArrayLike, b_deg: ArrayLike) -> np.ndarray:
        """Index of the sightline nearest to each position [n]; -1 outside."""

    def interpolation(self, l_deg: np.ndarray, b_deg: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Index and weight [n] of the four sightlines to interpolate between."""

    def neighbour_pairs(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Every pair of neighbouring fields that share no star, and how many steps they are apart."""

    def adjacent_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Every pair of sightlines beside one another, whether their fields overlap or not, once."""

    def cells_deg2(self) -> np.ndarray:
        """Solid angle of the sky that is nearest to each sightline [n_sightlines]."""

    def nodes_deg(self, step_deg: float) -> list[tuple[float, float]]:
        """Positions (l, b) that span the grid, about `step_deg` apart."""

    def tiles(self, size_deg: float) -> Sequence[SkyTile]:
        """Tiles about `size_deg` wide that cover every field and do not overlap."""

    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges in l of columns [n + 1], ascending and not wrapped, and the column of each sightline."""

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges in b of rows [n + 1], ascending, and the row of each sightline."""

    def cut(self, l_deg: float) -> tuple[np.ndarray, float, np.ndarray]:
        """A cut at a longitude: edges in b [n + 1], the longitude itself, sightlines [n], -1 without."""

    def within(self, region: SkyRegion) -> tuple[Self, np.ndarray]:
        """The grid of a region that holds a sightline, and the index in this one of each of its sightlines.

        [*shape of that grid]; -1 where this one does not have it."""

    def require_joinable(self, other: Self, own_name: str, other_name: str) -> None:
        """Raise MismatchError, which names both, unless two grids of one spacing can be joined."""

    def joined(self, others: Sequence[Self]) -> Self:
        """The grid of all sightlines of this one and of others."""
