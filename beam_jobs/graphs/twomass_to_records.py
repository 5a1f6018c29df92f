"""Survey tables -> TFRecords of the CMD of every sightline of a grid.

Rows are read, cut and counted in batches; what moves between workers are partial counts of blocks of fields,
never stars. A block is what one shard holds::

    tables -> read and count stars -+-> partial counts -+-> add partial counts -> write shards -+
                                    |   empty blocks  --+                                       |
                                    +-> row counts -> add row counts ----------> write manifest <-+
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_jobs import shards
from beam_jobs.pipeline import check_start, progress_of_files, run
from beam_jobs.stores import open_manifest, whole_folder
from extmap_tf.catalogs.survey_tables import AS_IT_IS, Reading, read_survey_table
from extmap_tf.diagrams import (
    PartialCounts,
    add_partial_counts,
    batch_to_slots,
    block_to_field_counts,
    pack_partial_counts,
    slots_to_partial_counts,
    unpack_partial_counts,
)
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.grids.sky import SkyGrid
from extmap_tf.grids.squares import sightline_name
from extmap_tf.program import unless_stopped
from extmap_tf.records.example import field_to_example
from extmap_tf.records.manifest import FileEntry, Manifest
from extmap_tf.settings.config import Config
from extmap_tf.settings.survey import SurveyView

FIELDS_PER_SHARD = 1024
SPLIT = "all"
_ROWS_PER_LINE = 2_000_000
# The more stars are counted at once, the less is sent on. Of stars in strips of declination, as in the PSC,
# four times as many save 0.7 % of it, and take longer to get memory for than to count.
_SLOTS_HELD = 1 << 20
# So many bytes of a block's partial counts wait for others: summed one by one, they would cost the square of
# their number.
_BYTES_WAITING = 1 << 16

logger = logging.getLogger(__name__)


def match_tables(inputs: Iterable[str]) -> list[str]:
    """Paths of the tables that names and file patterns give, on any of Beam's file systems.

    A name that exists is taken as it stands, whatever letters are in it. A file that is given twice, be it
    through a link or a pattern, is read once, and a line says so: its stars must not count twice.

    Raises
    ------
    DataError
        Nothing has the name, or it is a folder.
    """
    paths: dict[str, str] = {}
    for given in inputs:
        for path in _matching(given):
            real = path if FileSystems.get_scheme(path) else os.path.realpath(path)
            if real in paths:
                again = "" if path == paths[real] else f", as {paths[real]}"
                logger.info("%s: given more than once%s; it is read once", path, again)
            else:
                paths[real] = path
    return sorted(paths.values())


def _matching(given):
    if "\0" in given:
        raise DataError(f"{given!r}: no name of a file: it has a NUL")
    local = FileSystems.get_scheme(given) is None
    if local and os.path.isdir(given):
        raise DataError(f"{given}: a folder, not a table; give its tables, such as '{given.rstrip('/')}/*'")
    if local and os.path.exists(given) and not os.path.isfile(given):
        raise DataError(f"{given}: a device or a pipe, not a file; give a table")
    if FileSystems.exists(given):
        return [given]
    (match,) = FileSystems.match([given])
    paths = [metadata.path for metadata in match.metadata_list]
    if not paths:
        raise DataError(f"{given}: no such file")
    return paths


def table_to_partial_counts(
    path: str,
    views: Sequence[SurveyView],
    which: int,
    sightlines: SkyGrid,
    reading: Reading = AS_IT_IS,
) -> Iterator[tuple[str, Any]]:
    """Count one table's stars into the fields of a grid.

    Parameters
    ----------
    path : str
    views : sequence of extmap_tf.settings.survey.SurveyView
        All surveys of the configuration.
    which : int
        The one whose table it is.
    sightlines : extmap_tf.grids.sky.SkyGrid
    reading : extmap_tf.catalogs.survey_tables.Reading

    Yields
    ------
    ("block", (int, (slots, counts))) or ("report", dict)
        Partial counts of blocks of `FIELDS_PER_SHARD` fields, as `extmap_tf.diagrams.slots_to_partial_counts`
        gives them, and at the end what became of the rows.
    """
    survey, report = views[which].survey, add_reports([]) | {"tables": 1}
    held = [np.zeros(0, np.int64)]

    def partial_counts():
        slots = np.concatenate(held)
        del held[1:]
        for block in slots_to_partial_counts(slots, views, FIELDS_PER_SHARD):
            yield "block", block

    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
        for batch in unless_stopped(read_survey_table(stream, path, survey, reading)):
            slots, n_in_no_field = batch_to_slots(batch, sightlines, views, which)
            report["rows"] += batch.n_rows
            report["in_no_field"] += int(n_in_no_field)
            report["counted"] += batch.n_stars - int(n_in_no_field)
            for reason, n in batch.rejected.items():
                report["rejected"][reason] = report["rejected"].get(reason, 0) + int(n)
            report["extent_deg"] = _joined([report["extent_deg"], _extent_of(batch)])
            held.append(slots)
            if sum(slots.size for slots in held) >= _SLOTS_HELD:
                yield from partial_counts()
            if report["rows"] // _ROWS_PER_LINE > (report["rows"] - batch.n_rows) // _ROWS_PER_LINE:
                logger.info("%s: %s rows so far", path, f"{report['rows']:,}")
    yield from partial_counts()
    logger.info("%s: %s rows, %s counted", path, f"{report['rows']:,}", f"{report['counted']:,}")
    yield "report", report if len(views) == 1 else report | {"surveys": {survey.key: report}}


def add_reports(reports: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Sum reports of several tables; of none, an empty one. Those of several surveys are also told apart."""
    total: dict[str, Any] = {
        "tables": 0,
        "rows": 0,
        "in_no_field": 0,
        "counted": 0,
        "rejected": {},
        "extent_deg": {},
    }
    for report in reports:
        for key in ("tables", "rows", "in_no_field", "counted"):
            total[key] += report[key]
        for reason, n in report["rejected"].items():
            total["rejected"][reason] = total["rejected"].get(reason, 0) + n
        total["extent_deg"] = _joined([total["extent_deg"], report["extent_deg"]])
        for key, own in report.get("surveys", {}).items():
            surveys = total.setdefault("surveys", {})
            surveys[key] = add_reports([surveys[key], own]) if key in surveys else own
    return total


