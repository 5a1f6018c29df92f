"""A second survey is one more TOML file: from the configuration to the map no code knows its name."""

import csv
import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from astropy.coordinates import SkyCoord

from beam_jobs.graphs import mocks_to_records, score_to_map, twomass_to_records
from extmap_tf.cli import main
from extmap_tf.diagrams import count_stars
from extmap_tf.errors import ConfigError, DataError, MismatchError, ServingError
from extmap_tf.estimate import DOUBT_FLAGS, Flag, ProfileEstimate
from extmap_tf.map.header import MapHeader
from extmap_tf.map.provenance import Provenance
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.mocks.pairs import simulate_pair
from extmap_tf.mocks.sky import write_sky
from extmap_tf.model.build import build_network
from extmap_tf.model.export import export
from extmap_tf.model.scoring import Scorer
from extmap_tf.model.training import train
from extmap_tf.model.warmup import warmup_inputs
from extmap_tf.records.dataset import evaluation_dataset, serialized_examples, without_a_survey
from extmap_tf.records.example import parse_examples, parse_field_facts
from extmap_tf.records.manifest import Records
from extmap_tf.report.report import write_report
from extmap_tf.serving.channel import VersionStatus
from extmap_tf.serving.check import check_server
from extmap_tf.serving.client import ModelClient
from extmap_tf.settings.config import Config

DEEP = """
name = "Deep VVV"

[blue]
name = "J"
wavelength_um = 1.25
error_floor_mag = 0.01
snr10_mag = 19.5
half_complete_mag = 19.8
completeness_scale_mag = 0.15

[red]
name = "Ks"
wavelength_um = 2.15
error_floor_mag = 0.01
snr10_mag = 17.7
half_complete_mag = 18.0
completeness_scale_mag = 0.15

[cuts]
bright_mag = 12.0

[[diagrams]]
y = {of = "Ks", minimum = 11.0, maximum = 18.2, n_pixels = 48}
x = {of = "J-Ks", minimum = -0.5, maximum = 5.9, n_pixels = 32}

[[diagrams]]
y = {of = "J", minimum = 12.0, maximum = 20.0, n_pixels = 16}
x = {of = "J-Ks", minimum = -0.5, maximum = 5.9, n_pixels = 16}
"""
BANDS = {"J": "j_m", "Ks": "k_m"}
NAMES = ["counts", "counts_deep_vvv", "counts_deep_vvv_2"]


