"""Starting TensorFlow without its greetings."""

import contextlib
import os
import sys


def start_tensorflow() -> None:
    """Import TensorFlow and let it look for devices, silently.

    What its libraries write to descriptor 2 on import does not heed TF_CPP_MIN_LOG_LEVEL. Failures to import
    are exceptions and come through.
    """
    if "tensorflow" in sys.modules:
        return
    # Its remarks on the processor are of the level of errors; true errors come as exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _descriptor_2_closed():
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextlib.contextmanager
def _descriptor_2_closed():
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