def _extent_of(batch):
    """Where stars are: lowest and highest b, and l in two turns, of which one may be cut through."""
    if not batch.n_stars:
        return {}
    turns = {"l": batch.l_deg, "l_around_0": (batch.l_deg + 180.0) % 360.0 - 180.0, "b": batch.b_deg}
    return {name: [float(angle.min()), float(angle.max())] for name, angle in turns.items()}


def _joined(extents):
    extents = [extent for extent in extents if extent]
    return {
        name: [min(e[name][0] for e in extents), max(e[name][1] for e in extents)]
        for name in (extents[0] if extents else ())
    }


def extent_text(extent_deg: dict[str, list[float]]) -> str:
    """Where the stars of a report are, such as ``l 283.9 to 284.3, b -1.1 to -0.9``."""
    l, b = min(extent_deg["l"], extent_deg["l_around_0"], key=lambda ends: ends[1] - ends[0]), extent_deg["b"]
    return f"l {l[0]:.4g} to {l[1]:.4g}, b {b[0]:.4g} to {b[1]:.4g}"


class CountTable(beam.DoFn):
    """(number of the survey, path) of a table -> its partial counts; its report to the output ``report``."""

    def __init__(self, config: Config, readings: Sequence[Reading]) -> None:
        self._views, self._sightlines, self._readings = config.views, config.sightlines, readings

    def process(self, table: tuple[int, str]) -> Iterator[Any]:
        which, path = table
        how = self._views, which, self._sightlines, self._readings[which]
        for tag, value in table_to_partial_counts(path, *how):
            if tag == "block":
                block, partial = value
                yield block, pack_partial_counts(partial)
            else:
                yield beam.pvalue.TaggedOutput("report", value)


class AddPartialCounts(beam.CombineFn):
    """Sum the packed partial counts of a block.

    They stay sparse, for most pixels of a field are empty, and packed: a local run holds those of all sky in
    memory.
    """

    def create_accumulator(self) -> list[bytes]:
        return []

    def add_input(self, accumulator: list[bytes], packed: bytes) -> list[bytes]:
        return _compacted([*accumulator, packed])

    def merge_accumulators(self, accumulators: Iterable[list[bytes]]) -> list[bytes]:
        return _compacted([packed for accumulator in accumulators for packed in accumulator])

    def compact(self, accumulator: list[bytes]) -> list[bytes]:
        return [pack_partial_counts(self.extract_output(accumulator))]

    def extract_output(self, accumulator: list[bytes]) -> PartialCounts:
        return add_partial_counts(map(unpack_partial_counts, accumulator))


def _compacted(accumulator):
    """The same counts, summed once those that came last outweigh the first, the sum so far."""
    n_waiting = sum(map(len, accumulator[1:]))
    enough = accumulator and n_waiting > max(_BYTES_WAITING, len(accumulator[0]))
    return AddPartialCounts().compact(accumulator) if enough else accumulator


class FieldsToShard(beam.DoFn):
    """Block, partial counts -> one written shard, as (split, FileEntry); in the grid's order."""

    def __init__(self, folder: str, sightlines: SkyGrid, views: Sequence[SurveyView]) -> None:
        self._folder, self._sightlines, self._views = folder, sightlines, views

    def process(self, element: tuple[int, Any]) -> Iterator[tuple[str, FileEntry]]:
        block, partial = element
        name = shards.shard_name(SPLIT, block, _n_shards(self._sightlines))
        examples = block_to_examples(block, partial, self._sightlines, self._views)
        yield SPLIT, shards.write_shard(self._folder, name, examples)


