"""Make ``library.npz``, the stellar content of each component.

Command: ``python -m extmap_tf.galaxy.build_library OUT.npz``.

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

The giants' temperatures in the tracks as cosmic-popsynth (3.6.2 and 4.3.3) gives them do not fall steadily
with metallicity (at 50 Lsun and 1 Msun: 4623 K at Z = 0.002, 5449 K at 0.005, 3894 K at 0.02). So
luminosities and lifetimes come from the tracks, and the giants' temperatures from the isochrones.

Below 2.3 Msun the tracks brighten steadily through core helium burning, by 0.45 dex, and then cross the
asymptotic giant branch in 4 % of that time. In MIST the clump stays within 0.07 dex for nine tenths of the
time and the branch takes 12 %; star clusters say 11.7 +- 0.5 % (R2 of Constantino et al. 2016, MNRAS 456,
3866). So both phases run in luminosity as in MIST, and the branch takes its share of the time.
"""

import argparse
import contextlib
import json
import os
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from extmap_tf.errors import DataError
from extmap_tf.files import whole_file

MAG_EDGES = np.linspace(-12.0, 10.5, 451)
COLOR_EDGES = np.linspace(-0.4, 2.0, 121)
SUBSTEPS = 4

# The red clump is hotter than the giant branch at its luminosity: 9 Gyr, [Fe/H] -0.32 of MIST 1.2.
CLUMP_LOG_T = 0.0246
# Share of the clump's time at which the luminosities of tracks and isochrone are set equal.
EARLY = 0.1
# Below this mass helium ignites in a degenerate core, and the clump is where it burns on.
CLUMP_MAX_MSUN = 2.3
# Else the clump of the local stars would lie at M_Ks = -1.78; the observed one does at -1.62 (-1.613 of Laney
# et al. 2012, MNRAS 419, 1637; -1.634 of Hall et al. 2019, MNRAS 486, 3569).
CLUMP_LOG_L = -0.055
# The share of the time of core helium burning that the asymptotic giant branch takes.
AGB_TIME_SHARE = 0.117

# Coefficients b0 to b5 of temperature and colour, see the sources above and `_j_ks_of`.
GIANT_J_KS = (0.6517, 0.6312, 0.0168, -0.0381, 0.0256, 0.0013)
DWARF_J_KS = (0.6393, 0.6104, 0.0920, -0.0330, 0.0291, 0.0020)

# The tracks' solar metallicity is that of Pols et al. 1998, and their range ends at 0.03.
Z_SUN, Z_MIN, Z_MAX = 0.02, 1e-4, 0.03
FEH = np.array(
    [-2.3, -2.1, -1.9, -1.7, -1.5, -1.3, -1.1, -0.9, -0.7, -0.6, -0.5, -0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2]
)


@dataclass(frozen=True)
class Population:
    """Stars born at a constant rate between two ages, with one IMF.

    Parameters
    ----------
    ages_gyr : (float, float)
    feh, feh_sd : float
        Mean and standard deviation of [Fe/H].
    imf : tuple of (float, float)
        (lowest mass, alpha) of each power law dN/dm ~ m^-alpha.
    """

    name: str
    ages_gyr: tuple[float, float]
    feh: float
    feh_sd: float
    imf: tuple[tuple[float, float], ...]


DISC_IMF = ((0.08, 1.6), (1.0, 3.0))
POPULATIONS = (
    Population("thin1", (0.0, 0.15), 0.01, 0.12, DISC_IMF),
    Population("thin2", (0.15, 1.0), 0.03, 0.12, DISC_IMF),
    Population("thin3", (1.0, 2.0), 0.03, 0.10, DISC_IMF),
    Population("thin4", (2.0, 3.0), 0.01, 0.11, DISC_IMF),
    Population("thin5", (3.0, 5.0), -0.07, 0.18, DISC_IMF),
    Population("thin6", (5.0, 7.0), -0.14, 0.17, DISC_IMF),
    Population("thin7", (7.0, 10.0), -0.37, 0.20, DISC_IMF),
    # Single bursts in the source; a spread of 1 Gyr keeps the giants from lying on one line.
    Population("thick", (10.5, 11.5), -0.78, 0.30, ((0.08, 0.5),)),
    Population("spheroid", (13.0, 14.0), -1.78, 0.50, ((0.08, 0.5),)),
    Population("bulge", (9.5, 10.5), 0.0, 0.40, ((0.08, 2.35),)),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("EXTMAP_SHARED_DATA", "../shared/data")),
        help="folder with colours/dwarfs_mamajek_2022.txt and isochrones/mist_*.iso.cmd",
    )
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args()
    with whole_file(args.out, "wb", overwrite=args.overwrite) as stream:
        np.savez_compressed(stream, **build(Colors.read(args.data)))


