"""Positions on the sphere."""

from typing import Any

import numpy as np


def unit_vectors(l_deg: Any, b_deg: Any, ops: Any = np) -> Any:
    """Vectors of length 1 towards positions.

    Parameters
    ----------
    l_deg, b_deg : arrays or tensors [...]
    ops : module
        Whose `cos`, `sin` and `stack` are used: of numpy, or of Keras for tensors.

    Returns
    -------
    array or tensor [..., 3]
        x towards l = 0, y towards l = 90 deg, z towards the pole.
    """
    l, b = l_deg * (np.pi / 180.0), b_deg * (np.pi / 180.0)
    return ops.stack([ops.cos(l) * ops.cos(b), ops.sin(l) * ops.cos(b), ops.sin(b)], axis=-1)


def separation_deg(l_deg: Any, b_deg: Any, l0_deg: Any, b0_deg: Any) -> Any:
    """Angles between positions, which broadcast against one another."""
    from astropy.coordinates import angular_separation

    return np.degrees(angular_separation(*map(np.radians, (l_deg, b_deg, l0_deg, b0_deg))))
