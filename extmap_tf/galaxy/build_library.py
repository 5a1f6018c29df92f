"""Make ``library.npz``, the stellar content of each component.

Command: ``python -m extmap_tf.galaxy.build_library OUT.npz --data FOLDER``.

Needs the package cosmic-popsynth (single-star evolution of Hurley, Pols & Tout 2000, MNRAS 315, 543), which
nothing else here does (made with 4.3.3), and three published tables that are read from a folder of reference
data. It takes about 4 minutes.

The stars of an age bin are found without isochrones: each track's timesteps inside the bin are counted into
the pixels of (M_Ks, J-Ks), weighted by the time spent there and by the initial mass function (IMF).

Sources
-------
Ages, metallicities, IMFs : Robin et al. 2003, A&A 409, 523, tables 1 and 2; the model's
    own listing of 2003-12.
Dwarfs : colours and bolometric corrections of Pecaut & Mamajek 2013, ApJS 208, 9 (version 2022.04.16), which
    are those of solar metallicity; how J-Ks changes with [Fe/H] is that of Casagrande et al. 2010, A&A 512,
    A54, table 4.
Giants : BC_K of Buzzoni et al. 2010, MNRAS 403, 1592; J-Ks, in the 2MASS system, of Gonzalez Hernandez &
    Bonifacio 2009, A&A 497, 497, table 5; H-Ks and the temperature of the giant branch from two MIST 1.2
    isochrones (Choi et al. 2016, ApJ 823, 102).
Gaia : G-Ks, BP-RP and G-RP of dwarfs from the same table, those of stars hotter than 14,000 K and G-RP of
    giants from an isochrone; how dwarfs change with [Fe/H], and giants of 3900 to 6500 K, from Mucciarelli,
    Bellazzini & Massari 2021, A&A 653, A90, table 1; cooler giants from the isochrone, see
    `extmap_tf.galaxy.gaia_colors`.

The giants' temperatures in the tracks as cosmic-popsynth (3.6.2 and 4.3.3) gives them do not fall steadily
with metallicity (at 50 Lsun and 1 Msun: 4623 K at Z = 0.002, 5449 K at 0.005, 3894 K at 0.02). So
luminosities and lifetimes come from the tracks, and the giants' temperatures from the isochrones.

Below 2.3 Msun the tracks brighten steadily through core helium burning, by 0.45 dex, and then cross the
asymptotic giant branch in 4 % of that time. In MIST the clump stays within 0.07 dex for nine tenths of the
time and the branch takes 12 %; star clusters say 11.7 +- 0.5 % (R2 of Constantino et al. 2016, MNRAS 456,
3866). So both phases run in luminosity as in MIST, and the branch takes its share of the time.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from extmap_tf.files import whole_file
from extmap_tf.galaxy.populations import POPULATIONS
from extmap_tf.galaxy.stellar_colors import Colors
from extmap_tf.galaxy.stellar_tracks import cool_giants, evolve, mass_grid, samples, settle_clump

MAG_EDGES = np.linspace(-12.0, 10.5, 451)
COLOR_EDGES = np.linspace(-0.4, 2.0, 121)

GAIA_COLORS = ("g_ks", "bp_rp", "g_rp")

FEH = np.array(
    [-2.3, -2.1, -1.9, -1.7, -1.5, -1.3, -1.1, -0.9, -0.7, -0.6, -0.5, -0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2]
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder with colours/dwarfs_mamajek_2022.txt and isochrones/mist_*.iso.cmd",
    )
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args()
    with whole_file(args.out, "wb", overwrite=args.overwrite) as stream:
        arrays: dict[str, Any] = {**build(Colors.read(args.data))}
        np.savez_compressed(stream, **arrays)


def imf_integral(imf: Sequence[tuple[float, float]], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Integral of dN/dm from `low` to `high`, continuous; the first power law is m^-alpha itself."""
    total = np.zeros_like(low)
    scale = 1.0
    for i, (start, alpha) in enumerate(imf):
        end = imf[i + 1][0] if i + 1 < len(imf) else np.inf
        if i:
            scale *= start ** (alpha - imf[i - 1][1])
        a, b = np.clip(low, start, end), np.clip(high, start, end)
        total += scale * (b ** (1 - alpha) - a ** (1 - alpha)) / (1 - alpha)
    return total