@dataclass(frozen=True)
class Colors:
    """From luminosity, temperature and gravity to 2MASS magnitudes."""

    dwarf: dict[str, np.ndarray]
    giant: dict[str, np.ndarray]
    poorer_giant: dict[str, np.ndarray]

    @classmethod
    def read(cls, folder):
        names = ("mist_9gyr_feh-0.32.iso.cmd", "mist_10gyr_feh-0.50.iso.cmd")
        return cls(
            _read_dwarfs(folder), *(_read_giants(Path(folder) / "isochrones" / name) for name in names)
        )

    def giant_log_t(self, log_l, mass, feh):
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

    def magnitudes(self, log_l, log_t, mass, feh):
        """M_Ks and the colours j_ks and h_ks, each as `log_l`; solar units and kelvin."""
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
        return mag_ks, colors


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
    path = Path(folder) / "colours" / "dwarfs_mamajek_2022.txt"
    header, rows = None, []
    for line in _lines(path):
        words = line.split()
        if line.startswith("#SpT") and header is None:
            header = [word.lstrip("#") for word in words]
        elif header and words and not line.startswith("#") and len(words) == len(header):
            rows.append(words)
    if not rows:
        raise DataError(f"{path}: no table of dwarfs found")

    def column(name):
        i = header.index(name)
        return np.array(
            [float(row[i]) if row[i].strip(".") and row[i][0] in "-+0123456789" else np.nan for row in rows]
        )

    log_t = column("logT")
    values = {
        "bc_ks": column("Mbol") - column("M_Ks"),
        "j_ks": column("J-H") + column("H-Ks"),
        "h_ks": column("H-Ks"),
    }
    keep = (log_t > np.log10(2400)) & (log_t < np.log10(33500))
    order = np.argsort(log_t[keep])
    out = {"log_t": log_t[keep][order]}
    for name, value in values.items():
        value = value[keep][order]
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
    lines = _lines(path)
    header = next(line for line in lines if line.startswith("# EEP")).lstrip("# ").split()
    table = np.array([line.split() for line in lines if line.strip() and not line.startswith("#")], float)
    runs = _luminosity_runs({name: table[:, i] for i, name in enumerate(header)})
    # The red giant branch, from its base (where the temperature has fallen to the branch's) to the tip.
    table = table[(table[:, 0] > 480) & (table[:, 0] < 605)]
    column = {name: table[:, i] for i, name in enumerate(header)}
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


def _lines(path):
    try:
        return path.read_text().splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def mass_grid():
    """Edges of the cells of initial mass, fine where giants are made."""
    pieces = (
        (0.08, 0.7, 160),
        (0.7, 0.8, 20),
        (0.8, 1.3, 200),
        (1.3, 2.5, 160),
        (2.5, 8.0, 120),
        (8.0, 60.0, 50),
    )
    return np.unique(np.concatenate([np.geomspace(low, high, n + 1) for low, high, n in pieces]).round(9))


