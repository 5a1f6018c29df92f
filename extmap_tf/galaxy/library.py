"""The stellar content of each component: how many stars of which magnitudes a solar mass of it holds.

The shipped table ``library.npz`` is made by `extmap_tf.galaxy.build_library`, which names the sources.
"""

import functools
from dataclasses import dataclass
from importlib import resources

import numpy as np

from extmap_tf.errors import ConfigError
from extmap_tf.galaxy.populations import POPULATIONS

# Companions' mass ratios are uniform from this to 1: Raghavan et al. 2010, ApJS 190, 1, fig. 16, roughly.
LOWEST_MASS_RATIO = 0.1
N_MASS_RATIOS = 8

# The tracks give the discs too few of the most luminous giants: along the plane, where these are seen from
# kiloparsecs away, the Besançon model has up to a sixth more stars of K < 10 and 11, at higher latitudes and
# for K > 12 it has as many. One ramp for all disc stars, fitted to those counts, mends it over the whole sky;
# the bulge's sightlines, which the fit did not use, come out right as well.
LUMINOUS_FROM_MAG, LUMINOUS_TO_MAG, LUMINOUS_FACTOR = -4.0, -5.0, 1.7


def luminous_factor(mag_ks: np.ndarray) -> np.ndarray:
    """How many times the stars of the tracks the discs have at M_Ks `mag_ks`: ndarray like it."""
    return np.interp(mag_ks, [LUMINOUS_TO_MAG, LUMINOUS_FROM_MAG], [LUMINOUS_FACTOR, 1.0])


@dataclass(frozen=True)
class Library:
    """Pixels of (M_Ks, J-Ks) for each population.

    Parameters
    ----------
    names : tuple of str
        Populations.
    mag_edges_mag, color_edges_mag : ndarray [n_mag + 1], [n_color + 1]
        Edges of the pixels, M_Ks and J-Ks.
    stars_per_msun : ndarray [n_populations, n_mag, n_color]
        Stars per solar mass of living stars.
    offset_mag : dict of str to ndarray [n_mag, n_color]
        M_band - M_Ks at each pixel's centre.
    mass_msun, log_t : ndarray [n_mag, n_color]
        Mean mass of a pixel's stars, and mean decimal logarithm of their temperature in kelvin.
    dwarf_mass_msun : ndarray [n_masses]
    dwarf_mag : dict of str to ndarray [n_populations, n_masses]
        Absolute magnitudes of unevolved stars: the companions in binaries.
    """

    names: tuple[str, ...]
    mag_edges_mag: np.ndarray
    color_edges_mag: np.ndarray
    stars_per_msun: np.ndarray
    offset_mag: dict[str, np.ndarray]
    mass_msun: np.ndarray
    log_t: np.ndarray
    dwarf_mass_msun: np.ndarray
    dwarf_mag: dict[str, np.ndarray]


@functools.cache
def library() -> Library:
    """The shipped library, read once."""
    with (resources.files("extmap_tf.galaxy") / "library.npz").open("rb") as stream, np.load(stream) as data:
        mag_edges = data["mag_edges_mag"].astype(float)
        color_edges = data["color_edges_mag"].astype(float)
        j_ks = np.broadcast_to(0.5 * (color_edges[1:] + color_edges[:-1]), data["mass_msun"].shape)
        offset = {"Ks": np.zeros_like(j_ks), "J": j_ks}
        names = tuple(str(name) for name in data["names"])
        mag = 0.5 * (mag_edges[1:] + mag_edges[:-1])
        ramp = luminous_factor(mag)
        with_ramp = {population.name for population in POPULATIONS if population.luminous_ramp}
        ramped = np.array([name in with_ramp for name in names])
        dwarf_ks, dwarf_j_ks, dwarf_h_ks = np.moveaxis(data["dwarf_sequence_mag"].astype(float), -1, 0)
        of_gaia = _gaia_offsets(*(data[f"{name}_mag"].astype(float) for name in ("g_ks", "bp_rp", "g_rp")))
        dwarf_of_gaia = _gaia_offsets(*np.moveaxis(data["dwarf_gaia_mag"].astype(float), -1, 0))
        return Library(
            names=names,
            mag_edges_mag=mag_edges,
            color_edges_mag=color_edges,
            stars_per_msun=data["stars_per_msun"] * np.where(ramped[:, None], ramp, 1.0)[..., None],
            offset_mag=offset | {"H": data["h_ks_mag"].astype(float)} | of_gaia,
            mass_msun=data["mass_msun"].astype(float),
            log_t=data["log_t"].astype(float),
            dwarf_mass_msun=data["dwarf_mass_msun"].astype(float),
            dwarf_mag={
                "Ks": dwarf_ks,
                "J": dwarf_ks + dwarf_j_ks,
                "H": dwarf_ks + dwarf_h_ks,
                **{band: dwarf_ks + offset for band, offset in dwarf_of_gaia.items()},
            },
        )


