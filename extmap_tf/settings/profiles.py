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
    patchiness_max: float = setting(
        0.4,
        """Dust is not even across a field. Each star's extinction is its profile's times a log-normal factor
        of mean one; the standard deviation of its logarithm is drawn uniformly from 0 to this, for each
        pair.""",
        at_least=0,
        at_most=3,
    )

    def check(self) -> None:
        for low, high in (
            ("total_min_mag", "total_max_mag"),
            ("spectral_index_min", "spectral_index_max"),
            ("log_sigma_min", "log_sigma_max"),
            ("scale_height_min_kpc", "scale_height_max_kpc"),
            ("cloud_fwhm_min_kpc", "cloud_fwhm_max_kpc"),
            ("cloud_fraction_min", "cloud_fraction_max"),
        ):
            require(getattr(self, high) >= getattr(self, low), high, f"not below {low}", self)