def evolve(feh, mass):
    """Tracks of the given initial masses, one after the other.

    Returns
    -------
    dict of ndarray [n_steps]
        track (index of the mass), age_gyr, mass, log_l, log_t, kind (stellar type of Hurley et al. 2000).
    """
    from cosmic.evolve import Evolve
    from cosmic.sample.initialbinarytable import InitialBinaryTable
    from schwimmbad import SerialPool

    settings = json.loads((resources.files("cosmic") / "data" / "cosmic-settings.json").read_text())
    options = {}
    for group in settings:
        if group["category"] == "bse":
            for setting in group["settings"]:
                value = next((o["name"] for o in setting["options"] if o.get("default")), None)
                options[setting["name"]] = _parsed(value)
    options["windflag"] = 0
    n = len(mass)
    z = float(np.clip(Z_SUN * 10**feh, Z_MIN, Z_MAX))
    table = InitialBinaryTable.InitialBinaries(
        m1=np.maximum(mass, 0.1),
        m2=np.zeros(n),
        porb=-np.ones(n),
        ecc=-np.ones(n),
        tphysf=np.where(mass > 8, 200.0, 14000.0),
        kstar1=np.where(mass < 0.7, 0, 1),
        kstar2=np.full(n, 15),
        metallicity=np.full(n, z),
    )
    # The Fortran code writes a log into the working folder.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        _, steps, _, _ = Evolve.evolve(
            initialbinarytable=table,
            BSEDict=options,
            SSEDict={"stellar_engine": "sse"},
            dtp=0.0,
            pool=SerialPool(),
            randomseed=1,
            bcm_columns=["tphys", "kstar_1", "mass_1", "lum_1", "teff_1"],
        )
    return {
        "track": steps["bin_num"].to_numpy().astype(int),
        "age_gyr": steps["tphys"].to_numpy() * 1e-3,
        "mass": steps["mass_1"].to_numpy(),
        "log_l": np.log10(np.maximum(steps["lum_1"].to_numpy(), 1e-12)),
        "log_t": np.log10(np.maximum(steps["teff_1"].to_numpy(), 1.0)),
        "kind": steps["kstar_1"].to_numpy().astype(int),
    }


def _parsed(value):
    if not isinstance(value, str):
        return value
    fractions = value.replace("2.0/21.0", repr(2.0 / 21.0))
    return json.loads(fractions)


def settle_clump(steps, colors):
    """`steps` of which the clump and the branch after it run in luminosity and time as the isochrone's."""
    track, kind = steps["track"], steps["kind"]
    log_l, age = steps["log_l"].copy(), steps["age_gyr"].copy()
    for i in range(track.max() + 1):
        rows = np.arange(*np.searchsorted(track, (i, i + 1)))
        clump, branch = (rows[kind[rows] == number] for number in (4, 5))
        if clump.size < 2 or steps["mass"][clump[0]] >= CLUMP_MAX_MSUN:
            continue
        time = _share_of_time(age[clump])
        early = np.interp(EARLY, time, steps["log_l"][clump]) + CLUMP_LOG_L
        log_l[clump] = early + np.interp(time, *colors.giant["clump"])
        if branch.size < 2:
            continue
        log_l[branch] = early + np.interp(_share_of_time(age[branch]), *colors.giant["agb"])
        first, last = age[branch[[0, -1]]]
        longer = AGB_TIME_SHARE * np.ptp(age[clump]) / (last - first)
        after = rows[rows > branch[-1]]
        age[branch] = first + (age[branch] - first) * longer
        age[after] += (last - first) * (longer - 1)
    return steps | {"log_l": log_l, "age_gyr": age}


def _share_of_time(age):
    return (age - age[0]) / (age[-1] - age[0])


def cool_giants(steps, feh, colors):
    """`steps` with the temperatures of giants brought to the isochrones'.

    On the giant branches (stellar types 3, 5, 6) they are replaced. On the way there (type 2) they are
    stretched to meet the branch. Core helium burning (type 4) lies beside the branch below 2.3 Msun; more
    massive stars make loops, which move along with their giant branch.
    """
    track, kind, log_t = steps["track"], steps["kind"], steps["log_t"]
    branch = colors.giant_log_t(steps["log_l"], steps["mass"], feh)
    n = track.max() + 1
    base_old, base_new, start, moved = (np.full(n, np.nan) for _ in range(4))
    for i in range(n):
        rows = slice(*np.searchsorted(track, (i, i + 1)))
        giant = np.isin(kind[rows], (3, 5))
        if not giant.any():
            continue
        first = np.flatnonzero(giant)[0]
        base_old[i], base_new[i] = log_t[rows][first], branch[rows][first]
        gap = np.flatnonzero(kind[rows] == 2)
        start[i] = log_t[rows][gap[0]] if gap.size else np.nan
        moved[i] = np.median((branch - log_t)[rows][giant])
    stretch = (base_new - start) / np.minimum(base_old - start, -1e-3)
    out = np.where(np.isin(kind, (3, 5, 6)), branch, log_t)
    gap = (kind == 2) & np.isfinite(stretch[track])
    out[gap] = (start[track] + (log_t - start[track]) * stretch[track])[gap]
    # Below [Fe/H] = -1 the horizontal branch turns blue.
    blue = CLUMP_LOG_T + 0.1 * max(0.0, -1.0 - feh)
    helium = kind == 4
    low = helium & (steps["mass"] < CLUMP_MAX_MSUN)
    out[low] = branch[low] + blue
    loop = helium & ~low & np.isfinite(moved[track])
    out[loop] = (log_t + moved[track])[loop]
    return steps | {"log_t": out}


