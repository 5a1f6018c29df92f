import dataclasses

import numpy as np
import pytest
from astropy import constants
from astropy import units as u

from extmap_tf.compare.cloud_tables import clouds_table, format_clouds
from extmap_tf.compare.clouds import clouds_at, find_clouds
from extmap_tf.compare.published_clouds import compare_clouds, read_cloud_distances
from extmap_tf.compare.steps import StepRule, find_steps
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.estimate import PERCENTILES, Flag, ProfileEstimate
from extmap_tf.extinction.bands import extinction_ratio
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map.header import MapHeader
from extmap_tf.map.volume import ExtinctionMap

GRID, DISTANCE = SightlineGrid(209.0, 213.0, -20.5, -18.5, 0.5, 0.5), DistanceGrid(0.05, 60)
# Distance, length, column, and which rows and columns of the grid.
NEAR = (0.43, 0.06, 0.6, (slice(0, 3), slice(1, 5)))
FAR = (1.5, 0.15, 0.4, (slice(1, 4), slice(3, 6)))


def bins_of(centre, fwhm, column):
    sigma = fwhm / 2.3548
    shape = np.exp(-0.5 * ((DISTANCE.centers_kpc - centre) / sigma) ** 2)
    return column * shape / (shape.sum() * DISTANCE.step_kpc)


def samples_of(clouds, n_samples=48, blur=0.06, seed=0):
    """Densities [*sky, n_samples, n_distances] on a thin background that a map with errors may have."""
    rng = np.random.default_rng(seed)
    density = rng.gamma(2.0, 0.01, (*GRID.shape, n_samples, DISTANCE.n_distances))
    for centre, fwhm, column, block in clouds:
        for here in np.ndindex(density[block].shape[:3]):
            one = bins_of(centre * rng.normal(1, blur), fwhm, column * rng.normal(1, 0.1))
            density[block][here] += one
    return density


def map_of(samples, provenance, flag=0, n_kept=None):
    extinction = np.cumsum(samples, axis=-1) * DISTANCE.step_kpc
    layers = {}
    for name, draws in (("density", samples), ("extinction", extinction)):
        layers[f"{name}_median"], layers[f"{name}_mean"] = np.median(draws, axis=2), draws.mean(axis=2)
        layers[f"{name}_std"] = draws.std(axis=2)
        layers[f"{name}_percentiles"] = np.moveaxis(np.percentile(draws, PERCENTILES, axis=2), 0, 2)
    profiles = ProfileEstimate(flag=np.full(GRID.shape, flag), **layers)
    if n_kept is None:
        profiles = profiles.with_samples(samples, DISTANCE.step_kpc)
    header = MapHeader(GRID, DISTANCE, provenance)
    return ExtinctionMap(header, profiles, np.ones(GRID.shape), np.full(GRID.shape, 3000))


def bare_map(density, provenance):
    """A map of one profile a sightline."""
    profiles = ProfileEstimate.of_density(density, DISTANCE.step_kpc)
    header = MapHeader(GRID, DISTANCE, provenance)
    return ExtinctionMap(header, profiles, np.ones(GRID.shape), np.full(GRID.shape, 3000))


@pytest.fixture(scope="module")
def cloudy(make_provenance):
    return map_of(samples_of([NEAR, FAR]), make_provenance())


@pytest.fixture(scope="module")
def found(cloudy):
    return find_clouds(cloudy)


