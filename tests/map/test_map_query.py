import math
import time

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import Galactic, SkyCoord

from extmap_tf.errors import ConfigError, DataError
from extmap_tf.grids import DistanceGrid, SightlineGrid
from extmap_tf.map.provenance import Flag
from extmap_tf.map.volume import ExtinctionMap, profiles_at


def nearest_by_loop(volume, l_deg, b_deg):
    """Brute force: (i_b, i_l) of the sightline whose square of one step holds the position, or None."""
    half = 0.5 * volume.grid.step_deg
    for i_b, b in enumerate(volume.grid.b_deg):
        for i_l, l in enumerate(volume.grid.l_deg):
            if abs((l_deg - l + 180.0) % 360.0 - 180.0) <= half and abs(b_deg - b) <= half:
                return i_b, i_l
    return None


def cumulative_by_loop(density, step_kpc, d_kpc):
    total = 0.0
    for k, value in enumerate(density):
        total += float(value) * min(max(d_kpc - k * step_kpc, 0.0), step_kpc)
    return total


def positions(volume, n, seed=3):
    rng = np.random.default_rng(seed)
    grid, margin = volume.grid, volume.grid.step_deg
    l_deg = rng.uniform(grid.l_min_deg - margin, grid.l_max_deg + margin, n) % 360.0
    b_deg = rng.uniform(grid.b_min_deg - margin, grid.b_max_deg + margin, n)
    return l_deg, b_deg, rng.uniform(0.0, 1.2 * volume.distance.max_kpc, n)


@pytest.fixture(
    params=[
        SightlineGrid(257.0, 260.0, -1.0, 1.0, 0.5, 0.5),
        SightlineGrid(356.0, 362.0, -21.0, -18.0, 1.0, 0.5),
        SightlineGrid(0.0, 345.0, -15.0, 15.0, 15.0, 1.0),
    ],
    ids=["sector", "across l = 0", "all longitudes"],
)
def some_map(request, make_map):
    return make_map(request.param)


def test_nearest_values_equal_a_brute_force_loop(some_map):
    l_deg, b_deg, d_kpc = positions(some_map, 400)
    cumulative, flags = some_map.query_gal(l_deg, b_deg, d_kpc, return_flags=True)
    density = some_map.query_gal(l_deg, b_deg, d_kpc, quantity="density")
    step, last = some_map.distance.step_kpc, some_map.distance.max_kpc
    for i in range(len(l_deg)):
        node = nearest_by_loop(some_map, l_deg[i], b_deg[i])
        if node is None:
            assert np.isnan(cumulative[i])
            assert np.isnan(density[i])
            assert flags[i] == Flag.OUTSIDE_SKY
            continue
        beyond = Flag.BEYOND_LAST_DISTANCE if d_kpc[i] > last else 0
        assert flags[i] == int(some_map.flag[node]) | beyond
        profile = some_map.density[node]
        expected = cumulative_by_loop(profile, step, d_kpc[i])
        np.testing.assert_allclose(cumulative[i].value, expected, rtol=1e-5, atol=1e-6)
        inside = math.nan if d_kpc[i] > last else profile[int(d_kpc[i] / step)]
        np.testing.assert_array_equal(density[i].value, inside)
    assert {int(Flag.OUTSIDE_SKY), int(Flag.BEYOND_LAST_DISTANCE)} <= set(flags.tolist())


def test_linear_values_equal_a_brute_force_loop(some_map):
    grid = some_map.grid
    closed = grid.n_l * grid.step_deg == 360.0
    l_deg, b_deg, d_kpc = positions(some_map, 400, seed=4)
    found, flags = some_map.query_gal(l_deg, b_deg, d_kpc, sky="linear", return_flags=True)
    for i in range(len(l_deg)):
        if nearest_by_loop(some_map, l_deg[i], b_deg[i]) is None:
            assert np.isnan(found[i])
            continue
        offset = (l_deg[i] - grid.l_min_deg + 180.0) % 360.0 - 180.0
        if offset < -0.5 * grid.step_deg:
            offset += 360.0
        x, y = offset / grid.step_deg, (b_deg[i] - grid.b_min_deg) / grid.step_deg
        x = x if closed else min(max(x, 0.0), grid.n_l - 1.0)
        y = min(max(y, 0.0), grid.n_b - 1.0)
        expected, flag = 0.0, 0
        for i_b in range(grid.n_b):
            for i_l in range(grid.n_l + closed):
                weight = max(0.0, 1.0 - abs(x - i_l)) * max(0.0, 1.0 - abs(y - i_b))
                if closed and x < 0:
                    weight = max(0.0, 1.0 - abs(x + grid.n_l - i_l)) * max(0.0, 1.0 - abs(y - i_b))
                if weight > 0:
                    profile = some_map.density[i_b, i_l % grid.n_l]
                    expected += weight * cumulative_by_loop(profile, some_map.distance.step_kpc, d_kpc[i])
                    flag |= int(some_map.flag[i_b, i_l % grid.n_l])
        np.testing.assert_allclose(found[i].value, expected, rtol=1e-5, atol=1e-6)
        assert int(flags[i]) & ~int(Flag.BEYOND_LAST_DISTANCE) == flag


