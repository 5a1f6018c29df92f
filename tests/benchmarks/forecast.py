"""What the diagrams can say at best: a Fisher forecast of the errors of A(red), and the posterior of walls.

    python tests/benchmarks/forecast.py [MODEL] [--pairs N] [--other CONFIG] [--draws N] [--json FILE]

Nothing is fitted. The expected diagrams of `extmap_tf.fit.expected` and their derivatives by the profile, the
patchiness and all that may be off give, with Poisson noise and the prior of the training, how well each of
these can be known. That is compared with what MODEL makes of the same fields.

Errors: for test pairs of the model's configuration, and of CONFIG's (by default the prior of 0.3.0), 0.8
standard deviations of the posterior of A, averaged over the pairs: the mean absolute error of a normal
distribution. The prior of profiles is the Gaussian with the moments of its draws, in shares of halves,
quarters, ... of the total: among priors of these moments it tells least, so that an estimate may do better.

Walls: those of `walls.py`. Profiles drawn from the training's prior that have their largest step at the wall
are weighted by the likelihood of the wall's own expected diagram, with noise, to first order in what differs;
the total's prior is flat in its logarithm, how uneven the wall is across the field is a parameter, all that
may be off is marginalised. The columns are those of `walls.py`, of the true posterior: where its total is
above the wall's, the prior put the excess there, and no network could be blamed for it.
"""

import argparse
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from forecast_diagrams import FIRST_LAYER_KPC, Diagrams
from forecast_walls import COLUMNS, walls_of
from scipy.special import ndtr, ndtri

from extmap_tf.evaluation.metrics import write_json
from extmap_tf.extinction.law import mean_blue_over_red
from extmap_tf.extinction.profiles import draw_densities
from extmap_tf.fit.expected import BACKGROUND, NUISANCES
from extmap_tf.fit.offsets import widths
from extmap_tf.fit.tables import region_table
from extmap_tf.fit.tree import ProfileTree
from extmap_tf.mocks.pairs import pair_key, place_of, simulate_pairs, split_of
from extmap_tf.mocks.patchiness import draw_patchiness
from extmap_tf.quiet import start_tensorflow
from extmap_tf.settings.config import Config
from extmap_tf.surveys.observing import loss_of_count
from extmap_tf.text_tables import aligned

AT_KPC = (1.0, 2.0, 3.0, 5.0, 8.0, 10.0)
TOTALS_MAG = (0.0, 0.1, 0.3, 1.0, 2.0, 20.0)
# Mean absolute value of a normal number.
MEAN_ABSOLUTE = np.sqrt(2.0 / np.pi)
LAW = NUISANCES.index("law_ratio")
# Less dust than this in mag / kpc is as good as none, as in the prior of profiles.
LEAST_DENSITY = 0.003
SEED = 2027
KNOWN = 1e-4
# Of patchiness: this share of the largest is near the end of the prior.
NEAR_END = 0.9
# Draws that a prior's moments are of, and what every parameter is uncertain by beside them.
N_PRIOR, LEAST_SIGMA = 2000, 0.2


@dataclass(frozen=True)
class Knowledge:
    """What is known before a field is looked at.

    Parameters
    ----------
    name : str
    sigmas : ndarray [7]
        Standard deviations of the offsets in the order of `NUISANCES`.
    law_off, law_scatter : float
        Mean and standard deviation of the true offset of the law beside that prior's mean.
    own_prior : bool
        Profiles and patchiness have the prior of their own configuration, not of the model's.
    """

    name: str
    sigmas: np.ndarray
    law_off: float
    law_scatter: float
    own_prior: bool = False


