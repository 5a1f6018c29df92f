"""Mock catalogs and random profiles -> TFRecords of training pairs.

Only the numbers of the pairs are shuffled; each shard's pairs are made where the shard is written::

    numbers of pairs -> assign to shards -> group by shard -> simulate and write shards -+
    reference sightlines -> make CMDs -> gather -> write reference table ----------------+-> write manifest
"""

import atexit
import contextlib
import dataclasses
import functools
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystems import FileSystems

from beam_jobs import shards, stores
from beam_jobs.pipeline import check_start, progress_of_files, run
from beam_jobs.stores import whole_folder
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.files import sha256_of
from extmap_tf.mocks.pairs import pair_key, place_of, simulate_pairs, split_of
from extmap_tf.mocks.pools import SPLITS
from extmap_tf.mocks.reference import reference_diagrams, reference_nodes
from extmap_tf.program import unless_stopped
from extmap_tf.records.example import pair_to_example
from extmap_tf.records.manifest import REFERENCE_NAME, FileEntry, Manifest, write_reference
from extmap_tf.settings.config import Config
from extmap_tf.settings.mocks import MocksConfig

NUMBERS_PER_BLOCK = 10_000


def with_catalog_digests(config: Config) -> Config:
    """A copy with the digests of the catalogs that are in an object store."""
    catalogs = []
    for catalog in config.mocks.catalogs:
        if not stores.is_local(catalog.path) and not catalog.sha256:
            if not FileSystems.exists(catalog.path):
                raise DataError(f"{catalog.path}: no such file; mend mocks.catalogs")
            with stores.local_copy(catalog.path) as path, open(path, "rb") as stream:
                catalog = dataclasses.replace(catalog, sha256=sha256_of(stream))
        catalogs.append(catalog)
    return _with_catalogs(config, catalogs)


@functools.lru_cache(maxsize=4)
def with_local_catalogs(config: Config) -> Config:
    """A copy with the paths of local copies of the catalogs, which last as long as this process."""
    copies = contextlib.ExitStack()
    atexit.register(copies.close)
    catalogs = [
        dataclasses.replace(catalog, path=copies.enter_context(stores.local_copy(catalog.path)))
        for catalog in config.mocks.catalogs
    ]
    return _with_catalogs(config, catalogs)


def _with_catalogs(config, catalogs):
    return dataclasses.replace(config, mocks=dataclasses.replace(config.mocks, catalogs=tuple(catalogs)))


def shard_counts(mocks: MocksConfig, examples_per_shard: int = shards.EXAMPLES_PER_SHARD) -> dict[str, int]:
    """How many shards each split gets."""
    shares = {"validation": mocks.validation_fraction, "test": mocks.test_fraction}
    shares["train"] = 1.0 - sum(shares.values())
    return {split: shards.n_shards_for(mocks.n_pairs * shares[split], examples_per_shard) for split in SPLITS}


def block_to_shards(
    start: int, config: Config, n_shards: dict[str, int]
) -> list[tuple[tuple[str, int], list[int]]]:
    """Assign a block of pair numbers to shards.

    Parameters
    ----------
    start : int
        First number of the block.
    config : extmap_tf.settings.config.Config
    n_shards : dict of str to int
        As `shard_counts` gives them.

    Returns
    -------
    list of ((str, int), list of int)
        For each (split, shard) touched, the numbers of its pairs.
    """
    found: dict[tuple[str, int], list[int]] = {}
    for number in range(start, min(start + NUMBERS_PER_BLOCK, config.mocks.n_pairs)):
        place = place_of(pair_key(config.mocks, number), config.mocks.split_salt)
        split, within = split_of(place, config.mocks)
        found.setdefault((split, int(within * n_shards[split])), []).append(number)
    return sorted(found.items())


def pairs_to_examples(numbers: Iterable[int], config: Config) -> list[bytes]:
    """Simulate pairs and serialize them.

    Parameters
    ----------
    numbers : iterable of int
    config : extmap_tf.settings.config.Config

    Returns
    -------
    list of bytes
        In the order of the keys' hashes, which does not depend on how the pairs were grouped.
    """
    config, salt = with_local_catalogs(config), config.mocks.split_salt
    # Numbers that are equal modulo the sightlines share a catalog, and are made together.
    n_sightlines = len(config.mocks.sightlines_deg())
    numbers = sorted(numbers, key=lambda number: (number % n_sightlines, number))
    placed = []
    for pair in unless_stopped(simulate_pairs(config, numbers)):
        key = pair_key(config.mocks, pair.number)
        placed.append((place_of(key, salt), key, pair_to_example(pair, key, config.seed)))
    placed.sort()
    for (_, key, _), (_, following, _) in pairwise(placed):
        if key == following:
            raise DataError(f"pair {key} occurs twice: this is a defect, please report it")
    return [example for _, _, example in placed]


