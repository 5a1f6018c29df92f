"""What a client of the SavedModel's signatures may rely on."""

import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from extmap_tf.diagrams import count_stars
from extmap_tf.estimate import ProfileEstimate, reliable_distance_kpc
from extmap_tf.model.export import export
from extmap_tf.model.known_answer import KnownAnswer
from extmap_tf.model.warmup import warmup_inputs
from extmap_tf.records.dataset import evaluation_dataset
from extmap_tf.records.example import parse_examples, parse_readable_examples
from extmap_tf.records.manifest import Records
from extmap_tf.serving import ModelClient

FEW_STARS, ODD_PLACE = 8, 64


@pytest.fixture(scope="module")
def signatures(saved_model):
    return tf.saved_model.load(str(saved_model / "1")).signatures


@pytest.fixture(scope="module")
def ask(signatures):
    def ask(name, **inputs):
        found = signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        return {key: value.numpy() for key, value in found.items()}

    return ask


@pytest.fixture(scope="module")
def images(mock_records):
    inputs, _ = next(iter(evaluation_dataset(Records.open(mock_records), "test")))
    return {name: value.numpy()[:6] for name, value in inputs.items()}


@pytest.fixture(scope="module")
def known(saved_model):
    place = saved_model / "1" / "assets.extra" / "known_answer.json"
    return KnownAnswer.from_json(place.read_text(), str(place))


def stars_of(counts, view):
    """Magnitudes at the centres of the pixels of each image."""
    known = [KnownAnswer({"counts": image[None]}, {}, "").stars(view) for image in counts]
    return tuple([stars[name] for stars in known] for name in ("blue_mag", "red_mag"))


def assert_same(found, expected, rows=slice(None)):
    for name in expected:
        np.testing.assert_allclose(
            found[name][rows], expected[name][rows], rtol=1e-4, atol=1e-5, err_msg=name
        )


def test_inputs_and_outputs_have_names_and_fixed_types(signatures):
    inputs = {
        name: {
            key: (spec.dtype, spec.shape.as_list())
            for key, spec in signature.structured_input_signature[1].items()
        }
        for name, signature in signatures.items()
    }
    degrees = {"l_deg": (tf.float32, [None]), "b_deg": (tf.float32, [None])}
    image = {"counts": (tf.float32, [None, 64, 64]), **degrees}
    assert inputs == {
        "serving_default": image,
        "examples": {"examples": (tf.string, [None])},
        "magnitudes": {
            "blue_mag": (tf.float32, [None]),
            "red_mag": (tf.float32, [None]),
            "row_splits": (tf.int64, [None]),
            **degrees,
        },
        "magnitudes_padded": {
            "blue_mag": (tf.float32, [None, None]),
            "red_mag": (tf.float32, [None, None]),
            "n_stars": (tf.int64, [None]),
            **degrees,
        },
        "samples": {**image, "seed": (tf.int32, [])},
        "metadata": {"rows": (tf.int32, [None])},
    }
    outputs = {name: dict(signature.structured_outputs) for name, signature in signatures.items()}
    common = set(outputs["serving_default"])
    assert set(outputs["examples"]) == common
    assert set(outputs["magnitudes"]) == common | {"n_stars", "n_outside"}
    assert set(outputs["magnitudes_padded"]) == common | {"n_stars", "n_outside"}
    integers = {"flag", "reliable", "n_ignored", "n_stars", "n_outside"}
    for name, spec in outputs["magnitudes"].items():
        assert spec.dtype == (tf.int32 if name in integers else tf.float32), name


def test_what_is_reliable_follows_from_the_percentiles(ask, images, tiny_config):
    found = ask("serving_default", **images)
    reliable = ProfileEstimate.from_outputs(found).reliable
    assert 0 < reliable.mean() < 1
    np.testing.assert_array_equal(found["reliable"], reliable)
    reach = reliable_distance_kpc(reliable, tiny_config.distance.outer_kpc)
    np.testing.assert_allclose(found["reliable_distance_kpc"], reach, rtol=1e-6)


def test_stars_give_what_their_cmd_gives(ask, images, tiny_config):
    blue, red = stars_of(images["counts"], tiny_config.views[0])
    place = {name: images[name] for name in ("l_deg", "b_deg")}
    expected = ask("serving_default", **images)
    splits = np.cumsum([0, *map(len, blue)])
    flat = ask(
        "magnitudes", blue_mag=np.concatenate(blue), red_mag=np.concatenate(red), row_splits=splits, **place
    )
    assert_same(flat, expected)
    np.testing.assert_array_equal(flat["n_stars"], images["counts"].sum(axis=(1, 2)))
    rectangle = [
        np.stack([np.pad(row, (0, 7000 - len(row)), constant_values=12.0) for row in rows])
        for rows in (blue, red)
    ]
    padded = ask(
        "magnitudes_padded",
        blue_mag=rectangle[0],
        red_mag=rectangle[1],
        n_stars=np.array([*map(len, blue)]),
        **place,
    )
    assert_same(padded, flat)
    assert not (flat["n_ignored"] | flat["n_outside"]).any()