def samples(steps):
    """Points along the tracks, each standing for a short stretch of one star's life.

    Returns
    -------
    dict of ndarray [n_samples]
        track, from_gyr, to_gyr, mass, log_l, log_t.
    """
    first = np.flatnonzero(
        (steps["track"][1:] == steps["track"][:-1])
        & (steps["kind"][:-1] <= 6)
        & (np.diff(steps["age_gyr"]) > 0)
    )
    # A flash is a jump, not a crossing: hold the state before it.
    jump = (np.abs(np.diff(steps["log_l"]))[first] > 0.2) | (np.diff(steps["kind"])[first] != 0)
    fraction = (np.arange(SUBSTEPS) + 0.5) / SUBSTEPS
    out = {"track": np.repeat(steps["track"][first], SUBSTEPS)}
    for name in ("mass", "log_l", "log_t"):
        rise = np.where(jump, 0.0, np.diff(steps[name])[first])
        out[name] = (steps[name][first, None] + rise[:, None] * fraction).ravel()
    length = np.diff(steps["age_gyr"])[first] / SUBSTEPS
    out["from_gyr"] = (steps["age_gyr"][first, None] + length[:, None] * np.arange(SUBSTEPS)).ravel()
    out["to_gyr"] = out["from_gyr"] + np.repeat(length, SUBSTEPS)
    return out


def imf_integral(imf, low, high):
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


def build(colors):
    """The library's arrays, by name; see `extmap_tf.galaxy.library` for what they mean."""
    edges = mass_grid()
    mass = np.sqrt(edges[:-1] * edges[1:])
    shape = (len(MAG_EDGES) - 1, len(COLOR_EDGES) - 1)
    stars = np.zeros((len(POPULATIONS), *shape))
    living = np.zeros(len(POPULATIONS))
    names = ("h_ks", "mass")
    sums = {name: np.zeros(shape) for name in names}
    weight_sum = np.zeros(shape)
    dwarf_mass = np.geomspace(0.08, 3.0, 60)
    sequence = np.zeros((len(POPULATIONS), len(dwarf_mass), 3))
    for feh in FEH:
        point = samples(cool_giants(settle_clump(evolve(feh, mass), colors), feh, colors))
        mag, color = colors.magnitudes(point["log_l"], point["log_t"], point["mass"], feh)
        row = np.digitize(mag, MAG_EDGES) - 1
        column = np.digitize(color["j_ks"], COLOR_EDGES) - 1
        inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
        pixel = np.where(inside, row * shape[1] + column, 0)
        born = np.unique(point["track"], return_index=True)[1]
        young = [np.interp(dwarf_mass, mass, value[born]) for value in (mag, color["j_ks"], color["h_ks"])]
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
    return {
        "names": np.array([p.name for p in POPULATIONS]),
        "mag_edges_mag": MAG_EDGES.astype(np.float32),
        "color_edges_mag": COLOR_EDGES.astype(np.float32),
        "stars_per_msun": _short(stars),
        "h_ks_mag": means["h_ks"].astype(np.float16),
        "mass_msun": means["mass"].astype(np.float16),
        "dwarf_mass_msun": dwarf_mass.astype(np.float32),
        "dwarf_sequence_mag": sequence.astype(np.float32),
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


def _short(stars):
    """float32 with 8 bits of mantissa: precise to 0.2 %, and it compresses."""
    bits = stars.astype(np.float32).view(np.uint32)
    return ((bits + 0x4000) & np.uint32(0xFFFF8000)).view(np.float32)


if __name__ == "__main__":
    main()
