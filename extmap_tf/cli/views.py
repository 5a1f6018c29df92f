"""What ``plot`` and ``report`` draw beside a map: their options, and what those give."""

import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from extmap_tf.options import add_law, chosen_sightlines, law_of

if TYPE_CHECKING:
    from extmap_tf.grids.diagram import Cmds
    from extmap_tf.map.volume import ExtinctionMap


def add_view(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--arms",
        nargs="*",
        metavar="NAME",
        help="draw spiral arms over the face-on view: all, or those named (Perseus, Carina, ...)",
    )
    parser.add_argument(
        "--clouds",
        metavar="TABLE",
        help="published clouds to show: a table with columns region, distance_pc, err_pc, l_deg, b_deg",
    )
    parser.add_argument(
        "--records", help="folder of 'records survey' behind the map, to draw the CMDs beside the profiles"
    )


def add_band(parser: ArgumentParser) -> None:
    """``--band`` and ``--law``: what the figures show, see `maps_of`."""
    parser.add_argument(
        "--band", help="show another band than the map's own, or a colour excess, such as E(J-Ks)"
    )
    add_law(parser, "extinction law of --band, instead of the map's own")


def maps_of(args: Namespace) -> "tuple[ExtinctionMap, ExtinctionMap | None]":
    """The map, and that of --truth if there is one, in the band of --band."""
    from extmap_tf.map.volume import ExtinctionMap

    law = law_of(args)

    def shown(path):
        return ExtinctionMap.read(path).in_band(args.band, law)

    return shown(args.map), shown(args.truth) if args.truth else None


def view_of(args: Namespace, volume: "ExtinctionMap", all_cmds: "Cmds" = ()) -> dict[str, Any]:
    """Sightlines, arms, clouds and CMDs to draw, as keywords; `all_cmds` if all CMDs are at hand.

    CMDs are read when they are drawn, which is after everything else was checked.
    """
    from extmap_tf.compare.published_clouds import read_cloud_distances
    from extmap_tf.figures.behind import cmds_behind
    from extmap_tf.figures.gallery import spread_sightlines

    how: dict[str, Any] = {"sightlines": chosen_sightlines(args) or spread_sightlines(volume)}
    how["arms"] = args.arms or args.arms is not None
    if args.clouds:
        how["clouds"] = read_cloud_distances(args.clouds)
    if all_cmds:
        places = volume.grid.sightline_of(*zip(*how["sightlines"], strict=True))
        how["cmds"] = lambda: [(diagram, counts[places]) for diagram, counts in all_cmds]
    elif args.records:
        how["cmds"] = lambda: cmds_behind(args.records, volume, how["sightlines"])
    return how


def note_what_is_missing(volume: "ExtinctionMap") -> None:
    from extmap_tf.figures.plane import NEAR_THE_PLANE_DEG, reaches_the_plane

    if not reaches_the_plane(volume.grid):
        print(
            "extmap-tf: note: no view from above is drawn: no sightline is within "
            f"{NEAR_THE_PLANE_DEG:g} deg of the plane",
            file=sys.stderr,
        )
