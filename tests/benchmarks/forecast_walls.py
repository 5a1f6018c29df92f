"""The posterior of fields behind walls, by draws of the prior: for `forecast.py`."""

import numpy as np
from forecast_diagrams import Diagrams
from scipy.special import ndtri
from walls import GROUPS, WALLS_KPC, WALLS_MAG, places_of

from extmap_tf.estimate import PERCENTILES
from extmap_tf.evaluation.walls import NEAR_SHARE, wall_density, wall_score
from extmap_tf.extinction.profiles import draw_densities
from extmap_tf.fit.expected import BACKGROUND, NUISANCES
from extmap_tf.fit.offsets import widths

# Of the walls: how far in distance a profile may be stretched to have its step at the wall, noise draws,
# profiles of a posterior, and how uneven the dust may be.
STRETCH, N_NOISE, N_KEPT = 0.12, 16, 256
LEAST_UNEVEN, LEAST_TOTAL_MAG = 1e-3, 0.05
UNEVEN = (np.arange(12) + 0.5) / 12

COLUMNS = [
    ("fields", ""),
    ("wall", "mag"),
    ("at", "kpc"),
    ("share near", ""),
    ("half", "/ distance"),
    ("total", "/ wall"),
    ("in 68 %", ""),
    ("scatter", "/ wall"),
    ("behind", "/ wall"),
    ("by the prior", "/ wall"),
    ("draws", ""),
]


class WallForecast:
    """The posterior of fields behind a wall, at one place.

    Parameters
    ----------
    config, table
    l_deg, b_deg : float
    n_draws : int
        Of the training's prior.
    rng : numpy.random.Generator
    """

    def __init__(self, config, table, l_deg, b_deg, n_draws, rng):
        self._config, self._rng = config, rng
        self._diagrams = Diagrams(config, table, l_deg, b_deg)
        self._edges_kpc = self._diagrams.edges_kpc
        densities = draw_densities(config.profiles, config.distance, l_deg, b_deg, [rng] * n_draws)
        shares = densities / densities.sum(axis=1, keepdims=True)
        # The largest step: where three bins hold most.
        three = shares[:, :-2] + shares[:, 1:-1] + shares[:, 2:]
        around = np.argmax(three, axis=1)[:, None] + np.arange(3)
        held = np.take_along_axis(shares, around, axis=1)
        self._step_kpc = (held * config.distance.centers_kpc[around]).sum(axis=1) / held.sum(axis=1)
        self._up_to = np.pad(np.cumsum(shares, axis=1), ((0, 0), (1, 0)))

    def shapes(self, at_kpc):
        """Shares [n, n_shells] of profiles stretched to have their largest step at a distance."""
        ratio = self._step_kpc / at_kpc
        chosen = np.flatnonzero(np.abs(np.log(ratio)) < STRETCH)
        at = self._edges_kpc * ratio[chosen, None] / self._config.distance.step_kpc
        low = np.minimum(at.astype(int), self._up_to.shape[1] - 2)
        share = np.minimum(at - low, 1.0)
        below, above = (np.take_along_axis(self._up_to[chosen], low + i, axis=1) for i in (0, 1))
        return np.diff(below + share * (above - below), axis=1)

    def _of_shells(self, density):
        """Dust in each shell, mag, of a density."""
        up_to = np.append(0.0, np.cumsum(density)) * self._config.distance.step_kpc
        return np.diff(np.append(up_to[self._diagrams.first], up_to[-1]))

    def posterior(self, wall_mag, at_kpc, group):
        """What fields with noise say of the wall.

        Returns
        -------
        percentiles : ndarray [N_NOISE, n_percentiles, n_distances]
        behind, by_prior : float
            Dust behind the wall over its height, by the posterior and by the prior's profiles alone: means.
        n_draws : float
            How many draws of the prior count.
        """
        config, rng = self._config, self._rng
        wall = self._first_order(wall_mag, at_kpc)
        edges, outer = self._edges_kpc, config.distance.edges_kpc[1:]
        beyond = edges[:-1] >= at_kpc * (1 + NEAR_SHARE)
        sigmas, found, behind, numbers = widths(config.nuisances), [], [], []
        for _ in range(N_NOISE):
            seen = rng.standard_normal(wall.kept.shape[0])
            if group == "as trained":
                seen = seen + (rng.standard_normal(len(sigmas)) * sigmas) @ wall.free[:-1]
            profiles, number = wall.draw(seen, rng)
            numbers.append(number)
            behind.append(profiles[:, beyond].sum(axis=1).mean() / wall_mag)
            up_to = np.pad(np.cumsum(profiles, axis=1), ((0, 0), (1, 0)))
            found.append(np.percentile([np.interp(outer, edges, row) for row in up_to], PERCENTILES, axis=0))
        near = (edges[:-1] >= at_kpc * (1 - NEAR_SHARE)) & ~beyond
        by_prior = wall.shapes[:, beyond].sum(axis=1).mean() / wall.shapes[:, near].sum(axis=1).mean()
        return np.array(found), np.mean(behind), by_prior, np.mean(numbers)

    def _first_order(self, wall_mag, at_kpc):
        diagrams, config = self._diagrams, self._config
        truth = self._of_shells(wall_density(wall_mag, at_kpc, config.distance))
        mean, slopes = diagrams.with_slopes(truth, ndtri(np.full(3, LEAST_UNEVEN)))
        root = np.sqrt(np.maximum(mean, 0.0) + BACKGROUND)
        by_shell, by_offset = slopes[: len(truth)] / root, slopes[-len(NUISANCES) :] / root
        step_kpc = 0.5 * config.distance.step_kpc
        farther, nearer = (
            self._of_shells(wall_density(wall_mag, at_kpc + x, config.distance))
            for x in (step_kpc, -step_kpc)
        )
        moved = (farther - nearer) / (2 * step_kpc)
        uneven = np.array([(diagrams.mean(truth, ndtri(np.full(3, u))) - mean) / root for u in UNEVEN])
        return FirstOrder(
            truth,
            self.shapes(at_kpc),
            by_shell,
            uneven,
            np.vstack([by_offset, moved @ by_shell]),
            np.append(widths(config.nuisances) ** -2.0, 0.0),
            moved,
        )


