import gzip
import io

import numpy as np
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from extmap_tf.records.writing import serialize_example, write_tfrecords


def by_tensorflow(**features):
    example = tf.train.Example()
    for name, value in features.items():
        feature = example.features.feature[name]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        elif isinstance(value, int):
            feature.int64_list.value.append(value)
        else:
            feature.float_list.value.extend(value.tolist())
    return example.SerializeToString(deterministic=True)


@given(st.binary(max_size=300), st.integers(0, 2**63 - 1), st.floats(width=32, allow_nan=False))
def test_examples_have_tensorflows_bytes(text, number, value):
    features = {
        "zeta": text,
        "pair": number,
        "l_deg": np.array([value], np.float32),
        "counts": bytes(8192),
        "density": np.full(100, value, np.float32),
    }
    assert serialize_example(**features) == by_tensorflow(**features)


def test_tensorflow_reads_the_files(tmp_path):
    path = tmp_path / "a.tfrecord.gz"
    examples = [b"", b"one", bytes(range(256)) * 100]
    with open(path, "wb") as stream:
        assert write_tfrecords(stream, iter(examples)) == 3
    dataset = tf.data.TFRecordDataset([str(path)], compression_type="GZIP")
    assert list(dataset.as_numpy_iterator()) == examples


def test_a_file_has_no_time_in_it():
    streams = [io.BytesIO(), io.BytesIO()]
    for stream in streams:
        write_tfrecords(stream, [b"the same"] * 3)
    assert streams[0].getvalue() == streams[1].getvalue()
    assert streams[0].getvalue()[4:8] == bytes(4)
    assert gzip.decompress(streams[0].getvalue()).count(b"the same") == 3
