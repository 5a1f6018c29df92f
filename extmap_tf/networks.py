"""Networks by name: what stands between the diagram and the head that makes profiles of it.

A network is a frozen dataclass whose fields are its hyperparameters, the section ``[network]`` of a
configuration. To add one, write a class like these with the decorator `network`::

    @network
    @dataclass(frozen=True)
    class Wide(Network):
        "One wide layer."

        preset: str = setting("wide", PRESET)
        width: int = setting(4096, "Units of the layer.", at_least=1)

        def body(self, seen):
            from keras import layers

            return layers.Dense(self.width, activation="relu")(seen.flat())
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from extmap_tf.bounds import Section, setting
from extmap_tf.errors import ConfigError, require

PRESETS: dict[str, type["Network"]] = {}
"""The classes of all networks, by the name that a configuration calls them."""

PRESET = "Name of the network; the other keys are its hyperparameters."


@dataclass(frozen=True)
class SeenDiagram:
    """What a network may look at of one diagram: Keras tensors.

    Parameters
    ----------
    channels : keras tensor [batch, n_y, n_x, 2]
        ln(1 + counts), and the same of the diagram to expect without extinction.
    counts_over_noise : callable
        Gives the counts in units of their noise in the training diagrams [batch, n_y, n_x]: sums over pixels,
        which a likelihood is made of, are linear in them.
    planes : callable or None
        Takes an image [batch, n_y, n_x] to the planes of distance and extinction of a few kinds of stars
        [batch, n_plane_distances, n_kinds * n_plane_extinctions], see `extmap_tf.model.planes`; None of a
        diagram that is none of a magnitude and a colour in the bands that the kinds are known in.
    """

    channels: Any
    counts_over_noise: Callable[[], Any]
    planes: Callable[[Any], Any] | None


@dataclass(frozen=True)
class Seen:
    """What a network may look at.

    Parameters
    ----------
    diagrams : tuple of SeenDiagram
        One or more, of one or more surveys.
    available : keras tensor [batch, n_surveys], optional
        Of several surveys, 1 where one has data and 0 where its diagrams are empty for want of them.
    """

    diagrams: tuple[SeenDiagram, ...]
    available: Any = None

    def flat(self) -> Any:
        """All channels of all diagrams, and which surveys are available [batch, n]."""
        return self.gathered([diagram.channels for diagram in self.diagrams])

    def gathered(self, images: Sequence[Any]) -> Any:
        """Images of the diagrams [batch, ...], flat, and which surveys are available [batch, n]."""
        from keras import layers

        parts = [layers.Flatten()(image) for image in images]
        parts += [] if self.available is None else [self.available]
        return parts[0] if len(parts) == 1 else layers.Concatenate()(parts)


@dataclass(frozen=True)
class Network(Section, ABC):
    """Base of all networks; ConfigError where `preset` is unknown or that of another class."""

    preset: str = setting("", PRESET)

    head: ClassVar[str] = "distribution"
    """What the network gives, a name in `extmap_tf.model.heads.HEADS`."""

    def check(self) -> None:
        if PRESETS.get(self.preset) is not type(self):
            names = [name for name, kind in PRESETS.items() if kind is type(self)] or list(PRESETS)
            require(False, "preset", f"one of {', '.join(names)}", self)

    @abstractmethod
    def body(self, seen: Seen) -> Any:
        """Features [batch, n] of what is seen of the diagrams, Keras tensors."""


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

    def body(self, seen: Seen) -> Any:
        return self.dense_layers(seen.flat())

    def dense_layers(self, x: Any) -> Any:
        """The layers alone, from flat features [batch, n]."""
        return _dense(x, self.widths)


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

    def body(self, seen: Seen) -> Any:
        from keras import layers

        images = []
        for diagram in seen.diagrams:
            x = layers.Conv2D(12, 5, padding="same", activation="relu")(diagram.channels)
            images.append(layers.MaxPooling2D(2)(x))
        x = seen.gathered(images)
        for width in (3072, 3072, 2048):
            x = layers.Dense(width, activation="relu")(x)
        return x


@dataclass(frozen=True)
class _Whole(Network):
    """Networks that draw whole profiles: their dense layers, and the generator behind them."""

    widths: tuple[int, ...] = setting(
        (512, 512), "Units of the last dense layers, 1 to 32 layers.", at_least=1, at_most=65536
    )
    generator_width: int = setting(
        256, "Units of the two layers that make a profile of features and noise.", at_least=1, at_most=65536
    )
    n_noise: int = setting(16, "Numbers of noise that all bins of a profile share.", at_least=1, at_most=256)

    head: ClassVar[str] = "ensemble"

    def check(self) -> None:
        super().check()
        require(1 <= len(self.widths) <= 32, "widths", "1 to 32 numbers", self)


@network
@dataclass(frozen=True)
class Ensemble(_Whole):
    """Dense layers on the flattened image and its counts over their noise; whole profiles are drawn.

    It can place a wall of dust that `Dense` smears, and its samples hang together along the sight.
    """

    preset: str = setting("ensemble", PRESET)
    widths: tuple[int, ...] = setting(
        (512, 512, 512), "Units of each layer, 1 to 32 layers.", at_least=1, at_most=65536
    )

    def body(self, seen: Seen) -> Any:
        over_noise = [diagram.counts_over_noise() for diagram in seen.diagrams]
        return _dense(_everything(seen, over_noise), self.widths)


@network
@dataclass(frozen=True)
class Planes(_Whole):
    """The diagram in the planes of distance and extinction of a few kinds of stars; whole profiles are drawn.

    In such a plane the profile is a curve: its columns of extinction are the channels of convolutions along
    the distance. Beside them stands one dense layer on all of the image, and on all other diagrams.
    """

    preset: str = setting("planes", PRESET)
    channels: int = setting(128, "Channels of the convolutions.", at_least=1, at_most=4096)
    blocks: int = setting(3, "Residual convolutions along the distance.", at_least=0, at_most=32)
    kept: int = setting(32, "Channels that are kept of each distance.", at_least=1, at_most=4096)
    image_width: int = setting(
        256, "Units of the dense layer on all of the image.", at_least=1, at_most=65536
    )

    def body(self, seen: Seen) -> Any:
        from keras import layers

        over_noise = [diagram.counts_over_noise() for diagram in seen.diagrams]
        planes = []
        for diagram, counts in zip(seen.diagrams, over_noise, strict=True):
            if diagram.planes is not None:
                images = (diagram.channels[..., 0], diagram.channels[..., 1], counts)
                planes += [diagram.planes(image) for image in images]
        x = layers.Concatenate()(planes)
        x = layers.Dense(self.channels, activation="relu")(x)
        for _ in range(self.blocks):
            y = layers.Conv1D(self.channels, 3, padding="same", activation="relu")(x)
            x = layers.ReLU()(layers.Add()([x, layers.Conv1D(self.channels, 1)(y)]))
        x = layers.Flatten()(layers.Dense(self.kept, activation="relu")(x))
        image = _dense(_everything(seen, over_noise), (self.image_width,))
        return _dense(layers.Concatenate()([x, image]), self.widths)


def _everything(seen, over_noise):
    """All channels and the counts over their noise, flat."""
    from keras import layers

    return seen.gathered(
        [
            layers.Concatenate()([diagram.channels, counts[..., None]])
            for diagram, counts in zip(seen.diagrams, over_noise, strict=True)
        ]
    )


def _dense(x, widths):
    from keras import layers

    for width in widths:
        x = layers.Dense(width, activation="relu")(x)
    return x