def cases(config, other):
    """What may be known, for pairs of `other` under the prior of `config`; first, what `config` has."""
    own = widths(config.nuisances)
    off = mean_blue_over_red(other.law, other.survey, other.nuisances)
    off -= mean_blue_over_red(config.law, config.survey, config.nuisances)
    scatter = other.nuisances.law_ratio_sigma
    found = [Knowledge(f"law to {own[LAW]:g}", own, off, scatter)]
    if off:
        found.append(Knowledge("  its mean right", own, 0.0, scatter))
    for sigma in (0.1, KNOWN):
        if sigma >= own[LAW]:
            continue
        sigmas = own.copy()
        sigmas[LAW] = sigma
        name = "law known" if sigma == KNOWN else f"law to {sigma:g}"
        found.append(Knowledge(name, sigmas, 0.0, sigma))
    if other.profiles != config.profiles:
        found.append(Knowledge("  prior of its own", widths(other.nuisances), 0.0, scatter, True))
    return [*found, Knowledge("nothing off", np.full(len(own), KNOWN), 0.0, KNOWN)]


def prior_precision(config, other, place, tree, rng):
    """Precision [n + 3, n + 3] of profile and patchiness, by the moments of draws of `other`."""
    densities = draw_densities(other.profiles, other.distance, *place, [rng] * N_PRIOR)
    profiles = tree.of_increments((densities + LEAST_DENSITY) * config.distance.step_kpc)
    patchy = [patchy_normals(config, other, rng) for _ in range(N_PRIOR)]
    n = profiles.shape[1]
    covariance = np.zeros((n + 3, n + 3))
    covariance[:n, :n], covariance[n:, n:] = np.cov(profiles.T), np.cov(np.transpose(patchy))
    return np.linalg.inv(covariance + LEAST_SIGMA**2 * np.eye(n + 3))


def test_pairs(config, n_pairs):
    """The first test pairs of a configuration, by sightline."""
    numbers = (
        number
        for number in range(config.mocks.n_pairs)
        if split_of(place_of(pair_key(config.mocks, number), config.mocks.split_salt), config.mocks)[0]
        == "test"
    )
    chosen = [number for number, _ in zip(numbers, range(n_pairs), strict=False)]
    n_places = len(config.mocks.sightlines_deg())
    return list(simulate_pairs(config, sorted(chosen, key=lambda number: (number % n_places, number))))


def crowding_mag(config, counts, covered):
    """Loss of depth that crowding makes in a field, by its own diagram."""
    edges, survey = config.diagrams[0].y.edges, config.survey
    up_to = np.append(0.0, np.cumsum(counts.sum(axis=1)))
    brighter = np.interp(survey.crowding.limit_mag, edges, up_to)
    return loss_of_count(brighter, survey, float(covered * config.sightlines.area_deg2))


def fisher_of(diagrams, tree, pair, patchiness):
    """Fisher's matrix of profile, patchiness and offsets, slopes of A [n_at, n_distances], and A."""
    config, first = diagrams.config, diagrams.first
    profile = tree.of_increments((pair.density + LEAST_DENSITY) * config.distance.step_kpc)
    increments = tree.increments(profile)
    shells = np.add.reduceat(increments, first)
    loss_mag = crowding_mag(config, pair.counts, pair.covered)
    mean, slopes = diagrams.with_slopes(shells, patchiness, pair.covered, -loss_mag)
    by_bin = tree.slopes(profile, increments)
    by_profile = np.add.reduceat(by_bin, first, axis=0).T @ slopes[: len(shells)]
    whole = np.concatenate([by_profile, slopes[len(shells) :]])
    weighted = whole / np.sqrt(np.maximum(mean, 0.0) + BACKGROUND)
    at = [round(d / config.distance.step_kpc) - 1 for d in AT_KPC]
    return weighted @ weighted.T, np.cumsum(by_bin, axis=0)[at], np.cumsum(increments)[at]


