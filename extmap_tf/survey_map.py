"""From a survey's tables to a map and its report, in steps that are kept: the demo, for real stars."""

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from extmap_tf import __version__
from extmap_tf.catalogs.survey_tables import AS_IT_IS, Reading, describe_table
from extmap_tf.catalogs.tables import open_local
from extmap_tf.errors import DataError
from extmap_tf.files import PathLike
from extmap_tf.formats import MAP, MAP_NAME
from extmap_tf.model.card import ModelCard
from extmap_tf.model.checks import require_fit_of_map
from extmap_tf.model.versions import find_saved_model, shipped_models_for
from extmap_tf.settings.config import Config
from extmap_tf.settings.identity import digest_of
from extmap_tf.steps import (
    Steps,
    export_model,
    kept_steps,
    make_mocks,
    map_with_samples,
    say,
    tell_errors,
    train_network,
)

if TYPE_CHECKING:
    from extmap_tf.evaluation.metrics import Evaluation

# A model that was trained elsewhere is tested on nearly half of so many.
_PAIRS_FOR_ERRORS = 4000


@dataclass(frozen=True)
class Order:
    """What a map is made of, checked as far as it can be before TensorFlow and Beam are loaded.

    Parameters
    ----------
    config : Config
    tables : dict of str to tuple of str
        Local files by the keys of the surveys.
    readings : dict of str to Reading
        By the keys of the surveys.
    model : str or None
        A SavedModel's folder or the name of a shipped one; None trains a network.
    trust_model : bool
        As `extmap_tf.model.scoring.Scorer` takes it.
    """

    config: Config
    tables: dict[str, tuple[str, ...]]
    readings: Mapping[str, Reading] = field(default_factory=dict)
    model: str | None = None
    trust_model: bool = False

    @classmethod
    def of(
        cls,
        config: Config,
        tables: Sequence[str] | Mapping[str, Sequence[str]],
        readings: Mapping[str, Reading] | None = None,
        model: str | None = None,
        always_train: bool = False,
        trust_model: bool = False,
    ) -> "Order":
        """Look at the tables and models.

        Parameters
        ----------
        config, readings, trust_model
            As of the class.
        tables : sequence of str, or mapping of str to sequence of str
            Paths and patterns, of the first survey or by the keys of the surveys.
        model : str, optional
            By default the shipped model that serves all fields, if there is one.
        always_train : bool
            Also where a shipped model serves.

        Raises
        ------
        DataError, MismatchError
            A table cannot be read, or the model is for other diagrams or for elsewhere.
        """
        given = tables if isinstance(tables, Mapping) else {config.survey.key: tables}
        paths, readings = {key: _paths(own) for key, own in given.items()}, readings or {}
        for survey in config.surveys:
            for path in paths.get(survey.key, ()):
                with open_local(path) as stream:
                    describe_table(stream, path, survey, readings.get(survey.key, AS_IT_IS))
        if model is not None:
            folder, card = find_saved_model(model)
            require_fit_of_map(card, str(folder), config)
        elif not always_train:
            model = serving_model(config)
        return cls(config, paths, readings, model, trust_model)

    @property
    def made(self) -> str:
        """What identifies it."""
        sizes = {path: os.path.getsize(path) for path in self.paths}
        by = f"model {find_saved_model(self.model)[1].digest}" if self.model else "a model of its own"
        tables = f"{self.what} ({digest_of(sizes)})"
        return f"configuration {self.config.digest}, {tables}, {by}, extmap_tf {__version__}"

    @property
    def paths(self) -> list[str]:
        """The files of all surveys."""
        return [path for paths in self.tables.values() for path in paths]

    @property
    def what(self) -> str:
        """How many tables, in words."""
        n = len(self.paths)
        return f"{n} table{'s' * (n != 1)}"


def serving_model(config: Config) -> str | None:
    """The name of the shipped model that serves all fields of a configuration; None if none does."""
    l_deg, b_deg = config.sightlines.centers_deg()
    for name, folder in shipped_models_for(config).items():
        if not find_saved_model(folder)[1].config.outside_region(l_deg, b_deg).any():
            return name
    return None


def _paths(tables):
    found: dict[str, str] = {}
    for given in tables:
        paths = [given] if os.path.exists(given) else sorted(glob.glob(given))
        if not paths:
            raise DataError(f"{given}: no such file")
        found |= {os.path.realpath(path): str(path) for path in paths}
    return tuple(found.values())


def run_map(order: Order, out: PathLike, overwrite: bool = False, n_workers: int = 2) -> "Evaluation | None":
    """Records, pairs and training unless a model is given, the map, figures, a report, errors on mock pairs.

    Parameters
    ----------
    order : Order
    out : path-like
        Folder to make; it appears when everything is done. Until then the finished steps are in
        ``OUT.unfinished``, where the same call goes on.
    overwrite : bool
    n_workers : int
        Processes that make pairs.

    Returns
    -------
    Evaluation or None
        Of the model, on mock pairs that it has not seen; None of a model for other distances or another law.

    Raises
    ------
    DataError
        `out` may not be replaced, or the unfinished folder is of something else or in use.
    """
    with kept_steps(out, overwrite, MAP_NAME, "map", order.made) as steps:
        evaluation = _run(order, steps, n_workers)
    say(f"done: {out}/map.fits, {out}/figures/, {out}/report.html, {out}/{MAP_NAME}")
    return evaluation


