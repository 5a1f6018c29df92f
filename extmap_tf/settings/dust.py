"""The known dust of the mock observed sky."""

from dataclasses import dataclass

from extmap_tf.bounds import Section, setting


@dataclass(frozen=True)
class DustConfig(Section):
    """The known 3D dust of the mock observed sky; the formula is in `extmap_tf.extinction.dust`."""

    local_mag_per_kpc: float = setting(
        0.035,
        "A(red) per kpc between the arms, in the plane, at the Sun's distance from the Galactic centre.",
        at_least=0,
    )
    scale_length_kpc: float = setting(4.0, "Scale length of the exponential disc.", above=0)
    scale_height_kpc: float = setting(0.12, "Its scale height.", above=0)
    arm_contrast: float = setting(
        6.0, "Density on an arm's ridge over that between the arms, minus one.", at_least=0
    )
    arm_width_kpc: float = setting(0.3, "Standard deviation of the density across an arm.", above=0)
    pitch_deg: float = setting(12.0, "Pitch angle of the logarithmic arms.", above=0, below=60)
    clouds_per_deg2: float = setting(
        0.6,
        """Mean number of clouds per square degree of sky and within 10 kpc, if the smooth dust were
        everywhere what it is near the Sun between the arms; where it is denser, clouds are in proportion.""",
        at_least=0,
    )
    cloud_mag_median: float = setting(
        0.1, "Median A(red) through a cloud's centre; the spread is a factor e^0.7.", at_least=0
    )
    cloud_radius_kpc: float = setting(
        0.05, "Median radius (standard deviation of the density) of a cloud.", above=0
    )
