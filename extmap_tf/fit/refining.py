"""Sharper than a network: its estimates refined by the likelihood of each field's diagram.

The network's answer is where the search begins, at its median profile and at the likeliest of its samples,
and a check on where it ends. It is no part of the posterior, which would count the same stars twice: that has
the training prior of profiles, and of offsets what the whole region knows of them.
"""

import dataclasses
from functools import lru_cache, partial
from typing import Any

import numpy as np
from scipy.special import ndtri

from extmap_tf.estimate import PERCENTILES, Flag, ProfileEstimate
from extmap_tf.extinction.law import blue_over_red
from extmap_tf.fit.expected import NUISANCES, ExpectedDiagrams, Fields
from extmap_tf.fit.offsets import RegionOffsets
from extmap_tf.fit.posterior import N_DRAWS, Posterior
from extmap_tf.fit.profile_prior import profile_prior
from extmap_tf.fit.tables import Baked, RegionTable, region_table
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.mocks.seeds import REFINE, position_words
from extmap_tf.settings.config import Config
from extmap_tf.surveys.observing import loss_of_count

# Fields nearest to the same multiples of these in l and b share a table of stars; each has its own numbers of
# them. Ages change fast with latitude: with a table of 0.4 deg away, colours seem off by 0.005 mag.
_NODE_DEG = np.array([1.0, 0.25])
# So many fields are handled at once: their arrays are some 100 MB.
_AT_ONCE = 8
_ROUGH_STEPS, _ROUGH_BACKGROUND, _STEPS = 8, 0.3, 20
_LEAST_DENSITY = 1e-3
_FEWEST_STARS = 30
# Behind more dust too few stars are left to tell one minimum of the likelihood from another.
_LARGEST_MAG = 1.5
# A network's 95 % interval holds 95 % of truths; what is outside at this share of the distances is doubtful.
_MOST_OUTSIDE = 0.3
# Fields that are covered less have no profile in a map.
_LEAST_COVERAGE = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """Fields, and what a network says of them.

    Parameters
    ----------
    counts : ndarray [n, n_mag, n_color]
    l_deg, b_deg, coverage : ndarray [n]
    estimate : ProfileEstimate [n]
    samples : ndarray [n, n_samples, n_distances]
        Density, mag / kpc; there may be none.
    """

    counts: np.ndarray
    l_deg: np.ndarray
    b_deg: np.ndarray
    coverage: np.ndarray
    estimate: ProfileEstimate
    samples: np.ndarray

    def __len__(self) -> int:
        return len(self.l_deg)

    def __getitem__(self, rows: Any) -> "Seen":
        return dataclasses.replace(
            self, **{s.name: getattr(self, s.name)[rows] for s in dataclasses.fields(self)}
        )


class Refiner:
    """Refines the fields of a region.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
        Of the model, with the law and its prior as they are to be believed.
    table : RegionTable
    offsets : RegionOffsets
    """

    def __init__(self, config: Config, table: RegionTable, offsets: RegionOffsets) -> None:
        self._config, self._table, self._common = config, table, offsets.covariance
        self.offsets = offsets.for_fields(config.nuisances, baked_offsets(config, table))
        # A place's table is some 60 MB.
        self.posterior_at = lru_cache(maxsize=3)(self._posterior)
        self._profiles_at = lru_cache(maxsize=16)(partial(profile_prior, config))

    def refine(self, seen: Seen) -> ProfileEstimate:
        """Refined estimates, with samples and `ProfileEstimate.extinction_common_std`.

        Fields that are not `usable` are as they were; those that do not converge, or contradict the network,
        as well, and flagged.
        """
        estimate = seen.estimate
        arrays: dict[str, Any] = {name: np.array(array) for name, array in estimate.arrays().items()}
        samples = np.cumsum(seen.samples[:, :N_DRAWS], axis=-1, dtype=float)
        arrays["samples"] = (samples * self._config.distance.step_kpc).astype(np.float32)
        arrays["extinction_common_std"] = np.zeros_like(arrays["extinction_std"])
        for rows, posterior, found in self._found(seen, np.flatnonzero(usable(seen))):
            for i, row in enumerate(rows):
                increments = posterior.model.tree.increments(found.state.profile[i])
                if not found.converged[i] or _strays(np.cumsum(increments), estimate[row]):
                    arrays["flag"][row] |= Flag.ODD_COLORS.value
                    continue
                words = position_words(float(seen.l_deg[row]), float(seen.b_deg[row]))
                rng = np.random.default_rng([self._config.seed, REFINE, *words])
                draws = posterior.draw(found, i, rng)
                answer = statistics_of(draws, self._config.distance)
                answer["extinction_common_std"] = posterior.common_std(found, i, self._common)
                for name, value in answer.items():
                    arrays[name][row] = value
        return ProfileEstimate(**arrays)

    def _found(self, seen, rows):
        """Groups of fields of one place, and the most probable state of each."""
        nodes = self.node_of(seen)[rows]
        for node in np.unique(nodes, axis=0):
            here = rows[(nodes == node).all(axis=1)]
            posterior = self.posterior_at(*node.tolist())
            for first in range(0, len(here), _AT_ONCE):
                group = here[first : first + _AT_ONCE]
                part = seen[group]
                counts = self._table.summed(part.counts)
                fields = self.fields_of(part, node)
                rough, other = (
                    posterior.find(start, counts, fields, _ROUGH_STEPS, _ROUGH_BACKGROUND)
                    for start in self._starts(posterior, part, counts, fields)
                )
                state = other.state.chosen(other.objective < rough.objective, rough.state)
                yield group, posterior, posterior.find(state, counts, fields, _STEPS)

    def node_of(self, seen: Seen) -> np.ndarray:
        """The places (l, b) [n, 2], deg, whose tables serve the fields."""
        return np.round(np.stack([seen.l_deg, seen.b_deg], axis=1) / _NODE_DEG) * _NODE_DEG

    def fields_of(self, seen: Seen, node: np.ndarray) -> Fields:
        """What is known of fields beside their diagrams, for the table of a node (l, b)."""
        table = self._table
        there = table.stars(*map(float, node))
        scale, depth = [], []
        for l, b, coverage, counts in zip(seen.l_deg, seen.b_deg, seen.coverage, seen.counts, strict=True):
            scale.append(coverage * table.stars(float(l), float(b)) / np.maximum(there, 1e-30))
            depth.append(-_loss_mag(self._config, counts, coverage))
        return Fields(np.array(scale), np.array(depth) + table.baked.loss_mag)

    def _posterior(self, l_deg, b_deg):
        b_deg = float(np.clip(b_deg, -90.0, 90.0))
        model = ExpectedDiagrams(self._config, self._table, self._table.at(l_deg, b_deg))
        return Posterior(model, self._profiles_at(float(round(l_deg)), float(round(b_deg))), self.offsets)

    def _starts(self, posterior, seen, counts, fields):
        """Where the search begins: the network's median profile, and the likeliest of its samples."""
        median = (
            np.diff(seen.estimate.extinction_median, axis=1, prepend=0.0) / self._config.distance.step_kpc
        )
        tree, step_kpc = posterior.model.tree, self._config.distance.step_kpc
        median, samples = (
            tree.of_increments((np.maximum(density, 0.0) + _LEAST_DENSITY) * step_kpc)
            for density in (median, seen.samples)
        )
        best = []
        for i, profiles in enumerate(samples):
            n = len(profiles)
            many = Fields(fields.scale[[i] * n], fields.depth_mag[[i] * n])
            misfit = posterior.misfit(posterior.start(profiles), counts[i], many, 1.0)
            best.append(profiles[np.argmin(misfit)])
        return posterior.start(median), posterior.start(np.array(best))


