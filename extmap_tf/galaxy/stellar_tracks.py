"""Tracks of single stars, with the luminosities and temperatures of giants mended, for the library.

See `extmap_tf.galaxy.build_library` for what is mended and why.
"""

import contextlib
import json
import tempfile
from importlib import resources

import numpy as np

from extmap_tf.galaxy.stellar_colors import EARLY, Colors

SUBSTEPS = 4

# The red clump is hotter than the giant branch at its luminosity: 9 Gyr, [Fe/H] -0.32 of MIST 1.2.
CLUMP_LOG_T = 0.0246
# Below this mass helium ignites in a degenerate core, and the clump is where it burns on.
CLUMP_MAX_MSUN = 2.3
# Else the clump of the local stars would lie at M_Ks = -1.78; the observed one does at -1.62 (-1.613 of Laney
# et al. 2012, MNRAS 419, 1637; -1.634 of Hall et al. 2019, MNRAS 486, 3569).
CLUMP_LOG_L = -0.055
# The share of the time of core helium burning that the asymptotic giant branch takes.
AGB_TIME_SHARE = 0.117

# The tracks' solar metallicity is that of Pols et al. 1998, and their range ends at 0.03.
Z_SUN, Z_MIN, Z_MAX = 0.02, 1e-4, 0.03


def mass_grid() -> np.ndarray:
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


def evolve(feh: float, mass: np.ndarray) -> dict[str, np.ndarray]:
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


def settle_clump(steps: dict[str, np.ndarray], colors: Colors) -> dict[str, np.ndarray]:
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


def cool_giants(steps: dict[str, np.ndarray], feh: float, colors: Colors) -> dict[str, np.ndarray]:
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


def samples(steps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
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
