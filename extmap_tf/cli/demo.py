"""``extmap-tf demo``."""

from beam_jobs import start_beam
from extmap_tf.formats import DEMO_NAME
from extmap_tf.options import add_config, config_of
from extmap_tf.program import Command
from extmap_tf.quiet import start_tensorflow


def _add_options(parser):
    parser.add_argument("--out", required=True, help="folder to make")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")
    add_config(parser, default="demo")


def _run(args):
    from extmap_tf.demo import check_demo, run_demo
    from extmap_tf.files import refuse_existing

    refuse_existing(args.out, args.overwrite, DEMO_NAME)
    config = config_of(args)
    check_demo(config.distance)
    start_tensorflow()
    start_beam()
    run_demo(config, args.out, overwrite=args.overwrite)


COMMAND = Command(
    "demo",
    "Run the whole line on a mock sky: records, training, map, figures, errors. After a failure, "
    "the same command continues with the finished steps in OUT.unfinished.",
    _add_options,
    _run,
)
