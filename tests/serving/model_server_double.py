"""A test double of TensorFlow Serving: its gRPC services and REST interface in front of a SavedModel.

It is not the server: it has the official protocol's services and the JSON formats of
https://www.tensorflow.org/tfx/serving/api_rest (row and columnar), and runs the signatures as the server
does, through the loader of TensorFlow 1 and a Session. `docker_check.sh` runs the same tests against the real
one.
"""

import base64
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)


class RefusedError(Exception):
    """A request that the server answers with an error: the names of its gRPC and HTTP status, a message."""

    def __init__(self, grpc_code, http_code, message):
        super().__init__(message)
        self.grpc_code, self.http_code = grpc_code, http_code


def bad_request(message):
    return RefusedError(grpc.StatusCode.INVALID_ARGUMENT, 400, message)


class ModelServerDouble(
    prediction_service_pb2_grpc.PredictionServiceServicer, model_service_pb2_grpc.ModelServiceServicer
):
    """Serves one version of one model.

    Parameters
    ----------
    folder : pathlib.Path
        Version folder of a SavedModel.
    name : str
    batching : bool
        Refuse, as a server with --enable_batching does, inputs that cannot be joined along the first axis.

    Attributes
    ----------
    n_unavailable : int
        So many requests to come are refused as by a server that is not ready.
    delay_s : float
        Each answer comes so much later.
    change : callable
        Gets each answer, a dict of arrays, before it is sent.
    """

    def __init__(self, folder, name="extmap", batching=False):
        self.name, self.version, self.batching = name, int(folder.name), batching
        self.n_unavailable, self.delay_s, self.change = 0, 0.0, lambda outputs: outputs
        self.n_requests = 0
        self._lock = threading.Lock()
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            self.signatures = tf.compat.v1.saved_model.load(
                self._session, ["serve"], str(folder)
            ).signature_def
        self._grpc = grpc.server(
            ThreadPoolExecutor(4),
            options=[("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(self, self._grpc)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(self, self._grpc)
        self.grpc_url = f"grpc://localhost:{self._grpc.add_insecure_port('localhost:0')}"
        self._rest = ThreadingHTTPServer(("localhost", 0), _handler_of(self))
        self.rest_url = f"http://localhost:{self._rest.server_port}"
        self._thread = threading.Thread(target=self._rest.serve_forever, daemon=True)

    def __enter__(self):
        self._grpc.start()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._grpc.stop(None).wait()
        self._rest.shutdown()
        self._rest.server_close()
        self._thread.join()
        self._session.close()

    def admit(self, name, version):
        """Whether a request may pass: RefusedError if not."""
        with self._lock:
            self.n_requests += 1
            unavailable = self.n_unavailable > 0
            self.n_unavailable -= unavailable
        if unavailable:
            raise RefusedError(grpc.StatusCode.UNAVAILABLE, 503, "server is not ready")
        time.sleep(self.delay_s)
        if name != self.name or version not in (0, self.version):
            wanted = f"Specific({name}, {version})" if version else f"Latest({name})"
            raise RefusedError(grpc.StatusCode.NOT_FOUND, 404, f"Servable not found for request: {wanted}")

    def signature(self, name):
        name = name or "serving_default"
        if name not in self.signatures:
            raise bad_request(f'Serving signature key "{name}" not found.')
        return self.signatures[name]

    def run(self, signature, inputs):
        """Outputs of a signature for arrays by name."""
        if set(inputs) != set(signature.inputs):
            raise bad_request(
                f"input keys {sorted(inputs)} do not match the signature's {sorted(signature.inputs)}"
            )
        for name, value in inputs.items():
            expected = signature.inputs[name].dtype
            if tf.as_dtype(value.dtype).as_datatype_enum != expected:
                found = tf.as_dtype(value.dtype).name
                raise bad_request(f"{name}: expected {tf.as_dtype(expected).name}, got {found}")
        if self.batching:
            if any(value.ndim == 0 for value in inputs.values()):
                raise bad_request("Batching Run() input tensors must have at least one dimension")
            if len({len(value) for value in inputs.values()}) > 1:
                raise bad_request("Batching Run() input tensors must have equal 0th-dimension size")
        feed = {signature.inputs[name].name: value for name, value in inputs.items()}
        fetch = {name: info.name for name, info in signature.outputs.items()}
        try:
            outputs = self._session.run(fetch, feed)
        except (tf.errors.OpError, ValueError) as error:
            raise bad_request(getattr(error, "message", str(error))) from None
        return self.change(outputs)

    def metadata(self):
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = self.name
        response.model_spec.version.value = self.version
        found = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in self.signatures.items():
            found.signature_def[name].CopyFrom(signature)
        response.metadata["signature_def"].Pack(found)
        return response

    def status(self):
        response = get_model_status_pb2.GetModelStatusResponse()
        available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        item = response.model_version_status.add(version=self.version, state=available)
        item.status.SetInParent()
        return response

    # The gRPC services.

    def Predict(self, request, context):
        def answer():
            signature = self.signature(request.model_spec.signature_name)
            inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
            response = predict_pb2.PredictResponse()
            response.model_spec.name = self.name
            for name, value in self.run(signature, inputs).items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
            return response

        return self._grpc_answer(request, context, answer)

    def GetModelMetadata(self, request, context):
        return self._grpc_answer(request, context, self.metadata)

    def GetModelStatus(self, request, context):
        return self._grpc_answer(request, context, self.status)

    def _grpc_answer(self, request, context, answer):
        try:
            self.admit(request.model_spec.name, request.model_spec.version.value)
            return answer()
        except RefusedError as error:
            context.abort(error.grpc_code, str(error))


def _handler_of(server):
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            self._answer(lambda action: {"/metadata": _metadata_json, "": _status_json}[action or ""](server))

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(lambda action: _predict_json(server, body))

        def _answer(self, answer):
            match = re.fullmatch(r"/v1/models/(\w+)(?:/versions/(\d+))?(/metadata|:predict)?", self.path)
            try:
                if not match:
                    raise RefusedError(None, 404, f"Malformed request: {self.path}")
                server.admit(match[1], int(match[2] or 0))
                code, data = 200, answer(match[3])
            except RefusedError as error:
                code, data = error.http_code, {"error": str(error)}
            text = json.dumps(data).encode()
            try:
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
            except ConnectionError:
                # The client did not wait.
                self.close_connection = True

    return Handler


def _status_json(server):
    found = json_format.MessageToDict(server.status(), preserving_proto_field_name=True)
    for item in found["model_version_status"]:
        item["status"] = {"error_code": "OK", "error_message": ""}
    return found


def _metadata_json(server):
    signatures = {
        name: json_format.MessageToDict(item, preserving_proto_field_name=True)
        for name, item in server.signatures.items()
    }
    return {
        "model_spec": {"name": server.name, "signature_name": "", "version": str(server.version)},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def _predict_json(server, body):
    try:
        request = json.loads(body)
    except ValueError:
        raise bad_request("JSON Parse error: Invalid value.") from None
    if ("instances" in request) == ("inputs" in request):
        raise bad_request("JSON must have either instances or inputs")
    signature = server.signature(request.get("signature_name"))
    if not signature.inputs:
        raise bad_request(f"Failed to get input map for signature: {request.get('signature_name')}")
    by_row = "instances" in request
    if by_row and not request["instances"]:
        raise bad_request("No values in 'instances' array")
    columns = _columns_of_rows(request["instances"], signature) if by_row else request["inputs"]
    if not isinstance(columns, dict):
        (only,) = signature.inputs
        columns = {only: columns}
    inputs = {}
    for name, value in columns.items():
        if name not in signature.inputs:
            raise bad_request(f"{name}: no such input")
        dtype = tf.as_dtype(signature.inputs[name].dtype)
        if dtype == tf.string:
            # As objects, or numpy would cut zeros off the end of bytes.
            inputs[name] = np.array(_decoded(value), object)
            continue
        try:
            found = np.array(_decoded(value))
        except ValueError:
            raise bad_request(f"{name}: Encountered list at unexpected size") from None
        if found.size and found.dtype.kind not in ("fiu" if dtype.is_floating else "iu"):
            raise bad_request(f"JSON Value: {name} is not of expected type: {dtype.name}")
        inputs[name] = found.astype(dtype.as_numpy_dtype)
    outputs = {
        name: _encoded(value.tolist(), binary=name.endswith("_bytes"))
        for name, value in server.run(signature, inputs).items()
    }
    if by_row:
        if len({len(value) for value in outputs.values()}) > 1:
            raise bad_request("outputs differ in their 0-th dimension: use the columnar format")
        rows = [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]
        return {"predictions": [next(iter(row.values())) for row in rows] if len(outputs) == 1 else rows}
    return {"outputs": next(iter(outputs.values())) if len(outputs) == 1 else outputs}


def _columns_of_rows(rows, signature):
    if rows and isinstance(rows[0], dict) and "b64" not in rows[0]:
        return {name: [row[name] for row in rows] for name in rows[0]}
    (only,) = signature.inputs
    return {only: rows}


def _decoded(value):
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return [_decoded(item) for item in value] if isinstance(value, list) else value


def _encoded(value, binary):
    if isinstance(value, list):
        return [_encoded(item, binary) for item in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()} if binary else value.decode()
    return value
