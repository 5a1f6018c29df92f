import subprocess
import sys

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from extmap_tf.estimate import Flag


@pytest.fixture(scope="module")
def query_class():
    pytest.importorskip("dustmaps", reason="the package dustmaps is not installed")
    from extmap_tf.map.dustmaps_query import ExtmapQuery

    return ExtmapQuery


@pytest.fixture(scope="module")
def place():
    return SkyCoord([[258.5], [259.0]] * u.deg, [[0.5], [-0.5]] * u.deg, frame="galactic")


def test_it_is_a_dustmap_and_answers_as_one(query_class, sure, tmp_path):
    from dustmaps.map_base import DustMap

    sure.write(tmp_path / "map.fits")
    maps = query_class(tmp_path / "map.fits", band="E(B-V)")
    assert isinstance(maps, DustMap)
    coords = SkyCoord(258.5 * u.deg, 0.5 * u.deg, 700 * u.pc, frame="galactic").icrs
    expected = sure.query(coords, band="E(B-V)").value
    for found in (
        maps(coords),
        maps.query(coords),
        maps.query_gal(258.5, 0.5, 0.7),
        maps.query_equ(coords.ra.deg, coords.dec.deg, 0.7),
    ):
        assert type(found) is not u.Quantity
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_last_axis_is_that_of_percentiles_or_samples(query_class, sure, place):
    maps = query_class(sure)
    assert maps.distances.shape == maps.distmods.shape == (12,)
    np.testing.assert_allclose(maps.distmods[-1].value, 5 * np.log10(1200 / 10))
    far = SkyCoord(place.l, place.b, np.full((2, 1), 0.5) * u.kpc, frame="galactic")
    for how, tail in (
        ({}, ()),
        ({"mode": "mean"}, ()),
        ({"mode": "std"}, ()),
        ({"mode": "percentile", "pct": 16}, ()),
        ({"mode": "percentile", "pct": [16, 50, 84]}, (3,)),
        ({"mode": "samples"}, (32,)),
        ({"mode": "random_sample_per_pix"}, ()),
    ):
        assert maps.query(place, **how).shape == (2, 1, 12, *tail)
        assert maps.query(far, **how).shape == (2, 1, *tail)
    found = maps.query(place, mode="percentile", pct=[16, 84])
    expected = sure.query(place, mode="percentile", percentile=84).value
    np.testing.assert_array_equal(found[..., 1], expected)


def test_flags_have_the_names_of_dustmaps(query_class, sure, make_map, place):
    maps = query_class(sure)
    outer_kpc = sure.distance.outer_kpc
    _, flags = maps.query_gal(258.5, 0.5, outer_kpc, return_flags=True)
    np.testing.assert_array_equal(flags["reliable_dist"], sure.reliable[3, 3])
    assert flags["converged"].all()
    _, flags = maps.query_gal([258.5, 10.0], [0.5, 0.5], [9.0, 0.1], return_flags=True)
    assert flags["reliable_dist"].tolist() == [False, False]
    assert flags["flag"][1] == Flag.OUTSIDE_SKY
    _, flags = maps.query(place, return_flags=True)
    assert flags.shape == (2, 1)
    limits_kpc = [sure.reliable_distance_kpc[3, 3], sure.reliable_distance_kpc[1, 4]]
    assert limits_kpc[0] == 0 < limits_kpc[1]
    expected = [-np.inf, 5 * np.log10(limits_kpc[1] * 100)]
    np.testing.assert_allclose(flags["max_reliable_distmod"][:, 0], expected, rtol=1e-5)
    _, flags = query_class(make_map()).query(place, return_flags=True)
    assert np.isnan(flags["max_reliable_distmod"]).all()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"mode": "mode"}, "mode must be one of median"),
        ({"mode": "percentile"}, "pct goes with"),
        ({"pct": 16}, "pct goes with"),
        ({"mode": "percentile", "pct": 101}, "from 0 to 100, got: 101"),
        ({"mode": "percentile", "pct": [16, -1]}, "from 0 to 100"),
        ({"mode": "percentile", "pct": "many"}, "from 0 to 100, got: 'many'"),
        ({"mode": "percentile", "pct": []}, "from 0 to 100"),
        ({"mode": "percentile", "pct": [[16, 84]]}, "from 0 to 100"),
    ],
)
def test_unknown_choices_are_value_errors(query_class, sure, place, how, words):
    with pytest.raises(ValueError, match=words):
        query_class(sure).query(place, **how)


def test_what_the_map_cannot_answer_is_a_value_error(query_class, sure, make_map, place):
    with pytest.raises(ValueError, match="no band 'X'"):
        query_class(sure, band="X")
    with pytest.raises(ValueError, match="no std"):
        query_class(make_map()).query(place, return_sigma=True)
    with pytest.raises(TypeError, match="SkyCoord"):
        query_class(sure).query((1, 2))