def block_to_examples(
    block: int, partial: Any, sightlines: SkyGrid, views: Sequence[SurveyView]
) -> Iterator[bytes]:
    """Serialize the fields of a block.

    Yields
    ------
    bytes
    """
    first = block * FIELDS_PER_SHARD
    n_fields = min(FIELDS_PER_SHARD, sightlines.n_sightlines - first)
    for index, surveys in enumerate(block_to_field_counts(partial, views, n_fields), first):
        l_deg, b_deg = sightlines.center_deg(index)
        yield field_to_example(surveys, sightline_name(l_deg, b_deg), l_deg, b_deg)


def _n_shards(sightlines):
    return shards.n_shards_for(sightlines.n_sightlines, FIELDS_PER_SHARD)


def build(
    pipeline: beam.Pipeline,
    config: Config,
    tables: Sequence[tuple[int, str]],
    readings: Sequence[Reading],
    folder: str,
) -> beam.PCollection:
    """Apply the job's transforms to a pipeline that writes into `folder`."""
    counted = (
        pipeline
        | "List tables" >> beam.Create(tables)
        | "Spread over workers" >> beam.Reshuffle()
        | "Read and count stars"
        >> beam.ParDo(CountTable(config, readings)).with_outputs("report", main="blocks")
    )
    nothing = pack_partial_counts(add_partial_counts([]))
    empty = [(block, nothing) for block in range(_n_shards(config.sightlines))]
    entries = (
        (counted.blocks, pipeline | "List all blocks" >> beam.Create(empty))
        | "Add empty blocks" >> beam.Flatten()
        | "Add partial counts" >> beam.CombinePerKey(AddPartialCounts())
        | "Write shards" >> beam.ParDo(FieldsToShard(folder, config.sightlines, config.views))
    )
    report = counted.report | "Add row counts" >> beam.CombineGlobally(add_reports)
    return entries | "Write manifest" >> shards.WriteManifest(
        folder, "survey", config, report=beam.pvalue.AsSingleton(report), check=check_not_empty
    )


def check_not_empty(manifest: Manifest) -> None:
    """Raise DataError if not one star was counted."""
    report = manifest.report
    where, _ = manifest.config.sightlines.summary()
    if report["counted"]:
        return
    tables, rows = _number(report["tables"], "table"), _number(report["rows"], "row")
    said = [f"no star was counted ({where}): {tables} with {rows}"]
    if report["in_no_field"]:
        n, extent = _number(report["in_no_field"], "star"), extent_text(report["extent_deg"])
        said.append(f"{n} elsewhere, at {extent}")
    if report["rejected"]:
        reasons = sorted(report["rejected"].items(), key=lambda item: -item[1])
        said.append(f"rows left out: {', '.join(f'{reason} ({n:,})' for reason, n in reasons)}")
    raise DataError("; ".join(said))


def _number(n, noun):
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def make_records(
    config: Config,
    inputs: Sequence[str] | Mapping[str, Sequence[str]],
    out: str,
    reading: Reading | Mapping[str, Reading] = AS_IT_IS,
    overwrite: bool = False,
    beam_argv: Sequence[str] = (),
) -> Manifest:
    """Run the job.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
    inputs : sequence of str, or mapping of str to sequence of str
        Tables of the first survey, or of several by their keys, as paths or patterns. No star may be in two
        tables of a survey: it would count twice. A survey without tables covers no field.
    out : str
        The records folder to make, on any of Beam's file systems.
    reading : extmap_tf.catalogs.survey_tables.Reading, or mapping of str to Reading
        Of all tables, or by the keys of the surveys.
    overwrite : bool
    beam_argv : sequence of str
        Pipeline options of Beam.

    Returns
    -------
    extmap_tf.records.manifest.Manifest
        As written; its report says what became of the rows.
    """
    keys = [survey.key for survey in config.surveys]
    given = inputs if isinstance(inputs, Mapping) else {keys[0]: inputs}
    if unknown := [key for key in given if key not in keys]:
        raise ConfigError(f"no survey {unknown[0]!r} in the configuration; it has {', '.join(keys)}")
    check_start(beam_argv, out, *(path for paths in given.values() for path in paths))
    tables = [(keys.index(key), path) for key, paths in given.items() for path in match_tables(paths)]
    for key in keys:
        if key not in given:
            logger.warning("no table of %s: its coverage is 0 in all fields", key)
    readings = [reading.get(key, AS_IT_IS) if isinstance(reading, Mapping) else reading for key in keys]
    with whole_folder(out, overwrite) as folder:
        progress = progress_of_files(
            folder,
            "all-*.tfrecord.gz",
            _n_shards(config.sightlines),
            f"survey ({_number(len(tables), 'table')}, {_number(config.sightlines.n_sightlines, 'field')})",
        )
        run(lambda pipeline: build(pipeline, config, tables, readings, folder), list(beam_argv), progress)
    return open_manifest(out)
