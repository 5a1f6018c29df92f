"""One configuration for the whole line, from mock sky to map, read from and written to one TOML file.

Each section is a frozen dataclass; a value that cannot be is refused with its place. Built-in configurations
live in ``extmap_tf/configs`` and are named by their file's stem.
"""

import dataclasses
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from extmap_tf.errors import ConfigError, DataError, require
from extmap_tf.files import local_path, sha256_of, whole_file
from extmap_tf.grids.cmd import CmdGrid
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.settings.identity import SCHEMA, as_before, digest_of, identifying, require_readable


@dataclass(frozen=True)
class Band:
    """What the survey does to a star in one band.

    The error at magnitude m is the root of the squares of `error_floor_mag` and of a sky-limited term that
    reaches 0.1086 mag (signal to noise 10) at `snr10_mag`. The chance of a detection falls as a logistic
    function, to one half at `half_complete_mag`, with scale `completeness_scale_mag`.
    """

    name: str
    wavelength_um: float
    error_floor_mag: float
    snr10_mag: float
    half_complete_mag: float
    completeness_scale_mag: float

    def __post_init__(self):
        require(0.1 <= self.wavelength_um <= 30, "wavelength_um", "0.1 to 30", self)
        require(0 <= self.error_floor_mag < 0.5, "error_floor_mag", "0 to below 0.5", self)
        require(
            0 < self.completeness_scale_mag <= 2,
            "completeness_scale_mag",
            "above 0, at most 2",
            self,
        )


@dataclass(frozen=True)
class Cuts:
    """Which stars count, in real and mock tables alike.

    Parameters
    ----------
    max_error_mag : float
        Largest photometric error in either band.
    bright_mag : float
        Brightest magnitude in either band.
    ph_qual_keep : str
        Letters of the 2MASS photometric quality flag that are detections (Cutri et al. 2003, sec. 2.2.a);
        upper limits (U) and failures (X, F, E) are never among them.
    cc_flg_keep : str
        Letters of the 2MASS contamination flag that are kept; empty keeps all.
    """

    max_error_mag: float = 0.15
    bright_mag: float = 4.0
    ph_qual_keep: str = "ABCD"
    cc_flg_keep: str = ""

    def __post_init__(self):
        require(0 < self.max_error_mag <= 1, "max_error_mag", "above 0 and at most 1", self)
        require(
            self.ph_qual_keep and not set(self.ph_qual_keep) - set("ABCD"),
            "ph_qual_keep",
            "one or more of the letters ABCD (others are not detections)",
            self,
        )


@dataclass(frozen=True)
class Crowding:
    """How a survey loses depth in dense fields, where neighbours hide stars and add to the noise.

    A field with more than 10^`log10_stars_per_deg2` stars per square degree brighter than `limit_mag` in the
    red band, extinction included, has all `snr10_mag` and `half_complete_mag` brighter by `loss_mag_per_dex`
    times the decimal logarithm of how many times more there are.
    """

    limit_mag: float = 14.0
    log10_stars_per_deg2: float = 4.0
    loss_mag_per_dex: float = 0.0

    def __post_init__(self):
        require(0 <= self.log10_stars_per_deg2 <= 10, "log10_stars_per_deg2", "0 to 10", self)
        require(0 <= self.loss_mag_per_dex <= 10, "loss_mag_per_dex", "0 to 10", self)


@dataclass(frozen=True)
class SurveyConfig:
    """A telescope: two bands, colour = `blue` - `red`, magnitude = `red`.

    A configuration names one of the surveys in ``extmap_tf/configs/surveys``, or a TOML file like these:
    ``survey = "2mass"``.
    """

    name: str
    blue: Band
    red: Band
    crowding: Crowding = Crowding()
    cuts: Cuts = Cuts()

    def __post_init__(self):
        require(
            self.blue.wavelength_um < self.red.wavelength_um,
            "blue",
            "the band of the shorter wavelength",
            self,
        )
        for band in self.bands:
            require(
                self.cuts.max_error_mag > band.error_floor_mag,
                "cuts",
                f"such that max_error_mag is above {band.name}'s error_floor_mag, {band.error_floor_mag}",
                self,
            )

    @property
    def bands(self) -> tuple[Band, ...]:
        """All bands, ascending in wavelength."""
        return (self.blue, self.red)

    def band(self, name: str) -> Band:
        """The band called `name`; ConfigError where there is none."""
        for band in self.bands:
            if band.name == name:
                return band
        known = ", ".join(band.name for band in self.bands)
        raise ConfigError(f"survey {self.name} has no band {name!r}; its bands are {known}")


