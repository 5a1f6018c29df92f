"""The whole line on a mock sky: what a user runs first.

The observed sky is a table of stars behind a known 3D dust distribution that the training never sees; it goes
through the same readers, records and scoring as real data.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from extmap_tf import __version__
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.files import PathLike, unfinished_folder, whole_file
from extmap_tf.formats import DEMO, DEMO_NAME, DEMO_STEPS, DEMO_STEPS_NAME
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.json_files import JsonForm
from extmap_tf.settings.config import Config

if TYPE_CHECKING:
    from extmap_tf.evaluation.metrics import Evaluation
    from extmap_tf.map.volume import ExtinctionMap

_WORKERS = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
# Few enough that the progress bar moves.
_PAIRS_PER_SHARD = 256
# The figures draw the interval of the rise with distance from samples.
_SAMPLES = 32


_STEPS = JsonForm(
    "list of a demo's steps", {"made": str, "seconds": {str: float}}, "remove the folder", DEMO_STEPS
)


@dataclass
class Steps:
    """The steps that are done, with their seconds; kept in the demo's folder, so that it can be resumed."""

    folder: Path
    made: str
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, config: Config) -> "Steps":
        """Those of a folder, which may be new.

        Raises
        ------
        DataError
            They are of another configuration or version, or cannot be read.
        """
        path, made = folder / DEMO_STEPS_NAME, f"configuration {config.digest}, extmap_tf {__version__}"
        if not path.exists():
            return cls(folder, made)
        found = _STEPS.read(path)
        seconds, told = found["seconds"], found["made"]
        if told != made:
            raise DataError(
                f"{folder} holds an unfinished demo of {told}, this one is of {made}: "
                "remove it, or choose another name"
            )
        return cls(folder, made, seconds)

    def run(self, name: str, text: str, work: Callable[[], None]) -> None:
        """Do a step, unless it is done."""
        if name in self.seconds:
            _say(f"{text}: done before")
            return
        _say(text)
        start = time.monotonic()
        work()
        self.seconds[name] = round(time.monotonic() - start, 1)
        about = {
            "format": DEMO_STEPS,
            "made": self.made,
            "software_version": __version__,
            "seconds": self.seconds,
        }
        with whole_file(self.folder / DEMO_STEPS_NAME, overwrite=True) as stream:
            json.dump(about, stream, indent=2)


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
    with unfinished_folder(out, overwrite, folder_with=DEMO_NAME) as folder:
        try:
            evaluation = _run(config, folder)
        except (Exception, KeyboardInterrupt):
            if (folder / DEMO_STEPS_NAME).exists():
                _say(f"the finished steps are kept in {folder}: run the same command again to go on")
            raise
    _say(f"done: {out}/map.fits, {out}/figures/, {out}/{DEMO_NAME}")
    return evaluation


def _run(config: Config, folder: Path) -> "Evaluation":
    from extmap_tf.evaluation.metrics import compare_maps
    from extmap_tf.map.volume import ExtinctionMap
    from extmap_tf.model.card import ModelCard

    steps = Steps.of(folder, config)
    n_sightlines = len(config.mocks.sightlines_deg())
    steps.run(
        "mocks",
        f"1/6  mock catalogs of {n_sightlines} sightlines to training pairs",
        lambda: _make_mocks(config, folder),
    )
    steps.run("training", "2/6  training", lambda: _train(config, folder))
    steps.run("export", "3/6  export", lambda: _export(folder))
    steps.run("sky", "4/6  a mock sky behind known dust, observed", lambda: _observe(config, folder))
    steps.run("map", "5/6  map", lambda: _make_own_map(config, folder))
    volume, truth = (ExtinctionMap.read(folder / name) for name in ("map.fits", "truth.fits"))
    shipped = _shipped_models_for(config)

    def draw():
        from extmap_tf.figures.gallery import draw_all

        draw_all(volume, folder / "figures", truth=truth, overwrite=True)

    def map_by_shipped():
        for name, model in shipped.items():
            _make_map(folder, model, _map_by(name))

    steps.run("figures", "6/6  figures and errors", draw)
    if shipped:
        steps.run("shipped models", f"     the same sky by {', '.join(shipped)}", map_by_shipped)
    evaluation = compare_maps(volume, truth)
    others = {name: compare_maps(ExtinctionMap.read(folder / _map_by(name)), truth) for name in shipped}
    _write_summary(config, folder, steps, ModelCard.read(folder / "training"), evaluation, others)
    _tell(config.survey.red.name, evaluation, others)
    return evaluation


def _make_mocks(config: Config, folder: Path) -> None:
    # Beam and TensorFlow load here and below, so that importing this module stays light.
    from beam_jobs.graphs.mocks_to_records import make_records

    config.write(folder / "config.toml", overwrite=True)
    make_records(config, str(folder / "mocks"), True, _WORKERS, _PAIRS_PER_SHARD)


def _train(config: Config, folder: Path) -> None:
    from extmap_tf.model.card import CARD_NAME
    from extmap_tf.model.training import train
    from extmap_tf.records.manifest import Records

    if (folder / "training" / CARD_NAME).exists():
        # Finished, but killed before that was written down.
        return
    train(Records.open(folder / "mocks"), config, folder / "training", echo=_say)


def _export(folder: Path) -> None:
    from extmap_tf.model.export import export
    from extmap_tf.model.versions import versions

    if not versions(folder / "model"):
        export(folder / "training", folder / "model", echo=lambda line: None)


def _observe(config: Config, folder: Path) -> None:
    from beam_jobs.graphs.twomass_to_records import make_records

    _, n_rows = make_sky(config, folder, overwrite=True)
    _say(f"     {n_rows:,} stars")
    make_records(config, [str(folder / "sky.parquet")], str(folder / "survey"), overwrite=True)


def _make_own_map(config: Config, folder: Path) -> None:
    from extmap_tf.model.heads import HEADS

    has_spread = bool(HEADS[config.network.head].percentiles)
    _make_map(folder, folder / "model", "map.fits", _SAMPLES if has_spread else 0)


def _make_map(folder: Path, model: PathLike, name: str, n_samples: int = 0) -> None:
    from beam_jobs.graphs.score_to_map import make_map

    make_map(folder / "survey", model, folder / name, overwrite=True, n_samples=n_samples)


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


def _shipped_models_for(config: Config) -> dict[str, PathLike]:
    """The shipped models for CMDs and profiles like those of a configuration: folders by name."""
    from extmap_tf.model.versions import find_saved_model, shipped_models

    found: dict[str, PathLike] = {}
    for name, folder in sorted(shipped_models().items()):
        other = find_saved_model(folder)[1].config
        if (other.observation, other.target) == (config.observation, config.target):
            found[name] = folder
    return found


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
    from extmap_tf.evaluation.calibration import format_calibration
    from extmap_tf.evaluation.profile_errors import format_table

    _say(f"Errors of A({band}) of the map against the known truth:")
    print(format_table(evaluation.overall), flush=True)
    # A network that gives one profile states no intervals.
    if rows := [row for row in evaluation.calibration if row.group == "all"]:
        _say("How often the truth lies in the intervals that the map states:")
        print(format_calibration(rows), flush=True)
    for name, found in others.items():
        _say(f"The same sky by the shipped model {name}, trained for longer:")
        print(format_table(found.overall), flush=True)


def _progress(tiles):
    from tqdm import tqdm

    return tqdm(tiles, desc="sky", unit="tile", mininterval=1.0)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
