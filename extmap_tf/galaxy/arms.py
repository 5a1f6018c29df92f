"""Spiral arms of the Galaxy, and the Sun's distance from its centre: the one table of both.

Along an arm ln(R / R_kink) = -(beta - beta_kink) tan(pitch), with Galactic azimuth beta from the Sun's
direction towards Galactic rotation, and a pitch angle on either side of the kink.

`PUBLISHED` are the arms of Reid et al. 2019 (ApJ 885, 131, table 2). `mock_arms` are those along which the
dust of a mock sky is gathered: they pass through the reference points of Reid et al. 2014 (ApJ 783, 130,
table 2) with one pitch angle for all. The density laws of the stars keep the 8.5 kpc with which the
Besançon model was fitted.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from extmap_tf.errors import ConfigError

SUN_RADIUS_KPC = 8.15


@dataclass(frozen=True)
class SpiralArm:
    """A logarithmic spiral with a kink.

    Parameters
    ----------
    name : str
    beta_deg, radius_kpc : float
        Azimuth of the kink and its distance from the Galactic centre.
    pitch_below_deg, pitch_above_deg : float
        Pitch angles at smaller and at larger azimuth.
    """

    name: str
    beta_deg: float
    radius_kpc: float
    pitch_below_deg: float
    pitch_above_deg: float

    def radius_at(self, beta_deg: np.ndarray) -> np.ndarray:
        """Distance of the ridge from the Galactic centre at azimuths [...], kpc."""
        beta_deg = np.asarray(beta_deg, float)
        pitch = np.where(beta_deg < self.beta_deg, self.pitch_below_deg, self.pitch_above_deg)
        return self.radius_kpc * np.exp(-np.radians(beta_deg - self.beta_deg) * np.tan(np.radians(pitch)))

    def xy_kpc(self, beta_deg: np.ndarray | None = None) -> np.ndarray:
        """The ridge as seen from the Sun.

        Parameters
        ----------
        beta_deg : array_like [n], optional
            -80 to 120 deg by default, about where arms have been measured or extrapolated.

        Returns
        -------
        ndarray [2, n]
            x towards the Galactic centre and y towards l = 90 deg, kpc.
        """
        beta_deg = np.linspace(-80.0, 120.0, 401) if beta_deg is None else np.asarray(beta_deg, float)
        radius, beta = self.radius_at(beta_deg), np.radians(beta_deg)
        return np.array([SUN_RADIUS_KPC - radius * np.cos(beta), radius * np.sin(beta)])


PUBLISHED = (
    SpiralArm("Scutum–Centaurus", 23.0, 4.91, 14.1, 12.1),
    SpiralArm("Sagittarius–Carina", 24.0, 6.04, 17.1, 1.0),
    SpiralArm("Local", 9.0, 8.26, 11.4, 11.4),
    SpiralArm("Perseus", 40.0, 8.87, 10.3, 8.7),
    SpiralArm("Outer", 18.0, 12.24, 3.0, 9.4),
)

# Azimuth and radius of the points that the arms of a mock sky pass through, in the order of `PUBLISHED`.
_REFERENCE_2014 = ((27.6, 5.0), (25.6, 6.6), (8.9, 8.4), (14.2, 9.9), (18.6, 13.0))


def mock_arms(pitch_deg: float) -> tuple[SpiralArm, ...]:
    """The arms of a mock sky's dust: `pitch_deg` is that of its section ``[dust]``."""
    return tuple(
        SpiralArm(arm.name, beta_deg, radius_kpc, pitch_deg, pitch_deg)
        for arm, (beta_deg, radius_kpc) in zip(PUBLISHED, _REFERENCE_2014, strict=True)
    )


def arms_named(chosen: bool | Iterable[str] | None, arms: Sequence[SpiralArm]) -> list[SpiralArm]:
    """Arms of a table, for True (all), False or None (none), or a sequence of names.

    Case, dashes and blanks do not matter, and the start of a name is enough, or of its second half.

    Raises
    ------
    ConfigError
        No arm, or more than one, has such a name.
    """
    if chosen is None or isinstance(chosen, bool):
        return list(arms) if chosen else []
    found = []
    for text in chosen:
        fitting = [
            arm
            for arm in arms
            if any(_plain(part).startswith(_plain(text)) for part in (arm.name, arm.name.split("–")[-1]))
        ]
        if not fitting or not _plain(text):
            names = ", ".join(arm.name for arm in arms)
            raise ConfigError(f"no spiral arm {text!r}; there are {names}")
        if len(fitting) > 1:
            names = " or ".join(arm.name for arm in fitting)
            raise ConfigError(f"{text!r} may be {names}: give more of it")
        found += fitting
    return list(dict.fromkeys(found))


def _plain(text):
    return "".join(c for c in unicodedata.normalize("NFKD", text.lower()) if c.isalpha())
