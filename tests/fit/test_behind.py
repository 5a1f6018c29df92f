"""Where the stars of shells are behind patchy dust, and the slopes of that."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri

from extmap_tf.fit.behind import Dimming
from extmap_tf.fit.patchy import PatchyLayers
from extmap_tf.fit.stars import Shells
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.mocks.patchiness import Patchiness, patchy_extinction
from extmap_tf.settings.profiles import ProfilePrior

DISTANCE = DistanceGrid(0.25, 24)
PRIOR = ProfilePrior(patchiness_max=0.8, patchiness_power=2.0, patchy_layers=2)
GRID_MAG = np.sinh(0.03 * np.arange(101))
# Widths of 0.3 and 0.5, and the farther layer from 1.4 kpc on.
NORMAL = np.array([[*ndtri(np.sqrt([0.3 / 0.8, 0.5 / 0.8])), ndtri(np.log(1.4 / 0.3) / np.log(6.0 / 0.3))]])


@pytest.fixture(scope="module")
def density():
    return np.random.default_rng(3).gamma(0.7, 0.25, DISTANCE.n_distances).astype(np.float32)


@pytest.fixture(scope="module")
def edges_mag(density):
    return np.append(0.0, np.cumsum(density.astype(float)) * DISTANCE.step_kpc)[None]


def layers(prior=PRIOR):
    return PatchyLayers(prior, DISTANCE.edges_kpc)


def dimming(prior=PRIOR):
    return Dimming(GRID_MAG, Shells.of(DISTANCE), layers(prior), DISTANCE.edges_kpc)


def test_two_layers_spread_columns_as_the_mocks_do(density, edges_mag):
    patchiness = Patchiness(0.3, 1.4, 0.5)
    for kpc in (1.0, 1.7, 2.6, 5.0):
        where = np.full(200_000, kpc, np.float32)
        drawn = patchy_extinction(where, density, DISTANCE.step_kpc, patchiness, np.random.default_rng(0))
        column = np.interp(kpc, DISTANCE.edges_kpc, edges_mag[0])
        sigma = layers().spread(NORMAL, edges_mag, np.full((1, 1, 1), column)).sigma.item()
        assert drawn.mean() == pytest.approx(column, rel=0.01)
        assert drawn.std() / column == pytest.approx(np.sqrt(np.expm1(sigma**2)), rel=0.03)


def test_slopes_of_the_spread_are_its_differences(edges_mag):
    column, step = np.full((1, 1, 1), 0.8 * edges_mag[0, -1]), 1e-5
    found, there = layers().spread(NORMAL, edges_mag, column), layers()

    def moved(i):
        ends = (there.spread(NORMAL + sign * step * np.eye(3)[i], edges_mag, column) for sign in (1, -1))
        after, before = (end.sigma.item() for end in ends)
        return (after - before) / (2 * step)

    assert found.by_normal[0].item() == pytest.approx(moved(0), rel=1e-3)
    assert found.by_normal[1].item() == pytest.approx(moved(1), rel=1e-3)
    assert found.by_front.item() * found.front_by_normal.item() == pytest.approx(moved(2), rel=1e-3)


@pytest.mark.parametrize("changed", [{}, {"patchy_layers": 1}, {"patchiness_max": 0.0}])
def test_stars_of_shells_keep_their_number_and_their_mean_extinction(changed, edges_mag):
    prior = replace(PRIOR, **changed)
    there = dimming(prior)
    normal = NORMAL[:, : layers(prior).n_numbers]
    value = there.behind(edges_mag, normal, slopes=False).value[0]  # [n_shells, 2, n_extinctions]
    np.testing.assert_allclose(value[:, 0].sum(axis=-1), 1.0, atol=2e-3)
    # Of a straight line, a cubic polynomial between two points makes the line itself.
    mean = value[:, 0] @ GRID_MAG + value[:, 1].sum(axis=-1)
    bins = np.minimum(Shells.of(DISTANCE).first, DISTANCE.n_distances)
    low, high = edges_mag[0, bins], edges_mag[0, np.append(bins[1:], DISTANCE.n_distances)]
    assert (mean >= 0.995 * low).all()
    assert (mean <= 1.005 * high + 1e-9).all()


def test_slopes_by_the_dust_of_bins_are_differences(edges_mag):
    there, step, k = dimming(), 1e-4, 5
    found = there.behind(edges_mag, NORMAL, slopes=True)

    def mean_at(by):
        moved = edges_mag + by * (np.arange(DISTANCE.n_distances + 1) > k)
        return there.behind(moved, NORMAL, slopes=False).value[0]

    expected = (mean_at(step) - mean_at(-step)) / (2 * step)
    # All cells beyond bin k, and by the dust in front of the farther layer; shells there are single bins.
    shell_of_cell = there.shell_of_cell
    slope = np.zeros_like(expected)
    for cell in range(k + 1, len(shell_of_cell)):
        slope[shell_of_cell[cell]] += found.by_bin[0, cell]
    slope += found.spread.front_of_bin[0, k] * found.by_layer[0, :, 2]
    far = np.arange(len(slope)) > shell_of_cell[k]
    np.testing.assert_allclose(slope[far], expected[far], atol=2e-3 * np.abs(expected).max())