def test_what_is_no_star_is_ignored_and_counted_in_its_row(ask, images, tiny_config):
    blue, red = (rows[:3] for rows in stars_of(images["counts"], tiny_config.views[0]))
    place = {name: images[name][:3] for name in ("l_deg", "b_deg")}

    def asked(blue, red):
        splits = np.cumsum([0, *map(len, blue)])
        stars = {"blue_mag": np.float32(np.concatenate(blue)), "red_mag": np.float32(np.concatenate(red))}
        return ask("magnitudes", **stars, row_splits=splits, **place)

    clean = asked(blue, red)
    # Two without a magnitude, one brighter than the survey's limit, one of Ks 15.5 outside the CMD.
    blue[1] = np.append(blue[1], [np.nan, 12.0, 3.0, 16.0])
    red[1] = np.append(red[1], [12.0, 99.999, 3.0, 15.5])
    dirty = asked(blue, red)
    assert dirty["n_ignored"].tolist() == [0, 3, 0]
    assert dirty["n_outside"].tolist() == [0, 1, 0]
    for name in ("n_stars", "extinction_median", "flag"):
        np.testing.assert_array_equal(dirty[name], clean[name])


def test_a_sightline_without_stars_and_one_with_ten_million_are_answered_and_flagged(ask, tiny_config):
    n = 10**7
    rng = np.random.default_rng(0)
    red = rng.uniform(9, 15, n).astype(np.float32)
    blue = red + rng.uniform(0, 3, n).astype(np.float32)
    place = {"l_deg": np.float32([284, 284]), "b_deg": np.float32([-1, -1])}
    found = ask("magnitudes", blue_mag=blue, red_mag=red, row_splits=np.array([0, 0, n]), **place)
    assert found["n_stars"].tolist() == [
        0,
        int(count_stars({"J": blue, "Ks": red}, tiny_config.diagrams[0]).sum()),
    ]
    assert np.isfinite(found["extinction_median"]).all()
    assert found["flag"][0] & FEW_STARS
    assert found["flag"][1] > 0


def test_counts_that_are_none_are_taken_as_zero_and_told_row_by_row(ask, images):
    clean = ask("serving_default", **images)
    counts = images["counts"].copy()
    counts[1, 3, 4] = np.nan
    counts[2] = -1.0
    counts[3, 0, 0] = np.inf
    found = ask("serving_default", **(images | {"counts": counts}))
    assert found["n_ignored"].tolist() == [0, 1, 64 * 64, 1, 0, 0]
    assert np.isfinite(found["extinction_percentiles"]).all()
    assert found["flag"][2] & FEW_STARS
    assert_same(found, clean, rows=[0, 4, 5])
    zeroed = np.where(np.isfinite(counts) & (counts > 0), counts, 0).astype(np.float32)
    again = ask("serving_default", **(images | {"counts": zeroed}))
    np.testing.assert_array_equal(again["extinction_median"], found["extinction_median"])


def test_longitudes_may_be_in_any_turn(ask, images):
    expected = ask("serving_default", **images)
    for turn in (-720.0, -360.0, 360.0):
        found = ask("serving_default", **(images | {"l_deg": images["l_deg"] + np.float32(turn)}))
        np.testing.assert_array_equal(found["flag"], expected["flag"])
        # 32-bit longitudes lose digits with every turn.
        np.testing.assert_allclose(
            found["extinction_median"], expected["extinction_median"], rtol=0.01, atol=1e-3
        )


@pytest.mark.parametrize("name", ["l_deg", "b_deg"])
def test_a_place_that_is_no_number_is_flagged_in_its_row_alone(ask, images, name):
    clean = ask("serving_default", **images)
    place = images[name].copy()
    place[:2] = np.nan, np.inf
    found = ask("serving_default", **(images | {name: place}))
    assert (found["flag"][:2] & ODD_PLACE).all()
    assert np.isnan(found["extinction_median"][:2]).all()
    assert (found["reliable_distance_kpc"][:2] == 0).all()
    assert (found["reliable"][:2] == 0).all()
    assert_same(found, clean, rows=slice(2, None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": np.zeros((6, 64, 64), np.float64)}, "float"),
        ({"counts": np.zeros((6, 64, 64), np.int32)}, "float"),
        ({"counts": np.zeros((6, 32, 64), np.float32)}, r"64|compatible|shape"),
        ({"l_deg": np.zeros(1, np.float32)}, "l_deg has another number of rows"),
        ({"b_deg": np.zeros(7, np.float32)}, "b_deg has another number of rows"),
    ],
)
def test_wrong_types_shapes_and_numbers_of_rows_are_clear_errors(ask, images, change, message):
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError, ValueError), match=message):
        ask("serving_default", **(images | change))
    assert len(ask("serving_default", **images)["flag"]) == 6


