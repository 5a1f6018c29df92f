"""Writing records folders from a pipeline: shards, their entries, the manifest."""

import math
import os
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_jobs.stores import naming
from extmap_tf.files import scratch_folder, sha256_of, temporary_place
from extmap_tf.records.manifest import MANIFEST_NAME, FileEntry, Manifest
from extmap_tf.records.writing import write_tfrecords
from extmap_tf.settings.config import Config

EXAMPLES_PER_SHARD = 2048


def n_shards_for(n_examples: float, examples_per_shard: int = EXAMPLES_PER_SHARD) -> int:
    """How many shards hold so many examples."""
    return max(1, math.ceil(n_examples / examples_per_shard))


def shard_name(split: str, index: int, n_shards: int) -> str:
    return f"{split}-{index:05d}-of-{n_shards:05d}.tfrecord.gz"


def write_shard(folder: str, name: str, examples: Iterable[bytes]) -> FileEntry:
    """Write serialized examples to one gzip TFRecord file on any of Beam's file systems.

    Parameters
    ----------
    folder, name : str
    examples : iterable of bytes

    Returns
    -------
    FileEntry
    """
    with scratch_folder() as scratch:
        local = os.path.join(scratch, name)
        with naming(str(temporary_place())), open(local, "wb") as stream:
            n_examples = write_tfrecords(stream, examples)
        return _publish(local, folder, name, n_examples)


def write_bytes(folder: str, name: str, data: bytes) -> FileEntry:
    """Write a small file that is not a shard, and return its FileEntry."""
    with scratch_folder() as scratch:
        local = os.path.join(scratch, name)
        with naming(str(temporary_place())), open(local, "wb") as stream:
            stream.write(data)
        return _publish(local, folder, name, 0)


class WriteManifest(beam.PTransform):
    """Gather (split, FileEntry) of all shards and write the manifest, the last file of a folder.

    Parameters
    ----------
    folder : str
    kind : str
    config : extmap_tf.settings.config.Config
    report : beam.pvalue.AsSingleton, optional
        Side input: what was read and left out.
    check : callable, optional
        Called with the manifest before it is written; may raise.
    """

    def __init__(
        self,
        folder: str,
        kind: str,
        config: Config,
        report: Any = None,
        check: Callable[[Manifest], None] | None = None,
    ) -> None:
        super().__init__()
        self._folder, self._kind, self._config = folder, kind, config
        self._report, self._check = report, check

    def expand(self, entries: beam.PCollection) -> beam.PCollection:
        gathered = entries | "Gather list of files" >> beam.combiners.ToList()
        arguments = (self._folder, self._kind, self._config, self._check)
        sides = () if self._report is None else (self._report,)
        return gathered | "Write file" >> beam.Map(write_manifest, *arguments, *sides)


def write_manifest(
    entries: Iterable[tuple[str, FileEntry]],
    folder: str,
    kind: str,
    config: Config,
    check: Callable[[Manifest], None] | None = None,
    report: dict[str, Any] | None = None,
) -> None:
    """The manifest of a folder's (split, FileEntry) pairs; a split named "" is for other files."""
    splits: dict[str, list[FileEntry]] = {split: [] for split in ("train", "validation", "test", "all")}
    others: list[FileEntry] = []
    for split, entry in entries:
        (splits[split] if split else others).append(entry)
    manifest = Manifest(
        kind=kind,
        config=config,
        splits={
            split: tuple(sorted(shards, key=lambda entry: entry.name))
            for split, shards in splits.items()
            if shards
        },
        others=tuple(sorted(others, key=lambda entry: entry.name)),
        report=report or {},
    )
    if check:
        check(manifest)
    write_bytes(folder, MANIFEST_NAME, manifest.to_json().encode())


def _publish(local, folder, name, n_examples):
    with naming(FileSystems.join(folder, name)), open(local, "rb") as stream:
        digest = sha256_of(stream)
        n_bytes = stream.tell()
        stream.seek(0)
        # A retried bundle may write the same shard twice: each under its own name, then renamed.
        temporary = FileSystems.join(folder, f".{uuid.uuid4().hex[:8]}.{name}")
        with FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as out:
            while block := stream.read(1 << 20):
                out.write(block)
        FileSystems.rename([temporary], [FileSystems.join(folder, name)])
    return FileEntry(name, n_bytes, digest, n_examples)
