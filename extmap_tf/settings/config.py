"""One configuration for the whole line, from mock sky to map, read from and written to one TOML file.

Each section is a frozen dataclass; a value that cannot be is refused with its place. Built-in configurations
live in ``extmap_tf/configs`` and are named by their file's stem.
"""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Self

from extmap_tf.bounds import Section, setting
from extmap_tf.errors import ConfigError, DataError, require
from extmap_tf.files import local_path, sha256_of, whole_file
from extmap_tf.grids.cmd import CmdGrid
from extmap_tf.grids.diagram import Diagram
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.networks import Dense, Network
from extmap_tf.settings.dust import DustConfig
from extmap_tf.settings.galaxy import GalaxyConfig
from extmap_tf.settings.identity import SCHEMA, digest_of, identifying, require_readable
from extmap_tf.settings.law import LawConfig
from extmap_tf.settings.mocks import CATALOG_SHARES, MIN_POOL_FIELDS, MocksConfig
from extmap_tf.settings.nuisances import NuisanceConfig
from extmap_tf.settings.profiles import ProfilePrior
from extmap_tf.settings.reading import build, class_of_network, parse_toml, toml_text
from extmap_tf.settings.survey import SurveyConfig, SurveyView
from extmap_tf.settings.training import TrainingConfig


