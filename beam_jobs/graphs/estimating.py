"""The part of `beam_jobs.graphs.score_to_map` that reads records and asks a SavedModel."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from apache_beam.ml.inference.base import ModelHandler

from beam_jobs import stores
from extmap_tf.program import unless_stopped
from extmap_tf.quiet import start_tensorflow
from extmap_tf.settings.config import Config
from extmap_tf.settings.survey import SurveyView

if TYPE_CHECKING:
    from extmap_tf.model.scoring import Scorer


class SavedModelHandler(ModelHandler[dict, tuple, object]):
    """RunInference over the ``examples`` signature of a SavedModel.

    Its elements are batches, as `read_shard` makes them, so that all that follows handles arrays.

    Parameters
    ----------
    folder : str
        A version folder.
    config : extmap_tf.settings.config.Config
        Of the model.
    n_samples : int
        Profiles to draw for each field.
    trust_model : bool
        As `extmap_tf.model.scoring.Scorer` takes it.
    """

    def __init__(
        self, folder: str, config: Config | None = None, n_samples: int = 0, trust_model: bool = False
    ) -> None:
        super().__init__()
        self._folder = folder
        self._config = config
        self._n_samples = n_samples
        self._trust_model = trust_model

    def load_model(self) -> "Scorer":
        start_tensorflow()
        from extmap_tf.model.scoring import Scorer

        # It is read whole: what was copied from an object store is not needed any more.
        with stores.local_copy(self._folder) as folder:
            return Scorer(folder, self._trust_model)

    def run_inference(
        self, batch: Sequence[dict], model: Any, inference_args: dict[str, Any] | None = None
    ) -> list[tuple]:
        return [self._estimate_of(model, **fields) for fields in batch]

    def _estimate_of(self, model, examples, **facts):
        estimate = model.score_examples(examples)
        if self._n_samples:
            assert self._config is not None
            density = model.sample_examples(examples, self._config, self._config.seed)
            estimate = estimate.with_samples(density[:, : self._n_samples], self._config.distance.step_kpc)
        return estimate, facts

    def get_num_bytes(self, batch: Sequence[dict]) -> int:
        return sum(len(example) for fields in batch for example in fields["examples"])

    def batch_elements_kwargs(self) -> dict[str, int]:
        return {"min_batch_size": 1, "max_batch_size": 1}


def read_shard(shard: tuple[int, str], views: Sequence[SurveyView]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(first index, path) of a shard -> batches of its fields.

    Parameters
    ----------
    shard : (int, str)
    views : sequence of extmap_tf.settings.survey.SurveyView
        The surveys of the records.

    Yields
    ------
    (int, dict)
        Index of the first field, and of each: examples, the serialized records [n], n_stars and coverage [n].
    """
    start_tensorflow()
    from extmap_tf.model.scoring import BATCH_SIZE
    from extmap_tf.records.dataset import corruption_named, serialized_examples
    from extmap_tf.records.example import parse_field_facts

    first, path = shard
    with stores.local_copy(path) as local, corruption_named(path):
        for batch in unless_stopped(serialized_examples([local]).batch(BATCH_SIZE).prefetch(1)):
            facts = {name: value.numpy() for name, value in parse_field_facts(batch, views).items()}
            examples = batch.numpy().tolist()
            yield first, {"examples": examples, **facts}
            first += len(examples)