class PairsToShard(beam.DoFn):
    """(split, shard), lists of numbers -> one written shard, as (split, FileEntry)."""

    def __init__(self, config: Config, folder: str, n_shards: dict[str, int]) -> None:
        self._config, self._folder, self._n_shards = config, folder, n_shards

    def process(
        self, element: tuple[tuple[str, int], Iterable[list[int]]]
    ) -> Iterator[tuple[str, FileEntry]]:
        (split, index), blocks = element
        examples = pairs_to_examples([number for block in blocks for number in block], self._config)
        name = shards.shard_name(split, index, self._n_shards[split])
        yield split, shards.write_shard(self._folder, name, examples)


def node_to_reference(
    node: tuple[float, float], config: Config
) -> tuple[tuple[float, float], dict[str, np.ndarray]]:
    """(l, b) -> ((l, b), diagrams by name)."""
    return node, reference_diagrams(with_local_catalogs(config), *node)


def write_reference_table(
    nodes: Iterable[tuple[tuple[float, float], dict[str, np.ndarray]]], folder: str, config: Config
) -> tuple[str, FileEntry]:
    """Write the gathered ((l, b), diagrams) as reference.fits; returns ("", FileEntry)."""
    nodes = sorted(nodes, key=lambda node: node[0])
    l_deg, b_deg = np.array([position for position, _ in nodes]).T
    counts = {d.name: np.stack([found[d.name] for _, found in nodes]) for d in config.diagrams}
    stream = io.BytesIO()
    write_reference(stream, config, l_deg, b_deg, counts)
    return "", shards.write_bytes(folder, REFERENCE_NAME, stream.getvalue())


def build(pipeline: beam.Pipeline, config: Config, folder: str, n_shards: dict[str, int]) -> beam.PCollection:
    """Apply the job's transforms to a pipeline that writes into `folder`."""
    blocks = range(0, config.mocks.n_pairs, NUMBERS_PER_BLOCK)
    written = (
        pipeline
        | "Number the pairs" >> beam.Create(list(blocks))
        | "Assign pairs to shards" >> beam.FlatMap(block_to_shards, config, n_shards)
        | "Group by shard" >> beam.GroupByKey()
        | "Simulate and write shards" >> beam.ParDo(PairsToShard(config, folder, n_shards))
    )
    reference = (
        pipeline
        | "List reference sightlines" >> beam.Create(list(reference_nodes(config.mocks, config.sightlines)))
        | "Spread over workers" >> beam.Reshuffle()
        | "Make reference CMDs" >> beam.Map(node_to_reference, config)
        | "Gather reference CMDs" >> beam.combiners.ToList()
        | "Write reference table" >> beam.Map(write_reference_table, folder, config)
    )
    entries = (written, reference) | "Join lists of files" >> beam.Flatten()
    return entries | "Write manifest" >> shards.WriteManifest(folder, "mocks", config, check=check_splits)


def check_splits(manifest: Manifest) -> None:
    """Raise ConfigError for a split without pairs."""
    for split in SPLITS:
        if split not in manifest.splits or manifest.n_examples(split) == 0:
            raise ConfigError(
                f"mocks: none of {manifest.config.mocks.n_pairs} pairs fell into the {split} split: make more"
            )


def make_records(
    config: Config,
    out: str,
    overwrite: bool = False,
    beam_argv: Sequence[str] = (),
    examples_per_shard: int = shards.EXAMPLES_PER_SHARD,
) -> None:
    """Run the job.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
    out : str
        The records folder to make, on any of Beam's file systems.
    overwrite : bool
    beam_argv : sequence of str
        Pipeline options of Beam.
    examples_per_shard : int
    """
    config = config.with_catalogs_of(".")
    check_start(beam_argv, out, *(catalog.path for catalog in config.mocks.catalogs))
    config = with_catalog_digests(config)
    n_shards = shard_counts(config.mocks, examples_per_shard)
    with whole_folder(out, overwrite) as folder:
        progress = progress_of_files(
            folder, "[tv]*.tfrecord.gz", sum(n_shards.values()), f"mocks ({config.mocks.n_pairs} pairs)"
        )
        run(lambda pipeline: build(pipeline, config, folder, n_shards), list(beam_argv), progress)
