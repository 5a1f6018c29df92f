"""What no model knows exactly."""

from dataclasses import dataclass

from extmap_tf.bounds import Section, setting


@dataclass(frozen=True)
class NuisanceConfig(Section):
    """What no model knows exactly, drawn for each training pair from normal distributions cut at 3 sigma."""

    color_sigma_mag: float = setting(
        0.03,
        """Offset of the blue band, and so of the colour. The library's J-Ks differs from the MIST isochrones
        by 0.01 mag in the median and from TRILEGAL by 0.02 to 0.07 (tests/benchmarks/galaxy_colors.py); the
        zero points of 2MASS are known to 0.02 (Cohen et al. 2003, AJ 126, 1090).""",
        at_least=0,
        at_most=0.5,
    )
    mag_sigma_mag: float = setting(
        0.05,
        """Offset of both bands: the luminosities of the tracks. The red clump's M_Ks changes by about 0.1 mag
        over the ages of the disc (Girardi 2016, ARA&A 54, 95, fig. 3).""",
        at_least=0,
        at_most=0.5,
    )
    depth_sigma_mag: float = setting(
        0.1,
        """Shift of the survey's depth: `snr10_mag` and `half_complete_mag` of both bands. Ks and J differ by
        0.22 and 0.12 mag between two tables of 2MASS (tests/benchmarks/survey_fit.py).""",
        at_least=0,
        at_most=0.5,
    )
    count_sigma: float = setting(
        0.1,
        "Standard deviation of the natural logarithm of a factor on the number of all stars.",
        at_least=0,
        at_most=1,
    )
    luminous_sigma: float = setting(
        0.1,
        """The same for stars of M(red) < 2, giants and hot dwarfs, beyond the factor of all: errors of ages
        and of the lifetimes of giants.""",
        at_least=0,
        at_most=1,
    )
    distance_sigma: float = setting(
        0.1,
        """The same for each e-fold of distance from 1 kpc: errors of scale lengths, heights, warp. This and
        the two before are of the order of the differences between models
        (tests/benchmarks/galaxy_counts.py).""",
        at_least=0,
        at_most=1,
    )
    law_ratio_sigma: float = setting(
        0.1,
        """Added to A(blue)/A(red). Published means of A(J)/A(Ks) range from 2.5 (Cardelli et al. 1989, ApJ
        345, 245) to 3.1 (Wang & Chen 2019, ApJ 877, 116); how much sightlines differ about one mean is
        assumed. The target stays A(red).""",
        at_least=0,
        at_most=0.5,
    )
    law_ratio_mean: float = setting(
        0.0,
        """The mean of what is added to A(blue)/A(red): where the law itself is at an end of what is
        published.""",
        at_least=-1,
        at_most=1,
    )
    optical_sigma: float = setting(
        0.1,
        """Standard deviation of the natural logarithm of a factor on the extinction in broad optical bands:
        A(Ks)/A(V) is 0.107 to 0.118 in published laws, and differs between clouds. The target stays
        A(red).""",
        at_least=0,
        at_most=0.5,
    )
    parallax_sigma_mas: float = setting(
        0.01,
        """Offset of all parallaxes: the zero point of Gaia is known to about that in the plane (Lindegren et
        al. 2021, A&A 649, A4).""",
        at_least=0,
        at_most=0.5,
    )
    parallax_error_sigma: float = setting(
        0.15,
        """Standard deviation of the natural logarithm of a factor on the parallaxes' errors, which follow
        from how often a field was scanned.""",
        at_least=0,
        at_most=0.5,
    )

    @property
    def sigmas(self) -> tuple[float, ...]:
        """Of what is off in any survey: colour, magnitude, depth, the three numbers of stars, the law."""
        return (
            self.color_sigma_mag,
            self.mag_sigma_mag,
            self.depth_sigma_mag,
            self.count_sigma,
            self.luminous_sigma,
            self.distance_sigma,
            self.law_ratio_sigma,
        )
