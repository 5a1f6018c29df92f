"""Star counts and colours of the Galaxy model against another model and the clearest fields of real tables.

Command: ``python tests/benchmarks/galaxy_colors.py [--data FOLDER] [--figure FILE]``, FOLDER the reference
data. For ranges of Ks it prints theirs against ours: the ratio of the counts, and the difference in quantiles
of J-Ks (the 10 % quantile follows the turn-off, the 90 % quantile the M dwarfs and red giants).

- TRILEGAL, less its own stated extinction, on the same sightline.
- The bluest fields of Orion A and of NGC 1333, against mock stars without dust, observed as 2MASS would.
- The same against mock stars behind one sheet of dust at the cloud's distance. How much is told by H-Ks,
  which hardly depends on the kind of a star: A(Ks) = excess of the median H-Ks / (A(H)/A(Ks) - 1). There is
  no field without dust in these tables.
"""

import argparse
import dataclasses
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from extmap_tf.catalogs.model_tables import read_model_catalog
from extmap_tf.extinction.law import a_over_av
from extmap_tf.galaxy import Galaxy
from extmap_tf.settings.config import Config
from extmap_tf.settings.law import LawConfig
from extmap_tf.surveys.observing import faint_limit_mag, observe

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
KS_MAG = (9, 11, 12, 13, 13.5, 14, 14.5, 15)
FIELD_DEG = 0.5
UM = {"J": 1.235, "H": 1.662, "Ks": 2.159}
# Table -> how many of its fields (with 50 stars brighter than Ks = 14) to take, and the cloud's distance, kpc
# (NGC 1333: Zucker et al. 2020, A&A 633, A51; Orion A: reference data).
CLEAREST = {"Orion A": (4, 0.43), "NGC 1333": (1, 0.30)}


def show(title, theirs, ours):
    """Print the comparison; each side is (Ks, J-Ks, area in deg2)."""
    print(f"{title}\n     Ks           n   ratio " + "".join(f"{q:8.0%}" for q in QUANTILES))
    for low, high in pairwise(KS_MAG):
        a, b = (color[(ks >= low) & (ks < high)] for ks, color, _ in (theirs, ours))
        if min(a.size, b.size) >= 10:
            ratio = a.size / theirs[2] / (b.size / ours[2])
            off = np.quantile(a, QUANTILES) - np.quantile(b, QUANTILES)
            print(f"  {low:4.1f}-{high:4.1f} {a.size:8d} {ratio:7.2f} " + "".join(f"{x:+8.3f}" for x in off))


def trilegal(folder, survey, law):
    """(Ks, J-Ks, area) of TRILEGAL's stars without extinction, and of ours."""
    stars, _ = read_model_catalog(
        folder / "trilegal" / "starfield.csv", survey, 1.0, 120.57, -55.26, system="2mass", a_over_av=law
    )
    ours = Galaxy().draw(stars.l_deg, stars.b_deg, 40.0, 15.0, np.random.default_rng(1))
    return tuple(
        (s.reference_mag, s.magnitudes["J"] - s.magnitudes["Ks"], s.area_deg2) for s in (stars, ours)
    )


def real_tables(folder):
    """Name -> (l, b, bands [3, n_stars]) of the stars within the cuts."""
    orion = fits.getdata(folder / "twomass" / "orion_a.fits", 1)
    columns = [np.asarray(orion[name], float) for name in ("GLON", "GLAT", "Jmag", "Hmag", "Kmag")]
    found = {"Orion A": (columns, (orion["e_Jmag"] < 0.15) & (orion["e_Kmag"] < 0.15))}
    table = Table.read(folder / "twomass" / "ngc1333_vizier.csv", format="ascii.csv")
    values = {name: np.ma.filled(table[name].astype(float), np.nan) for name in table.colnames[6:12]}
    l, b = _galactic(np.asarray(table["RAJ2000"], float), np.asarray(table["DEJ2000"], float))
    seen = np.array([set(str(flag)[::2]) <= set("ABCD") for flag in table["Qflg"]])
    columns = [l, b, *(values[name] for name in ("Jmag", "Hmag", "Kmag"))]
    found["NGC 1333"] = (columns, seen & (values["e_Jmag"] < 0.15) & (values["e_Kmag"] < 0.15))
    return {
        name: (columns[0][good], columns[1][good], np.array(columns[2:])[:, good])
        for name, (columns, good) in found.items()
    }


def _galactic(ra_deg, dec_deg):
    from astropy.coordinates import SkyCoord

    position = SkyCoord(ra_deg, dec_deg, unit="deg").galactic
    return position.l.deg, position.b.deg


