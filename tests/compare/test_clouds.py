import numpy as np
import pytest

from extmap_tf.compare.cloud_tables import clouds_table, format_clouds
from extmap_tf.compare.clouds import find_clouds
from extmap_tf.compare.published_clouds import compare_clouds, read_cloud_distances
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import PERCENTILES, Flag, ProfileEstimate
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map.header import MapHeader
from extmap_tf.map.volume import ExtinctionMap

GRID, DISTANCE = SightlineGrid(209.0, 213.0, -20.5, -18.5, 0.5, 0.5), DistanceGrid(0.05, 60)
CLOUDS = ((0.43, 0.12, 0.6), (1.8, 0.25, 0.3))


def bins_of(centre, fwhm, jump):
    sigma = fwhm / 2.3548
    shape = np.exp(-0.5 * ((DISTANCE.centers_kpc - centre) / sigma) ** 2)
    return jump * shape / (shape.sum() * DISTANCE.step_kpc)


@pytest.fixture(scope="module")
def cloudy(make_provenance):
    """Two clouds on a thin smooth background; samples scatter their distances by 8 % and jumps by 10 %."""
    rng = np.random.default_rng(0)
    samples = np.empty((300, DISTANCE.n_distances))
    for one in samples:
        one[:] = 0.02
        for centre, fwhm, jump in CLOUDS:
            one += bins_of(centre * rng.normal(1, 0.08), fwhm, jump * rng.normal(1, 0.1))
    return ExtinctionMap(
        MapHeader(GRID, DISTANCE, make_provenance()),
        profiles_of(0.02 + sum(bins_of(*cloud) for cloud in CLOUDS), samples),
        np.ones(GRID.shape),
        np.full(GRID.shape, 3000),
    )


def everywhere(values):
    return np.broadcast_to(values, (*GRID.shape, *np.shape(values)))


def profiles_of(density, samples, n_kept=32):
    extinction = np.cumsum(samples, axis=1) * DISTANCE.step_kpc
    layers = {"density_median": density, "extinction_median": np.median(extinction, axis=0)}
    for name, draws in (("density", samples), ("extinction", extinction)):
        layers[f"{name}_mean"], layers[f"{name}_std"] = draws.mean(axis=0), draws.std(axis=0)
        layers[f"{name}_percentiles"] = np.percentile(draws, PERCENTILES, axis=0)
    layers = {name: everywhere(layer) for name, layer in layers.items()}
    layers["flag"] = np.zeros(GRID.shape, int)
    profiles = ProfileEstimate(reliable_distance_kpc=np.full(GRID.shape, 1.2), **layers)
    return profiles.with_samples(everywhere(samples[:n_kept]), DISTANCE.step_kpc)


def test_clouds_are_found_with_place_extent_and_jump(cloudy):
    found = find_clouds(cloudy, 211.0, -19.5)
    assert [cloud.distance_kpc for cloud in found] == pytest.approx([0.43, 1.8], abs=0.04)
    assert [cloud.extent_kpc for cloud in found] == pytest.approx([0.12, 0.25], rel=0.25)
    assert [cloud.jump_mag for cloud in found] == pytest.approx([0.6, 0.3], rel=0.12)
    assert [cloud.jump_std_mag for cloud in found] == pytest.approx([0.06, 0.04], rel=0.6)
    assert [cloud.flags for cloud in found] == [0, Flag.BEYOND_RELIABLE_DISTANCE.value]
    assert "flag 2048: beyond the reliable distance" in format_clouds(found, "Ks")
    assert "flag 2048" not in format_clouds(found[:1], "Ks")
    assert clouds_table(found, cloudy)["flags"].tolist() == [0, 2048]
    for cloud in found:
        assert cloud.distance_low_kpc < cloud.distance_kpc < cloud.distance_high_kpc
    spread = found[0].distance_high_kpc - found[0].distance_low_kpc
    assert 0.4 < spread / (2 * 0.08 * 0.43) < 2.5


