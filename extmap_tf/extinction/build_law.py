"""Make ``law.csv``, the default law at the wavelengths of the known bands.

Command: ``python -m extmap_tf.extinction.build_law OUT.csv``.

Source: the package ``dust_extinction``, model G23 (Gordon et al. 2023, ApJ 950, 86).
"""

import argparse
from pathlib import Path

from extmap_tf.extinction.bands import BANDS_UM
from extmap_tf.extinction.law import curve_of
from extmap_tf.extinction.passbands import passband_nodes
from extmap_tf.files import whole_file
from extmap_tf.settings.config import Config, builtin_names
from extmap_tf.settings.law import LawConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args()
    law = LawConfig()
    curve = curve_of(law)
    with whole_file(args.out, overwrite=args.overwrite) as stream:
        stream.write("model,rv,wavelength_um,a_over_av\n")
        for wavelength_um in wavelengths_um():
            stream.write(f"{law.model},{law.rv},{wavelength_um!r},{curve(wavelength_um)!r}\n")


def wavelengths_um() -> list[float]:
    """Those of `BANDS_UM`, of the surveys that come with this software, and of the nodes of passbands."""
    surveys = (survey for name in builtin_names() for survey in Config.named(name).surveys)
    bands = (band.wavelength_um for survey in surveys for band in survey.bands)
    nodes = (float(node) for wavelengths, _ in passband_nodes().values() for node in wavelengths)
    return sorted({*BANDS_UM.values(), *bands, *nodes})


if __name__ == "__main__":
    main()