def test_linear_on_the_sky_is_exact_at_the_centres(some_map):
    l_deg, b_deg = some_map.grid.centers_deg()
    found = some_map.query_gal(l_deg, b_deg, sky="linear").value
    np.testing.assert_array_equal(found, some_map.cumulative.reshape(found.shape))


def test_cumulative_is_exact_at_edges_and_linear_between(volume):
    edges = volume.distance.edges_kpc
    at_edges = volume.query_gal(258.5, 0.5, edges).value
    assert at_edges[0] == 0.0
    np.testing.assert_allclose(at_edges[1:], volume.cumulative[3, 3], rtol=1e-6)
    halfway = volume.query_gal(258.5, 0.5, 0.5 * (edges[1:] + edges[:-1])).value
    np.testing.assert_allclose(halfway, 0.5 * (at_edges[1:] + at_edges[:-1]), rtol=1e-5)


def test_a_distance_on_an_edge_lies_in_the_farther_bin(volume):
    found = volume.query_gal(258.5, 0.5, [0.0, 0.1, 0.3, 0.6, 0.7, 1.1], quantity="density").value
    np.testing.assert_array_equal(found, volume.density[3, 3, [0, 1, 3, 6, 7, 11]])


def test_the_last_distance_still_belongs_to_the_map(volume):
    last = volume.distance.max_kpc
    cumulative, flag = volume.query_gal(258.5, 0.5, last, return_flags=True)
    assert flag == 0
    np.testing.assert_allclose(cumulative.value, volume.cumulative[3, 3, -1], rtol=1e-6)
    assert volume.query_gal(258.5, 0.5, last, quantity="density").value == volume.density[3, 3, -1]


@pytest.mark.parametrize("far_kpc", [1.3, 50.0, math.inf])
def test_beyond_the_last_distance_is_a_flagged_lower_limit(volume, far_kpc):
    cumulative, flag = volume.query_gal(258.5, 0.5, far_kpc, return_flags=True)
    assert flag == Flag.BEYOND_LAST_DISTANCE
    np.testing.assert_allclose(cumulative.value, volume.cumulative[3, 3, -1], rtol=1e-6)
    assert np.isnan(volume.query_gal(258.5, 0.5, far_kpc, quantity="density"))


@pytest.mark.parametrize("sky", ["nearest", "linear"])
@pytest.mark.parametrize("quantity", ["cumulative", "density"])
@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 3), (0,)])
def test_shapes_follow_the_one_rule(volume, shape, sky, quantity):
    l_deg, b_deg = np.full(shape, 258.5), np.full(shape, 0.5)
    for coords, tail in (
        (SkyCoord(l_deg * u.deg, b_deg * u.deg, frame="galactic"), (12,)),
        (SkyCoord(l_deg * u.deg, b_deg * u.deg, np.full(shape, 0.55) * u.kpc, frame="galactic"), ()),
    ):
        found, flags = volume.query(coords, quantity=quantity, sky=sky, return_flags=True)
        assert found.shape == shape + tail
        assert flags.shape == shape
        assert found.unit == (u.mag if quantity == "cumulative" else u.mag / u.kpc)
        assert found.dtype == np.float32


def test_blocks_do_not_show(volume, monkeypatch):
    l_deg, b_deg, d_kpc = positions(volume, 1000)
    whole = volume.query_gal(l_deg, b_deg, d_kpc, sky="linear").value
    monkeypatch.setattr("extmap_tf.map.volume.BLOCK", 7)
    np.testing.assert_array_equal(volume.query_gal(l_deg, b_deg, d_kpc, sky="linear").value, whole)


@pytest.mark.parametrize("frame", ["icrs", "fk5", "galactocentric", "geocentrictrueecliptic"])
def test_any_frame_gives_the_same(volume, frame):
    place = SkyCoord(258.6 * u.deg, 0.4 * u.deg, 0.77 * u.kpc, frame="galactic")
    expected = volume.query(place).value
    np.testing.assert_allclose(volume.query(place.transform_to(frame)).value, expected, rtol=1e-5)


def test_frames_and_cartesian_positions_are_taken(volume):
    frame = Galactic(l=258.6 * u.deg, b=0.4 * u.deg, distance=770 * u.pc)
    expected = volume.query_gal(258.6, 0.4, 0.77).value
    assert volume.query(frame).value == expected
    x, y, z = frame.cartesian.xyz
    place = SkyCoord(u=x, v=y, w=z, frame="galactic", representation_type="cartesian")
    np.testing.assert_allclose(volume.query(place).value, expected, rtol=1e-6)


