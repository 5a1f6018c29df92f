"""What Gaia adds to 2MASS: a model of both beside one of 2MASS alone, on the same fields.

    python tests/benchmarks/gaia_gain.py --both MODEL --one MODEL --records RECORDS [--pairs N] [--fields N]
        [--json FILE]

RECORDS are mock records of the configuration of the model of both, whose test pairs are asked of both models:
of that of 2MASS alone by the first diagram, of that of both also with Gaia or 2MASS taken away. Printed, with
changes in % against the model of 2MASS alone and their standard errors of 20 groups of pairs:

- the mean absolute error of A(Ks), of all pairs and of those with a total below 1 mag;
- how many truths, in %, lie in the 68 and 90 % intervals;
- walls of dust: the share of the jump within 20 % of its distance, as `walls.py` has it;
- fields of the same prior with the extinction in optical bands over that of A(Ks) off by 8 and by 20 %:
  errors, intervals and how many fields are flagged.
"""

import argparse
from dataclasses import dataclass, replace

import numpy as np
from walls import GROUPS, fields_behind, places_of

from extmap_tf.estimate import PERCENTILES
from extmap_tf.evaluation.metrics import write_json
from extmap_tf.evaluation.walls import wall_density, wall_score
from extmap_tf.extinction.profiles import draw_density, profiles_at
from extmap_tf.mocks.fields import dim_and_count, one_field, visible_limits_mag
from extmap_tf.mocks.nuisances import draw_nuisances
from extmap_tf.mocks.pairs import draw_covered
from extmap_tf.mocks.patchiness import draw_patchiness
from extmap_tf.mocks.pools import sightline_catalog
from extmap_tf.quiet import start_tensorflow
from extmap_tf.records.manifest import Records
from extmap_tf.text_tables import aligned

DISTANCES_KPC = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0)
THIN_MAG = 1.0
N_GROUPS = 20
WALLS_MAG, WALLS_KPC = (0.3, 1.0, 2.0), (1.0, 2.0, 4.0)
OPTICAL = {"as trained": None, "8 % more": 1.08, "8 % less": 0.92, "20 % more": 1.2, "20 % less": 0.8}
FIRST = "2MASS, its own model"


@dataclass(frozen=True)
class Asked:
    """A model, and which of the surveys of the fields it is told of.

    Parameters
    ----------
    scorer : extmap_tf.model.scoring.Scorer
    names : tuple of str
        Inputs that the model has.
    gone : tuple of str
        Of these, those of surveys that are taken away.
    """

    scorer: object
    names: tuple
    gone: tuple = ()

    def score(self, inputs):
        """Percentiles [n, n_percentiles, n_distances] and flags [n] of fields' inputs by name."""
        from extmap_tf.model.scoring import BATCH_SIZE

        given = {n: 0.0 * inputs[n] if n in self.gone else inputs[n] for n in self.names}
        parts = [
            self.scorer.score_counts(**{n: x[i : i + BATCH_SIZE] for n, x in given.items()})
            for i in range(0, len(inputs["l_deg"]), BATCH_SIZE)
        ]
        return (
            np.concatenate([part.extinction_percentiles for part in parts]),
            np.concatenate([part.flag for part in parts]),
        )


def asked_models(both, one):
    """The configuration of the model of both, and the models to ask by name."""
    from extmap_tf.model.scoring import Scorer
    from extmap_tf.model.versions import find_saved_model

    (folder, card), (folder_one, card_one) = find_saved_model(both), find_saved_model(one)
    config, scorer = card.config, Scorer(folder)
    if len(config.views) != 2 or len(card_one.config.views) != 1:
        raise SystemExit(f"{both} must be a model of two surveys and {one} of the first of these alone")
    first, second = (
        (view.named("coverage"), *(diagram.name for diagram in view.diagrams)) for view in config.views
    )
    return config, {
        FIRST: Asked(Scorer(folder_one), card_one.config.input_names),
        "both": Asked(scorer, config.input_names),
        "2MASS, model of both": Asked(scorer, config.input_names, second),
        "Gaia, model of both": Asked(scorer, config.input_names, first),
    }