@dataclass(frozen=True)
class Config(Section):
    """Everything that decides what the records, the model and the map contain."""

    name: str = setting(doc="Name of the configuration.")
    survey: SurveyConfig = setting(doc="The telescope: a table, a built-in survey or a TOML file.")
    sightlines: SightlineGrid | HealpixGrid = setting(doc="The fields of the map.")
    mocks: MocksConfig = setting(doc="The mock sky and the training pairs drawn from it.")
    seed: int = setting(1, "Of all random numbers, 0 to below 2^63.")
    cmd: CmdGrid = setting(CmdGrid(), "Pixels of the colour-magnitude diagram.")
    distance: DistanceGrid = setting(DistanceGrid(), "The bins of distance.")
    law: LawConfig = setting(LawConfig(), "The extinction law.")
    profiles: ProfilePrior = setting(ProfilePrior(), "What training profiles are drawn from.")
    galaxy: GalaxyConfig = setting(GalaxyConfig(), "The built-in Galaxy.")
    nuisances: NuisanceConfig = setting(NuisanceConfig(), "What no model knows exactly.")
    dust: DustConfig = setting(DustConfig(), "The known dust of the mock observed sky.")
    network: Network = setting(Dense(), "The network: a preset and its hyperparameters.")
    training: TrainingConfig = setting(TrainingConfig(), "How it is trained.")
    other_surveys: tuple[SurveyConfig, ...] = setting(
        (),
        """Tables like that of the first survey, whose diagrams stand beside its own; the extinction is in the
        red band of the first. ``surveys = ["2mass", "deep.toml"]`` gives all at once.""",
    )

    def check(self) -> None:
        require(0 <= self.seed < 2**63, "seed", "0 to below 2^63", self)
        self._check_broad_bands()
        self._check_diagrams()
        field_deg2 = self.sightlines.area_deg2
        least_deg2 = field_deg2 * MIN_POOL_FIELDS / min(share for _, share in CATALOG_SHARES)
        for catalog in self.mocks.catalogs:
            if catalog.area_deg2 < least_deg2 * (1 - 1e-9):
                raise ConfigError(
                    f"mocks.catalogs: {catalog.path} covers {catalog.area_deg2:g} deg2, too little for "
                    f"fields of {field_deg2:g} deg2: give {least_deg2:g} deg2 or more (each "
                    "split has its own stars), or a smaller sightlines.field_deg"
                )

    def _check_broad_bands(self):
        """Of broad bands the extinction depends on the star."""
        if any(band.passband for band in self.survey.bands):
            raise ConfigError(
                f"survey {self.survey.name}: its bands are broad, so that it cannot be the first survey, in "
                'whose red band the extinction is given: surveys = ["2mass", ...]'
            )
        for survey in self.other_surveys:
            if not any(band.passband for band in survey.bands):
                continue
            if self.law.model == "ratio":
                raise ConfigError(
                    f"survey {survey.name}: its bands need a law of all wavelengths such as G23, not a ratio"
                )
            if self.mocks.catalogs:
                raise ConfigError(
                    f"survey {survey.name}: its bands need the temperatures of stars, which mocks.catalogs "
                    "have not: give mocks.l_deg and mocks.b_deg for the built-in Galaxy"
                )

    def _check_diagrams(self):
        first, keys = self.survey, [survey.key for survey in self.surveys]
        if len(set(keys)) < len(keys):
            raise ConfigError(f"surveys must have different names, got: {', '.join(keys)}")
        if first.diagrams and self.cmd != CmdGrid():
            raise ConfigError(f"cmd must be left out, since the survey {first.name} lists its diagrams")
        for survey in self.other_surveys:
            if not survey.diagrams:
                raise ConfigError(
                    f"survey {survey.name}: diagrams: list one or more, as every further survey"
                )
        names = [diagram.name for diagram in self.diagrams]
        if len(set(names)) < len(names):
            raise ConfigError(
                f"surveys must have names by which their diagrams differ, got: {', '.join(names)}"
            )
        diagram, (blue, red) = self.diagrams[0], (first.blue.name, first.red.name)
        if (diagram.y.bands, diagram.x.bands) != ((red,), (blue, red)):
            raise ConfigError(
                f"survey {first.name}: its first diagram must be {red} against {blue}-{red}, got: "
                f"{diagram.y.label} against {diagram.x.label}"
            )

    @classmethod
    def named(cls, name: str) -> Self:
        """The built-in configuration `name`.

        Examples
        --------
        >>> config = Config.named("carina")
        >>> config.sightlines.n_sightlines, config.distance.max_kpc
        (7585, 10.0)
        >>> config.replace(**{"training.epochs": 5}).training.epochs
        5
        """
        source = resources.files("extmap_tf") / "configs" / f"{name}.toml"
        if name not in builtin_names():
            raise ConfigError(f"no built-in configuration {name!r}; there are: {', '.join(builtin_names())}")
        return cls.from_toml(source.read_text(), f"built-in configuration {name}")

    @classmethod
    def load(cls, name_or_path: str | Path) -> Self:
        """A built-in configuration by name, or one from a TOML file."""
        if str(name_or_path) in builtin_names():
            return cls.named(str(name_or_path))
        path = local_path(name_or_path)
        if not os.path.isfile(path):
            raise ConfigError(
                f"{path}: no such file, nor a built-in configuration ({', '.join(builtin_names())})"
            )
        return cls.from_toml(toml_text(path), str(path), path.parent).with_catalogs_of(path.parent)

    @classmethod
    def from_toml(cls, text: str, place: str = "configuration", folder: str | Path = ".") -> Self:
        """Build from TOML text; `place` names it in errors, a survey's file is looked for in `folder`."""
        return cls.from_dict(parse_toml(text, place), place, folder)

    @classmethod
    def from_dict(cls, data: Any, place: str = "configuration", folder: str | Path = ".") -> Self:
        """Build from nested dicts; unknown keys, wrong types and impossible values raise ConfigError."""
        if isinstance(data, dict):
            require_readable(data, place)
            data = _with_surveys({key: value for key, value in data.items() if key != "schema"}, place)
            if isinstance(data.get("survey"), str):
                data["survey"] = _survey_named(data["survey"], place, folder)
            if isinstance(others := data.get("other_surveys"), list | tuple):
                data["other_surveys"] = [
                    _survey_named(other, place, folder) if isinstance(other, str) else other
                    for other in others
                ]
        return build(cls, data, place)

    @classmethod
    def from_stated(cls, data: Mapping[str, Any], place: str) -> Self:
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
        config, stated = build(cls, data["config"], place, stored=True), data["config_digest"]
        if stated != config.digest:
            raise DataError(
                f"{place}: states digest {stated}, its configuration has {config.digest}; it was edited or "
                "belongs to other software: make it again"
            )
        return config

    def with_catalogs_of(self, folder: str | Path) -> Self:
        """A copy whose catalogs have full paths, from `folder` on, and the digests of the files there are.

        Those in an object store stay as they are: the job that reads them looks at their content.
        """
        catalogs = []
        for catalog in self.mocks.catalogs:
            if "://" in catalog.path:
                catalogs.append(catalog)
                continue
            path = Path(folder, catalog.path).absolute()
            if os.path.isfile(path) and not catalog.sha256:
                try:
                    with open(path, "rb") as stream:
                        catalog = dataclasses.replace(catalog, sha256=sha256_of(stream))
                except OSError as error:
                    raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
            catalogs.append(dataclasses.replace(catalog, path=str(path)))
        return dataclasses.replace(self, mocks=dataclasses.replace(self.mocks, catalogs=tuple(catalogs)))

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def to_toml(self) -> str:
        import tomli_w

        return tomli_w.dumps({"schema": SCHEMA} | self.to_dict())

    def write(self, path: str | Path, overwrite: bool = False) -> None:
        """Write the configuration to a TOML file."""
        with whole_file(path, overwrite=overwrite) as stream:
            stream.write(self.to_toml())

    def replace(self, **dotted: Any) -> Self:
        """A copy with other values, given by dotted name: ``replace(**{"mocks.n_pairs": 100})``."""
        return self.changed(dotted, "configuration")

    def changed(self, values: Mapping[str, Any], place: str) -> Self:
        """As `replace`; `place` says in errors where the values were given."""
        data = self.to_dict()
        preset = values.get("network.preset", self.network.preset)
        if preset != self.network.preset:
            data["network"] = dataclasses.asdict(class_of_network({"preset": preset}, place, "network")())
        if "surveys" in values:
            data = {key: value for key, value in data.items() if key not in ("survey", "other_surveys")}
            data["surveys"] = ()
        for name, value in values.items():
            *sections, key = name.split(".")
            target: Any = data
            for section in sections:
                target = target.get(section)
                if not isinstance(target, dict):
                    raise ConfigError(f"{place} {name}: no section {section!r} in the configuration")
            if key not in target:
                raise ConfigError(f"{place} {name}: unknown key {key!r}; known: {', '.join(sorted(target))}")
            target[key] = value
        return self.from_dict(data, place)

    @property
    def digest(self) -> str:
        """Identifies the whole configuration (12 hexadecimal digits)."""
        data = identifying(self)
        for catalog in data["mocks"]["catalogs"]:
            if catalog["sha256"]:
                del catalog["path"]
        return digest_of(data)

    def region_deg(self) -> tuple[float, float, float, float]:
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

    def middle_deg(self) -> tuple[float, float]:
        """The middle (l, b) of `region_deg`."""
        l_low, l_high, b_low, b_high = self.region_deg()
        return (0.5 * (l_low + l_high)) % 360.0, 0.5 * (b_low + b_high)

    def outside_region(self, l_deg: Any, b_deg: Any) -> Any:
        """Whether positions [n], numpy arrays or tensors, lie outside `region_deg`.

        A position that is not a finite number is outside; longitudes may be in any turn.
        """
        l_low, l_high, b_low, b_high = self.region_deg()
        off_deg = (l_deg - 0.5 * (l_low + l_high) + 180.0) % 360.0 - 180.0
        # Written so that a NaN is outside.
        return ~((abs(off_deg) <= 0.5 * (l_high - l_low)) & (b_deg >= b_low) & (b_deg <= b_high))

    @property
    def surveys(self) -> tuple[SurveyConfig, ...]:
        """All surveys, one or more; in the red band of the first the extinction is given."""
        return (self.survey, *self.other_surveys)

    @cached_property
    def views(self) -> tuple[SurveyView, ...]:
        """The surveys with their diagrams, one or more."""
        first = self.survey
        own = first.diagrams or (self.cmd.diagram(first.name, first.blue.name, first.red.name),)
        return (
            SurveyView.of(first, own, ""),
            *(SurveyView.of(other, other.diagrams, f"_{other.key}") for other in self.other_surveys),
        )

    @property
    def diagrams(self) -> tuple[Diagram, ...]:
        """What stars are counted in, one or more: the diagrams of all surveys."""
        return tuple(diagram for view in self.views for diagram in view.diagrams)

    @property
    def coverage_names(self) -> tuple[str, ...]:
        """Inputs of a network that say which share of a field each survey covers: 0 is a survey that is not
        there. None where one survey covers all fields.
        """
        told = len(self.views) > 1 or self.mocks.partial_share > 0
        return tuple(view.named("coverage") for view in self.views) if told else ()

    @property
    def input_names(self) -> tuple[str, ...]:
        """What a network of this configuration sees of a field."""
        return (*(diagram.name for diagram in self.diagrams), "l_deg", "b_deg", *self.coverage_names)

    @property
    def observation(self) -> dict[str, Any]:
        """The part that decides how stars become diagrams: a model needs it equal to that of its records."""
        others = {f"survey {o.key}": identifying(o, "other_surveys") for o in self.other_surveys}
        return {
            "cmd": identifying(self.cmd, "cmd"),
            "field_deg": self.sightlines.field_deg,
            "survey": identifying(self.survey, "survey"),
            **others,
        }

    @property
    def target(self) -> dict[str, Any]:
        """The part that decides what a profile means."""
        return {"distance": identifying(self.distance, "distance"), "law": identifying(self.law, "law")}