@pytest.fixture(scope="module")
def config(tiny_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deep")
    (folder / "deep.toml").write_text(DEEP)
    data = {key: value for key, value in tiny_config.to_dict().items() if key != "survey"}
    data |= {"surveys": ["2mass", "deep.toml"], "network": {"preset": "planes", "channels": 4, "kept": 4}}
    del data["other_surveys"]
    return Config.from_dict(data, folder=folder).replace(
        **{
            "mocks.n_pairs": 160,
            "training.epochs": 1,
            "network.widths": [16],
            "network.image_width": 8,
            "network.generator_width": 8,
        }
    )


@pytest.fixture(scope="module")
def mocks(config, tmp_path_factory):
    out = tmp_path_factory.mktemp("records") / "mocks"
    mocks_to_records.make_records(config, str(out), examples_per_shard=100)
    return Records.open(out)


@pytest.fixture(scope="module")
def tables(config, observed_sky, tmp_path_factory):
    """A table of each survey of the same sky."""
    folder = tmp_path_factory.mktemp("tables")
    paths = {survey.key: str(folder / f"{survey.key}.parquet") for survey in config.surveys}
    for which, path in enumerate(paths.values()):
        write_sky(config, observed_sky[1], path, which=which)
    return paths


@pytest.fixture(scope="module")
def fields(config, tables, tmp_path_factory):
    out = tmp_path_factory.mktemp("records") / "survey"
    twomass_to_records.make_records(config, {key: [path] for key, path in tables.items()}, str(out))
    return Records.open(out)


@pytest.fixture(scope="module")
def model(config, mocks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    train(mocks, config, folder / "training", echo=lambda line: None)
    return export(folder / "training", folder / "saved")


def test_the_configuration_names_diagrams_and_shares_of_both(config, tiny_config, tmp_path):
    assert [diagram.name for diagram in config.diagrams] == NAMES
    assert config.coverage_names == ("coverage", "coverage_deep_vvv")
    assert config.digest != tiny_config.digest
    config.write(tmp_path / "c.toml")
    assert Config.load(tmp_path / "c.toml").digest == config.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surveys": []}, "surveys must be a list of one survey or more"),
        ({"surveys": "2mass"}, "surveys must be a list of one survey or more"),
        ({"survey": "2mass", "surveys": ["2mass"]}, "give either survey or surveys"),
        ({"surveys": ["2mass", "2mass"]}, "surveys must have different names"),
        ({"surveys": ["2mass", "bare.toml"]}, "survey Deep VVV: diagrams: list one or more"),
        ({"surveys": ["deep.toml"], "cmd": {"n_mag": 32}}, "cmd must be left out"),
        ({"surveys": ["turned.toml"]}, "its first diagram must be Ks against J-Ks, got: J against J-Ks"),
        ({"surveys": ["2mass", "unknown.toml"]}, "has no band 'K'; its bands are J, Ks"),
        ({"surveys": ["2mass", "parallax.toml"]}, "parallax must be with a band"),
        (
            {"surveys": ["2mass_h", "2.toml"]},
            "names by which their diagrams differ, got: counts, counts_2, counts_2",
        ),
        ({"surveys": ["2mass", "none.toml"]}, "name must be with a letter"),
        ({"surveys": ["2mass", "three.toml"]}, "of must be a band, BAND-BAND or parallax"),
    ],
)
def test_surveys_that_cannot_be_are_refused(tiny_config, tmp_path, change, message):
    first, second = DEEP.split("[[diagrams]]")[:1], DEEP.split("[[diagrams]]")[1:]
    (tmp_path / "deep.toml").write_text(DEEP)
    (tmp_path / "bare.toml").write_text(*first)
    (tmp_path / "turned.toml").write_text("[[diagrams]]".join([*first, second[1], second[0]]))
    (tmp_path / "unknown.toml").write_text(DEEP.replace('of = "J-Ks"', 'of = "J-K"'))
    (tmp_path / "parallax.toml").write_text(DEEP.replace('of = "J-Ks"', 'of = "parallax"'))
    for name, stem in (("2", "2"), ("***", "none")):
        (tmp_path / f"{stem}.toml").write_text(DEEP.replace("Deep VVV", name))
    (tmp_path / "three.toml").write_text(DEEP.replace('of = "J-Ks"', 'of = "J-H-Ks"'))
    data = {k: v for k, v in tiny_config.to_dict().items() if k not in ("survey", "other_surveys", "cmd")}
    with pytest.raises(ConfigError, match=message):
        Config.from_dict(data | change, folder=tmp_path)


def test_a_pair_has_all_diagrams_of_the_same_stars(config, tiny_config):
    pair = simulate_pair(config, 0)
    assert list(pair.diagrams) == NAMES
    assert [counts.shape for counts in pair.diagrams.values()] == [d.shape for d in config.diagrams]
    # The deep survey sees many more stars than the shallow one.
    assert pair.diagrams["counts_deep_vvv"].sum() > 2 * pair.counts.sum() > 0
    first = tiny_config.replace(**{"mocks.n_pairs": 160})
    np.testing.assert_allclose(simulate_pair(first, 0).density, pair.density)


def test_records_hold_the_counts_of_every_table(config, tables, fields):
    import pyarrow.parquet as pq

    parsed = [
        parse_examples(batch, config.views)
        for batch in serialized_examples(fields.shard_paths("all")).batch(8)
    ]
    (parsed,) = parsed
    l0, b0 = parsed["l_deg"].numpy()[0], parsed["b_deg"].numpy()[0]
    half = 0.5 * config.sightlines.field_deg
    for view, path in zip(config.views, tables.values(), strict=True):
        table = pq.read_table(path)
        l, b, j, k = (table[name].to_numpy() for name in ("glon", "glat", "j_m", "k_m"))
        inside = (np.abs((l - l0) * np.cos(np.radians(b0))) < half) & (np.abs(b - b0) < half)
        for diagram in view.diagrams:
            expected = count_stars({"J": j[inside], "Ks": k[inside]}, diagram)
            np.testing.assert_array_equal(parsed[diagram.name].numpy()[0], expected)
        assert (parsed[view.named("coverage")].numpy() > 0.9).all()
    report = fields.manifest.report
    assert report["rows"] == sum(own["rows"] for own in report["surveys"].values())
    assert set(report["surveys"]) == set(tables)


