"""The command line, ``extmap-tf``. Heavy libraries are imported by the subcommand that needs them."""

import argparse
import contextlib
import os
import signal
import sys
import threading
import tomllib

from extmap_tf import __version__
from extmap_tf.cli_map import add_map_commands
from extmap_tf.cli_options import (
    add_numbers_and_figures,
    add_out,
    add_sightlines,
    chosen_sightlines,
    finite,
    named,
)
from extmap_tf.errors import ConfigError, ExtmapError
from extmap_tf.quiet import start_tensorflow

_STOPPED = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
_LIBRARIES = {"tensorflow": "TensorFlow", "apache_beam": "Apache Beam"}
_CONFIG_HELP = "name of a built-in configuration (carina, demo, orion) or a TOML file"


def main(argv=None):
    """Run one subcommand.

    Parameters
    ----------
    argv : list of str, optional
        By default the process's own arguments.

    Returns
    -------
    int
        0; 1 after an error that was told in one line; 130 after an interrupt and 143 after SIGTERM, when all
        that was half-written is gone. Usage errors exit with 2.
    """
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    if rest and not args.beam:
        args.parser.error(f"unrecognized arguments: {' '.join(rest)}")
    received = []
    with _stopped_by_signals(received):
        try:
            args.run(args, rest) if args.beam else args.run(args)
        except (Exception, KeyboardInterrupt) as error:
            # First of all: Beam may have turned the interrupt into an error of its own.
            if received:
                return _complain(_STOPPED[received[0]], 128 + received[0])
            status = _told(error)
            if status is None:
                raise
            return status
    return 0


@contextlib.contextmanager
def _stopped_by_signals(received):
    """SIGTERM interrupts as Ctrl-C does, so that nothing half-written stays; `received` gets the signal."""

    def stop(number, frame):
        received.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # What is ignored stays so: a script's background job is not for the terminal's Ctrl-C.
    heeded = [number for number in _STOPPED if signal.getsignal(number) not in (None, signal.SIG_IGN)]
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _told(error):
    """Tell a user of an error in one line; returns the exit status, None for a defect of ours."""
    if isinstance(error, ExceptionGroup):
        statuses = [_told(one) for one in error.exceptions]
        return None if None in statuses else max(statuses)
    if isinstance(error, ExtmapError):
        return _complain(error)
    if isinstance(error, KeyboardInterrupt):
        return _complain(_STOPPED[signal.SIGINT], 128 + signal.SIGINT)
    if isinstance(error, BrokenPipeError):
        # The reader of our output has gone, as with `| head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}")
    library = type(error).__module__.split(".")[0]
    if library in _LIBRARIES:
        return _complain(f"{_LIBRARIES[library]}: {str(error).splitlines()[0]}")
    return None


def _complain(error, status=1):
    print(f"extmap-tf: error: {' '.join(str(error).split())}", file=sys.stderr)
    return status