def forecast(config, table, other, pairs, rng):
    """Mean absolute errors [n_pairs, n_at] by what is known, and of patchiness what `patchiness_known` says.

    The latter as it was drawn and near the end of the prior [n_pairs, 2, 3]; nothing for pairs of others.
    """
    errors, patchy, n = {}, [], config.distance.n_distances
    known_here, tree, place = cases(config, other), ProfileTree(n, config.profiles), None
    for pair in pairs:
        if place != (pair.l_deg, pair.b_deg):
            place = pair.l_deg, pair.b_deg
            diagrams = Diagrams(config, table, *place)
            priors = [prior_precision(config, one, place, tree, rng) for one in (config, other)]
        normals = patchy_normals(config, other, rng)
        fisher, slopes, extinction = fisher_of(diagrams, tree, pair, normals)
        for known in known_here:
            covariance = posterior_covariance(fisher, priors[known.own_prior], known.sigmas)
            variance = np.einsum("ij,jk,ik->i", slopes, covariance[:n, :n], slopes)
            # An offset of the law that is not as its prior has it pulls A along.
            pull = slopes @ covariance[:n, n + 3 + LAW] / known.sigmas[LAW] ** 2
            variance += pull**2 * (known.law_scatter**2 - known.sigmas[LAW] ** 2)
            errors.setdefault(known.name, []).append(folded(pull * known.law_off, np.sqrt(variance)))
        if other is config:
            at_end = np.append(np.full(2, ndtri(NEAR_END ** (1.0 / config.profiles.patchiness_power))), 0.0)
            found = []
            for at in (normals, at_end):
                fisher = fisher_of(diagrams, tree, pair, at)[0]
                covariance = posterior_covariance(fisher, priors[0], known_here[0].sigmas)
                found.append(patchiness_known(config.profiles, extinction[-1], at[0], covariance[n, n]))
            patchy.append(found)
    return {name: np.array(parts) for name, parts in errors.items()}, np.array(patchy)


def posterior_covariance(fisher, prior, sigmas):
    """Covariance of profile, patchiness and offsets."""
    precision = np.diag(np.append(np.zeros(len(prior)), sigmas**-2.0))
    precision[: len(prior), : len(prior)] = prior
    return np.linalg.inv(fisher + precision)


def patchy_normals(config, other, rng):
    """Normal numbers [3] of the patchiness of a pair of `other`, as the prior of `config` has them."""
    drawn = draw_patchiness(other.profiles, other.distance.max_kpc, rng)
    one = drawn.beyond_kpc == np.inf
    sigmas = np.array([drawn.sigma, drawn.sigma if one else drawn.sigma_beyond])
    share = (sigmas / max(config.profiles.patchiness_max, KNOWN)) ** (1.0 / config.profiles.patchiness_power)
    layers = np.log(np.array([drawn.beyond_kpc, config.distance.max_kpc]) / FIRST_LAYER_KPC)
    begin = 0.5 if one else layers[0] / layers[1]
    return ndtri(np.clip([*share, begin], 1e-3, 1 - 1e-3))


def patchiness_known(profiles, total, normal, variance):
    """Totals, sigma of the nearer layer's patchiness, and how well that is known."""
    share, power = ndtr(normal), profiles.patchiness_power
    sigma = profiles.patchiness_max * share**power
    slope = (
        profiles.patchiness_max * power * share ** (power - 1) * np.exp(-0.5 * normal**2) / np.sqrt(2 * np.pi)
    )
    return np.array([total, sigma, slope * np.sqrt(variance)])


def folded(mean, sigma):
    """Mean absolute value of normal numbers."""
    ratio = mean / sigma
    return MEAN_ABSOLUTE * sigma * np.exp(-0.5 * ratio**2) + mean * (2.0 * ndtr(ratio) - 1.0)


def measured(scorer, config, pairs):
    """True A [n, n_at] of pairs, and the absolute errors that the model makes."""
    counts = np.array([pair.counts for pair in pairs])
    places = (np.array([getattr(pair, name) for pair in pairs]) for name in ("l_deg", "b_deg", "covered"))
    at = [round(d / config.distance.step_kpc) - 1 for d in AT_KPC]
    truth = np.cumsum([pair.density for pair in pairs], axis=1)[:, at] * config.distance.step_kpc
    return truth, np.abs(scorer.score_counts(counts, *places).extinction_median[:, at] - truth)


