"""The part of `beam_jobs.graphs.score_to_map` that refines a network's answers by the likelihood."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_jobs import stores
from beam_jobs.graphs.estimating import SavedModelHandler, read_shard
from extmap_tf.extinction.law import blue_over_red
from extmap_tf.fit.offsets import RegionOffsets
from extmap_tf.fit.refining import Refiner, Seen, losses_mag, usable, with_offsets
from extmap_tf.fit.tables import RegionTable
from extmap_tf.map.provenance import Provenance
from extmap_tf.settings.config import Config

if TYPE_CHECKING:
    from extmap_tf.model.scoring import Scorer

_TABLE_NAME = "expected.npz"
# So many fields tell how much depth is lost to crowding.
_CANDIDATES = 144


@dataclass(frozen=True)
class Refine:
    """How to refine.

    Parameters
    ----------
    offsets_path : str, optional
        A file of offsets of the region; without one they are as uncertain as in training.
    law : (float, float), optional
        Mean and standard deviation of A(blue)/A(red); those of the training otherwise.
    """

    offsets_path: str | None = None
    law: tuple[float, float] | None = None

    def believed(self, config: Config) -> Config:
        """The configuration with the law as it is believed."""
        if self.law is None:
            return config
        mean = self.law[0] - blue_over_red(config.law, config.survey)
        changed = {"nuisances.law_ratio_mean": mean, "nuisances.law_ratio_sigma": self.law[1]}
        return config.replace(**changed)


@dataclass(frozen=True)
class Refinement:
    """What workers need to know to refine.

    Parameters
    ----------
    table : str
        Path of the table of expected diagrams.
    config : extmap_tf.settings.config.Config
        Of the model, with the law as it is believed.
    offsets : RegionOffsets
    """

    table: str
    config: Config
    offsets: RegionOffsets

    def told_in(self, provenance: Provenance) -> Provenance:
        """The provenance of a map that says what it was refined with, its law first."""
        ratio, error = self.offsets.blue_over_red(self.config)
        return dataclasses.replace(
            provenance, offsets=self.offsets.text(), blue_over_red=ratio, law_ratio_sigma=error
        )


@dataclass
class _Both:
    scorer: "Scorer"
    refiner: Refiner


class RefiningHandler(SavedModelHandler):
    """As `SavedModelHandler`, and refines what the model says.

    Parameters
    ----------
    folder, config, n_samples, trust_model
        As for `SavedModelHandler`.
    refinement : Refinement
    """

    def __init__(
        self, folder: str, config: Config, n_samples: int, trust_model: bool, refinement: Refinement
    ) -> None:
        super().__init__(folder, config, n_samples, trust_model)
        self._refinement = refinement

    def load_model(self) -> Any:
        refinement = self._refinement
        with stores.local_copy(refinement.table) as path:
            table = RegionTable.read(path, refinement.config)
        return _Both(super().load_model(), Refiner(refinement.config, table, refinement.offsets))

    def _estimate_of(self, model, examples, **facts):
        assert self._config is not None
        estimate = model.refiner.refine(seen_of(model.scorer, examples, self._config))
        if not self._n_samples:
            return dataclasses.replace(estimate, samples=None), facts
        return dataclasses.replace(estimate, samples=estimate.samples[:, : self._n_samples]), facts


def seen_of(scorer: "Scorer", examples: Sequence[bytes], config: Config) -> Seen:
    """Fields of serialized survey records, and what a model says of them."""
    import tensorflow as tf

    from extmap_tf.records.example import parse_examples

    parsed = parse_examples(tf.constant(list(examples)), config.views)
    facts = {name: parsed[name].numpy() for name in ("counts", "l_deg", "b_deg", "coverage")}
    samples = scorer.sample_examples(examples, config, config.seed)
    return Seen(**facts, estimate=scorer.score_examples(examples), samples=samples)


def prepare(
    handler: SavedModelHandler,
    config: Config,
    shards: Sequence[tuple[int, str]],
    n_fields: int,
    folder: str,
    refine: Refine,
) -> Refinement:
    """Read the region's offsets, or take those of training, and make the table that has them.

    Parameters
    ----------
    handler : SavedModelHandler
        Of the model.
    config : extmap_tf.settings.config.Config
        Of the model.
    shards : sequence of (int, str)
        Index of the first field, and path, of each shard of the records.
    n_fields : int
        In all of them.
    folder : str
        For the table.
    refine : Refine
    """
    seen, config = _spread(handler, config, shards, n_fields), refine.believed(config)
    offsets = RegionOffsets.of_prior(config.nuisances)
    if refine.offsets_path:
        offsets = RegionOffsets.read(refine.offsets_path, config.nuisances)
    table = with_offsets(config, offsets, losses_mag(config, seen))
    path = stores.join(folder, _TABLE_NAME)
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
        table.write(stream, config)
    return Refinement(path, config, offsets)


def _spread(handler, config, shards, n_fields):
    """Fields that can be refined, spread over all."""
    scorer = handler.load_model()
    wanted = np.unique(np.linspace(0, n_fields - 1, _CANDIDATES).round().astype(int))
    ends = [first for first, _ in shards[1:]] + [n_fields]
    examples = []
    for shard, end in zip(shards, ends, strict=True):
        if ((wanted >= shard[0]) & (wanted < end)).any():
            for first, batch in read_shard(shard, config.views):
                here = wanted[(wanted >= first) & (wanted < first + len(batch["examples"]))]
                examples += [batch["examples"][i - first] for i in here]
    seen = seen_of(scorer, examples, config)
    return seen[usable(seen) & (seen.estimate.flag == 0)]
