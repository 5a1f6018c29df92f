"""The populations of stars: ages, metallicities, IMFs (Robin et al. 2003, A&A 409, 523, tables 1 and 2).

Their stars are in the library that `extmap_tf.galaxy.build_library` makes.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Population:
    """Stars born at a constant rate between two ages, with one IMF.

    Parameters
    ----------
    ages_gyr : (float, float)
    feh, feh_sd : float
        Mean and standard deviation of [Fe/H].
    imf : tuple of (float, float)
        (lowest mass, alpha) of each power law dN/dm ~ m^-alpha.
    luminous_ramp : bool
        Whether the library adds to its most luminous giants, of which the tracks give the discs too few; see
        `extmap_tf.galaxy.library.luminous_factor`.
    """

    name: str
    ages_gyr: tuple[float, float]
    feh: float
    feh_sd: float
    imf: tuple[tuple[float, float], ...]
    luminous_ramp: bool = False


DISC_IMF = ((0.08, 1.6), (1.0, 3.0))
POPULATIONS = (
    Population("thin1", (0.0, 0.15), 0.01, 0.12, DISC_IMF, luminous_ramp=True),
    Population("thin2", (0.15, 1.0), 0.03, 0.12, DISC_IMF, luminous_ramp=True),
    Population("thin3", (1.0, 2.0), 0.03, 0.10, DISC_IMF, luminous_ramp=True),
    Population("thin4", (2.0, 3.0), 0.01, 0.11, DISC_IMF, luminous_ramp=True),
    Population("thin5", (3.0, 5.0), -0.07, 0.18, DISC_IMF, luminous_ramp=True),
    Population("thin6", (5.0, 7.0), -0.14, 0.17, DISC_IMF, luminous_ramp=True),
    Population("thin7", (7.0, 10.0), -0.37, 0.20, DISC_IMF, luminous_ramp=True),
    # Single bursts in the source; a spread of 1 Gyr keeps the giants from lying on one line.
    Population("thick", (10.5, 11.5), -0.78, 0.30, ((0.08, 0.5),), luminous_ramp=True),
    Population("spheroid", (13.0, 14.0), -1.78, 0.50, ((0.08, 0.5),)),
    Population("bulge", (9.5, 10.5), 0.0, 0.40, ((0.08, 2.35),)),
)
