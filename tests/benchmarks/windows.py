"""Windows of distance on held-out pairs: errors and honesty of A(d2) - A(d1), and spectra along the sight.

    python tests/benchmarks/windows.py RECORDS [MODEL] [--json FILE]

with mock RECORDS like those that MODEL was trained on. Samples are the model's own: whole profiles.
"""

import argparse

import numpy as np

from extmap_tf.evaluation.metrics import write_json
from extmap_tf.evaluation.spectrum import spectrum
from extmap_tf.evaluation.windows import window_scores
from extmap_tf.quiet import start_tensorflow
from extmap_tf.records.manifest import Records
from extmap_tf.text_tables import aligned

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
            parse_examples(batch, config.diagrams[0], "mocks", config.distance.n_distances)["density"].numpy()
        )
    return np.concatenate(samples), np.concatenate(truth)


def _cells(row, n_exact, left_out=()):
    """The numbers of a row: the first few as they are, the others with four digits."""
    values = [value for name, value in row.to_dict().items() if name not in left_out]
    return [f"{value:g}" if i < n_exact else f"{value:.4f}" for i, value in enumerate(values)]


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
    header = [("lag", "kpc"), ("from", "kpc"), ("to", "kpc"), ("truth", "mag"), ("error", "mag")]
    header += [("bias", "mag"), ("CRPS", "mag"), ("in 68 %", ""), ("in 90 %", "")]
    print(aligned(header, [_cells(row, 3, ("n",)) for row in windows]))
    bands = spectrum(samples, truth, step_kpc)
    header = [("longest", "kpc"), ("shortest", "kpc"), ("samples", "/ truth"), ("median", "/ truth")]
    print("", aligned([*header, ("coherence", "")], [_cells(row, 2) for row in bands]), sep="\n")
    if args.json:
        rows = {"windows": windows, "spectrum": bands}
        write_json({k: [row.to_dict() for row in v] for k, v in rows.items()}, args.json, overwrite=True)


if __name__ == "__main__":
    main()
