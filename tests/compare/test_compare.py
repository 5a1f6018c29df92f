import json
import sys
import types

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table
from scipy.stats import spearmanr

from extmap_tf.compare.maps import compare
from extmap_tf.compare.other_maps import (
    KS_PER_SFD_UNIT,
    IntegratedMap,
    ProfileTable,
    open_other,
    read_bayestar_text,
    read_marshall,
)
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.squares import SightlineGrid

BLOCK = """
# Line-of-Sight Reddening Results
# Galactic coordinates (in degrees):
#     l = {l}
#     b = 0.5
 SampleNo | DistanceModulus
          |  5.00  7.50 10.00
-----------------------------
 BestFit  | 0.100 0.200 0.400
    0     | 0.100 0.300 0.400
    1     | 0.200 0.200 0.600
    2     | 0.300 0.400 0.800
"""


class Plain:
    """A map of dustmaps without modes: E(B-V) that is exactly what another map says."""

    def __init__(self, volume, factor=1.0):
        self.volume, self.factor = volume, factor

    def query(self, coords):
        return self.factor * np.asarray(self.volume.query(coords, band="E(B-V)", law="F19").value)


class Moody(Plain):
    """One with modes, random unless told otherwise."""

    def query(self, coords, mode="random_sample"):
        found = super().query(coords)
        return found if mode == "median" else found * np.random.default_rng(1).uniform(0, 2, found.shape)


@pytest.mark.parametrize("kind", [Plain, Moody])
def test_the_same_dust_in_another_band_and_law_is_the_same(sure, kind):
    found = compare(sure, kind(sure), band="E(B-V)", law="F19", distances_kpc=(0.3, 0.7, 1.2, 9.0))
    np.testing.assert_allclose(found.distances_kpc, [0.3, 0.7, 1.2])
    assert found.extinction_mag.shape == (34, 3)
    np.testing.assert_allclose(found.extinction_mag, found.other_mag, rtol=1e-5, atol=1e-6)
    for row in found.rows:
        assert row.n == 34
        assert row.correlation == pytest.approx(1.0)
        assert row.offset_mag == pytest.approx(0.0, abs=1e-6)
        assert row.slope == pytest.approx(1.0, rel=1e-5)
    expected = sure.query_gal(found.l_deg, found.b_deg, 0.7, mode="std").value
    np.testing.assert_array_equal(found.std_mag[:, 1], expected)


def test_offset_scatter_and_correlations_are_what_they_say(make_map):
    one, two = make_map(seed=1, holes=False), make_map(seed=2, holes=False)
    row = compare(one, two, distances_kpc=[0.6]).rows[0]
    a, b = (m.extinction[..., 5].ravel().astype(float) for m in (one, two))
    assert row.correlation == pytest.approx(np.corrcoef(a, b)[0, 1], rel=1e-5)
    assert row.rank_correlation == pytest.approx(spearmanr(a, b).statistic, rel=1e-5)
    assert row.offset_mag == pytest.approx((a - b).mean(), abs=1e-6)
    assert row.scatter_mag == pytest.approx((a - b).std(), rel=1e-5)
    assert row.slope == pytest.approx((a * b).sum() / (b * b).sum(), rel=1e-5)
    assert (row.mean_mag, row.other_mean_mag) == pytest.approx((a.mean(), b.mean()), rel=1e-5)


def test_a_table_of_profiles_is_compared_at_its_own_sightlines(make_map):
    volume = make_map(holes=False)
    places = [(257.5, 0.0), (258.0, 1.0), (259.0, -1.0), (20.0, 0.0)]
    profiles = [volume.query_gal(*place, [0.4, 1.0]).value for place in places[:3]] + [[1.0, 2.0]]
    table = ProfileTable(
        *np.array(places).T, np.tile([0.4, 1.0], (4, 1)), np.array(profiles) / 0.31, np.full((4, 2), np.nan)
    )
    found = compare(volume, table, per_unit=0.31, distances_kpc=(0.4, 1.0, 1.2), name="the table")
    assert found.l_deg.tolist() == [257.5, 258.0, 259.0]
    np.testing.assert_allclose(found.extinction_mag[:, :2], found.other_mag[:, :2], rtol=1e-6)
    assert found.rows[2].n == 0
    assert np.isnan(found.rows[2].offset_mag)
    assert "the table" in found.table()
    assert json.loads(json.dumps(found.to_dict()))["rows"][2]["slope"] is None


