"""What a map's file says of it before any profile: grids, origin, and what is known of each profile."""

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Self

from extmap_tf.errors import require
from extmap_tf.estimate import ProfileEstimate
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map.provenance import Provenance

# The least coverage of a field that gets an estimate, where nothing else is said.
MIN_COVERAGE = 0.5


@dataclass(frozen=True)
class MapHeader:
    """All of a map but its layers.

    Parameters
    ----------
    grid : SightlineGrid or HealpixGrid
    distance : DistanceGrid
    provenance : Provenance
    min_coverage : float
        An estimate with less coverage, or without a star, becomes NaN and is flagged. A truth is known
        without stars.
    percentiles : tuple of float
        In percent, 16, 50 and 84 among them; empty where the profiles have no spread.
    n_samples : int
        Samples of each profile, 0 if there are none.
    wall_sigma : float
        At how many standard deviations a wall of dust counts as found in the layer ``smallest_wall``; 0 if
        there is no such layer.
    """

    grid: SightlineGrid | HealpixGrid
    distance: DistanceGrid
    provenance: Provenance
    min_coverage: float = MIN_COVERAGE
    percentiles: tuple[float, ...] = ()
    n_samples: int = 0
    wall_sigma: float = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.min_coverage <= 1, "min_coverage", "0 to 1", self)
        require(self.n_samples >= 0, "n_samples", "0 or more", self)
        require(self.wall_sigma >= 0, "wall_sigma", "0 or more", self)
        p = (0.0, *self.percentiles, 100.0)
        rising = all(low < high for low, high in itertools.pairwise(p))
        require(rising, "percentiles", "ascending, above 0 and below 100", self)
        known = not self.percentiles or {16.0, 50.0, 84.0} <= set(self.percentiles)
        require(known, "percentiles", "16, 50, 84 and perhaps others", self)

    def of(self, profiles: ProfileEstimate) -> Self:
        """The same of a map with these profiles."""
        percentiles = profiles.percentiles if profiles.has_spread else ()
        return dataclasses.replace(self, percentiles=percentiles, n_samples=profiles.n_samples)

    @property
    def tells_surveys(self) -> bool:
        """Whether the map says which surveys each field had: an estimate by several."""
        return self.provenance.kind == "estimate" and len(self.provenance.surveys) > 1

    @property
    def is_refined(self) -> bool:
        """Whether the likelihood refined a network's answers, so that fields have errors in common."""
        return bool(self.provenance.offsets)

    @property
    def lengths(self) -> dict[str, int]:
        """How long the axes of the map's layers are, by their names there."""
        n = self.distance.n_distances
        return {"edge": n, "bin": n, "percentile": len(self.percentiles), "sample": self.n_samples}
