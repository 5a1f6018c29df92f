"""A real field of Gaia DR3 against the Galaxy model behind one fitted rate of dust.

Command: ``python tests/benchmarks/gaia_field.py [--data FOLDER] [--figure FILE]``, FOLDER the reference data.

The field is a rectangle of 0.353 deg2 around the cluster NGC 103 (l 119.8, b -1.4), all stars of G < 18.5
that have BP-RP and a parallax. Mock stars of the same sightline stand behind dust that grows evenly with
distance; its rate is the one number fitted, to the counts per magnitude. It prints these, and the quartiles
of BP-RP and of the parallax, and draws both fields' diagrams.
"""

import argparse
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from astropy.table import Table
from scipy.optimize import minimize_scalar

from extmap_tf.galaxy import Galaxy
from extmap_tf.mocks.fields import dimmed_magnitudes
from extmap_tf.settings.config import Config
from extmap_tf.surveys.observing import observe, reach_mag

L_DEG, B_DEG, AREA_DEG2 = 119.79, -1.385, 0.353
N_FIELDS = 8
"""How many times the field's stars are drawn, for less noise in the mock."""

MAG_EDGES = (10.0, 13.0, 14.0, 15.0, 16.0, 17.0, 17.5, 18.0, 18.5)
QUARTILES = (25.0, 50.0, 75.0)
# Dust that the stars of the plane are behind, and beyond this no more of it.
DUST_END_KPC = 6.0


@dataclass(frozen=True)
class Field:
    """Stars of Gaia: G, BP-RP and parallaxes [n_stars], and how many fields they are of."""

    g_mag: np.ndarray
    bp_rp_mag: np.ndarray
    parallax_mas: np.ndarray
    n_fields: float = 1.0

    def counts(self) -> np.ndarray:
        """Stars of one field in each range of `MAG_EDGES`."""
        return np.histogram(self.g_mag, MAG_EDGES)[0] / self.n_fields


def real_field(folder: Path) -> Field:
    """The stars of the reference data that have all numbers."""
    table = Table.read(folder / "gaia" / "ngc103_field.csv", format="ascii.csv")
    columns = [np.ma.filled(table[name].astype(float), np.nan) for name in ("Gmag", "BP-RP", "Plx")]
    return Field(*(column[np.isfinite(columns).all(axis=0)] for column in columns))


class Mock:
    """The model's stars on the field's sightline, which any rate of dust can be put before.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
        Its second survey is Gaia's.
    seed : int
    """

    def __init__(self, config: Config, seed: int = 1) -> None:
        self.config, self.seed, self.survey = config, seed, config.surveys[1]
        limiting = self.survey.limiting
        self.stars = Galaxy.of(config.galaxy).draw(
            L_DEG,
            B_DEG,
            AREA_DEG2 * N_FIELDS,
            limit_mag=0.0,
            rng=np.random.default_rng(seed),
            bands=("J", "Ks", "G", "BP", "RP"),
            limits_mag={limiting.name: reach_mag(limiting, self.survey.cuts)},
        )

    def behind(self, rate_mag_per_kpc: float) -> Field:
        """What Gaia sees of them behind so much A(Ks) per kpc."""
        a_ks = np.float32(rate_mag_per_kpc) * np.minimum(self.stars.distance_kpc, np.float32(DUST_END_KPC))
        magnitudes = dimmed_magnitudes(self.stars, a_ks, self.config, self.survey)
        rng = np.random.default_rng([self.seed, 1])
        seen = observe(magnitudes, self.survey, AREA_DEG2, rng, distance_kpc=self.stars.distance_kpc)
        color = seen.magnitudes["BP"] - seen.magnitudes["RP"]
        return Field(seen.magnitudes["G"], color, seen.parallax_mas, N_FIELDS)


def fitted_rate(real: Field, mock: Mock) -> float:
    """The A(Ks) per kpc with which the counts per magnitude agree best."""

    def misfit(rate):
        ratio = np.log(mock.behind(rate).counts() / real.counts())
        return np.sum((ratio / np.sqrt(1.0 / real.counts() + 0.05**2)) ** 2)

    return float(minimize_scalar(misfit, bounds=(0.02, 0.15), method="bounded", options={"xatol": 5e-4}).x)


def gaia_config() -> Config:
    """The built-in configuration of Carina, with Gaia beside 2MASS."""
    return Config.named("carina").replace(surveys=["2mass", "gaia_dr3"])


