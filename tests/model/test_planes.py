import numpy as np
import pytest

from extmap_tf.model.facts import PairFacts
from extmap_tf.model.planes import (
    N_DISTANCES,
    N_EXTINCTIONS,
    STAR_TYPES,
    CountsOverNoise,
    StarPlanes,
)

COLOR_EDGES, MAG_EDGES = np.linspace(-0.5, 5.9, 65), np.linspace(5.6, 15.2, 65)
SHAPE, RATIO = (64, 64), 2.8


def planes():
    return StarPlanes(COLOR_EDGES, MAG_EDGES, RATIO)


def test_a_star_lies_on_the_plane_of_its_kind_where_it_is():
    d_kpc = np.geomspace(0.2, 10.0, N_DISTANCES)[20]
    a_mag = 0.4 * np.sinh(np.linspace(0.0, np.arcsinh(4.5 / 0.4), N_EXTINCTIONS))[10]
    clump_mag, clump_color = STAR_TYPES[0]
    mag = clump_mag + 5 * np.log10(100 * d_kpc) + a_mag
    color = clump_color + (RATIO - 1) * a_mag
    image = np.zeros((1, *SHAPE), np.float32)
    image[
        0,
        np.searchsorted(MAG_EDGES, mag, "right") - 1,
        np.searchsorted(COLOR_EDGES, color, "right") - 1,
    ] = 1.0
    found = np.asarray(planes()(image)).reshape(N_DISTANCES, len(STAR_TYPES), N_EXTINCTIONS)[:, 0]
    assert found[20, 10] > 0.2
    i, j = np.unravel_index(found.argmax(), found.shape)
    assert abs(i - 20) <= 1
    assert abs(j - 10) <= 1


def test_planes_interpolate_and_are_zero_outside():
    mag, color = (0.5 * (e[1:] + e[:-1]) for e in (MAG_EDGES, COLOR_EDGES))
    image = (mag[:, None] + 2.0 * color)[None].astype(np.float32)
    found = np.asarray(planes()(image)).reshape(N_DISTANCES, len(STAR_TYPES), N_EXTINCTIONS)
    d_kpc = np.geomspace(0.2, 10.0, N_DISTANCES)
    clump = STAR_TYPES[0][0] + 5 * np.log10(100 * d_kpc)
    inside = (clump > mag[0]) & (clump < mag[-1])
    np.testing.assert_allclose(found[inside, 0, 0], (clump + 2.0 * STAR_TYPES[0][1])[inside], rtol=1e-4)
    # M dwarfs behind 4.5 mag at 10 kpc are far below the diagram.
    assert found[-1, 7, -1] == 0.0


def test_the_ends_of_the_planes_can_be_chosen():
    layer = StarPlanes(COLOR_EDGES, MAG_EDGES, RATIO, nearest_kpc=0.1, farthest_kpc=2.0, most_mag=1.5)
    again = StarPlanes.from_config(layer.get_config())
    mag = 0.5 * (MAG_EDGES[1:] + MAG_EDGES[:-1])
    image = np.repeat(mag[:, None], SHAPE[1], axis=1)[None].astype(np.float32)
    found = np.asarray(again(image)).reshape(N_DISTANCES, len(STAR_TYPES), N_EXTINCTIONS)
    turn_off = STAR_TYPES[6][0] + 5 * np.log10(100 * np.array([0.1, 2.0]))
    np.testing.assert_allclose(found[[0, -1], 6, 0], turn_off, rtol=1e-4)
    assert found[0, 6, -1] - found[0, 6, 0] == pytest.approx(1.5, abs=1e-3)


def test_counts_over_noise_are_linear():
    layer = CountsOverNoise()
    counts = np.full((1, 4, 4), 3.0, np.float32)
    layer(counts)
    layer.learn_from(PairFacts((np.zeros(0), np.zeros(0), {}), np.zeros(2), {"counts": np.full((4, 4), 3.8)}))
    np.testing.assert_allclose(layer(counts), 1.5)
    np.testing.assert_allclose(layer(2 * counts), 3.0)
