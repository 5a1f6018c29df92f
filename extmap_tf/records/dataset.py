"""Records as a tf.data.Dataset."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from extmap_tf.errors import DataError
from extmap_tf.files import PathLike
from extmap_tf.grids.squares import sightline_name
from extmap_tf.records.example import parse_examples
from extmap_tf.records.manifest import Records
from extmap_tf.settings.survey import SurveyView
from extmap_tf.settings.training import TrainingConfig

COMPRESSION = "GZIP"
_READERS = 4


def dataset_options() -> tf.data.Options:
    """Fixed parallelism, order and sharding.

    Autotuning is off: its teardown can block an iterator for a second. Auto-sharding is off: under a
    single-host strategy every replica takes its share of each batch.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options


def serialized_examples(paths: Iterable[PathLike]) -> tf.data.Dataset:
    """The examples of some shards, in order, unparsed."""
    examples = tf.data.TFRecordDataset(paths, compression_type=COMPRESSION, buffer_size=1 << 20)
    return examples.with_options(dataset_options())


def training_dataset(
    records: Records, training: TrainingConfig, seed: int, first_epoch: int = 0
) -> tf.data.Dataset:
    """Endless batches for training; what an epoch holds depends on the seed and its number alone.

    Parameters
    ----------
    records : extmap_tf.records.manifest.Records
    training : extmap_tf.settings.training.TrainingConfig
    seed : int
    first_epoch : int
        Number of the epoch to begin with, so that a resumed training sees what an unbroken one would.

    Returns
    -------
    tf.data.Dataset
        Of (inputs, density [batch, n_distances]); `steps_per_epoch` batches make an epoch.
    """
    paths = records.shard_paths("train")
    steps = steps_per_epoch(records, training)

    def epoch(number):
        order = tf.random.experimental.stateless_shuffle(
            tf.constant(paths), seed=tf.stack([tf.cast(seed % 2**31, tf.int64), number])
        )
        examples = tf.data.Dataset.from_tensor_slices(order).interleave(
            serialized_examples, cycle_length=_READERS, num_parallel_calls=_READERS, deterministic=True
        )
        examples = examples.shuffle(training.shuffle_buffer, seed=seed + number)
        return examples.batch(training.batch_size, drop_remainder=True).take(steps)

    epochs = tf.data.Dataset.counter(start=first_epoch).flat_map(epoch)
    parsed = _parsed(epochs, records.manifest.config)
    if len(records.manifest.config.views) > 1 and training.dropped_share:
        parsed = _dropping(
            parsed, records.manifest.config.views, training.dropped_share, seed, first_epoch * steps
        )
    return parsed.with_options(dataset_options())


def steps_per_epoch(records: Records, training: TrainingConfig) -> int:
    """Full batches in one pass over the training split."""
    n = records.manifest.n_examples("train")
    steps = n // training.batch_size
    if steps == 0:
        raise DataError(
            f"{records.path}: {n} training pairs do not fill one batch of {training.batch_size}; "
            "make more pairs or choose a smaller training.batch_size"
        )
    return steps


