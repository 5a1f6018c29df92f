"""``extmap-tf records mocks``, also as ``python -m beam_jobs.mocks_to_records``."""

from beam_jobs import start_beam
from beam_jobs.early import refuse_existing_records
from extmap_tf.errors import ConfigError
from extmap_tf.options import add_config, add_out, config_of
from extmap_tf.program import Command, run_command


def _add_options(parser):
    add_config(parser)
    add_out(parser, "records folder to make")
    parser.add_argument(
        "--examples-per-shard", type=int, default=2048, help="pairs a file (default: %(default)s)"
    )


def _run(args, beam_argv):
    config = config_of(args)
    if args.examples_per_shard < 1:
        raise ConfigError(f"--examples-per-shard must be 1 or more, got: {args.examples_per_shard}")
    refuse_existing_records(args.out, args.overwrite)
    start_beam()
    from beam_jobs.graphs.mocks_to_records import make_records

    make_records(config, args.out, args.overwrite, beam_argv, args.examples_per_shard)


COMMAND = Command(
    "records mocks",
    "Make training pairs: CMDs of mock stars behind random extinction profiles.",
    _add_options,
    _run,
    beam=True,
)


if __name__ == "__main__":
    raise SystemExit(run_command(COMMAND))
