"""Options of the built-in Galaxy."""

from dataclasses import dataclass

from extmap_tf.bounds import Section, setting
from extmap_tf.errors import require


@dataclass(frozen=True)
class ComponentConfig(Section):
    """A component of the built-in Galaxy: one that changes the component of the same name, or one more."""

    name: str = setting(
        doc="""Of the component: thin1 to thin7, thick, spheroid and bulge are built in, another name adds
        one."""
    )
    law: str = setting(
        doc="Its density law: thin_disc, young_disc, spiral_disc, thick_disc, spheroid or bulge."
    )
    population: str = setting(
        doc="Whose stars it has: thin1 to thin7, from young to old, thick, spheroid or bulge."
    )
    density_msun_pc3: float = setting(
        doc="""Mass density of living stars at the Sun, for a bulge at the centre; 0 takes a built-in
        component away.""",
        at_least=0,
        at_most=1000,
    )
    parameters: dict[str, float] = setting(
        default_factory=dict,
        doc="""Parameters of the law, with the names that they have in `extmap_tf.galaxy.laws`; those left out
        have the defaults there.""",
    )


@dataclass(frozen=True)
class GalaxyConfig(Section):
    """Options of the built-in Galaxy, see `extmap_tf.galaxy.model`."""

    spiral_arms: bool = setting(False, "Whether the stars younger than 0.15 Gyr are gathered in spiral arms.")
    binary_fraction: float = setting(
        0.0, "Share of the systems that have an unresolved companion.", at_least=0, at_most=1
    )
    components: tuple[ComponentConfig, ...] = setting(
        (), "Components to change, add or take away; by default those of Robin et al. 2003."
    )

    def check(self) -> None:
        names = [component.name for component in self.components]
        require(len(set(names)) == len(names), "components", "of different names", self)
