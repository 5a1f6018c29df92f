"""Networks by name: what stands between the diagram and the head that makes profiles of it.

A network is a frozen dataclass whose fields are its hyperparameters, the section ``[network]`` of a
configuration. To add one, write a class like these with the decorator `network`::

    @network
    @dataclass(frozen=True)
    class Wide(Network):
        "One wide layer."

        preset: str = setting("wide", PRESET)
        width: int = setting(4096, "Units of the layer.", at_least=1)

        def body(self, x):
            from keras import layers

            return layers.Dense(self.width, activation="relu")(layers.Flatten()(x))
"""

from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from extmap_tf.bounds import Section, setting
from extmap_tf.errors import ConfigError, require

PRESETS: dict[str, type["Network"]] = {}
"""The classes of all networks, by the name that a configuration calls them."""

PRESET = "Name of the network; the other keys are its hyperparameters."


@dataclass(frozen=True)
class Network(Section):
    """Base of all networks; ConfigError where `preset` is unknown or that of another class."""

    preset: str = setting("", PRESET)

    head: ClassVar[str] = "distribution"
    """What the network gives, a name in `extmap_tf.model.heads.HEADS`."""

    def check(self) -> None:
        if PRESETS.get(self.preset) is not type(self):
            names = [name for name, kind in PRESETS.items() if kind is type(self)] or list(PRESETS)
            require(False, "preset", f"one of {', '.join(names)}", self)

    def body(self, x: Any) -> Any:
        """From the CMD's channels [batch, n_mag, n_color, 2] to features [batch, n], Keras tensors."""
        raise NotImplementedError


Kind = TypeVar("Kind", bound=type[Network])


def network(kind: Kind) -> Kind:
    """Class decorator: add a network to `PRESETS`."""
    PRESETS[kind.preset] = kind
    return kind


def network_class(preset: Any) -> type[Network]:
    """The class of a preset; ConfigError names the known ones."""
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ConfigError(f"preset must be one of {', '.join(PRESETS)}, got: {preset!r}")
    return PRESETS[preset]


@network
@dataclass(frozen=True)
class Dense(Network):
    """The default: dense layers on the flattened image, and a distribution over profiles.

    It has about a tenth of the weights of ``cornu2022``.
    """

    preset: str = setting("dense", PRESET)
    widths: tuple[int, ...] = setting(
        (512, 512, 512), "Units of each layer, 1 to 32 layers.", at_least=1, at_most=65536
    )
    rank: int = setting(
        8,
        """Directions along which the increments of a profile vary together, in the distribution that the
        network gives.""",
        at_least=0,
        at_most=64,
    )

    def check(self) -> None:
        super().check()
        require(1 <= len(self.widths) <= 32, "widths", "1 to 32 numbers", self)

    def body(self, x: Any) -> Any:
        from keras import layers

        return self.dense_layers(layers.Flatten()(x))

    def dense_layers(self, x: Any) -> Any:
        """The layers alone, from flat features [batch, n]."""
        from keras import layers

        for width in self.widths:
            x = layers.Dense(width, activation="relu")(x)
        return x


@network
@dataclass(frozen=True)
class Cornu2022(Network):
    """The published network, [C5x5.12-P2-{D3072}x2-D2048-D128] (Cornu et al. 2022, sec. 4).

    One 5x5 convolution with 12 filters, 2x2 max-pooling, dense layers of 3072, 3072 and 2048, and 128 linear
    outputs, of which the first n_distances are used (more outputs where the grid has more distances). Linear
    outputs can be negative. It gives one profile.
    """

    preset: str = setting("cornu2022", PRESET)

    head: ClassVar[str] = "profile"

    def body(self, x: Any) -> Any:
        from keras import layers

        x = layers.Conv2D(12, 5, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
        x = layers.Flatten()(x)
        for width in (3072, 3072, 2048):
            x = layers.Dense(width, activation="relu")(x)
        return x