def test_pairs(records, n_pairs):
    """Inputs of a network by name, and true profiles, of the first test pairs in the order of the records."""
    from extmap_tf.records.dataset import evaluation_dataset

    inputs, density, n = [], [], 0
    for batch, truth in evaluation_dataset(records, "test"):
        inputs.append({name: value.numpy() for name, value in batch.items()})
        density.append(truth.numpy())
        n += len(truth)
        if n >= n_pairs:
            break
    whole = {name: np.concatenate([batch[name] for batch in inputs])[:n_pairs] for name in inputs[0]}
    return whole, np.concatenate(density)[:n_pairs]


def fields_with(config, factor, n_fields):
    """As `test_pairs`, of fresh fields whose extinction in optical bands is `factor` of the modelled one.

    With another factor the fields are the same otherwise; None: a factor drawn for each, as in training.
    """
    found, density, places = [], [], config.mocks.sightlines_deg()
    for number in range(n_fields):
        l_deg, b_deg = places[number % len(places)]
        rng = np.random.Generator(np.random.SFC64([2022, number]))
        profile = draw_density(config.profiles, config.distance, l_deg, b_deg, rng)
        off = draw_nuisances(config.nuisances, rng, config.surveys)
        if factor is not None:
            off = replace(off, ln_optical=float(np.log(factor)))
        covered = draw_covered(config.mocks, rng)
        patchiness = draw_patchiness(config.profiles, config.distance.max_kpc, rng)
        pool = sightline_catalog(config, l_deg, b_deg, "test")
        limits_mag = visible_limits_mag(config.surveys, off)
        stars = one_field(pool, covered * config.sightlines.area_deg2, rng, off, limits_mag)
        diagrams = dim_and_count(stars, profile, config, rng, patchiness, off)
        coverage = {view.named("coverage"): covered for view in config.views}
        found.append(diagrams | coverage | {"l_deg": l_deg, "b_deg": b_deg})
        density.append(profile)
    return {name: np.array([field[name] for field in found]) for name in found[0]}, np.array(density)


def at_distances(percentiles, density, distance):
    """Errors [n, n_d] of the median, and whether the truth is in the 68 and the 90 % interval [2, n, n_d]."""
    true = np.cumsum(density, axis=-1, dtype=float) * distance.step_kpc

    def there(values):
        return profiles_at(values, distance, DISTANCES_KPC)

    low5, low16, median, high84, high95 = (
        there(percentiles[:, PERCENTILES.index(level)]) for level in (5.0, 16.0, 50.0, 84.0, 95.0)
    )
    true = there(true)
    inside = [(low <= true) & (true <= high) for low, high in ((low16, high84), (low5, high95))]
    return np.abs(median - true), np.array(inside)


def changes_percent(errors, first):
    """Change of the mean error [n_d] against that of another model, and its standard error, in %.

    From groups of pairs: both models have the same pairs, so that much of the scatter is common.
    """
    groups = np.arange(len(errors)) % N_GROUPS
    whole = errors.mean(axis=0) / first.mean(axis=0)
    without = np.array(
        [errors[groups != i].mean(axis=0) / first[groups != i].mean(axis=0) for i in range(N_GROUPS)]
    )
    jackknife = np.sqrt((N_GROUPS - 1) * np.mean((without - without.mean(axis=0)) ** 2, axis=0))
    return 100.0 * (whole - 1.0), 100.0 * jackknife


