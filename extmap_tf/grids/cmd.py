"""The section [cmd] of a configuration: the colour-magnitude diagram of its survey."""

from dataclasses import dataclass

from extmap_tf.bounds import Section, setting
from extmap_tf.errors import require
from extmap_tf.grids.diagram import Axis, Diagram


@dataclass(frozen=True)
class CmdGrid(Section):
    """Pixels of a colour-magnitude diagram (CMD): colour blue - red against magnitude red."""

    color_min_mag: float = setting(-0.5, "Lower limit (inclusive) of the colour, blue - red.")
    color_max_mag: float = setting(5.9, "Upper limit (exclusive) of the colour.")
    mag_min_mag: float = setting(5.6, "Lower limit (inclusive) of the magnitude, red.")
    mag_max_mag: float = setting(15.2, "Upper limit (exclusive) of the magnitude.")
    n_color: int = setting(64, "Pixels along the colour.", at_least=8, at_most=1024)
    n_mag: int = setting(64, "Pixels along the magnitude.", at_least=8, at_most=1024)

    def check(self) -> None:
        require(self.color_max_mag > self.color_min_mag, "color_max_mag", "above color_min_mag", self)
        require(self.mag_max_mag > self.mag_min_mag, "mag_max_mag", "above mag_min_mag", self)

    def diagram(self, survey: str, blue: str, red: str) -> Diagram:
        """The diagram of a survey with these two bands."""
        y = Axis("magnitude", (red,), self.mag_min_mag, self.mag_max_mag, self.n_mag)
        x = Axis("color", (blue, red), self.color_min_mag, self.color_max_mag, self.n_color)
        return Diagram(survey, y, x)
