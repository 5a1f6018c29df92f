"""Walls of dust behind mock stars: whether a model, or the direct fit, puts a jump of A(Ks) where it is.

    python tests/benchmarks/walls.py [MODEL] [--fields N] [--places N] [--fit] [--json FILE]

Thin walls of 0.3, 1 and 2 mag at 1, 2 and 4 kpc on three of the model's training sightlines (or one: the
middle), of stars that the training never saw, with nothing off and with nuisances as trained. A row for each
wall: share of the jump within 20 % of its distance, distance of its half and total extinction over the
wall's, and how many true values behind it lie in the 68 % interval. With --fit, the direct fit of the same
fields beside it: seconds a field, and 15 s for each place and loss of depth by crowding. What the true
posterior makes of these walls, `forecast.py` says.
"""

import argparse

import numpy as np

from extmap_tf.evaluation.metrics import write_json
from extmap_tf.evaluation.walls import wall_density, wall_score
from extmap_tf.mocks.fields import dim_and_count, one_field, visible_limits_mag
from extmap_tf.mocks.nuisances import draw_nuisances, nothing_off
from extmap_tf.mocks.pools import sightline_catalog
from extmap_tf.quiet import start_tensorflow
from extmap_tf.text_tables import aligned

WALLS_MAG, WALLS_KPC, N_PLACES = (0.3, 1.0, 2.0), (1.0, 2.0, 4.0), 3
GROUPS = ("nothing off", "as trained")
HEADER = [
    ("fields", ""),
    ("by", ""),
    ("wall", "mag"),
    ("at", "kpc"),
    ("share near", ""),
    ("half", "/ distance"),
    ("total", "/ wall"),
    ("in 68 %", ""),
]


def places_of(config, n_places=N_PLACES):
    """Training sightlines (l, b) spread over the region; of one, that in the middle."""
    places = config.mocks.sightlines_deg()
    last = len(places) - 1
    spread = np.linspace(0, last, n_places) if n_places > 1 else np.array([last / 2])
    return [places[i] for i in np.unique(spread.round().astype(int))]


def fields_behind(config, density, group, n_fields, places, rng):
    """A model's inputs by name [n, ...] of fields behind a wall, `n_fields` at each place, by all surveys."""
    found = []
    for l_deg, b_deg in places:
        pool = sightline_catalog(config, l_deg, b_deg, "test")
        for _ in range(n_fields):
            off = nothing_off(config.nuisances)
            if group == "as trained":
                off = draw_nuisances(config.nuisances, rng, config.surveys)
            stars = one_field(
                pool, config.sightlines.area_deg2, rng, off, visible_limits_mag(config.surveys, off)
            )
            diagrams = dim_and_count(stars, density, config, rng, nuisances=off)
            coverage = {view.named("coverage"): 1.0 for view in config.views}
            found.append(diagrams | coverage | {"l_deg": l_deg, "b_deg": b_deg})
    return {name: np.array([field[name] for field in found]) for name in found[0]}


def fitted_percentiles(fit, config, fields):
    """Percentiles [n, n_percentiles, n_distances] of the direct fit."""
    from extmap_tf.fit.expected_cmd import crowding_losses_mag, expected_cmds

    counts, l_deg, b_deg = (fields[name] for name in ("counts", "l_deg", "b_deg"))
    area_deg2 = config.sightlines.area_deg2
    losses_mag = crowding_losses_mag(counts, config.diagrams[0], config.survey, area_deg2)
    keys = list(zip(l_deg.tolist(), b_deg.tolist(), losses_mag.tolist(), strict=True))
    found = [None] * len(counts)
    for key in sorted(set(keys)):
        l, b, loss_mag = key
        sightline = fit.prepare(expected_cmds(config, l, b, [loss_mag])[0])
        here = [i for i, other in enumerate(keys) if other == key]
        for i, percentiles in zip(
            here, fit.fit(counts[here], sightline).profiles.extinction_percentiles, strict=True
        ):
            found[i] = percentiles
    return np.array(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="carina")
    parser.add_argument("--fields", type=int, default=12, help="for each wall, place and group")
    parser.add_argument("--places", type=int, choices=(1, 2, 3), default=N_PLACES)
    parser.add_argument("--fit", action="store_true", help="the direct fit beside the model")
    parser.add_argument("--json")
    args = parser.parse_args()
    start_tensorflow()
    from extmap_tf.fit.directfit import DirectFit
    from extmap_tf.model.scoring import Scorer
    from extmap_tf.model.versions import find_saved_model

    folder, card = find_saved_model(args.model)
    config, scorer = card.config, Scorer(folder)
    rng, places = np.random.default_rng(2022), places_of(config, args.places)
    cases = [(group, mag, kpc) for group in GROUPS for mag in WALLS_MAG for kpc in WALLS_KPC]
    fields = [
        fields_behind(config, wall_density(mag, kpc, config.distance), group, args.fields, places, rng)
        for group, mag, kpc in cases
    ]
    # All at once: many walls share a place and a loss of depth, and so the direct fit's table.
    every = {name: np.concatenate([part[name] for part in fields]) for name in fields[0]}
    by = {args.model: scorer.score_counts(**every).extinction_percentiles}
    if args.fit:
        by["direct fit"] = fitted_percentiles(DirectFit(config), config, every)
    scores = []
    for i, (group, mag, kpc) in enumerate(cases):
        for name, percentiles in by.items():
            here = np.split(percentiles, len(cases))[i]
            score = wall_score(here, mag, kpc, config.distance.step_kpc, group)
            scores.append({"by": name, **score.to_dict()})
    lines = [
        [row["group"], row["by"], f"{row['wall_mag']:g}", f"{row['distance_kpc']:g}"]
        + [
            f"{row[name]:.2f}"
            for name in ("share_near", "half_over_distance", "total_over_wall", "coverage_68")
        ]
        for row in scores
    ]
    print(aligned(HEADER, lines))
    if args.json:
        write_json({"walls": scores}, args.json, overwrite=True)


if __name__ == "__main__":
    main()
