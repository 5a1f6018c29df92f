"""The client against a model server: the double, or the real one that EXTMAP_SERVER names."""

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from extmap_tf import cli
from extmap_tf.errors import DataError, MismatchError, ServingError
from extmap_tf.estimate import PERCENTILES, Flag
from extmap_tf.model.known_answer import FORMAT, KnownAnswer
from extmap_tf.model.versions import find_saved_model
from extmap_tf.model.warmup import warmup_inputs
from extmap_tf.serving import ModelClient
from extmap_tf.serving.check import check_server

pytest.importorskip("tensorflow_serving")

REAL = os.environ.get("EXTMAP_SERVER")
only_double = pytest.mark.skipif(bool(REAL), reason="needs a server that can be made to fail")


@pytest.fixture(scope="module")
def served_model(request):
    """Folder of the versions that are served."""
    if REAL:
        return Path(os.environ["EXTMAP_SERVER_MODEL"])
    return request.getfixturevalue("saved_model")


@pytest.fixture(scope="module")
def double(served_model):
    if REAL:
        yield None
        return
    from model_server_double import ModelServerDouble

    with ModelServerDouble(served_model / "1") as server:
        yield server


@pytest.fixture(params=["http", "grpc"])
def url(request, double):
    if not REAL:
        return double.rest_url if request.param == "http" else double.grpc_url
    return f"{request.param}://{REAL}:{8501 if request.param == 'http' else 8500}"