@dataclass(frozen=True)
class LawConfig:
    """The extinction law that ties the bands together.

    Parameters
    ----------
    model : str
        A class of ``dust_extinction`` (G23, F19, CCM89, ...), or ``ratio`` to give `blue_over_red`.
    rv : float
        R(V), for the models that have it; the others ignore it, and no file states it of them.
    blue_over_red : float
        A(blue)/A(red) for ``model = "ratio"``; 0 otherwise.
    """

    model: str = "G23"
    rv: float = 3.1
    blue_over_red: float = 0.0

    def __post_init__(self):
        if self.model == "ratio":
            require(1 < self.blue_over_red <= 10, "blue_over_red", "above 1 and at most 10", self)
        else:
            require(self.blue_over_red == 0, "blue_over_red", 'left out unless model = "ratio"', self)


@dataclass(frozen=True)
class ProfilePrior:
    """The distribution that training profiles are drawn from; equations in `extmap_tf.extinction.profiles`.

    Parameters
    ----------
    total_min_mag, total_max_mag : float
        Range of the total A(red), drawn log-uniformly.
    spectral_index_min, spectral_index_max : float
        Range of the power-law index of the log-density's power spectrum, P(k) ~ k^-index.
    log_sigma_min, log_sigma_max : float
        Range of the standard deviation of the natural logarithm of density along the sightline.
    scale_height_min_kpc, scale_height_max_kpc : float
        Range of the height over which the mean density falls by e away from the plane.
    clouds_mean : float
        Mean number (Poisson) of single clouds added to a profile.
    cloud_fwhm_min_kpc, cloud_fwhm_max_kpc : float
        Range of a cloud's extent (log-uniform).
    cloud_fraction_min, cloud_fraction_max : float
        Range of the share of the total that all clouds together hold, where there are any.
    patchiness_max : float
        Dust is not even across a field. Each star's extinction is its profile's times a log-normal factor of
        mean one; the standard deviation of its logarithm is drawn uniformly from 0 to this, for each pair.
    """

    total_min_mag: float = 0.05
    total_max_mag: float = 3.5
    spectral_index_min: float = 1.0
    spectral_index_max: float = 2.6
    log_sigma_min: float = 0.5
    log_sigma_max: float = 1.8
    scale_height_min_kpc: float = 0.1
    scale_height_max_kpc: float = 0.3
    clouds_mean: float = 1.0
    cloud_fwhm_min_kpc: float = 0.02
    cloud_fwhm_max_kpc: float = 0.3
    cloud_fraction_min: float = 0.0
    cloud_fraction_max: float = 0.8
    patchiness_max: float = 0.4

    def __post_init__(self):
        for low, high in (
            ("total_min_mag", "total_max_mag"),
            ("spectral_index_min", "spectral_index_max"),
            ("log_sigma_min", "log_sigma_max"),
            ("scale_height_min_kpc", "scale_height_max_kpc"),
            ("cloud_fwhm_min_kpc", "cloud_fwhm_max_kpc"),
        ):
            require(getattr(self, low) > 0, low, "above 0", self)
            require(getattr(self, high) >= getattr(self, low), high, f"not below {low}", self)
        require(self.total_max_mag <= 20, "total_max_mag", "at most 20", self)
        require(0 <= self.clouds_mean <= 20, "clouds_mean", "0 to 20", self)
        require(0 <= self.cloud_fraction_min <= 1, "cloud_fraction_min", "0 to 1", self)
        require(
            self.cloud_fraction_min <= self.cloud_fraction_max <= 1,
            "cloud_fraction_max",
            "from cloud_fraction_min to 1",
            self,
        )
        require(0 <= self.patchiness_max <= 3, "patchiness_max", "0 to 3", self)