ERRORS = [("pairs of", ""), ("what", ""), *((f"{d:g}", "kpc") for d in AT_KPC)]
PATCHY = [
    ("A(red)", "mag"),
    ("pairs", ""),
    ("sigma", ""),
    ("known to", ""),
    ("of the prior's", ""),
    (f"at {NEAR_END:g} of the most", ""),
]


def errors_of(config, table, others, scorer, n_pairs):
    """Rows of errors, and of how well patchiness is known."""
    rows, patchy = [], []
    for other in others:
        pairs, rng = test_pairs(other, n_pairs), np.random.default_rng(SEED)
        truth, errors = measured(scorer, config, pairs)
        forecasts, uneven = forecast(config, table, other, pairs, rng)
        patchy += patchy_rows(config, uneven) if len(uneven) else []
        for name, values in ({"(mean truth)": truth, "the model": errors} | forecasts).items():
            rows.append({"pairs_of": other.name, "what": name, "mag": values.mean(axis=0).tolist()})
    return rows, patchy


def patchy_rows(config, patchy):
    """How well sigma of the patchiness is known [n_pairs, 2, 3], by the total extinction."""
    total, sigma, error = patchy[:, 0].T
    even = np.linspace(0.0005, 0.9995, 1000)
    prior = float(np.std(config.profiles.patchiness_max * even**config.profiles.patchiness_power))
    rows = []
    for low, high in pairwise(TOTALS_MAG):
        here = (total >= low) & (total < high)
        if here.any():
            known, at_end = (float(np.sqrt(np.mean(x[here] ** 2))) for x in (error, patchy[:, 1, 2]))
            rows.append(
                {
                    "total_mag": [low, high],
                    "n": int(here.sum()),
                    "sigma": float(sigma[here].mean()),
                    "known_to": known,
                    "of_the_prior": known / prior,
                    "at_the_end_known_to": at_end,
                }
            )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="carina")
    parser.add_argument("--pairs", type=int, default=270, help="of each configuration")
    parser.add_argument(
        "--other", default=str(Path(__file__).with_name("narrow.toml")), help="configuration of other pairs"
    )
    parser.add_argument("--draws", type=int, default=50_000, help="of the prior, for each place of walls")
    parser.add_argument("--json")
    args = parser.parse_args()
    start_tensorflow()
    from extmap_tf.model.scoring import Scorer
    from extmap_tf.model.versions import find_saved_model

    folder, card = find_saved_model(args.model)
    config, scorer = card.config, Scorer(folder)
    if len(config.diagrams) > 1:
        parser.error(f"{args.model} sees {len(config.diagrams)} diagrams, and the forecast knows one")
    table = region_table(config)
    others = [config, Config.load(args.other)]
    errors, patchy = errors_of(config, table, others, scorer, args.pairs)
    lines = [[row["pairs_of"], row["what"], *(f"{x:.3f}" for x in row["mag"])] for row in errors]
    print("mean absolute error of A(red), mag", aligned(ERRORS, lines), sep="\n")
    lines = [
        ["{:g} to {:g}".format(*row["total_mag"]), str(row["n"])]
        + [f"{row[name]:.2f}" for name in ("sigma", "known_to", "of_the_prior", "at_the_end_known_to")]
        for row in patchy
    ]
    print("\npatchiness: sigma of ln A across a field", aligned(PATCHY, lines), sep="\n")
    walls = walls_of(config, table, args.draws, np.random.default_rng(SEED))
    names = ("share_near", "half_over_distance", "total_over_wall", "coverage_68", "scatter", "behind")
    lines = [
        [row["group"], f"{row['wall_mag']:g}", f"{row['distance_kpc']:g}"]
        + [f"{row[name]:.2f}" for name in (*names, "behind_by_prior")]
        + [f"{row['draws']:.0f}"]
        for row in walls
    ]
    print("\nwalls, by the posterior", aligned(COLUMNS, lines), sep="\n")
    if args.json:
        write_json({"errors": errors, "patchiness": patchy, "walls": walls}, args.json, overwrite=True)


if __name__ == "__main__":
    main()
