"""Subcommands of ``extmap-tf`` that need a map and nothing heavier."""

import sys
from pathlib import Path

from extmap_tf import __version__
from extmap_tf.cli_options import (
    add_numbers_and_figures,
    add_sightlines,
    chosen_sightlines,
    finite,
    named,
    place_of,
)
from extmap_tf.errors import ConfigError, ExtmapError
from extmap_tf.quiet import start_tensorflow


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
    query.add_argument("--mode", help="median (default), mean, std, percentile, samples or random_sample")
    query.add_argument(
        "--percentile", type=float, nargs="+", metavar="P", help="in percent; implies --mode percentile"
    )
    _add_law(query, "instead of the map's own")
    query.add_argument("--sky", default="nearest", help="nearest field (default) or linear between fields")
    query.add_argument("--seed", type=int, help="of random_sample (default: 0)")
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

    compare = add(
        "compare",
        _compare,
        "A map beside another: correlation, offset and scatter at each distance, and figures.",
    )
    compare.add_argument("map", help="map of 'score'")
    compare.add_argument(
        "--with",
        dest="other",
        required=True,
        metavar="OTHER",
        help="another map of ours, the table of Marshall et al. 2006 (VizieR J/A+A/453/635), profiles of "
        "Bayestar's web server, or a class of dustmaps, as dustmaps.bayestar:BayestarQuery",
    )
    compare.add_argument("--name", help="what to call the other map")
    compare.add_argument(
        "--band", help="what the other's numbers are, such as V or E(B-V); known of all but dustmaps"
    )
    _add_law(compare, "by which they are converted, instead of the map's own")
    compare.add_argument(
        "--per-unit",
        type=finite,
        metavar="X",
        help="instead of --band: extinction in the map's band per unit of the other (for the E(B-V) of SFD "
        "and Bayestar in Ks: 0.31)",
    )
    compare.add_argument(
        "--distance", type=finite, nargs="+", metavar="KPC", help="default: 0.5, 1, 2, 3, 5, 8"
    )
    add_numbers_and_figures(compare)
    add_sightlines(compare, "profile to draw, in degrees; may be repeated (default: six of them)")

    clouds = add(
        "clouds",
        _clouds,
        "Clouds along sightlines: distance, extent and jump, with their uncertainty. Without --out or "
        "--table they are printed.",
    )
    clouds.add_argument("map", help="map of 'score'")
    add_sightlines(clouds, "where to look, in degrees; may be repeated (default: everywhere)")
    clouds.add_argument(
        "--min-jump", type=finite, metavar="MAG", help="leave out smaller jumps (default: 0.05)"
    )
    clouds.add_argument(
        "--min-contrast",
        type=finite,
        metavar="SHARE",
        help="a peak must stand out by this share of its height (default: 0.5)",
    )
    clouds.add_argument(
        "--min-sigma",
        type=finite,
        metavar="NUMBER",
        help="leave out jumps of fewer of their own standard deviations (default: 2)",
    )
    clouds.add_argument("--out", help="table to write: .ecsv, .csv, .fits or .vot")
    clouds.add_argument(
        "--table",
        help="compare with the distances of this CSV: region, distance_pc, err_pc, perhaps l_deg, b_deg",
    )
    clouds.add_argument(
        "--place",
        action="append",
        default=[],
        metavar="REGION=L,B",
        help="where a region of --table is, in degrees; may be repeated (default: all that it has places of)",
    )
    clouds.add_argument(
        "--radius", type=finite, default=1.0, metavar="DEG", help="around a place (default: 1)"
    )
    clouds.add_argument("--overwrite", action="store_true", help="replace an existing table")

    merge = add("merge", _merge, "Combine maps of neighbouring regions or of several runs.")
    merge.add_argument("maps", nargs="+", help="maps of 'score', two or more")
    merge.add_argument("-o", "--out", required=True, help="map to make (FITS)")
    merge.add_argument(
        "--independent", action="store_true", help="the maps rest on different stars, so errors average out"
    )
    merge.add_argument("--overwrite", action="store_true", help="replace an existing map")

    convert = add(
        "convert",
        _convert,
        "A copy of a map on HEALPix pixels for other programs: .fits for those that read HEALPix tables, .h5 "
        "for dustmaps, whose BayestarQuery reads it.",
    )
    convert.add_argument("map", help="map of 'score'")
    convert.add_argument("out", help="file to make: .fits, .h5 or .hdf5")
    convert.add_argument(
        "--nside",
        type=int,
        metavar="N",
        help="a power of two (default: the smallest that keeps 99 %% of the sightlines)",
    )
    convert.add_argument("--band", help="of .h5: other than the map's own, such as V or E(B-V)")
    _add_law(convert, "of --band, instead of the map's own")
    convert.add_argument("--overwrite", action="store_true", help="replace an existing file")

    plot = add("plot", _plot, "Figures of a map: face-on view, sky, slices, profiles, uncertainty.")
    plot.add_argument("map", help="map of 'score'")
    plot.add_argument("--out", required=True, help="folder for the figures")
    plot.add_argument("--truth", help="true map to show beside it")
    add_sightlines(plot, "profile to draw, in degrees; may be repeated")
    plot.add_argument("--format", default="png", choices=["png", "pdf"])
    plot.add_argument("--overwrite", action="store_true", help="replace existing figures")
    _add_view(plot)

    report = add(
        "report",
        _report,
        "One HTML file on a map: what it is, a sky to explore, figures, flags, reliable distances, errors if "
        "the truth is known. It needs no network and no other file.",
    )
    report.add_argument("map", help="map of 'score'")
    report.add_argument(
        "-o", "--out", required=True, help="file to make (.html), or a folder for report.html"
    )
    report.add_argument("--truth", help="true map; then errors are told too")
    report.add_argument("--model", help="SavedModel that made the map, to tell its card")
    add_sightlines(report, "profile to draw, in degrees; may be repeated (default: six of them)")
    _add_view(report)
    report.add_argument(
        "--static",
        action="store_true",
        help="without the part to explore: a slider of distance, profiles (with --records, CMDs) at a click",
    )
    report.add_argument("--overwrite", action="store_true", help="replace an existing file")

    info = add("info", _info, "Describe anything that extmap-tf writes, or a table of stars.")
    info.add_argument("path", nargs="+")
    info.add_argument("--verify", action="store_true", help="also check every checksum")