class FirstOrder:
    """The diagram of a field behind a wall, over its noise, to first order in what differs from the wall.

    Parameters
    ----------
    truth : ndarray [n_shells]
        The wall's dust, mag.
    shapes : ndarray [n_draws, n_shells]
        Shares of profiles of the prior.
    by_shell : ndarray [n_shells, n_blocks]
    uneven : ndarray [n_uneven, n_blocks]
        What unevenness changes.
    free : ndarray [n_free, n_blocks]
        Slopes by offsets, and by the wall's distance.
    precision : ndarray [n_free]
        What is known of these before.
    moved : ndarray [n_shells]
        Change of the dust for a kpc of the wall's distance.
    """

    def __init__(self, truth, shapes, by_shell, uneven, free, precision, moved):
        self.shapes, self.free = shapes, free
        self._truth, self._by_shell, self._uneven, self._moved = truth, by_shell, uneven, moved
        self._inner = free @ free.T + np.diag(precision)
        # What is left of a diagram that offsets and the wall's distance cannot explain.
        self.kept = np.eye(free.shape[1]) - free.T @ np.linalg.solve(self._inner, free)
        self._weighted = by_shell @ self.kept
        self._curved = np.einsum("ni,ij,nj->n", shapes, self._weighted @ by_shell.T, shapes)

    def draw(self, seen, rng):
        """Dust [N_KEPT, n_shells] drawn from the posterior of a diagram, and how many draws count."""
        # seen = (total shape - truth) by_shell + uneven + free x + noise; the total's prior is d(ln total).
        left = seen - self._uneven
        pull = self.shapes @ (self._weighted @ (self._truth @ self._by_shell + left).T)
        total = pull / self._curved[:, None]
        exponent = 0.5 * pull * total - 0.5 * np.einsum("ui,ij,uj->u", left, self.kept, left)
        exponent -= (self._truth @ self._weighted) @ left.T + 0.5 * np.log(self._curved[:, None])
        exponent -= np.log(np.maximum(total, LEAST_TOTAL_MAG))
        weight = np.where(total > LEAST_TOTAL_MAG, np.exp(exponent - exponent.max()), 0.0)
        weight /= weight.sum()
        rows, which = np.divmod(rng.choice(weight.size, N_KEPT, p=weight.ravel()), len(UNEVEN))
        drawn = total[rows, which] + rng.standard_normal(N_KEPT) / np.sqrt(self._curved[rows])
        profiles = drawn[:, None] * self.shapes[rows]
        rest = left[which] - (profiles - self._truth) @ self._by_shell
        shift = np.linalg.solve(self._inner, self.free @ rest.T)[-1]
        shift += rng.standard_normal(N_KEPT) * np.sqrt(np.linalg.inv(self._inner)[-1, -1])
        return profiles + shift[:, None] * self._moved, 1.0 / np.sum(weight.sum(axis=1) ** 2)


def walls_of(config, table, n_draws, rng):
    """Rows of `walls.py` for the posterior."""
    places = [WallForecast(config, table, *place, n_draws, rng) for place in places_of(config)]
    rows = []
    for group in GROUPS:
        for mag in WALLS_MAG:
            for kpc in WALLS_KPC:
                found = [place.posterior(mag, kpc, group) for place in places]
                percentiles, behind, prior, numbers = (np.array(part) for part in zip(*found, strict=True))
                percentiles = percentiles.reshape(-1, *percentiles.shape[2:])
                score = wall_score(percentiles, mag, kpc, config.distance.step_kpc, group)
                middle = percentiles[:, list(PERCENTILES).index(50.0), -1]
                rows.append(
                    score.to_dict()
                    | {"scatter": float(middle.std() / mag), "behind": float(behind.mean())}
                    | {"behind_by_prior": float(prior.mean()), "draws": float(numbers.mean())}
                )
    return rows
