"""Subcommands of ``extmap-tf`` that need a map and nothing heavier."""

import sys

from extmap_tf.cli_options import add_sightlines, chosen_sightlines, finite, named


def add_map_commands(add):
    """Add them; `add` is as in `extmap_tf.cli`, (name, function of the arguments, help) -> parser."""
    query = add("query", _query, "Extinction at a position of a map, or for every row of a table.")
    query.add_argument("map", help="map of 'score'")
    query.add_argument("--l", type=finite, metavar="DEG", help="Galactic longitude")
    query.add_argument("--b", type=finite, metavar="DEG", help="Galactic latitude")
    query.add_argument("--ra", type=finite, metavar="DEG", help="right ascension (ICRS), instead of --l")
    query.add_argument("--dec", type=finite, metavar="DEG", help="declination (ICRS), instead of --b")
    query.add_argument("--distance", type=finite, metavar="KPC", help="by default: the whole profile")
    query.add_argument("--band", help="the map's own (default), another (U to W2), or E(B-V) and the like")
    query.add_argument("--quantity", default="cumulative", help="cumulative (default) or density")
    query.add_argument(
        "--mode", default="median", help="median (default), mean, std, percentile, samples or random_sample"
    )
    query.add_argument(
        "--percentile", type=float, nargs="+", metavar="P", help="in percent; implies --mode percentile"
    )
    query.add_argument("--law", help="instead of the map's own: a model of dust_extinction, such as F19")
    query.add_argument("--rv", type=float, default=3.1, help="R(V) of --law (default: %(default)s)")
    query.add_argument("--sky", default="nearest", help="nearest field (default) or linear between fields")
    query.add_argument("--seed", type=int, default=0, help="of random_sample (default: %(default)s)")
    query.add_argument(
        "--table", help="table of positions instead of one: FITS, VOTable, Parquet, ECSV or CSV"
    )
    query.add_argument("--out", help="with --table: the same table with new columns")
    query.add_argument("--overwrite", action="store_true", help="replace an existing table")
    query.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="ROLE=NAME",
        help="a column of the table with an unknown name; ROLE is l, b, ra, dec or distance",
    )

    merge = add("merge", _merge, "Combine maps of neighbouring regions or of several runs.")
    merge.add_argument("maps", nargs="+", help="maps of 'score', two or more")
    merge.add_argument("-o", "--out", required=True, help="map to make (FITS)")
    merge.add_argument(
        "--independent", action="store_true", help="the maps rest on different stars, so errors average out"
    )
    merge.add_argument("--overwrite", action="store_true", help="replace an existing map")

    plot = add("plot", _plot, "Figures of a map: face-on view, sky, slices, profiles, uncertainty.")
    plot.add_argument("map", help="map of 'score'")
    plot.add_argument("--out", required=True, help="folder for the figures")
    plot.add_argument("--truth", help="true map to show beside it")
    add_sightlines(plot, "profile to draw, in degrees; may be repeated")
    plot.add_argument("--format", default="png", choices=["png", "pdf"])
    plot.add_argument("--overwrite", action="store_true", help="replace existing figures")
    plot.add_argument("--arms", action="store_true", help="draw spiral arms over the face-on view")

    info = add("info", _info, "Describe records, a model, a map or a table of stars.")
    info.add_argument("path", nargs="+")
    info.add_argument("--verify", action="store_true", help="also check every checksum")


def _query(args):
    from extmap_tf.map.volume import ExtinctionMap

    if bool(args.table) != bool(args.out) or (args.column and not args.table):
        args.parser.error("--table and --out go together, and --column with them")
    how = {name: getattr(args, name) for name in ("band", "quantity", "mode", "percentile", "sky", "seed")}
    if args.percentile:
        how["mode"] = "percentile"
    if args.law:
        from extmap_tf.config import LawConfig

        how["law"] = LawConfig(args.law, args.rv)
    places = (args.l, args.b, args.ra, args.dec)
    if args.table:
        if places.count(None) != 4:
            args.parser.error("give either --table or a position")
        from extmap_tf.map.table_query import query_table

        columns = named(args.column, "--column")
        volume = ExtinctionMap.read(args.map)
        n, n_without = query_table(
            volume, args.table, args.out, columns, args.distance, args.overwrite, **how
        )
        print(f"{args.out}: {n:,} rows, {n_without:,} without a value (see extinction_flag)")
        return
    if places.count(None) != 2 or (None in places[:2] and None in places[2:]):
        args.parser.error("give --l and --b, or --ra and --dec, or --table")
    _query_position(ExtinctionMap.read(args.map), args, how)


def _query_position(volume, args, how):
    from extmap_tf.map.provenance import Flag

    if args.l is not None:
        values, flags = volume.query_gal(args.l, args.b, args.distance, return_flags=True, **how)
    else:
        values, flags = volume.query_equ(args.ra, args.dec, args.distance, return_flags=True, **how)
    for flag in Flag:
        if int(flags) & flag:
            print(f"extmap-tf: note: {flag.meaning}", file=sys.stderr)
    if args.distance is not None:
        print(*(f"{value:.4f}" for value in values.value.ravel()), values.unit)
        return
    at = volume.distance.outer_kpc if args.quantity == "cumulative" else volume.distance.centers_kpc
    names = [f"{p:g}%" for p in args.percentile or ()]
    print(f"# distance / kpc   {args.quantity} / {values.unit}", *names)
    for distance_kpc, row in zip(at, values.value.reshape(-1, len(at)).T, strict=True):
        print(f"{distance_kpc:10.3f}", *(f"{value:10.4f}" for value in row))


def _merge(args):
    from extmap_tf.files import refuse_existing
    from extmap_tf.map.merge import merge_maps
    from extmap_tf.map.volume import ExtinctionMap

    refuse_existing(args.out, args.overwrite)
    volumes = [ExtinctionMap.read(path) for path in args.maps]
    merge_maps(volumes, args.maps, args.independent).write(args.out, overwrite=args.overwrite)


def _plot(args):
    from extmap_tf.map.gallery import draw_all
    from extmap_tf.map.volume import ExtinctionMap

    sightlines = chosen_sightlines(args)
    truth = ExtinctionMap.read(args.truth) if args.truth else None
    paths = draw_all(
        ExtinctionMap.read(args.map),
        args.out,
        truth=truth,
        sightlines=sightlines or None,
        suffix=args.format,
        overwrite=args.overwrite,
        arms=args.arms,
    )
    for path in paths:
        print(path)


def _info(args):
    from extmap_tf.info import describe

    for path in args.path:
        print("\n".join(describe(path, verify=args.verify)))
