"""The whole line on a mock sky: what a user runs first.

The observed sky is a table of stars behind a known 3D dust distribution that the training never sees; it goes
through the same readers, records and scoring as real data.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from extmap_tf import __version__
from extmap_tf.errors import ConfigError
from extmap_tf.files import PathLike
from extmap_tf.formats import DEMO, DEMO_NAME
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.settings.config import Config
from extmap_tf.steps import (
    Steps,
    export_model,
    kept_steps,
    make_map,
    make_mocks,
    map_with_samples,
    say,
    tell_errors,
    train_network,
)

if TYPE_CHECKING:
    from extmap_tf.evaluation.metrics import Evaluation
    from extmap_tf.map.volume import ExtinctionMap


def check_demo(distance: DistanceGrid) -> None:
    """Raise ConfigError if the demo has nothing to show at these distances."""
    from extmap_tf.evaluation.profile_errors import DISTANCES_KPC

    nearest_kpc = DISTANCES_KPC[0]
    if distance.max_kpc < nearest_kpc:
        raise ConfigError(
            f"the demo's errors need a distance grid that reaches {nearest_kpc:g} kpc, "
            f"got: {distance.max_kpc:g} kpc"
        )


def run_demo(config: Config, out: PathLike, overwrite: bool = False) -> "Evaluation":
    """Records, training, export, a mock observed sky, its map, figures and errors against the truth.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
    out : path-like
        Folder to make; it appears when everything is done. Until then the finished steps are in
        ``OUT.unfinished``, where the same call goes on.
    overwrite : bool

    Returns
    -------
    extmap_tf.evaluation.metrics.Evaluation

    Raises
    ------
    ConfigError
        The demo has nothing to show for this configuration.
    DataError
        `out` may not be replaced, or the unfinished folder is of another configuration or in use.
    """
    check_demo(config.distance)
    made = f"configuration {config.digest}, extmap_tf {__version__}"
    with kept_steps(out, overwrite, DEMO_NAME, "demo", made) as steps:
        evaluation = _run(config, steps)
    say(f"done: {out}/map.fits, {out}/figures/, {out}/{DEMO_NAME}")
    return evaluation


def _run(config: Config, steps: Steps) -> "Evaluation":
    from extmap_tf.evaluation.metrics import compare_maps
    from extmap_tf.map.volume import ExtinctionMap
    from extmap_tf.model.card import ModelCard
    from extmap_tf.model.versions import shipped_models_for

    folder, first = steps.folder, config.survey
    n_sightlines = len(config.mocks.sightlines_deg())
    steps.run(
        "mocks",
        f"1/6  mock catalogs of {n_sightlines} sightlines to training pairs",
        lambda: _make_mocks(config, folder),
    )
    steps.run("training", "2/6  training", lambda: train_network(config, folder))
    steps.run("export", "3/6  export", lambda: export_model(folder))
    steps.run("sky", "4/6  a mock sky behind known dust, observed", lambda: _observe(config, folder))
    steps.run("map", "5/6  map", lambda: map_with_samples(folder, folder / "model"))
    # Other maps of the same sky, by what they are called in the table of errors.
    others = {
        f"the shipped model {name}, trained for longer": _Other(f"map_by_{name}.fits", str(model))
        for name, model in shipped_models_for(config).items()
    }
    alone = f"the same network from {first.name} alone"
    if config.other_surveys:
        others[alone] = _Other(f"map_from_{first.key}.fits", str(folder / "model"), f"survey_{first.key}")
    truth, volume = (ExtinctionMap.read(folder / name) for name in ("truth.fits", "map.fits"))

    def draw():
        from extmap_tf.figures.gallery import draw_all

        draw_all(volume, folder / "figures", truth=truth, overwrite=True)

    def map_otherwise():
        for other in others.values():
            make_map(folder / other.survey, other.model, folder / other.name)

    steps.run("figures", "6/6  figures and errors", draw)
    if others:
        steps.run("other maps", f"     the same sky by {' and by '.join(others)}", map_otherwise)
    evaluation = compare_maps(volume, truth)
    found = {what: compare_maps(ExtinctionMap.read(folder / o.name), truth) for what, o in others.items()}
    if config.other_surveys:
        _draw_gain(config, folder, evaluation, found[alone])
    _write_summary(config, folder, steps, ModelCard.read(folder / "training"), evaluation, found)
    _tell(first.red.name, evaluation, found)
    return evaluation


@dataclass(frozen=True)
class _Other:
    """Another map of the sky: its file, the model, and the folder of records."""

    name: str
    model: str
    survey: str = "survey"


def _make_mocks(config: Config, folder: Path) -> None:
    config.write(folder / "config.toml", overwrite=True)
    make_mocks(config, folder / "mocks")


def _observe(config: Config, folder: Path) -> None:
    from beam_jobs.graphs.twomass_to_records import make_records

    _, n_rows = make_sky(config, folder, overwrite=True)
    say(
        "     "
        + ", ".join(f"{n:,} stars of {survey.name}" for survey, n in zip(config.surveys, n_rows, strict=True))
    )
    tables = {survey.key: [str(folder / _sky_name(config, survey))] for survey in config.surveys}
    make_records(config, tables, str(folder / "survey"), overwrite=True)
    if config.other_surveys:
        first = config.survey.key
        make_records(config, {first: tables[first]}, str(folder / f"survey_{first}"), overwrite=True)


def _sky_name(config, survey):
    return "sky.parquet" if survey == config.survey else f"sky_{survey.key}.parquet"


def make_sky(config: Config, folder: Path, overwrite: bool = False) -> "tuple[ExtinctionMap, list[int]]":
    """A mock sky behind known dust: its stars in ``folder/sky.parquet``, the dust in ``folder/truth.fits``.

    The table of each further survey is ``folder/sky_KEY.parquet``.

    Returns
    -------
    truth : extmap_tf.map.volume.ExtinctionMap
    n_rows : list of int
        Stars in the table of each survey.
    """
    from extmap_tf.estimate import ProfileEstimate
    from extmap_tf.extinction.dust import draw_dust
    from extmap_tf.map.header import MapHeader
    from extmap_tf.map.provenance import Provenance
    from extmap_tf.map.volume import ExtinctionMap
    from extmap_tf.mocks.sky import write_sky

    grid = config.sightlines
    dust: Any = draw_dust(config.dust, grid, config.distance, config.seed)
    n_rows = [
        write_sky(config, dust, folder / _sky_name(config, survey), _progress, overwrite, which)
        for which, survey in enumerate(config.surveys)
    ]
    truth = ExtinctionMap(
        MapHeader(grid, config.distance, Provenance.of(config, "truth")),
        ProfileEstimate.of_density(dust.field_density(grid), config.distance.step_kpc),
        np.ones(grid.shape),
        np.zeros(grid.shape, int),
    )
    truth.write(folder / "truth.fits", overwrite=overwrite)
    return truth, n_rows


def _draw_gain(config, folder, evaluation, alone):
    """Errors with all surveys beside those with the first alone: ``figures/surveys.png``."""
    from extmap_tf.figures.evaluation import errors_against_distance
    from extmap_tf.figures.style import save_all

    names = [survey.name for survey in config.surveys]
    rows = [
        replace(row, group=group)
        for group, found in ((f"{names[0]} alone", alone), (" and ".join(names), evaluation))
        for row in found.curves
        if row.group == "all"
    ]
    save_all({folder / "figures" / "surveys.png": lambda: errors_against_distance(rows)}, overwrite=True)


def _write_summary(config, folder, steps, card, evaluation, others):
    from extmap_tf.evaluation.metrics import write_json
    from extmap_tf.records.manifest import Records

    red = config.survey.red.name
    summary = {
        "format": DEMO,
        "software_version": __version__,
        "config_name": config.name,
        "config_digest": config.digest,
        "model_digest": card.digest,
        "quantity": f"A({red}), mag",
        "law": config.law.model,
        "stars": Records.open(folder / "survey").manifest.report["rows"],
        "sightlines": config.sightlines.n_sightlines,
        "seconds": steps.seconds,
        "training": card.training,
        "errors": evaluation.to_dict(),
        "errors_of_other_maps": {what: found.to_dict() for what, found in others.items()},
    }
    write_json(summary, folder / DEMO_NAME, overwrite=True)


def _tell(band: str, evaluation: "Evaluation", others: "dict[str, Evaluation]") -> None:
    from extmap_tf.evaluation.profile_errors import format_table

    tell_errors(
        evaluation,
        f"Errors of A({band}) of the map against the known truth:",
        "How often the truth lies in the intervals that the map states:",
    )
    for what, found in others.items():
        say(f"The same sky by {what}:")
        print(format_table(found.overall), flush=True)


def _progress(tiles):
    from tqdm import tqdm

    return tqdm(tiles, desc="sky", unit="tile", mininterval=1.0)
