"""In what arithmetic a network is trained on the processor at hand."""

import os
import re

import keras
import tensorflow as tf

# Instructions that multiply bfloat16, as Linux calls them.
_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
_CPU_INFO = "/proc/cpuinfo"
_LEAST_CUDA = (8, 0)


def training_precision(precision: str) -> str:
    """The Keras policy of a `training.precision`: of "auto", mixed_bfloat16 where that is faster.

    It is where all GPUs there are, or else the processor, multiply in bfloat16: GPUs from compute capability
    8.0 on, processors with AVX512-BF16 or AMX. Elsewhere it is float32.
    """
    if precision != "auto":
        return precision
    gpus = tf.config.list_physical_devices("GPU")
    fast = all(map(_multiplies_bfloat16, gpus)) if gpus else bool(_FLAGS & _processor_flags())
    return "mixed_bfloat16" if fast else "float32"


def precision_of(model: keras.Model) -> str:
    """The policy that a model's first layer with trained weights has: what it was begun in."""
    return next(layer.dtype_policy.name for layer in model.layers if layer.trainable_weights)


def _multiplies_bfloat16(gpu):
    details = tf.config.experimental.get_device_details(gpu)
    return details.get("compute_capability", (0, 0)) >= _LEAST_CUDA


def _processor_flags():
    """Of the first core; none where no file states them."""
    if not os.path.exists(_CPU_INFO):
        return frozenset()
    with open(_CPU_INFO) as stream:
        found = re.search(r"^flags\s*:(.*)$", stream.read(), re.MULTILINE)
    return frozenset(found[1].split() if found else ())
