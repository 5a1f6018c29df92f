"""A real field of Gaia DR3 against the Galaxy model behind one fitted rate of dust.

    python tests/benchmarks/gaia_field.py [--data FOLDER] [--model MODEL] [--pairs N] [--figure FILE]

with FOLDER the reference data.

The field is a rectangle of 0.353 deg2 around the cluster NGC 103 (l 119.8, b -1.4), all stars of G < 18.5
that have BP-RP and a parallax. Mock stars of the same sightline stand behind dust that grows evenly with
distance; its rate is the one number fitted, to the counts per magnitude. It prints these, and the quartiles
of BP-RP and of the parallax, and draws both fields' diagrams.

With --pairs it says which flags the real stars raise by the outlier rule, learnt from so many pairs of a
configuration for this place; with --model also which ones a model that knows Gaia raises, given no 2MASS, and
its profile, which is what --figure draws then. A model of another region raises ODD_PLACE.
"""

import argparse
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from astropy.table import Table
from scipy.optimize import minimize_scalar

from extmap_tf.catalogs.stars import StarBatch
from extmap_tf.diagrams import batch_to_slots, block_to_field_counts, slots_to_partial_counts
from extmap_tf.estimate import Flag, flag_names
from extmap_tf.galaxy import Galaxy
from extmap_tf.grids.sphere import equatorial_to_galactic
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.mocks.fields import dimmed_magnitudes
from extmap_tf.mocks.pairs import simulate_pairs
from extmap_tf.mocks.reference import reference_diagrams
from extmap_tf.quiet import start_tensorflow
from extmap_tf.settings.config import Config
from extmap_tf.settings.starting import SkyBox, starting_text
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
    """Stars of Gaia: G, BP-RP, parallaxes and positions [n_stars], and how many fields they are of."""

    g_mag: np.ndarray
    bp_rp_mag: np.ndarray
    parallax_mas: np.ndarray
    n_fields: float = 1.0
    l_deg: np.ndarray | None = None
    b_deg: np.ndarray | None = None

    def counts(self) -> np.ndarray:
        """Stars of one field in each range of `MAG_EDGES`."""
        return np.histogram(self.g_mag, MAG_EDGES)[0] / self.n_fields


def real_field(folder: Path) -> Field:
    """The stars of the reference data that have all numbers."""
    table = Table.read(folder / "gaia" / "ngc103_field.csv", format="ascii.csv")
    names = ("Gmag", "BP-RP", "Plx", "RA_ICRS", "DE_ICRS")
    columns = [np.ma.filled(table[name].astype(float), np.nan) for name in names]
    g, bp_rp, parallax, ra, dec = (column[np.isfinite(columns).all(axis=0)] for column in columns)
    return Field(g, bp_rp, parallax, 1.0, *equatorial_to_galactic(ra, dec))


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


def config_here() -> Config:
    """A start for this place, as 'extmap-tf config --around' makes it, with Gaia beside 2MASS."""
    box = SkyBox.around(L_DEG, B_DEG, 0.1)
    return Config.from_toml(starting_text(box, surveys=["2mass", "gaia_dr3"]))


def real_inputs(folder: Path, config: Config) -> dict[str, np.ndarray]:
    """A network's inputs [1, ...] of one field of the real stars, counted as the jobs do, and no 2MASS.

    Parameters
    ----------
    folder : Path
        The reference data.
    config : extmap_tf.settings.config.Config
        Of a model; its second survey is Gaia's.
    """
    side = config.sightlines.field_deg
    field = SightlineGrid(L_DEG, L_DEG, B_DEG, B_DEG, side, side)
    real = real_field(folder)
    # The table has no BP and RP by themselves: the diagrams take their difference alone.
    magnitudes = {"G": real.g_mag, "BP": real.bp_rp_mag, "RP": np.zeros_like(real.g_mag)}
    batch = StarBatch(real.l_deg, real.b_deg, magnitudes, len(real.g_mag), parallax_mas=real.parallax_mas)
    slots, _ = batch_to_slots(batch, field, config.views, which=1)
    ((_, partial),) = slots_to_partial_counts(slots, config.views, 1)
    (found,) = block_to_field_counts(partial, config.views, 1)
    inputs: dict[str, np.ndarray] = {"l_deg": np.array([L_DEG]), "b_deg": np.array([B_DEG])}
    for of_survey in found:
        inputs |= {name: counts[None].astype(np.float32) for name, counts in of_survey.counts.items()}
        inputs[of_survey.view.named("coverage")] = np.array([of_survey.coverage])
    return inputs