@dataclass(frozen=True)
class NuisanceConfig:
    """What no model knows exactly, drawn for each training pair from normal distributions cut at 3 sigma.

    Parameters
    ----------
    color_sigma_mag : float
        Offset of the blue band, and so of the colour. The library's J-Ks differs from the MIST isochrones by
        0.01 mag in the median and from TRILEGAL by 0.02 to 0.07 (tests/benchmarks/galaxy_colors.py); the zero
        points of 2MASS are known to 0.02 (Cohen et al. 2003, AJ 126, 1090).
    mag_sigma_mag : float
        Offset of both bands: the luminosities of the tracks. The red clump's M_Ks changes by about 0.1 mag
        over the ages of the disc (Girardi 2016, ARA&A 54, 95, fig. 3).
    depth_sigma_mag : float
        Shift of the survey's depth: `snr10_mag` and `half_complete_mag` of both bands. Ks and J differ
        by 0.22 and 0.12 mag between two tables of 2MASS (tests/benchmarks/survey_fit.py).
    count_sigma : float
        Standard deviation of the natural logarithm of a factor on the number of all stars.
    luminous_sigma : float
        The same for stars of M(red) < 2, giants and hot dwarfs, beyond the factor of all: errors of ages and
        of the lifetimes of giants.
    distance_sigma : float
        The same for each e-fold of distance from 1 kpc: errors of scale lengths, heights, warp. This and the
        two before are of the order of the differences between models (tests/benchmarks/galaxy_counts.py).
    law_ratio_sigma : float
        Added to A(blue)/A(red). Published means of A(J)/A(Ks) range from 2.5 (Cardelli et al. 1989, ApJ 345,
        245) to 3.1 (Wang & Chen 2019, ApJ 877, 116); how much sightlines differ about one mean is assumed.
        The target stays A(red).
    """

    color_sigma_mag: float = 0.03
    mag_sigma_mag: float = 0.05
    depth_sigma_mag: float = 0.1
    count_sigma: float = 0.1
    luminous_sigma: float = 0.1
    distance_sigma: float = 0.1
    law_ratio_sigma: float = 0.1

    def __post_init__(self):
        for name in ("color_sigma_mag", "mag_sigma_mag", "depth_sigma_mag", "law_ratio_sigma"):
            require(0 <= getattr(self, name) <= 0.5, name, "0 to 0.5", self)
        for name in ("count_sigma", "luminous_sigma", "distance_sigma"):
            require(0 <= getattr(self, name) <= 1, name, "0 to 1", self)


MIN_POOL_FIELDS = 2.0
"""Least size of a pool of stars, in fields: of a smaller one, all pairs would hold the same stars."""

CATALOG_SHARES = (("train", 0.5), ("validation", 0.25), ("test", 0.25))
"""How the stars of a catalog file are dealt to the splits, so that none is in two."""


@dataclass(frozen=True)
class CatalogConfig:
    """A Galaxy model's catalog in a file, in place of the built-in Galaxy.

    Parameters
    ----------
    path : str
        A table that `extmap_tf.catalogs.model_tables` can read (Besançon, TRILEGAL, ...); in a TOML file,
        relative to that file's folder. ``records mocks`` also takes gs:// and s3://.
    l_deg, b_deg : float
        The sightline.
    area_deg2 : float
        Solid angle that the catalog covers.
    system : {"", "2mass", "johnson"}
        Photometric system, where it does not follow from the file.
    columns : tuple of str
        "ROLE=NAME" for columns with unknown names; the roles are those of that reader.
    sha256 : str
        Of the file's content: `Config.load` fills it in, for object stores the job, and pairs are made of no
        other content. With it, the configuration's digest follows from the content and not from the place.
    """

    path: str
    l_deg: float
    b_deg: float
    area_deg2: float
    system: str = ""
    columns: tuple[str, ...] = ()
    sha256: str = ""

    def __post_init__(self):
        require(0 <= self.l_deg < 360, "l_deg", "from 0 to below 360", self)
        require(-90 < self.b_deg < 90, "b_deg", "between -90 and 90", self)
        require(self.area_deg2 > 0, "area_deg2", "above 0", self)
        require(self.system in ("", "2mass", "johnson"), "system", "2mass or johnson, or left out", self)
        require(all("=" in item for item in self.columns), "columns", "of the form ROLE=NAME", self)


