"""The whole line around a pole, on sightlines that are HEALPix pixels."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from beam_jobs.graphs import mocks_to_records, score_to_map, twomass_to_records
from extmap_tf.diagrams import add_partial_counts, block_to_field_counts, count_stars
from extmap_tf.errors import DataError, MismatchError
from extmap_tf.estimate import ProfileEstimate
from extmap_tf.evaluation.metrics import compare_maps
from extmap_tf.extinction.dust import draw_dust
from extmap_tf.grids.squares import sightline_name
from extmap_tf.map.header import MapHeader
from extmap_tf.map.provenance import Provenance
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.mocks.reference import reference_nodes
from extmap_tf.mocks.sky import write_sky
from extmap_tf.records.dataset import serialized_examples, survey_fields
from extmap_tf.records.manifest import Records


@pytest.fixture(scope="module")
def pole_config(tiny_config):
    """12 pixels of half a degree around the south pole."""
    data = tiny_config.to_dict()
    data["name"] = "pole"
    data["sightlines"] = {"nside": 128, "regions": [{"b_deg": -90.0, "radius_deg": 1.0}]}
    data["mocks"] |= {"l_deg": [0.0, 180.0], "b_deg": [-89.5], "n_pairs": 80, "reference_step_deg": 1.0}
    data["dust"] |= {"clouds_per_deg2": 0.0, "local_mag_per_kpc": 0.5}
    data["training"] |= {"epochs": 1}
    return type(tiny_config).from_dict(data)


@pytest.fixture(scope="module")
def pole_sky(pole_config, tmp_path_factory):
    """A mock survey table and the dust in front of it: (path, HealpixDust)."""
    dust = draw_dust(pole_config.dust, pole_config.sightlines, pole_config.distance, pole_config.seed)
    path = tmp_path_factory.mktemp("sky") / "sky.parquet"
    write_sky(pole_config, dust, path)
    return path, dust


@pytest.fixture(scope="module")
def pole_records(pole_config, pole_sky, tmp_path_factory):
    out = tmp_path_factory.mktemp("records") / "survey"
    twomass_to_records.make_records(pole_config, [str(pole_sky[0])], str(out))
    return out


def examples_of(path):
    return [
        tf.train.Example.FromString(text).features.feature
        for text in serialized_examples(Records.open(path).shard_paths("all")).as_numpy_iterator()
    ]


def test_every_pixels_cmd_is_that_of_its_stars(pole_config, pole_sky, pole_records):
    healpy = pytest.importorskip("healpy")
    table = pq.read_table(pole_sky[0])
    l, b, j, k = (table[name].to_numpy() for name in ("glon", "glat", "j_m", "k_m"))
    pixel = healpy.ang2pix(128, l, b, nest=True, lonlat=True)
    grid = pole_config.sightlines
    examples = examples_of(pole_records)
    assert len(examples) == grid.n_sightlines == 12
    names = [features["sightline"].bytes_list.value[0].decode() for features in examples]
    assert names == [sightline_name(*place) for place in zip(*grid.centers_deg(), strict=True)]
    for features, number in zip(examples, grid.pixels, strict=True):
        counts = np.frombuffer(features["counts"].bytes_list.value[0], "<u2").reshape(64, 64)
        inside = pixel == number
        np.testing.assert_array_equal(
            counts, count_stars({"J": j[inside], "Ks": k[inside]}, pole_config.diagrams[0])
        )
        # A hundred stars strewn over 36 cells.
        assert features["coverage"].float_list.value[0] > 0.8


def test_the_job_counts_what_the_functions_count_in_memory(pole_config, pole_sky, pole_records):
    found = list(
        twomass_to_records.table_to_partial_counts(
            str(pole_sky[0]), pole_config.views, 0, pole_config.sightlines
        )
    )
    partial = add_partial_counts(part for tag, (_, part) in found[:-1] if tag == "block")
    whole = block_to_field_counts(partial, pole_config.views, pole_config.sightlines.n_sightlines)
    for features, (expected,) in zip(examples_of(pole_records), whole, strict=True):
        assert features["n_stars"].int64_list.value[0] == expected.n_stars
        assert features["n_outside"].int64_list.value[0] == expected.n_outside


def test_the_field_of_a_position_is_found_in_records(pole_config, pole_records):
    places = [(10.0, -89.9), (200.0, -89.2)]
    fields = survey_fields(Records.open(pole_records), places)
    index = pole_config.sightlines.sightline_of(*np.transpose(places))
    found = np.column_stack([fields["l_deg"], fields["b_deg"]])
    np.testing.assert_allclose(found, np.transpose(pole_config.sightlines.centers_deg(index)), rtol=1e-5)
    with pytest.raises(DataError, match="outside the records' grid"):
        survey_fields(Records.open(pole_records), [(10.0, -85.0)])


def test_a_table_from_elsewhere_is_refused_by_the_regions_name(pole_config, pole_sky, tmp_path):
    north = pole_config.replace(**{"sightlines.regions": [{"b_deg": 90.0, "radius_deg": 1.0}]})
    with pytest.raises(DataError, match=r"\(within 1 deg of l 0, b 90.*\): .* stars elsewhere"):
        twomass_to_records.make_records(north, [str(pole_sky[0])], str(tmp_path / "survey"))


def test_the_mock_sky_fills_the_pixels_evenly_behind_their_dust(pole_config, pole_sky):
    path, dust = pole_sky
    grid = pole_config.sightlines
    table = pq.read_table(path)
    index = grid.sightline_of(table["glon"].to_numpy(), table["glat"].to_numpy())
    assert index.min() == 0
    counts = np.bincount(index, minlength=grid.n_sightlines)
    assert np.abs(counts - counts.mean()).max() < 5 * np.sqrt(counts.mean())
    truth = dust.field_density(grid)
    l_deg, b_deg = grid.parts_deg(dust.factor)
    far = dust.cumulative_at(l_deg, b_deg, np.full(l_deg.size, 100.0)).reshape(grid.n_sightlines, -1)
    np.testing.assert_allclose(far.mean(axis=1), 0.1 * truth.sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(
        dust.cumulative_at(l_deg[:1], b_deg[:1], np.array([0.05])), 0.05 * dust.density[:1, 0], rtol=1e-5
    )


def test_reference_nodes_are_all_around_the_pole(pole_config):
    nodes = reference_nodes(pole_config.mocks, pole_config.sightlines)
    assert len(set(nodes)) == len(nodes)
    assert sum(abs(b) == 90.0 for _, b in nodes) == 1
    assert {(0.0, -89.5), (180.0, -89.5)} <= set(nodes)


def test_from_mock_pairs_to_a_map_around_the_pole(
    pole_config, pole_sky, pole_records, survey_records, tmp_path
):
    from extmap_tf.model.export import export
    from extmap_tf.model.training import train

    mocks_to_records.make_records(pole_config, str(tmp_path / "mocks"), examples_per_shard=100)
    train(Records.open(tmp_path / "mocks"), pole_config, tmp_path / "training", echo=lambda line: None)
    export(tmp_path / "training", tmp_path / "model")
    score_to_map.make_map(pole_records, tmp_path / "model", tmp_path / "map.fits", n_samples=2)
    volume = ExtinctionMap.read(tmp_path / "map.fits", verify=True)
    assert volume.grid == pole_config.sightlines
    assert volume.has_profile.all()
    assert volume.n_samples == 2
    assert np.isfinite(volume.query_gal([0.0, 77.0], [-90.0, -89.5], 1.0).value).all()
    examples = examples_of(pole_records)
    assert volume.n_stars.tolist() == [f["n_stars"].int64_list.value[0] for f in examples]
    density, grid = pole_sky[1].field_density(volume.grid), volume.grid
    header = MapHeader(grid, pole_config.distance, Provenance.of(pole_config, "truth"))
    profiles = ProfileEstimate.of_density(density, pole_config.distance.step_kpc)
    truth = ExtinctionMap(header, profiles, np.ones(grid.shape), np.zeros(grid.shape, int))
    evaluation = compare_maps(volume, truth)
    # Four around the pole, eight around these: each ring's, and those between them.
    assert evaluation.fingers.n_pairs == 4 + 4 + 8
    # A model for pixels is none for squares of another size.
    with pytest.raises(MismatchError, match="field_deg"):
        score_to_map.make_map(survey_records, tmp_path / "model", tmp_path / "other.fits")
