r"""Fingers of God: structure along the sight that neighbouring sightlines do not share.

Each sightline is estimated by itself. Its errors in distance stretch a cloud along the sight, and differ from
one sightline to the next, so that a map seen from above shows rays that point at the Sun. Two spectra along
the sight tell them from true structure: of the profiles, and of the differences between neighbours. In a map
with fingers the neighbours differ more than the truth's do, above all on long scales.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import dct

from extmap_tf.errors import DataError
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.sky import SkyGrid
from extmap_tf.text_tables import aligned, row_to_dict


@dataclass(frozen=True)
class FingersOfGod:
    """Power along and across the sight of a map and of the truth, over pairs of neighbours known in both.

    A power is the mean square of the coefficients of an orthonormal cosine transform (DCT-II) along the
    sight, (mag / kpc)^2: its mean over all modes is the mean square of the density.

    Parameters
    ----------
    lag_steps : int
        Steps of the grid between neighbours: the fewest at which their fields share no star.
    n_pairs : int
    cycles_per_kpc : tuple of float [n_distances]
        Of each mode.
    along_estimate, along_truth : tuple of float [n_distances]
        Power of the density of single sightlines.
    across_estimate, across_truth : tuple of float [n_distances]
        Power of the differences between neighbours.
    elongation_estimate, elongation_truth : float
        Root mean square difference of the density between neighbouring sightlines over that between
        neighbouring bins of one sightline: large where structure is long along the sight and not shared.
    finger_power : float
        Across-power of the estimate over that of the truth, on scales of 1 kpc and longer.
    """

    lag_steps: int
    n_pairs: int
    cycles_per_kpc: tuple[float, ...]
    along_estimate: tuple[float, ...]
    along_truth: tuple[float, ...]
    across_estimate: tuple[float, ...]
    across_truth: tuple[float, ...]
    elongation_estimate: float
    elongation_truth: float
    finger_power: float

    to_dict = row_to_dict


def fingers_of_god(
    estimate: ArrayLike, truth: ArrayLike, grid: SkyGrid, distance: DistanceGrid
) -> FingersOfGod | None:
    """Compare the structure of a map with the truth's.

    Parameters
    ----------
    estimate, truth : array_like [*grid.shape, n_distances]
        Density, mag / kpc; a sightline with a NaN in either is left out.
    grid : extmap_tf.grids.sky.SkyGrid
    distance : extmap_tf.grids.distance.DistanceGrid

    Returns
    -------
    FingersOfGod or None
        None where no two sightlines are neighbours.
    """
    estimate, truth = np.asarray(estimate, float), np.asarray(truth, float)
    shape = (*grid.shape, distance.n_distances)
    if estimate.shape != shape or truth.shape != shape:
        raise DataError(f"densities of a map must be {shape}, got: {estimate.shape} and {truth.shape}")
    known = (np.isfinite(estimate).all(axis=-1) & np.isfinite(truth).all(axis=-1)).ravel()
    first, second, lag = grid.neighbour_pairs()
    both = known[first] & known[second]
    pairs = first[both], second[both]
    if not len(pairs[0]):
        return None
    singles = np.union1d(*pairs)
    spectra, elongations = {}, []
    for name, density in (("estimate", estimate), ("truth", truth)):
        flat = density.reshape(-1, distance.n_distances)
        difference = flat[pairs[1]] - flat[pairs[0]]
        spectra[f"along_{name}"] = _power(flat[singles])
        spectra[f"across_{name}"] = _power(difference)
        elongations.append(_ratio(_rms(difference), _rms(np.diff(flat[singles], axis=-1))))
    cycles = np.arange(distance.n_distances) / (2.0 * distance.max_kpc)
    long = cycles <= 1.0 + 1e-9
    return FingersOfGod(
        lag_steps=lag,
        n_pairs=len(pairs[0]),
        cycles_per_kpc=tuple(cycles.tolist()),
        **{name: tuple(power.tolist()) for name, power in spectra.items()},
        elongation_estimate=elongations[0],
        elongation_truth=elongations[1],
        finger_power=_ratio(spectra["across_estimate"][long].sum(), spectra["across_truth"][long].sum()),
    )


def format_fingers(found: FingersOfGod) -> str:
    """A `FingersOfGod` as aligned plain text: powers in bands of scale along the sight."""
    cycles = np.asarray(found.cycles_per_kpc)
    header = (
        ("fingers of God", ""),
        ("across", "estimate"),
        ("across", "truth"),
        ("ratio", ""),
        ("along", "estimate"),
        ("along", "truth"),
        ("ratio", ""),
    )
    lines = []
    for low, high, name in (
        (0.0, 0.25, "scales above 4 kpc"),
        (0.25, 1.0, "1 to 4 kpc"),
        (1.0, np.inf, "below 1 kpc"),
    ):
        band = (cycles >= low) & (cycles < high)
        if not band.any():
            continue
        cells = [name]
        for direction in ("across", "along"):
            one, other = (
                np.asarray(getattr(found, f"{direction}_{of}"))[band] for of in ("estimate", "truth")
            )
            cells += [f"{one.mean():.4g}", f"{other.mean():.4g}", f"{_ratio(one.sum(), other.sum()):.2f}"]
        lines.append(cells)
    return (
        aligned(header, lines)
        + f"\nelongation {found.elongation_estimate:.2f}, of the truth {found.elongation_truth:.2f}; finger "
        f"power {found.finger_power:.2f} ({found.n_pairs} pairs, {found.lag_steps} steps apart; powers in "
        "(mag/kpc)^2)"
    )


def _power(profiles):
    return (dct(profiles, type=2, norm="ortho", axis=-1) ** 2).mean(axis=0)


def _rms(values):
    return float(np.sqrt(np.mean(values**2)))


def _ratio(a, b):
    return float(a / b) if b > 0 else float("nan")
