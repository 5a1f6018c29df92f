"""Windows of distance on held-out pairs: errors and honesty of A(d2) - A(d1), and spectra along the sight.

    python tests/benchmarks/windows.py RECORDS [MODEL] [--json FILE]

with mock RECORDS like those that MODEL was trained on. Samples are the model's own: whole profiles.
"""

import argparse

import numpy as np

from extmap_tf.evaluation.metrics import write_json
from extmap_tf.evaluation.spectrum import format_spectrum, spectrum
from extmap_tf.evaluation.windows import format_windows, window_scores
from extmap_tf.quiet import start_tensorflow
from extmap_tf.records.manifest import Records

RANGES_KPC = ((0.0, np.inf), (0.0, 2.0), (2.0, 5.0), (5.0, np.inf))
SEEDS = (1, 2)


def samples_and_truth(records, model):
    """Samples [n, n_samples, n_distances] and truths [n, n_distances] of the test pairs, mag / kpc."""
    from extmap_tf.model.scoring import BATCH_SIZE, Scorer
    from extmap_tf.model.versions import find_saved_model
    from extmap_tf.records.dataset import serialized_examples
    from extmap_tf.records.example import parse_examples

    config = records.manifest.config
    folder, card = find_saved_model(model)
    scorer, samples, truth = Scorer(folder), [], []
    for batch in serialized_examples(records.shard_paths("test")).batch(BATCH_SIZE):
        drawn = [scorer.sample_examples(batch.numpy(), card.config, seed) for seed in SEEDS]
        samples.append(np.concatenate(drawn, axis=1))
        truth.append(
            parse_examples(batch, config.views, "mocks", config.distance.n_distances)["density"].numpy()
        )
    return np.concatenate(samples), np.concatenate(truth)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records")
    parser.add_argument("model", nargs="?", default="carina")
    parser.add_argument("--json")
    args = parser.parse_args()
    start_tensorflow()
    records = Records.open(args.records)
    step_kpc = records.manifest.config.distance.step_kpc
    samples, truth = samples_and_truth(records, args.model)
    windows = window_scores(samples, truth, step_kpc, ranges_kpc=RANGES_KPC)
    bands = spectrum(samples, truth, step_kpc)
    print(format_windows(windows), format_spectrum(bands), sep="\n\n")
    if args.json:
        rows = {"windows": windows, "spectrum": bands}
        write_json({k: [row.to_dict() for row in v] for k, v in rows.items()}, args.json, overwrite=True)


if __name__ == "__main__":
    main()
