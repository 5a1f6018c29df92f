"""What a region's fields and the Galaxy model disagree about: offsets that are common to all fields."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from extmap_tf.errors import ConfigError
from extmap_tf.extinction.law import mean_blue_over_red
from extmap_tf.files import PathLike
from extmap_tf.fit.expected import NUISANCES
from extmap_tf.fit.posterior import OffsetPrior
from extmap_tf.json_files import JsonForm
from extmap_tf.settings.config import Config
from extmap_tf.settings.nuisances import NuisanceConfig

OWN_SHARE = 0.3
"""A field's own offsets, beside the region's, have so much of the width that the training gives them."""

_SHORT = {
    "color_mag": "colour {:+.3f} +- {:.3f} mag",
    "mag_mag": "magnitude {:+.3f} +- {:.3f} mag",
    "depth_mag": "depth {:+.3f} +- {:.3f} mag",
    "ln_count": "ln stars {:+.3f} +- {:.3f}",
    "ln_luminous": "ln luminous {:+.3f} +- {:.3f}",
    "ln_distance": "ln stars per e-fold {:+.3f} +- {:.3f}",
    "law_ratio": "law ratio {:+.3f} +- {:.3f}",
}
_FORM = JsonForm(
    what="file of offsets",
    schema={"offsets": {str: {"value": float, "error": float}}},
    advice='write {"format": "extmap_tf offsets", "offsets": {"color_mag": {"value": 0.0, "error": 0.01}}}',
    file_format="extmap_tf offsets",
)


def widths(nuisances: NuisanceConfig) -> np.ndarray:
    """Standard deviations [7] of the training's offsets, in the order of `NUISANCES`."""
    return np.array(nuisances.sigmas)


@dataclass(frozen=True, eq=False)
class RegionOffsets:
    """Offsets of a region, beside what the training is centred on.

    Parameters
    ----------
    mean : ndarray [7]
        In the order of `NUISANCES`.
    covariance : ndarray [7, 7]
    source : str
        Whence they are known.
    """

    mean: np.ndarray
    covariance: np.ndarray
    source: str = "given"

    @classmethod
    def of_prior(cls, nuisances: NuisanceConfig) -> Self:
        """What is known before any field is looked at."""
        # What training has no width for is all but known.
        variance = np.maximum(widths(nuisances), 1e-4) ** 2
        return cls(np.zeros(len(NUISANCES)), np.diag(variance), "as in training")

    @classmethod
    def read(cls, path: PathLike, nuisances: NuisanceConfig) -> Self:
        """From a JSON file; offsets that it does not name are as uncertain as in training.

        Raises
        ------
        DataError
            The file cannot be read.
        ConfigError
            A name is no offset's, or an error is negative.
        """
        found = _FORM.read(Path(path))["offsets"]
        offsets = dataclasses.replace(cls.of_prior(nuisances), source="given")
        for name, about in found.items():
            if name not in NUISANCES:
                raise ConfigError(f"{path}: no offset {name!r}; there are {', '.join(NUISANCES)}")
            if not (np.isfinite(about["value"]) and 0 <= about["error"] < np.inf):
                raise ConfigError(f"{path}: {name} must be finite, with an error of 0 or more")
            i = NUISANCES.index(name)
            offsets.mean[i], offsets.covariance[i, i] = about["value"], about["error"] ** 2
        return offsets

    def for_fields(self, nuisances: NuisanceConfig, baked_mean: np.ndarray | float = 0.0) -> OffsetPrior:
        """The prior of a field's offsets beside a table's: the region's errors and the field's own."""
        own = np.diag((OWN_SHARE * widths(nuisances)) ** 2)
        return OffsetPrior(self.mean - baked_mean, self.covariance + own)

    def blue_over_red(self, config: Config) -> tuple[float, float]:
        """A(blue)/A(red) of the region, and its error."""
        law = NUISANCES.index("law_ratio")
        mean = mean_blue_over_red(config.law, config.survey, config.nuisances) + self.mean[law]
        return float(mean), float(np.sqrt(self.covariance[law, law]))

    def text(self) -> str:
        """The offsets and their errors in a line of ASCII."""
        errors = np.sqrt(np.diag(self.covariance))
        parts = [
            _SHORT[name].format(value, error)
            for name, value, error in zip(NUISANCES, self.mean, errors, strict=True)
        ]
        return f"{', '.join(parts)}; {self.source}"
