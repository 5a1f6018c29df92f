"""What TensorFlow Serving takes beside a SavedModel: requests to warm up with, and configuration files."""

from importlib import resources
from pathlib import Path

import numpy as np
import tensorflow as tf

from extmap_tf.diagrams import FieldCounts
from extmap_tf.files import PathLike
from extmap_tf.grids.diagram import Diagram
from extmap_tf.model.known_answer import KnownAnswer
from extmap_tf.records.example import field_to_example
from extmap_tf.settings.mocks import MocksConfig

WARMUP_NAME = "tf_serving_warmup_requests"
SERVER_FOLDER = "serving"
MODEL_NAME = "extmap"


def warmup_inputs(
    known: KnownAnswer, diagram: Diagram, mocks: MocksConfig
) -> dict[str, dict[str, np.ndarray]]:
    """Inputs of one request for each signature, all of the known CMD.

    Parameters
    ----------
    known : extmap_tf.model.known_answer.KnownAnswer
    diagram : extmap_tf.grids.diagram.Diagram
    mocks : extmap_tf.settings.mocks.MocksConfig
        Whether fields are covered in part decides which signatures there are.

    Returns
    -------
    dict of str to dict of str to ndarray
    """
    image = known.inputs
    place = {name: image[name] for name in ("l_deg", "b_deg")}
    blue_mag, red_mag = known.stars(diagram)
    slots = np.zeros(FieldCounts.n_slots(diagram), np.int64)
    slots[: diagram.n_pixels] = image["counts"].ravel()
    example = field_to_example(
        FieldCounts(slots), "warm-up", float(image["l_deg"][0]), float(image["b_deg"][0]), diagram
    )
    n_stars, whole = len(blue_mag), {"coverage": np.ones(1, np.float32)}
    requests = {
        "serving_default": image,
        "examples": {"examples": np.array([example], object)},
        "magnitudes": {
            "blue_mag": blue_mag,
            "red_mag": red_mag,
            "row_splits": np.array([0, n_stars]),
            **place,
        },
        "magnitudes_padded": {
            "blue_mag": blue_mag[None],
            "red_mag": red_mag[None],
            "n_stars": np.array([n_stars]),
            **place,
        },
        "samples": {**image, "seed": np.array(0, np.int32)},
        "metadata": {"rows": np.zeros(1, np.int32)},
    }
    if mocks.partial_share:
        for name, base in (
            ("counts_and_coverage", "serving_default"),
            ("magnitudes_and_coverage", "magnitudes"),
            ("samples_and_coverage", "samples"),
        ):
            requests[name] = requests[base] | whole
    return requests


def write_warmup(path: PathLike, known: KnownAnswer, diagram: Diagram, mocks: MocksConfig) -> bool:
    """Write the requests that a server sends itself before it answers others.

    Returns
    -------
    bool
        False, and nothing written, where tensorflow-serving-api is not installed.
    """
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError:
        return False
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in warmup_inputs(known, diagram, mocks).items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = MODEL_NAME
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            # Maps in a fixed order, so that an export can be repeated to the byte.
            writer.write(log.SerializeToString(deterministic=True))
    return True


def write_server_configs(folder: Path) -> None:
    """Copy the package's configuration files of TensorFlow Serving into a new folder."""
    folder.mkdir()
    for item in (resources.files("extmap_tf") / "configs" / "serving").iterdir():
        (folder / item.name).write_text(item.read_text())
