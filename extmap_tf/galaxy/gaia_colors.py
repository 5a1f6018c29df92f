"""Colours of stars in Gaia's bands, for `extmap_tf.galaxy.build_library`, which names the sources.

At one temperature MIST's giants are bluer than the relation in BP-RP and G-Ks; below 3900 K, where the
relation ends, MIST's colours are taken with what they lack at 3900 K added. G-RP hardly depends on anything
but BP-RP: it is MIST's at that BP-RP.

The tracks make M dwarfs of one luminosity up to 300 K hotter than they are observed, which J-Ks does not show
and BP-RP does (2.3 for 2.9 of an M4 dwarf). So the faint dwarfs have the temperature of their M_Ks.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from extmap_tf.files import PathLike
from extmap_tf.galaxy.stellar_tables import read_dwarfs, read_isochrone

# 5040 / Teff = b0 + b1 C + b2 C^2 + b3 F + b4 F^2 + b5 F C with F = [Fe/H]: Mucciarelli et al. 2021, table 1.
GIANT_BP_RP = (0.5323, 0.4775, -0.0344, -0.0110, -0.0020, -0.0009)
GIANT_G_KS = (0.5569, 0.2436, -0.0035, 0.0211, 0.0007, -0.0089)
DWARF_BP_RP = (0.4929, 0.5092, -0.0353, 0.0192, -0.0020, -0.0395)
DWARF_G_KS = (0.5351, 0.2440, 0.0016, 0.0289, 0.0015, -0.0163)

GIANT_LOG_T = (np.log10(3900.0), np.log10(6500.0))
"""Where the relations of giants hold; beyond the hot end the colour at that end is kept."""

_DWARF_LOG_T = (np.log10(4800.0), np.log10(6500.0))
# From here on dwarfs begin to have, and there they have, the temperature of their M_Ks.
_FAINT_MAG = (4.2, 5.2)
# The table of dwarfs has no BP-RP of stars hotter than 10,700 K.
_HOT_LOG_T = np.log10(14000.0)


@dataclass(frozen=True)
class GaiaColors:
    """From temperature and [Fe/H] to g_ks (G-Ks), bp_rp (BP-RP) and g_rp (G-RP).

    Parameters
    ----------
    dwarf, giant : dict of str to ndarray [n]
        The colours of each sequence at its log_t, which ascends; of dwarfs mag_ks (M_Ks), too.
    evolved_g_rp : (ndarray [n], ndarray [n])
        BP-RP, ascending, and G-RP of stars from the end of the main sequence on.
    """

    dwarf: dict[str, np.ndarray]
    giant: dict[str, np.ndarray]
    evolved_g_rp: tuple[np.ndarray, np.ndarray]

    @classmethod
    def read(cls, folder: PathLike) -> Self:
        """From the folder of reference data."""
        isochrone = read_isochrone(Path(folder) / "isochrones" / "mist_9gyr_feh-0.32.iso.cmd")
        isochrone |= _colors_of(isochrone)
        eep, log_t = isochrone["EEP"], isochrone["log_Teff"]
        giants = _ascending(isochrone, "log_Teff", (eep > 480) & (eep <= 1409) & (log_t < 3.75))
        # Hot stars of low mass after their giant branches: the colours of hot stars hardly know the gravity.
        hot = _ascending(isochrone, "log_Teff", (eep > 1409) & (log_t > _HOT_LOG_T))
        evolved = _ascending(isochrone, "bp_rp", (eep > 454) & (eep <= 1409))
        return cls(
            dwarf=_dwarfs(folder, hot),
            giant={"log_t": giants["log_Teff"], "g_ks": giants["g_ks"], "bp_rp": giants["bp_rp"]},
            evolved_g_rp=(evolved["bp_rp"], evolved["g_rp"]),
        )

    def colors(
        self, mag_ks: np.ndarray, log_t: np.ndarray, giant: np.ndarray, feh: float
    ) -> dict[str, np.ndarray]:
        """Colours, and the log_t that they belong to, of stars that are giants by a share `giant` of 0 to 1.

        Parameters
        ----------
        mag_ks, log_t, giant : ndarray [n]
        feh : float

        Returns
        -------
        dict of str to ndarray [n]
            log_t, g_ks, bp_rp, g_rp.
        """
        first, last = _FAINT_MAG
        faint = np.clip((mag_ks - first) / (last - first), 0, 1) * (1 - giant)
        by_magnitude = np.interp(-mag_ks, -self.dwarf["mag_ks"], self.dwarf["log_t"])
        log_t = (1 - faint) * log_t + faint * by_magnitude
        evolved = {
            "g_ks": self._of_giants("g_ks", GIANT_G_KS, log_t, feh),
            "bp_rp": self._of_giants("bp_rp", GIANT_BP_RP, log_t, feh),
        }
        evolved["g_rp"] = np.interp(evolved["bp_rp"], *self.evolved_g_rp)
        out = {"log_t": log_t}
        for name, coefficients in (("g_ks", DWARF_G_KS), ("bp_rp", DWARF_BP_RP), ("g_rp", None)):
            dwarf = np.interp(log_t, self.dwarf["log_t"], self.dwarf[name])
            if coefficients:
                held = np.clip(log_t, *_DWARF_LOG_T)
                dwarf = dwarf + color_of(held, feh, coefficients) - color_of(held, 0.0, coefficients)
            out[name] = (1 - giant) * dwarf + giant * evolved[name]
        return out

    def _of_giants(self, name, coefficients, log_t, feh):
        """The relation, and below its range the isochrone's colour, shifted to meet it."""
        coolest, hottest = GIANT_LOG_T
        of_relation = color_of(np.clip(log_t, coolest, hottest), feh, coefficients)
        cool = np.minimum(log_t, coolest)
        of_isochrone, at_end = np.interp(
            [cool, np.full_like(cool, coolest)], self.giant["log_t"], self.giant[name]
        )
        return of_relation + of_isochrone - at_end


