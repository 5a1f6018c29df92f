"""Asking a model server (TensorFlow Serving) for extinction profiles, over REST or gRPC."""

from extmap_tf.serving.client import ModelClient, ServedProfiles

__all__ = ["ModelClient", "ServedProfiles"]
