"""What direct fits of single CMDs are written as: numbers, profiles and figures."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from extmap_tf import __version__
from extmap_tf.estimate import PERCENTILES, ProfileEstimate, reliable_distance_kpc
from extmap_tf.evaluation.metrics import Evaluation, evaluate, write_json
from extmap_tf.figures.fits import fit_figure
from extmap_tf.figures.style import save
from extmap_tf.files import PathLike, whole_path
from extmap_tf.formats import FIT, FIT_NAME
from extmap_tf.settings.identity import SCHEMA

if TYPE_CHECKING:
    from extmap_tf.fit.fitting import Fits

_MAX_FIGURES = 12


def evaluation_of(fits: "Fits", estimate: ProfileEstimate) -> Evaluation:
    """`extmap_tf.evaluation.metrics.Evaluation` of the fits or of the model, by the true profiles."""
    n_stars = fits.counts.sum(axis=(1, 2))
    config = fits.config
    truth = ProfileEstimate.of_density(fits.density, config.distance.step_kpc)
    return evaluate(truth, estimate, n_stars, config.distance, config.survey.red.name)


def write_fits(fits: "Fits", out: PathLike, about: Mapping[str, Any], overwrite: bool = False) -> None:
    """Write a folder: ``fit.json``, ``profiles.ecsv`` and a figure of each of the first CMDs.

    Parameters
    ----------
    fits : Fits
    out : path-like
        The folder; it appears when everything is done.
    about : dict
        Of JSON: what was fitted.
    overwrite : bool
    """
    with whole_path(out, overwrite, folder_with=FIT_NAME) as folder:
        folder.mkdir(parents=True)
        for i, name in enumerate(fits.names[:_MAX_FIGURES]):
            save(_figure(fits, i), folder / f"{name.replace('/', '-')}.png")
        _profiles(fits).write(folder / "profiles.ecsv", format="ascii.ecsv")
        write_json({**about, **summary(fits)}, folder / FIT_NAME)


def summary(fits: "Fits") -> dict[str, Any]:
    """What the fits say, for JSON."""
    config, fitted, profiles = fits.config, fits.fitted, fits.fitted.profiles
    reach = reliable_distance_kpc(profiles.reliable, config.distance.outer_kpc)
    found = {
        "format": FIT,
        "software_version": __version__,
        "config_name": config.name,
        "config_digest": config.digest,
        "quantity": f"A({config.survey.red.name}), mag; density, mag / kpc",
        "law": config.law.model,
        "seconds": fits.seconds,
        "sightlines": [
            {
                "name": name,
                "l_deg": float(fits.l_deg[i]),
                "b_deg": float(fits.b_deg[i]),
                "n_stars": int(fits.counts[i].sum()),
                "reliable_distance_kpc": float(reach[i]),
                "patchiness": float(fitted.patchiness[i]),
                "count_scale": float(fitted.count_scale[i]),
                "crowding_loss_mag": float(fits.crowding_loss_mag[i]),
                "deviance": float(fitted.deviance[i]),
            }
            for i, name in enumerate(fits.names)
        ],
    }
    if fits.density is not None:
        found["errors"] = evaluation_of(fits, fitted.profiles).to_dict()
        if fits.model:
            found["errors_of_model"] = evaluation_of(fits, fits.model).to_dict()
    return found


def _profiles(fits):
    """All profiles as one table, a row for each sightline and distance."""
    from astropy import units as u
    from astropy.table import Table

    distance, n = fits.config.distance, len(fits.names)
    table = Table(
        {
            "name": np.repeat(fits.names, distance.n_distances),
            "l": np.repeat(fits.l_deg, distance.n_distances) * u.deg,
            "b": np.repeat(fits.b_deg, distance.n_distances) * u.deg,
            "distance": np.tile(distance.outer_kpc, n) * u.kpc,
        }
    )
    sources = [("", fits.fitted.profiles)] + ([("model_", fits.model)] if fits.model else [])
    for quantity, unit in (("extinction", u.mag), ("density", u.mag / u.kpc)):
        for prefix, profiles in sources:
            table[f"{prefix}{quantity}"] = getattr(profiles, f"{quantity}_median").ravel() * unit
            for level in PERCENTILES:
                if level != 50.0:
                    values = profiles.percentile(quantity, level)
                    table[f"{prefix}{quantity}_p{level:g}"] = values.ravel() * unit
    if fits.density is not None:
        table["true_density"] = fits.density.ravel() * (u.mag / u.kpc)
    table.meta["schema"] = SCHEMA
    table.meta["band"] = fits.config.survey.red.name
    table.meta["law"] = fits.config.law.model
    table.meta["distance"] = "outer edge of each bin: of the extinction; the density is that of the bin"
    return table


def _figure(fits, i):
    return fit_figure(
        fits.counts[i],
        fits.fitted[i],
        fits.config.diagrams[0],
        fits.config.distance,
        fits.config.survey.red.name,
        f"{fits.names[i]}, {int(fits.counts[i].sum())} stars",
        truth=None if fits.density is None else fits.density[i],
        model=fits.model and fits.model[i],
    )
