"""What a model's errors and intervals are worth on skies that differ from its mocks.

    python tests/benchmarks/other_skies.py [MODEL] [--pairs N] [--config NAME]

Each sky has fresh profiles, of the model's own prior or of that of another configuration, and the stars of
the test pairs; one thing is off in all of its fields, the rest is exactly as modelled and A(blue)/A(red) is
the mean of the prior. The first is as the model was trained: everything a little off, drawn for each field. A
cell holds the mean absolute error of A(red) and, in brackets, of the colour excess E(blue - red), in mag, and
how many truths, in %, lie in the 68 and 90 % intervals.
"""

import argparse
from dataclasses import dataclass

import numpy as np

from extmap_tf.estimate import ProfileEstimate
from extmap_tf.evaluation.metrics import evaluate
from extmap_tf.extinction.law import blue_over_red
from extmap_tf.extinction.profiles import draw_density
from extmap_tf.mocks.fields import dim_and_count, one_field
from extmap_tf.mocks.nuisances import Nuisances, draw_nuisances
from extmap_tf.mocks.patchiness import EVEN, Patchiness, draw_patchiness
from extmap_tf.mocks.pools import sightline_catalog
from extmap_tf.quiet import start_tensorflow
from extmap_tf.settings.config import Config


@dataclass(frozen=True)
class Sky:
    """What is off in all fields of a sky; a ratio is A(blue)/A(red), a total A(red) to the last distance."""

    off: Nuisances | None = Nuisances()
    ratio: float | None = None
    patchiness: Patchiness | None = EVEN
    total_mag: float | None = None
    covered: float = 1.0


SKIES = {
    "as trained": Sky(off=None, patchiness=None),
    "nothing off": Sky(),
    "20 % more stars": Sky(Nuisances(ln_count=np.log(1.2))),
    "20 % fewer stars": Sky(Nuisances(ln_count=np.log(0.8))),
    "J - Ks redder by 0.05 mag": Sky(Nuisances(color_mag=0.05)),
    "A(J)/A(Ks) of 2.5": Sky(ratio=2.5),
    "A(J)/A(Ks) of 3.1": Sky(ratio=3.1),
    "patchiness 0.4": Sky(patchiness=Patchiness(0.4)),
    "patchiness 0.8": Sky(patchiness=Patchiness(0.8)),
    "totals of 3.5 mag": Sky(total_mag=3.5),
    "totals of 5 mag": Sky(total_mag=5.0),
    "55 % of the field": Sky(covered=0.55),
}
DISTANCES_KPC = (1.0, 3.0, 5.0, 8.0)


def pairs_of(config, prior, sky, n_pairs):
    """counts [n, n_mag, n_color], l_deg, b_deg [n], density [n, n_distances], true A(blue)/A(red) [n]."""
    rng, found = np.random.default_rng(2022), []
    places, law = config.mocks.sightlines_deg(), blue_over_red(config.law, config.survey)
    mean = config.nuisances.law_ratio_mean if sky.ratio is None else sky.ratio - law
    for number in range(n_pairs):
        l_deg, b_deg = places[number % len(places)]
        density = draw_density(prior, config.distance, l_deg, b_deg, rng)
        if sky.total_mag:
            density *= sky.total_mag / (density.sum() * config.distance.step_kpc)
        off = draw_nuisances(config.nuisances, rng) if sky.off is None else sky.off
        if sky.off is not None:
            off = Nuisances(**{**vars(sky.off), "law_ratio": mean})
        pool = sightline_catalog(config, l_deg, b_deg, "test")
        stars = one_field(pool, sky.covered * config.sightlines.area_deg2, rng, off)
        patchiness = sky.patchiness
        if patchiness is None:
            patchiness = draw_patchiness(config.profiles, config.distance.max_kpc, rng)
        counts = dim_and_count(stars, density, config, rng, patchiness, off)["counts"]
        found.append((counts, l_deg, b_deg, density, law + off.law_ratio))
    return (np.array(part) for part in zip(*found, strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="carina")
    parser.add_argument("--pairs", type=int, default=450)
    parser.add_argument("--config", help="configuration whose prior the profiles are of: a name or a file")
    args = parser.parse_args()
    start_tensorflow()
    from extmap_tf.model.scoring import Scorer
    from extmap_tf.model.versions import find_saved_model

    folder, card = find_saved_model(args.model)
    config, scorer = card.config, Scorer(folder)
    prior = Config.load(args.config).profiles if args.config else config.profiles
    ratio = blue_over_red(config.law, config.survey) + config.nuisances.law_ratio_mean
    print("| sky | flagged, % | " + " | ".join(f"{d:g} kpc" for d in DISTANCES_KPC) + " |")
    print("|---|---|" + "---|" * len(DISTANCES_KPC))
    for name, sky in SKIES.items():
        counts, l_deg, b_deg, density, true_ratio = pairs_of(config, prior, sky, args.pairs)
        estimate = scorer.score_counts(counts, l_deg, b_deg, np.full(len(counts), sky.covered))
        n_stars = counts.sum(axis=(1, 2))
        truth = ProfileEstimate.of_density(density, config.distance.step_kpc)
        found = evaluate(truth, estimate, n_stars, config.distance, distances_kpc=DISTANCES_KPC)
        bins = np.round(np.array(DISTANCES_KPC) / config.distance.step_kpc).astype(int) - 1
        excess = estimate.extinction_median * (ratio - 1.0)
        excess -= np.cumsum(density, axis=1) * config.distance.step_kpc * (true_ratio[:, None] - 1.0)
        cells = [
            f"{error.mean_absolute_error_mag:.3f} ({of_excess:.3f}), "
            f"{100 * sure.coverage_68:.0f} / {100 * sure.coverage_90:.0f}"
            for error, of_excess, sure in zip(
                found.overall,
                np.abs(excess[:, bins]).mean(axis=0),
                found.calibration[: len(DISTANCES_KPC)],
                strict=True,
            )
        ]
        print(
            f"| {name} | {100 * np.mean(estimate.flag > 0):.1f} | " + " | ".join(cells) + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
