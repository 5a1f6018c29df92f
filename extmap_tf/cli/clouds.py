"""``extmap-tf clouds``."""

from pathlib import Path

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.options import add_model, add_sightlines, chosen_sightlines, finite, named, place_of
from extmap_tf.program import Command
from extmap_tf.quiet import start_tensorflow


def _add_options(parser):
    parser.add_argument("map", help="map of 'score'")
    add_sightlines(parser, "only the clouds on this sightline, in degrees; may be repeated")
    parser.add_argument(
        "--min-step",
        type=finite,
        metavar="MAG",
        help="leave out smaller steps of a sightline (default: 0.05)",
    )
    parser.add_argument(
        "--min-share",
        type=finite,
        metavar="SHARE",
        help="leave out steps of a smaller share of the extinction behind them (default: 0.1)",
    )
    parser.add_argument(
        "--min-sigma",
        type=finite,
        metavar="NUMBER",
        help="leave out steps of fewer of their own standard deviations (default: 3)",
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
    parser.add_argument("--figure", metavar="FILE", help="also draw the clouds: .png or .pdf")
    add_model(
        parser,
        "with --figure: also draw the smallest wall of dust that this model shows at each distance, by walls "
        "before mock stars on some of its training sightlines (a minute)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def _run(args):
    from extmap_tf.compare import cloud_tables, published_clouds
    from extmap_tf.compare.clouds import clouds_at, find_clouds
    from extmap_tf.compare.steps import StepRule
    from extmap_tf.files import refuse_existing
    from extmap_tf.map.volume import ExtinctionMap

    if args.place and not args.table:
        args.parser.error("--place goes with --table")
    if args.model and not args.figure:
        args.parser.error("--model goes with --figure")
    if args.figure:
        refuse_existing(args.figure, args.overwrite)
        if Path(args.figure).suffix.lower() not in (".png", ".pdf"):
            raise ConfigError(f"{args.figure}: the name of a figure must end in .png or .pdf")
    if args.out:
        refuse_existing(args.out, args.overwrite)
        cloud_tables.require_table_name(args.out)
    sightlines = chosen_sightlines(args)
    limits = {"min_mag": args.min_step, "min_share": args.min_share, "min_sigma": args.min_sigma}
    rule = StepRule(**{name: value for name, value in limits.items() if value is not None})
    volume = ExtinctionMap.read(args.map)
    places = {}
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
    for l_deg, b_deg in sightlines:
        if volume.grid.sightline_of([l_deg], [b_deg])[0] < 0:
            raise DataError(f"sightline l = {l_deg:g}, b = {b_deg:g} is outside the map")
    found = find_clouds(volume, rule)
    if places:
        rows = published_clouds.compare_clouds(volume, found, table, places, args.radius)
        print(published_clouds.format_cloud_comparison(rows))
        if not (args.out or args.figure):
            return
    if sightlines:
        chosen = [cloud for place in sightlines for cloud in clouds_at(volume, found, *place)]
        found = [cloud for cloud in found if cloud in chosen]
    if args.figure:
        from extmap_tf.figures.clouds import clouds_and_walls
        from extmap_tf.figures.style import save

        walls = _walls_of(args, rule) if args.model else None
        save(clouds_and_walls(found, volume, walls), args.figure, args.overwrite)
    if args.out:
        cloud_tables.write_clouds(found, volume, args.out, args.overwrite)
        print(f"{args.out}: {len(found)} clouds")
    else:
        print(cloud_tables.format_clouds(found, volume.band) if found else "no clouds found")


def _walls_of(args, rule):
    """The smallest walls that the model shows on some of its training sightlines."""
    from extmap_tf.compare.visible_walls import places_to_try, visible_walls
    from extmap_tf.model.versions import find_saved_model

    folder, card = find_saved_model(args.model)
    start_tensorflow()
    from extmap_tf.model.scoring import Scorer

    sample = Scorer(folder, args.trust_model).sample_counts
    return visible_walls(sample, card.config, places_to_try(card.config), rule)


COMMAND = Command(
    "clouds",
    "Find clouds: steps of the extinction on neighbouring sightlines at one distance, with distance, extent, "
    "column and mass of dust, with central intervals. Without --out or --table, print them.",
    _add_options,
    _run,
)