def _gaia_offsets(g_ks, bp_rp, g_rp):
    """M_band - M_Ks of Gaia's bands."""
    return {"G": g_ks, "BP": g_ks - g_rp + bp_rp, "RP": g_ks - g_rp}


@dataclass(frozen=True)
class BandTable:
    """Stars per solar mass in pixels of (M_red, blue - red), laid out for drawing.

    The pixels of a population are sorted from bright to faint. Pixel i of population p covers the range
    `cumulative[p][i]` to ``[i + 1]`` of stars per solar mass.

    Parameters
    ----------
    mag_step_mag, color_step_mag : float
        Size of a pixel.
    mag_edges_mag : ndarray [n_mag + 1]
    brighter : ndarray [n_populations, n_mag + 1]
        Stars per solar mass brighter than each edge.
    cumulative : tuple of ndarray [n_pixels + 1]
    mag_mag, color_mag : tuple of ndarray of float32 [n_pixels]
        Lower corner of each pixel.
    finders : tuple of PixelFinder
    offset_mag : dict of str to tuple of ndarray of float32 [n_pixels]
        M_band - M_red in further bands, the mean over a pixel's stars.
    log_t : tuple of ndarray of float32 [n_pixels]
        Mean decimal logarithm of the temperature in kelvin.
    """

    mag_step_mag: float
    color_step_mag: float
    mag_edges_mag: np.ndarray
    brighter: np.ndarray
    cumulative: tuple[np.ndarray, ...]
    mag_mag: tuple[np.ndarray, ...]
    color_mag: tuple[np.ndarray, ...]
    finders: tuple["PixelFinder", ...]
    offset_mag: dict[str, tuple[np.ndarray, ...]]
    log_t: tuple[np.ndarray, ...]


class PixelFinder:
    """Finds the pixel of a number of stars per solar mass, several times faster than a bisection.

    A table has the first pixel for each range of the numbers; ranges are those of equal leading bits of
    32-bit floats, 256 to a factor of two. From there it is few steps.

    Parameters
    ----------
    cumulative : ndarray [n_pixels + 1]
        From 0, ascending.
    """

    _SHIFT = 15

    def __init__(self, cumulative: np.ndarray) -> None:
        self._upper = cumulative[1:].astype(np.float32)
        # What lies on the last edge, or by rounding beyond it, is in the last pixel.
        self._upper[-1] = np.inf
        first, last = np.array([cumulative[1], cumulative[-1]], np.float32).view(np.int32) >> self._SHIFT
        lower = (np.arange(first, last + 1, dtype=np.int32) << self._SHIFT).view(np.float32)
        lower[0] = 0.0
        self._first = first
        self._pixel = np.searchsorted(self._upper, lower, "right")

    def __call__(self, stars_per_msun: np.ndarray) -> np.ndarray:
        """Pixels [n] of numbers from 0 to the last of `cumulative` [n]; edges belong to the pixel above."""
        x = stars_per_msun.astype(np.float32)
        place = (x.view(np.int32) >> self._SHIFT) - self._first
        pixel = self._pixel.take(place, mode="clip")
        rest = np.flatnonzero(x >= self._upper.take(pixel))
        while rest.size:
            pixel[rest] += 1
            rest = rest[x[rest] >= self._upper.take(pixel[rest])]
        return pixel


# What the pixels of the tables cover; of the library's stars none is outside.
_MAG_RANGE, _COLOR_RANGE = (-14.0, 17.0), (-3.0, 9.0)


