"""The jobs as commands, of ``extmap-tf`` and of ``python -m beam_jobs.<job>``; importing them is cheap."""

from beam_jobs import start_beam
from extmap_tf.errors import ConfigError
from extmap_tf.options import add_config, add_model, add_out, config_of, named
from extmap_tf.program import Command
from extmap_tf.quiet import start_tensorflow


def _add_mocks_options(parser):
    add_config(parser)
    add_out(parser, "records folder to make")
    parser.add_argument("--examples-per-shard", type=int, default=2048, help="default: %(default)s")


def _run_mocks(args, beam_argv):
    config = config_of(args)
    if args.examples_per_shard < 1:
        raise ConfigError(f"--examples-per-shard must be 1 or more, got: {args.examples_per_shard}")
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
        help="a column with an unknown name; ROLE is l, b, ra, dec, blue, red, blue_error, red_error, "
        "ph_qual, cc_flg, blue_limit or red_limit; may be repeated",
    )
    parser.add_argument(
        "--errors-from-survey",
        action="store_true",
        help="of tables without errors: take those that the survey has at each magnitude",
    )
    parser.add_argument(
        "--accept-partial",
        action="store_true",
        help="also count tables whose own source says that rows are missing",
    )


def _run_survey(args, beam_argv):
    config = config_of(args)
    columns = named(args.column, "--column")
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
    start_tensorflow()
    start_beam()
    from beam_jobs.score_to_map import make_map

    make_map(args.records, args.model, args.out, args.overwrite, beam_argv, args.samples, args.trust_model)


MOCKS = Command(
    "records mocks",
    "Mock catalogs and random extinction profiles to training pairs.",
    _add_mocks_options,
    _run_mocks,
    beam=True,
)


SURVEY = Command(
    "records survey",
    "Tables of a survey's stars to the CMD of every field.",
    _add_survey_options,
    _run_survey,
    beam=True,
)


SCORE = Command(
    "score", "Survey records and a SavedModel to a 3D map.", _add_score_options, _run_score, beam=True
)