@pytest.fixture
def client(url):
    with ModelClient(url, retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def known(served_model):
    path = served_model / "1" / "assets.extra" / "known_answer.json"
    return KnownAnswer.from_json(path.read_text(), str(path))


@pytest.fixture(scope="module")
def config(served_model):
    return find_saved_model(served_model)[1].config


@pytest.fixture(scope="module")
def place(known):
    return SkyCoord(known.inputs["l_deg"] * u.deg, known.inputs["b_deg"] * u.deg, frame="galactic")


def test_profiles_of_a_cmd_are_those_of_the_model(client, known, place):
    found = client.profiles_of_cmds(place.icrs, known.inputs["counts"])
    expected = known.outputs
    np.testing.assert_allclose(found.distance.to_value(u.kpc), expected["distance_kpc"][0], rtol=1e-6)
    for name, value in found.profiles.arrays().items():
        # The position went through equatorial coordinates.
        np.testing.assert_allclose(value, expected[name], rtol=1e-2, atol=1e-3, err_msg=name)
    at_84 = expected["extinction_percentiles"][:, PERCENTILES.index(84.0)]
    np.testing.assert_allclose(found.profiles.percentile("extinction", 84.0), at_84, rtol=1e-2, atol=1e-3)
    assert found.coords is not None
    assert found.n_stars is None


def test_stars_are_counted_by_the_server_in_batches_of_any_size(url, known, config, place):
    stars = known.stars(config.views[0])
    blue, red = stars["blue_mag"], stars["red_mag"]
    n = 5
    coords = SkyCoord(
        np.repeat(place.l, n), np.repeat(place.b, n) + np.arange(n) * 100 * u.deg * 0.001, frame="galactic"
    )
    rows = [(blue[: len(blue) // (i + 1)] * u.mag, red[: len(red) // (i + 1)]) for i in range(n)]
    rows[3] = (np.append(rows[3][0].value, [np.nan, 3.0]), np.append(rows[3][1], [12.0, 2.0]))
    rows[4] = ([], [])
    answers = []
    for batch_size in (2, 100):
        with ModelClient(url, batch_size=batch_size) as client:
            answers.append(client.profiles_of_stars(coords, *zip(*rows, strict=True)))
    few, one = answers
    found, expected = (answer.profiles.extinction_median for answer in (few, one))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert one.n_stars.tolist() == [len(blue), len(blue) // 2, len(blue) // 3, len(blue) // 4, 0]
    assert one.n_ignored.tolist() == few.n_ignored.tolist() == [0, 0, 0, 2, 0]
    assert one.n_outside.tolist() == [0] * n
    assert Flag(int(one.profiles.flag[4])) & Flag.FEW_STARS
    np.testing.assert_allclose(expected[0], known.outputs["extinction_median"][0], rtol=1e-3, atol=1e-4)


def test_every_signature_can_be_asked(client, known, config):
    assert client.signatures().keys() == warmup_inputs(known, config).keys()
    for name, inputs in warmup_inputs(known, config).items():
        found = client.predict(name, inputs)
        assert found.keys() == client.signatures()[name][1]
        if name in ("metadata", "samples"):
            continue
        assert known.largest_difference(found)[0] <= 1, name
    card, told = client.metadata()
    assert card.digest == known.model_digest == told.model_digest


def test_what_the_server_refuses_is_one_clear_line(client, url, known):
    wrong = {**known.inputs, "counts": np.zeros((1, 32, 64), np.float32)}
    cases = [
        ("serving_default", wrong, "64|shape"),
        ("serving_default", {"counts": known.inputs["counts"]}, "_deg|input"),
        ("no_such_signature", known.inputs, "not found"),
        ("examples", {"examples": np.float32([1.0])}, "string|type"),
    ]
    for signature, inputs, message in cases:
        with pytest.raises(ServingError, match=f"(?i){message}") as caught:
            client.predict(signature, inputs)
        assert "\n" not in str(caught.value)
        assert url in str(caught.value)
    if url.startswith("http"):
        for change in ({"l_deg": np.array(["x"])}, {"counts": known.inputs["counts"].astype(str)}):
            with pytest.raises(ServingError, match="type"):
                client.predict("serving_default", {**known.inputs, **change})
        with pytest.raises(ServingError, match="type"):
            client.predict("metadata", {"rows": np.array([0.5])})
    else:
        with pytest.raises(ServingError, match="float"):
            client.predict("serving_default", {**known.inputs, "l_deg": np.array([1.0])})
    for change in ({"model": "other"}, {"version": 77}):
        with (
            ModelClient(url, retries=0, **change) as other,
            pytest.raises(ServingError, match=r"(?i)not found"),
        ):
            other.predict("serving_default", known.inputs)
    # The server lives.
    assert known.largest_difference(client.predict("serving_default", known.inputs))[0] <= 1


def test_records_that_cannot_be_read_are_told_in_their_rows_alone(client, known, config):
    (good,) = warmup_inputs(known, config)["examples"]["examples"]

    def ask(*examples):
        return client.predict("examples", {"examples": np.array(examples, object)})

    expected, found = ask(good, good, good, good), ask(good, good[:-1], b"", good)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name][[0, 3]], value[[0, 3]], err_msg=name)
    assert np.isnan(found["extinction_percentiles"][1:3]).all()
    assert (found["flag"][1:3].astype(int) & Flag.ODD_PLACE).all()
    assert found["n_ignored"].tolist() == [0, config.diagrams[0].n_pixels, config.diagrams[0].n_pixels, 0]
    assert np.isnan(ask(b"junk")["density_median"]).all()


def test_rest_requests_in_rows_and_columns_give_the_same(url, known):
    if not url.startswith("http"):
        pytest.skip("JSON")
    columns = {name: value.tolist() for name, value in known.inputs.items()}
    row = {name: value[0] for name, value in columns.items()}

    def post(body):
        request = urllib.request.Request(f"{url}/v1/models/extmap:predict", json.dumps(body).encode())
        with urllib.request.urlopen(request) as response:
            return json.loads(response.read())

    by_row = post({"instances": [row, row]})["predictions"]
    by_column = post({"inputs": columns})["outputs"]
    assert len(by_row) == 2
    assert by_row[0].keys() == by_column.keys()
    for name, value in by_column.items():
        np.testing.assert_allclose(by_row[0][name], value[0], rtol=1e-4, atol=1e-5)


def test_a_check_of_a_good_server_says_so(url, served_model, capsys):
    for more in ([], ["--model", str(served_model)], ["--version", "1", "--timeout", "60"]):
        assert cli.main(["serve-check", url, *more]) == 0
        out = capsys.readouterr().out
        for part in ("available: 1", "signatures", "serving_default", "magnitudes_padded", "right"):
            assert part in out


@only_double
def test_a_wrong_answer_fails_the_check_in_one_line(url, double, capsys):
    def shifted(outputs):
        return {key: value * 1.05 if key == "extinction_median" else value for key, value in outputs.items()}

    double.change = shifted
    try:
        assert cli.main(["serve-check", url]) == 1
    finally:
        double.change = lambda outputs: outputs
    err = capsys.readouterr().err
    assert "serving_default: wrong response to the known CMD: extinction_median" in err
    assert err.count("\n") == 1


@only_double
def test_a_server_that_becomes_ready_is_asked_again(url, double, known):
    for n_unavailable, retries in ((2, 2), (3, 2)):
        double.n_unavailable, before = n_unavailable, double.n_requests
        with ModelClient(url, retries=retries) as client:
            if n_unavailable <= retries:
                assert client.predict("serving_default", known.inputs)
            else:
                with pytest.raises(ServingError, match=r"server is not ready \(asked 3 times\)"):
                    client.predict("serving_default", known.inputs)
        assert double.n_requests - before == 3
        double.n_unavailable = 0


@only_double
def test_a_late_server_is_given_up_and_not_asked_again(url, double, known):
    double.delay_s, before = 1.5, double.n_requests
    try:
        with (
            ModelClient(url, timeout_s=0.5, retries=3) as client,
            pytest.raises(ServingError, match=r"no response within 0\.5 s"),
        ):
            client.predict("serving_default", known.inputs)
        assert double.n_requests - before == 1
    finally:
        time.sleep(1.5)
        double.delay_s = 0.0


@only_double
def test_a_batching_server_is_checked_by_what_it_can_answer(served_model):
    from model_server_double import ModelServerDouble

    with ModelServerDouble(served_model / "1", batching=True) as server:
        for url in (server.rest_url, server.grpc_url):
            with ModelClient(url, retries=0) as client:
                assert len(list(check_server(client))) == 5
                place = SkyCoord([284.1, 284.2] * u.deg, [-0.95, -0.95] * u.deg, frame="galactic")
                found = client.profiles_of_stars(place, [[12.1, 13.4], [11.9]], [[11.2, 12.9], [11.3]])
                assert found.n_stars.tolist() == [2, 1]
                flat = {"blue_mag": np.float32([12.1]), "red_mag": np.float32([11.2])}
                flat |= {"row_splits": np.int64([0, 1]), "l_deg": np.float32([284.1])}
                with pytest.raises(ServingError, match="equal 0th-dimension"):
                    client.predict("magnitudes", flat | {"b_deg": np.float32([-0.95])})


@only_double
def test_another_model_than_the_one_at_hand_is_told(url, served_model, tmp_path, config):
    other = tmp_path / "1"
    shutil.copytree(served_model / "1", other)
    _, card = find_saved_model(served_model)
    changed = dataclasses.replace(card, training={"epochs": 1.0})
    (other / "assets.extra" / "model.json").write_text(changed.to_json())
    with ModelClient(url) as client, pytest.raises(MismatchError, match=f"serves model {card.digest}"):
        list(check_server(client, other))
    (other / "assets.extra" / "model.json").write_text(card.to_json())
    for about, words in (({}, "not a known answer"), ({"format": FORMAT}, "damaged known answer")):
        (other / "assets.extra" / "known_answer.json").write_text(json.dumps(about))
        with ModelClient(url) as client, pytest.raises(DataError, match=words):
            list(check_server(client, other))
    (other / "assets.extra" / "known_answer.json").unlink()
    with ModelClient(url) as client, pytest.raises(DataError, match="export the model again"):
        list(check_server(client, other))


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_where_nothing_listens_is_one_line(scheme, capsys):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    with ModelClient(f"{scheme}://localhost:{port}", retries=1, timeout_s=5) as client:
        with pytest.raises(ServingError, match=rf"localhost:{port}.* \(asked 2 times\)") as caught:
            client.status()
        assert "\n" not in str(caught.value)


def test_grpc_without_its_package_is_one_line_and_rest_needs_none(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorflow_serving"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "extmap_tf.serving.grpc_channel", raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    with pytest.raises(ServingError, match=r"tensorflow_serving.*: pip install 'extmap_tf\[serving\]'"):
        ModelClient("grpc://localhost:1")
    ModelClient("http://localhost:1").close()


@only_double
@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"{}", b'{"model_version_status": [{}]}'])
def test_what_is_no_model_server_is_one_line(body):
    class Page(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

    with HTTPServer(("localhost", 0), Page) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(ServingError, match="not TensorFlow Serving's JSON"):
            ModelClient(f"http://localhost:{server.server_port}").status()
        thread.join()


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8501",
        "ftp://localhost:1",
        "http://",
        "http://localhost:8501/v1/models/extmap",
        "http://[::1",
        "http://localhost:abc",
        "http://localhost:99999",
        "http://localhost:0",
    ],
)
def test_addresses_that_are_none_are_refused(url, capsys):
    assert cli.main(["serve-check", url]) == 1
    assert "not the address of a model server" in capsys.readouterr().err


def test_what_cannot_be_sent_is_refused_before_it_is():
    place = SkyCoord([1, 2] * u.deg, [0, 0] * u.deg, frame="galactic")
    client = ModelClient("http://localhost:1")
    with pytest.raises(ServingError, match="as many stars"):
        client.profiles_of_stars(place, [[1.0], [2.0]], [[1.0], [2.0, 3.0]])
    with pytest.raises(ServingError, match="as many stars"):
        client.profiles_of_stars(place, [[1.0]], [[1.0], [2.0]])
    with pytest.raises(ServingError, match="3 sightlines of stars but 2 positions"):
        client.profiles_of_cmds(place, np.zeros((3, 64, 64)))
    with pytest.raises(ServingError, match="three axes"):
        client.profiles_of_cmds(place, np.zeros((64, 64)))
    with pytest.raises(ServingError, match="no sightlines"):
        client.profiles_of_cmds(place[:0], np.zeros((0, 64, 64)))
    for wrong in ({"timeout_s": 0}, {"retries": -1}, {"batch_size": 0}):
        with pytest.raises(ServingError, match="must be"):
            ModelClient("http://localhost:1", **wrong)


def test_the_rest_client_loads_neither_tensorflow_nor_grpc():
    code = (
        "import sys; from extmap_tf.serving import ModelClient; import extmap_tf.serving.check\n"
        "ModelClient('http://localhost:1')\n"
        "bad = {'tensorflow', 'keras', 'grpc', 'apache_beam'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