def build(colors: Colors) -> dict[str, np.ndarray]:
    """The library's arrays, by name; see `extmap_tf.galaxy.library` for what they mean."""
    edges = mass_grid()
    mass = np.sqrt(edges[:-1] * edges[1:])
    shape = (len(MAG_EDGES) - 1, len(COLOR_EDGES) - 1)
    stars = np.zeros((len(POPULATIONS), *shape))
    living = np.zeros(len(POPULATIONS))
    names = ("h_ks", "mass", *GAIA_COLORS, "log_t")
    sums = {name: np.zeros(shape) for name in names}
    weight_sum = np.zeros(shape)
    dwarf_mass = np.geomspace(0.08, 3.0, 60)
    sequence_colors = ("j_ks", "h_ks", *GAIA_COLORS)
    sequence = np.zeros((len(POPULATIONS), len(dwarf_mass), 1 + len(sequence_colors)))
    for feh in FEH:
        point = samples(cool_giants(settle_clump(evolve(feh, mass), colors), feh, colors))
        mag, color = colors.magnitudes(point["log_l"], point["log_t"], point["mass"], feh)
        row = np.digitize(mag, MAG_EDGES) - 1
        column = np.digitize(color["j_ks"], COLOR_EDGES) - 1
        inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
        pixel = np.where(inside, row * shape[1] + column, 0)
        born = np.unique(point["track"], return_index=True)[1]
        unevolved = (mag, *(color[name] for name in sequence_colors))
        young = [np.interp(dwarf_mass, mass, value[born]) for value in unevolved]
        for i, population in enumerate(POPULATIONS):
            share = _metallicity_share(population, feh)
            if share < 1e-3:
                continue
            low, high = population.ages_gyr
            lived = np.clip(np.minimum(point["to_gyr"], high) - np.maximum(point["from_gyr"], low), 0, None)
            birth = imf_integral(population.imf, edges[:-1], edges[1:])
            weight = share * birth[point["track"]] * lived / (high - low)
            living[i] += (weight * point["mass"]).sum()
            weight = np.where(inside, weight, 0.0)
            stars[i] += np.bincount(pixel, weight, minlength=shape[0] * shape[1]).reshape(shape)
            sequence[i] += share * np.stack(young, axis=-1)
            # For the mean colours every pixel counts alike, however few stars a population has there.
            weight_sum += np.bincount(pixel, weight, minlength=weight_sum.size).reshape(shape)
            for name in names:
                value = point["mass"] if name == "mass" else color[name]
                sums[name] += np.bincount(pixel, weight * value, minlength=weight_sum.size).reshape(shape)
    for i in range(len(POPULATIONS)):
        stars[i] = _smoothed(stars[i]) / living[i]
    means = {name: _filled(total, weight_sum) for name, total in sums.items()}
    occupied = stars.any(axis=0)
    of_gaia = {f"{name}_mag": _half(means[name], occupied) for name in GAIA_COLORS}
    return {
        "names": np.array([p.name for p in POPULATIONS]),
        "mag_edges_mag": MAG_EDGES.astype(np.float32),
        "color_edges_mag": COLOR_EDGES.astype(np.float32),
        "stars_per_msun": _short(stars),
        "h_ks_mag": means["h_ks"].astype(np.float16),
        "mass_msun": means["mass"].astype(np.float16),
        "dwarf_mass_msun": dwarf_mass.astype(np.float32),
        "dwarf_sequence_mag": sequence[..., :3].astype(np.float32),
        "dwarf_gaia_mag": sequence[..., 3:].astype(np.float32),
        "log_t": _half(means["log_t"], occupied),
        **of_gaia,
    }


def _metallicity_share(population, feh):
    weight = np.exp(-0.5 * ((FEH - population.feh) / population.feh_sd) ** 2) * np.gradient(FEH)
    return float(weight[feh == FEH][0] / weight.sum())


def _smoothed(stars):
    """Blur by one pixel, which hides the steps of the mass and metallicity grids; drop negligible tails."""
    blurred = gaussian_filter(stars, (0.7, 0.8), mode="nearest")
    blurred[blurred < 1e-9 * blurred.sum()] = 0.0
    return blurred * (stars.sum() / blurred.sum())


def _filled(total, weight):
    """Weighted mean; where no star is, the mean of the neighbourhood."""
    width = 0.5
    mean, known = total, weight
    out = np.where(weight > 0, total / np.where(weight > 0, weight, 1), np.nan)
    flat = np.where(weight > 0, 1.0, 0.0)
    value = np.where(weight > 0, out, 0.0)
    while np.isnan(out).any():
        width *= 2
        mean, known = gaussian_filter(value, width), gaussian_filter(flat, width)
        near = np.isnan(out) & (known > 1e-6)
        out[near] = mean[near] / known[near]
    return out


def _half(values, occupied):
    """float16, and 0 where no population has a star."""
    return np.where(occupied, values, 0.0).astype(np.float16)


def _short(stars):
    """float32 with 8 bits of mantissa: precise to 0.2 %, and it compresses."""
    bits = stars.astype(np.float32).view(np.uint32)
    return ((bits + 0x4000) & np.uint32(0xFFFF8000)).view(np.float32)


if __name__ == "__main__":
    main()
