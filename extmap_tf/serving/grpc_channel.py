"""The gRPC interface of TensorFlow Serving, by its official protocol; needs ``extmap_tf[serving]``."""

from collections.abc import Mapping

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from extmap_tf.errors import ServingError
from extmap_tf.serving.channel import ModelAddress, UnavailableError, VersionStatus

# Ten million stars are 80 MB, gRPC's own limit is 4.
_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class GrpcChannel:
    """The same methods as `extmap_tf.serving.rest_channel.RestChannel`.

    Parameters
    ----------
    address : extmap_tf.serving.channel.ModelAddress
    """

    def __init__(self, address: ModelAddress) -> None:
        self._address = address
        if address.secure:
            self._channel = grpc.secure_channel(address.host, grpc.ssl_channel_credentials(), _OPTIONS)
        else:
            self._channel = grpc.insecure_channel(address.host, _OPTIONS)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._model = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(
        self, signature: str, inputs: Mapping[str, np.ndarray], timeout_s: float
    ) -> dict[str, np.ndarray]:
        request = self._of_model(predict_pb2.PredictRequest())
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        response = self._call(self._prediction.Predict, request, timeout_s)
        return {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}

    def status(self, timeout_s: float) -> list[VersionStatus]:
        request = self._of_model(get_model_status_pb2.GetModelStatusRequest())
        response = self._call(self._model.GetModelStatus, request, timeout_s)
        states = get_model_status_pb2.ModelVersionStatus.State
        return [
            VersionStatus(item.version, states.Name(item.state), item.status.error_message)
            for item in response.model_version_status
        ]

    def signatures(self, timeout_s: float) -> dict[str, tuple[set[str], set[str]]]:
        request = self._of_model(get_model_metadata_pb2.GetModelMetadataRequest())
        request.metadata_field.append("signature_def")
        response = self._call(self._prediction.GetModelMetadata, request, timeout_s)
        found = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(found)
        return {
            name: (set(item.inputs), set(item.outputs))
            for name, item in found.signature_def.items()
            if not name.startswith("__")
        }

    def close(self) -> None:
        self._channel.close()

    def _of_model(self, request):
        request.model_spec.name = self._address.model
        if self._address.version is not None:
            request.model_spec.version.value = self._address.version
        return request

    def _call(self, method, request, timeout_s):
        try:
            return method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            message = " ".join((error.details() or error.code().name).split())
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise ServingError(f"{self._address}: no response within {timeout_s:g} s") from None
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
                raise UnavailableError(
                    f"{self._address}: cannot be reached or not ready: {message}"
                ) from None
            raise ServingError(f"{self._address}: refused ({error.code().name}): {message}") from None
