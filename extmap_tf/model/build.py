"""The Keras model of a configuration: inputs, what every network sees, its body and its head.

Inputs are raw counts [batch, n_y, n_x] of every diagram and l_deg, b_deg [batch], where the configuration has
partly covered fields or several surveys also the coverage [batch] by each survey; what is expected without
extinction and every normalisation are inside. Bodies are in `extmap_tf.networks`, heads and their outputs in
`extmap_tf.model.heads`.
"""

import math
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from extmap_tf.mocks.fields import extinction_ratios
from extmap_tf.model.facts import LearnsFromPairs, PairFacts
from extmap_tf.model.heads import head_of
from extmap_tf.model.layers import Available, CmdChannels, CoveredReference, ReferenceCmd
from extmap_tf.model.planes import CountsOverNoise, StarPlanes
from extmap_tf.networks import Seen, SeenDiagram
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
    shapes = {diagram.name: diagram.shape for diagram in config.diagrams}
    inputs = {
        name: keras.Input(shapes.get(name, ()), name=name, dtype="float32") for name in config.input_names
    }
    seen = tuple(
        _seen(config, view, diagram, inputs, n_nodes) for view in config.views for diagram in view.diagrams
    )
    available = None
    if len(config.views) > 1:
        available = Available(name="available")([inputs[name] for name in config.coverage_names])
    features = config.network.body(Seen(seen, available))
    outputs = head_of(config.network, config.distance).build(features)
    return keras.Model(inputs, outputs, name=config.network.preset)


def _seen(config, view, diagram, inputs, n_nodes):
    name, counts = diagram.name, inputs[diagram.name]
    reference = ReferenceCmd(n_nodes, diagram.shape, name, name=layer_name("reference", name))(
        inputs["l_deg"], inputs["b_deg"]
    )
    if config.coverage_names:
        share = inputs[view.named("coverage")]
        reference = CoveredReference(name=layer_name("covered", name))(reference, share)
    channels = CmdChannels(name=layer_name("channels", name))(counts, reference)

    def counts_over_noise():
        return CountsOverNoise(name, name=layer_name("counts_over_noise", name))(counts)

    return SeenDiagram(channels, counts_over_noise, _planes(config, view.survey, diagram))


def _planes(config, survey, diagram):
    """From an image of a diagram to planes; None where the kinds of stars have no place in it."""
    blue, red = config.survey.blue.name, config.survey.red.name
    if (diagram.y.bands, diagram.x.bands) != ((red,), (blue, red)):
        return None
    # Where a mean is added to the law's ratio, stars redden by both.
    ratio = extinction_ratios(config, survey, config.nuisances.law_ratio_mean)
    edges = diagram.x.edges.tolist(), diagram.y.edges.tolist()
    ends = {
        "nearest_kpc": 2.0 * config.distance.step_kpc,
        "farthest_kpc": config.distance.max_kpc,
        # Stars behind more are too faint, but for the brightest.
        "most_mag": 0.75 * config.profiles.total_max_mag,
    }
    return lambda image: StarPlanes(*edges, ratio[blue] / ratio[red], **ends)(image)


def layer_name(what: str, diagram: str) -> str:
    """The name of a layer of one diagram, such as ``reference`` of ``counts``."""
    return diagram.replace("counts", what, 1)


def expected_diagrams(
    model: keras.Model, config: Config
) -> Callable[[Mapping[str, tf.Tensor]], dict[str, tf.Tensor]]:
    """From inputs to what is expected without extinction: ln(1 + counts) [batch, n_y, n_x] by diagram."""

    def expected(inputs):
        found = {}
        for view in config.views:
            share = view.named("coverage")
            for name in (diagram.name for diagram in view.diagrams):
                found[name] = model.get_layer(layer_name("reference", name))(inputs["l_deg"], inputs["b_deg"])
                if share in inputs:
                    found[name] = model.get_layer(layer_name("covered", name))(found[name], inputs[share])
        return found

    return expected


def fill_tables(model: keras.Model, facts: PairFacts) -> None:
    """Give the layers of a fresh network what they must know before training."""
    for layer in model.layers:
        if isinstance(layer, LearnsFromPairs):
            layer.learn_from(facts)


def n_weights(model: keras.Model) -> int:
    """Number of trainable weights."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)
