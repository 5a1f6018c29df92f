import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from extmap_tf.catalogs.stars import StarBatch
from extmap_tf.diagrams import COVERAGE_CELLS, FieldCounts, batch_to_slots
from extmap_tf.errors import ConfigError
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.healpix_pixels import SIDE_DEG
from extmap_tf.grids.regions import SkyRegion
from extmap_tf.grids.squares import sightline_name
from extmap_tf.settings.config import Config

healpy = pytest.importorskip("healpy")

CAP = HealpixGrid(32, (SkyRegion(b_deg=90.0, radius_deg=12.0),))
GRIDS = {
    "all of the sky": HealpixGrid(8),
    "north pole": CAP,
    "south pole": HealpixGrid(64, (SkyRegion(b_deg=-90.0, radius_deg=3.0),)),
    "across l = 0": HealpixGrid(32, (SkyRegion(350.0, 371.0, -5.0, 6.0),)),
    "both caps": HealpixGrid(16, (SkyRegion(b_min_deg=60.0), SkyRegion(b_max_deg=-60.0))),
    "one pixel": HealpixGrid(16, (SkyRegion(l_deg=45.0, b_deg=87.0, radius_deg=1.0),)),
}
grids = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)


def everywhere(n, seed=1):
    rng = np.random.default_rng(seed)
    l_deg, b_deg = rng.uniform(-360.0, 720.0, n), np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, n)))
    return np.append(l_deg, [0.0, 100.0, 10.0]), np.append(b_deg, [90.0, -90.0, 0.0])


def inside_by_definition(region, l_deg, b_deg, slack_deg):
    """In the region; slack decides of what lies on its edge."""
    vectors = [healpy.ang2vec(l, b, lonlat=True) for l, b in ((l_deg, b_deg), (region.l_deg, region.b_deg))]
    apart = np.degrees(np.arccos(np.clip(vectors[0] @ vectors[1], -1.0, 1.0)))
    span = region.l_max_deg - region.l_min_deg + 2 * slack_deg
    around = np.mod(l_deg - region.l_min_deg + slack_deg, 360.0) <= span
    in_b = (b_deg >= region.b_min_deg - slack_deg) & (b_deg <= region.b_max_deg + slack_deg)
    return around & in_b & ((apart <= region.radius_deg + slack_deg) | (region.radius_deg == 180.0))


