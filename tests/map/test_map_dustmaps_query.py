import subprocess
import sys

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from extmap_tf.errors import ConfigError
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
    limit = sure.reliable_distance_kpc[3, 3]
    d = [limit - 1e-3, limit + 1e-3, 0.1]
    _, flags = maps.query_gal([258.5, 258.5, 10.0], [0.5, 0.5, 0.5], d, return_flags=True)
    assert flags["reliable_dist"].tolist() == [True, False, False]
    assert flags["flag"][2] == Flag.OUTSIDE_SKY
    _, flags = maps.query(place, return_flags=True)
    assert flags.shape == (2, 1)
    np.testing.assert_allclose(flags["max_reliable_distmod"][0, 0], 5 * np.log10(limit * 100), rtol=1e-5)
    _, flags = query_class(make_map()).query(place, return_flags=True)
    assert np.isnan(flags["max_reliable_distmod"]).all()


def test_unknown_choices_are_refused(query_class, sure, place):
    with pytest.raises(ConfigError, match="no band 'X'"):
        query_class(sure, band="X")
    with pytest.raises(ConfigError, match="mode must be one of median"):
        query_class(sure).query(place, mode="best")
    with pytest.raises(TypeError, match="SkyCoord"):
        query_class(sure).query((1, 2))


def test_without_dustmaps_one_line_says_what_to_install():
    code = "import sys; sys.modules['dustmaps'] = None\nimport extmap_tf.map.dustmaps_query"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: extmap_tf.map.dustmaps_query needs the package dustmaps: "
        "pip install 'extmap_tf[dustmaps]'"
    )