@dataclass(frozen=True)
class GalaxyConfig:
    """Options of the built-in Galaxy, see `extmap_tf.galaxy.model`.

    Parameters
    ----------
    spiral_arms : bool
        Whether the stars younger than 0.15 Gyr are gathered in spiral arms.
    binary_fraction : float
        Share of the systems that have an unresolved companion.
    """

    spiral_arms: bool = False
    binary_fraction: float = 0.0

    def __post_init__(self):
        require(0 <= self.binary_fraction <= 1, "binary_fraction", "0 to 1", self)


@dataclass(frozen=True)
class MocksConfig:
    """The mock sky and the training pairs drawn from it.

    Parameters
    ----------
    l_deg, b_deg : tuple of float
        The training sightlines are all pairs of these, with stars of the built-in Galaxy.
    catalogs : tuple of CatalogConfig
        Catalogs of a Galaxy model to use instead, one per training sightline.
    n_pairs : int
        Training pairs over all sightlines and splits.
    validation_fraction, test_fraction : float
        Shares of the pairs; which pair goes where follows from a salted hash of its key.
    split_salt : str
        The salt.
    pool_fields : float
        A sightline's built-in mock catalog covers so many fields, anew for each split; a pair draws one
        field's worth of that of its split.
    reference_step_deg : float
        Spacing of the table of reference CMDs (without extinction) over the map's region.
    """

    l_deg: tuple[float, ...] = ()
    b_deg: tuple[float, ...] = ()
    catalogs: tuple[CatalogConfig, ...] = ()
    n_pairs: int = 36000
    validation_fraction: float = 0.05
    test_fraction: float = 0.05
    split_salt: str = "extmap"
    pool_fields: float = 8.0
    reference_step_deg: float = 2.5

    def __post_init__(self):
        if self.catalogs:
            require(
                not self.l_deg and not self.b_deg, "catalogs", "left out where l_deg, b_deg are given", self
            )
            positions = self.sightlines_deg()
            require(len(set(positions)) == len(positions), "catalogs", "on different sightlines", self)
        else:
            require(len(self.l_deg) > 0, "l_deg", "one or more longitudes", self)
            require(len(self.b_deg) > 0, "b_deg", "one or more latitudes", self)
        require(all(0 <= l < 360 for l in self.l_deg), "l_deg", "from 0 to below 360", self)
        require(all(-90 < b < 90 for b in self.b_deg), "b_deg", "between -90 and 90", self)
        require(1 <= self.n_pairs <= 10**9, "n_pairs", "1 to 1e9", self)
        for name in ("validation_fraction", "test_fraction"):
            require(0 < getattr(self, name) < 0.5, name, "between 0 and 0.5", self)
        require(len(self.split_salt.encode()) <= 64, "split_salt", "at most 64 bytes long", self)
        require(MIN_POOL_FIELDS <= self.pool_fields <= 1000, "pool_fields", "2 to 1000", self)
        require(self.reference_step_deg > 0, "reference_step_deg", "above 0", self)

    def sightlines_deg(self):
        """The training sightlines: tuple of (l, b)."""
        if self.catalogs:
            return tuple((catalog.l_deg, catalog.b_deg) for catalog in self.catalogs)
        return tuple((l, b) for b in self.b_deg for l in self.l_deg)


@dataclass(frozen=True)
class DustConfig:
    """The known 3D dust of the mock observed sky; the formula is in `extmap_tf.extinction.dust`.

    Parameters
    ----------
    local_mag_per_kpc : float
        A(red) per kpc between the arms, in the plane, at the Sun's distance from the Galactic centre.
    scale_length_kpc, scale_height_kpc : float
        Of the exponential disc.
    arm_contrast : float
        Density on an arm's ridge over that between the arms, minus one.
    arm_width_kpc : float
        Standard deviation of the density across an arm.
    pitch_deg : float
        Pitch angle of the logarithmic arms.
    clouds_per_deg2 : float
        Mean number of clouds per square degree of sky and within 10 kpc, if the smooth dust were everywhere
        what it is near the Sun between the arms; where it is denser, clouds are in proportion.
    cloud_mag_median : float
        Median A(red) through a cloud's centre; the spread is a factor e^0.7.
    cloud_radius_kpc : float
        Median radius (standard deviation of the density) of a cloud.
    """

    local_mag_per_kpc: float = 0.035
    scale_length_kpc: float = 4.0
    scale_height_kpc: float = 0.12
    arm_contrast: float = 6.0
    arm_width_kpc: float = 0.3
    pitch_deg: float = 12.0
    clouds_per_deg2: float = 0.6
    cloud_mag_median: float = 0.1
    cloud_radius_kpc: float = 0.05

    def __post_init__(self):
        for name in ("scale_length_kpc", "scale_height_kpc", "arm_width_kpc", "cloud_radius_kpc"):
            require(getattr(self, name) > 0, name, "above 0", self)
        for name in ("local_mag_per_kpc", "arm_contrast", "clouds_per_deg2", "cloud_mag_median"):
            require(getattr(self, name) >= 0, name, "0 or more", self)
        require(0 < self.pitch_deg < 60, "pitch_deg", "above 0 and below 60", self)