def _run(order: Order, steps: Steps, n_workers: int) -> "Evaluation | None":
    config, folder = order.config, steps.folder
    model = order.model or str(folder / "model")
    pairs = folder / ("tests" if order.model else "mocks")
    own = [
        (
            "mocks",
            f"mock catalogs of {len(config.mocks.sightlines_deg())} sightlines to training pairs",
            lambda: make_mocks(config, pairs, n_workers),
        ),
        ("training", "training", lambda: train_network(config, folder)),
        ("export", "export", lambda: export_model(folder)),
    ]
    can_tell = order.model is None or find_saved_model(order.model)[1].config.target == config.target
    of_others = [("tests", "mock pairs to test it on", lambda: make_mocks(_tests(order), pairs, n_workers))]
    parts = [
        ("survey", f"stars of {order.what} to the fields", lambda: _count(order, folder)),
        *([] if order.model else own),
        (
            "map",
            f"map by {order.model}" if order.model else "map",
            lambda: map_with_samples(folder, model, trust_model=order.trust_model),
        ),
        ("figures", "figures and report", lambda: _draw(folder, model)),
        *(of_others if order.model and can_tell else []),
    ]
    for number, (name, text, work) in enumerate(parts, 1):
        steps.run(name, f"{number}/{len(parts)}  {text}", work)
    evaluation = _evaluated(model, pairs, order.trust_model) if can_tell else None
    _write_summary(order, steps, find_saved_model(model)[1], evaluation)
    _tell(config.survey.red.name, evaluation)
    return evaluation


def _tests(order):
    """The configuration of the pairs that a model from elsewhere is tested on: few, and none of its own."""
    config, model_seed = order.config, find_saved_model(order.model)[1].config.seed
    # The seed also deals the stars of a file to the splits: with another one training has seen all of them.
    seed = config.seed if config.mocks.catalogs else (model_seed + 1) % 2**63
    few = {"mocks.n_pairs": _PAIRS_FOR_ERRORS, "mocks.test_fraction": 0.45}
    return config.replace(seed=seed, **few)


def _count(order, folder):
    from beam_jobs.graphs.twomass_to_records import make_records

    order.config.write(folder / "config.toml", overwrite=True)
    manifest = make_records(
        order.config, order.tables, str(folder / "survey"), order.readings, overwrite=True
    )
    say(f"     {manifest.report['counted']:,} of {manifest.report['rows']:,} stars in the fields")


def _draw(folder, model):
    from extmap_tf.figures.behind import cmds_behind
    from extmap_tf.figures.gallery import draw_all, spread_sightlines
    from extmap_tf.info import model_summary
    from extmap_tf.map.volume import ExtinctionMap
    from extmap_tf.report.report import write_report

    volume = ExtinctionMap.read(folder / "map.fits")
    chosen = spread_sightlines(volume)

    def of(places):
        return cmds_behind(folder / "survey", volume, places)

    draw_all(volume, folder / "figures", sightlines=chosen, cmds=lambda: of(chosen), overwrite=True)
    write_report(
        volume,
        folder / "report.html",
        sightlines=chosen,
        cmds=lambda: of(chosen),
        model=model_summary(find_saved_model(model)[1]),
        all_cmds=of(list(zip(*volume.grid.centers_deg(), strict=True))),
        overwrite=True,
    )


def _evaluated(model, pairs, trust_model):
    from extmap_tf.evaluation.models import evaluate_model
    from extmap_tf.records.manifest import Records

    return evaluate_model(model, Records.open(pairs), trust_model=trust_model)


def _write_summary(order: Order, steps: Steps, card: ModelCard, evaluation: "Evaluation | None") -> None:
    from extmap_tf.evaluation.metrics import write_json
    from extmap_tf.records.manifest import Records

    config = order.config
    report = Records.open(steps.folder / "survey").manifest.report
    summary = {
        "format": MAP,
        "software_version": __version__,
        "config_name": config.name,
        "config_digest": config.digest,
        "model": order.model or "a model of its own",
        "model_digest": card.digest,
        "quantity": f"A({config.survey.red.name}), mag",
        "law": card.config.law.model,
        "tables": order.paths,
        "stars": report["counted"],
        "sightlines": config.sightlines.n_sightlines,
        "seconds": steps.seconds,
        "errors": evaluation.to_dict() if evaluation else {"overall": []},
    }
    write_json(summary, steps.folder / MAP_NAME, overwrite=True)


def _tell(band, evaluation):
    if evaluation is None:
        say("no errors are told: the model's distances or law are not those of the configuration")
        return
    tell_errors(
        evaluation,
        f"Errors of A({band}) of the model on mock pairs that it has not seen:",
        "How often the truth lies in the intervals that it states:",
    )
