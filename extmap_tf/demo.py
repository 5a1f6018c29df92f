"""The whole line on a mock sky: what a user runs first.

The observed sky is a table of stars behind a known 3D dust distribution that the training never sees; it goes
through the same readers, records and scoring as real data.
"""

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

    folder = steps.folder
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
    volume, truth = (ExtinctionMap.read(folder / name) for name in ("map.fits", "truth.fits"))
    shipped = shipped_models_for(config)

    def draw():
        from extmap_tf.figures.gallery import draw_all

        draw_all(volume, folder / "figures", truth=truth, overwrite=True)

    def map_by_shipped():
        for name, model in shipped.items():
            make_map(folder, model, _map_by(name))

    steps.run("figures", "6/6  figures and errors", draw)
    if shipped:
        steps.run("shipped models", f"     the same sky by {', '.join(shipped)}", map_by_shipped)
    evaluation = compare_maps(volume, truth)
    others = {name: compare_maps(ExtinctionMap.read(folder / _map_by(name)), truth) for name in shipped}
    _write_summary(config, folder, steps, ModelCard.read(folder / "training"), evaluation, others)
    _tell(config.survey.red.name, evaluation, others)
    return evaluation


def _make_mocks(config: Config, folder: Path) -> None:
    config.write(folder / "config.toml", overwrite=True)
    make_mocks(config, folder / "mocks")


def _observe(config: Config, folder: Path) -> None:
    from beam_jobs.graphs.twomass_to_records import make_records

    _, n_rows = make_sky(config, folder, overwrite=True)
    say(f"     {n_rows:,} stars")
    make_records(config, [str(folder / "sky.parquet")], str(folder / "survey"), overwrite=True)


def _map_by(name: str) -> str:
    return f"map_by_{name}.fits"


def make_sky(config: Config, folder: Path, overwrite: bool = False) -> "tuple[ExtinctionMap, int]":
    """A mock sky behind known dust: its stars in ``folder/sky.parquet``, the dust in ``folder/truth.fits``.

    Returns
    -------
    truth : extmap_tf.map.volume.ExtinctionMap
    n_rows : int
        Stars in the table.
    """
    from extmap_tf.estimate import ProfileEstimate
    from extmap_tf.extinction.dust import draw_dust
    from extmap_tf.map.header import MapHeader
    from extmap_tf.map.provenance import Provenance
    from extmap_tf.map.volume import ExtinctionMap
    from extmap_tf.mocks.sky import write_sky

    grid = config.sightlines
    dust: Any = draw_dust(config.dust, grid, config.distance, config.seed)
    n_rows = write_sky(config, dust, folder / "sky.parquet", _progress, overwrite)
    truth = ExtinctionMap(
        MapHeader(grid, config.distance, Provenance.of(config, "truth")),
        ProfileEstimate.of_density(dust.field_density(grid), config.distance.step_kpc),
        np.ones(grid.shape),
        np.zeros(grid.shape, int),
    )
    truth.write(folder / "truth.fits", overwrite=overwrite)
    return truth, n_rows


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
        "errors_of_shipped_models": {name: found.to_dict() for name, found in others.items()},
    }
    write_json(summary, folder / DEMO_NAME, overwrite=True)


def _tell(band: str, evaluation: "Evaluation", others: "dict[str, Evaluation]") -> None:
    from extmap_tf.evaluation.profile_errors import format_table

    tell_errors(
        evaluation,
        f"Errors of A({band}) of the map against the known truth:",
        "How often the truth lies in the intervals that the map states:",
    )
    for name, found in others.items():
        say(f"The same sky by the shipped model {name}, trained for longer:")
        print(format_table(found.overall), flush=True)


def _progress(tiles):
    from tqdm import tqdm

    return tqdm(tiles, desc="sky", unit="tile", mininterval=1.0)
