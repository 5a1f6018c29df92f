"""Extinction in one band from that in another: names of bands, colour excesses, and the law between them."""

import re
from collections.abc import Mapping

from extmap_tf.errors import ConfigError
from extmap_tf.extinction.law import a_over_av
from extmap_tf.settings.law import LawConfig

# Wavelengths in um. A law is read at one wavelength a band: in the optical, the extinction of a broad band
# also depends on the star's colour by some percent. B and V are those that define R(V) in dust_extinction.
BANDS_UM = {
    "U": 0.365,
    "B": 0.44,
    "V": 0.55,
    "R": 0.635,
    "I": 0.88,
    "J": 1.235,
    "H": 1.662,
    "Ks": 2.159,
    "W1": 3.353,
    "W2": 4.603,
}

_EXCESS = re.compile(r"E\(([^()-]+)-([^()-]+)\)")


def quantity_of(band: str) -> str:
    """What is given in a band, or as a colour excess: ``A(Ks)``, ``E(J-Ks)``."""
    return band if band.startswith("E(") else f"A({band})"


def as_law(law: LawConfig | str) -> LawConfig:
    """A law given as a `LawConfig`, or as the name of a model of ``dust_extinction`` (with R(V) = 3.1)."""
    if isinstance(law, LawConfig):
        return law
    if not isinstance(law, str) or law == "ratio":
        raise ConfigError(f"law must be the name of a model such as G23, or a LawConfig, got: {law!r}")
    return LawConfig(law)


def extinction_ratio(
    name: str,
    reference: str,
    law: LawConfig,
    own_um: Mapping[str, float] | None = None,
    known: tuple[str, float] | None = None,
) -> float:
    """A(name) / A(reference), or E(x-y) / A(reference).

    Where the ratio of a band is known, and another than the law's, colour excesses keep the law's
    proportions: A(x) = A(reference) + E(x-reference), E(x-reference) being that of the law at the known
    E(band-reference).

    Parameters
    ----------
    name : str
        A band, or a colour excess such as ``E(B-V)``.
    reference : str
        A band.
    law : LawConfig
    own_um : dict of str to float, optional
        Wavelengths (um) of a survey's own bands; they precede `BANDS_UM`.
    known : (str, float), optional
        A band, and its ratio to A(reference), which is not to be computed; with ``law.model = "ratio"`` there
        are no others.

    Raises
    ------
    ConfigError
        An unknown band, or one that the law does not cover.

    Examples
    --------
    >>> from extmap_tf.settings.law import LawConfig
    >>> round(extinction_ratio("J", "Ks", LawConfig("G23")), 3)
    2.571
    >>> round(extinction_ratio("E(B-V)", "V", LawConfig("F19")), 3)
    0.322
    """
    wavelengths_um = {**BANDS_UM, **(own_um or {})}
    curve = a_over_av(law)

    def ratio(band):
        if band == reference:
            return 1.0
        if known and band == known[0]:
            return known[1]
        if not known or curve is None:
            return by_law(band)
        return 1.0 + (known[1] - 1.0) / (by_law(known[0]) - 1.0) * (by_law(band) - 1.0)

    def by_law(band):
        if curve is None:
            given = f"{reference}, {known[0]}" if known else reference
            raise ConfigError(
                f"no band {band!r}: the law is only a ratio of {given}; for others give a law, such as G23"
            )
        for one in (band, reference):
            if one not in wavelengths_um:
                raise ConfigError(
                    f"no band {one!r}; available: {', '.join(wavelengths_um)} and colour excesses of two of "
                    "them, such as E(B-V)"
                )
        return curve(wavelengths_um[band]) / curve(wavelengths_um[reference])

    excess = _EXCESS.fullmatch(name) if isinstance(name, str) else None
    if excess:
        blue, red = excess.groups()
        return ratio(blue) - ratio(red)
    return ratio(name)
