"""``extmap-tf records survey``, also as ``python -m beam_jobs.twomass_to_records``."""

import glob
import os

from beam_jobs import start_beam
from beam_jobs.early import is_local, refuse_existing_records
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.options import add_config, add_out, config_of, named
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
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="name of a column that is not recognised; ROLE is l, b, ra, dec, blue, red, blue_error, "
        "red_error, ph_qual, cc_flg, blue_limit or red_limit, of one of several surveys with its key, such "
        "as 2mass:blue; may be repeated",
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
    tables = _tables_of(args, config)
    columns = _columns_of(args, config)
    refuse_existing_records(args.out, args.overwrite)
    for table in filter(is_local, (path for paths in tables.values() for path in paths)):
        if not os.path.exists(table) and not glob.glob(table):
            raise DataError(f"{table}: no such file")
    start_beam()
    from extmap_tf.catalogs.survey_tables import Reading

    readings = {
        key: Reading(own, args.errors_from_survey, args.accept_partial) for key, own in columns.items()
    }
    from beam_jobs.graphs.twomass_to_records import make_records

    manifest = make_records(config, tables, args.out, readings, args.overwrite, beam_argv)
    from extmap_tf.info import describe_report

    print("\n".join(describe_report(manifest)))


def _tables_of(args, config):
    """Paths and patterns by the keys of the surveys."""
    keys = [survey.key for survey in config.surveys]
    found = {keys[0]: list(args.tables)} if args.tables else {}
    for given in args.table:
        key, equals, path = given.partition("=")
        if not (equals and path):
            raise ConfigError(f"--table needs SURVEY=FILE, got: {given!r}")
        if key not in keys:
            raise ConfigError(
                f"--table {given}: no survey {key!r} in {config.name}; it has {', '.join(keys)}"
            )
        found.setdefault(key, []).append(path)
    if not found:
        raise ConfigError(f"no tables: give --table {keys[0]}=FILE, or the files alone")
    return found


def _columns_of(args, config):
    """Names of columns by the keys of the surveys; those without a key are meant for all."""
    columns = named(args.column, "--column")
    found: dict[str, dict[str, str]] = {survey.key: {} for survey in config.surveys}
    for role, name in columns.items():
        key, colon, own = role.partition(":")
        if colon and key not in found:
            raise ConfigError(f"--column {role}={name}: no survey {key!r}; there are: {', '.join(found)}")
        for survey in [key] if colon else found:
            found[survey][own if colon else role] = name
    return found


COMMAND = Command(
    "records survey",
    "Count the stars of the surveys' tables into the diagrams of every field.",
    _add_options,
    _run,
    beam=True,
)


if __name__ == "__main__":
    raise SystemExit(run_command(COMMAND))