PRESETS = ("dense", "cornu2022")


@dataclass(frozen=True)
class NetworkConfig:
    """The network; the presets are described in `extmap_tf.model.networks`.

    Parameters
    ----------
    preset : {"dense", "cornu2022"}
    rank : int
        Directions along which the increments of a profile vary together, in the distribution that the network
        gives; without effect on ``cornu2022``, which gives one profile.
    """

    preset: str = "dense"
    rank: int = 8

    def __post_init__(self):
        require(self.preset in PRESETS, "preset", f"one of {', '.join(PRESETS)}", self)
        require(0 <= self.rank <= 64, "rank", "0 to 64", self)


PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclass(frozen=True)
class TrainingConfig:
    """How the network is trained.

    Parameters
    ----------
    batch_size : int
        Pairs per step, over all replicas together.
    epochs : int
        Most passes over the training pairs.
    patience_epochs : int
        Stop when the validation loss has not fallen for so many epochs.
    learning_rate : float
        Peak of the schedule: a linear rise over `warmup_fraction` of all steps, then a cosine fall to 1 %.
    warmup_fraction : float
    weight_decay : float
        Decoupled weight decay (AdamW).
    precision : {"float32", "mixed_bfloat16", "mixed_float16"}
    shuffle_buffer : int
        Examples held in memory for shuffling.
    """

    batch_size: int = 256
    epochs: int = 20
    patience_epochs: int = 10
    learning_rate: float = 1e-3
    warmup_fraction: float = 0.05
    weight_decay: float = 1e-4
    precision: str = "float32"
    shuffle_buffer: int = 8192

    def __post_init__(self):
        require(1 <= self.batch_size <= 65536, "batch_size", "1 to 65536", self)
        require(1 <= self.epochs <= 100000, "epochs", "1 to 100000", self)
        require(self.patience_epochs >= 1, "patience_epochs", "1 or more", self)
        require(0 < self.learning_rate < 1, "learning_rate", "between 0 and 1", self)
        require(0 <= self.warmup_fraction < 1, "warmup_fraction", "from 0 to below 1", self)
        require(0 <= self.weight_decay < 1, "weight_decay", "from 0 to below 1", self)
        require(self.precision in PRECISIONS, "precision", f"one of {', '.join(PRECISIONS)}", self)
        require(self.shuffle_buffer >= 1, "shuffle_buffer", "1 or more", self)


