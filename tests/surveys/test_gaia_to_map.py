"""From the configuration to a map with Gaia beside 2MASS, on the command line."""

import numpy as np
import pytest
import tensorflow as tf

from beam_jobs.graphs import mocks_to_records
from extmap_tf.catalogs.survey_tables import read_survey_table
from extmap_tf.cli import main
from extmap_tf.diagrams import count_stars
from extmap_tf.mocks.sky import write_sky
from extmap_tf.model.binning import flat_stars_to_counts
from extmap_tf.model.export import export
from extmap_tf.model.training import train
from extmap_tf.records.manifest import Records


@pytest.fixture(scope="module")
def config(tiny_config):
    return tiny_config.replace(
        surveys=["2mass", "gaia_dr3"],
        **{"mocks.n_pairs": 160, "training.epochs": 1, "network.widths": [16]},
    )


@pytest.fixture(scope="module")
def tables(config, observed_sky, tmp_path_factory):
    """A table of each survey of the same sky."""
    folder = tmp_path_factory.mktemp("tables")
    paths = {survey.key: folder / f"{survey.key}.parquet" for survey in config.surveys}
    for which, path in enumerate(paths.values()):
        write_sky(config, observed_sky[1], path, which=which)
    return paths


def test_a_served_graph_counts_parallaxes_as_numpy_does(config, tables):
    view = config.views[1]
    with tables["gaia_dr3"].open("rb") as stream:
        batch = next(iter(read_survey_table(stream, "gaia", view.survey)))
    stars = {band: tf.constant(mag, tf.float32) for band, mag in batch.magnitudes.items()}
    stars["parallax"] = tf.constant(batch.parallax_mas, tf.float32)
    splits = tf.constant([0, batch.n_stars], tf.int64)
    counted = flat_stars_to_counts(stars, splits, view)["counts_gaia_dr3"].numpy()[0]
    expected = count_stars(batch.magnitudes, view.diagrams[0], batch.parallax_mas)
    np.testing.assert_array_equal(counted, expected)
    assert expected.sum() > 0.8 * batch.n_stars


def test_tables_of_both_surveys_become_a_map(config, tables, tmp_path, capsys):
    config.write(tmp_path / "c.toml")
    mocks_to_records.make_records(config, str(tmp_path / "mocks"), examples_per_shard=100)
    train(Records.open(tmp_path / "mocks"), config, tmp_path / "training", echo=lambda line: None)
    model = export(tmp_path / "training", tmp_path / "saved")
    given = [f"--table={key}={path}" for key, path in tables.items()]
    command = ["records", "survey", "--config", str(tmp_path / "c.toml")]
    assert main([*command, *given, "--out", str(tmp_path / "fields")]) == 0
    report = Records.open(tmp_path / "fields").manifest.report["surveys"]
    assert report["gaia_dr3"]["counted"] > 1000
    score = ["score", "--records", str(tmp_path / "fields"), "--model", str(model.parent)]
    assert main([*score, "--out", str(tmp_path / "map.fits")]) == 0
    capsys.readouterr()
    swapped = [f"--table=2mass={tables['gaia_dr3']}", f"--table=gaia_dr3={tables['2mass']}"]
    for wrong in swapped:
        assert main([*command, wrong, "--out", str(tmp_path / "wrong")]) == 1
        assert "these are columns of " in capsys.readouterr().err
    assert not (tmp_path / "wrong").exists()
