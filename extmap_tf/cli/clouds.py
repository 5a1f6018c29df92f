"""``extmap-tf clouds``."""

from extmap_tf.errors import ConfigError
from extmap_tf.options import add_sightlines, chosen_sightlines, finite, named, place_of
from extmap_tf.program import Command


def _add_options(parser):
    parser.add_argument("map", help="map of 'score'")
    add_sightlines(parser, "where to look, in degrees; may be repeated (default: everywhere)")
    parser.add_argument(
        "--min-jump", type=finite, metavar="MAG", help="leave out smaller jumps (default: 0.05)"
    )
    parser.add_argument(
        "--min-contrast",
        type=finite,
        metavar="SHARE",
        help="a peak must stand out by this share of its height (default: 0.5)",
    )
    parser.add_argument(
        "--min-sigma",
        type=finite,
        metavar="NUMBER",
        help="leave out jumps of fewer of their own standard deviations (default: 2)",
    )
    parser.add_argument("--out", help="table to write: .ecsv, .csv, .fits or .vot")
    parser.add_argument(
        "--table",
        help="compare with the distances of this CSV: region, distance_pc, err_pc, perhaps l_deg, b_deg",
    )
    parser.add_argument(
        "--place",
        action="append",
        default=[],
        metavar="REGION=L,B",
        help="where a region of --table is, in degrees; may be repeated (default: all that it has places of)",
    )
    parser.add_argument(
        "--radius", type=finite, default=1.0, metavar="DEG", help="radius around a place (default: 1)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing table")


def _run(args):
    from extmap_tf.compare import cloud_tables, published_clouds
    from extmap_tf.compare.clouds import find_all_clouds
    from extmap_tf.files import refuse_existing
    from extmap_tf.map.volume import ExtinctionMap

    if args.place and not args.table:
        args.parser.error("--place goes with --table")
    if args.out:
        refuse_existing(args.out, args.overwrite)
        cloud_tables.require_table_name(args.out)
    sightlines = chosen_sightlines(args) or None
    how = {
        "min_jump_mag": args.min_jump,
        "min_contrast": args.min_contrast,
        "min_sigma": args.min_sigma,
    }
    how = {name: value for name, value in how.items() if value is not None}
    volume = ExtinctionMap.read(args.map)
    if args.table:
        table = published_clouds.read_cloud_distances(args.table)
        places = {
            region: place_of(text, "--place")
            for region, text in named(args.place, "--place", "REGION=L,B").items()
        }
        places = places or published_clouds.places_in(volume, table)
        if not places:
            raise ConfigError(
                f"{args.table} has no region with l_deg and b_deg inside the map: give --place REGION=L,B"
            )
        rows = published_clouds.compare_clouds(volume, table, places, args.radius, **how)
        print(published_clouds.format_cloud_comparison(rows))
        if not args.out:
            return
    found = find_all_clouds(volume, sightlines, **how)
    if args.out:
        cloud_tables.write_clouds(found, volume, args.out, args.overwrite)
        print(f"{args.out}: {len(found)} clouds")
    else:
        print(cloud_tables.format_clouds(found, volume.provenance.band))


COMMAND = Command(
    "clouds",
    "Find clouds along sightlines: distance, extent and jump, with their uncertainty. Without --out or "
    "--table, print them.",
    _add_options,
    _run,
)
