"""A map as it is held in memory: its header, the arrays of all fields, and what follows from them."""

from pathlib import Path
from typing import Any, Self

import numpy as np

from extmap_tf.errors import DataError
from extmap_tf.estimate import AXES, EMPTY_FLAGS, PERCENTILES, ProfileEstimate
from extmap_tf.extinction.bands import as_law, extinction_ratio, quantity_of
from extmap_tf.extinction.profiles import cumulative_to_density
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map.header import MapHeader
from extmap_tf.map.layers import map_layers, out_of_memory
from extmap_tf.map.provenance import Provenance
from extmap_tf.settings.law import LawConfig


class HeldMap:
    """Arrays on a grid of sightlines, read-only, and their values in any band.

    Parameters, attributes and errors are those of `extmap_tf.map.volume.ExtinctionMap`, which adds queries
    and files.
    """

    coverage: np.ndarray
    n_stars: np.ndarray
    surveys: np.ndarray
    odd_surveys: np.ndarray
    flag: np.ndarray
    extinction_median: np.ndarray
    extinction_mean: np.ndarray
    extinction_std: np.ndarray
    extinction_percentiles: np.ndarray
    density_median: np.ndarray
    density_mean: np.ndarray
    density_std: np.ndarray
    density_percentiles: np.ndarray
    reliable: np.ndarray
    reliable_distance_kpc: np.ndarray
    samples: np.ndarray
    smallest_wall: np.ndarray
    extinction_common_std: np.ndarray

    def __init__(
        self,
        header: MapHeader,
        profiles: ProfileEstimate,
        coverage: Any,
        n_stars: Any,
        surveys: Any = None,
        smallest_wall: Any = None,
    ) -> None:
        if profiles.shape != header.grid.shape:
            raise DataError(
                f"profiles of a map must have the shape {header.grid.shape} of its grid, got: "
                f"{profiles.shape}"
            )
        kind, least = header.provenance.kind, header.min_coverage
        if header.is_refined == (profiles.extinction_common_std is None):
            raise DataError(
                "extinction_common_std must be given of a refined map alone, whose provenance has offsets"
            )
        if header.tells_surveys == (surveys is None):
            raise DataError(
                f"surveys must be given of an estimate by several surveys alone, this is an {kind} by "
                f"{header.provenance.survey}"
            )
        if (header.wall_sigma > 0) == (smallest_wall is None):
            raise DataError(
                f"smallest_wall must be given of a map with wall_sigma alone, this has {header.wall_sigma:g}"
            )
        optional = (surveys, smallest_wall)
        layers = map_layers(profiles, header.distance, kind, coverage, n_stars, least, *optional)
        self._hold(header.of(profiles), layers)

    def _hold(self, header, layers, path=None, band="", factor=1.0):
        self.header = header
        self.path = path
        # What the layers are in, if not in the map's own band, and their ratio to it.
        self._band, self._factor = band, factor
        self._layers = layers
        for name, layer in layers.items():
            layer.flags.writeable = False
            setattr(self, name, layer)

    @classmethod
    def _held(
        cls, header: MapHeader, layers: dict[str, np.ndarray], path: Path | None = None, *shown: Any
    ) -> Self:
        self = cls.__new__(cls)
        self._hold(header, layers, path, *shown)
        return self

    def let_go(self) -> None:
        """Take what was read of the map's file out of memory; it is read again when it is used."""
        for layer in self._layers.values():
            out_of_memory(layer)

    @property
    def grid(self) -> SightlineGrid | HealpixGrid:
        return self.header.grid

    @property
    def distance(self) -> DistanceGrid:
        return self.header.distance

    @property
    def provenance(self) -> Provenance:
        return self.header.provenance

    @property
    def min_coverage(self) -> float:
        return self.header.min_coverage

    @property
    def percentiles(self) -> tuple[float, ...]:
        """In percent; empty where the profiles have no spread."""
        return self.header.percentiles

    @property
    def band(self) -> str:
        """Band, or colour excess, of all values: that of the provenance, or what `in_band` was asked for."""
        return self._band or self.provenance.band

    @property
    def factor(self) -> float:
        """Ratio of the values to the extinction in the map's own band: 1 unless `in_band` was asked."""
        return self._factor

    @property
    def quantity(self) -> str:
        """What the values are: ``A(Ks)``, ``E(J-Ks)``."""
        return quantity_of(self.band)

    @property
    def odd_by_survey(self) -> dict[str, np.ndarray]:
        """Of a map by several surveys whether the stars of each raised a flag: bool [*sky] by its name."""
        if not self.header.tells_surveys:
            return {}
        names = self.provenance.surveys
        return {name: self.odd_surveys & (1 << i) != 0 for i, name in enumerate(names)}

    @property
    def n_samples(self) -> int:
        """Samples of each profile in the map, 0 if there are none."""
        return self.header.n_samples

    @property
    def extinction(self) -> np.ndarray:
        return self.extinction_median

    @property
    def density(self) -> np.ndarray:
        return self.density_median

    @property
    def rise(self) -> np.ndarray:
        """Where the dust is: rise of the extinction in each bin, mag / kpc [*sky, n_distances].

        It adds up to the extinction; `density`, of a map with a spread the median of each bin by itself, adds
        up to less.
        """
        return cumulative_to_density(self.extinction, self.distance.step_kpc)

    @property
    def profiles(self) -> ProfileEstimate:
        """All that the map knows of its profiles."""
        arrays = {name: layer for name, layer in self._layers.items() if name in AXES}
        return ProfileEstimate(**arrays, percentiles=self.percentiles or PERCENTILES)

    @property
    def has_profile(self) -> np.ndarray:
        """Whether a sightline has a profile: ndarray of bool [*sky]."""
        return self.flag & EMPTY_FLAGS.value == 0

    def band_factor(self, band: str | None = None, law: LawConfig | str | None = None) -> float:
        """A(band), or a colour excess, over the values of this map.

        What stars show best is their reddening, in a map of A(Ks) by J and Ks the excess E(J-Ks). The map's
        A(Ks) goes with the ratio A(J)/A(Ks) that its provenance states, and E(J-Ks) is A(Ks) times this less
        one. Other excesses E(x-Ks) follow from E(J-Ks) by the law, and A(x) is A(Ks) + E(x-Ks).

        Parameters
        ----------
        band : str, optional
            The map's own bands, any of `extmap_tf.extinction.bands.BANDS_UM`, or a colour excess of two such
            as ``E(B-V)``; that of the values if left out.
        law : LawConfig or str, optional
            Instead of the map's own law: a model of ``dust_extinction`` by name (then with R(V) = 3.1). The
            map's E(J-Ks) is kept, and all else, A(Ks) too, follows from this law.

        Raises
        ------
        ConfigError
            An unknown band or law, or a law that does not cover the band.
        """
        origin, band = self.provenance, band or self.band
        own_um = {origin.blue_band: origin.blue_band_um, origin.band: origin.band_um}
        if law is None:
            if band == self.band:
                return 1.0
            known = (origin.blue_band, origin.blue_over_red)
            return extinction_ratio(band, origin.band, origin.law, own_um, known) / self._factor
        of_law = [
            extinction_ratio(name, origin.band, as_law(law), own_um) for name in (origin.blue_band, band)
        ]
        return (origin.blue_over_red - 1.0) / (of_law[0] - 1.0) * of_law[1] / self._factor

    def in_band(self, band: str | None, law: LawConfig | str | None = None) -> Self:
        """The same map with all values in another band or as a colour excess, in memory.

        For figures, reports and copies. What is reliable stays what it is in the map's own band.

        Parameters
        ----------
        band, law
            As for `band_factor`.
        """
        factor = np.float32(self.band_factor(band, law))
        if factor == 1.0 and band in (None, self.band):
            return self
        layers = {
            name: layer * factor if name in (*AXES, "smallest_wall") and layer.dtype.kind == "f" else layer
            for name, layer in self._layers.items()
        }
        return self._held(self.header, layers, self.path, band or self.band, self._factor * float(factor))
