"""``extmap-tf train``."""

from extmap_tf.errors import ConfigError
from extmap_tf.options import add_config, config_of
from extmap_tf.program import Command
from extmap_tf.quiet import start_tensorflow


def _add_options(parser):
    parser.add_argument("--records", required=True, help="folder of 'records mocks'")
    add_config(parser, required=False, extra="; default: that of the records")
    parser.add_argument("--out", required=True, help="training folder; an unfinished one is resumed")
    parser.add_argument("--overwrite", action="store_true", help="replace a finished model")
    parser.add_argument(
        "--start-from",
        metavar="MODEL",
        help="start from the weights of a trained model of the same network, diagrams and distances: a "
        "training folder, an exported model or the name of a shipped one",
    )
    parser.add_argument(
        "--cpu-devices",
        type=int,
        default=0,
        metavar="N",
        help="mirror over N logical CPU devices (for tests)",
    )


def _run(args):
    from extmap_tf.model.checks import check_training, find_start
    from extmap_tf.records.manifest import Records

    if args.cpu_devices < 0:
        raise ConfigError(f"--cpu-devices must be 0 or more, got: {args.cpu_devices}")
    records = Records.open(args.records)
    config = config_of(args, default=records.manifest.config)
    check_training(records, config, args.out, args.overwrite)
    if args.start_from is not None:
        find_start(args.start_from, config)
    start_tensorflow()
    from extmap_tf.model.training import train

    train(
        records,
        config,
        args.out,
        cpu_devices=args.cpu_devices,
        overwrite=args.overwrite,
        start_from=args.start_from,
    )


COMMAND = Command(
    "train",
    "Train a network on mock records, or continue a training that was interrupted.",
    _add_options,
    _run,
)
