"""Parts of the sky on a flat page, with equal areas: for figures of regions that l and b do not fit."""

import numpy as np

# Regions that reach further than this from their middle are drawn as all of the sky is.
WIDE_DEG = 90.0

# A middle this near to a pole is taken to be there.
_AT_A_POLE_DEG = 1.0


def projection_of(l_deg, b_deg):
    """The projection for positions [n]: `Azimuthal` around their middle, `Mollweide` if that is too wide."""
    towards = np.mean(_unit_vectors(np.asarray(l_deg, float), np.asarray(b_deg, float)), axis=0)
    if np.linalg.norm(towards) < 1e-6:
        return Mollweide()
    x, y, z = towards / np.linalg.norm(towards)
    l0_deg, b0_deg = np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arcsin(np.clip(z, -1.0, 1.0)))
    if abs(b0_deg) > 90.0 - _AT_A_POLE_DEG:
        l0_deg, b0_deg = 0.0, 90.0 * np.sign(b0_deg)
    middle = _unit_vectors(np.array([l0_deg]), np.array([b0_deg]))[0]
    cosine = _unit_vectors(l_deg, b_deg) @ middle
    if cosine.min() < np.cos(np.radians(WIDE_DEG)):
        return Mollweide()
    return Azimuthal(float(l0_deg), float(b0_deg))


class Azimuthal:
    """Lambert's equal-area projection around a place; degrees there, l increasing to the left, b upwards."""

    def __init__(self, l_deg, b_deg):
        self.l_deg, self.b_deg = l_deg, b_deg

    @property
    def at_a_pole(self):
        return abs(self.b_deg) == 90.0

    def extent_of(self, l_deg, b_deg, margin_deg):
        """Lowest and highest x, then y, of positions [n], with a margin."""
        x, y = self.to_plane(l_deg, b_deg)
        return (x.min() - margin_deg, x.max() + margin_deg, y.min() - margin_deg, y.max() + margin_deg)

    def to_plane(self, l_deg, b_deg):
        """Positions -> x, y, of any shape."""
        l, b, b0 = np.radians(l_deg - self.l_deg), np.radians(b_deg), np.radians(self.b_deg)
        cosine = np.sin(b0) * np.sin(b) + np.cos(b0) * np.cos(b) * np.cos(l)
        scale = np.sqrt(2.0 / np.maximum(1.0 + cosine, 1e-12))
        x = -scale * np.cos(b) * np.sin(l)
        y = scale * (np.cos(b0) * np.sin(b) - np.sin(b0) * np.cos(b) * np.cos(l))
        return np.degrees(x), np.degrees(y)

    def to_sky(self, x, y):
        """x, y -> l in 0 to 360 and b; NaN beyond the sky."""
        x, y, b0 = -np.radians(x), np.radians(y), np.radians(self.b_deg)
        rho = np.hypot(x, y)
        with np.errstate(invalid="ignore"):
            angle = 2.0 * np.arcsin(np.where(rho <= 2.0, 0.5 * rho, np.nan))
        # sin(angle) / rho, which is 1 at the middle.
        ratio = np.where(rho > 0, np.sin(angle) / np.where(rho > 0, rho, 1.0), 1.0)
        b = np.arcsin(np.clip(np.cos(angle) * np.sin(b0) + y * ratio * np.cos(b0), -1.0, 1.0))
        l = np.arctan2(x * ratio, np.cos(b0) * np.cos(angle) - y * ratio * np.sin(b0))
        return np.mod(np.degrees(l) + self.l_deg, 360.0), np.degrees(b)


class Mollweide:
    """All of the sky around the Galactic centre, l increasing to the left."""

    at_a_pole = False

    def extent_of(self, l_deg, b_deg, margin_deg):
        """Lowest and highest x, then y, of all of the sky."""
        width, height = np.degrees(2.0 * np.sqrt(2.0)), np.degrees(np.sqrt(2.0))
        return (-width, width, -height, height)

    def to_plane(self, l_deg, b_deg):
        """Positions -> x, y, of any shape."""
        l = np.radians(np.mod(np.asarray(l_deg, float) + 180.0, 360.0) - 180.0)
        b = np.radians(np.asarray(b_deg, float))
        theta = b.copy()
        for _ in range(60):
            slope = np.maximum(2.0 + 2.0 * np.cos(2.0 * theta), 1e-9)
            step = (2.0 * theta + np.sin(2.0 * theta) - np.pi * np.sin(b)) / slope
            theta = np.clip(theta - step, -0.5 * np.pi, 0.5 * np.pi)
        root = np.sqrt(2.0)
        return np.degrees(-2.0 * root / np.pi * l * np.cos(theta)), np.degrees(root * np.sin(theta))

    def to_sky(self, x, y):
        """x, y -> l in 0 to 360 and b; NaN beyond the sky."""
        x, y = np.radians(x) / np.sqrt(2.0), np.radians(y) / np.sqrt(2.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            theta = np.arcsin(np.where(np.abs(y) <= 1.0, y, np.nan))
            l = -0.5 * np.pi * x / np.cos(theta)
            b = np.arcsin((2.0 * theta + np.sin(2.0 * theta)) / np.pi)
            inside = np.abs(l) <= np.pi
        return (
            np.where(inside, np.mod(np.degrees(l), 360.0), np.nan),
            np.where(inside, np.degrees(b), np.nan),
        )


def _unit_vectors(l_deg, b_deg):
    l, b = np.radians(l_deg), np.radians(b_deg)
    return np.stack([np.cos(b) * np.cos(l), np.cos(b) * np.sin(l), np.sin(b)], axis=-1)
