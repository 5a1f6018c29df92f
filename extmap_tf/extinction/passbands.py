"""Extinction in broad bands, which depends on the star and on the extinction itself.

A red or reddened star sends its light at the long end of a band, where there is less extinction: A(G)/A(V)
falls from 1.0 of a hot star to 0.7 of a cool one, and behind much dust to less. So extinction is integrated
over nodes of the passband,

.. math:: A(a, T) = -2.5 \\log_{10} \\sum_i w_i(T)\\, 10^{-0.4\\, a\\, k_i},

with a the extinction at the reference wavelength, k_i the law at node i over that at the reference, and w_i
the node's share of the photons of a black body. Below 5500 K the molecules of real stars take more of the
blue light than that: a black body has the temperature 5500 K - 1.3 (5500 K - T) then. So it is within 4 % of
the extinction of model atmospheres from 3500 to 10,000 K, as a test checks.

The nodes, ``passbands.csv``, are made by `extmap_tf.extinction.build_passbands`, which names the source.
"""

import functools
from collections.abc import Mapping, Sequence
from importlib import resources

import numpy as np

from extmap_tf.errors import ConfigError
from extmap_tf.extinction.law import a_over_av
from extmap_tf.settings.law import LawConfig

# hc / k, um K.
_SECOND_RADIATION_UM_K = 14387.77

_COOL_K, _COOLER = 5500.0, 1.3

LOG_T = np.linspace(3.40, 4.60, 241)
"""Temperatures of the tables; a star takes the nearest, within 0.6 %."""

MAX_MAG, STEP_MAG = 10.0, 0.04
"""Extinctions of the tables, of the law's reference of 2.2 um: behind more no star is seen in the optical."""


@functools.cache
def passband_nodes() -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    """By band: wavelengths (um) and shares of photons of the nodes, ndarray [32] each."""
    text = (resources.files("extmap_tf.extinction") / "passbands.csv").read_text()
    rows = [line.split(",") for line in text.splitlines()[1:]]
    return {
        band: tuple(np.array([[float(w), float(p)] for name, w, p in rows if name == band]).T)
        for band in dict.fromkeys(row[0] for row in rows)
    }


def broad_extinction(
    band: str, law: LawConfig, reference_um: float, a_reference: np.ndarray, temperature_k: np.ndarray
) -> np.ndarray:
    """Extinction in a broad band by its nodes.

    Parameters
    ----------
    band : str
        G, BP or RP.
    law : extmap_tf.settings.law.LawConfig
    reference_um : float
        Wavelength at which the extinction is given.
    a_reference, temperature_k : ndarray
        Of shapes that broadcast; mag and kelvin.

    Returns
    -------
    ndarray, mag

    Raises
    ------
    ConfigError
        The law is only a ratio of two bands, or does not cover the passband.
    """
    curve = a_over_av(law)
    if curve is None:
        raise ConfigError(
            f"law: extinction in {band} needs a law of all wavelengths, such as G23, not a ratio of two bands"
        )
    wavelength_um, photons = passband_nodes()[band]
    k = np.array([curve(node) for node in wavelength_um]) / curve(reference_um)
    temperature = np.asarray(temperature_k, float)[..., None]
    temperature = np.minimum(temperature, _COOL_K - _COOLER * (_COOL_K - temperature))
    weights = photons / (wavelength_um**5 * np.expm1(_SECOND_RADIATION_UM_K / (wavelength_um * temperature)))
    weights /= weights.sum(axis=-1, keepdims=True)
    light = np.sum(weights * 10.0 ** (-0.4 * np.asarray(a_reference)[..., None] * k), axis=-1)
    return -2.5 * np.log10(light)


class BroadBands:
    """Extinction of many stars in some broad bands, from tables of `broad_extinction`.

    Within 0.01 mag of it: linear in the extinction, of the nearest temperature.

    Parameters
    ----------
    bands : sequence of str
    law : extmap_tf.settings.law.LawConfig
    reference_um : float
        Wavelength at which the extinction is given.
    """

    def __init__(self, bands: Sequence[str], law: LawConfig, reference_um: float) -> None:
        a_mag = STEP_MAG * np.arange(round(MAX_MAG / STEP_MAG) + 2)
        self._tables = {
            band: broad_extinction(band, law, reference_um, a_mag[:, None], 10.0**LOG_T)
            .astype(np.float32)
            .ravel()
            for band in bands
        }
        # The last row is there for what is between it and the one before.
        self._least = {
            band: table.reshape(a_mag.size, LOG_T.size)[:-1].min(axis=1)
            for band, table in self._tables.items()
        }

    def at_least(self, band: str, a_reference: np.ndarray) -> np.ndarray:
        """What no star has less than: the extinction in a band of the coolest, ndarray of float32 [n_stars].

        Parameters
        ----------
        band : str
        a_reference : ndarray of float32 [n_stars]
            mag, not negative.
        """
        # A number beyond the last row takes it.
        row = (a_reference * np.float32(1.0 / STEP_MAG)).astype(np.int32)
        return self._least[band].take(row, mode="clip")

    def __call__(self, a_reference: np.ndarray, log_t: np.ndarray) -> dict[str, np.ndarray]:
        """Extinction by band, ndarray of float32 [n_stars].

        Parameters
        ----------
        a_reference : ndarray of float32 [n_stars]
            mag, not negative.
        log_t : ndarray of float32 [n_stars]
            Decimal logarithm of the temperature in kelvin.
        """
        step = np.float32((LOG_T[-1] - LOG_T[0]) / (LOG_T.size - 1))
        column = np.clip((log_t - np.float32(LOG_T[0])) / step + np.float32(0.5), 0, LOG_T.size - 1)
        place = np.minimum(a_reference, np.float32(MAX_MAG)) * np.float32(1.0 / STEP_MAG)
        row = place.astype(np.int32)
        place -= row
        first = row * np.int32(LOG_T.size) + column.astype(np.int32)
        out = {}
        for band, table in self._tables.items():
            near = table.take(first, mode="clip")
            out[band] = near + place * (table.take(first + np.int32(LOG_T.size), mode="clip") - near)
        return out


@functools.lru_cache(maxsize=8)
def broad_bands(bands: tuple[str, ...], law: LawConfig, reference_um: float) -> BroadBands:
    """The tables of some bands, made once."""
    return BroadBands(bands, law, reference_um)
