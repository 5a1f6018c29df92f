"""``extmap-tf records survey``, also as ``python -m beam_jobs.twomass_to_records``."""

import glob
import os

from beam_jobs import start_beam
from beam_jobs.early import is_local, refuse_existing_records
from extmap_tf.errors import DataError
from extmap_tf.options import add_config, add_out, config_of, named
from extmap_tf.program import Command, run_command


def _add_options(parser):
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


def _run(args, beam_argv):
    config = config_of(args, training=False)
    columns = named(args.column, "--column")
    refuse_existing_records(args.out, args.overwrite)
    for table in filter(is_local, args.tables):
        if not os.path.exists(table) and not glob.glob(table):
            raise DataError(f"{table}: no such file")
    start_beam()
    from extmap_tf.catalogs.survey_tables import Reading

    reading = Reading(columns, args.errors_from_survey, args.accept_partial)
    from beam_jobs.graphs.twomass_to_records import make_records

    manifest = make_records(config, args.tables, args.out, reading, args.overwrite, beam_argv)
    from extmap_tf.info import describe_report

    print("\n".join(describe_report(manifest)))


COMMAND = Command(
    "records survey",
    "Count the stars of a survey's tables into the CMD of every field.",
    _add_options,
    _run,
    beam=True,
)


if __name__ == "__main__":
    raise SystemExit(run_command(COMMAND))
