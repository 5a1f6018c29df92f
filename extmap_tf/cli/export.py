"""``extmap-tf export``."""

from extmap_tf.program import Command
from extmap_tf.quiet import start_tensorflow


def _add_options(parser):
    parser.add_argument("--model", required=True, help="training folder")
    parser.add_argument("--out", required=True, help="folder of versions 1, 2, ...")
    parser.add_argument("--half", action="store_true", help="store weights as 16-bit floats: half the size")


def _run(args):
    from extmap_tf.files import local_path
    from extmap_tf.model.card import ModelCard

    local_path(args.out)
    ModelCard.read(args.model)
    start_tensorflow()
    from extmap_tf.model.export import export

    print(export(args.model, args.out, args.half))


COMMAND = Command(
    "export",
    "Export a trained model as a SavedModel in the next version folder.",
    _add_options,
    _run,
)
