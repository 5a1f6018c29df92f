"""Spiral arms to draw over a face-on view: logarithmic spirals with a kink (Reid et al. 2019, ApJ 885, 131).

Along an arm ln(R / R_kink) = -(beta - beta_kink) tan(pitch), with Galactic azimuth beta from the Sun's
direction towards Galactic rotation, and a pitch angle on either side of the kink; R of the Sun is 8.15 kpc.
"""

import unicodedata

import numpy as np

from extmap_tf.errors import ConfigError

SUN_RADIUS_KPC = 8.15

# Name -> (beta of the kink, R of the kink in kpc, pitch below and above it), angles in degrees.
ARMS = {
    "Scutum–Centaurus": (23.0, 4.91, 14.1, 12.1),
    "Sagittarius–Carina": (24.0, 6.04, 17.1, 1.0),
    "Local": (9.0, 8.26, 11.4, 11.4),
    "Perseus": (40.0, 8.87, 10.3, 8.7),
    "Outer": (18.0, 12.24, 3.0, 9.4),
}


def arm_xy_kpc(name, beta_deg=None):
    """An arm's ridge as seen from the Sun.

    Parameters
    ----------
    name : str
        One of `ARMS`.
    beta_deg : array_like [n], optional
        Galactic azimuths; -80 to 120 deg by default, about where arms have been measured or extrapolated.

    Returns
    -------
    ndarray [2, n]
        x towards the Galactic centre and y towards l = 90 deg, kpc.
    """
    kink_deg, kink_kpc, below_deg, above_deg = ARMS[name]
    beta_deg = np.linspace(-80.0, 120.0, 401) if beta_deg is None else np.asarray(beta_deg, float)
    pitch = np.radians(np.where(beta_deg < kink_deg, below_deg, above_deg))
    beta = np.radians(beta_deg)
    radius = kink_kpc * np.exp(-np.radians(beta_deg - kink_deg) * np.tan(pitch))
    return np.array([SUN_RADIUS_KPC - radius * np.cos(beta), radius * np.sin(beta)])


def arms_named(arms):
    """Names in `ARMS` for True (all), False or None (none), or a sequence of names.

    Case, dashes and blanks do not matter, and the start of a name is enough, or of its second half.

    Raises
    ------
    ConfigError
        No arm, or more than one, has such a name.
    """
    if arms is None or isinstance(arms, bool):
        return list(ARMS) if arms else []
    chosen = []
    for text in arms:
        found = [
            name
            for name in ARMS
            if any(_plain(part).startswith(_plain(text)) for part in (name, name.split("–")[-1]))
        ]
        if len(found) != 1 or not _plain(text):
            raise ConfigError(f"no spiral arm {text!r}; there are {', '.join(ARMS)}")
        chosen += found
    return list(dict.fromkeys(chosen))


def _plain(text):
    return "".join(c for c in unicodedata.normalize("NFKD", text.lower()) if c.isalpha())
