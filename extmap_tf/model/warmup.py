"""What TensorFlow Serving takes beside a SavedModel: requests to warm up with, and configuration files."""

from importlib import resources
from pathlib import Path

import numpy as np
import tensorflow as tf

from extmap_tf.diagrams import FieldCounts
from extmap_tf.files import PathLike
from extmap_tf.model.known_answer import KnownAnswer
from extmap_tf.records.example import field_to_example
from extmap_tf.settings.config import Config

WARMUP_NAME = "tf_serving_warmup_requests"
SERVER_FOLDER = "serving"
MODEL_NAME = "extmap"


def warmup_inputs(known: KnownAnswer, config: Config) -> dict[str, dict[str, np.ndarray]]:
    """Inputs of one request for each signature, all of the known diagrams.

    Parameters
    ----------
    known : extmap_tf.model.known_answer.KnownAnswer
    config : extmap_tf.settings.config.Config
        Of the model: which signatures there are follows from it.

    Returns
    -------
    dict of str to dict of str to ndarray
    """
    image, (first, *others) = known.inputs, config.views
    place = {name: image[name] for name in ("l_deg", "b_deg")}
    stars = known.stars(first)
    n_stars = len(next(iter(stars.values())))
    padded = {name: values[None] for name, values in stars.items()} | {"n_stars": np.array([n_stars])}
    whole, a_seed = {"coverage": np.ones(1, np.float32)}, {"seed": np.array(0, np.int32)}
    requests = {
        "serving_default": image,
        "examples": {"examples": np.array([_example(first, image)], object)},
        "magnitudes": {**stars, "row_splits": np.array([0, n_stars]), **place},
        "magnitudes_padded": {**padded, **place},
        "samples": {**image, **a_seed},
        "metadata": {"rows": np.zeros(1, np.int32)},
    }
    if config.mocks.partial_share:
        for name, base in (
            ("counts_and_coverage", "serving_default"),
            ("magnitudes_and_coverage", "magnitudes"),
            ("samples_and_coverage", "samples"),
        ):
            requests[name] = requests[base] | whole
    if others:
        requests["surveys"], stars_of_all = image | whole, requests["magnitudes_padded"] | whole
        for view in others:
            requests["surveys"] |= view.no_counts(1)
            stars_of_all |= view.no_stars(1)
        requests["surveys_magnitudes_padded"] = stars_of_all
        requests["surveys_samples"] = requests["surveys"] | a_seed
    return requests


def _example(view, image):
    """A record of the known diagrams."""
    counts = [image[diagram.name].ravel() for diagram in view.diagrams]
    slots = np.zeros(FieldCounts.n_slots(view), np.int64)
    slots[: view.n_pixels] = np.concatenate(counts)
    place = (float(image[name][0]) for name in ("l_deg", "b_deg"))
    return field_to_example([FieldCounts(view, slots)], "warm-up", *place)


def write_warmup(path: PathLike, known: KnownAnswer, config: Config) -> bool:
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
        for signature, inputs in warmup_inputs(known, config).items():
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
