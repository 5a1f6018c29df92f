"""The two shapes every star table ends in: stars of a Galaxy model, and stars seen by a survey."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class MockCatalog:
    """Stars of a Galaxy model on one sightline, without extinction and without errors.

    Parameters
    ----------
    l_deg, b_deg : float
        The sightline.
    area_deg2 : float
        Solid angle the stars were drawn from.
    distance_kpc, blue_mag, red_mag : ndarray of float32 [n_stars]
        Heliocentric distance and apparent magnitudes without extinction in the survey's two bands (for
        2MASS, J and Ks). The order of the stars is random: any slice is a fair sample.
    source : str
        Where they come from, for provenance.
    """

    l_deg: float
    b_deg: float
    area_deg2: float
    distance_kpc: np.ndarray
    blue_mag: np.ndarray
    red_mag: np.ndarray
    source: str

    @property
    def n_stars(self):
        return len(self.distance_kpc)

    @cached_property
    def ln_distance(self):
        """Natural logarithm of the distance in kpc [n_stars]."""
        return np.log(self.distance_kpc)

    @cached_property
    def absolute_red_mag(self):
        """Absolute magnitude in the red band [n_stars]."""
        return self.red_mag - np.float32(5.0 / np.log(10.0)) * self.ln_distance - np.float32(10.0)

    def take(self, part, area_deg2):
        """The stars of a slice, or of an array of indices, as a catalog of another solid angle."""
        return MockCatalog(
            self.l_deg,
            self.b_deg,
            area_deg2,
            self.distance_kpc[part],
            self.blue_mag[part],
            self.red_mag[part],
            self.source,
        )


@dataclass(frozen=True)
class StarBatch:
    """Some rows of a survey's table: the stars that pass the cuts, and why the others do not.

    Parameters
    ----------
    l_deg, b_deg : ndarray of float64 [n_stars]
        Galactic coordinates.
    blue_mag, red_mag : ndarray of float64 [n_stars]
        Observed magnitudes.
    n_rows : int
        Rows read, rejected ones included: ``n_rows == n_stars + sum(rejected.values())``.
    rejected : dict of str to int
        Number of rows left out, by the first reason that applied.
    """

    l_deg: np.ndarray
    b_deg: np.ndarray
    blue_mag: np.ndarray
    red_mag: np.ndarray
    n_rows: int
    rejected: dict[str, int] = field(default_factory=dict)

    @property
    def n_stars(self):
        return len(self.l_deg)
