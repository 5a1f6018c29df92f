"""Magnitudes and colours of stars from published tables, for `extmap_tf.galaxy.build_library`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from extmap_tf.files import PathLike
from extmap_tf.galaxy.gaia_colors import GaiaColors
from extmap_tf.galaxy.stellar_tables import read_dwarfs, read_isochrone

# Share of the clump's time at which the luminosities of tracks and isochrone are set equal.
EARLY = 0.1

# Coefficients b0 to b5 of temperature and colour, see `_j_ks_of` and the sources in
# `extmap_tf.galaxy.build_library`.
GIANT_J_KS = (0.6517, 0.6312, 0.0168, -0.0381, 0.0256, 0.0013)
DWARF_J_KS = (0.6393, 0.6104, 0.0920, -0.0330, 0.0291, 0.0020)


@dataclass(frozen=True)
class Colors:
    """From luminosity, temperature and gravity to 2MASS magnitudes and Gaia's colours."""

    dwarf: dict[str, np.ndarray]
    giant: dict[str, np.ndarray]
    poorer_giant: dict[str, np.ndarray]
    gaia: GaiaColors

    @classmethod
    def read(cls, folder: PathLike) -> Self:
        dwarf = _read_dwarfs(folder)
        rich, poor = (
            _read_giants(Path(folder) / "isochrones" / name)
            for name in ("mist_9gyr_feh-0.32.iso.cmd", "mist_10gyr_feh-0.50.iso.cmd")
        )
        return cls(dwarf, rich, poor, GaiaColors.read(folder))

    def giant_log_t(self, log_l: np.ndarray, mass: np.ndarray, feh: float) -> np.ndarray:
        """Temperature of the giant branch.

        Linear in [Fe/H], with the slope between the two isochrones. T ~ mass^0.08 at one luminosity, which
        puts the clump of 2 Gyr at J-Ks = 0.61. Never cooler than 2900 K, or 3500 K for supergiants.
        """
        rich = _line(log_l, self.giant["log_l"], self.giant["log_t"])
        common = np.linspace(1.0, 3.0, 21)
        apart = [
            np.interp(common, iso["log_l"], iso["log_t"]).mean() for iso in (self.giant, self.poorer_giant)
        ]
        slope = (apart[0] - apart[1]) / (self.giant["feh"] - self.poorer_giant["feh"])
        log_t = rich + slope * (feh - self.giant["feh"]) + 0.08 * np.log10(mass / self.giant["mass"])
        return np.maximum(log_t, np.log10(np.where(mass > 8, 3500, 2900)))

    def magnitudes(
        self, log_l: np.ndarray, log_t: np.ndarray, mass: np.ndarray, feh: float
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """M_Ks, and the colours j_ks, h_ks and those of Gaia, each as `log_l`; solar units and kelvin.

        With Gaia's is the log_t that they belong to, see `extmap_tf.galaxy.gaia_colors`.
        """
        log_g = 4.438 + np.log10(mass) + 4 * (log_t - np.log10(5772)) - log_l
        # Above 5500 K the colours hardly know the gravity.
        cool = np.clip((np.log10(6000) - log_t) / np.log10(6000 / 5500), 0, 1)
        giant = np.clip((4.2 - log_g) / 0.7, 0, 1) * cool
        m_bol = 4.74 - 2.5 * log_l
        bc_dwarf = np.interp(log_t, self.dwarf["log_t"], self.dwarf["bc_ks"])
        bc_giant = -6.75 * (log_t - np.log10(9500))
        mag_ks = m_bol - (1 - giant) * bc_dwarf - giant * bc_giant
        colors = {}
        for name in ("j_ks", "h_ks"):
            dwarf = np.interp(log_t, self.dwarf["log_t"], self.dwarf[name])
            if name == "j_ks":
                dwarf = dwarf + _dwarf_j_ks_shift(log_t, feh)
                evolved = _j_ks_of(np.maximum(log_t, np.log10(2900)), feh, GIANT_J_KS)
            else:
                evolved = np.interp(-log_t, -self.giant["log_t"], self.giant[name])
            colors[name] = (1 - giant) * dwarf + giant * evolved
        return mag_ks, colors | self.gaia.colors(mag_ks, log_t, giant, feh)


def _j_ks_of(log_t, feh, coefficients):
    """J-Ks, the root X of 5040 / Teff = b0 + b1 X + b2 X^2 + b3 X f + b4 f + b5 f^2 with f = [Fe/H]."""
    b0, b1, b2, b3, b4, b5 = coefficients
    theta = 5040 / 10.0 ** np.asarray(log_t)
    linear = b1 + b3 * feh
    return (np.sqrt(linear**2 + 4 * b2 * (theta - b0 - b4 * feh - b5 * feh**2)) - linear) / (2 * b2)


def _dwarf_j_ks_shift(log_t, feh):
    """What [Fe/H] adds to a dwarf's J-Ks; held beyond the range of the relation, 4300 to 7000 K."""
    log_t = np.clip(log_t, np.log10(4300), np.log10(7000))
    return _j_ks_of(log_t, feh, DWARF_J_KS) - _j_ks_of(log_t, 0.0, DWARF_J_KS)


def _read_dwarfs(folder):
    column = read_dwarfs(folder, ("Mbol", "M_Ks", "J-H", "H-Ks"))
    values = {
        "bc_ks": column["Mbol"] - column["M_Ks"],
        "j_ks": column["J-H"] + column["H-Ks"],
        "h_ks": column["H-Ks"],
    }
    out = {"log_t": column["logT"]}
    for name, value in values.items():
        known = np.isfinite(value)
        out[name] = np.interp(out["log_t"], out["log_t"][known], value[known])
    return out


def _line(x, known_x, known_y):
    """Linear interpolation that goes on straight beyond the ends, with the slope of the last fifth."""
    inside = np.interp(x, known_x, known_y)
    fifth = len(known_x) // 5
    for end, far in ((0, fifth), (-1, -1 - fifth)):
        slope = (known_y[far] - known_y[end]) / (known_x[far] - known_x[end])
        beyond = x < known_x[0] if end == 0 else x > known_x[-1]
        inside = np.where(beyond, known_y[end] + slope * (x - known_x[end]), inside)
    return inside


def _read_giants(path):
    whole = read_isochrone(path)
    runs = _luminosity_runs(whole)
    # The red giant branch, from its base (where the temperature has fallen to the branch's) to the tip.
    branch = (whole["EEP"] > 480) & (whole["EEP"] < 605)
    column = {name: value[branch] for name, value in whole.items()}
    order = np.argsort(column["log_L"])
    ks = column["2MASS_Ks"]
    values = {
        "log_l": column["log_L"],
        "log_t": column["log_Teff"],
        "h_ks": column["2MASS_H"] - ks,
    }
    out = {name: value[order] for name, value in values.items()}
    return out | {"feh": column["[Fe/H]_init"][0], "mass": np.median(column["initial_mass"])} | runs


def _luminosity_runs(isochrone):
    """How luminosity runs through the clump and the asymptotic giant branch.

    Along an isochrone the initial mass grows as the time since a phase began. The equivalent evolutionary
    points of MIST (Dotter 2016, ApJS 222, 8): 631 core helium burning, 707 its end, 1409 that of the branch.

    Returns
    -------
    dict of ndarray [2, n]
        clump, agb: share of the phase's time, and log L less that early in the clump.
    """
    eep, mass, log_l = (isochrone[name] for name in ("EEP", "initial_mass", "log_L"))
    runs, early = {}, None
    for name, first, last in (("clump", 631, 707), ("agb", 707, 1409)):
        phase = (eep >= first) & (eep <= last)
        time = (mass[phase] - mass[phase][0]) / (mass[phase][-1] - mass[phase][0])
        if early is None:
            early = np.interp(EARLY, time, log_l[phase])
        # Thermal pulses and the flash make it jump; the share of the time at a luminosity is what counts.
        even = np.linspace(0, 1, 201)
        runs[name] = np.array([even, np.sort(np.interp(even, time, log_l[phase])) - early])
    return runs
