"""Survey records and a SavedModel -> a 3D map file.

What a worker takes is a shard, and it moves nothing: a batch of the shard's fields becomes a tile, a file of
arrays that knows which fields it holds::

    shards -> read records -> estimate profiles -> make map layers -> write tiles
    tiles -> one file of an ExtinctionMap, filled tile by tile by the process that started the job
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference

from beam_jobs import stores
from beam_jobs.early import require_samples
from beam_jobs.graphs.estimating import SavedModelHandler, read_shard
from beam_jobs.graphs.refining import Refine, RefiningHandler, prepare
from beam_jobs.pipeline import check_start, progress_of_files, run
from beam_jobs.shards import n_shards_for
from extmap_tf.compare.visible_walls import VisibleWalls, places_to_try, visible_walls
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.files import PathLike
from extmap_tf.map.formats import new_map_file
from extmap_tf.map.header import MapHeader
from extmap_tf.map.layers import map_layers
from extmap_tf.map.provenance import Provenance
from extmap_tf.model.card import ModelCard
from extmap_tf.model.checks import require_fit
from extmap_tf.settings.survey import SurveyView

# Some 40 MB.
_FIELDS_PUT_AT_ONCE = 4096


def to_map_layers(
    element: tuple[int, tuple], header: MapHeader, walls: VisibleWalls | None = None
) -> tuple[int, dict[str, np.ndarray]]:
    """(index of the first field, (estimate, facts) [n]) -> the same of the layers that a map of them holds.

    Parameters
    ----------
    element : (int, (ProfileEstimate, dict of str to ndarray))
        What `SavedModelHandler` gives; the facts are coverage, n_stars and, of several surveys, surveys.
    header : extmap_tf.map.header.MapHeader
    walls : extmap_tf.compare.visible_walls.VisibleWalls, optional
        Of the model, for the layer ``smallest_wall``.
    """
    first, (estimate, facts) = element
    if walls is not None:
        place = header.grid.centers_deg(np.arange(first, first + estimate.shape[0]))
        facts = facts | {"smallest_wall": walls.behind(*place, estimate.extinction_median, header.distance)}
    return first, map_layers(estimate, header.distance, "estimate", **facts)


def write_tile(element: tuple[int, dict[str, np.ndarray]], folder: str) -> str:
    """Write (index of the first field, dict of layers [n, ...]) as a NumPy archive; returns its name."""
    first, layers = element
    name = f"tile-{first:09d}.npz"
    path = FileSystems.join(folder, name)
    with (
        stores.naming(folder),
        FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as stream,
    ):
        arrays: dict[str, Any] = {"first": first, **layers}
        np.savez(stream, **arrays)
    return name


def put_tiles(
    put: Callable[[int, dict[str, np.ndarray]], None], paths: Iterable[str], n_sightlines: int
) -> None:
    """Put tiles into the file of a map, one after the other.

    Parameters
    ----------
    put : callable
        Of `extmap_tf.map.formats.new_map_file`.
    paths : iterable of str
        Tiles as `write_tile` writes them.
    n_sightlines : int
        Of the map.

    Raises
    ------
    DataError
        A field of the grid is missing or there twice.
    """
    seen = np.zeros(n_sightlines, np.int64)
    for first, layers in _joined(map(_read_tile, paths)):
        seen[first : first + len(layers["flag"])] += 1
        put(first, layers)
    if (seen != 1).any():
        raise DataError(
            f"{np.count_nonzero(seen == 0)} of {n_sightlines} fields are missing in the scored records "
            f"and {np.count_nonzero(seen > 1)} are there twice: make the records again"
        )


def _read_tile(path):
    stream = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    with stream, np.load(stream) as tile:
        layers = dict(tile)
    return int(layers.pop("first")), layers


def _joined(tiles):
    """Join tiles that follow each other: what lies together in an image is written together."""
    run: list[tuple[int, dict[str, np.ndarray]]] = []
    end = 0
    for first, layers in tiles:
        if run and (first != end or end - run[0][0] >= _FIELDS_PUT_AT_ONCE):
            yield _one_of(run)
            run = []
        run.append((first, layers))
        end = first + len(layers["flag"])
    if run:
        yield _one_of(run)


def _one_of(run):
    return run[0][0], {name: np.concatenate([layers[name] for _, layers in run]) for name in run[0][1]}


def build(
    pipeline: beam.Pipeline,
    shards: Sequence[tuple[int, str]],
    handler: SavedModelHandler,
    views: Sequence[SurveyView],
    header: MapHeader,
    folder: str,
    walls: VisibleWalls | None = None,
) -> beam.PCollection:
    """Apply the job's transforms to a pipeline that writes tiles into `folder`.

    `views` are the surveys of the records, `header` is the map's, and `walls` are those of the model.
    """
    return (
        pipeline
        | "List shards" >> beam.Create(shards)
        | "Spread over workers" >> beam.Reshuffle()
        | "Read records" >> beam.FlatMap(read_shard, views)
        | "Estimate profiles" >> RunInference(KeyedModelHandler(handler))
        | "Make map layers" >> beam.Map(to_map_layers, header, walls)
        | "Write tiles" >> beam.Map(write_tile, folder)
    )


def facts_of(card: ModelCard) -> str:
    """What a `ModelCard` says, in short: network, weights, training pairs and loss, software."""
    training = card.training
    facts = [f"{card.config.network.preset} network", f"{card.n_weights} weights"]
    if "train_pairs" in training:
        facts.append(f"{training['train_pairs']} training pairs")
    if "validation_loss" in training:
        facts.append(f"validation loss {training['validation_loss']:.6g}")
    return ", ".join([*facts, f"trained by extmap_tf {card.software_version}"])


def _walls_of(model_folder, card, trust_model):
    """The smallest walls that a model shows, found before the job's own work."""
    from extmap_tf.model.scoring import Scorer

    with stores.local_copy(model_folder) as local:
        sample = Scorer(local, trust_model).sample_counts
        return visible_walls(sample, card.config, places_to_try(card.config))


