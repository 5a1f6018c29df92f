"""Colours of the Galaxy model against other models and against the clearest fields of real 2MASS tables.

Command: ``python tests/benchmarks/galaxy_colors.py [--data FOLDER] [--figure FILE]``, FOLDER the reference
data.
For ranges of Ks it prints quantiles of J-Ks (the 10 % quantile follows the turn-off, the median the
giants or the mix, the 90 % quantile the M dwarfs and red giants), theirs less ours:

- TRILEGAL, less its own stated extinction, on the same sightline;
- Orion A, the fields of bluest median J-Ks, as observed by the configuration's survey and without dust.

There is no sightline without dust near Orion A: the same stars' H-Ks, which hardly depends on the kind of a
star, is printed as excess too, times E(J-Ks)/E(H-Ks) of the law. Where both agree, it is dust.
"""

import argparse
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
from astropy.io import fits

from extmap_tf.catalogs.model_tables import read_model_catalog
from extmap_tf.config import Config, LawConfig
from extmap_tf.extinction.law import a_over_av
from extmap_tf.galaxy import Galaxy
from extmap_tf.survey import faint_limit_mag, observe

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
KS_MAG = (9, 11, 12, 13, 13.5, 14, 14.5, 15)
# So many half-degree fields, of those with 50 stars brighter than Ks = 14.
CLEAREST = 4
H_UM, J_UM, KS_UM = 1.662, 1.235, 2.159


def excess(theirs, ours):
    """Rows (low, high, n, theirs less ours at QUANTILES) of J-Ks in ranges of Ks; each side (Ks, J-Ks)."""
    for low, high in pairwise(KS_MAG):
        a, b = (color[(ks >= low) & (ks < high)] for ks, color in (theirs, ours))
        if min(a.size, b.size) >= 10:
            yield low, high, a.size, np.quantile(a, QUANTILES) - np.quantile(b, QUANTILES)


def show(title, theirs, ours, scale=1.0):
    print(f"{title}\n     Ks           n " + "".join(f"{q:8.0%}" for q in QUANTILES))
    for low, high, n, off in excess(theirs, ours):
        print(f"  {low:4.1f}-{high:4.1f} {n:8d} " + "".join(f"{scale * x:+8.3f}" for x in off))


def trilegal(folder, survey, law):
    """(Ks, J-Ks) of TRILEGAL's stars without extinction, and of ours."""
    stars, _ = read_model_catalog(
        folder / "trilegal" / "starfield.csv", survey, 1.0, 120.57, -55.26, system="2mass", a_over_av=law
    )
    ours = Galaxy().draw(stars.l_deg, stars.b_deg, 40.0, 15.0, np.random.default_rng(1))
    return tuple((s.red_mag, s.blue_mag - s.red_mag) for s in (stars, ours))


def clearest_fields(path):
    """J, H, Ks and the centre of the bluest half-degree fields of a table with GLON, GLAT."""
    table = fits.getdata(path, 1)
    l, b = np.asarray(table["GLON"], float), np.asarray(table["GLAT"], float)
    bands = np.array([table[name] for name in ("Jmag", "Hmag", "Kmag")], float)
    good = (table["e_Jmag"] < 0.15) & (table["e_Kmag"] < 0.15)
    fields = []
    for b0 in np.arange(np.ceil(4 * b.min()) / 4 + 0.25, b.max() - 0.25, 0.5):
        for l0 in np.arange(np.ceil(4 * l.min()) / 4 + 0.25, l.max() - 0.25, 0.5):
            inside = (np.abs((l - l0) * np.cos(np.radians(b0))) < 0.25) & (np.abs(b - b0) < 0.25) & good
            bright = inside & (bands[2] < 14)
            if bright.sum() >= 50:
                fields.append((np.median((bands[0] - bands[2])[bright]), l0, b0, bands[:, inside]))
    fields.sort(key=lambda field: field[0])
    return fields[:CLEAREST]


def mock_fields(fields, config, blue):
    """(Ks, blue - Ks) of mock stars without dust around the fields' centres, observed."""
    rng, survey = np.random.default_rng(2), config.survey
    columns = []
    for _, l0, b0, _ in fields:
        limit = faint_limit_mag(survey.red, survey.cuts)
        stars = Galaxy().draw(l0, b0, 3.0, limit, rng, bands=(blue, "Ks"))
        seen = observe(stars.blue_mag, stars.red_mag, survey, stars.area_deg2, rng)
        columns.append((seen.red_mag, seen.blue_mag - seen.red_mag))
    return np.concatenate(columns, axis=1)


def figure(path, sides):
    """Histograms of J-Ks in three ranges of Ks, theirs filled and ours as a line."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(9, 3 * len(sides)), layout="constrained")
    axes = fig.subplots(len(sides), 3, squeeze=False, sharex=True)
    bins = np.arange(-0.2, 1.6, 0.05)
    for row, (title, theirs, ours) in zip(axes, sides, strict=True):
        for ax, (low, high) in zip(row, ((11, 12.5), (12.5, 13.5), (13.5, 14.5)), strict=True):
            for (ks, color), kind, label in ((theirs, "stepfilled", title), (ours, "step", "this model")):
                chosen = color[(ks >= low) & (ks < high)]
                fill = "0.8" if kind == "stepfilled" else "C3"
                ax.hist(chosen, bins, density=True, histtype=kind, color=fill, label=label)
            ax.set_title(f"Ks {low:g} to {high:g}", fontsize=9)
        row[0].legend(frameon=False, fontsize=8)
    for ax in axes[-1]:
        ax.set_xlabel("J - Ks / mag")
    fig.savefig(path, dpi=110)


def main():
    shared = Path(os.environ.get("EXTMAP_SHARED_DATA", "../shared/data"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=shared)
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    config = Config.named("orion")
    law = a_over_av(LawConfig())
    theirs, ours = trilegal(args.data, config.survey, law)
    show("TRILEGAL without extinction, J-Ks less ours", theirs, ours)
    sides = [("TRILEGAL", theirs, ours)]

    fields = clearest_fields(args.data / "twomass" / "orion_a.fits")
    real = np.concatenate([bands for *_, bands in fields], axis=1)
    print(", ".join(f"l {l0:g} b {b0:g}: median J-Ks {median:.3f}" for median, l0, b0, _ in fields))
    mock = mock_fields(fields, config, "J")
    show("Orion A, clearest fields: J-Ks less ours", (real[2], real[0] - real[2]), mock)
    slope = (law(J_UM) - law(KS_UM)) / (law(H_UM) - law(KS_UM))
    show(
        f"the same from H-Ks, times E(J-Ks)/E(H-Ks) = {slope:.2f}",
        (real[2], real[1] - real[2]),
        mock_fields(fields, config, "H"),
        slope,
    )
    sides.append(("Orion A, clearest", (real[2], real[0] - real[2]), mock))
    if args.figure:
        figure(args.figure, sides)


if __name__ == "__main__":
    main()
