"""The young disc with spiral arms.

    rho = rho_young [1 + contrast sum_i exp(-(s_i / arm_width)^2 / 2)]

s_i is the distance from arm i, measured across it: equal logarithmic spirals, trailing, of pitch angle p, so
that along an arm ln R falls by tan(p) per radian of Galactic rotation. Four arms of pitch 13 deg: Vallee
2015, MNRAS 450, 4277. The phase is set by the line of sight tangent to one arm, Carina, at l = 283 deg
(Bronfman 1992; Vallee 2014, ApJS 215, 1).
"""

from dataclasses import dataclass

import numpy as np

from extmap_tf.galaxy.laws.thin_disc import YoungDisc


@dataclass(frozen=True)
class SpiralDisc(YoungDisc):
    """Stars younger than 0.15 Gyr, gathered in spiral arms.

    Parameters
    ----------
    n_arms : int
    pitch_deg : float
    arm_width_kpc : float
        Standard deviation across an arm.
    contrast : float
        Density added on an arm's crest, in units of the smooth disc.
    tangent_deg : float
        Longitude, between 270 and 360, of the line of sight tangent to an arm.
    """

    n_arms: int = 4
    pitch_deg: float = 13.0
    arm_width_kpc: float = 0.35
    contrast: float = 2.0
    tangent_deg: float = 283.0

    def arms(self, x_kpc: np.ndarray, y_kpc: np.ndarray) -> np.ndarray:
        """Sum over the arms of their cross-section, 1 on a crest."""
        pitch = np.radians(self.pitch_deg)
        # azimuth grows towards l = 90 deg, which is the sense of rotation.
        tangent_radius, tangent_azimuth = self.tangent_point()
        radius = np.maximum(np.hypot(x_kpc, y_kpc), 1e-3)
        azimuth = np.arctan2(y_kpc, x_kpc)
        phase = azimuth - tangent_azimuth + np.log(radius / tangent_radius) / np.tan(pitch)
        spacing = 2 * np.pi / self.n_arms
        off = (phase + spacing / 2) % spacing - spacing / 2
        return np.exp(-0.5 * (off * radius * np.sin(pitch) / self.arm_width_kpc) ** 2)

    def tangent_point(self) -> tuple[float, float]:
        """(radius in kpc, azimuth in rad) where the line of sight at `tangent_deg` touches the arm."""
        pitch, l = np.radians(self.pitch_deg), np.radians(self.tangent_deg)
        # At the point of contact the angle Sun-point-centre is 90 deg - pitch: the arm opens away from us.
        at_sun = 2 * np.pi - l
        at_point = np.pi / 2 - pitch
        at_center = np.pi - at_sun - at_point
        return self.sun_kpc * np.sin(at_sun) / np.sin(at_point), -at_center

    def shape(self, x_kpc: np.ndarray, y_kpc: np.ndarray, z_kpc: np.ndarray) -> np.ndarray:
        return super().shape(x_kpc, y_kpc, z_kpc) * (1 + self.contrast * self.arms(x_kpc, y_kpc))
