"""``extmap-tf serve-check``."""

from extmap_tf.options import finite
from extmap_tf.program import Command


def _add_options(parser):
    parser.add_argument("url", help="http://HOST:8501 (REST) or grpc://HOST:8500")
    parser.add_argument(
        "--name", default="extmap", help="name of the model on the server (default: %(default)s)"
    )
    parser.add_argument("--version", type=int, help="version of the model (default: the newest)")
    parser.add_argument(
        "--model", help="SavedModel of 'export' that should be served (default: what the server says it is)"
    )
    parser.add_argument(
        "--timeout",
        type=finite,
        default=30.0,
        metavar="S",
        help="timeout of each request, in seconds (default: 30)",
    )


def _run(args):
    from extmap_tf.serving.check import check_server
    from extmap_tf.serving.client import ModelClient

    with ModelClient(args.url, args.name, args.version, args.timeout) as client:
        for line in check_server(client, args.model):
            print(line)


COMMAND = Command(
    "serve-check",
    "Check a model server: health, signatures, a CMD whose profile is known.",
    _add_options,
    _run,
)
