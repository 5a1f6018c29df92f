"""What direct fits of single CMDs are written as: numbers, profiles and figures."""

import numpy as np

from extmap_tf import __version__
from extmap_tf.estimate import PERCENTILES, reliable_distance_kpc
from extmap_tf.evaluation.metrics import evaluate_outputs, write_json
from extmap_tf.figures.fits import fit_figure
from extmap_tf.figures.maps import save
from extmap_tf.files import whole_path
from extmap_tf.settings.identity import SCHEMA

SUMMARY = "fit.json"
_MAX_FIGURES = 12


def evaluation_of(fits, outputs):
    """`extmap_tf.evaluation.metrics.Evaluation` of the fits or of the model, by the true profiles."""
    n_stars = fits.counts.sum(axis=(1, 2))
    config = fits.config
    return evaluate_outputs(fits.density, outputs, n_stars, config.distance, config.survey.red.name)


def write_fits(fits, out, about, overwrite=False):
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
    with whole_path(out, overwrite, folder_with=SUMMARY) as folder:
        folder.mkdir(parents=True)
        for i, name in enumerate(fits.names[:_MAX_FIGURES]):
            save(_figure(fits, i), folder / f"{name.replace('/', '-')}.png")
        _profiles(fits).write(folder / "profiles.ecsv", format="ascii.ecsv")
        write_json(about | summary(fits), folder / SUMMARY)


def summary(fits):
    """What the fits say, for JSON."""
    config, outputs = fits.config, fits.outputs
    reach = _reliable(outputs, config.distance)
    found = {
        "software_version": __version__,
        "config_name": config.name,
        "config_digest": config.digest,
        "quantity": f"cumulative A({config.survey.red.name}), mag; density, mag / kpc",
        "law": config.law.model,
        "seconds": fits.seconds,
        "sightlines": [
            {
                "name": name,
                "l_deg": float(fits.l_deg[i]),
                "b_deg": float(fits.b_deg[i]),
                "n_stars": int(fits.counts[i].sum()),
                "reliable_distance_kpc": float(reach[i]),
                **{
                    key: float(outputs[key][i])
                    for key in ("patchiness", "count_scale", "crowding_loss_mag", "deviance")
                },
            }
            for i, name in enumerate(fits.names)
        ],
    }
    if fits.density is not None:
        found["errors"] = evaluation_of(fits, outputs).to_dict()
        if fits.model_outputs:
            found["errors_of_model"] = evaluation_of(fits, fits.model_outputs).to_dict()
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
    sources = [("", fits.outputs)] + ([("model_", fits.model_outputs)] if fits.model_outputs else [])
    for quantity, unit in (("extinction", u.mag), ("density", u.mag / u.kpc)):
        for prefix, outputs in sources:
            table[f"{prefix}{quantity}"] = outputs[f"{quantity}_median"].ravel() * unit
            percentiles = outputs.get(f"{quantity}_percentiles")
            for i, level in enumerate(PERCENTILES if percentiles is not None else ()):
                if level != 50.0:
                    table[f"{prefix}{quantity}_p{level:g}"] = percentiles[:, i].ravel() * unit
    if fits.density is not None:
        table["true_density"] = fits.density.ravel() * (u.mag / u.kpc)
    table.meta["schema"] = SCHEMA
    table.meta["band"] = fits.config.survey.red.name
    table.meta["law"] = fits.config.law.model
    table.meta["distance"] = "outer edge of each bin: of the extinction; the density is that of the bin"
    return table


def _figure(fits, i):
    def at(outputs):
        return outputs and {name: value[i] for name, value in outputs.items()}

    return fit_figure(
        fits.counts[i],
        at(fits.outputs),
        fits.config,
        f"{fits.names[i]}, {int(fits.counts[i].sum())} stars",
        truth=None if fits.density is None else fits.density[i],
        model_outputs=at(fits.model_outputs),
    )


def _reliable(outputs, distance):
    percentiles = outputs["extinction_percentiles"]
    p16, p50, p84 = (percentiles[:, PERCENTILES.index(level)] for level in (16.0, 50.0, 84.0))
    return reliable_distance_kpc(p16, p50, p84, distance.outer_kpc)