@dataclass(frozen=True)
class Config:
    """Everything that decides what the records, the model and the map contain."""

    name: str
    survey: SurveyConfig
    sightlines: SightlineGrid | HealpixGrid
    mocks: MocksConfig
    seed: int = 1
    cmd: CmdGrid = CmdGrid()
    distance: DistanceGrid = DistanceGrid()
    law: LawConfig = LawConfig()
    profiles: ProfilePrior = ProfilePrior()
    galaxy: GalaxyConfig = GalaxyConfig()
    nuisances: NuisanceConfig = NuisanceConfig()
    dust: DustConfig = DustConfig()
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self):
        require(0 <= self.seed < 2**63, "seed", "0 to below 2^63", self)
        least_deg2 = self.sightlines.area_deg2 * MIN_POOL_FIELDS / min(share for _, share in CATALOG_SHARES)
        for catalog in self.mocks.catalogs:
            if catalog.area_deg2 < least_deg2 * (1 - 1e-9):
                raise ConfigError(
                    f"mocks.catalogs: {catalog.path} covers {catalog.area_deg2:g} deg2, too little for "
                    f"fields of {self.sightlines.area_deg2:g} deg2: give {least_deg2:g} deg2 or more (each "
                    "split has its own stars), or a smaller sightlines.field_deg"
                )

    @classmethod
    def named(cls, name):
        """The built-in configuration `name`."""
        source = resources.files("extmap_tf") / "configs" / f"{name}.toml"
        if name not in builtin_names():
            raise ConfigError(f"no built-in configuration {name!r}; there are: {', '.join(builtin_names())}")
        return cls.from_toml(source.read_text(), f"built-in configuration {name}")

    @classmethod
    def load(cls, name_or_path):
        """A built-in configuration by name, or one from a TOML file."""
        if str(name_or_path) in builtin_names():
            return cls.named(str(name_or_path))
        path = local_path(name_or_path)
        try:
            return cls.from_toml(path.read_text(), str(path), path.parent).with_catalogs_of(path.parent)
        except FileNotFoundError:
            raise ConfigError(
                f"{path}: no such file, nor a built-in configuration ({', '.join(builtin_names())})"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read as a TOML text: {error}") from None

    @classmethod
    def from_toml(cls, text, place="configuration", folder="."):
        """Build from TOML text; `place` names it in errors, a survey's file is looked for in `folder`."""
        return cls.from_dict(_parse_toml(text, place), place, folder)

    @classmethod
    def from_dict(cls, data, place="configuration", folder="."):
        """Build from nested dicts; unknown keys, wrong types and impossible values raise ConfigError."""
        if isinstance(data, dict):
            require_readable(data, place)
            data = {key: value for key, value in data.items() if key != "schema"}
            if isinstance(data.get("survey"), str):
                data["survey"] = _survey_named(data["survey"], place, folder)
        return _build(cls, data, place, "")

    @classmethod
    def from_stated(cls, data, place):
        """The configuration inside a manifest or a card, whose stated digest must be its own.

        Parameters
        ----------
        data : dict
            With ``config``, all of it, and ``config_digest``. A key that it lacks was added to the software
            later, and means "as before".
        place : str

        Raises
        ------
        DataError
            The digests differ.
        """
        config, stated = _build(cls, data["config"], place, "", stored=True), data["config_digest"]
        if stated != config.digest:
            raise DataError(
                f"{place}: states digest {stated}, its configuration has {config.digest}; it was edited or "
                "belongs to other software: make it again"
            )
        return config

    def with_catalogs_of(self, folder):
        """A copy whose catalogs have full paths, from `folder` on, and the digests of the files there are.

        Those in an object store stay as they are: the job that reads them looks at their content.
        """
        catalogs = []
        for catalog in self.mocks.catalogs:
            if "://" in catalog.path:
                catalogs.append(catalog)
                continue
            path = Path(folder, catalog.path).absolute()
            if path.is_file() and not catalog.sha256:
                with open(path, "rb") as stream:
                    catalog = dataclasses.replace(catalog, sha256=sha256_of(stream))
            catalogs.append(dataclasses.replace(catalog, path=str(path)))
        return dataclasses.replace(self, mocks=dataclasses.replace(self.mocks, catalogs=tuple(catalogs)))

    def to_dict(self):
        return dataclasses.asdict(self)

    def to_toml(self):
        import tomli_w

        return tomli_w.dumps({"schema": SCHEMA} | self.to_dict())

    def write(self, path, overwrite=False):
        """Write the configuration to a TOML file."""
        with whole_file(path, overwrite=overwrite) as stream:
            stream.write(self.to_toml())

    def replace(self, **dotted):
        """A copy with other values, given by dotted name: ``replace(**{"mocks.n_pairs": 100})``."""
        data = self.to_dict()
        for name, value in dotted.items():
            *sections, key = name.split(".")
            target = data
            for section in sections:
                target = target.get(section)
                if not isinstance(target, dict):
                    raise ConfigError(f"--set {name}: no section {section!r} in the configuration")
            if key not in target:
                raise ConfigError(f"--set {name}: unknown key {key!r}; known: {', '.join(sorted(target))}")
            target[key] = value
        return self.from_dict(data, "--set" if dotted else "configuration")

    @property
    def digest(self):
        """Identifies the whole configuration (12 hexadecimal digits)."""
        data = identifying(self)
        for catalog in data["mocks"]["catalogs"]:
            if catalog["sha256"]:
                del catalog["path"]
        return digest_of(data)

    def region_deg(self):
        """The region a model of this configuration is made for.

        Returns
        -------
        (l_min, l_max, b_min, b_max)
            Half a field around the map's region and all training sightlines; l may leave 0 to 360.
        """
        grid, margin = self.sightlines, 0.5 * self.sightlines.field_deg
        # Longitudes of the training sightlines in the turn around the map's centre.
        center = 0.5 * (grid.l_min_deg + grid.l_max_deg)
        l_deg = [(l - center + 180.0) % 360.0 - 180.0 + center for l, _ in self.mocks.sightlines_deg()]
        b_deg = [b for _, b in self.mocks.sightlines_deg()]
        return (
            min(grid.l_min_deg, *l_deg) - margin,
            max(grid.l_max_deg, *l_deg) + margin,
            min(grid.b_min_deg, *b_deg) - margin,
            max(grid.b_max_deg, *b_deg) + margin,
        )

    def outside_region(self, l_deg, b_deg):
        """Whether positions [n], numpy arrays or tensors, lie outside `region_deg`."""
        l_low, l_high, b_low, b_high = self.region_deg()
        off_deg = (l_deg - 0.5 * (l_low + l_high) + 180.0) % 360.0 - 180.0
        # Written so that a NaN is outside.
        return ~((abs(off_deg) <= 0.5 * (l_high - l_low)) & (b_deg >= b_low) & (b_deg <= b_high))

    @property
    def observation(self):
        """The part that decides how stars become a CMD: a model needs it equal to that of its records."""
        return {
            "cmd": identifying(self.cmd, "cmd"),
            "field_deg": self.sightlines.field_deg,
            "survey": identifying(self.survey, "survey"),
        }

    @property
    def target(self):
        """The part that decides what a profile means."""
        return {"distance": identifying(self.distance, "distance"), "law": identifying(self.law, "law")}


def builtin_names():
    """Names of the built-in configurations."""
    return _stems(resources.files("extmap_tf") / "configs")


def survey_names():
    """Names of the built-in surveys."""
    return _stems(resources.files("extmap_tf") / "configs" / "surveys")


def _stems(folder):
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))


