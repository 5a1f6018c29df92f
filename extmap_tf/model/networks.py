"""Networks: CMD -> differential extinction profile.

Inputs are raw counts [batch, n_mag, n_color] and l_deg, b_deg [batch]; the reference CMD and every
normalisation are inside. The output is either one profile, the density [batch, n_distances] in mag / kpc, or
the parameters [batch, n_distances, 5 + rank] of a distribution over profiles
(`extmap_tf.model.distribution`).

``cornu2022``
    The published network, [C5x5.12-P2-{D3072}x2-D2048-D128] (Cornu et al. 2022, sec. 4): one 5x5
    convolution with 12 filters, 2x2 max-pooling, dense layers of 3072, 3072 and 2048, and 128 linear
    outputs, of which the first n_distances are used (more outputs where the grid has more distances).
    Linear outputs can be negative. It gives one profile.
``dense``
    The default: three dense layers of 512 on the flattened image, and a distribution over profiles. It has
    about a tenth of the weights of ``cornu2022``.
"""

import math

import keras
from keras import layers

from extmap_tf.model.layers import CmdChannels, FirstDistances, ProfileParameters, ReferenceCmd


def build_network(config, n_nodes, seed):
    """Build the network of a configuration, not yet trained.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
    n_nodes : int
        Nodes of the reference table, which `fill_tables` fills.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    keras.Model
    """
    keras.utils.set_random_seed(seed % 2**32)
    shape = config.cmd.shape
    inputs = {
        "counts": keras.Input(shape, name="counts", dtype="float32"),
        "l_deg": keras.Input((), name="l_deg", dtype="float32"),
        "b_deg": keras.Input((), name="b_deg", dtype="float32"),
    }
    reference = ReferenceCmd(n_nodes, shape, name="reference")(inputs["l_deg"], inputs["b_deg"])
    channels = CmdChannels(name="channels")(inputs["counts"], reference)
    n_distances = config.distance.n_distances
    if config.network.preset == "cornu2022":
        outputs = _cornu2022(channels, n_distances)
    else:
        outputs = _dense(channels, n_distances, config.network.rank)
    return keras.Model(inputs, outputs, name=config.network.preset)


def fill_tables(model, reference, mean_density):
    """Give a fresh network what it must know before training.

    Parameters
    ----------
    model : keras.Model
        From `build_network`.
    reference : (ndarray, ndarray, ndarray)
        l_deg, b_deg and counts of the reference CMDs, see `Records.reference`.
    mean_density : ndarray [n_distances]
        Mean of the training profiles, mag / kpc.
    """
    model.get_layer("reference").set_nodes(*reference)
    for layer in model.layers:
        if isinstance(layer, ProfileParameters):
            layer.set_mean_density(mean_density)


def gives_distribution(model):
    """Whether a network gives a distribution over profiles; else one profile."""
    return len(model.output_shape) == 3


def n_weights(model):
    """Number of trainable weights."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def _cornu2022(x, n_distances):
    x = layers.Conv2D(12, 5, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    for units in (3072, 3072, 2048):
        x = layers.Dense(units, activation="relu")(x)
    x = layers.Dense(max(128, n_distances), dtype="float32", name="profile")(x)
    return FirstDistances(n_distances, name="density")(x)


def _dense(x, n_distances, rank):
    x = layers.Flatten()(x)
    for units in (512, 512, 512):
        x = layers.Dense(units, activation="relu")(x)
    return distribution_head(x, n_distances, rank)


def distribution_head(x, n_distances, rank):
    """From features [batch, n] to the parameters [batch, n_distances, 5 + rank] of a distribution."""
    # Small weights: a fresh network starts at the mean profile whatever the diagram.
    start = keras.initializers.RandomNormal(stddev=0.01)
    x = layers.Dense(n_distances * (2 + rank), dtype="float32", kernel_initializer=start, name="activations")(
        x
    )
    return ProfileParameters(n_distances, rank, name="profile")(x)
