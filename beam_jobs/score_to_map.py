"""``extmap-tf score``, also as ``python -m beam_jobs.score_to_map``."""

from beam_jobs import start_beam
from beam_jobs.early import is_local, require_samples
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


def _run(args, beam_argv):
    _check(args)
    start_tensorflow()
    start_beam()
    from beam_jobs.graphs.score_to_map import make_map

    how = {"n_samples": args.samples, "trust_model": args.trust_model, "with_walls": args.walls}
    make_map(args.records, args.model, args.out, args.overwrite, beam_argv, **how)


def _check(args):
    """Refuse what can be refused before TensorFlow and Beam are loaded; the job checks it again."""
    from extmap_tf.files import refuse_existing
    from extmap_tf.model.checks import require_fit
    from extmap_tf.model.versions import find_saved_model
    from extmap_tf.records.manifest import Records

    require_samples(args.samples)
    if is_local(args.out):
        refuse_existing(args.out, args.overwrite)
    if is_local(args.model):
        folder, card = find_saved_model(args.model)
    if is_local(args.records):
        records = Records.open(args.records)
    if is_local(args.model) and is_local(args.records) and records.manifest.kind == "survey":
        require_fit(card, str(folder), records.manifest, records.path)


COMMAND = Command(
    "score", "Make a 3D map from survey records and a SavedModel.", _add_options, _run, beam=True
)


if __name__ == "__main__":
    raise SystemExit(run_command(COMMAND))
