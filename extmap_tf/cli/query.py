"""``extmap-tf query``."""

import sys

from extmap_tf.options import add_law, finite, law_of, named
from extmap_tf.program import Command


def _add_options(parser):
    parser.add_argument("map", help="map of 'score'")
    parser.add_argument("--l", type=finite, metavar="DEG", help="Galactic longitude")
    parser.add_argument("--b", type=finite, metavar="DEG", help="Galactic latitude")
    parser.add_argument("--ra", type=finite, metavar="DEG", help="right ascension (ICRS), instead of --l")
    parser.add_argument("--dec", type=finite, metavar="DEG", help="declination (ICRS), instead of --b")
    parser.add_argument(
        "--distance", type=finite, metavar="KPC", help="heliocentric distance (default: the whole profile)"
    )
    parser.add_argument(
        "--band", help="the map's own (default), another (U to W2), or a colour excess such as E(B-V)"
    )
    parser.add_argument("--quantity", default="extinction", help="extinction (default) or density")
    parser.add_argument("--mode", help="median (default), mean, std, percentile, samples or random_sample")
    parser.add_argument(
        "--percentile", type=float, nargs="+", metavar="P", help="in percent; implies --mode percentile"
    )
    add_law(parser, "extinction law, instead of the map's own")
    parser.add_argument("--sky", default="nearest", help="nearest field (default) or linear between fields")
    parser.add_argument("--seed", type=int, help="seed of --mode random_sample (default: 0)")
    parser.add_argument("--table", help="instead of one position: a table in any format of 'records survey'")
    parser.add_argument("--out", help="with --table: the same table with new columns")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing table")
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="name of a column that is not recognised; ROLE is l, b, ra, dec, distance or distance_pc",
    )
    parser.add_argument(
        "--accept-partial",
        action="store_true",
        help="also take a table whose own source says that rows are missing",
    )


def _run(args):
    from extmap_tf.map.volume import ExtinctionMap

    if bool(args.table) != bool(args.out) or (args.column and not args.table):
        args.parser.error("--table and --out go together, and --column with them")
    mode = args.mode or ("percentile" if args.percentile else "median")
    if args.percentile and mode != "percentile":
        args.parser.error(f"give either --percentile or --mode {mode}")
    if args.seed is not None and mode != "random_sample":
        args.parser.error("--seed goes with --mode random_sample")
    how = {name: getattr(args, name) for name in ("band", "quantity", "percentile", "sky")}
    how |= {"mode": mode, "seed": args.seed or 0, "law": law_of(args)}
    places = (args.l, args.b, args.ra, args.dec)
    if args.table:
        if places.count(None) != 4:
            args.parser.error("give either --table or a position")
        from extmap_tf.map.table_query import query_table

        columns = named(args.column, "--column")
        volume = ExtinctionMap.read(args.map)
        n, n_without = query_table(
            volume,
            args.table,
            args.out,
            columns,
            args.distance,
            args.overwrite,
            args.accept_partial,
            **how,
        )
        print(f"{args.out}: {n:,} rows, {n_without:,} without a value (see extinction_reasons)")
        return
    if places.count(None) != 2 or (None in places[:2] and None in places[2:]):
        args.parser.error("give --l and --b, or --ra and --dec, or --table")
    _query_position(ExtinctionMap.read(args.map), args, how)


def _query_position(volume, args, how):
    import numpy as np

    from extmap_tf.errors import DataError
    from extmap_tf.estimate import Flag
    from extmap_tf.map.places import equatorial, galactic
    from extmap_tf.map.query import odd_survey_names

    if args.l is not None:
        values, flags = volume.query_gal(args.l, args.b, args.distance, return_flags=True, **how)
    else:
        values, flags = volume.query_equ(args.ra, args.dec, args.distance, return_flags=True, **how)
    if int(flags) & Flag.NO_PLACE:
        raise DataError("no such position: latitude must be -90 to 90 deg and no distance negative")
    for flag in Flag:
        if int(flags) & flag:
            print(f"extmap-tf: note: {flag.meaning}", file=sys.stderr)
    place = galactic(args.l, args.b) if args.l is not None else equatorial(args.ra, args.dec)
    for name in filter(None, odd_survey_names(volume, *np.atleast_1d(*place))):
        print(f"extmap-tf: note: flagged by the stars of {name.replace('|', ' and ')}", file=sys.stderr)
    if args.distance is not None:
        print(*(f"{value:.4f}" for value in values.value.ravel()), values.unit)
        return
    at = volume.distance.outer_kpc if args.quantity == "extinction" else volume.distance.centers_kpc
    names = [f"{p:g}%" for p in args.percentile or ()]
    print(f"# distance / kpc   {args.quantity} / {values.unit}", *names)
    for distance_kpc, row in zip(at, values.value.reshape(-1, len(at)).T, strict=True):
        print(f"{distance_kpc:10.3f}", *(f"{value:10.4f}" for value in row))


COMMAND = Command(
    "query",
    "Look up the extinction at a position of a map, or for every row of a table.",
    _add_options,
    _run,
)