def _add_view(parser):
    parser.add_argument(
        "--arms",
        nargs="*",
        metavar="NAME",
        help="draw spiral arms over the face-on view: all, or those named (Perseus, Carina, ...)",
    )
    parser.add_argument(
        "--records", help="folder of 'records survey' behind the map, to draw the CMDs beside the profiles"
    )


def _view(args, volume, all_cmds=None):
    """Sightlines, arms and CMDs to draw, as keywords; `all_cmds` if those of all sightlines are at hand."""
    from extmap_tf.figures.gallery import spread_sightlines

    how = {"sightlines": chosen_sightlines(args) or spread_sightlines(volume)}
    how["arms"] = args.arms or args.arms is not None
    if all_cmds:
        grid, counts = all_cmds
        # A place outside the map is refused where it would be drawn.
        how["cmds"] = grid, counts[volume.grid.sightline_of(*zip(*how["sightlines"], strict=True))]
    elif args.records:
        how["cmds"] = _cmds(args.records, volume, how["sightlines"])
    return how


def _cmds(folder, volume, sightlines):
    """The grid and the counts of the diagrams behind some sightlines of a map."""
    from extmap_tf.records.manifest import Records

    records = Records.open(folder)
    made_for, found = volume.provenance.config_digest, records.manifest.config.digest
    if records.manifest.kind != "survey" or found != made_for:
        raise ConfigError(
            f"{folder} holds {records.manifest.kind} records of configuration {found}, the map was made of "
            f"survey records of {made_for}: give those"
        )
    start_tensorflow()
    from extmap_tf.records.dataset import survey_fields

    return records.manifest.config.cmd, survey_fields(records, sightlines)["counts"]


def _add_law(parser, what):
    parser.add_argument("--law", help=f"{what}: a model of dust_extinction, such as F19")
    parser.add_argument("--rv", type=finite, help="R(V) of --law (default: 3.1)")


def _law(args):
    if args.law is None:
        if args.rv is not None:
            args.parser.error("--rv goes with --law")
        return None
    from extmap_tf.settings.config import LawConfig

    return LawConfig(args.law) if args.rv is None else LawConfig(args.law, args.rv)


