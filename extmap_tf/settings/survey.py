"""A telescope: its bands, which of its stars count, and in which diagrams."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from extmap_tf.bounds import Section, setting
from extmap_tf.errors import ConfigError, require
from extmap_tf.grids.diagram import Diagram
from extmap_tf.settings.diagrams import PARALLAX, DiagramConfig

NO_LIMIT_MAG = 99.0
"""A `Band.faint_mag` that leaves no star out."""


@dataclass(frozen=True)
class Band(Section):
    """What the survey does to a star in one band.

    The error at magnitude m is the root of the squares of `error_floor_mag` and of a sky-limited term that
    reaches 0.1086 mag (signal to noise 10) at `snr10_mag`. The chance of a detection falls as a logistic
    function, to one half at `half_complete_mag`, with scale `completeness_scale_mag`. Between the two terms
    of the error there may be one of the star's own photons, which is `photon_error_mag` at `snr10_mag`.
    """

    name: str = setting(doc="Name of the band.")
    wavelength_um: float = setting(doc="Effective wavelength.", at_least=0.1, at_most=30)
    error_floor_mag: float = setting(doc="Error of bright stars.", at_least=0, below=0.5)
    snr10_mag: float = setting(doc="Magnitude at which the sky-limited error is 0.1086 mag.")
    half_complete_mag: float = setting(doc="Magnitude at which half of the stars are detected.")
    completeness_scale_mag: float = setting(
        doc="Scale of the logistic fall of the chance of a detection.", above=0, at_most=2
    )
    photon_error_mag: float = setting(
        0.0,
        "Error by the star's own photons at `snr10_mag`; its square falls as the flux.",
        at_least=0,
        below=0.5,
    )
    faint_mag: float = setting(NO_LIMIT_MAG, "Fainter stars do not count.")
    passband: str = setting(
        "",
        """For a broad band its passband, G, BP or RP of Gaia: its extinction depends on the star's
        temperature and on the extinction itself. Without it the law is read at `wavelength_um`.""",
        one_of=("", "G", "BP", "RP"),
    )


@dataclass(frozen=True)
class Cuts(Section):
    """Which stars count, in real and mock tables alike."""

    max_error_mag: float = setting(0.15, "Largest photometric error in any band.", above=0, at_most=1)
    bright_mag: float = setting(4.0, "Brightest magnitude in any band.")
    ph_qual_keep: str = setting(
        "ABCD",
        """Letters of the 2MASS photometric quality flag that are detections (Cutri et al. 2003, sec. 2.2.a);
        upper limits (U) and failures (X, F, E) are never among them.""",
    )
    cc_flg_keep: str = setting("", "Letters of the 2MASS contamination flag that are kept; empty keeps all.")
    needs_errors: bool = setting(
        True,
        """Whether a table must state the errors of magnitudes, because some of its magnitudes are upper
        limits. If not, the survey's own errors stand in for those that a table lacks.""",
    )
    max_ruwe: float = setting(
        0.0, "Largest RUWE of Gaia (renormalised unit weight error) that is kept; 0 keeps all.", at_least=0
    )
    keep_duplicates: bool = setting(True, "Whether stars that Gaia flags as duplicated sources are kept.")

    def check(self) -> None:
        letters = "one or more of the letters ABCD (others are not detections)"
        ok = self.ph_qual_keep and not set(self.ph_qual_keep) - set("ABCD")
        require(ok, "ph_qual_keep", letters, self)


@dataclass(frozen=True)
class Crowding(Section):
    """How a survey loses depth in dense fields, where neighbours hide stars and add to the noise.

    A field with more than 10^`log10_stars_per_deg2` stars per square degree brighter than `limit_mag` in the
    red band, extinction included, has all `snr10_mag` and `half_complete_mag` brighter by `loss_mag_per_dex`
    times the decimal logarithm of how many times more there are.
    """

    limit_mag: float = setting(14.0, "Stars brighter than this in the red band are counted.")
    log10_stars_per_deg2: float = setting(
        4.0, "Decimal logarithm of the density from which on depth is lost.", at_least=0, at_most=10
    )
    loss_mag_per_dex: float = setting(
        0.0, "Loss of depth for each factor of 10 in density.", at_least=0, at_most=10
    )


@dataclass(frozen=True)
class Parallax(Section):
    """The parallaxes of a survey, if it has any.

    The square of the error, in microarcsec^2, is a polynomial of z = 10^(0.4 (max(m, `bright_mag`) - 15))
    with the coefficients `error_uas2`, and m the magnitude in `band`.
    """

    band: str = setting("", "The band that decides the error; empty where there are no parallaxes.")
    error_uas2: tuple[float, ...] = setting((), "Coefficients of the squared error.", at_least=0)
    bright_mag: float = setting(13.0, "Brighter stars have the error of this magnitude.")
    error_factor: float = setting(1.0, "Factor on the error.", above=0, at_most=10)
    zero_point_mag: tuple[float, ...] = setting((), "Magnitudes of `zero_point_mas`, ascending.")
    zero_point_mas: tuple[float, ...] = setting(
        (), "What is added to the true parallaxes at these magnitudes.", at_least=-1, at_most=1
    )

    def check(self) -> None:
        require(bool(self.band) == bool(self.error_uas2), "error_uas2", "given where band is", self)
        n_points, ascending = len(self.zero_point_mag), sorted(set(self.zero_point_mag))
        require(len(self.zero_point_mas) == n_points, "zero_point_mas", "as many as zero_point_mag", self)
        require(list(self.zero_point_mag) == ascending, "zero_point_mag", "ascending", self)


