import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from extmap_tf.errors import DataError
from extmap_tf.model.scoring import Scorer
from extmap_tf.model.trust import odd_operations, require_trusted
from extmap_tf.model.versions import find_saved_model, shipped_models


class Writer(tf.Module):
    """A model that leaves a file wherever it is run."""

    def __init__(self, path):
        super().__init__()

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
        def write(x):
            # Inside a function of a function: all of them are looked at.
            tf.cond(tf.size(x) > 0, lambda: tf.io.write_file(path, "x"), tf.no_op)
            return {"y": x}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
        def call_python(x):
            return {"y": tf.numpy_function(np.sin, [x], tf.float32)}

        self.signatures_to_save = {"serving_default": write, "examples": call_python}


@pytest.fixture
def copy(saved_model, tmp_path):
    shutil.copytree(saved_model / "1", tmp_path / "copy")
    return tmp_path / "copy"


def graph_of(folder):
    model = SavedModel()
    model.ParseFromString((folder / "saved_model.pb").read_bytes())
    return model.meta_graphs[0]


def test_our_models_are_trusted(saved_model):
    require_trusted(saved_model / "1")
    for name in shipped_models():
        require_trusted(find_saved_model(name)[0])


def test_a_model_that_writes_files_is_refused_and_does_not_run(tmp_path):
    writer = Writer(str(tmp_path / "written"))
    tf.saved_model.save(writer, str(tmp_path / "m"), signatures=writer.signatures_to_save)
    assert odd_operations(graph_of(tmp_path / "m")) == {"PyFunc", "WriteFile"}
    with pytest.raises(DataError, match=r"\(PyFunc, WriteFile\).* with --trust-model") as caught:
        Scorer(tmp_path / "m")
    assert "\n" not in str(caught.value)
    trusted = Scorer(tmp_path / "m", trust_model=True)
    assert not (tmp_path / "written").exists()
    trusted._signatures["serving_default"](x=tf.constant([1.0]))
    assert (tmp_path / "written").exists()


def test_saving_is_for_no_request(copy):
    graph = graph_of(copy)
    assert not odd_operations(graph)
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    (save,) = (name for name in functions if "traced_save" in name)
    serve = next(name for name in functions if "signature_wrapper" in name)
    node = functions[serve].node_def.add()
    node.name, node.op = "more", "StatefulPartitionedCall"
    node.attr["f"].func.name = save
    assert odd_operations(graph) == {"MergeV2Checkpoints", "SaveV2"}


def test_a_file_that_is_not_as_it_was_exported_is_refused(copy):
    variables = copy / "variables" / "variables.data-00000-of-00001"
    variables.write_bytes(variables.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="corrupted"):
        Scorer(copy)
    (copy / "assets.extra" / "SHA256SUMS").unlink()
    require_trusted(copy)
    (copy / "saved_model.cpb").write_bytes((copy / "saved_model.pb").read_bytes())
    with pytest.raises(DataError, match=r"saved_model\.cpb: no file of 'extmap-tf export'"):
        Scorer(copy)


def test_damaged_graphs_are_refused_in_a_line(copy):
    (copy / "assets.extra" / "SHA256SUMS").unlink()
    path, rng = copy / "saved_model.pb", np.random.default_rng(1)
    whole = path.read_bytes()
    damaged = [b"", whole[:1000], whole[: len(whole) // 2]]
    for _ in range(20):
        changed = np.frombuffer(whole, np.uint8).copy()
        changed[rng.integers(len(changed), size=20)] = rng.integers(256, size=20)
        damaged.append(changed.tobytes())
    for data in damaged:
        path.write_bytes(data)
        assert "\n" not in what_is_said_of(copy)


def what_is_said_of(folder):
    try:
        require_trusted(folder)
    except DataError as error:
        return str(error)
    return ""