def table_of_pairs(title, scores, used):
    """Prints errors and intervals of the pairs that are used, and gives them as rows."""
    header = [(title, ""), *((f"{d:g} kpc", "mag") for d in DISTANCES_KPC)]
    first, lines, rows = scores[FIRST][0][used], [], []
    for name, (errors, inside) in scores.items():
        change, error = changes_percent(errors[used], first)
        mean, covered = errors[used].mean(axis=0), 100.0 * inside[:, used].mean(axis=1)
        cells = zip(mean, change, error, *covered, strict=True)
        lines.append([name, *(f"{m:.4f} {c:+.0f}+-{e:.0f} % {a:.0f}/{b:.0f}" for m, c, e, a, b in cells)])
        rows.append(
            {
                "by": name,
                "pairs": title,
                "error_mag": mean.tolist(),
                "change_percent": change.tolist(),
                "coverage_68_90_percent": covered.tolist(),
            }
        )
    print(aligned(header, lines), flush=True)
    return rows


def scored_walls(config, asked, n_fields):
    """Rows of walls, by each model."""
    rng, places, rows = np.random.default_rng(2022), places_of(config), []
    for group in GROUPS:
        for mag in WALLS_MAG:
            for kpc in WALLS_KPC:
                density = wall_density(mag, kpc, config.distance)
                fields = fields_behind(config, density, group, n_fields, places, rng)
                for name, model in asked.items():
                    percentiles, _ = model.score(fields)
                    score = wall_score(percentiles, mag, kpc, config.distance.step_kpc, group)
                    rows.append({"by": name} | score.to_dict())
    return rows


def table_of_walls(rows):
    names = list(dict.fromkeys(row["by"] for row in rows))
    header = [("fields", ""), ("wall", "mag"), ("at", "kpc"), *((f"near, {name}", "") for name in names)]
    lines = []
    for i in range(0, len(rows), len(names)):
        of_wall = rows[i : i + len(names)]
        first = of_wall[0]
        cells = [f"{r['share_near']:.2f} (total {r['total_over_wall']:.2f})" for r in of_wall]
        lines.append([first["group"], f"{first['wall_mag']:g}", f"{first['distance_kpc']:g}", *cells])
    print(aligned(header, lines), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--both", required=True, help="model of 2MASS and Gaia: a folder or a shipped name")
    parser.add_argument("--one", default="carina", help="model of 2MASS alone")
    parser.add_argument("--records", required=True, help="mock records of the configuration of both")
    parser.add_argument("--pairs", type=int, default=10_000, help="test pairs at most")
    parser.add_argument("--fields", type=int, default=8, help="of each wall, place and group")
    parser.add_argument("--fresh", type=int, default=1000, help="fields of each optical extinction")
    parser.add_argument("--json")
    args = parser.parse_args()
    start_tensorflow()
    config, asked = asked_models(args.both, args.one)
    inputs, density = test_pairs(Records.open(args.records), args.pairs)
    scores = {
        name: at_distances(model.score(inputs)[0], density, config.distance) for name, model in asked.items()
    }
    thin = density.sum(axis=1) * config.distance.step_kpc < THIN_MAG
    print(f"{len(density)} test pairs; error, change, truths in 68/90 % intervals")
    found = {"distances_kpc": DISTANCES_KPC, "n_pairs": len(density)}
    found["pairs"] = table_of_pairs("all pairs", scores, np.ones_like(thin))
    found["pairs"] += table_of_pairs(f"total below {THIN_MAG:g} mag", scores, thin)
    found["walls"] = scored_walls(config, asked, args.fields)
    table_of_walls(found["walls"])
    found["optical"] = []
    for title, factor in OPTICAL.items():
        fields, density = fields_with(config, factor, args.fresh)
        scores, flagged = {}, []
        for name, model in asked.items():
            percentiles, flags = model.score(fields)
            scores[name] = at_distances(percentiles, density, config.distance)
            flagged.append(f"{name} {100 * np.mean(flags > 0):.1f} %")
        rows = table_of_pairs(f"optical: {title}", scores, slice(None))
        print(f"flagged: {', '.join(flagged)}")
        found["optical"] += [row | {"flagged": told} for row, told in zip(rows, flagged, strict=True)]
    if args.json:
        write_json(found, args.json, overwrite=True)


if __name__ == "__main__":
    main()