@pytest.fixture(scope="module")
def record(known, tiny_config):
    """A serialized record of the known CMD."""
    (record,) = warmup_inputs(known, tiny_config)["examples"]["examples"]
    return record


def unreadable(record):
    """Records that cannot be read, by what is wrong with them."""
    wrong = {f"cut to {n}": record[:n] for n in (0, 1, 2, 3, 20, 4000, len(record) - 100, len(record) - 1)}
    wrong |= {"text": b"junk", "more bytes": record + b"x", "zeros": bytes(len(record))}

    def changed(name, change):
        example = tf.train.Example.FromString(record)
        change(example.features.feature)
        wrong[name] = example.SerializeToString()

    def with_counts(n_bytes):
        def change(features):
            features["counts"].bytes_list.value[0] = bytes(n_bytes)

        return change

    for n_bytes in (0, 99, 100, 2 * 64 * 64 - 2, 2 * 2 * 64 * 64):
        changed(f"counts of {n_bytes} bytes", with_counts(n_bytes))
    changed("no counts", lambda features: features.pop("counts"))
    changed("no position", lambda features: features.pop("l_deg"))
    changed("counts as numbers", lambda features: features["counts"].int64_list.value.extend([1, 2]))
    changed("two positions", lambda features: features["b_deg"].float_list.value.append(0.0))
    return wrong


def test_records_that_cannot_be_read_are_told_in_their_rows_alone(ask, known, record):
    assert_same(ask("examples", examples=[record]), known.outputs)
    wrong = unreadable(record)
    good = tf.train.Example.FromString(record)
    good.features.feature["b_deg"].float_list.value[0] += 0.01
    good = good.SerializeToString()
    # As many rows: how a product of matrices is rounded depends on their number.
    clean = ask("examples", examples=[record, *[record] * len(wrong), good])
    found = ask("examples", examples=[record, *wrong.values(), good])
    assert (clean["extinction_mean"][0] != clean["extinction_mean"][-1]).any()
    for name in clean:
        np.testing.assert_array_equal(found[name][[0, -1]], clean[name][[0, -1]], err_msg=name)
    for i, name in enumerate(wrong, start=1):
        assert found["flag"][i] & ODD_PLACE, name
        assert found["n_ignored"][i] == 64 * 64, name
        assert found["reliable_distance_kpc"][i] == 0, name
        for output in ("density_median", "density_percentiles", "extinction_mean", "extinction_std"):
            assert np.isnan(found[output][i]).all(), (name, output)
    alone = ask("examples", examples=[b"junk"])
    assert np.isnan(alone["extinction_median"]).all()
    assert len(ask("examples", examples=tf.constant([], tf.string))["flag"]) == 0


def test_whatever_bytes_change_in_a_record_no_other_is_touched(record, tiny_config):
    parse = tf.function(lambda examples: parse_readable_examples(examples, tiny_config.views))
    rng = np.random.default_rng(0)
    changed = []
    for _ in range(400):
        damaged = bytearray(record)
        # The counts are all but a few of the bytes, and any are counts: change mostly the rest.
        outside = [*range(60), *range(len(record) - 100, len(record))]
        for i in rng.choice(outside, rng.integers(1, 4)):
            damaged[i] = rng.integers(256)
        changed.append(bytes(damaged))
    found = parse(tf.constant([record, *changed, record]))
    expected = parse_examples(tf.constant([record]), tiny_config.views)
    for name, value in found.items():
        for row in (0, -1):
            np.testing.assert_array_equal(value[row], expected[name][0], err_msg=name)
    n_unread = np.isnan(found["counts"].numpy()).all(axis=(1, 2)).sum()
    assert 50 < n_unread < 400


def test_several_threads_get_their_own_answers(ask, images):
    expected = ask("serving_default", **images)

    def one(i):
        row = slice(i % 6, i % 6 + 1)
        return row, ask("serving_default", **{name: value[row] for name, value in images.items()})

    with ThreadPoolExecutor(8) as pool:
        for row, found in pool.map(one, range(48)):
            for name in expected:
                np.testing.assert_allclose(
                    found[name], expected[name][row], rtol=1e-4, atol=1e-5, err_msg=name
                )