def test_small_jumps_and_shallow_peaks_are_left_out(cloudy):
    assert len(find_clouds(cloudy, 211.0, -19.5, min_jump_mag=0.45)) == 1
    assert len(find_clouds(cloudy, 211.0, -19.5, min_contrast=0.99)) == 1
    sigmas = sorted(cloud.jump_mag / cloud.jump_std_mag for cloud in find_clouds(cloudy, 211.0, -19.5))
    assert len(find_clouds(cloudy, 211.0, -19.5, min_sigma=np.mean(sigmas))) == 1
    assert find_clouds(cloudy, 211.0, -19.5, min_sigma=1.01 * sigmas[1]) == []
    with pytest.raises(ConfigError, match="min_contrast above 0 to 1"):
        find_clouds(cloudy, 211.0, -19.5, min_contrast=0.0)
    with pytest.raises(DataError, match="outside the map"):
        find_clouds(cloudy, 10.0, 0.0)


def test_a_map_without_uncertainty_gives_clouds_without_and_smooth_dust_none(make_provenance):
    def make(density):
        header = MapHeader(GRID, DISTANCE, make_provenance())
        profiles = ProfileEstimate.of_density(everywhere(density), DISTANCE.step_kpc)
        return ExtinctionMap(header, profiles, np.ones(GRID.shape), np.full(GRID.shape, 3000))

    (cloud,) = find_clouds(make(bins_of(0.43, 0.1, 0.5)), 211.0, -19.5)
    assert cloud.jump_mag == pytest.approx(0.5, rel=0.06)
    assert np.isnan([cloud.distance_low_kpc, cloud.jump_std_mag]).all()
    at_the_sun = np.zeros(60)
    at_the_sun[0] = 5.0
    (cloud,) = find_clouds(make(at_the_sun), 211.0, -19.5)
    assert cloud.distance_kpc == pytest.approx(0.025, abs=0.01)
    assert find_clouds(make(np.zeros(60)), 211.0, -19.5) == []
    assert find_clouds(make(np.full(60, np.nan)), 211.0, -19.5) == []


def test_clouds_of_a_table_are_compared_around_their_places(cloudy, tmp_path):
    path = tmp_path / "clouds.csv"
    path.write_text("# second hand\nregion,distance_pc,err_pc\norion_a,426,82\nfar,1700,\nnone,1100,10\n")
    table = read_cloud_distances(path)
    places = {"orion_a": (211.0, -19.5), "far": (212.0, -19.0), "none": (210.0, -19.5)}
    orion, far, none = compare_clouds(cloudy, table, places, reach=0.3)
    assert orion.distance_kpc == pytest.approx(0.43, abs=0.04)
    assert 0.01 < orion.std_kpc < 0.1
    assert (orion.table_kpc, orion.table_std_kpc) == pytest.approx((0.426, 0.082))
    assert orion.n_sightlines > 5
    assert far.distance_kpc == pytest.approx(1.8, abs=0.1)
    assert np.isnan(far.table_std_kpc)
    assert none.n_sightlines == 0
    assert np.isnan(none.distance_kpc)
    for bad, words in (({"nowhere": (1, 2)}, "no region 'nowhere'"), ({"far": (10.0, 0.0)}, "no sightline")):
        with pytest.raises(DataError, match=words):
            compare_clouds(cloudy, table, bad)


def test_tables_of_clouds_that_are_none_are_refused(tmp_path):
    path = tmp_path / "clouds.csv"
    for text in ("", "# none\n", "a,b\n", "a,b\n1,2\n", "region,distance_pc,err_pc\nx,far,1\n"):
        path.write_text(text)
        with pytest.raises(DataError, match="must have columns region, distance_pc, err_pc"):
            read_cloud_distances(path)
    path.write_text("region,distance_pc\n")
    with pytest.raises(DataError, match="it has no err_pc"):
        read_cloud_distances(path)
    path.write_text("region,distance_pc,err_pc\n")
    with pytest.raises(DataError, match="a table without a row"):
        read_cloud_distances(path)
    with pytest.raises(DataError, match="no such file"):
        read_cloud_distances(tmp_path / "nothing.csv")


def test_the_published_table_of_clouds_is_read(shared_data):
    table = read_cloud_distances(shared_data / "truth" / "cloud_distances.csv")
    assert table["orion_a"][:2] == pytest.approx((0.426, 0.082))
    assert len(table) > 20
