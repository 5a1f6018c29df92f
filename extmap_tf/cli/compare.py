"""``extmap-tf compare``."""

from typing import Any

from extmap_tf import __version__
from extmap_tf.errors import ConfigError
from extmap_tf.formats import COMPARISON
from extmap_tf.options import (
    add_law,
    add_numbers_and_figures,
    add_sightlines,
    chosen_sightlines,
    finite,
    law_of,
)
from extmap_tf.program import Command


def _add_options(parser):
    parser.add_argument("map", help="map of 'score'")
    parser.add_argument(
        "--with",
        dest="other",
        required=True,
        metavar="OTHER",
        help="another map of ours, the table of Marshall et al. 2006 (VizieR J/A+A/453/635), profiles of "
        "Bayestar's web server, or a class of dustmaps, as dustmaps.bayestar:BayestarQuery",
    )
    parser.add_argument("--name", help="what to call the other map")
    parser.add_argument(
        "--band", help="band of the other map, such as V or E(B-V); only a class of dustmaps needs it"
    )
    add_law(parser, "extinction law of the conversion, instead of the map's own")
    parser.add_argument(
        "--per-unit",
        type=finite,
        metavar="X",
        help="instead of --band: extinction in the map's band per unit of the other (for the E(B-V) of SFD "
        "and Bayestar in Ks: 0.31)",
    )
    parser.add_argument(
        "--distance",
        type=finite,
        nargs="+",
        metavar="KPC",
        help="distances to compare at (default: 0.5, 1, 2, 3, 5, 8)",
    )
    add_numbers_and_figures(parser)
    add_sightlines(parser, "profile to draw, in degrees; may be repeated (default: six of them)")


def _run(args):
    from extmap_tf.compare.maps import DISTANCES_KPC, compare
    from extmap_tf.compare.other_maps import open_other
    from extmap_tf.evaluation.metrics import write_json
    from extmap_tf.files import refuse_existing
    from extmap_tf.map.volume import ExtinctionMap

    law = law_of(args)
    if args.per_unit is not None and (args.band or law):
        args.parser.error("give either --per-unit, or --band and --law")
    if args.out:
        refuse_existing(args.out, args.overwrite)
    if args.figures:
        from extmap_tf.figures.comparison import FIGURES
        from extmap_tf.figures.style import figure_paths

        figure_paths(FIGURES, args.figures, args.format, args.overwrite)
    sightlines = chosen_sightlines(args)
    volume, other = ExtinctionMap.read(args.map), open_other(args.other)
    how: dict[str, Any] = {"name": args.name or other.name}
    if args.per_unit is not None:
        how["per_unit"] = args.per_unit
    elif args.band or other.band:
        how |= {"band": args.band or other.band, "law": law}
    elif other.ks_per_unit is not None:
        how["per_unit"] = other.ks_per_unit / volume.band_factor("Ks", law)
    else:
        raise ConfigError(
            f"{args.other}: the band of its numbers is unknown: give --band 'E(B-V)', --band V or "
            "--per-unit X"
        )
    found = compare(volume, other.map, distances_kpc=args.distance or DISTANCES_KPC, **how)
    print(found.table())
    if args.figures:
        from astropy.coordinates import SkyCoord

        from extmap_tf.figures.comparison import draw_comparison, spread_positions

        places = SkyCoord(sightlines or spread_positions(found), unit="deg", frame="galactic")
        how["distances_kpc"] = volume.distance.outer_kpc
        everywhere = compare(volume, other.map, **how)
        profiles = compare(volume, other.map, coords=places, **how)
        for path in draw_comparison(found, everywhere, profiles, args.figures, args.format, args.overwrite):
            print(path)
    if args.out:
        about = {"format": COMPARISON, "software_version": __version__, "of": [args.map, args.other]}
        write_json(about | found.to_dict(), args.out, args.overwrite)


COMMAND = Command(
    "compare",
    "Compare a map with another: correlation, offset and scatter at each distance, and figures.",
    _add_options,
    _run,
)
