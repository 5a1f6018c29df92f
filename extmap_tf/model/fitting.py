"""Direct fits of the CMDs in a records folder, with their profiles as tables and figures."""

import time
from dataclasses import dataclass

import numpy as np

from extmap_tf import __version__
from extmap_tf.config import require_same
from extmap_tf.errors import ConfigError
from extmap_tf.files import whole_path
from extmap_tf.grids import PERCENTILES, sightline_name
from extmap_tf.map.calibration import reliable_distance_kpc
from extmap_tf.map.figures import save
from extmap_tf.map.fit_figure import fit_figure
from extmap_tf.map.metrics import evaluate_outputs, write_json
from extmap_tf.model.directfit import DirectFit
from extmap_tf.model.expected_cmd import crowding_losses_mag, expected_cmds
from extmap_tf.model.scoring import Scorer, require_fit
from extmap_tf.model.versions import find_saved_model
from extmap_tf.records.dataset import corruption_named, serialized_examples, survey_fields
from extmap_tf.records.example import parse_examples

SUMMARY = "fit.json"
BATCH_SIZE = 8
_MAX_FIGURES = 12


@dataclass(frozen=True)
class Fits:
    """Some CMDs of a records folder and what was made of them.

    Parameters
    ----------
    config : extmap_tf.config.Config
        Of the records.
    names : list of str [n]
    l_deg, b_deg : ndarray [n]
    counts : ndarray [n, n_mag, n_color]
    density : ndarray [n, n_distances] or None
        The true profiles of mock records, mag / kpc.
    outputs : dict of str to ndarray
        Of `DirectFit.fit`, and ``crowding_loss_mag``: the loss of depth that was taken from each CMD.
    model_outputs : dict of str to ndarray or None
        Of an exported model, for the same CMDs.
    seconds : dict of str to float
        Spent on the tables of expected CMDs, the fits and the model, each for all CMDs.
    n_tables : int
        How many tables were made.
    """

    config: object
    names: list
    l_deg: np.ndarray
    b_deg: np.ndarray
    counts: np.ndarray
    density: np.ndarray | None
    outputs: dict
    model_outputs: dict | None
    seconds: dict
    n_tables: int

    def evaluation(self, outputs):
        """`extmap_tf.map.metrics.Evaluation` of the fits or of the model, against the true profiles."""
        n_stars = self.counts.sum(axis=(1, 2))
        config = self.config
        return evaluate_outputs(self.density, outputs, n_stars, config.distance, config.survey.red.name)


def fit_records(
    records, sightlines=(), n_pairs=20, split="test", model=None, n_fields=64.0, n_iterations=40, echo=print
):
    """Fit CMDs of a records folder.

    Parameters
    ----------
    records : extmap_tf.records.manifest.Records
    sightlines : sequence of (float, float)
        (l, b) in degrees: of survey records, the nearest fields are fitted.
    n_pairs : int
        Of mock records, the first so many pairs of the split are fitted.
    split : str
        Of mock records.
    model : path-like, optional
        A SavedModel to be asked for the same CMDs.
    n_fields, n_iterations : float, int
        As in `expected_cmd` and `DirectFit`.
    echo : callable
        Is told of every sightline.

    Returns
    -------
    Fits

    Raises
    ------
    DataError
        A sightline is outside the records' grid.
    ConfigError
        Survey records without sightlines, mock records with some, or no pairs.
    MismatchError
        The model was trained for other CMDs or other profiles.
    """
    config, kind = records.manifest.config, records.manifest.kind
    if (kind == "survey") != bool(sightlines):
        advice = (
            "name the sightlines to fit" if kind == "survey" else "they have pairs, not sightlines to name"
        )
        raise ConfigError(f"{records.path}: {kind} records: {advice}")
    if n_pairs < 1:
        raise ConfigError(f"the number of pairs to fit must be 1 or more, got: {n_pairs}")
    asked = model and _load_model(model, records)
    survey = kind == "survey"
    parsed = _distinct_fields(records, sightlines) if survey else _mock_pairs(records, split, n_pairs)
    places = np.stack([parsed["l_deg"], parsed["b_deg"]], axis=1).astype(float).round(6)
    losses_mag = crowding_losses_mag(parsed["counts"], config)
    fit = DirectFit(config, n_iterations)
    seconds = {"tables": 0.0, "fits": 0.0}
    parts, order, n_tables = [], [], 0
    for place in np.unique(places, axis=0):
        here = (places == place).all(axis=1)
        losses = np.unique(losses_mag[here])
        n_tables += len(losses)
        echo(f"{sightline_name(*place)}: {here.sum()} to fit, {len(losses)} tables")
        start = time.monotonic()
        tables = expected_cmds(config, *map(float, place), losses.tolist(), n_fields)
        seconds["tables"] += time.monotonic() - start
        while tables:
            start = time.monotonic()
            table = tables.pop(0)
            chosen = np.flatnonzero(here & (losses_mag == table.loss_mag))
            sightline = fit.prepare(table)
            seconds["tables"] += time.monotonic() - start
            start = time.monotonic()
            for first in range(0, len(chosen), BATCH_SIZE):
                batch = chosen[first : first + BATCH_SIZE]
                parts.append(fit.fit(parsed["counts"][batch], sightline))
                order.append(batch)
            seconds["fits"] += time.monotonic() - start
    order = np.argsort(np.concatenate(order))
    outputs = {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}
    outputs["crowding_loss_mag"] = losses_mag
    model_outputs = None
    if asked:
        start = time.monotonic()
        model_outputs = asked.score_counts(*(parsed[name] for name in ("counts", "l_deg", "b_deg")))
        seconds["model"] = time.monotonic() - start
    return Fits(
        config,
        _names(parsed, kind),
        parsed["l_deg"],
        parsed["b_deg"],
        parsed["counts"],
        parsed.get("density"),
        outputs,
        model_outputs,
        seconds,
        n_tables,
    )


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
        found["errors"] = fits.evaluation(outputs).to_dict()
        if fits.model_outputs:
            found["errors_of_model"] = fits.evaluation(fits.model_outputs).to_dict()
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


def _names(parsed, kind):
    names = [name.decode() for name in parsed["sightline"]]
    return [f"{name}/{i:04d}" for i, name in enumerate(names)] if kind == "mocks" else names


def _mock_pairs(records, split, n_pairs):
    examples = serialized_examples(records.shard_paths(split)).take(n_pairs).batch(n_pairs)
    with corruption_named(records.path, records):
        (serialized,) = examples
        parsed = parse_examples(serialized, records.manifest.config, "mocks")
    return {name: value.numpy() for name, value in parsed.items()}


def _distinct_fields(records, sightlines):
    """As `survey_fields`, but a field that is nearest to several places once."""
    parsed = survey_fields(records, sightlines)
    first = np.sort(np.unique(parsed["sightline"], return_index=True)[1])
    return {name: value[first] for name, value in parsed.items()}


def _load_model(path, records):
    folder, card = find_saved_model(path)
    require_fit(card, str(folder), records.manifest, records.path)
    target = records.manifest.config.target
    require_same("profile target", card.config.target, f"model {folder}", target, f"records {records.path}")
    return Scorer(folder)
