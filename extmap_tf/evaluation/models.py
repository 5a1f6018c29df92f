"""Errors of a model on mock records, whose profiles are known."""

import numpy as np

from extmap_tf.errors import DataError
from extmap_tf.estimate import ProfileEstimate
from extmap_tf.evaluation.metrics import MOST_WITH_SAMPLES, Evaluation, evaluate, with_structure
from extmap_tf.extinction.profiles import density_to_cumulative
from extmap_tf.files import PathLike
from extmap_tf.model.checks import require_fit
from extmap_tf.model.scoring import BATCH_SIZE, Scorer
from extmap_tf.model.versions import find_saved_model
from extmap_tf.records.dataset import corruption_named, evaluation_dataset
from extmap_tf.records.manifest import Records
from extmap_tf.settings.identity import require_same


def evaluate_model(
    path: PathLike, records: Records, split: str = "test", trust_model: bool = False
) -> Evaluation:
    """Errors of a SavedModel on mock records.

    Parameters
    ----------
    path : path-like
        As `find_saved_model` takes it.
    records : extmap_tf.records.manifest.Records
        Of kind "mocks".
    split : str
    trust_model : bool
        As `extmap_tf.model.scoring.Scorer` takes it.

    Returns
    -------
    extmap_tf.evaluation.metrics.Evaluation
    """
    if records.manifest.kind != "mocks":
        raise DataError(
            f"{records.path}: survey records carry no profiles to compare with; give mock records"
        )
    folder, card = find_saved_model(path)
    require_fit(card, str(folder), records.manifest, records.path)
    config = records.manifest.config
    require_same(
        "profile target", card.config.target, f"model {folder}", config.target, f"records {records.path}"
    )
    scorer = Scorer(folder, trust_model)
    n_scored, truth, estimates, n_stars, samples = 0, [], [], [], []
    with corruption_named(records.path, records):
        for inputs, density in evaluation_dataset(records, split, BATCH_SIZE):
            estimates.append(scorer.score_counts(**inputs))
            # The order of records is that of a hash: the first are like all.
            if n_scored < MOST_WITH_SAMPLES:
                drawn = scorer.sample_counts(**inputs, seed=config.seed)
                samples.append(density_to_cumulative(drawn, config.distance.step_kpc))
            truth.append(density.numpy())
            n_scored += len(truth[-1])
            n_stars.append(inputs["counts"].numpy().sum(axis=(1, 2)))
    true = ProfileEstimate.of_density(np.concatenate(truth), config.distance.step_kpc)
    found = evaluate(
        true,
        ProfileEstimate.concatenate(estimates),
        np.concatenate(n_stars),
        config.distance,
        config.survey.red.name,
    )
    drawn = np.concatenate(samples)
    return with_structure(found, drawn, true.extinction_median[: len(drawn)], config.distance)