def builtin_names() -> list[str]:
    """Names of the built-in configurations."""
    return _stems(resources.files("extmap_tf") / "configs")


def survey_names() -> list[str]:
    """Names of the built-in surveys."""
    return _stems(resources.files("extmap_tf") / "configs" / "surveys")


def builtin_survey(name: str) -> SurveyConfig:
    """The built-in survey `name`; ConfigError where there is none."""
    return build(SurveyConfig, _survey_named(name, "built-in surveys", "."), name)


def _stems(folder):
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))


def _with_surveys(data, place):
    """A table in which ``surveys``, if it is there, has become the first survey and the others."""
    if "surveys" not in data:
        return data
    data = dict(data)
    surveys = data.pop("surveys")
    if "survey" in data or "other_surveys" in data:
        raise ConfigError(f"{place}: give either survey or surveys")
    if not isinstance(surveys, list | tuple) or not surveys:
        raise ConfigError(f"{place}: surveys must be a list of one survey or more, got: {surveys!r}")
    return data | {"survey": surveys[0], "other_surveys": list(surveys[1:])}


def _survey_named(name, place, folder):
    """The dict of a built-in survey, or of one in a TOML file."""
    if name in survey_names():
        file = resources.files("extmap_tf") / "configs" / "surveys" / f"{name}.toml"
        text, source = file.read_text(), f"built-in survey {name}"
    else:
        source = str(Path(folder, name))
        try:
            text = toml_text(source)
        except ConfigError as error:
            raise ConfigError(
                f"{place}: survey must be a table, the name of a built-in one ({', '.join(survey_names())}) "
                f"or a TOML file; {error}"
            ) from None
    return dataclasses.asdict(build(SurveyConfig, parse_toml(text, source), source))