def clearest_fields(l, b, bands, number):
    """(median J-Ks, l, b, bands) of the fields of bluest median J-Ks that lie wholly in the table."""
    fields = []
    half = 0.5 * FIELD_DEG
    for b0 in np.arange(np.ceil(4 * b.min()) / 4 + half, b.max() - half, half):
        for l0 in np.arange(np.ceil(4 * l.min()) / 4 + half, l.max() - half, half):
            x, y = (l - l0) * np.cos(np.radians(b0)), b - b0
            inside = (np.abs(x) < half) & (np.abs(y) < half)
            corners = [(inside & (sx * x > 0.17) & (sy * y > 0.17)).sum() for sx in (-1, 1) for sy in (-1, 1)]
            bright = inside & (bands[2] < 14)
            if bright.sum() >= 50 and min(corners) >= 3:
                fields.append((np.median((bands[0] - bands[2])[bright]), l0, b0, bands[:, inside]))
    fields.sort(key=lambda field: field[0])
    apart = []
    for field in fields:
        if all(max(abs(field[1] - f[1]), abs(field[2] - f[2])) >= FIELD_DEG for f in apart):
            apart.append(field)
    return apart[:number]


def mock_fields(fields, survey, blue, a_ks_mag, cloud_kpc, blue_over_ks):
    """(Ks, blue - Ks, area) of mock stars about the fields' centres behind one sheet of dust, observed.

    In each blue band the survey is taken to do what it does in J.
    """
    survey = dataclasses.replace(survey, blue=dataclasses.replace(survey.blue, name=blue))
    rng, columns, area_deg2 = np.random.default_rng(2), [], 0.0
    for _, l0, b0, _ in fields:
        limit = faint_limit_mag(survey.red, survey.cuts)
        stars = Galaxy().draw(l0, b0, 6.0, limit, rng, bands=(blue, "Ks"))
        a_ks = np.where(stars.distance_kpc > cloud_kpc, np.float32(a_ks_mag), np.float32(0))
        ratio = {blue: np.float32(blue_over_ks), "Ks": np.float32(1)}
        dimmed = {band: mag + ratio[band] * a_ks for band, mag in stars.magnitudes.items()}
        seen = observe(dimmed, survey, stars.area_deg2, rng).magnitudes
        columns.append((seen["Ks"], seen[blue] - seen["Ks"]))
        area_deg2 += stars.area_deg2
    return (*np.concatenate(columns, axis=1), area_deg2)


def main():
    shared = Path(os.environ.get("EXTMAP_SHARED_DATA", "../shared/data"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=shared)
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    survey = Config.named("orion").survey
    law = a_over_av(LawConfig())
    over_ks = {band: law(UM[band]) / law(UM["Ks"]) for band in UM}
    theirs, ours = trilegal(args.data, survey, law)
    show("TRILEGAL without extinction against this model", theirs, ours)
    sides = [("TRILEGAL", theirs, {"this model": ours})]
    for name, (l, b, bands) in real_tables(args.data).items():
        number, cloud_kpc = CLEAREST[name]
        fields = clearest_fields(l, b, bands, number)
        j, h, ks = np.concatenate([bands for *_, bands in fields], axis=1)
        area_deg2 = len(fields) * FIELD_DEG**2
        centers = "; ".join(f"l {l0:g} b {b0:g}" for _, l0, b0, _ in fields)
        clear_h, clear_j = (mock_fields(fields, survey, x, 0.0, cloud_kpc, 1.0) for x in ("H", "J"))
        medians = []
        for side_ks, color in ((ks, h - ks), clear_h[:2]):
            medians.append(np.nanmedian(color[(side_ks > 11) & (side_ks < 14)]))
        a_ks_mag = (medians[0] - medians[1]) / (over_ks["H"] - 1)
        dusty_j = mock_fields(fields, survey, "J", a_ks_mag, cloud_kpc, over_ks["J"])
        real = (ks, j - ks, area_deg2)
        print(f"{name}: {centers}")
        show("  against this model without dust", real, clear_j)
        show(f"  against this model behind A(Ks) = {a_ks_mag:.3f} mag at {cloud_kpc} kpc", real, dusty_j)
        dust = f"A(Ks) = {a_ks_mag:.2f} mag"
        sides.append((f"{name}, clearest", real, {"no dust": clear_j, dust: dusty_j}))
    if args.figure:
        figure(args.figure, sides)


def figure(path, sides):
    """Stars per deg2: histograms of J-Ks in two ranges of Ks, and of Ks; theirs filled, ours as lines."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(11, 3 * len(sides)), layout="constrained")
    axes = fig.subplots(len(sides), 3)
    colors = np.arange(-0.2, 1.6, 0.05)
    for row, (title, theirs, ours) in zip(axes, sides, strict=True):
        for ax, (low, high) in zip(row, ((11, 13), (13, 14.5), (9, 15.2)), strict=True):
            for label, (ks, color, area_deg2) in {title: theirs, **ours}.items():
                chosen = (ks >= low) & (ks < high)
                values, bins = (color, colors) if high < 15 else (ks, np.arange(9, 15.21, 0.2))
                style = {"histtype": "step"} if label != title else {"histtype": "stepfilled", "color": "0.8"}
                weights = np.full(chosen.sum(), 1 / area_deg2)
                ax.hist(values[chosen], bins, weights=weights, label=label, **style)
            ax.set_title(f"Ks {low:g} to {high:g}", fontsize=9)
        row[2].set_yscale("log")
        row[0].set_ylabel("stars per deg$^2$ and bin")
        row[2].legend(frameon=False, fontsize=8)
    for ax, label in zip(axes[-1], ("J - Ks / mag", "J - Ks / mag", "Ks / mag"), strict=True):
        ax.set_xlabel(label)
    fig.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
