"""The network: layers, losses, training, export and scoring with TensorFlow."""
