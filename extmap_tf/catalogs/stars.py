"""The two shapes every star table ends in: stars of a Galaxy model, and stars seen by a survey."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

LUMINOUS_MAG = 2.0
"""Stars with an absolute magnitude (in the reference band) below this are giants and hot dwarfs."""

_N_STEPS = 128


@dataclass(frozen=True)
class Kinds:
    """Kinds of stars that a model may have too many or too few of: by distance, and luminous or not.

    Parameters
    ----------
    ln_kpc : ndarray of float64 [256]
        Natural logarithm of the distance in kpc: the middles of 128 equal steps from 0.1 to 10 kpc, twice.
        The first has all nearer stars, the last all farther ones.
    is_luminous : ndarray of float64 [256]
        1 or 0.
    """

    ln_kpc: np.ndarray
    is_luminous: np.ndarray


KINDS = Kinds(
    np.tile(np.log(10.0) * (2.0 * (np.arange(_N_STEPS) + 0.5) / _N_STEPS - 1.0), 2),
    np.repeat([0.0, 1.0], _N_STEPS),
)


class PartOf(Mapping[str, np.ndarray]):
    """Columns of some stars, by name, each taken from those of all when it is asked for.

    Parameters
    ----------
    columns : mapping of str to ndarray [n_stars]
    part : slice, or ndarray of int [n] or bool [n_stars]
        Which stars.
    """

    def __init__(self, columns: Mapping[str, np.ndarray], part: slice | np.ndarray) -> None:
        if isinstance(part, np.ndarray) and part.dtype == bool:
            part = np.flatnonzero(part)
        self._columns: Mapping[str, np.ndarray] = columns
        self._part: slice | np.ndarray = part
        if isinstance(columns, PartOf) and isinstance(columns._part, np.ndarray):
            self._columns, self._part = columns._columns, columns._part[part]

    def __getitem__(self, name: str) -> np.ndarray:
        column = self._columns[name]
        return column[self._part] if isinstance(self._part, slice) else column.take(self._part)

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


@dataclass(frozen=True)
class MockCatalog:
    """Stars of a Galaxy model on one sightline, without extinction and without errors.

    Parameters
    ----------
    l_deg, b_deg : float
        The sightline.
    area_deg2 : float
        Solid angle the stars were drawn from.
    distance_kpc : ndarray of float32 [n_stars]
        Heliocentric distance. The order of the stars is random: any slice is a fair sample.
    magnitudes : mapping of str to ndarray of float32 [n_stars]
        Apparent magnitudes without extinction, by band.
    reference_band : str
        The one of these bands in which the stars are complete to a limit, and whose absolute magnitude says
        which of them are luminous.
    source : str
        Where they come from, for provenance.
    log_t : ndarray of float32 [n_stars], optional
        Decimal logarithm of the temperature in kelvin, where it is known.
    """

    l_deg: float
    b_deg: float
    area_deg2: float
    distance_kpc: np.ndarray
    magnitudes: Mapping[str, np.ndarray]
    reference_band: str
    source: str
    log_t: np.ndarray | None = None

    @property
    def n_stars(self) -> int:
        return len(self.distance_kpc)

    @property
    def reference_mag(self) -> np.ndarray:
        """Magnitudes in the reference band [n_stars]."""
        return self.magnitudes[self.reference_band]

    @cached_property
    def kind(self) -> np.ndarray:
        """Which of `KINDS` each star is [n_stars], uint8."""
        step = np.log10(np.maximum(self.distance_kpc, np.float32(1e-6)))
        modulus = np.float32(5.0) * step + np.float32(10.0)
        step = (step + np.float32(1.0)) * np.float32(0.5 * _N_STEPS)
        kind = np.clip(step, 0, _N_STEPS - 1).astype(np.uint8)
        kind[self.reference_mag - modulus < LUMINOUS_MAG] += np.uint8(_N_STEPS)
        return kind

    def take(self, part: slice | np.ndarray, area_deg2: float) -> "MockCatalog":
        """The stars of a slice, of an array of indices or of a mask, as a catalog of another solid angle."""
        return MockCatalog(
            self.l_deg,
            self.b_deg,
            area_deg2,
            self.distance_kpc[part],
            PartOf(self.magnitudes, part),
            self.reference_band,
            self.source,
            None if self.log_t is None else self.log_t[part],
        )


@dataclass(frozen=True)
class StarBatch:
    """Some rows of a survey's table: the stars that pass the cuts, and why the others do not.

    Parameters
    ----------
    l_deg, b_deg : ndarray of float64 [n_stars]
        Galactic coordinates.
    magnitudes : dict of str to ndarray of float64 [n_stars]
        Observed magnitudes, by band.
    n_rows : int
        Rows read, rejected ones included: ``n_rows == n_stars + sum(rejected.values())``.
    rejected : dict of str to int
        Number of rows left out, by the first reason that applied.
    parallax_mas : ndarray of float64 [n_stars], optional
        Where the survey has parallaxes.
    """

    l_deg: np.ndarray
    b_deg: np.ndarray
    magnitudes: dict[str, np.ndarray]
    n_rows: int
    rejected: dict[str, int] = field(default_factory=dict)
    parallax_mas: np.ndarray | None = None

    @property
    def n_stars(self) -> int:
        return len(self.l_deg)