def test_a_survey_without_a_table_covers_nothing(config, tables, tmp_path, caplog):
    out = tmp_path / "one"
    twomass_to_records.make_records(config, [tables["2mass"]], str(out))
    (batch,) = serialized_examples(Records.open(out).shard_paths("all")).batch(8)
    parsed = parse_examples(batch, config.views)
    assert (parsed["coverage_deep_vvv"].numpy() == 0).all()
    assert (parsed["counts_deep_vvv"].numpy() == 0).all()
    assert parse_field_facts(batch, config.views)["surveys"].numpy().tolist() == [1] * 6


def test_records_of_one_survey_are_read_as_those_of_two(config, survey_records):
    (batch,) = serialized_examples(Records.open(survey_records).shard_paths("all")).batch(8)
    parsed = parse_examples(batch, config.views)
    assert (parsed["coverage"].numpy() > 0.9).all()
    assert (parsed["coverage_deep_vvv"].numpy() == 0).all()


def test_a_share_of_the_pairs_lacks_a_survey(config, mocks):
    inputs, _ = next(iter(evaluation_dataset(mocks, "train", 100)))
    dropped = without_a_survey(inputs, config.views, 0.5, tf.constant([1, 2], tf.int64))
    gone = {view.suffix: dropped[view.named("coverage")].numpy() == 0 for view in config.views}
    n = [rows.mean() for rows in gone.values()]
    assert min(n) > 0.1
    assert max(n) < 0.4
    assert not (gone[""] & gone["_deep_vvv"]).any()
    assert dropped["counts"].numpy()[gone[""]].sum() == 0
    whole = ~gone[""]
    np.testing.assert_array_equal(dropped["counts"].numpy()[whole], inputs["counts"].numpy()[whole])


def test_the_model_answers_with_either_survey_or_both(config, model, mocks):
    scorer = Scorer(model)
    inputs, _ = next(iter(evaluation_dataset(mocks, "test", 16)))
    inputs = {name: value.numpy() for name, value in inputs.items()}
    first = {name: inputs[name] for name in ("counts", "l_deg", "b_deg")}
    absent = {name: 0 * inputs[name] for name in ("coverage_deep_vvv", *NAMES[1:])}
    both, alone = scorer.score_counts(**inputs), scorer.score_counts(**first)
    unsaid = scorer.score_counts(**(inputs | absent))
    np.testing.assert_allclose(alone.extinction_median, unsaid.extinction_median, rtol=1e-5)
    assert np.abs(both.extinction_median - alone.extinction_median).max() > 1e-6
    second = scorer.score_counts(
        **(inputs | {"counts": 0 * inputs["counts"], "coverage": 0 * inputs["coverage"]})
    )
    assert np.isfinite(second.extinction_median).all()
    none = scorer.score_counts(**(inputs | absent | {"coverage": 0 * inputs["coverage"]}))
    assert (none.flag & Flag.FEW_STARS).all()
    drawn = scorer.sample_counts(**inputs, seed=1)
    assert drawn.shape[:2] == (len(inputs["l_deg"]), 32)
    with pytest.raises(DataError, match="cannot take counts_other"):
        scorer.score_counts(**first, counts_other=inputs["counts"])


def test_every_signature_answers_and_says_which_survey_is_odd(config, model):
    loaded = tf.saved_model.load(str(model))
    from extmap_tf.model.known_answer import KnownAnswer

    place = model / "assets.extra" / "known_answer.json"
    known = KnownAnswer.from_json(place.read_text(), str(place))
    for name, inputs in warmup_inputs(known, config).items():
        answer = loaded.signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        assert ("odd_surveys" in answer) == (name not in ("metadata",) and "samples" not in name)
    ask = loaded.signatures["surveys"]
    inputs = warmup_inputs(known, config)["surveys"]
    odd = inputs | {"coverage_deep_vvv": np.ones(1, np.float32)}
    answer = ask(**{key: tf.constant(value) for key, value in odd.items()})
    assert answer["odd_surveys"].numpy()[0] & 2


def test_records_become_a_map(config, model, fields, tmp_path):
    path = tmp_path / "map.fits"
    score_to_map.make_map(fields.path, model.parent, path)
    volume = ExtinctionMap.read(path)
    (batch,) = serialized_examples(fields.shard_paths("all")).batch(512)
    scored = Scorer(model).score_examples(batch.numpy())
    expected = np.where(scored.flag & DOUBT_FLAGS.value, scored.odd_surveys, 0)
    np.testing.assert_array_equal(volume.odd_surveys.ravel(), expected)
    assert main(["info", str(path)]) == 0


