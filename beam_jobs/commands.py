"""The jobs as commands, of ``extmap-tf`` and of ``python -m beam_jobs.<job>``; importing them is cheap."""

import glob
import os

from beam_jobs import start_beam
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.options import add_config, add_model, add_out, config_of, named
from extmap_tf.program import Command
from extmap_tf.quiet import start_tensorflow

# As many as a SavedModel draws.
MAX_SAMPLES = 32


def _add_mocks_options(parser):
    add_config(parser)
    add_out(parser, "records folder to make")
    parser.add_argument(
        "--examples-per-shard", type=int, default=2048, help="pairs a file (default: %(default)s)"
    )


def _run_mocks(args, beam_argv):
    config = config_of(args)
    if args.examples_per_shard < 1:
        raise ConfigError(f"--examples-per-shard must be 1 or more, got: {args.examples_per_shard}")
    _check_records_folder(args)
    start_beam()
    from beam_jobs.mocks_to_records import make_records

    make_records(config, args.out, args.overwrite, beam_argv, args.examples_per_shard)


def _add_survey_options(parser):
    parser.add_argument(
        "tables",
        nargs="+",
        help="tables of 2MASS or patterns: PSC files, CSV, TSV and other text, ECSV, IPAC, VOTable, FITS "
        "(each also .gz), Parquet; a star that is in two of them counts twice",
    )
    add_config(parser)
    add_out(parser, "records folder to make")
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="name of a column that is not recognised; ROLE is l, b, ra, dec, blue, red, blue_error, "
        "red_error, ph_qual, cc_flg, blue_limit or red_limit; may be repeated",
    )
    parser.add_argument(
        "--errors-from-survey",
        action="store_true",
        help="for tables without errors: use those that the survey has at each magnitude",
    )
    parser.add_argument(
        "--accept-partial",
        action="store_true",
        help="also count tables whose own source says that rows are missing",
    )


def _run_survey(args, beam_argv):
    config = config_of(args)
    columns = named(args.column, "--column")
    _check_records_folder(args)
    for table in filter(_is_local, args.tables):
        if not os.path.exists(table) and not glob.glob(table):
            raise DataError(f"{table}: no such file")
    start_beam()
    from extmap_tf.catalogs.survey_tables import Reading

    reading = Reading(columns, args.errors_from_survey, args.accept_partial)
    from beam_jobs.twomass_to_records import make_records

    manifest = make_records(config, args.tables, args.out, reading, args.overwrite, beam_argv)
    from extmap_tf.info import describe_report

    print("\n".join(describe_report(manifest)))


def _add_score_options(parser):
    parser.add_argument("--records", required=True, help="folder of 'records survey'")
    add_model(parser, "SavedModel of 'export'", required=True)
    add_out(parser, "map to make (FITS)")
    parser.add_argument(
        "--samples", type=int, default=0, metavar="N", help="also keep N sampled profiles a field (up to 32)"
    )


def _run_score(args, beam_argv):
    _check_score(args)
    start_tensorflow()
    start_beam()
    from beam_jobs.score_to_map import make_map

    make_map(args.records, args.model, args.out, args.overwrite, beam_argv, args.samples, args.trust_model)


def require_samples(n_samples: int) -> None:
    """Raise ConfigError unless a map can keep that many samples."""
    if not 0 <= n_samples <= MAX_SAMPLES:
        raise ConfigError(f"samples must be 0 to {MAX_SAMPLES}, got: {n_samples}")


def _check_score(args):
    """Refuse what can be refused before TensorFlow and Beam are loaded; the job checks it again."""
    from extmap_tf.files import refuse_existing
    from extmap_tf.model.checks import require_fit
    from extmap_tf.model.versions import find_saved_model
    from extmap_tf.records.manifest import Records

    require_samples(args.samples)
    if _is_local(args.out):
        refuse_existing(args.out, args.overwrite)
    if _is_local(args.model):
        folder, card = find_saved_model(args.model)
    if _is_local(args.records):
        records = Records.open(args.records)
    if _is_local(args.model) and _is_local(args.records) and records.manifest.kind == "survey":
        require_fit(card, str(folder), records.manifest, records.path)


def _check_records_folder(args):
    from extmap_tf.files import refuse_existing
    from extmap_tf.records.manifest import MANIFEST_NAME

    if _is_local(args.out):
        refuse_existing(args.out, args.overwrite, MANIFEST_NAME)


def _is_local(path):
    return "://" not in path


MOCKS = Command(
    "records mocks",
    "Make training pairs: CMDs of mock stars behind random extinction profiles.",
    _add_mocks_options,
    _run_mocks,
    beam=True,
)


SURVEY = Command(
    "records survey",
    "Count the stars of a survey's tables into the CMD of every field.",
    _add_survey_options,
    _run_survey,
    beam=True,
)


SCORE = Command(
    "score", "Make a 3D map from survey records and a SavedModel.", _add_score_options, _run_score, beam=True
)
