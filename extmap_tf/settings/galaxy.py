"""Options of the built-in Galaxy."""

from dataclasses import dataclass

from extmap_tf.bounds import Section, setting


@dataclass(frozen=True)
class GalaxyConfig(Section):
    """Options of the built-in Galaxy, see `extmap_tf.galaxy.model`."""

    spiral_arms: bool = setting(False, "Whether the stars younger than 0.15 Gyr are gathered in spiral arms.")
    binary_fraction: float = setting(
        0.0, "Share of the systems that have an unresolved companion.", at_least=0, at_most=1
    )