def _survey_named(name, place, folder):
    """The dict of a built-in survey, or of one in a TOML file."""
    if name in survey_names():
        file = resources.files("extmap_tf") / "configs" / "surveys" / f"{name}.toml"
        source = f"built-in survey {name}"
    else:
        file = Path(folder, name)
        source = str(file)
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"{place}: survey must be a table, the name of a built-in one ({', '.join(survey_names())}) or a "
            f"TOML file; {source} cannot be read"
        ) from None
    return dataclasses.asdict(_build(SurveyConfig, _parse_toml(text, source), source, ""))


def _parse_toml(text, place):
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{place}: not valid TOML: {error}") from None


def _build(cls, data, place, section, stored=False):
    where = f"{place}: [{section}]" if section else place
    if not isinstance(data, dict):
        raise ConfigError(f"{where} must be a table, got: {data!r}")
    known = {f.name: f for f in dataclasses.fields(cls)}
    for key in data:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}; known: {', '.join(sorted(known))}")
    hints = typing.get_type_hints(cls)
    values = {}
    for key, spec in known.items():
        if key in data:
            name = f"{section}.{key}" if section else key
            values[key] = _convert(hints[key], data[key], place, name, stored)
        elif stored and as_before(spec) is not dataclasses.MISSING:
            values[key] = as_before(spec)
        elif spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: missing key {key!r}")
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _convert(hint, value, place, key, stored):
    if isinstance(hint, types.UnionType):
        hint = _kind_of(hint, value)
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, place, key, stored)
    if isinstance(hint, types.GenericAlias):
        item = typing.get_args(hint)[0]
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{place}: {key} must be a list, got: {value!r}")
        return tuple(_convert(item, v, place, key, stored) for v in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not hint:
        raise ConfigError(f"{place}: {key} must be of type {hint.__name__}, got: {value!r}")
    if hint is float and not math.isfinite(value):
        raise ConfigError(f"{place}: {key} must be finite, got: {value!r}")
    return value


def _kind_of(hint, value):
    """The alternative whose first field a table gives; else the first one, which then says what it lacks."""
    kinds = typing.get_args(hint)
    given = (kind for kind in kinds if isinstance(value, dict) and dataclasses.fields(kind)[0].name in value)
    return next(given, kinds[0])
