"""The Keras model of a configuration: inputs, what every network sees, its body and its head.

Inputs are raw counts [batch, n_mag, n_color] and l_deg, b_deg [batch], where the configuration has partly
covered fields also coverage [batch]; the reference CMD and every normalisation are inside. Bodies are in
`extmap_tf.networks`, heads and their outputs in `extmap_tf.model.heads`.
"""

import math
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from extmap_tf.extinction.law import blue_over_red
from extmap_tf.model.facts import LearnsFromPairs, PairFacts
from extmap_tf.model.heads import head_of
from extmap_tf.model.layers import CmdChannels, CoveredReference, ReferenceCmd
from extmap_tf.model.planes import CountsOverNoise, StarPlanes
from extmap_tf.networks import Seen
from extmap_tf.settings.config import Config


def build_network(config: Config, n_nodes: int, seed: int) -> keras.Model:
    """Build the network of a configuration, not yet trained.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
        Its network, diagram and distances, and what reddens stars, are used.
    n_nodes : int
        Nodes of the reference table, which `fill_tables` fills.
    seed : int
        Seed of the initial weights.
    """
    keras.utils.set_random_seed(seed % 2**32)
    shape = config.diagrams[0].shape
    inputs = {
        "counts": keras.Input(shape, name="counts", dtype="float32"),
        "l_deg": keras.Input((), name="l_deg", dtype="float32"),
        "b_deg": keras.Input((), name="b_deg", dtype="float32"),
    }
    if config.mocks.partial_share:
        inputs["coverage"] = keras.Input((), name="coverage", dtype="float32")
    reference = ReferenceCmd(n_nodes, shape, name="reference")(inputs["l_deg"], inputs["b_deg"])
    if config.mocks.partial_share:
        reference = CoveredReference(name="covered")(reference, inputs["coverage"])
    channels = CmdChannels(name="channels")(inputs["counts"], reference)
    features = config.network.body(_seen(config, inputs["counts"], channels))
    outputs = head_of(config.network, config.distance).build(features)
    return keras.Model(inputs, outputs, name=config.network.preset)


def _seen(config, counts, channels):
    diagram = config.diagrams[0]

    def planes(image):
        # Where a mean is added to the law's ratio, stars redden by both.
        ratio = blue_over_red(config.law, config.survey) + config.nuisances.law_ratio_mean
        edges = (diagram.x.edges.tolist(), diagram.y.edges.tolist())
        ends = {
            "nearest_kpc": 2.0 * config.distance.step_kpc,
            "farthest_kpc": config.distance.max_kpc,
            # Stars behind more are too faint, but for the brightest.
            "most_mag": 0.75 * config.profiles.total_max_mag,
        }
        return StarPlanes(*edges, ratio, **ends)(image)

    return Seen(channels, lambda: CountsOverNoise(name="counts_over_noise")(counts), planes)


def expected_diagrams(model: keras.Model) -> Callable[[Mapping[str, tf.Tensor]], tf.Tensor]:
    """From inputs to the diagrams expected without extinction: ln(1 + counts) [batch, n_mag, n_color]."""
    reference = model.get_layer("reference")

    def expected(inputs):
        found = reference(inputs["l_deg"], inputs["b_deg"])
        return model.get_layer("covered")(found, inputs["coverage"]) if "coverage" in inputs else found

    return expected


def fill_tables(model: keras.Model, facts: PairFacts) -> None:
    """Give the layers of a fresh network what they must know before training."""
    for layer in model.layers:
        if isinstance(layer, LearnsFromPairs):
            layer.learn_from(facts)


def n_weights(model: keras.Model) -> int:
    """Number of trainable weights."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)