def main() -> None:
    shared = Path(os.environ.get("EXTMAP_SHARED_DATA", "../shared/data"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=shared)
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    real, mock = real_field(args.data), Mock(gaia_config())
    rate = fitted_rate(real, mock)
    seen = mock.behind(rate)
    print(f"A(Ks) {rate:.4f} mag/kpc to {DUST_END_KPC:g} kpc")
    print("      G        real    mock   ratio    BP-RP quartiles: real, mock    parallax / mas: real, mock")
    for low, high in [*pairwise(MAG_EDGES), (MAG_EDGES[0], MAG_EDGES[-1])]:
        theirs, ours = (_between(field, low, high) for field in (real, seen))
        n_real, n_mock = theirs.g_mag.size, ours.g_mag.size / ours.n_fields
        quartiles = (
            " ".join(f"{x:5.2f}" for x in np.percentile(getattr(field, name), QUARTILES))
            for name in ("bp_rp_mag", "parallax_mas")
            for field in (theirs, ours)
        )
        numbers = f"{n_real:8d} {n_mock:7.0f} {n_mock / n_real:7.2f}"
        print(f"{low:5.1f}-{high:4.1f} {numbers}    {'   '.join(quartiles)}")
    if args.figure:
        figure(args.figure, real, seen)


def _between(field, low, high):
    part = (field.g_mag >= low) & (field.g_mag < high)
    return Field(field.g_mag[part], field.bp_rp_mag[part], field.parallax_mas[part], field.n_fields)


def figure(path: Path, real: Field, mock: Field) -> None:
    """Both diagrams, and their counts, colours, parallaxes and reddening by parallax."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    fig = Figure(figsize=(11, 7), layout="constrained")
    (left, right, counts), (colors, parallaxes, reddening) = fig.subplots(2, 3)
    edges = np.arange(0.0, 4.01, 0.08), np.arange(-0.4, 2.01, 0.05)
    norm = LogNorm(0.5, 200.0)
    for ax, field, title in ((left, real, "Gaia DR3, NGC 103"), (right, mock, "model behind even dust")):
        stars = np.histogram2d(field.bp_rp_mag, field.parallax_mas, edges)[0].T / field.n_fields
        image = ax.pcolormesh(*edges, np.where(stars > 0, stars, np.nan), norm=norm, cmap="viridis")
        ax.set(title=title, xlabel="BP-RP / mag", ylabel="parallax / mas")
    fig.colorbar(image, ax=right, label="stars per pixel")
    steps = np.arange(11.0, 18.51, 0.5)
    panels = (
        (counts, "g_mag", steps, "G / mag"),
        (colors, "bp_rp_mag", np.arange(0.3, 3.51, 0.1), "BP-RP / mag"),
        (parallaxes, "parallax_mas", np.arange(-0.5, 2.51, 0.1), "parallax / mas"),
    )
    for ax, name, bins, label in panels:
        for field, style in ((real, {"color": "0.6", "fill": True}), (mock, {"color": "C3", "lw": 1.5})):
            ax.stairs(np.histogram(getattr(field, name), bins)[0] / field.n_fields, bins, **style)
        ax.set(xlabel=label, ylabel="stars", xlim=(bins[0], bins[-1]))
    counts.set_yscale("log")
    counts.set_title("grey: real, red: model")
    _colors_by_parallax(reddening, real, mock)
    fig.savefig(path, dpi=110)


def _colors_by_parallax(ax, real, mock):
    """Reddening by distance: quartiles of BP-RP in steps of the parallax."""
    steps = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 2.0])
    for field, color, label in ((real, "0.4", "real"), (mock, "C3", "model")):
        parts = [
            field.bp_rp_mag[(field.parallax_mas >= low) & (field.parallax_mas < high)]
            for low, high in pairwise(steps)
        ]
        low, middle, high = np.array([np.percentile(part, QUARTILES) for part in parts]).T
        at = np.sqrt(steps[1:] * steps[:-1])
        ax.fill_between(at, low, high, color=color, alpha=0.3, lw=0)
        ax.plot(at, middle, color=color, label=label)
    ax.set(xscale="log", xlabel="parallax / mas", ylabel="BP-RP / mag, quartiles")
    ax.set_xticks([0.2, 0.5, 1.0], ["0.2", "0.5", "1"])
    ax.set_xticks([], minor=True)
    ax.legend(frameon=False)


if __name__ == "__main__":
    main()
