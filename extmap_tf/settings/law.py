"""The extinction law."""

from dataclasses import dataclass

from extmap_tf.bounds import Section, setting
from extmap_tf.errors import require


@dataclass(frozen=True)
class LawConfig(Section):
    """The extinction law that ties the bands together."""

    model: str = setting(
        "G23", "A class of ``dust_extinction`` (G23, F19, CCM89, ...), or ``ratio`` to give `blue_over_red`."
    )
    rv: float = setting(
        3.1, "R(V), for the models that have it; the others ignore it, and no file states it of them."
    )
    blue_over_red: float = setting(
        0.0, 'A(blue)/A(red), above 1 and at most 10, for ``model = "ratio"``; 0 otherwise.'
    )

    def check(self) -> None:
        if self.model == "ratio":
            require(1 < self.blue_over_red <= 10, "blue_over_red", "above 1 and at most 10", self)
        else:
            require(self.blue_over_red == 0, "blue_over_red", 'left out unless model = "ratio"', self)