def _parser():
    parser = argparse.ArgumentParser(
        prog="extmap-tf", description="3D maps of the Milky Way's dust from star counts."
    )
    parser.add_argument("--version", action="version", version=f"extmap-tf {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name, run, text, group=commands, beam=False):
        if beam:
            text += (
                " Further options go to Apache Beam, each as --option=value (--runner=DataflowRunner, "
                "--direct_num_workers=2, ...)."
            )
        child = group.add_parser(name, help=text.split(". ")[0].rstrip("."), description=text)
        child.set_defaults(run=run, beam=beam, parser=child)
        return child

    demo = add("demo", _demo, "The whole line on a mock sky: records, training, map, figures, errors.")
    demo.add_argument("--out", required=True, help="folder to make")
    demo.add_argument("--overwrite", action="store_true", help="replace an existing folder")
    _add_config(demo, default="demo")

    records = commands.add_parser(
        "records", help="make TFRecords of CMDs", description="Make sharded TFRecords of CMDs."
    ).add_subparsers(dest="what", required=True, metavar="WHAT")
    mocks = add(
        "mocks",
        _records_mocks,
        "Mock catalogs and random extinction profiles to training pairs.",
        records,
        beam=True,
    )
    _add_config(mocks)
    add_out(mocks, "records folder to make")
    mocks.add_argument("--examples-per-shard", type=int, default=2048, help="default: %(default)s")
    survey = add(
        "survey", _records_survey, "Tables of a survey's stars to the CMD of every field.", records, beam=True
    )
    survey.add_argument(
        "tables",
        nargs="+",
        help="tables of 2MASS (PSC, VizieR, IRSA, FITS, Parquet) or patterns; a star that is in two of them "
        "counts twice",
    )
    _add_config(survey)
    add_out(survey, "records folder to make")
    survey.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="a column with an unknown name; ROLE is l, b, ra, dec, blue, red, blue_error, red_error, "
        "ph_qual or cc_flg; may be repeated",
    )

    train = add(
        "train", _train, "Train a network on mock records, or go on with a training that was cut off."
    )
    train.add_argument("--records", required=True, help="folder of 'records mocks'")
    _add_config(train, required=False, extra="; by default that of the records")
    train.add_argument("--out", required=True, help="training folder; an unfinished one is resumed")
    train.add_argument("--overwrite", action="store_true", help="replace a finished model")
    train.add_argument(
        "--cpu-devices",
        type=int,
        default=0,
        metavar="N",
        help="mirror over N logical CPU devices (for tests)",
    )

    export = add("export", _export, "Export a trained model as a SavedModel in the next version folder.")
    export.add_argument("--model", required=True, help="training folder")
    export.add_argument("--out", required=True, help="folder of versions 1, 2, ...")
    export.add_argument("--half", action="store_true", help="store weights as 16-bit floats: half the size")

    evaluate = add(
        "evaluate", _evaluate, "Errors of a model on held-out mocks, or of a map against a known truth."
    )
    evaluate.add_argument("--model", help="SavedModel of 'export'")
    evaluate.add_argument("--records", help="mock records")
    evaluate.add_argument("--split", default="test", help="of the records (default: %(default)s)")
    evaluate.add_argument("--map", help="map of 'score'")
    evaluate.add_argument("--truth", help="true map, such as the demo's truth.fits")
    add_numbers_and_figures(evaluate)

    fit = add(
        "fit",
        _fit,
        "Fit single CMDs with the exact forward model, without a network. Slow, and a check on one: survey "
        "records by sightline, mock records against their true profiles.",
    )
    fit.add_argument("--records", required=True, help="folder of 'records survey' or 'records mocks'")
    add_sightlines(fit, "of survey records: field to fit, in degrees; may be repeated")
    fit.add_argument("--pairs", type=int, default=20, metavar="N", help="of mock records (default: 20)")
    fit.add_argument("--split", default="test", help="of mock records (default: %(default)s)")
    fit.add_argument("--model", help="SavedModel of 'export' to compare with")
    fit.add_argument(
        "--fields",
        type=float,
        default=64.0,
        metavar="N",
        help="fields of model stars behind the expected CMD (default: 64)",
    )
    fit.add_argument("--iterations", type=int, default=40, metavar="N", help="default: %(default)s")
    add_out(fit, "folder to make: fit.json, profiles.ecsv, figures")

    score = add("score", _score, "Survey records and a SavedModel to a 3D map.", beam=True)
    score.add_argument("--records", required=True, help="folder of 'records survey'")
    score.add_argument("--model", required=True, help="SavedModel of 'export'")
    add_out(score, "map to make (FITS)")
    score.add_argument(
        "--samples", type=int, default=0, metavar="N", help="also keep N sampled profiles a field (up to 32)"
    )

    check = add(
        "serve-check",
        _serve_check,
        "Whether a model server answers rightly: health, signatures, a CMD whose answer is known.",
    )
    check.add_argument("url", help="http://HOST:8501 (REST) or grpc://HOST:8500")
    check.add_argument("--name", default="extmap", help="of the model on the server (default: %(default)s)")
    check.add_argument("--version", type=int, help="of the model (default: the newest)")
    check.add_argument(
        "--model", help="SavedModel of 'export' that should be served (default: what the server says it is)"
    )
    check.add_argument(
        "--timeout", type=finite, default=30.0, metavar="S", help="of each request (default: 30)"
    )

    add_map_commands(add)
    return parser


def _add_config(parser, required=True, default=None, extra=""):
    parser.add_argument(
        "--config", required=required and default is None, default=default, help=_CONFIG_HELP + extra
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one value of it, for instance training.epochs=5; may be repeated",
    )


def _config(args, default=None):
    from extmap_tf.settings.config import Config

    config = default if args.config is None else Config.load(args.config)
    changes = {}
    for change in args.set:
        key, found, text = change.partition("=")
        if not found:
            raise ConfigError(f"--set needs KEY=VALUE, got: {change!r}")
        try:
            changes[key.strip()] = tomllib.loads(f"x = {text}")["x"]
        except tomllib.TOMLDecodeError:
            changes[key.strip()] = text
    config = config.replace(**changes) if changes else config
    from extmap_tf.extinction.law import blue_over_red

    # A law is looked up by name and must cover the bands: better refused here than by a worker.
    blue_over_red(config.law, config.survey)
    return config


def _start_beam():
    import logging

    import beam_jobs  # noqa: F401

    # Beam sets up the root logger on import.
    logging.basicConfig(level=logging.ERROR, format="%(message)s", force=True)
    logging.getLogger("beam_jobs").setLevel(logging.INFO)


def _demo(args):
    config = _config(args)
    start_tensorflow()
    _start_beam()
    from extmap_tf.demo import run_demo

    run_demo(config, args.out, overwrite=args.overwrite)