def test_known_clouds_are_found_as_objects(found):
    """All of their sightlines and no other, with distance, column and intervals that hold the truth."""
    assert len(found) == 2
    for cloud, (kpc, fwhm, column, block) in zip(found, (NEAR, FAR), strict=True):
        inside = np.zeros(GRID.shape, bool)
        inside[block] = True
        assert cloud.sightlines == tuple(np.flatnonzero(inside).tolist())
        assert cloud.n_sightlines == inside.sum()
        l_deg, b_deg = (angles[inside.ravel()].mean() for angles in GRID.centers_deg())
        assert (cloud.l_deg, cloud.b_deg) == pytest.approx((l_deg, b_deg), abs=0.05)
        assert cloud.distance_kpc == pytest.approx(kpc, rel=0.06)
        assert cloud.distance_low_kpc < kpc < cloud.distance_high_kpc
        assert cloud.column_mag == pytest.approx(column, rel=0.2)
        assert cloud.column_low_mag < cloud.column_mag < cloud.column_high_mag
        assert cloud.depth_low_kpc <= cloud.depth_kpc <= cloud.depth_high_kpc
        # The middle 68 % of a Gaussian are 0.85 of its width at half maximum; a bin and the blur come on top.
        assert 0.7 * fwhm < cloud.depth_kpc < 2.5 * fwhm + DISTANCE.step_kpc
        assert cloud.sigma > 3
        assert cloud.flags == 0


def test_a_near_cloud_whose_place_is_known_to_some_bins_only_is_found_in_a_wide_window(make_provenance):
    near = (0.3, 0.05, 0.6, NEAR[3])
    volume = map_of(samples_of([near], blur=0.3), make_provenance())
    assert find_clouds(volume, StepRule(least_bins=1)) == []
    (cloud,) = find_clouds(volume)
    assert cloud.distance_kpc == pytest.approx(0.3, rel=0.15)
    assert cloud.column_mag == pytest.approx(0.6, rel=0.2)
    assert cloud.n_sightlines == 12


def test_mass_is_column_times_area(found):
    near = found[0]
    cells = GRID.cells_deg2()[list(near.sightlines)]
    assert near.area_deg2 == pytest.approx(cells.sum())
    assert cells[0] == pytest.approx(0.25 * np.cos(np.radians(20.5)))
    area = near.area_deg2 * np.radians(1.0) ** 2 * (near.distance_kpc * u.kpc) ** 2
    hydrogen = 1.00784 * constants.u
    gas = near.column_mag * 1.67e22 * u.cm**-2 * 1.37 * hydrogen * area
    assert near.mass_msun == pytest.approx((0.01 * gas).to_value(u.M_sun), rel=0.005)
    assert near.mass_low_msun / near.mass_msun == pytest.approx(near.column_low_mag / near.column_mag)
    assert near.width_kpc == pytest.approx(2 * np.sqrt(area.to_value(u.kpc**2) / np.pi))


def test_clouds_of_another_band_have_the_same_mass(cloudy, found):
    """A map in J of the same dust shows larger columns."""
    ratio = extinction_ratio("Z", "J", cloudy.provenance.law, {"Z": 0.9})
    law = dataclasses.replace(
        cloudy.provenance, band="J", blue_band="Z", band_um=1.235, blue_band_um=0.9, blue_over_red=ratio
    )
    factor = cloudy.band_factor("J")
    samples = np.diff(cloudy.samples, axis=-1, prepend=0.0) / DISTANCE.step_kpc
    in_j = find_clouds(map_of(factor * samples, law))
    assert [cloud.mass_msun for cloud in in_j] == pytest.approx([cloud.mass_msun for cloud in found], rel=0.1)


def test_smooth_dust_and_noise_have_no_clouds(make_provenance):
    assert find_clouds(map_of(samples_of([]), make_provenance())) == []
    for density in (np.zeros(60), np.full(60, 0.3), np.exp(-DISTANCE.centers_kpc)):
        assert find_clouds(bare_map(np.broadcast_to(density, (*GRID.shape, 60)), make_provenance())) == []
    nothing = bare_map(np.full((*GRID.shape, 60), np.nan), make_provenance())
    assert find_clouds(nothing) == []


def test_dust_that_each_sample_has_elsewhere_is_no_cloud(make_provenance):
    """As of a model that knows the column and not the distance."""
    rng = np.random.default_rng(1)
    samples = samples_of([])
    for here in np.ndindex(samples.shape[:3]):
        samples[here] += bins_of(rng.uniform(0.4, 2.4), 0.1, 0.5)
    assert find_clouds(map_of(samples, make_provenance())) == []


