"""``extmap-tf fit``."""

import sys

from extmap_tf.errors import ConfigError
from extmap_tf.formats import FIT_NAME
from extmap_tf.options import add_model, add_out, add_sightlines, chosen_sightlines
from extmap_tf.program import Command
from extmap_tf.quiet import start_tensorflow


def _add_options(parser):
    parser.add_argument("--records", required=True, help="folder of 'records survey' or 'records mocks'")
    add_sightlines(parser, "for survey records: field to fit, in degrees; may be repeated")
    parser.add_argument(
        "--pairs",
        type=int,
        default=20,
        metavar="N",
        help="for mock records: number of pairs to fit (default: 20)",
    )
    parser.add_argument(
        "--split", default="test", help="for mock records: split to use (default: %(default)s)"
    )
    add_model(parser, "SavedModel of 'export' to compare with")
    parser.add_argument(
        "--fields",
        type=float,
        default=64.0,
        metavar="N",
        help="fields of model stars behind the expected CMD (default: 64)",
    )
    parser.add_argument(
        "--iterations", type=int, default=40, metavar="N", help="most steps of the fit (default: %(default)s)"
    )
    add_out(parser, "folder to make: fit.json, profiles.ecsv, figures")


def _run(args):
    from extmap_tf.files import refuse_existing
    from extmap_tf.model.checks import require_fit
    from extmap_tf.model.versions import find_saved_model
    from extmap_tf.records.manifest import Records

    refuse_existing(args.out, args.overwrite, FIT_NAME)
    records, sightlines = Records.open(args.records), chosen_sightlines(args)
    if records.manifest.kind == "survey" and not sightlines:
        raise ConfigError(
            f"{args.records} holds the fields of a survey: name those to fit by --sightline L,B"
        )
    if args.model:
        folder, card = find_saved_model(args.model)
        require_fit(card, str(folder), records.manifest, records.path)
    start_tensorflow()
    from extmap_tf.evaluation import metrics
    from extmap_tf.fit.fitting import fit_records
    from extmap_tf.report.fits import evaluation_of, write_fits

    fits = fit_records(
        records,
        sightlines,
        args.pairs,
        args.split,
        args.model,
        args.fields,
        args.iterations,
        echo=lambda line: print(line, file=sys.stderr, flush=True),
        trust_model=args.trust_model,
    )
    about = {"of": [str(name) for name in (args.records, args.model) if name]}
    write_fits(fits, args.out, about, args.overwrite)
    if fits.density is not None:
        print("Direct fit:", metrics.format_evaluation(evaluation_of(fits, fits.fitted.profiles)), sep="\n")
        if fits.model:
            print("\nModel:", metrics.format_evaluation(evaluation_of(fits, fits.model)), sep="\n")
    n = len(fits.names)
    for name, seconds in fits.seconds.items():
        print(f"{name}: {seconds:.1f} s, {seconds / n:.3g} s a CMD")
    print(f"done: {args.out}/profiles.ecsv, {args.out}/{FIT_NAME}")


COMMAND = Command(
    "fit",
    "Fit single CMDs with the exact forward model, without a network: survey records by sightline, mock "
    "records against their true profiles. This is slow, and a check on networks.",
    _add_options,
    _run,
)