def make_map(
    records_path: PathLike,
    model_path: PathLike,
    out: PathLike,
    overwrite: bool = False,
    beam_argv: Sequence[str] = (),
    n_samples: int = 0,
    trust_model: bool = False,
    with_walls: bool = False,
    refine: Refine | None = None,
) -> None:
    """Run the job.

    Parameters
    ----------
    records_path : path-like
        Survey records, on any of Beam's file systems, as the model and the map.
    model_path : path-like
        A SavedModel's version folder, or its parent (the highest version is taken).
    out : path-like
        The map to make.
    overwrite : bool
    beam_argv : sequence of str
        Pipeline options of Beam.
    n_samples : int
        Profiles drawn for each field that the map keeps, at most `beam_jobs.early.MAX_SAMPLES`.
    trust_model : bool
        As `extmap_tf.model.scoring.Scorer` takes it.
    with_walls : bool
        Also keep the smallest wall of dust that would be found (`extmap_tf.compare.visible_walls`).
    refine : Refine, optional
        Refine the network's answers by the likelihood of each field's diagram.
    """
    from extmap_tf.model.heads import HEADS
    from extmap_tf.model.scoring import BATCH_SIZE

    records_path, model_path, out = map(str, (records_path, model_path, out))
    check_start(beam_argv, records_path, model_path, out)
    require_samples(n_samples)
    stores.refuse_object(out, overwrite)
    manifest = stores.open_manifest(records_path)
    if manifest.kind != "survey":
        raise DataError(f"{records_path}: mock records are no map's; score 'records survey'")
    model_folder, card = stores.find_model(model_path)
    require_fit(card, model_folder, manifest, records_path)
    percentiles = HEADS[card.config.network.head].percentiles
    if (n_samples or with_walls) and not percentiles:
        raise ConfigError(
            f"{model_folder}: its network, {card.config.network.preset}, gives one profile and has nothing "
            "to draw samples from: leave --samples and --walls out"
        )
    if refine and not percentiles:
        raise ConfigError(
            f"{model_folder}: its network, {card.config.network.preset}, gives one profile and "
            "has no samples for a refinement to begin with: leave --refine out"
        )
    if refine and len(card.config.diagrams) > 1:
        raise ConfigError(
            f"{model_folder}: its network takes {len(card.config.diagrams)} diagrams, and a refinement knows "
            "but one: leave --refine out"
        )
    walls = _walls_of(model_folder, card, trust_model) if with_walls else None
    shards, first, n_tiles = [], 0, 0
    for split in manifest.splits.values():
        for entry in split:
            shards.append((first, stores.join(records_path, entry.name)))
            first += entry.n_examples
            n_tiles += n_shards_for(entry.n_examples, BATCH_SIZE)
    grid = manifest.config.sightlines
    handler = SavedModelHandler(model_folder, card.config, n_samples, trust_model)
    provenance = Provenance.of(
        manifest.config,
        "estimate",
        model=card.config,
        model_name=f"{card.config.network.preset}/{model_folder.rsplit('/', 1)[-1]}",
        model_digest=card.digest,
        records_digest=card.records_digest,
        model_facts=facts_of(card),
    )
    header = MapHeader(
        grid,
        card.config.distance,
        provenance,
        percentiles=percentiles,
        n_samples=n_samples,
        wall_sigma=walls.rule.min_sigma if walls else 0.0,
    )
    with stores.scratch_neighbour(out) as folder, stores.whole_upload(out) as local:
        if refine:
            refinement = prepare(handler, card.config, shards, first, folder, refine)
            handler = RefiningHandler(model_folder, card.config, n_samples, trust_model, refinement)
            header = dataclasses.replace(header, provenance=refinement.told_in(provenance))
        progress = progress_of_files(folder, "tile-*.npz", n_tiles, f"score ({grid.n_sightlines} sightlines)")
        run(
            lambda pipeline: build(pipeline, shards, handler, manifest.config.views, header, folder, walls),
            list(beam_argv),
            progress,
        )
        tiles = list(stores.sizes_in(folder, "tile-*.npz"))
        with new_map_file(local, header, overwrite) as put:
            put_tiles(put, tiles, grid.n_sightlines)
