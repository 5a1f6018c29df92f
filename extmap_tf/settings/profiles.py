"""The distribution of the training profiles."""

from dataclasses import dataclass

from extmap_tf.bounds import Section, setting
from extmap_tf.errors import require


@dataclass(frozen=True)
class ProfilePrior(Section):
    """The distribution that training profiles are drawn from; equations in `extmap_tf.extinction.profiles`.

    Each pair of ``_min`` and ``_max`` is the range that a value is drawn from, anew for every profile.
    """

    total_min_mag: float = setting(0.05, "Least total A(red); drawn log-uniformly.", above=0)
    total_max_mag: float = setting(3.5, "Largest total A(red).", at_most=20)
    spectral_index_min: float = setting(
        1.0, "Least power-law index of the log-density's power spectrum, P(k) ~ k^-index.", above=0
    )
    spectral_index_max: float = setting(2.6, "Largest such index.")
    log_sigma_min: float = setting(
        0.5,
        "Least standard deviation of the natural logarithm of density along the sightline.",
        above=0,
    )
    log_sigma_max: float = setting(1.8, "Largest such deviation.")
    scale_height_min_kpc: float = setting(
        0.1, "Least height over which the mean density falls by e away from the plane.", above=0
    )
    scale_height_max_kpc: float = setting(0.3, "Largest such height.")
    disc: bool = setting(
        False,
        """Whether the mean density is that of a disc with the Sun's height, the stars' warp and flare, and a
        radial decline, rather than exp(-d |sin b| / height).""",
    )
    scale_length_min_kpc: float = setting(
        2.5,
        "Of a disc: least length over which the density falls by e away from the Galactic centre.",
        above=0,
    )
    scale_length_max_kpc: float = setting(8.0, "Largest such length.")
    warp_factor_max: float = setting(
        1.5,
        "Of a disc: its warp is that of the stars times a factor drawn from 0 to this.",
        at_least=0,
        at_most=5,
    )
    clouds_mean: float = setting(
        1.0, "Mean number (Poisson) of single clouds added to a profile.", at_least=0, at_most=20
    )
    cloud_fwhm_min_kpc: float = setting(0.02, "Least extent of a cloud (log-uniform).", above=0)
    cloud_fwhm_max_kpc: float = setting(0.3, "Largest extent.")
    cloud_fraction_min: float = setting(
        0.0,
        "Least share of the total that all clouds together hold, where there are any.",
        at_least=0,
        at_most=1,
    )
    cloud_fraction_max: float = setting(0.8, "Largest such share.", at_most=1)
    wall_share: float = setting(
        0.0,
        "Share of the profiles that are walls: with one cloud more than others, anywhere on the way.",
        at_least=0,
        at_most=1,
    )
    wall_fraction_min: float = setting(
        0.5,
        """Least share of the total that a wall's clouds hold together; half of the walls hold three quarters
        of the way from this to all of it, or more.""",
        at_least=0,
        at_most=1,
    )
    patchiness_max: float = setting(
        0.4,
        """Dust is not even across a field. Each star's extinction is its profile's times a log-normal factor
        of mean one; the standard deviation of its logarithm is drawn from 0 to this, for each pair.""",
        at_least=0,
        at_most=3,
    )
    patchiness_power: float = setting(
        1.0,
        """The standard deviation is this power of a number that is uniform from 0 to 1, times the
        largest.""",
        at_least=0.1,
        at_most=10,
    )
    patchy_layers: int = setting(
        1,
        """With 2, the dust beyond a distance that is drawn anew for each pair (log-uniform from 0.3 kpc) has
        a factor and a standard deviation of its own, whatever lies before it.""",
        one_of=(1, 2),
    )

    def check(self) -> None:
        for low, high in (
            ("total_min_mag", "total_max_mag"),
            ("spectral_index_min", "spectral_index_max"),
            ("log_sigma_min", "log_sigma_max"),
            ("scale_height_min_kpc", "scale_height_max_kpc"),
            ("scale_length_min_kpc", "scale_length_max_kpc"),
            ("cloud_fwhm_min_kpc", "cloud_fwhm_max_kpc"),
            ("cloud_fraction_min", "cloud_fraction_max"),
        ):
            require(getattr(self, high) >= getattr(self, low), high, f"not below {low}", self)
