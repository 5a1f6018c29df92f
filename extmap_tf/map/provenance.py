"""What a map says of itself: where it comes from, and why a value is missing."""

import dataclasses
import enum
import math
from dataclasses import dataclass

from extmap_tf import __version__
from extmap_tf.errors import require
from extmap_tf.extinction.law import blue_over_red, stated_rv

KINDS = ("estimate", "truth")


class Flag(enum.IntFlag):
    """Why a sightline has no profile (the first three, also in the file), or what a query could not do.

    ``NO_STARS``, ``LOW_COVERAGE`` and ``NO_PROFILE`` come with NaN, as do ``OUTSIDE_SKY`` and
    ``NOT_A_NUMBER``. With ``BEYOND_LAST_DISTANCE`` the cumulative extinction is a lower limit and the density
    is NaN.
    """

    NO_STARS = 1
    LOW_COVERAGE = 2
    NO_PROFILE = 4
    OUTSIDE_SKY = 8
    BEYOND_LAST_DISTANCE = 16
    NOT_A_NUMBER = 32

    @property
    def meaning(self):
        """The flag in a few words."""
        return _MEANINGS[self]


_MEANINGS = {
    Flag.NO_STARS: "no star in the field",
    Flag.LOW_COVERAGE: "field covered less than the minimum",
    Flag.NO_PROFILE: "no profile, although there are data",
    Flag.OUTSIDE_SKY: "outside the sky grid",
    Flag.BEYOND_LAST_DISTANCE: "beyond the last distance",
    Flag.NOT_A_NUMBER: "position or distance is NaN",
}
SIGHTLINE_FLAGS = (Flag.NO_STARS, Flag.LOW_COVERAGE, Flag.NO_PROFILE)


@dataclass(frozen=True)
class Provenance:
    """What a map is of and what it was made with; each value is a keyword in every part of the file.

    Parameters
    ----------
    kind : {"estimate", "truth"}
        Whether a model made it from star counts, or it is the dust of a mock sky.
    survey : str
        Whose stars.
    law_model : str
    law_rv : float or None
        The extinction law, as in `extmap_tf.config.LawConfig`; None for a law without R(V).
    blue_over_red : float
        A(`blue_band`)/A(`band`) of that law.
    config_name, config_digest : str
        The configuration it was made for.
    model_name, model_digest, records_digest : str
        The model and the training records behind it; empty for a truth.
    band, blue_band : str
        The band the map is in, and the other band of the survey.
    software : str
        Program and version.
    """

    kind: str
    survey: str
    law_model: str
    law_rv: float | None
    blue_over_red: float
    config_name: str
    config_digest: str
    model_name: str = ""
    model_digest: str = ""
    records_digest: str = ""
    band: str = "Ks"
    blue_band: str = "J"
    software: str = f"extmap_tf {__version__}"

    def __post_init__(self):
        require(self.kind in KINDS, "kind", f"one of {', '.join(KINDS)}", self)
        require(self.law_rv is None or math.isfinite(self.law_rv), "law_rv", "finite or None", self)
        require(1 < self.blue_over_red <= 20, "blue_over_red", "above 1 and at most 20", self)
        require(self.band, "band", "the name of a band", self)
        for spec in dataclasses.fields(self):
            value = getattr(self, spec.name)
            if spec.type is str:
                ok = isinstance(value, str) and value.isascii() and value == value.strip()
                ok = ok and (value.isprintable() or not value)
                require(ok, spec.name, "printable ASCII without blanks at its ends (FITS headers)", self)

    @classmethod
    def of(cls, config, kind, law=None, **names):
        """Provenance of a map made for `config`.

        Parameters
        ----------
        config : extmap_tf.config.Config
        kind : {"estimate", "truth"}
        law : extmap_tf.config.LawConfig, optional
            That of the model, where it is not the configuration's.
        names : str
            ``model_name``, ``model_digest``, ``records_digest``.
        """
        law = law or config.law
        return cls(
            kind=kind,
            survey=config.survey.name,
            law_model=law.model,
            law_rv=stated_rv(law),
            blue_over_red=float(blue_over_red(law, config.survey)),
            config_name=config.name,
            config_digest=config.digest,
            band=config.survey.red.name,
            blue_band=config.survey.blue.name,
            **names,
        )

    def to_dict(self):
        return dataclasses.asdict(self)
