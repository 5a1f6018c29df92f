"""Make ``passbands.csv``, the nodes that broad bands are integrated over.

Command: ``python -m extmap_tf.extinction.build_passbands OUT.csv --data FOLDER``.

Source: the Gaia EDR3 passbands of Riello et al. 2021, A&A 649, A3 (CDS J/A+A/649/A3), from a folder of
reference data.
"""

import argparse
from pathlib import Path

import numpy as np

from extmap_tf.errors import DataError
from extmap_tf.files import whole_file

N_NODES = 32
# Column of the transmission: wavelength (nm), then each band and its error.
BANDS = {"G": 1, "BP": 3, "RP": 5}
# The tails of a band beyond these shares of its photons hold none to speak of.
_TAIL = 2e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder with passbands/gaia_edr3.dat")
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args()
    table = read_passbands(args.data)
    with whole_file(args.out, overwrite=args.overwrite) as stream:
        stream.write("band,wavelength_um,photons\n")
        for band, column in BANDS.items():
            for wavelength_um, photons in zip(*nodes(table[:, 0] * 1e-3, table[:, column]), strict=True):
                stream.write(f"{band},{wavelength_um:.5f},{photons:.6f}\n")


def read_passbands(folder: Path) -> np.ndarray:
    """The published table [n, 7], 0 where it has no transmission."""
    path = Path(folder) / "passbands" / "gaia_edr3.dat"
    try:
        table = np.loadtxt(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    return np.where(table == 99.99, 0.0, table)


def nodes(wavelength_um: np.ndarray, transmission: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal cells of wavelength over a passband.

    Parameters
    ----------
    wavelength_um, transmission : ndarray [n]
        At equal steps.

    Returns
    -------
    wavelength_um : ndarray [32]
        The mean wavelength of a cell's photons.
    photons : ndarray [32]
        Their share, of a source of constant flux in wavelength; the sum is one.
    """
    photons = wavelength_um * transmission
    cumulative = np.cumsum(photons) / photons.sum()
    first, last = np.searchsorted(cumulative, [_TAIL, 1.0 - _TAIL])
    edges = np.linspace(wavelength_um[first], wavelength_um[last], N_NODES + 1)
    cell = np.clip(np.searchsorted(edges, wavelength_um, "right") - 1, 0, N_NODES - 1)
    share = np.bincount(cell, photons, minlength=N_NODES)
    return np.bincount(cell, photons * wavelength_um, minlength=N_NODES) / share, share / share.sum()


if __name__ == "__main__":
    main()
