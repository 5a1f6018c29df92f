"""Density laws, one a module, and their names in a configuration."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from extmap_tf.errors import ConfigError
from extmap_tf.galaxy.laws.base import DensityLaw
from extmap_tf.galaxy.laws.bulge import TriaxialBulge
from extmap_tf.galaxy.laws.spheroid import Spheroid
from extmap_tf.galaxy.laws.spiral_disc import SpiralDisc
from extmap_tf.galaxy.laws.thick_disc import ThickDisc
from extmap_tf.galaxy.laws.thin_disc import ThinDisc, YoungDisc

LAWS: dict[str, type[DensityLaw]] = {
    "thin_disc": ThinDisc,
    "young_disc": YoungDisc,
    "spiral_disc": SpiralDisc,
    "thick_disc": ThickDisc,
    "spheroid": Spheroid,
    "bulge": TriaxialBulge,
}


def law_named(name: str, parameters: Mapping[str, float]) -> DensityLaw:
    """A density law by its name in `LAWS`, with some of its parameters.

    Raises
    ------
    ConfigError
        The name or a parameter is unknown, or the law has no density with these parameters.
    """
    if name not in LAWS:
        raise ConfigError(f"law must be one of {', '.join(LAWS)}, got: {name!r}")
    known = [spec.name for spec in dataclasses.fields(LAWS[name])]
    for parameter in parameters:
        if parameter not in known:
            raise ConfigError(f"law {name} has no parameter {parameter!r}; known: {', '.join(known)}")
    law = LAWS[name](**parameters)
    with np.errstate(all="ignore"):
        density = law.shape(*np.array(law.reference_kpc))
    if not (np.isfinite(density) and density > 0):
        raise ConfigError(f"law {name} has no density with these parameters, got: {dict(parameters)!r}")
    return law
