"""``extmap-tf records survey``, also as ``python -m beam_jobs.twomass_to_records``."""

import glob
import os

from beam_jobs import start_beam
from beam_jobs.early import is_local, refuse_existing_records
from extmap_tf.errors import DataError
from extmap_tf.options import add_config, add_out, add_reading, columns_by_survey, config_of, tables_by_survey
from extmap_tf.program import Command, run_command


def _add_options(parser):
    parser.add_argument(
        "tables",
        nargs="*",
        help="tables of the first survey (2MASS) or patterns: PSC files, CSV, TSV and other text, ECSV, "
        "IPAC, VOTable, FITS (each also .gz), Parquet; a star that is in two of them counts twice",
    )
    parser.add_argument(
        "--table",
        action="append",
        default=[],
        metavar="SURVEY=FILE",
        help="a table, or a pattern, of one of several surveys, such as 2mass=psc.csv; may be repeated",
    )
    add_config(parser)
    add_out(parser, "records folder to make")
    add_reading(parser)


def _run(args, beam_argv):
    config = config_of(args, training=False)
    tables = tables_by_survey([*args.tables, *args.table], config)
    columns = columns_by_survey(args.column, config)
    refuse_existing_records(args.out, args.overwrite)
    for table in filter(is_local, (path for paths in tables.values() for path in paths)):
        if not os.path.exists(table) and not glob.glob(table):
            raise DataError(f"{table}: no such file")
    from extmap_tf.catalogs.survey_tables import Reading, describe_table
    from extmap_tf.catalogs.tables import open_local

    readings = {
        key: Reading(own, args.errors_from_survey, args.accept_partial) for key, own in columns.items()
    }
    for survey in config.surveys:
        for table in filter(os.path.isfile, tables.get(survey.key, ())):
            with open_local(table) as stream:
                describe_table(stream, table, survey, readings[survey.key])
    start_beam()
    from beam_jobs.graphs.twomass_to_records import make_records

    manifest = make_records(config, tables, args.out, readings, args.overwrite, beam_argv)
    from extmap_tf.info import describe_report

    print("\n".join(describe_report(manifest)))


COMMAND = Command(
    "records survey",
    "Count the stars of the surveys' tables into the diagrams of every field.",
    _add_options,
    _run,
    beam=True,
)


if __name__ == "__main__":
    raise SystemExit(run_command(COMMAND))