def evaluation_dataset(records: Records, split: str, batch_size: int = 512) -> tf.data.Dataset:
    """One ordered pass over a split of mock records, of (inputs, density)."""
    examples = serialized_examples(records.shard_paths(split)).batch(batch_size)
    n_batches = -(-records.manifest.n_examples(split) // batch_size)
    examples = examples.apply(tf.data.experimental.assert_cardinality(n_batches))
    return _parsed(examples, records.manifest.config)


def without_a_survey(
    inputs: Mapping[str, tf.Tensor], views: Sequence[SurveyView], share: float, seed: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Inputs of a network with one survey, chosen at random, taken out of a share of the rows.

    Parameters
    ----------
    inputs : mapping of str to tf.Tensor [batch, ...]
    views : sequence of extmap_tf.settings.survey.SurveyView
    share : float
    seed : tf.Tensor of int64 [2]
        Decides which.

    Returns
    -------
    dict of str to tf.Tensor
        Where a survey is out its counts and its coverage are 0.
    """
    uniform = tf.random.stateless_uniform([tf.shape(inputs["l_deg"])[0]], seed)
    # Of the share, equal parts for each survey; beyond it no survey has this number.
    number = tf.cast(uniform * (len(views) / share), tf.int32)
    found = dict(inputs)
    for i, view in enumerate(views):
        kept = number != i
        for name in (view.named("coverage"), *(diagram.name for diagram in view.diagrams)):
            rows = tf.reshape(kept, [-1] + [1] * (inputs[name].shape.rank - 1))
            found[name] = tf.where(rows, inputs[name], 0.0)
    return found


@contextlib.contextmanager
def corruption_named(path: PathLike, records: Records | None = None) -> Iterator[None]:
    """Turn TensorFlow's errors on damaged records into one that names the file.

    With checksums at hand only what they prove is called damage; any other error passes as it is.

    Parameters
    ----------
    path : path-like
        What is read, for the message.
    records : extmap_tf.records.manifest.Records, optional
        Where `path` is a whole folder: its checksums tell which file it is.
    """
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        if records:
            records.verify()
            raise
        reason = error.message.splitlines()[0]
        raise DataError(f"{path}: corrupted ({reason}); make the records again") from None


def _parsed(batches, config):
    @tf.autograph.experimental.do_not_convert
    def parse(serialized):
        parsed = parse_examples(serialized, config.views, "mocks", config.distance.n_distances)
        return {name: parsed[name] for name in config.input_names}, parsed["density"]

    return batches.map(parse, num_parallel_calls=2, deterministic=True).prefetch(2)


def _dropping(batches, views, share, seed, first_batch):
    """Batches of `_parsed` with a survey taken out of some rows; which ones, follows from seed and number."""

    @tf.autograph.experimental.do_not_convert
    def drop(number, batch):
        inputs, density = batch
        seeds = tf.stack([tf.constant(seed, tf.int64), number])
        return without_a_survey(inputs, views, share, seeds), density

    numbered = tf.data.Dataset.zip(tf.data.Dataset.counter(start=first_batch), batches)
    return numbered.map(drop, num_parallel_calls=1, deterministic=True)


def survey_fields(records: Records, sightlines: Iterable[tuple[float, float]]) -> dict[str, np.ndarray]:
    """The fields of survey records that are nearest to some places.

    Parameters
    ----------
    records : extmap_tf.records.manifest.Records
    sightlines : sequence of (float, float)
        (l, b) in degrees.

    Returns
    -------
    dict of str to ndarray
        Of `extmap_tf.records.example.parse_examples`, a row for each of `sightlines`.

    Raises
    ------
    DataError
        A place is outside the records' grid, or its field is not in the records.
    """
    config = records.manifest.config
    l_deg, b_deg = np.array(sightlines, float).T
    index = config.sightlines.sightline_of(l_deg, b_deg)
    for l, b, i in zip(l_deg, b_deg, index, strict=True):
        if i < 0:
            raise DataError(f"sightline l = {l:g}, b = {b:g} is outside the records' grid")
    wanted = [sightline_name(*config.sightlines.center_deg(int(i))).encode() for i in index]
    paths = [path for split in records.manifest.splits for path in records.shard_paths(split)]
    found = {}
    with corruption_named(records.path, records):
        for serialized in serialized_examples(paths).batch(512):
            parsed = parse_examples(serialized, config.views)
            parsed = {name: value.numpy() for name, value in parsed.items()}
            for row in np.flatnonzero(np.isin(parsed["sightline"], wanted)):
                found[parsed["sightline"][row]] = {name: value[row] for name, value in parsed.items()}
    missing = [name.decode() for name in wanted if name not in found]
    if missing:
        raise DataError(f"{records.path}: no field {missing[0]} in these records: make them again")
    return {name: np.stack([found[place][name] for place in wanted]) for name in found[wanted[0]]}