regions = st.builds(
    lambda l, width, b, height, *circle: SkyRegion(l, l + width, b, min(b + height, 90.0), *circle),
    *(st.floats(0, 359), st.floats(1, 360), st.floats(-90, 88), st.floats(1, 180)),
    *(st.floats(0, 359), st.floats(-90, 90), st.floats(2, 180)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(regions, min_size=1, max_size=3), st.sampled_from([8, 16, 32]))
@example([SkyRegion(0.0, 1.0, 88.0, 90.0)], 32)
@example([SkyRegion(1.5, 2.5, 80.0, 90.0, 0.0, -90.0, 180.0)], 32)
def test_the_pixels_are_those_whose_centres_are_in_a_region(parts, nside):
    every = np.arange(12 * nside**2)
    l_deg, b_deg = healpy.pix2ang(nside, every, nest=True, lonlat=True)
    least, most = (
        every[np.any([inside_by_definition(region, l_deg, b_deg, slack) for region in parts], axis=0)]
        for slack in (-1e-5, 1e-5)
    )
    if not most.size:
        with pytest.raises(ConfigError, match="nside must be such that the centre of a pixel is in a region"):
            HealpixGrid(nside, tuple(parts))
        return
    assume(least.size)
    found = HealpixGrid(nside, tuple(parts)).pixels
    assert np.isin(least, found).all()
    assert np.isin(found, most).all()
    assert (np.diff(found) > 0).all()


@grids
def test_a_position_is_in_the_pixel_that_healpy_says(grid):
    l_deg, b_deg = everywhere(20000)
    pixel = healpy.ang2pix(grid.nside, l_deg, b_deg, nest=True, lonlat=True)
    found = grid.sightline_of(l_deg, b_deg)
    expected = {pixel: index for index, pixel in enumerate(grid.pixels.tolist())}
    np.testing.assert_array_equal(found, [expected.get(p, -1) for p in pixel.tolist()])
    position, sightline = grid.fields_of(l_deg, b_deg)
    np.testing.assert_array_equal(position, np.flatnonzero(found >= 0))
    np.testing.assert_array_equal(sightline, found[position])


@grids
def test_every_centre_is_in_its_own_field_and_inside_the_box(grid):
    l_deg, b_deg = grid.centers_deg()
    np.testing.assert_array_equal(grid.sightline_of(l_deg, b_deg), np.arange(grid.n_sightlines))
    expected = healpy.pix2ang(grid.nside, grid.pixels, nest=True, lonlat=True)
    np.testing.assert_allclose([l_deg, b_deg], expected, atol=1e-9)
    assert grid.center_deg(grid.n_sightlines - 1) == (l_deg[-1], b_deg[-1])
    assert grid.area_deg2 == pytest.approx(healpy.nside2pixarea(grid.nside, degrees=True))
    assert grid.b_min_deg == b_deg.min()
    assert grid.b_max_deg == b_deg.max()
    around = np.mod(l_deg - grid.l_min_deg + 1e-9, 360.0)
    assert (around <= grid.l_max_deg - grid.l_min_deg + 2e-9).all()
    names = {sightline_name(l, b) for l, b in zip(l_deg, b_deg, strict=True)}
    assert len(names) == grid.n_sightlines


def test_a_position_that_is_none_is_in_no_field():
    l_deg, b_deg = [10.0, np.nan, 10.0, np.inf, 10.0], [89.0, 89.0, np.nan, 89.0, 90.1]
    assert CAP.sightline_of(l_deg, b_deg).tolist()[1:] == [-1] * 4
    assert CAP.fields_of(l_deg, b_deg)[0].tolist() == [0]


def test_the_box_goes_across_l_0_and_all_around_a_pole():
    across = GRIDS["across l = 0"]
    assert 350.0 <= across.l_min_deg < 352.0
    assert 369.0 < across.l_max_deg <= 371.0
    assert (CAP.l_min_deg, CAP.l_max_deg) == (0.0, 360.0)


@grids
def test_interpolation_is_healpys_where_all_four_pixels_are_there(grid):
    l_deg, b_deg = everywhere(5000)
    inside = grid.sightline_of(l_deg, b_deg) >= 0
    l_deg, b_deg = l_deg[inside], b_deg[inside]
    found = grid.interpolation(l_deg, b_deg)
    index, weight = (np.array(part) for part in zip(*found, strict=True))
    np.testing.assert_allclose(weight.sum(axis=0), 1.0, atol=1e-12)
    assert (weight >= 0).all()
    values = np.random.default_rng(1).uniform(size=12 * grid.nside**2)
    ours = (weight * values[grid.pixels[index]]).sum(axis=0)
    pixels, _ = healpy.get_interp_weights(grid.nside, l_deg, b_deg, nest=True, lonlat=True)
    whole = np.isin(pixels, grid.pixels).all(axis=0)
    ring = healpy.reorder(values, n2r=True)
    expected = np.atleast_1d(healpy.get_interp_val(ring, l_deg, b_deg, lonlat=True))
    np.testing.assert_allclose(ours[whole], expected[whole], atol=1e-6)
    # Elsewhere it lies between those that there are.
    assert (ours >= values[grid.pixels].min() - 1e-9).all()
    assert (ours <= values[grid.pixels].max() + 1e-9).all()


@grids
def test_neighbours_share_an_edge_and_every_pair_is_there_once(grid):
    first, second, steps = grid.neighbour_pairs()
    assert steps == 1
    found = {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    assert len(found) == len(first)
    around = healpy.get_all_neighbours(grid.nside, grid.pixels, nest=True)[[0, 2, 4, 6]]
    index = {pixel: i for i, pixel in enumerate(grid.pixels.tolist())}
    expected = {
        frozenset((i, index[other]))
        for row in around.tolist()
        for i, other in enumerate(row)
        if other in index
    }
    assert found == expected


@grids
def test_nodes_are_distinct_and_no_sightline_is_far_from_one(grid):
    for step in (1.0, 5.0):
        nodes = grid.nodes_deg(step)
        towards = healpy.ang2vec(*np.transpose(nodes), lonlat=True)
        apart = np.linalg.norm(towards[:, None] - towards, axis=-1) + np.eye(len(nodes))
        assert apart.min() > np.radians(0.1 * min(step, grid.field_deg))
        places = healpy.ang2vec(*grid.centers_deg(), lonlat=True)
        nearest = np.linalg.norm(places[:, None] - towards, axis=-1).min(axis=1)
        assert nearest.max() < np.radians(max(step, grid.field_deg))


@grids
def test_parts_are_the_smaller_pixels_of_each_field(grid):
    l_deg, b_deg = grid.parts_deg(4)
    np.testing.assert_array_equal(
        grid.sightline_of(l_deg, b_deg), np.repeat(np.arange(grid.n_sightlines), 16)
    )
    np.testing.assert_array_equal(grid.part_of(l_deg, b_deg, 4), np.arange(16 * grid.n_sightlines))
    part = 16 * grid.n_sightlines - 3
    tile = grid.tiles(SIDE_DEG / (4 * grid.nside))[part]
    assert (tile.l_deg, tile.b_deg) == (l_deg[part], b_deg[part])
    assert tile.area_deg2 == pytest.approx(grid.area_deg2 / 16)
    small = tile.draw(4000, np.random.default_rng(1))
    assert (grid.part_of(*small, 4) == part).all()
    counts = np.bincount(HealpixGrid(grid.nside).part_of(*small, 16) % 16, minlength=16)
    # 4000 positions in 16 equal parts of a part: 250 each.
    assert np.abs(counts - 250).max() < 5 * np.sqrt(250)


def test_stars_are_counted_in_their_pixel_and_its_cells_have_equal_areas():
    rng = np.random.default_rng(2)
    n = 40000
    l_deg = rng.uniform(0.0, 360.0, n)
    b_deg = np.degrees(np.arcsin(rng.uniform(np.sin(np.radians(76.0)), 1.0, n)))
    blue, red = rng.uniform(8.0, 15.0, (2, n))
    (view,) = views = Config.named("carina").views
    batch = StarBatch(l_deg, b_deg, {"J": blue, "Ks": red}, n)
    slots, n_in_no_field = batch_to_slots(batch, CAP, views)
    pixel = healpy.ang2pix(CAP.nside, l_deg, b_deg, nest=True, lonlat=True)
    assert n_in_no_field == np.count_nonzero(~np.isin(pixel, CAP.pixels))
    n_slots = FieldCounts.n_slots(view)
    counts = np.bincount(slots, minlength=CAP.n_sightlines * n_slots).reshape(CAP.n_sightlines, n_slots)
    for index, field in enumerate(counts):
        found = FieldCounts(view, field)
        inside = pixel == CAP.pixels[index]
        assert found.n_stars + found.n_outside == np.count_nonzero(inside)
        assert field[-(COVERAGE_CELLS**2) :].sum() == np.count_nonzero(inside)
    cells = counts[:, -(COVERAGE_CELLS**2) :].sum(axis=0)
    assert np.abs(cells - cells.mean()).max() < 5 * np.sqrt(cells.mean())


def test_joined_grids_have_all_sightlines_once():
    one, other = CAP, HealpixGrid(32, (SkyRegion(b_deg=80.0, radius_deg=8.0),))
    both = one.joined([other, one])
    np.testing.assert_array_equal(both.pixels, np.union1d(one.pixels, other.pixels))
    assert len(both.regions) == 2


POLE = """
[sightlines]
nside = 64
[[sightlines.regions]]
b_deg = 90.0
radius_deg = 8.0
"""


def pole_toml(text):
    return (
        'name = "pole"\nsurvey = "2mass"\n[mocks]\nl_deg = [0.0, 90.0, 180.0, 270.0]\nb_deg = [83.0, 88.0]\n'
        + text
    )


def test_nside_in_a_configuration_makes_a_healpix_grid():
    config = Config.from_toml(pole_toml(POLE))
    assert config.sightlines == HealpixGrid(64, (SkyRegion(b_deg=90.0, radius_deg=8.0),))
    assert Config.from_toml(config.to_toml()) == config
    assert config.observation["field_deg"] == pytest.approx(0.916, abs=1e-3)
    assert config.replace(**{"sightlines.nside": 32}).sightlines.nside == 32
    assert Config.from_toml(pole_toml("[sightlines]\nnside = 8\n")).sightlines.n_sightlines == 768
    l_low, l_high, b_low, b_high = config.region_deg()
    assert l_high - l_low >= 360.0
    assert b_low < 83.0
    assert b_high > 89.0
    assert not config.outside_region(*config.sightlines.centers_deg()).any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sightlines]\nnside = 60\n", r"\[sightlines\]: nside must be a power of two, 8 to 4096, got: 60"),
        ("[sightlines]\nnside = 4\n", "nside must be a power of two"),
        ("[sightlines]\nnside = -8\n", "nside must be a power of two"),
        ("[sightlines]\nnside = 64.0\n", "sightlines.nside must be of type int"),
        ("[sightlines]\nnside = 64\nstep_deg = 0.5\n", "unknown key 'step_deg'; known: nside, regions"),
        ("[sightlines]\nstep_deg = 0.5\n", "missing key 'l_min_deg'"),
        ("[sightlines]\nnside = 2048\n", "nside must be such that at most 5,000,000 pixels are in"),
        (
            POLE.replace("64", "8").replace("8.0", "0.01").replace("90.0", "80.0"),
            "such that the centre of a pixel is in a region",
        ),
        (POLE.replace("radius_deg = 8.0", "radius_deg = 0.0"), "radius_deg must be above 0 and at most 180"),
        (POLE.replace("b_deg = 90.0", "b_deg = 91.0"), "b_deg must be -90 to 90"),
        (POLE + "b_min_deg = 95.0\n", "b_min_deg must be from -90 to below 90"),
        (POLE + "b_min_deg = 85.0\nb_max_deg = 84.0\n", "b_max_deg must be above b_min_deg"),
        (POLE + "l_min_deg = 20.0\nl_max_deg = 10.0\n", "l_max_deg must be above l_min_deg"),
        (POLE + "radius = 3.0\n", "unknown key 'radius'"),
        ("[sightlines]\nnside = 64\nregions = []\n", "regions must be 1 to 99 of them, or left out"),
        ("[sightlines]\nnside = 64\nregions = 3\n", "sightlines.regions must be a list"),
    ],
)
def test_bad_grids_are_refused_with_their_place(text, message):
    with pytest.raises(ConfigError, match=message):
        Config.from_toml(pole_toml(text))


@pytest.mark.parametrize(
    ("region", "text"),
    [
        (SkyRegion(), "all of the sky"),
        (SkyRegion(b_deg=-90.0, radius_deg=8.0), "within 8 deg of l 0, b -90"),
        (SkyRegion(250.0, 300.0, -5.0, 5.0), "l 250 to 300, b -5 to 5"),
    ],
)
def test_a_region_says_where_it_is(region, text):
    assert str(region) == text
    assert HealpixGrid(64, (region,)).summary()[0] == text
