"""The diagrams of a survey: which quantities its stars are counted along."""

from dataclasses import dataclass

from extmap_tf.bounds import Section, setting
from extmap_tf.errors import ConfigError, require
from extmap_tf.grids.diagram import Axis, Diagram

PARALLAX = "parallax"


@dataclass(frozen=True)
class AxisConfig(Section):
    """One axis of a diagram: pixels of a magnitude, of a colour or of the parallax."""

    of: str = setting(doc="A band of the survey, such as Ks, two of them, such as J-H, or parallax.")
    minimum: float = setting(doc="Lower limit (inclusive), mag or mas.")
    maximum: float = setting(doc="Upper limit (exclusive).")
    n_pixels: int = setting(64, "Equal pixels between them.", at_least=8, at_most=1024)

    def check(self) -> None:
        require(self.maximum > self.minimum, "maximum", "above minimum", self)
        require(all(self.bands) and len(self.bands) <= 2, "of", "a band, BAND-BAND or parallax", self)

    @property
    def bands(self) -> tuple[str, ...]:
        """One of a magnitude, two of a colour, none of a parallax."""
        return () if self.of == PARALLAX else tuple(self.of.split("-"))

    @property
    def axis(self) -> Axis:
        quantity = (PARALLAX, "magnitude", "color")[len(self.bands)]
        return Axis(quantity, self.bands, self.minimum, self.maximum, self.n_pixels)


@dataclass(frozen=True)
class DiagramConfig(Section):
    """Two axes that the stars of a survey are counted along, such as
    ``y = {of = "Ks", minimum = 5.6, maximum = 15.2}``.
    """

    y: AxisConfig = setting(doc="The rows.")
    x: AxisConfig = setting(doc="The columns.")

    def diagram(self, survey: str, name: str) -> Diagram:
        """The diagram of a survey, under the name of its counts."""
        try:
            return Diagram(survey, self.y.axis, self.x.axis, name)
        except ConfigError as error:
            raise ConfigError(f"survey {survey}: diagrams: {error}") from None
