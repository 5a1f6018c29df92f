"""``extmap-tf evaluate``."""

import contextlib

from extmap_tf import __version__
from extmap_tf.formats import EVALUATION
from extmap_tf.options import add_model, add_numbers_and_figures
from extmap_tf.program import Command
from extmap_tf.quiet import start_tensorflow


def _add_options(parser):
    add_model(parser, "SavedModel of 'export'")
    parser.add_argument("--records", help="mock records")
    parser.add_argument("--split", default="test", help="split of the records to use (default: %(default)s)")
    parser.add_argument("--map", help="map of 'score'")
    parser.add_argument("--truth", help="true map, such as the demo's truth.fits")
    add_numbers_and_figures(parser)


def _run(args):
    by_model, by_map = (args.model, args.records), (args.map, args.truth)
    if not (all(by_model) and not any(by_map)) and not (all(by_map) and not any(by_model)):
        args.parser.error("give either --model and --records, or --map and --truth")
    from extmap_tf.evaluation import metrics
    from extmap_tf.files import whole_file

    # Looked at before the work, which may take long, so that what cannot be written is known at once.
    if args.figures:
        from extmap_tf.figures.evaluation import NAMES
        from extmap_tf.figures.style import figure_paths

        figure_paths(NAMES, args.figures, args.format, args.overwrite)
    with whole_file(args.out, overwrite=args.overwrite) if args.out else contextlib.nullcontext() as stream:
        evaluation = _evaluation(args)
        print(metrics.format_evaluation(evaluation))
        if args.figures:
            from extmap_tf.figures.evaluation import draw_evaluation

            draw_evaluation(evaluation, args.figures, args.format, args.overwrite)
        if stream:
            about = {
                "format": EVALUATION,
                "software_version": __version__,
                "of": [str(name) for name in (*by_model, *by_map) if name],
            }
            if args.model:
                from extmap_tf.model.versions import find_saved_model

                about["model_digest"] = find_saved_model(args.model)[1].digest
            stream.write(metrics.json_text(about | evaluation.to_dict()))


def _evaluation(args):
    if args.model:
        from extmap_tf.model.checks import require_fit
        from extmap_tf.model.versions import find_saved_model
        from extmap_tf.records.manifest import Records

        records, (folder, card) = Records.open(args.records), find_saved_model(args.model)
        require_fit(card, str(folder), records.manifest, records.path)
        start_tensorflow()
        from extmap_tf.evaluation.models import evaluate_model

        return evaluate_model(args.model, records, args.split, args.trust_model)
    from extmap_tf.evaluation.metrics import compare_maps
    from extmap_tf.map.volume import ExtinctionMap

    return compare_maps(ExtinctionMap.read(args.map), ExtinctionMap.read(args.truth))


COMMAND = Command(
    "evaluate",
    "Measure the errors of a model on held-out mocks, or of a map against a known truth.",
    _add_options,
    _run,
)