def _records_mocks(args, beam_argv):
    config = _config(args)
    if args.examples_per_shard < 1:
        raise ConfigError(f"--examples-per-shard must be 1 or more, got: {args.examples_per_shard}")
    _start_beam()
    from beam_jobs.mocks_to_records import make_records

    make_records(config, args.out, args.overwrite, beam_argv, args.examples_per_shard)


def _records_survey(args, beam_argv):
    config = _config(args)
    columns = named(args.column, "--column")
    _start_beam()
    from beam_jobs.twomass_to_records import make_records

    manifest = make_records(config, args.tables, args.out, columns or None, args.overwrite, beam_argv)
    from extmap_tf.info import describe_report

    print("\n".join(describe_report(manifest)))


def _train(args):
    from extmap_tf.records.manifest import Records

    records = Records.open(args.records)
    config = _config(args, default=records.manifest.config)
    if args.cpu_devices < 0:
        raise ConfigError(f"--cpu-devices must be 0 or more, got: {args.cpu_devices}")
    start_tensorflow()
    from extmap_tf.model.training import train

    train(records, config, args.out, cpu_devices=args.cpu_devices, overwrite=args.overwrite)


def _export(args):
    start_tensorflow()
    from extmap_tf.model.export import export

    print(export(args.model, args.out, args.half))


def _evaluate(args):
    by_model, by_map = (args.model, args.records), (args.map, args.truth)
    if not (all(by_model) and not any(by_map)) and not (all(by_map) and not any(by_model)):
        args.parser.error("give either --model and --records, or --map and --truth")
    from extmap_tf.evaluation import metrics
    from extmap_tf.files import whole_file

    # Opened before the work, which may take long, so that what cannot be written is known at once.
    with whole_file(args.out, overwrite=args.overwrite) if args.out else contextlib.nullcontext() as stream:
        evaluation = _evaluation(args)
        print(metrics.format_evaluation(evaluation))
        if args.figures:
            from extmap_tf.figures.evaluation import draw_evaluation

            draw_evaluation(evaluation, args.figures, args.format, args.overwrite)
        if stream:
            about = {
                "software_version": __version__,
                "of": [str(name) for name in (*by_model, *by_map) if name],
            }
            if args.model:
                from extmap_tf.model.versions import find_saved_model

                about["model_digest"] = find_saved_model(args.model)[1].digest
            stream.write(metrics.json_text(about | evaluation.to_dict()))


def _evaluation(args):
    if args.model:
        from extmap_tf.records.manifest import Records

        records = Records.open(args.records)
        start_tensorflow()
        from extmap_tf.evaluation.models import evaluate_model

        return evaluate_model(args.model, records, args.split)
    from extmap_tf.evaluation.metrics import compare_maps
    from extmap_tf.map.volume import ExtinctionMap

    return compare_maps(ExtinctionMap.read(args.map), ExtinctionMap.read(args.truth))


def _fit(args):
    from extmap_tf.files import refuse_existing
    from extmap_tf.records.manifest import Records

    records, sightlines = Records.open(args.records), chosen_sightlines(args)
    start_tensorflow()
    from extmap_tf.evaluation import metrics
    from extmap_tf.fit.fitting import fit_records
    from extmap_tf.report.fits import SUMMARY, evaluation_of, write_fits

    refuse_existing(args.out, args.overwrite, SUMMARY)
    fits = fit_records(
        records,
        sightlines,
        args.pairs,
        args.split,
        args.model,
        args.fields,
        args.iterations,
        echo=lambda line: print(line, file=sys.stderr, flush=True),
    )
    about = {"of": [str(name) for name in (args.records, args.model) if name]}
    write_fits(fits, args.out, about, args.overwrite)
    if fits.density is not None:
        print("Direct fit:", metrics.format_evaluation(evaluation_of(fits, fits.outputs)), sep="\n")
        if fits.model_outputs:
            print("\nModel:", metrics.format_evaluation(evaluation_of(fits, fits.model_outputs)), sep="\n")
    n = len(fits.names)
    for name, seconds in fits.seconds.items():
        print(f"{name}: {seconds:.1f} s, {seconds / n:.3g} s a CMD")
    print(f"done: {args.out}/profiles.ecsv, {args.out}/{SUMMARY}")


def _score(args, beam_argv):
    start_tensorflow()
    _start_beam()
    from beam_jobs.score_to_map import make_map

    make_map(args.records, args.model, args.out, args.overwrite, beam_argv, args.samples)


def _serve_check(args):
    from extmap_tf.serving.check import check_server
    from extmap_tf.serving.client import ModelClient

    with ModelClient(args.url, args.name, args.version, args.timeout) as client:
        for line in check_server(client, args.model):
            print(line)


if __name__ == "__main__":
    raise SystemExit(main())