def test_position_without_distance_keeps_the_profile_in_other_frames(volume):
    place = SkyCoord(258.6 * u.deg, 0.4 * u.deg, frame="galactic").icrs
    np.testing.assert_array_equal(volume.query(place).value, volume.cumulative[3, 3])
    np.testing.assert_array_equal(volume.query(place, quantity="density").value, volume.density[3, 3])


def test_plain_numbers_and_quantities_agree_and_broadcast(volume):
    plain = volume.query_gal([[258.0], [259.0]], 0.5, [0.2, 0.4, 0.6])
    assert plain.shape == (2, 3)
    units = volume.query_gal([[258.0], [259.0]] * u.deg, 30 * u.arcmin, [200, 400, 600] * u.pc)
    np.testing.assert_array_equal(plain.value, units.value)


def test_longitude_may_be_given_in_any_turn(volume):
    assert volume.query_gal(258.5 - 360.0, 0.5, 0.5) == volume.query_gal(258.5, 0.5, 0.5)


@pytest.mark.parametrize("quantity", ["cumulative", "density"])
def test_bands_follow_the_law_in_the_file(volume, quantity):
    native = volume.query_gal(258.5, 0.5, 0.5, quantity=quantity)
    assert native == volume.query_gal(258.5, 0.5, 0.5, band="Ks", quantity=quantity)
    np.testing.assert_allclose(volume.query_gal(258.5, 0.5, 0.5, "J", quantity) / native, 2.61, rtol=1e-6)
    excess = volume.query_gal(258.5, 0.5, 0.5, "E(J-Ks)", quantity)
    np.testing.assert_allclose(excess / native, 1.61, rtol=1e-6)


def test_unknown_choices_name_what_there_is(volume):
    for choice, words in (
        ({"band": "V"}, r"available: Ks, J, E\(J-Ks\)"),
        ({"quantity": "total"}, "cumulative, density"),
        ({"sky": "cubic"}, "nearest, linear"),
    ):
        with pytest.raises(ConfigError, match=words):
            volume.query_gal(258.5, 0.5, 0.5, **choice)


def test_missing_numbers_are_nan_and_flagged_not_fatal(volume):
    found, flags = volume.query_gal(
        [258.5, math.nan, 258.5, 0.0],
        [0.5, 0.5, math.inf, math.nan],
        [math.nan, 0.5, 0.5, 0.5],
        return_flags=True,
    )
    assert np.isnan(found).all()
    assert (flags == Flag.NOT_A_NUMBER).all()


def test_negative_distances_are_refused_with_their_place(volume):
    with pytest.raises(DataError, match=r"got: -0.2 kpc at position 2 \(2 of 4 are\)"):
        volume.query_gal(258.5, 0.5, [0.1, 0.2, -0.2, -1.0])


def test_input_that_is_no_position_is_refused(volume):
    with pytest.raises(DataError, match="SkyCoord"):
        volume.query((258.5, 0.5))
    with pytest.raises(DataError, match="distance must be"):
        volume.query_gal(258.5, 0.5, 3 * u.s)
    with pytest.raises(DataError, match="distance must be"):
        volume.query(SkyCoord(258.5 * u.deg, 0.5 * u.deg, 1.0, frame="galactic"))
    with pytest.raises(DataError, match="latitude must be"):
        volume.query_gal(258.5, "north")
    with pytest.raises(DataError, match="shapes that go together"):
        volume.query_gal([1.0, 2.0], [1.0, 2.0, 3.0])


def test_file_and_memory_answer_alike(volume, tmp_path):
    volume.write(tmp_path / "map.fits")
    opened = ExtinctionMap.read(tmp_path / "map.fits")
    l_deg, b_deg, d_kpc = positions(volume, 200)
    for sky in ("nearest", "linear"):
        for quantity in ("cumulative", "density"):
            for d in (None, d_kpc):
                first = volume.query_gal(l_deg, b_deg, d, quantity=quantity, sky=sky)
                second = opened.query_gal(l_deg, b_deg, d, quantity=quantity, sky=sky)
                np.testing.assert_array_equal(first.value, second.value)


def test_profiles_at_common_distances_equal_queries(volume):
    distances_kpc = np.array([0.0, 0.05, 0.3, 1.17, 1.2])
    found = profiles_at(volume.cumulative, volume.distance, distances_kpc)
    expected = volume.query_gal(258.5, 0.5, distances_kpc).value
    np.testing.assert_allclose(found[3, 3], expected, rtol=1e-6)


def test_a_million_positions_take_less_than_a_second(make_map):
    sector = make_map(SightlineGrid(257.0, 303.0, -5.0, 5.0, 0.25, 0.5), DistanceGrid())
    l_deg, b_deg, d_kpc = positions(sector, 1_000_000)
    start = time.process_time()
    sector.query_gal(l_deg, b_deg, d_kpc)
    assert time.process_time() - start < 1.0
