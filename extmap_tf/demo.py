"""The whole line on a mock sky: what a user runs first.

The observed sky is a table of stars behind a known 3D dust distribution that the training never sees; it goes
through the same readers, records and scoring as real data.
"""

import sys
import time

import numpy as np
from tqdm import tqdm

from extmap_tf import __version__
from extmap_tf.errors import ConfigError
from extmap_tf.estimate import ProfileEstimate
from extmap_tf.evaluation import metrics
from extmap_tf.evaluation.calibration import format_calibration
from extmap_tf.extinction.dust import draw_dust
from extmap_tf.figures import gallery
from extmap_tf.files import whole_path
from extmap_tf.map.header import MapHeader
from extmap_tf.map.provenance import Provenance
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.mocks.sky import write_sky
from extmap_tf.model.versions import find_saved_model, shipped_models


def run_demo(config, out, overwrite=False):
    """Records, training, export, a mock observed sky, its map, figures and errors against the truth.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
    out : path-like
        Folder to make; it appears when everything is done.
    overwrite : bool

    Returns
    -------
    extmap_tf.evaluation.metrics.Evaluation

    Raises
    ------
    ConfigError
        The demo has nothing to show for this configuration.
    """
    bands = (config.survey.blue.name, config.survey.red.name)
    if bands != ("J", "Ks"):
        raise ConfigError(f"the demo's mock sky is a table of 2MASS's J and Ks, got: {' and '.join(bands)}")
    nearest_kpc = metrics.DISTANCES_KPC[0]
    if config.distance.max_kpc < nearest_kpc:
        raise ConfigError(
            f"the demo's errors need a distance grid that reaches {nearest_kpc:g} kpc, "
            f"got: {config.distance.max_kpc:g} kpc"
        )
    with whole_path(out, overwrite, folder_with="summary.json") as folder:
        evaluation = _run(config, folder)
    _say(f"done: {out}/map.fits, {out}/figures/, {out}/summary.json")
    return evaluation


def _run(config, folder):
    # Beam and TensorFlow load here, so that importing this module stays light.
    from beam_jobs import mocks_to_records, twomass_to_records
    from extmap_tf.model.export import export
    from extmap_tf.model.training import train
    from extmap_tf.records.manifest import Records

    start = time.monotonic()
    seconds = {}

    def done(step):
        seconds[step] = round(time.monotonic() - start - sum(seconds.values()), 1)

    folder.mkdir()
    config.write(folder / "config.toml")
    grid = config.sightlines
    workers = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]

    _say(f"1/6  mock catalogs of {len(config.mocks.sightlines_deg())} sightlines to training pairs")
    mocks_to_records.make_records(config, str(folder / "mocks"), beam_argv=workers)
    done("mocks")

    _say("2/6  training")
    card = train(Records.open(folder / "mocks"), config, folder / "training", echo=_say)
    done("training")

    _say("3/6  export")
    export(folder / "training", folder / "model")
    done("export")

    _say("4/6  a mock sky behind known dust, observed")
    truth, n_rows = make_sky(config, folder)
    _say(f"     {n_rows:,} stars")
    twomass_to_records.make_records(config, [str(folder / "sky.parquet")], str(folder / "survey"))
    done("sky")

    _say("5/6  map")
    volume = _scored(folder, folder / "model", "map.fits")
    done("map")

    _say("6/6  figures and errors")
    gallery.draw_all(volume, folder / "figures", truth=truth)
    evaluation = metrics.compare_maps(volume, truth)
    done("figures")
    shipped = {
        name: metrics.compare_maps(_scored(folder, name, f"map_by_{name}.fits"), truth)
        for name in _shipped_models_for(config)
    }
    done("shipped models")
    summary = {
        "software_version": __version__,
        "config_name": config.name,
        "config_digest": config.digest,
        "model_digest": card.digest,
        "quantity": f"A({config.survey.red.name}), mag",
        "law": config.law.model,
        "stars": n_rows,
        "sightlines": grid.n_sightlines,
        "seconds": seconds,
        "training": card.training,
        "errors": evaluation.to_dict(),
        "errors_of_shipped_models": {name: found.to_dict() for name, found in shipped.items()},
    }
    metrics.write_json(summary, folder / "summary.json")
    _say(f"Errors of A({config.survey.red.name}) of the map against the known truth:")
    print(metrics.format_table(evaluation.overall), flush=True)
    _say("How often the truth lies in the intervals that the map states:")
    rows = [row for row in evaluation.calibration if row.group == "all"]
    print(format_calibration(rows), flush=True)
    for name, found in shipped.items():
        _say(f"The same sky by the shipped model {name}, trained for longer:")
        print(metrics.format_table(found.overall), flush=True)
    return evaluation


def make_sky(config, folder):
    """A mock sky behind known dust: its stars in ``folder/sky.parquet``, the dust in ``folder/truth.fits``.

    Returns
    -------
    truth : extmap_tf.map.volume.ExtinctionMap
    n_rows : int
        Stars in the table.
    """
    grid = config.sightlines
    dust = draw_dust(config.dust, grid, config.distance, config.seed)
    n_rows = write_sky(config, dust, folder / "sky.parquet", _progress)
    truth = ExtinctionMap(
        MapHeader(grid, config.distance, Provenance.of(config, "truth")),
        ProfileEstimate.of_density(dust.field_density(grid), config.distance.step_kpc),
        np.ones(grid.shape),
        np.zeros(grid.shape, int),
    )
    truth.write(folder / "truth.fits")
    return truth, n_rows


def _scored(folder, model, name):
    from beam_jobs.score_to_map import make_map

    make_map(folder / "survey", model, folder / name)
    return ExtinctionMap.read(folder / name)


def _shipped_models_for(config):
    """Names of the shipped models for CMDs and profiles like those of a configuration."""
    cards = {name: find_saved_model(name)[1].config for name in sorted(shipped_models())}
    wanted = (config.observation, config.target)
    return [name for name, other in cards.items() if (other.observation, other.target) == wanted]


def _progress(tiles):
    return tqdm(tiles, desc="sky", unit="tile", mininterval=1.0)


def _say(line):
    print(line, file=sys.stderr, flush=True)
