"""What a map says of itself: where it comes from, and why a value is missing."""

import dataclasses
import enum
import math
from dataclasses import dataclass

from extmap_tf import __version__
from extmap_tf.config import LawConfig
from extmap_tf.errors import require
from extmap_tf.extinction.law import blue_over_red, stated_rv

KINDS = ("estimate", "truth")


class Flag(enum.IntFlag):
    """What is wrong with a sightline or a queried position; the first seven are also in the file.

    ``NO_STARS``, ``LOW_COVERAGE`` and ``NO_PROFILE`` come with NaN, as do ``OUTSIDE_SKY`` and
    ``NOT_A_NUMBER``. With ``BEYOND_LAST_DISTANCE`` the cumulative extinction is a lower limit and the density
    is NaN. The others warn of a value that is given: the field is unlike those that the model was trained
    on, or the position is beyond the distance to which its sightline is reliable.
    """

    NO_STARS = 1
    LOW_COVERAGE = 2
    NO_PROFILE = 4
    FEW_STARS = 8
    ODD_STAR_COUNT = 16
    ODD_COLORS = 32
    ODD_PLACE = 64
    OUTSIDE_SKY = 256
    BEYOND_LAST_DISTANCE = 512
    NOT_A_NUMBER = 1024
    BEYOND_RELIABLE_DISTANCE = 2048

    @property
    def meaning(self):
        """The flag in a few words."""
        return _MEANINGS[self]


_MEANINGS = {
    Flag.NO_STARS: "no star in the field",
    Flag.LOW_COVERAGE: "field covered less than the minimum",
    Flag.NO_PROFILE: "no profile, although there are data",
    Flag.FEW_STARS: "too few stars for the model",
    Flag.ODD_STAR_COUNT: "star count unlike the training mocks",
    Flag.ODD_COLORS: "colours unlike the training mocks",
    Flag.ODD_PLACE: "position outside the model's region",
    Flag.OUTSIDE_SKY: "outside the sky grid",
    Flag.BEYOND_LAST_DISTANCE: "beyond the last distance",
    Flag.NOT_A_NUMBER: "position or distance is NaN",
    Flag.BEYOND_RELIABLE_DISTANCE: "beyond the reliable distance",
}
EMPTY_FLAGS = Flag.NO_STARS | Flag.LOW_COVERAGE | Flag.NO_PROFILE
SIGHTLINE_FLAGS = tuple(flag for flag in Flag if flag < Flag.OUTSIDE_SKY)

# The model's bits 1, 2, 4, 8 for an unusual diagram, in this order, are these flags.
OUTLIER_FLAGS = (Flag.FEW_STARS, Flag.ODD_STAR_COUNT, Flag.ODD_COLORS, Flag.ODD_PLACE)
OUTLIER_SHIFT = 3


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
    band_um, blue_band_um : float
        Wavelengths of the two bands.
    config_name, config_digest : str
        The configuration it was made for.
    model_name, model_digest, records_digest : str
        The model and the training records behind it; empty for a truth.
    model_facts : str
        What the model's card says in short; empty for a truth.
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

    def __post_init__(self):
        require(self.kind in KINDS, "kind", f"one of {', '.join(KINDS)}", self)
        require(self.law_rv is None or math.isfinite(self.law_rv), "law_rv", "finite or None", self)
        require(1 < self.blue_over_red <= 20, "blue_over_red", "above 1 and at most 20", self)
        require(0.1 <= self.blue_band_um < self.band_um <= 30, "band_um", "blue_band_um to 30", self)
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
            ``model_name``, ``model_digest``, ``records_digest``, ``model_facts``.
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
            band_um=config.survey.red.wavelength_um,
            blue_band_um=config.survey.blue.wavelength_um,
            band=config.survey.red.name,
            blue_band=config.survey.blue.name,
            **names,
        )

    @property
    def law(self):
        """The extinction law as a `LawConfig`."""
        ratio = self.blue_over_red if self.law_model == "ratio" else 0.0
        return LawConfig(self.law_model, self.law_rv, ratio)

    def to_dict(self):
        return dataclasses.asdict(self)