def test_a_map_says_which_survey_is_odd_by_its_name(config, tmp_path, capsys):
    grid, distance = config.sightlines, config.distance
    density = np.full((*grid.shape, distance.n_distances), 0.1)
    odd = np.zeros(grid.shape, np.uint8)
    odd[0, 1], odd[1, 1] = 2, 3
    flag = np.where(odd, Flag.ODD_COLORS.value, 0)
    profiles = dataclasses.replace(
        ProfileEstimate.of_density(density, distance.step_kpc, flag), odd_surveys=odd
    )
    header = MapHeader(grid, distance, Provenance.of(config, "estimate"))
    there = np.ones(grid.shape, int)
    made = ExtinctionMap(header, profiles, there, 100 * there, 3 * there)
    made.write(tmp_path / "map.fits")
    volume = ExtinctionMap.read(tmp_path / "map.fits")
    assert {name: int(x.sum()) for name, x in volume.odd_by_survey.items()} == {"2MASS": 1, "Deep VVV": 2}
    assert any("2 are doubtful by their stars of Deep VVV" in line for line in volume.describe())
    l_deg, b_deg = (x[1] for x in grid.centers_deg())
    query = ["query", str(tmp_path / "map.fits"), "--distance", "1"]
    assert main([*query, "--l", str(l_deg), "--b", str(b_deg)]) == 0
    assert "note: flagged by the stars of Deep VVV" in capsys.readouterr().err
    l_of_row = grid.centers_deg()[0][:2]
    (tmp_path / "t.csv").write_text(f"l,b\n{l_of_row[0]},{b_deg}\n{l_of_row[1]},{b_deg}\n10,80\n")
    assert main([*query, "--table", str(tmp_path / "t.csv"), "--out", str(tmp_path / "o.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "o.csv").read_text().splitlines()))
    assert [row["extinction_odd_surveys"] for row in rows] == ["", "Deep VVV", ""]
    # In another band they are the same, and a report tells them.
    np.testing.assert_array_equal(volume.in_band("V").odd_surveys, odd)
    page = write_report(volume, tmp_path / "r.html").read_text()
    assert "by the stars of Deep VVV" in page


def test_tables_are_named_on_the_command_line(config, tables, tmp_path, capsys):
    config.write(tmp_path / "c.toml")
    command = ["records", "survey", "--config", str(tmp_path / "c.toml"), "--out", str(tmp_path / "r")]
    for wrong, message in (
        ([], "no tables: give --table 2mass=FILE"),
        (["--table", "gaia=a.csv"], "no survey 'gaia' in tiny; it has 2mass, deep_vvv"),
        (["--table", "2mass="], "table 2mass=: no file is named"),
        (["--table", "2mass=missing.csv"], "missing.csv: no such file"),
        (["--table", "2mass=x", "--column", "gaia:blue=J"], "no survey 'gaia'; there are"),
    ):
        assert main([*command, *wrong]) == 1
        assert message in capsys.readouterr().err
    assert main([*command, *(f"--table={key}={path}" for key, path in tables.items())]) == 0
    assert Records.open(tmp_path / "r").manifest.report["surveys"].keys() == tables.keys()


def test_2mass_may_have_a_second_diagram_with_h(tiny_config, tmp_path):
    config = tiny_config.replace(surveys=["2mass_h"])
    assert config.input_names == ("counts", "counts_2", "l_deg", "b_deg")
    clear, dusty = (simulate_pair(config, number) for number in (0, 1))
    for pair in (clear, dusty):
        # A star has all three bands, or does not count.
        assert 0 < pair.diagrams["counts_2"].sum() <= pair.counts.sum() * 1.05
    # Of two fields on different sightlines the one behind more dust is redder in both colours.
    if clear.density.sum() > dusty.density.sum():
        clear, dusty = dusty, clear
    for name in ("counts", "counts_2"):
        first, second = (pair.diagrams[name].sum(axis=0) for pair in (clear, dusty))
        assert second @ np.arange(64) / second.sum() > first @ np.arange(64) / first.sum()
    table = tmp_path / "stars.csv"
    table.write_text("glon,glat,j_m,j_msigcom,h_m,h_msigcom,k_m,k_msigcom\n284,-1,13,.03,12.3,.03,12.1,.03\n")
    twomass_to_records.make_records(config, [str(table)], str(tmp_path / "r"))
    (batch,) = serialized_examples(Records.open(tmp_path / "r").shard_paths("all")).batch(8)
    found = parse_examples(batch, config.views)
    for diagram in config.diagrams:
        one = count_stars({"J": [13.0], "H": [12.3], "Ks": [12.1]}, diagram)
        np.testing.assert_array_equal(found[diagram.name].numpy()[0], one)


@pytest.mark.parametrize("preset", ["dense", "ensemble", "planes", "cornu2022"])
def test_every_network_sees_all_diagrams_and_which_surveys_there_are(config, preset):
    changed = config.replace(**{"network.preset": preset})
    model = build_network(changed, 2, seed=1)
    assert set(model.input) == set(config.input_names)
    rng = np.random.default_rng(1)
    inputs = {name: np.ones(2, np.float32) for name in ("l_deg", "b_deg", *config.coverage_names)}
    inputs |= {d.name: rng.poisson(1.0, (2, *d.shape)).astype(np.float32) for d in config.diagrams}
    found = model(inputs).numpy()
    for name in (*NAMES[1:], "coverage_deep_vvv"):
        assert np.abs(model(inputs | {name: 0 * inputs[name]}).numpy() - found).max() > 0, name


class InProcess(ModelClient):
    """A client whose server is a SavedModel in this process."""

    def __init__(self, folder):
        super().__init__("http://localhost:1")
        self._loaded = tf.saved_model.load(str(folder)).signatures

    def predict(self, signature, inputs):
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        return {name: value.numpy() for name, value in self._loaded[signature](**tensors).items()}

    def status(self):
        return [VersionStatus(1, "AVAILABLE", "")]

    def signatures(self):
        return {
            name: (set(one.structured_input_signature[1]), set(one.structured_outputs))
            for name, one in self._loaded.items()
        }


def test_a_client_sends_the_stars_of_any_surveys(model, tables):
    import pyarrow.parquet as pq

    client = InProcess(model)
    lines = list(check_server(client))
    assert any(line.startswith("surveys ") for line in lines)
    stars = {}
    for key, path in tables.items():
        table = pq.read_table(path)
        stars[key] = {band: [table[name].to_numpy()[:n] for n in (900, 400)] for band, name in BANDS.items()}
    coords = SkyCoord([284.0, 284.1], [-1.0, -0.9], unit="deg", frame="galactic")
    both, first = (
        client.profiles_of_surveys(coords, stars),
        client.profiles_of_surveys(coords, {"2mass": stars["2mass"]}),
    )
    old = client.profiles_of_stars(coords, stars["2mass"]["J"], stars["2mass"]["Ks"])
    median = [found.profiles.extinction_median for found in (both, first, old)]
    np.testing.assert_allclose(median[1], median[2], rtol=1e-5)
    assert np.abs(median[0] - median[1]).max() > 1e-6
    assert both.odd_surveys.shape == (2,)
    assert not (first.odd_surveys & 2).any()
    covered = client.profiles_of_surveys(coords, stars, {"deep_vvv": [0.0, 0.0]})
    np.testing.assert_allclose(covered.profiles.extinction_median, median[1], rtol=1e-5)
    for wrong, message in (
        ({"gaia": stars["2mass"]}, "the model knows no gaia, only 2mass, deep_vvv"),
        ({"2mass": {"J": stars["2mass"]["J"]}}, "stars of 2mass need Ks, got: J"),
        ({}, "give the stars of one survey or more"),
        ({"2mass": {"J": [[1.0]], "Ks": [[1.0, 2.0]]}}, "must hold as many stars in each sightline"),
    ):
        with pytest.raises(ServingError, match=message):
            client.profiles_of_surveys(coords, wrong)
    with pytest.raises(ServingError, match="coverage must be one number"):
        client.profiles_of_surveys(coords, stars, {"2mass": [1.0, 1.0, 1.0]})


def test_a_model_refuses_records_of_a_survey_that_it_does_not_know(saved_model, fields, tmp_path):
    with pytest.raises(MismatchError, match="does not know stars of deep_vvv, only of 2mass"):
        score_to_map.make_map(fields.path, saved_model, tmp_path / "map.fits")