def flags_by_pairs(folder: Path, n_pairs: int) -> dict[str, Flag]:
    """Flags of the real stars by the outlier rule of so many pairs, by the names of Gaia's diagrams."""
    from extmap_tf.model.domain import TrainingDomain, features_of

    config = config_here().replace(**{"mocks.l_deg": [L_DEG], "mocks.b_deg": [B_DEG]})
    names = [diagram.name for diagram in config.views[1].diagrams]
    reference = reference_diagrams(config, L_DEG, B_DEG)
    expected = {name: np.log1p(reference[name])[None].astype(np.float32) for name in names}
    features: dict[str, list] = {name: [] for name in names}
    for pair in simulate_pairs(config, range(n_pairs)):
        for name in names:
            counts = pair.diagrams[name][None].astype(np.float32)
            features[name].append([part.numpy() for part in features_of(counts, expected[name])])
    real = real_inputs(folder, config)
    return {
        name: Flag(int(TrainingDomain.of(features[name]).flag(real[name], expected[name])[0]))
        for name in names
    }


def asked(folder: Path, model: str):
    """What a model makes of the real stars of Gaia alone: its configuration, and a `ProfileEstimate` [1]."""
    from extmap_tf.model.scoring import Scorer
    from extmap_tf.model.versions import find_saved_model

    version, card = find_saved_model(model)
    if "gaia_dr3" not in [survey.key for survey in card.config.other_surveys]:
        raise SystemExit(f"{model}: it does not know Gaia DR3 beside 2MASS")
    return card.config, Scorer(version).score_counts(**real_inputs(folder, card.config))


def profile_figure(path: Path, config: Config, estimate, rate: float) -> None:
    """The profile with its intervals, and the even dust that the counts per magnitude ask for."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axis, edges = figure.subplots(), config.distance.edges_kpc
    for low, high, name, alpha in ((5.0, 95.0, "90 %", 0.18), (16.0, 84.0, "68 %", 0.32)):
        ends = (np.append(0.0, estimate.percentile("extinction", p)[0]) for p in (low, high))
        axis.fill_between(edges, *ends, color="C0", alpha=alpha, lw=0, label=name)
    axis.plot(edges, np.append(0.0, estimate.extinction_median[0]), color="C0", label="from Gaia alone")
    even = rate * np.minimum(edges, DUST_END_KPC)
    axis.plot(edges, even, color="0.4", ls="--", label="even dust by the counts")
    axis.set(xlabel="distance / kpc", ylabel="A(Ks) / mag", xlim=(0, edges[-1]), ylim=(0, None))
    axis.set_title(f"NGC 103, l {L_DEG:g}, b {B_DEG:g} deg", loc="left")
    axis.legend(frameon=False)
    figure.savefig(path, dpi=110)


def gaia_config() -> Config:
    """The built-in configuration of Carina, with Gaia beside 2MASS."""
    return Config.named("carina").replace(surveys=["2mass", "gaia_dr3"])


def main() -> None:
    shared = Path(os.environ.get("EXTMAP_SHARED_DATA", "../shared/data"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=shared)
    parser.add_argument("--model", help="a model that knows Gaia: a folder or a shipped name")
    parser.add_argument("--pairs", type=int, default=0, help="learn the outlier rule from so many pairs")
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    start_tensorflow()
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
    if args.pairs:
        for name, flag in flags_by_pairs(args.data, args.pairs).items():
            print(f"{name}, by {args.pairs} pairs of this place: {_named(flag)}")
    if args.model:
        config, estimate = asked(args.data, args.model)
        print(f"{args.model}: {_named(Flag(int(estimate.flag[0])))}")
        for kpc in (1.0, 2.0, 3.0, 5.0):
            low, middle, high = (
                np.interp(kpc, config.distance.outer_kpc, estimate.percentile("extinction", p)[0])
                for p in (16.0, 50.0, 84.0)
            )
            print(f"A(Ks) to {kpc:g} kpc {middle:.3f} mag (68 %: {low:.3f} to {high:.3f})")
        if args.figure:
            profile_figure(args.figure, config, estimate, rate)
    elif args.figure:
        figure(args.figure, real, seen)


def _named(flag):
    return flag_names(np.array([flag]))[0] or "no flag"


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