def test_clouds_apart_in_distance_or_on_the_sky_are_not_one(make_provenance):
    left, right = (slice(0, 2), slice(0, 3)), (slice(0, 2), slice(3, 6))
    beyond = (slice(3, 5), slice(0, 3))
    apart = [(0.5, 0.06, 0.5, left), (1.2, 0.1, 0.5, right), (0.5, 0.06, 0.5, beyond)]
    assert [cloud.n_sightlines for cloud in find_clouds(map_of(samples_of(apart), make_provenance()))] == [
        6
    ] * 3
    behind = [(0.5, 0.06, 0.5, left), (1.5, 0.1, 0.5, left)]
    both = find_clouds(map_of(samples_of(behind), make_provenance()))
    assert [cloud.distance_kpc for cloud in both] == pytest.approx([0.5, 1.5], rel=0.08)
    assert both[0].sightlines == both[1].sightlines
    joined = [(0.5, 0.06, 0.5, left), (0.52, 0.06, 0.5, right)]
    assert len(find_clouds(map_of(samples_of(joined), make_provenance()))) == 1


def test_two_peaks_are_two_clouds_where_there_is_little_between(make_provenance):
    heights = np.array([0.3, 1.0, 0.6, 0.3, 0.6, 1.0, 0.6, 0.2, 0.1])
    density = np.zeros((*GRID.shape, 60))
    density[2] += heights[:, None] * bins_of(1.0, 0.1, 1.0)
    found = find_clouds(bare_map(density, make_provenance()))
    assert sorted(cloud.n_sightlines for cloud in found) == [4, 5]
    density[2, 3] += bins_of(1.0, 0.1, 0.4)
    (one,) = find_clouds(bare_map(density, make_provenance()))
    assert one.n_sightlines == 9


def test_a_long_filament_along_the_sight_is_cut_at_the_resolution(make_provenance):
    density = np.zeros((*GRID.shape, 60))
    for column in range(9):
        density[2, column] = bins_of(0.5 + 0.2 * column, 0.1, 0.5)
    found = find_clouds(bare_map(density, make_provenance()))
    assert len(found) > 1
    assert sum(cloud.n_sightlines for cloud in found) == 9


def test_a_map_of_one_profile_gives_clouds_without_intervals(make_provenance):
    density = np.zeros((*GRID.shape, 60))
    density[2, 3] = bins_of(0.43, 0.1, 0.5)
    volume = bare_map(density, make_provenance())
    (cloud,) = find_clouds(volume)
    assert cloud.column_mag == pytest.approx(0.5, rel=0.1)
    assert np.isnan([cloud.distance_low_kpc, cloud.column_high_mag, cloud.mass_low_msun]).all()
    assert cloud.sigma == np.inf
    assert clouds_at(volume, [cloud], 210.5, -19.5) == [cloud]
    assert clouds_at(volume, [cloud], 211.0, -19.5) == clouds_at(volume, [cloud], 10.0, 0.0) == []
    assert "nan" not in format_clouds([cloud], "Ks")


def test_intervals_alone_make_no_clouds(cloudy, make_provenance):
    volume = map_of(samples_of([NEAR]), make_provenance(), n_kept=0)
    with pytest.raises(DataError, match="score with --samples"):
        find_clouds(volume)


def test_limits_leave_steps_out(cloudy, found):
    assert len(find_clouds(cloudy, StepRule(min_mag=0.5))) == 1
    # Of the far cloud, five sightlines are not behind the near one.
    shares = find_clouds(cloudy, StepRule(min_share=0.5))
    assert [cloud.n_sightlines for cloud in shares] == [12, 5]
    sigmas = [cloud.sigma for cloud in found]
    assert find_clouds(cloudy, StepRule(min_sigma=2 * max(sigmas))) == []
    for bad in (
        {"min_mag": 0},
        {"min_share": 1.0},
        {"min_sigma": -1},
        {"resolutions": (0.3, 0.2)},
        {"least_bins": 0},
    ):
        with pytest.raises(ConfigError, match=next(iter(bad))):
            StepRule(**bad)


