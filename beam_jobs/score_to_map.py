"""``extmap-tf score``, also as ``python -m beam_jobs.score_to_map``."""

from beam_jobs import start_beam
from beam_jobs.early import is_local, require_samples
from extmap_tf.errors import ConfigError
from extmap_tf.options import add_model, add_out
from extmap_tf.program import Command, run_command
from extmap_tf.quiet import start_tensorflow


def _add_options(parser):
    parser.add_argument("--records", required=True, help="folder of 'records survey'")
    add_model(parser, "SavedModel of 'export'", required=True)
    add_out(parser, "map to make (FITS)")
    parser.add_argument(
        "--samples", type=int, default=0, metavar="N", help="also keep N sampled profiles a field (up to 32)"
    )
    parser.add_argument(
        "--walls",
        action="store_true",
        help="also keep the smallest wall of dust that would be found in each field, by distance",
    )
    parser.add_argument(
        "--refine",
        action="store_true",
        help="a trial: refine by the likelihood of each field's diagram (much slower)",
    )
    parser.add_argument(
        "--offsets",
        metavar="FILE",
        help="with --refine: offsets of the region (JSON); without, they are as uncertain as in training",
    )
    parser.add_argument(
        "--law",
        metavar="RATIO,SIGMA",
        help="with --refine: believe this A(blue)/A(red) and its error in place of the training's",
    )


def _run(args, beam_argv):
    law = _check(args)
    start_tensorflow()
    start_beam()
    from beam_jobs.graphs.refining import Refine
    from beam_jobs.graphs.score_to_map import make_map

    how = {"n_samples": args.samples, "trust_model": args.trust_model, "with_walls": args.walls}
    refine = Refine(args.offsets, law) if args.refine else None
    make_map(args.records, args.model, args.out, args.overwrite, beam_argv, **how, refine=refine)


def _check(args):
    """Refuse what can be refused before TensorFlow and Beam are loaded; the job checks it again."""
    from extmap_tf.files import refuse_existing
    from extmap_tf.fit.offsets import RegionOffsets
    from extmap_tf.model.checks import require_fit
    from extmap_tf.model.versions import find_saved_model
    from extmap_tf.records.manifest import Records
    from extmap_tf.settings.nuisances import NuisanceConfig

    require_samples(args.samples)
    if (args.offsets or args.law) and not args.refine:
        raise ConfigError("--offsets and --law are of a refinement: give --refine, too")
    law = _law(args.law) if args.law else None
    if args.offsets:
        RegionOffsets.read(args.offsets, NuisanceConfig())
    if is_local(args.out):
        refuse_existing(args.out, args.overwrite)
    if is_local(args.model):
        folder, card = find_saved_model(args.model)
    if is_local(args.records):
        records = Records.open(args.records)
    if is_local(args.model) and is_local(args.records) and records.manifest.kind == "survey":
        require_fit(card, str(folder), records.manifest, records.path)
    return law


def _law(text):
    """Ratio and error of ``RATIO,SIGMA``."""
    try:
        ratio, sigma = map(float, text.split(","))
    except ValueError:
        raise ConfigError(f"--law must be RATIO,SIGMA, for instance 3.0,0.05, got: {text!r}") from None
    if not (1.05 < ratio <= 10 and 0 < sigma <= 0.5):
        raise ConfigError(
            f"--law must be a ratio above 1.05, at most 10, and an error above 0, at most 0.5, got: {text}"
        )
    return ratio, sigma


COMMAND = Command(
    "score", "Make a 3D map from survey records and a SavedModel.", _add_options, _run, beam=True
)


if __name__ == "__main__":
    raise SystemExit(run_command(COMMAND))