def _query(args):
    from extmap_tf.map.volume import ExtinctionMap

    if bool(args.table) != bool(args.out) or (args.column and not args.table):
        args.parser.error("--table and --out go together, and --column with them")
    mode = args.mode or ("percentile" if args.percentile else "median")
    if args.percentile and mode != "percentile":
        args.parser.error(f"give either --percentile or --mode {mode}")
    if args.seed is not None and mode != "random_sample":
        args.parser.error("--seed goes with --mode random_sample")
    how = {name: getattr(args, name) for name in ("band", "quantity", "percentile", "sky")}
    how |= {"mode": mode, "seed": args.seed or 0, "law": _law(args)}
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
    from extmap_tf.estimate import Flag

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


def _compare(args):
    from extmap_tf.compare.maps import DISTANCES_KPC, compare
    from extmap_tf.compare.other_maps import open_other
    from extmap_tf.evaluation.metrics import write_json
    from extmap_tf.files import refuse_existing
    from extmap_tf.map.volume import ExtinctionMap

    law = _law(args)
    if args.per_unit is not None and (args.band or law):
        args.parser.error("give either --per-unit, or --band and --law")
    if args.out:
        refuse_existing(args.out, args.overwrite)
    if args.figures:
        from extmap_tf.figures.comparison import figure_paths

        figure_paths(args.figures, args.format, args.overwrite)
    sightlines = chosen_sightlines(args)
    volume, other = ExtinctionMap.read(args.map), open_other(args.other)
    how = {"name": args.name or other.name}
    if args.per_unit is not None:
        how["per_unit"] = args.per_unit
    elif args.band or other.band:
        how |= {"band": args.band or other.band, "law": law}
    elif other.ks_per_unit is not None:
        how["per_unit"] = other.ks_per_unit / volume.band_factor("Ks", law)
    else:
        raise ConfigError(
            f"{args.other}: say what its numbers are: --band 'E(B-V)', --band V or --per-unit X"
        )
    found = compare(volume, other.map, distances_kpc=args.distance or DISTANCES_KPC, **how)
    print(found.table())
    if args.figures:
        from astropy.coordinates import SkyCoord

        from extmap_tf.figures.comparison import draw_comparison, spread_positions

        places = SkyCoord(sightlines or spread_positions(found), unit="deg", frame="galactic")
        profiles = compare(volume, other.map, coords=places, distances_kpc=volume.distance.outer_kpc, **how)
        for path in draw_comparison(found, profiles, args.figures, args.format, args.overwrite):
            print(path)
    if args.out:
        about = {"software_version": __version__, "of": [args.map, args.other]}
        write_json(about | found.to_dict(), args.out, args.overwrite)


def _clouds(args):
    from extmap_tf.compare import clouds
    from extmap_tf.files import refuse_existing
    from extmap_tf.map.volume import ExtinctionMap

    if args.place and not args.table:
        args.parser.error("--place goes with --table")
    if args.out:
        refuse_existing(args.out, args.overwrite)
        clouds.require_table_name(args.out)
    sightlines = chosen_sightlines(args) or None
    how = {
        "min_jump_mag": args.min_jump,
        "min_contrast": args.min_contrast,
        "min_sigma": args.min_sigma,
    }
    how = {name: value for name, value in how.items() if value is not None}
    volume = ExtinctionMap.read(args.map)
    if args.table:
        table = clouds.read_cloud_distances(args.table)
        places = {
            region: place_of(text, "--place")
            for region, text in named(args.place, "--place", "REGION=L,B").items()
        }
        places = places or clouds.places_in(volume, table)
        if not places:
            raise ConfigError(
                f"{args.table} has no region with l_deg and b_deg inside the map: give --place REGION=L,B"
            )
        rows = clouds.compare_clouds(volume, table, places, args.radius, **how)
        print(clouds.format_cloud_comparison(rows))
        if not args.out:
            return
    found = clouds.find_all_clouds(volume, sightlines, **how)
    if args.out:
        clouds.write_clouds(found, volume, args.out, args.overwrite)
        print(f"{args.out}: {len(found)} clouds")
    else:
        print(clouds.format_clouds(found, volume.provenance.band))


def _merge(args):
    from extmap_tf.files import refuse_existing
    from extmap_tf.map.merge import merge_maps
    from extmap_tf.map.volume import ExtinctionMap

    refuse_existing(args.out, args.overwrite)
    known = {}
    for path in args.maps:
        # The same stars twice would count as two measurements.
        real = Path(path).resolve()
        if real in known:
            raise ConfigError(f"{path} is the same file as {known[real]}: give each map once")
        known[real] = path
    volumes = [ExtinctionMap.read(path) for path in args.maps]
    merge_maps(volumes, args.maps, args.independent).write(args.out, overwrite=args.overwrite)
    print(args.out)