@dataclass(frozen=True)
class SurveyConfig(Section):
    """A telescope: two bands, colour = `blue` - `red`, magnitude = `red`; others if its diagrams need them.

    A configuration names one of the surveys in ``extmap_tf/configs/surveys``, or a TOML file like these:
    ``survey = "2mass"``, or several: ``surveys = ["2mass", "deep.toml"]``. A star counts if it is detected in
    all bands.
    """

    name: str = setting(doc="Name of the survey.")
    blue: Band = setting(doc="The band of the shorter wavelength.")
    red: Band = setting(doc="The band of the longer wavelength, in which extinction is given.")
    crowding: Crowding = setting(Crowding(), "Depth in dense fields.")
    cuts: Cuts = setting(Cuts(), "Which stars count.")
    other_bands: tuple[Band, ...] = setting((), "Bands beside blue and red that a star must have, too.")
    parallax: Parallax = setting(Parallax(), "Parallaxes, which a star must have if the survey has any.")
    lost_share: float = setting(
        0.0,
        "Share of the detected stars that lack a colour or a parallax, whatever their magnitude.",
        at_least=0,
        below=1,
    )
    diagrams: tuple[DiagramConfig, ...] = setting(
        (), "What its stars are counted in; of the first survey, if there are none, the section cmd."
    )

    def check(self) -> None:
        require(self.key, "name", "with a letter a-z or a digit", self)
        shorter = self.blue.wavelength_um < self.red.wavelength_um
        require(shorter, "blue", "the band of the shorter wavelength", self)
        names = [band.name for band in self.bands]
        require(len(set(names)) == len(names), "other_bands", "of names that no other band has", self)
        for axis in (axis for diagram in self.diagrams for axis in (diagram.y, diagram.x)):
            for name in axis.bands:
                self.band(name)
            if axis.of == PARALLAX:
                require(self.parallax.band, "parallax", "with a band, since a diagram has parallaxes", self)
        if self.parallax.band:
            self.band(self.parallax.band)
        for band in self.bands:
            require(
                self.cuts.max_error_mag > band.error_floor_mag,
                "cuts",
                f"such that max_error_mag is above {band.name}'s error_floor_mag, {band.error_floor_mag}",
                self,
            )

    @cached_property
    def bands(self) -> tuple[Band, ...]:
        """All bands, ascending in wavelength."""
        return tuple(sorted((self.blue, self.red, *self.other_bands), key=lambda band: band.wavelength_um))

    @property
    def limiting(self) -> Band:
        """The band that says how deep the survey goes: the first with a `faint_mag`, else the red one."""
        return next((band for band in self.bands if band.faint_mag < NO_LIMIT_MAG), self.red)

    @property
    def key(self) -> str:
        """What the survey is called in names of inputs and options: of ``Gaia DR3``, ``gaia_dr3``."""
        return re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_")

    def band(self, name: str) -> Band:
        """The band called `name`; ConfigError where there is none."""
        for band in self.bands:
            if band.name == name:
                return band
        known = ", ".join(band.name for band in self.bands)
        raise ConfigError(f"survey {self.name} has no band {name!r}; its bands are {known}")


@dataclass(frozen=True)
class SurveyView:
    """A survey and the diagrams that its stars are counted in.

    Parameters
    ----------
    survey : SurveyConfig
    diagrams : tuple of extmap_tf.grids.diagram.Diagram
    suffix : str
        Ends the names of what is the survey's own, see `named`; empty for the first survey.
    """

    survey: SurveyConfig
    diagrams: tuple[Diagram, ...]
    suffix: str

    @classmethod
    def of(
        cls, survey: SurveyConfig, diagrams: Iterable[Diagram | DiagramConfig], suffix: str
    ) -> "SurveyView":
        """The view of a survey; its diagrams are ``counts`` with the suffix, then ``counts_2`` and so on."""
        found = []
        for number, diagram in enumerate(diagrams, 1):
            name = f"counts{suffix}" if number == 1 else f"counts{suffix}_{number}"
            found.append(diagram if isinstance(diagram, Diagram) else diagram.diagram(survey.name, name))
        return cls(survey, tuple(found), suffix)

    def named(self, what: str) -> str:
        """The name of what is the survey's own in records, networks and signatures, such as ``coverage``."""
        return f"{what}{self.suffix}"

    @property
    def star_inputs(self) -> dict[str, str]:
        """Inputs of a signature that takes stars, and which band each is, or ``parallax``."""
        survey = self.survey
        roles = {"blue": survey.blue, "red": survey.red} | {band.name: band for band in survey.other_bands}
        found = {self.named(f"{role}_mag"): band.name for role, band in roles.items()}
        return found | ({self.named("parallax_mas"): PARALLAX} if survey.parallax.band else {})

    def no_counts(self, n: int) -> dict[str, np.ndarray]:
        """Inputs that say of `n` fields that the survey is not there, as diagrams."""
        counts = {diagram.name: np.zeros((n, *diagram.shape), np.float32) for diagram in self.diagrams}
        return self._no_coverage(n) | counts

    def no_stars(self, n: int) -> dict[str, np.ndarray]:
        """The same, as padded stars."""
        rows = {name: np.zeros((n, 0), np.float32) for name in self.star_inputs}
        return self._no_coverage(n) | rows | {self.named("n_stars"): np.zeros(n, np.int64)}

    def _no_coverage(self, n):
        return {self.named("coverage"): np.zeros(n, np.float32)}

    @property
    def n_pixels(self) -> int:
        """Pixels of all its diagrams."""
        return sum(diagram.n_pixels for diagram in self.diagrams)
