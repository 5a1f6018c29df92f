"""The direct fit and a network on the same held-out pairs: errors, calibration, time.

Command: ``python tests/benchmarks/direct_fit.py RECORDS [--model MODEL] [--pairs N] [--json FILE]
[--figure FILE]`` with mock RECORDS and a SavedModel of 'extmap-tf export' that was trained on their training
split. It prints the mean absolute error of the cumulative extinction of both at 1, 2, 3, 5, 8 and 10 kpc and
their ratio, the calibration of what states a distribution, and the time per sightline: of the fit with and
without its table of expected CMDs, and of the model in one batch after a first call.
"""

import argparse
import time

from extmap_tf.evaluation import metrics
from extmap_tf.evaluation.calibration import format_calibration
from extmap_tf.quiet import start_tensorflow
from extmap_tf.records.manifest import Records
from extmap_tf.text_tables import aligned


def compare(evaluations):
    """Mean absolute errors by distance, and of two evaluations their ratio, as aligned text."""
    header = [("distance", "kpc"), ("mean truth", "mag"), *((name, "mag") for name in evaluations)]
    lines = []
    for rows in zip(*(evaluation.overall for evaluation in evaluations.values()), strict=True):
        errors = [row.mean_absolute_error_mag for row in rows]
        line = [f"{rows[0].distance_kpc:g}", f"{rows[0].mean_truth_mag:.3f}", *(f"{e:.4f}" for e in errors)]
        lines.append(line + ([f"{errors[1] / errors[0]:.2f}"] if len(errors) > 1 else []))
    return aligned(header + ([("model / fit", "")] if len(evaluations) > 1 else []), lines)


def draw(path, evaluations):
    """Errors of both against distance."""
    from dataclasses import replace

    from extmap_tf.figures.evaluation import errors_against_distance
    from extmap_tf.figures.style import save

    rows = [
        replace(row, group=name) for name, evaluation in evaluations.items() for row in evaluation.overall
    ]
    save(errors_against_distance(rows), path, overwrite=True, dpi=120)


def model_seconds(path, fits):
    """Seconds a CMD of a model that has been called before, in one batch."""
    from extmap_tf.model.scoring import Scorer, find_saved_model

    scorer = Scorer(find_saved_model(path)[0])
    scorer.score_counts(fits.counts, fits.l_deg, fits.b_deg)
    start = time.perf_counter()
    scorer.score_counts(fits.counts, fits.l_deg, fits.b_deg)
    return (time.perf_counter() - start) / len(fits.names)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records")
    parser.add_argument("--model")
    parser.add_argument("--pairs", type=int, default=180)
    parser.add_argument("--json")
    parser.add_argument("--figure")
    args = parser.parse_args()
    start_tensorflow()
    from extmap_tf.fit.fitting import fit_records
    from extmap_tf.report.fits import evaluation_of

    records = Records.open(args.records)
    fits = fit_records(records, n_pairs=args.pairs, model=args.model)
    evaluations = {"direct fit": evaluation_of(fits, fits.fitted.profiles)}
    if args.model:
        evaluations["model"] = evaluation_of(fits, fits.model)
    print(compare(evaluations))
    for name, evaluation in evaluations.items():
        rows = [row for row in evaluation.calibration if row.group == "all"]
        print(f"\n{name}:", format_calibration(rows) if rows else "states no distribution", sep="\n")
    n = len(fits.names)
    print(f"\ndirect fit: {fits.seconds['fits'] / n:.2f} s a sightline, {n} pairs")
    print(f"its tables: {fits.seconds['tables'] / fits.n_tables:.1f} s for each of {fits.n_tables}")
    if args.model:
        print(f"model: {1000 * model_seconds(args.model, fits):.2f} ms a sightline")
    if args.json:
        numbers = {name: evaluation.to_dict() for name, evaluation in evaluations.items()}
        metrics.write_json(numbers | {"seconds": fits.seconds, "pairs": n}, args.json, overwrite=True)
    if args.figure:
        draw(args.figure, evaluations)


if __name__ == "__main__":
    main()