def _convert(args):
    from extmap_tf.files import refuse_existing
    from extmap_tf.map.healpix import write_hdf5, write_healpix
    from extmap_tf.map.volume import ExtinctionMap

    suffix = Path(args.out).suffix.lower()
    if suffix not in (".fits", ".h5", ".hdf5"):
        raise ConfigError(f"{args.out}: the name of a copy must end in .fits, .h5 or .hdf5")
    law = _law(args)
    if suffix == ".fits" and (args.band or law):
        option = "--band" if args.band else "--law"
        raise ConfigError(f"{option} goes with .h5; the values of {args.out} stay in the map's own band")
    refuse_existing(args.out, args.overwrite)
    volume = ExtinctionMap.read(args.map)
    if suffix == ".fits":
        pixels = write_healpix(volume, args.out, args.nside, args.overwrite)
    else:
        pixels = write_hdf5(volume, args.out, args.nside, args.band, law, args.overwrite)
    print(f"{args.out}: {len(pixels.index):,} pixels of nside {pixels.nside}")
    left_out = volume.grid.n_sightlines - pixels.n_sightlines
    if left_out:
        print(
            f"extmap-tf: note: {left_out:,} of {volume.grid.n_sightlines:,} sightlines are nearest to no "
            f"pixel; --nside {2 * pixels.nside} keeps more of them",
            file=sys.stderr,
        )


def _plot(args):
    from extmap_tf.figures.gallery import draw_all, figure_paths
    from extmap_tf.map.volume import ExtinctionMap

    volume = ExtinctionMap.read(args.map)
    truth = ExtinctionMap.read(args.truth) if args.truth else None
    how = {"truth": truth, "suffix": args.format, "overwrite": args.overwrite}
    # Before the records are read, which takes seconds.
    figure_paths(volume, args.out, **how)
    paths = draw_all(volume, args.out, **how, **_view(args, volume))
    for path in paths:
        print(path)
    _note_what_is_missing(volume)


def _note_what_is_missing(volume):
    from extmap_tf.figures.maps import NEAR_THE_PLANE_DEG, reaches_the_plane

    if not reaches_the_plane(volume.grid):
        print(
            "extmap-tf: note: no view from above, for no sightline is within "
            f"{NEAR_THE_PLANE_DEG:g} deg of the plane",
            file=sys.stderr,
        )


def _report(args):
    from extmap_tf.files import refuse_existing
    from extmap_tf.map.volume import ExtinctionMap
    from extmap_tf.report.report import can_be_explored, report_path, write_report

    refuse_existing(report_path(args.out), args.overwrite)
    volume = ExtinctionMap.read(args.map)
    truth = ExtinctionMap.read(args.truth) if args.truth else None
    model = _summary_of_model(args.model, volume) if args.model else ()
    interactive = not args.static and can_be_explored(volume)
    how = {"truth": truth, "model": model, "interactive": interactive, "overwrite": args.overwrite}
    if args.records and interactive:
        places = list(zip(*volume.grid.centers_deg(), strict=True))
        how["all_cmds"] = _cmds(args.records, volume, places)
    view = _view(args, volume, how.get("all_cmds"))
    print(write_report(volume, args.out, **how, **view))
    if interactive != (not args.static):
        print(
            "extmap-tf: note: without a part to explore, which HEALPix maps do not have (as with --static)",
            file=sys.stderr,
        )
    _note_what_is_missing(volume)


def _summary_of_model(path, volume):
    from extmap_tf.info import model_summary
    from extmap_tf.model.versions import find_saved_model

    _, card = find_saved_model(path)
    if card.digest != volume.provenance.model_digest:
        raise ConfigError(
            f"{path} is not the model of the map: it is {card.digest}, the map was made by "
            f"{volume.provenance.model_digest or 'none'}"
        )
    return model_summary(card)


def _info(args):
    from extmap_tf.info import describe

    errors = []
    for path in args.path:
        try:
            lines = describe(path, verify=args.verify)
        except (ExtmapError, OSError) as error:
            errors.append(error)
        else:
            print("\n".join(lines))
    if errors:
        raise ExceptionGroup("info", errors)
