"""The extinction law: how the bands are tied together.

The default law at the wavelengths of the known bands is in ``law.csv``, made from ``dust_extinction`` by
`extmap_tf.extinction.build_law`: to import that package takes most of a second of each worker.
"""

import math
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from importlib import resources

from extmap_tf.errors import ConfigError
from extmap_tf.settings.law import LawConfig
from extmap_tf.settings.nuisances import NuisanceConfig
from extmap_tf.settings.survey import Band, SurveyConfig


@lru_cache(maxsize=32)
def blue_over_red(law: LawConfig, survey: SurveyConfig) -> float:
    """A(blue)/A(red), for instance A(J)/A(Ks), at the bands' wavelengths.

    Parameters
    ----------
    law : extmap_tf.settings.law.LawConfig
    survey : extmap_tf.settings.survey.SurveyConfig

    Returns
    -------
    float

    Raises
    ------
    ConfigError
        ``dust_extinction`` has no such model, or the model does not cover a band.
    """
    curve = a_over_av(law)
    if curve is None:
        return law.blue_over_red
    return curve(survey.blue.wavelength_um) / curve(survey.red.wavelength_um)


def mean_blue_over_red(law: LawConfig, survey: SurveyConfig, nuisances: NuisanceConfig) -> float:
    """A(blue)/A(red) by which stars are reddened in the mean of the training pairs.

    A model's A(red) is the one that goes with this ratio: what it sees is the reddening E(blue-red).
    """
    return blue_over_red(law, survey) + nuisances.law_ratio_mean


@lru_cache(maxsize=32)
def band_over_red(law: LawConfig, band: Band, survey: SurveyConfig) -> float:
    """A(band)/A(red) of any band, the red one being that of `survey`, at the bands' wavelengths.

    Raises
    ------
    ConfigError
        As `blue_over_red`, or the law is only a ratio of two bands.
    """
    curve = a_over_av(law)
    if curve is None:
        raise ConfigError(
            f'law: model = "ratio" ties {survey.blue.name} and {survey.red.name} alone, not {band.name}: '
            "take a law such as G23"
        )
    return curve(band.wavelength_um) / curve(survey.red.wavelength_um)


@lru_cache(maxsize=32)
def red_over_v(law: LawConfig, survey: SurveyConfig) -> float:
    """A(red)/A(V), for instance A(Ks)/A(V); NaN for a law that is only a ratio of two bands."""
    curve = a_over_av(law)
    return curve(survey.red.wavelength_um) if curve else math.nan


def stated_rv(law: LawConfig) -> float | None:
    """R(V) of a law that has it as a parameter; None for a ratio of two bands and for averages."""
    if (law.model, law.rv) in known_laws():
        return law.rv
    return law.rv if law.model != "ratio" and _class_of(law)[1] else None


def law_text(model: str, rv: float | None) -> str:
    """A law in words: its name, and R(V) where there is one."""
    return model if rv is None else f"{model}, R(V) = {rv:g}"


def a_over_av(law: LawConfig) -> Callable[[float], float] | None:
    """The law as a function of wavelength in um that gives A/A(V); None for a ratio of two bands."""
    if law.model == "ratio":
        return None
    known = known_laws().get((law.model, law.rv))
    if known is None:
        return curve_of(law)

    def curve(wavelength_um):
        value = known.get(float(wavelength_um))
        return curve_of(law)(wavelength_um) if value is None else value

    return curve


@cache
def known_laws() -> Mapping[tuple[str, float], Mapping[float, float]]:
    """A/A(V) by wavelength in um, of laws with R(V) by model and R(V)."""
    laws: dict[tuple[str, float], dict[float, float]] = {}
    for line in (resources.files("extmap_tf.extinction") / "law.csv").read_text().splitlines()[1:]:
        model, rv, wavelength_um, value = line.split(",")
        laws.setdefault((model, float(rv)), {})[float(wavelength_um)] = float(value)
    return laws


@lru_cache(maxsize=32)
def curve_of(law: LawConfig) -> Callable[[float], float]:
    """The law as ``dust_extinction`` has it, as a function of wavelength in um that gives A/A(V).

    Raises
    ------
    ConfigError
        It has no such law; the function raises it for a wavelength that the law does not cover.
    """
    import astropy.units as u

    cls, has_rv = _class_of(law)
    try:
        model = cls(Rv=law.rv) if has_rv else cls()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"law: {law.model} cannot have rv = {law.rv}: {error}") from None

    def curve(wavelength_um):
        try:
            return float(model(wavelength_um * u.um))
        except ValueError as error:
            raise ConfigError(f"law: {law.model} does not cover {wavelength_um} um: {error}") from None

    return curve


def _class_of(law):
    """The class of ``dust_extinction``, and whether R(V) is a parameter of it."""
    from dust_extinction import averages, parameter_averages

    for module in (parameter_averages, averages):
        # The modules also hold base classes and helpers, which are no laws.
        if law.model in module.__all__:
            return getattr(module, law.model), module is parameter_averages
    raise ConfigError(
        f"law.model: no extinction law {law.model!r} in dust_extinction; "
        "for instance G23, F19, CCM89, or ratio to give blue_over_red"
    )