def color_of(log_t: np.ndarray, feh: float, coefficients: tuple[float, ...]) -> np.ndarray:
    """The colour C at a temperature by a relation of Mucciarelli et al. 2021: the root on its rising side."""
    b0, b1, b2, b3, b4, b5 = coefficients
    linear = b1 + b5 * feh
    constant = b0 + b3 * feh + b4 * feh**2 - 5040.0 / 10.0**log_t
    return (np.sqrt(linear**2 - 4.0 * b2 * constant) - linear) / (2.0 * b2)


def _dwarfs(folder, hot):
    """The dwarfs' sequence; BP-RP and G-RP of the hottest are those of the isochrone's hot stars."""
    column = read_dwarfs(folder, ("M_Ks", "G-V", "V-Ks", "Bp-Rp", "G-Rp"))
    log_t = column["logT"]
    known = {name: np.isfinite(value) for name, value in column.items()}
    g_v, v_ks, mag_ks = (
        np.interp(log_t, log_t[known[name]], column[name][known[name]]) for name in ("G-V", "V-Ks", "M_Ks")
    )
    out = {"log_t": log_t, "g_ks": g_v + v_ks, "mag_ks": mag_ks}
    for name, own in (("bp_rp", "Bp-Rp"), ("g_rp", "G-Rp")):
        at = np.concatenate([log_t[known[own]], hot["log_Teff"]])
        out[name] = np.interp(log_t, at, np.concatenate([column[own][known[own]], hot[name]]))
    return out


def _colors_of(isochrone):
    g, bp, rp = (isochrone[f"Gaia_{band}_EDR3"] for band in ("G", "BP", "RP"))
    return {"g_ks": g - isochrone["2MASS_Ks"], "bp_rp": bp - rp, "g_rp": g - rp}


def _ascending(columns, name, used):
    """The rows of columns that are used, in ascending order of one of them."""
    part = {key: value[used] for key, value in columns.items()}
    order = np.argsort(part[name])
    return {key: value[order] for key, value in part.items()}
