"""Stars of a region by population, kind, shell of distance and cell of magnitude and colour: no dust yet."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from extmap_tf.catalogs.stars import LUMINOUS_MAG
from extmap_tf.galaxy import Galaxy
from extmap_tf.galaxy.library import band_table, library
from extmap_tf.galaxy.model import MODULUS_STEP_MAG
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.mocks.pools import fit_catalog
from extmap_tf.settings.config import Config
from extmap_tf.surveys.observing import faint_limit_mag

KINDS = 2
"""Faint stars and luminous ones (`extmap_tf.catalogs.stars.LUMINOUS_MAG`)."""

# Shells of distance grow with it, but are whole bins. Beyond the last bin there are some more, since at high
# latitude fewer of the stars there are far than in the plane.
_SHELL_SHARE, _BEYOND_SHARE, _N_BEYOND = 0.06, 0.2, 5

# Cells are those of the library.
CELL_MAG, CELL_COLOR_MAG = 0.05, 0.02
_BRIGHTEST_MAG, _BLUEST_MAG, _REDDEST_MAG = 2.0, -0.8, 4.0
_FIELDS_OF_STARS = 64.0


@dataclass(frozen=True, eq=False)
class Shells:
    """Shells of distance: some bins each, and a few beyond the last bin.

    Parameters
    ----------
    first : ndarray of int [n_shells]
        First bin of each; those beyond are counted on from the number of bins.
    edges_kpc : ndarray [n_shells]
        Where each begins.
    """

    first: np.ndarray
    edges_kpc: np.ndarray

    @classmethod
    def of(cls, distance: DistanceGrid) -> "Shells":
        bins = [0]
        while bins[-1] < distance.n_distances:
            bins.append(bins[-1] + max(1, int(_SHELL_SHARE * bins[-1])))
        beyond = np.arange(_N_BEYOND)
        first = np.append(bins[:-1], distance.n_distances + beyond)
        far_kpc = distance.max_kpc * (1.0 + _BEYOND_SHARE) ** beyond
        return cls(first, np.append(distance.step_kpc * first[:-_N_BEYOND], far_kpc))

    def __len__(self) -> int:
        return len(self.first)

    def of_distance(self, distance_kpc: np.ndarray) -> np.ndarray:
        """Which shell each distance is in."""
        return np.searchsorted(self.edges_kpc * (1 - 1e-6), distance_kpc, "right") - 1


@dataclass(frozen=True, eq=False)
class Stars:
    """The stars of a region as they would be seen without dust and without a telescope's limits.

    Parameters
    ----------
    red_mag, color_mag : ndarray [n_cells]
        Centres of the cells.
    counts : ndarray of float32 [n_populations, KINDS, n_shells, n_cells]
        Stars of one field, for a weight of one; weights are those of `weights_of`.
    """

    red_mag: np.ndarray
    color_mag: np.ndarray
    counts: np.ndarray


def weights_of(config: Config, shells: Shells) -> Callable[[float, float], np.ndarray]:
    """How much of each population a place has: (l_deg, b_deg) -> ndarray [n_populations, n_shells].

    Solar masses on a square degree, for the components of the built-in Galaxy; one for the nearest of the
    configuration's catalogs, and none for the others.
    """
    if config.mocks.catalogs:
        places = config.mocks.sightlines_deg()

        def of_nearest(l_deg, b_deg):
            found = np.zeros((len(places), len(shells)))
            found[_nearest(places, l_deg, b_deg)] = 1.0
            return found

        return of_nearest
    galaxy = Galaxy.of(config.galaxy)

    def of_components(l_deg, b_deg):
        _, edges_kpc, mass = galaxy.cells(l_deg, b_deg)
        shell = shells.of_distance(0.5 * (edges_kpc[1:] + edges_kpc[:-1]))
        return np.stack([np.bincount(shell, row, len(shells)) for row in mass])

    return of_components


def stars_of(config: Config, shells: Shells) -> Stars:
    """The stars of a configuration's region: of the built-in Galaxy's components, or of its catalogs."""
    faintest = faint_limit_mag(config.survey.red, config.survey.cuts) + 0.6
    red = np.arange(_BRIGHTEST_MAG, faintest, CELL_MAG) + 0.5 * CELL_MAG
    color = np.arange(_BLUEST_MAG, _REDDEST_MAG, CELL_COLOR_MAG) + 0.5 * CELL_COLOR_MAG
    build = _of_catalogs if config.mocks.catalogs else _of_galaxy
    counts = build(config, shells, red, color)
    counts = counts.reshape(*counts.shape[:3], -1)
    used = np.flatnonzero(counts.max(axis=(0, 1, 2)) > 0)
    row, column = np.divmod(used, len(color))
    return Stars(red[row], color[column], np.ascontiguousarray(counts[..., used]))


def _of_galaxy(config, shells, red, color):
    galaxy, survey = Galaxy.of(config.galaxy), config.survey
    area_deg2 = config.sightlines.area_deg2
    table = band_table(survey.blue.name, survey.red.name, float(galaxy.binary_fraction))
    modulus, edges_kpc, here = galaxy.cells(*config.middle_deg())
    shell_of_cell = shells.of_distance(0.5 * (edges_kpc[1:] + edges_kpc[:-1]))
    counts = np.zeros((len(galaxy.components), KINDS, len(shells), len(red), len(color)), np.float32)
    for i, component in enumerate(galaxy.components):
        p = library().names.index(component.population)
        stars = np.diff(table.cumulative[p])
        mag = table.mag_mag[p] + 0.5 * table.mag_step_mag
        column = np.floor((table.color_mag[p] + 0.5 * table.color_step_mag - _BLUEST_MAG) / CELL_COLOR_MAG)
        column = np.clip(column.astype(int), 0, len(color) - 1)
        for k in range(len(shells)):
            cells = np.flatnonzero(shell_of_cell == k)
            mass = here[i, cells]
            share = mass / mass.sum() if mass.sum() > 0 else np.full(len(cells), 1.0 / len(cells))
            _add_shell(counts[i, :, k], stars * area_deg2, mag, column, modulus[cells], share)
    return counts


def _add_shell(counts, stars, mag, column, modulus, share):
    """Add stars of absolute magnitudes at some distance moduli to cells [KINDS, n_red, n_color]."""
    # Magnitudes of the library are the middles of such cells; moduli fall between two.
    offset = np.round(mag / CELL_MAG - 0.5).astype(int)
    place = (modulus + 0.5 * MODULUS_STEP_MAG - _BRIGHTEST_MAG) / CELL_MAG
    low = np.floor(place).astype(int)
    steps = np.arange(low.min(), low.max() + 2)
    weights = np.bincount(low - steps[0], share * (1 - (place - low)), len(steps))
    weights += np.bincount(low - steps[0] + 1, share * (place - low), len(steps))
    kind = (mag < LUMINOUS_MAG).astype(int)
    for step, weight in zip(steps, weights, strict=True):
        row = offset + step
        good = np.flatnonzero((row >= 0) & (row < counts.shape[1]))
        np.add.at(counts, (kind[good], row[good], column[good]), np.float32(weight) * stars[good])


def _of_catalogs(config, shells, red, color):
    places = config.mocks.sightlines_deg()
    area_deg2 = config.sightlines.area_deg2
    counts = np.zeros((len(places), KINDS, len(shells), len(red), len(color)), np.float32)
    for i, (l_deg, b_deg) in enumerate(places):
        catalog = fit_catalog(config, l_deg, b_deg, _FIELDS_OF_STARS)
        blue_mag, red_mag = (catalog.magnitudes[band.name] for band in config.survey.bands)
        modulus = 5.0 * np.log10(np.maximum(catalog.distance_kpc, 1e-6)) + 10.0
        kind = (red_mag - modulus < LUMINOUS_MAG).astype(int)
        row = np.floor((red_mag - _BRIGHTEST_MAG) / CELL_MAG).astype(int)
        column = np.floor((blue_mag - red_mag - _BLUEST_MAG) / CELL_COLOR_MAG).astype(int)
        good = np.flatnonzero((row >= 0) & (row < len(red)) & (column >= 0) & (column < len(color)))
        shell = shells.of_distance(catalog.distance_kpc)
        where = (kind[good], shell[good], row[good], column[good])
        np.add.at(counts[i], where, area_deg2 / catalog.area_deg2)
    return counts


def _nearest(places, l_deg, b_deg):
    """Number of the place that is nearest on the sky, across the seam of longitude too."""

    def apart(i):
        x = (places[i][0] - l_deg + 180.0) % 360.0 - 180.0
        return (x * np.cos(np.radians(b_deg))) ** 2 + (places[i][1] - b_deg) ** 2

    return min(range(len(places)), key=apart)