@functools.cache
def band_table(
    blue: str,
    red: str,
    binary_fraction: float = 0.0,
    further: tuple[str, ...] = (),
    deeper: tuple[tuple[str, float], ...] = (),
) -> BandTable:
    """The library in the bands `blue` and `red`, and in further ones.

    Parameters
    ----------
    blue, red : str
        Two of the bands J, H, Ks, G, BP, RP.
    binary_fraction : float
        Share of the systems that have an unresolved companion.
    further : tuple of str
        More of the bands: the same stars have them, too.
    deeper : tuple of (str, float)
        Bands among these, and how much fainter than in the red band the stars may be in it, mag. A pixel's
        place in the order, and in `brighter`, is then by the band that reaches it first.

    Returns
    -------
    BandTable

    Raises
    ------
    ConfigError
        A band is unknown, or two are the same.
    """
    source = library()
    bands = (blue, red, *further)
    for band in bands:
        if band not in source.offset_mag:
            raise ConfigError(f"bands must be of {', '.join(source.offset_mag)}, got: {band!r}")
    if len(set(bands)) < len(bands):
        twice = next(band for band in bands if bands.count(band) > 1)
        raise ConfigError(f"bands must be different ones, got: {twice!r} twice")
    mag_step = float(np.diff(source.mag_edges_mag).mean())
    color_step = float(np.diff(source.color_edges_mag).mean())
    (mag_min, mag_max), (color_min, color_max) = _MAG_RANGE, _COLOR_RANGE
    n_mag, n_color = round((mag_max - mag_min) / mag_step), round((color_max - color_min) / color_step)
    mag_edges = np.linspace(mag_min, mag_max, n_mag + 1)
    brighter, cumulative, mags, colors, log_ts = [], [], [], [], []
    offsets: dict[str, list[np.ndarray]] = {band: [] for band in further}
    for population in range(len(source.names)):
        n, magnitudes, log_t = _systems(source, population, binary_fraction, bands)
        row = np.floor((magnitudes[red] - mag_min) / mag_step + 1e-3).astype(int)
        column = np.floor((magnitudes[blue] - magnitudes[red] - color_min) / color_step + 1e-3).astype(int)
        row, column = np.clip(row, 0, n_mag - 1), np.clip(column, 0, n_color - 1)
        place = row * n_color + column
        pixels = np.bincount(place, n, minlength=n_mag * n_color)
        occupied = np.flatnonzero(pixels)

        def mean(values, place=place, n=n, pixels=pixels, occupied=occupied):
            return np.bincount(place, n * values, minlength=pixels.size)[occupied] / pixels[occupied]

        offset = {band: mean(magnitudes[band] - magnitudes[red]) for band in further}
        head_start = np.max([0.0 * occupied, *(extra - offset[band] for band, extra in deeper)], axis=0)
        row = np.maximum(occupied // n_color - np.ceil(head_start / mag_step).astype(int), 0)
        in_rows = np.bincount(row * n_color + occupied % n_color, pixels[occupied], minlength=pixels.size)
        brighter.append(np.append(0, np.cumsum(in_rows.reshape(n_mag, n_color).sum(1))))
        order = np.argsort(row, kind="stable")
        occupied = occupied[order]
        cumulative.append(np.append(0, np.cumsum(pixels[occupied])))
        mags.append((mag_min + mag_step * (occupied // n_color)).astype(np.float32))
        colors.append((color_min + color_step * (occupied % n_color)).astype(np.float32))
        log_ts.append(mean(log_t)[order].astype(np.float32))
        for band in further:
            offsets[band].append(offset[band][order].astype(np.float32))
    return BandTable(
        mag_step,
        color_step,
        mag_edges,
        np.array(brighter),
        tuple(cumulative),
        tuple(mags),
        tuple(colors),
        tuple(PixelFinder(edges) for edges in cumulative),
        {band: tuple(parts) for band, parts in offsets.items()},
        tuple(log_ts),
    )


def _systems(source, population, binary_fraction, bands):
    """Singles and binaries: stars per solar mass, magnitudes by band, log T of the brighter; [n] each."""
    stars = source.stars_per_msun[population]
    used = stars > 0
    mag_ks = 0.5 * (source.mag_edges_mag[1:] + source.mag_edges_mag[:-1])[:, None]
    n_stars, log_t = stars[used].astype(float), source.log_t[used]
    single = {band: (mag_ks + source.offset_mag[band])[used] for band in bands}
    if not binary_fraction:
        return n_stars, single, log_t
    systems = [(n_stars * (1 - binary_fraction), single)]
    systems += _binaries(source, population, n_stars * binary_fraction, single, source.mass_msun[used])
    numbers, magnitudes = zip(*systems, strict=True)
    ratio = 0.5 * (1 + LOWEST_MASS_RATIO)
    return (
        np.concatenate([n / (1 + binary_fraction * ratio) for n in numbers]),
        {band: np.concatenate([mags[band] for mags in magnitudes]) for band in bands},
        np.tile(log_t, len(systems)),
    )


def _binaries(source, population, n_stars, single, mass):
    """One (number, magnitudes by band) for each mass ratio."""
    ratios = LOWEST_MASS_RATIO + (1 - LOWEST_MASS_RATIO) * (np.arange(N_MASS_RATIOS) + 0.5) / N_MASS_RATIOS
    systems = []
    for ratio in ratios:
        together = {}
        for band, own in single.items():
            companion = np.interp(mass * ratio, source.dwarf_mass_msun, source.dwarf_mag[band][population])
            # Pixels hold mean masses; a companion is never the brighter of the two.
            companion = np.maximum(companion, own)
            together[band] = -2.5 * np.log10(10 ** (-0.4 * own) + 10 ** (-0.4 * companion))
        systems.append((n_stars / N_MASS_RATIOS, together))
    return systems