def test_profiles_start_at_the_sun_and_end_at_their_last_point():
    table = ProfileTable(
        np.array([10.0]), np.array([0.0]), np.array([[1.0, 2.0]]), np.array([[0.5, 0.7]]), np.zeros((1, 2))
    )
    d = [1e-9, 0.5, 1.5, 2.0 - 1e-9, 2.1]
    coords = SkyCoord(np.full(5, 10.1) * u.deg, np.zeros(5) * u.deg, d * u.kpc, frame="galactic").icrs
    np.testing.assert_allclose(table.query(coords), [0.0, 0.25, 0.6, 0.7, np.nan], atol=1e-8)
    far = SkyCoord(11.0 * u.deg, 0.0 * u.deg, 1.0 * u.kpc, frame="galactic").reshape(1)
    assert np.isnan(table.query(far)).all()


def test_bayestar_text_gives_median_and_spread_of_its_samples(tmp_path):
    path = tmp_path / "profiles.txt"
    path.write_text(BLOCK.format(l=90.0) + BLOCK.format(l=91.0))
    table = read_bayestar_text(path)
    assert table.l_deg.tolist() == [90.0, 91.0]
    np.testing.assert_allclose(table.distance_kpc[0], [0.1, 10**-0.5, 1.0])
    np.testing.assert_allclose(table.extinction[1], [0.2, 0.3, 0.6])
    np.testing.assert_allclose(
        table.std[0], np.std([[0.1, 0.3, 0.4], [0.2, 0.2, 0.6], [0.3, 0.4, 0.8]], axis=0)
    )
    for text, words in (
        ("nothing", "no profiles of Bayestar"),
        (BLOCK.format(l=90.0)[:120], "sightline 1 has no"),
        (BLOCK.format(l=90.0).rstrip()[:-6], "rows of different lengths"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=words):
            read_bayestar_text(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_bayestar_text(tmp_path / "nothing.txt")


def test_the_real_bayestar_profiles_are_read(shared_data, make_map):
    table = read_bayestar_text(shared_data / "truth" / "bayestar2015_profiles.txt")
    assert (table.l_deg[0], table.b_deg[0]) == (90.0, 10.0)
    assert table.extinction.shape == (len(table.l_deg), 31)
    assert np.isfinite(table.extinction).all()
    around = make_map(SightlineGrid(0.0, 330.0, -60.0, 60.0, 30.0, 1.0), DistanceGrid(), holes=False)
    found = compare(around, table, per_unit=KS_PER_SFD_UNIT, distances_kpc=(1.0,))
    assert found.rows[0].n == found.l_deg.size > 3
    assert 0.01 < found.rows[0].other_mean_mag < 1.0


def test_marshalls_table_is_read_with_its_gaps(tmp_path):
    table = Table({"GLON": [280.0, 281.0], "GLAT": [0.0, 0.25]})
    for i, (r, a) in enumerate((([1.0, 1.5], [0.1, 0.2]), ([2.0, 3.0], [0.3, 0.5])), 1):
        table[f"r{i}"] = MaskedColumn(r, mask=[False, i == 2])
        table[f"ext{i}"] = MaskedColumn(a, mask=[False, i == 2])
        table[f"e_ext{i}"] = [0.01, 0.02]
    table.write(tmp_path / "marshall.fits")
    found = read_marshall(tmp_path / "marshall.fits")
    np.testing.assert_array_equal(found.distance_kpc, [[1.0, 2.0], [1.5, np.nan]])
    np.testing.assert_array_equal(found.extinction, [[0.1, 0.3], [0.2, np.nan]])
    Table({"GLON": [1.0]}).write(tmp_path / "other.fits")
    with pytest.raises(DataError, match="no column GLAT: not the table of Marshall"):
        read_marshall(tmp_path / "other.fits")


def test_what_cannot_be_compared_is_one_line(make_map):
    volume = make_map()
    with pytest.raises(ConfigError, match="either per_unit, or band"):
        compare(volume, volume, band="V", per_unit=3.0)
    with pytest.raises(ConfigError, match="no distance of"):
        compare(volume, volume, distances_kpc=[9.0])
    with pytest.raises(DataError, match="do not overlap"):
        compare(volume, volume, coords=SkyCoord([10.0], [0.0], unit="deg", frame="galactic"))

    class Short:
        def query(self, coords):
            return np.zeros(3)

    with pytest.raises(DataError, match=r"short answered \(3,\) to"):
        compare(volume, Short(), name="short")


class Uniform:
    """Dust of one density out to 0.8 kpc, as maps of extinction per length give it."""

    def query(self, coords, component="mean"):
        return np.where(coords.distance.to_value(u.kpc) < 0.8, 0.5, np.nan)


def test_a_density_is_integrated_from_the_sun_to_the_maps_end():
    coords = SkyCoord(
        [10.0, 10.0, 200.0, 10.0], np.zeros(4), [0.2, 0.7, 0.4, 0.9], unit=("deg", "deg", "kpc")
    )
    found = IntegratedMap(Uniform(), mag_per_unit=2.0).query(coords)
    np.testing.assert_allclose(found, [0.2, 0.7, 0.4, np.nan], atol=1e-9)


def test_leikes_maps_are_opened_as_densities(monkeypatch):
    module = types.ModuleType("dustmaps.leike2020")
    module.Leike2020Query = Uniform
    monkeypatch.setitem(sys.modules, "dustmaps.leike2020", module)
    other = open_other("dustmaps.leike2020:Leike2020Query")
    assert isinstance(other.map, IntegratedMap)
    assert other.map.mag_per_unit == pytest.approx(1.0857, abs=1e-4)


def test_numbers_that_fall_with_distance_are_refused(make_map):
    class Density:
        def query(self, coords):
            return np.exp(-coords.distance.to_value(u.kpc))

    with pytest.raises(DataError, match="density: its numbers fall with distance"):
        compare(make_map(holes=False), Density(), band="V", distances_kpc=(0.4, 1.0), name="density")


def test_a_map_that_fails_is_one_line(make_map):
    class Failing:
        def query(self, coords, mode="mean"):
            raise OSError("no\ndata")

    with pytest.raises(DataError, match="it does not answer: OSError: no data"):
        compare(make_map(), Failing(), band="V", name="it")


def test_one_sightline_has_the_statistics_that_one_can_have(make_map):
    volume = make_map(holes=False)
    one = ProfileTable(
        np.array([257.5]),
        np.array([0.0]),
        np.array([[0.4, 1.0]]),
        np.array([[0.1, 0.3]]),
        np.full((1, 2), np.nan),
    )
    row = compare(volume, one, per_unit=1.0, distances_kpc=(1.0,)).rows[0]
    ours = float(volume.query_gal(257.5, 0.0, 1.0).value)
    assert (row.n, row.mean_mag, row.other_mean_mag) == pytest.approx((1, ours, 0.3), rel=1e-5)
    assert (row.offset_mag, row.slope) == pytest.approx((ours - 0.3, ours / 0.3), rel=1e-5)
    assert np.isnan([row.correlation, row.rank_correlation, row.scatter_mag]).all()


def test_maps_that_share_no_value_are_one_line(make_map):
    class Elsewhere:
        def query(self, coords):
            return np.full(len(coords), np.nan)

    with pytest.raises(DataError, match="nothing to compare: of 33 positions none has a value in both"):
        compare(make_map(), Elsewhere(), band="V")


def test_marshalls_table_is_read_as_text_with_its_units(tmp_path):
    lines = ["#\n#RESOURCE=yCat_34530635\n\nGLON\tGLAT\tr1\text1\te_ext1\tr2\text2\te_ext2\n"]
    lines += ["deg\tdeg\tpc\tmag\tmag\tkpc\tmag\tmag\n", "\t".join(["-----"] * 8) + "\n"]
    lines += [
        "283.0\t-1.0\t1000\t0.10\t0.02\t 3.0\t0.40\t0.05\n",
        "283.0\t1.0\t1000\t0.10\t0.02\t    \t    \t    \n",
    ]
    (tmp_path / "marshall.tsv").write_text("".join(lines))
    found = read_marshall(tmp_path / "marshall.tsv")
    np.testing.assert_allclose(found.distance_kpc, [[1.0, 3.0], [1.0, np.nan]])
    np.testing.assert_allclose(found.extinction, [[0.1, 0.4], [0.1, np.nan]])