def test_percentiles_go_from_0_to_100(query_class, sure, place):
    maps = query_class(sure)
    found = maps.query(place, mode="percentile", pct=[0, 2.5, 50, 97.5, 100])
    np.testing.assert_array_equal(found[..., 0], found[..., 1])
    np.testing.assert_array_equal(found[..., 4], found[..., 3])
    np.testing.assert_array_equal(maps.query(place, mode="best"), maps.query(place))


@pytest.mark.parametrize("samples", [True, False])
@pytest.mark.parametrize("with_distance", [True, False])
def test_random_samples_are_from_the_distribution_and_seeded(
    query_class, make_sure_map, samples, with_distance
):
    maps = query_class(make_sure_map(samples=samples))
    l_deg = np.full((2, 3000), 258.5)
    d_kpc = np.full(l_deg.shape, 0.7) if with_distance else None
    found = maps.query_gal(l_deg, l_deg * 0 + 0.5, d_kpc, mode="random_sample")
    assert found.shape == (2, 3000, *(() if with_distance else (12,)))
    np.testing.assert_array_equal(
        found, maps.query_gal(l_deg, l_deg * 0 + 0.5, d_kpc, mode="random_sample", seed=0)
    )
    at = found if with_distance else found[..., 6]
    one = SkyCoord(258.5 * u.deg, 0.5 * u.deg, (0.7 if with_distance else 1) * u.kpc, frame="galactic")
    if not with_distance:
        one = SkyCoord(258.5 * u.deg, 0.5 * u.deg, frame="galactic")
    if samples:
        stored = maps.query(one, mode="samples")
        stored = stored if with_distance else stored[6]
        assert set(np.unique(at)) == set(np.unique(stored))
    else:
        low, middle, high = (maps.query(one, mode="percentile", pct=p) for p in (16, 50, 84))
        low, middle, high = (x if with_distance else x[6] for x in (low, middle, high))
        assert ((at >= low) & (at <= high)).mean() == pytest.approx(0.68, abs=0.03)
        assert (at < middle).mean() == pytest.approx(0.5, abs=0.03)
    per_pixel = maps.query_gal(l_deg, l_deg * 0 + 0.5, d_kpc, mode="random_sample_per_pix")
    assert len(np.unique(per_pixel if with_distance else per_pixel[..., 6])) == 1
    outside = maps.query_gal(10.0, 0.5, 0.3, mode="random_sample")
    assert np.isnan(outside)


def test_sigma_and_flags_are_those_of_marshall_and_bayestar(query_class, sure):
    maps = query_class(sure)
    l_deg, b_deg = [258.5, 258.5, 258.0, 10.0], [0.5, 0.0, -0.5, 0.0]
    values, sigma = maps.query_gal(l_deg, b_deg, 0.3, return_sigma=True)
    np.testing.assert_array_equal(sigma, sure.query_gal(l_deg, b_deg, 0.3, mode="std").value)
    assert values.shape == sigma.shape == (4,)
    _, _, flags = maps.query_gal(l_deg, b_deg, 0.1, return_sigma=True, return_flags=True)
    # A good one, odd colours, no stars, outside.
    assert flags["converged"].tolist() == [True, False, False, False]
    assert flags["reliable_dist"].tolist() == [*sure.reliable[[3, 2], 3, 0], False, False]
    _, flags = maps.query_gal(l_deg, b_deg, return_flags=True)
    assert flags["converged"].tolist() == [True, False, False, False]


def test_shapes_and_sizes_are_those_of_dustmaps(query_class, sure):
    """As ``dustmaps.tests.test_bayestar`` asks of Bayestar's maps."""
    maps = query_class(sure)
    modes = ("random_sample", "random_sample_per_pix", "median", "mean", "best", "samples", "percentile")
    for shape in ((), (1,), (10,), (3, 2)):
        l_deg = np.full(shape, 258.5) * u.deg
        for distance in (None, np.full(shape, 0.7) * u.kpc):
            coords = SkyCoord(l_deg, 0 * l_deg, distance=distance, frame="galactic")
            for mode in modes:
                for pct in (16.0, [16.0, 84.0]) if mode == "percentile" else (None,):
                    found = maps.query(coords, mode=mode, pct=pct)
                    columns = (32,) if mode == "samples" else (2,) if np.ndim(pct) else ()
                    assert np.shape(found) == (*shape, *(() if distance is not None else (12,)), *columns)
                    assert maps.get_query_size(coords, mode=mode, pct=pct) == np.size(found)


def test_without_dustmaps_one_line_says_what_to_install():
    code = "import sys; sys.modules['dustmaps'] = None\nimport extmap_tf.map.dustmaps_query"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: extmap_tf.map.dustmaps_query needs the package dustmaps: "
        "pip install 'extmap_tf[dustmaps]'"
    )