def test_steps_are_found_in_the_narrowest_window_that_holds_them(make_provenance):
    sharp = find_steps(map_of(samples_of([FAR], blur=0.02), make_provenance()), StepRule())
    blurred = find_steps(map_of(samples_of([FAR], blur=0.15), make_provenance()), StepRule())
    assert np.median(sharp.half_kpc / sharp.distance_kpc) < 0.5 * np.median(
        blurred.half_kpc / blurred.distance_kpc
    )


def test_faint_edges_belong_to_a_cloud_and_make_none(make_provenance):
    """Sightlines on which the samples disagree count beside one on which they agree."""
    rng = np.random.default_rng(4)
    samples = samples_of([(1.0, 0.1, 0.5, (slice(2, 3), slice(4, 5)))])
    alone = samples_of([])
    for here in ((2, 3), (2, 5), (0, 0)):
        for one in (samples, alone):
            for k in range(one.shape[2]):
                one[here][k] += bins_of(1.0, 0.1, 0.4 * max(rng.normal(1, 0.5), 0.0))
    (cloud,) = find_clouds(map_of(samples, make_provenance()))
    assert cloud.n_sightlines == 3
    assert find_clouds(map_of(alone, make_provenance())) == []
    (sure,) = find_clouds(map_of(samples, make_provenance()), StepRule(edge_sigma=3.0))
    assert sure.n_sightlines == 1
    assert sure.sigma == pytest.approx(cloud.sigma)


def test_flags_of_any_sightline_are_those_of_the_cloud(make_provenance):
    volume = map_of(samples_of([NEAR]), make_provenance(), Flag.ODD_COLORS.value)
    (cloud,) = find_clouds(volume)
    assert cloud.flags == Flag.ODD_COLORS
    assert "flag 32: colours unlike" in format_clouds([cloud], "Ks")


def test_a_table_of_clouds_says_what_it_is(cloudy, found):
    table = clouds_table(found, cloudy)
    assert table.meta["FORMAT"] == "extmap_tf clouds"
    assert table["mass_low_msun"].unit == u.M_sun
    assert table["area_deg2"].unit == u.deg**2
    assert "183 Msun/pc2" in table["mass_msun"].info.description
    assert table["n_sightlines"].tolist() == [12, 9]
    assert "sightlines" not in table.colnames


def test_clouds_of_a_table_are_compared_around_their_places(cloudy, found, tmp_path):
    path = tmp_path / "clouds.csv"
    path.write_text("# second hand\nregion,distance_pc,err_pc\norion_a,426,82\nfar,1500,\nnone,1100,10\n")
    table = read_cloud_distances(path)
    places = {"orion_a": (210.0, -20.0), "far": (211.0, -19.5), "none": (210.0, -19.5)}
    orion, far, none = compare_clouds(cloudy, found, table, places, radius_deg=0.4, reach=0.3)
    assert orion.distance_kpc == pytest.approx(0.43, abs=0.04)
    assert 0.01 < orion.std_kpc < 0.1
    assert (orion.table_kpc, orion.table_std_kpc) == pytest.approx((0.426, 0.082))
    assert orion.n_sightlines == 12
    assert far.distance_kpc == pytest.approx(1.5, abs=0.1)
    assert np.isnan(far.table_std_kpc)
    assert none.n_sightlines == 0
    assert np.isnan(none.distance_kpc)
    for bad, words in (({"nowhere": (1, 2)}, "no region 'nowhere'"), ({"far": (10.0, 0.0)}, "no sightline")):
        with pytest.raises(DataError, match=words):
            compare_clouds(cloudy, found, table, bad)


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