SESSION = """
import sys, json, pickle, numpy as np
sys.modules['extmap_tf'] = sys.modules['keras'] = sys.modules['tensorflow_probability'] = None
import tensorflow as tf
tf.compat.v1.disable_eager_execution()
with open(sys.argv[2], 'rb') as stream:
    requests = pickle.load(stream)
answers = []
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    meta = tf.compat.v1.saved_model.load(session, ['serve'], sys.argv[1])
    for name, inputs in requests:
        signature = meta.signature_def[name]
        feed = {signature.inputs[key].name: value for key, value in inputs.items()}
        fetch = {key: info.name for key, info in signature.outputs.items()}
        answers.append(session.run(fetch, feed))
ops = {node.op for function in meta.graph_def.library.function for node in function.node_def}
with open(sys.argv[3], 'wb') as stream:
    pickle.dump((answers, sorted(ops | {node.op for node in meta.graph_def.node})), stream)
"""


def test_every_signature_runs_in_a_session_of_tensorflow_alone(
    saved_model, signatures, ask, images, known, record, tiny_config, tmp_path
):
    requests = list(warmup_inputs(known, tiny_config).items())
    requests += [("examples", {"examples": np.array([record, *unreadable(record).values()], object)})]
    requests += [("serving_default", {name: value[:n] for name, value in images.items()}) for n in (0, 1, 6)]
    (tmp_path / "in").write_bytes(pickle.dumps(requests))
    paths = [str(saved_model / "1"), str(tmp_path / "in"), str(tmp_path / "out")]
    subprocess.run(
        [sys.executable, "-c", SESSION, *paths], check=True, stderr=subprocess.DEVNULL, cwd=tmp_path
    )
    answers, ops = pickle.loads((tmp_path / "out").read_bytes())
    assert {name for name, _ in requests} == set(signatures)
    for (name, inputs), found in zip(requests, answers, strict=True):
        expected = ask(name, **inputs)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            if value.dtype == object:
                assert found[key].tolist() == value.tolist()
            else:
                np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-6, err_msg=f"{name} {key}")
    assert not [op for op in ops if "PyFunc" in op or op.startswith("Xla")]


def test_the_known_answer_is_shipped_and_in_the_metadata(ask, known, tiny_config):
    told = ask("metadata", rows=[0, 7])
    assert {len(value) for value in told.values()} == {2}
    inside = KnownAnswer.from_json(told["known_answer"][1].decode(), "metadata")
    assert inside.model_digest == json.loads(told["card"][0])["model_digest"]
    assert inside.to_json() == known.to_json()
    assert known.inputs["counts"].sum() > 10
    found = ask("serving_default", **known.inputs)
    assert known.largest_difference(found)[0] < 0.1
    assert (known.largest_difference(found | {"extinction_median": found["extinction_mean"]})[0]) > 1
    found.pop("flag")
    assert known.largest_difference(found) == (np.inf, "flag")


def test_the_warm_up_asks_every_signature_what_it_answers(saved_model, signatures, ask):
    pytest.importorskip("tensorflow_serving")
    from tensorflow_serving.apis import prediction_log_pb2

    path = saved_model / "1" / "assets.extra" / "tf_serving_warmup_requests"
    asked = []
    for record in tf.data.TFRecordDataset([str(path)]).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        name = request.model_spec.signature_name
        inputs = {key: tf.make_ndarray(proto) for key, proto in request.inputs.items()}
        assert ask(name, **inputs)
        asked.append(name)
    assert sorted(asked) == sorted(signatures)


def test_without_the_servers_package_the_warm_up_is_left_out_and_told(trained, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorflow_serving"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    lines = []
    version = export(trained, tmp_path / "saved", echo=lines.append)
    assert lines == ["no warm-up requests: install 'extmap_tf[serving]' to write them"]
    assert not (version / "assets.extra" / "tf_serving_warmup_requests").exists()
    assert (version / "assets.extra" / "known_answer.json").exists()


def test_the_servers_configuration_files_are_written_once(saved_model, trained, tmp_path):
    folder = saved_model / "serving"
    assert sorted(path.name for path in folder.iterdir()) == [
        "batching.config",
        "models.config",
        "monitoring.config",
    ]
    own = tmp_path / "saved" / "serving"
    own.mkdir(parents=True)
    (own / "models.config").write_text("mine")
    export(trained, tmp_path / "saved", echo=lambda line: None)
    assert [path.name for path in own.iterdir()] == ["models.config"]
    assert (own / "models.config").read_text() == "mine"


def test_the_models_file_is_one_that_the_server_reads(saved_model):
    pytest.importorskip("tensorflow_serving")
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    text = (saved_model / "serving" / "models.config").read_text()
    (served,) = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    assert (served.name, served.base_path) == (
        ModelClient("http://localhost").address.model,
        "/models/extmap",
    )
    assert served.model_version_policy.latest.num_versions == 2