def _strays(extinction, estimate):
    """Whether a profile leaves the network's 95 % interval at many distances: another minimum, mostly."""
    low, high = (estimate.percentile("extinction", p) for p in (2.5, 97.5))
    return np.mean((extinction < low) | (extinction > high)) > _MOST_OUTSIDE


def baked_offsets(config: Config, table: RegionTable) -> np.ndarray:
    """What of the offsets [7] a table has in it exactly."""
    law = blue_over_red(config.law, config.survey) + config.nuisances.law_ratio_mean
    inside = dict.fromkeys(NUISANCES, 0.0)
    inside |= {name: getattr(table.baked, name) for name in ("color_mag", "mag_mag", "depth_mag")}
    inside["law_ratio"] = table.baked.blue_over_red - law
    return np.array([inside[name] for name in NUISANCES])


def usable(seen: Seen) -> np.ndarray:
    """Which fields can be refined: enough stars and coverage, not too much dust, an answer to begin with."""
    stars = seen.counts.sum(axis=(1, 2))
    good = np.isfinite(seen.estimate.extinction_median).all(axis=1) & np.isfinite(seen.samples).all(
        axis=(1, 2)
    )
    clear = seen.estimate.extinction_median[:, -1] <= _LARGEST_MAG
    return good & clear & (stars >= _FEWEST_STARS) & (seen.coverage >= _LEAST_COVERAGE)


def with_offsets(config: Config, offsets: RegionOffsets, loss_mag: float) -> RegionTable:
    """The table of a region with its offsets in it exactly."""
    off = dict(zip(NUISANCES, offsets.mean.tolist(), strict=True))
    law = blue_over_red(config.law, config.survey) + config.nuisances.law_ratio_mean
    return region_table(
        config,
        baked=Baked(
            max(law + off["law_ratio"], 1.05), off["color_mag"], off["mag_mag"], off["depth_mag"], loss_mag
        ),
    )


def losses_mag(config: Config, seen: Seen) -> float:
    """The median loss of depth by crowding, 0 where there is no field."""
    losses = [_loss_mag(config, *field) for field in zip(seen.counts, seen.coverage, strict=True)]
    return float(np.median(losses)) if losses else 0.0


def _loss_mag(config, counts, coverage):
    """The loss of depth by a field's own diagram."""
    brighter = np.append(0, np.cumsum(counts.sum(axis=1)))
    limit_mag, y = config.survey.crowding.limit_mag, config.diagrams[0].y
    area_deg2 = coverage * config.sightlines.area_deg2
    return loss_of_count(np.interp(limit_mag, y.edges, brighter), config.survey, area_deg2)


def statistics_of(increments: np.ndarray, distance: DistanceGrid) -> dict[str, np.ndarray]:
    """What draws [n_draws, n_distances] of the bins' extinctions, mag, say: arrays of a `ProfileEstimate`.

    Percentiles are those of log-normal distributions of the draws' moments: a few draws have no tails.
    """
    extinction, density = np.cumsum(increments, axis=1), increments / distance.step_kpc
    found: dict[str, np.ndarray] = {"samples": extinction}
    quantiles = ndtri(np.asarray(PERCENTILES) / 100.0)[:, None]
    for name, values in (("density", density), ("extinction", extinction)):
        logs = np.log(values)
        middle, sigma = logs.mean(axis=0), logs.std(axis=0, ddof=1)
        levels = np.exp(middle + quantiles * sigma)
        if name == "extinction":
            levels = np.maximum.accumulate(levels, axis=1)
        found[f"{name}_percentiles"] = levels
        found[f"{name}_median"] = levels[PERCENTILES.index(50.0)]
        found[f"{name}_mean"] = values.mean(axis=0)
        found[f"{name}_std"] = values.std(axis=0, ddof=1)
    return found
