"""What a model's errors and intervals are worth on skies that differ from its mocks.

    python tests/benchmarks/other_skies.py [MODEL] [--pairs N]

Each sky has fresh profiles and the stars of the test pairs; one thing is off in all of its fields. The first
is as the model was trained: everything a little off, drawn for each field. A cell holds the mean absolute
error in mag and how many truths, in %, lie in the 68 and 90 % intervals.
"""

import argparse

import numpy as np

from extmap_tf.estimate import ProfileEstimate
from extmap_tf.evaluation.metrics import evaluate
from extmap_tf.extinction.profiles import draw_density
from extmap_tf.mocks.fields import dim_and_count, one_field
from extmap_tf.mocks.nuisances import Nuisances, draw_nuisances
from extmap_tf.mocks.patchiness import draw_patchiness
from extmap_tf.mocks.pools import sightline_catalog
from extmap_tf.quiet import start_tensorflow

SKIES = {
    "as trained": None,
    "nothing off": Nuisances(),
    "20 % more stars": Nuisances(ln_count=np.log(1.2)),
    "20 % fewer stars": Nuisances(ln_count=np.log(0.8)),
    "J - Ks redder by 0.05 mag": Nuisances(color_mag=0.05),
    "A(J)/A(Ks) higher by 0.3": Nuisances(law_ratio=0.3),
    "A(J)/A(Ks) lower by 0.3": Nuisances(law_ratio=-0.3),
}
DISTANCES_KPC = (1.0, 3.0, 5.0, 8.0)


def pairs_of(config, nuisances, n_pairs):
    """counts [n, n_mag, n_color], l_deg [n], b_deg [n], density [n, n_distances]."""
    rng = np.random.default_rng(2022)
    places = config.mocks.sightlines_deg()
    found = []
    for number in range(n_pairs):
        l_deg, b_deg = places[number % len(places)]
        density = draw_density(config.profiles, config.distance, l_deg, b_deg, rng)
        off = draw_nuisances(config.nuisances, rng) if nuisances is None else nuisances
        pool = sightline_catalog(config, l_deg, b_deg, "test")
        stars = one_field(pool, config.sightlines.area_deg2, rng, off)
        patchiness = draw_patchiness(config.profiles, config.distance.max_kpc, rng)
        found.append((dim_and_count(stars, density, config, rng, patchiness, off), l_deg, b_deg, density))
    return (np.array(part) for part in zip(*found, strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="carina")
    parser.add_argument("--pairs", type=int, default=450)
    args = parser.parse_args()
    start_tensorflow()
    from extmap_tf.model.scoring import Scorer
    from extmap_tf.model.versions import find_saved_model

    folder, card = find_saved_model(args.model)
    config, scorer = card.config, Scorer(folder)
    print("| sky | flagged, % | " + " | ".join(f"{d:g} kpc" for d in DISTANCES_KPC) + " |")
    print("|---|---|" + "---|" * len(DISTANCES_KPC))
    for name, nuisances in SKIES.items():
        counts, l_deg, b_deg, density = pairs_of(config, nuisances, args.pairs)
        estimate = scorer.score_counts(counts, l_deg, b_deg)
        n_stars = counts.sum(axis=(1, 2))
        truth = ProfileEstimate.of_density(density, config.distance.step_kpc)
        found = evaluate(truth, estimate, n_stars, config.distance, distances_kpc=DISTANCES_KPC)
        cells = [
            f"{error.mean_absolute_error_mag:.3f}, "
            f"{100 * sure.coverage_68:.0f} / {100 * sure.coverage_90:.0f}"
            for error, sure in zip(found.overall, found.calibration[: len(DISTANCES_KPC)], strict=True)
        ]
        print(
            f"| {name} | {100 * np.mean(estimate.flag > 0):.1f} | " + " | ".join(cells) + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
