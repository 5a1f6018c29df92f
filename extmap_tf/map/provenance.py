"""What a map says of its origin: whose stars, which bands and law, which configuration and model."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Self

from extmap_tf import __version__
from extmap_tf.errors import require
from extmap_tf.extinction.law import mean_blue_over_red, stated_rv
from extmap_tf.settings.config import Config
from extmap_tf.settings.law import LawConfig

KINDS = ("estimate", "truth")
_SEPARATOR = ", "


@dataclass(frozen=True)
class Provenance:
    """What a map is of and what it was made with; each value is a keyword in every part of the file.

    Parameters
    ----------
    kind : {"estimate", "truth"}
        Whether a model made it from star counts, or it is the dust of a mock sky.
    survey : str
        Whose stars; of several surveys their names, with commas between.
    law_model : str
    law_rv : float or None
        The extinction law, as in `extmap_tf.settings.law.LawConfig`; None for a law without R(V).
    blue_over_red : float
        A(`blue_band`)/A(`band`) that the extinction goes with: of an estimate the mean of the training pairs,
        which may be another than that of the law.
    band_um, blue_band_um : float
        Wavelengths of the two bands.
    config_name, config_digest : str
        The configuration it was made for.
    model_name, model_digest, records_digest : str
        The model and the training records behind it; empty for a truth.
    model_facts : str
        What the model's card says in short; empty for a truth.
    offsets : str
        Of a map that the likelihood refined: what its region and the Galaxy model disagree about.
    band, blue_band : str
        The band the map is in, and the other band of the survey.
    software : str
        Program and version.
    law_ratio_sigma : float
        How much `blue_over_red` scattered in the training pairs; 0 for a truth.
    """

    kind: str
    survey: str
    law_model: str
    law_rv: float | None
    blue_over_red: float
    band_um: float
    blue_band_um: float
    config_name: str
    config_digest: str
    model_name: str = ""
    model_digest: str = ""
    records_digest: str = ""
    band: str = "Ks"
    blue_band: str = "J"
    software: str = f"extmap_tf {__version__}"
    model_facts: str = ""
    law_ratio_sigma: float = 0.0
    offsets: str = ""

    def __post_init__(self) -> None:
        require(self.kind in KINDS, "kind", f"one of {', '.join(KINDS)}", self)
        require(self.law_rv is None or math.isfinite(self.law_rv), "law_rv", "finite or None", self)
        require(1 < self.blue_over_red <= 20, "blue_over_red", "above 1 and at most 20", self)
        require(0 <= self.law_ratio_sigma <= 20, "law_ratio_sigma", "0 to 20", self)
        require(0.1 <= self.blue_band_um < self.band_um <= 30, "band_um", "blue_band_um to 30", self)
        require(self.band, "band", "the name of a band", self)
        for spec in dataclasses.fields(self):
            value = getattr(self, spec.name)
            if spec.type is str:
                ok = isinstance(value, str) and value.isascii() and value == value.strip()
                ok = ok and (value.isprintable() or not value)
                require(ok, spec.name, "printable ASCII without blanks at its ends (FITS headers)", self)

    @classmethod
    def of(cls, config: Config, kind: str, model: Config | None = None, **names: str) -> Self:
        """Provenance of a map made for `config`.

        Parameters
        ----------
        config : extmap_tf.settings.config.Config
        kind : {"estimate", "truth"}
        model : extmap_tf.settings.config.Config, optional
            That of the model, whose law is the map's; by default the same.
        names : str
            ``model_name``, ``model_digest``, ``records_digest``, ``model_facts``, ``offsets``.
        """
        law, nuisances = (model or config).law, (model or config).nuisances
        return cls(
            kind=kind,
            survey=_SEPARATOR.join(survey.name for survey in config.surveys),
            law_model=law.model,
            law_rv=stated_rv(law),
            blue_over_red=float(mean_blue_over_red(law, config.survey, nuisances)),
            law_ratio_sigma=float(nuisances.law_ratio_sigma) if kind == "estimate" else 0.0,
            config_name=config.name,
            config_digest=config.digest,
            band_um=config.survey.red.wavelength_um,
            blue_band_um=config.survey.blue.wavelength_um,
            band=config.survey.red.name,
            blue_band=config.survey.blue.name,
            **names,
        )

    @property
    def surveys(self) -> tuple[str, ...]:
        """Names of the surveys, in the order of the bits of the layer ``surveys``."""
        return tuple(self.survey.split(_SEPARATOR))

    @property
    def law(self) -> LawConfig:
        """The extinction law as a `LawConfig`."""
        ratio = self.blue_over_red if self.law_model == "ratio" else 0.0
        rv = LawConfig.rv if self.law_rv is None else self.law_rv
        return LawConfig(self.law_model, rv, ratio)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
