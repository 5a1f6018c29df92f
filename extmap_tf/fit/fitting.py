"""Direct fits of the CMDs in a records folder, with their profiles as tables and figures."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from extmap_tf.errors import ConfigError
from extmap_tf.estimate import ProfileEstimate
from extmap_tf.files import PathLike
from extmap_tf.fit.directfit import DirectFit, FittedCmds
from extmap_tf.fit.expected_cmd import crowding_losses_mag, expected_cmds
from extmap_tf.fit.prior import options_left_out
from extmap_tf.grids.squares import sightline_name
from extmap_tf.model.checks import require_fit
from extmap_tf.model.scoring import Scorer
from extmap_tf.model.versions import find_saved_model
from extmap_tf.records.dataset import corruption_named, serialized_examples, survey_fields
from extmap_tf.records.example import parse_examples
from extmap_tf.records.manifest import Records
from extmap_tf.settings.config import Config
from extmap_tf.settings.identity import require_same

BATCH_SIZE = 8

_COVERED_STEP = 0.02


@dataclass(frozen=True)
class Fits:
    """Some CMDs of a records folder and what was made of them.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
        Of the records.
    names : list of str [n]
    l_deg, b_deg : ndarray [n]
    counts : ndarray [n, n_mag, n_color]
    density : ndarray [n, n_distances] or None
        The true profiles of mock records, mag / kpc.
    fitted : extmap_tf.fit.directfit.FittedCmds [n]
    crowding_loss_mag : ndarray [n]
        The loss of depth that was taken from each CMD.
    model : ProfileEstimate [n] or None
        Of an exported model, for the same CMDs.
    seconds : dict of str to float
        Spent on the tables of expected CMDs, the fits and the model, each for all CMDs.
    n_tables : int
        How many tables were made.
    """

    config: Config
    names: list[str]
    l_deg: np.ndarray
    b_deg: np.ndarray
    counts: np.ndarray
    density: np.ndarray | None
    fitted: FittedCmds
    crowding_loss_mag: np.ndarray
    model: ProfileEstimate | None
    seconds: dict[str, float]
    n_tables: int


def fit_records(
    records: Records,
    sightlines: Sequence[tuple[float, float]] = (),
    n_pairs: int = 20,
    split: str = "test",
    model: PathLike | None = None,
    n_fields: float = 64.0,
    n_iterations: int = 40,
    echo: Callable[[str], None] = print,
    trust_model: bool = False,
) -> Fits:
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
    trust_model : bool
        As `extmap_tf.model.scoring.Scorer` takes it.

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
    asked = model and _load_model(model, records, trust_model)
    survey = kind == "survey"
    parsed = _distinct_fields(records, sightlines) if survey else _mock_pairs(records, split, n_pairs)
    places = np.stack([parsed["l_deg"], parsed["b_deg"]], axis=1).astype(float).round(6)
    covered = _covered_shares(parsed["coverage"])
    losses_mag = crowding_losses_mag(
        parsed["counts"], config.diagrams[0], config.survey, covered * config.sightlines.area_deg2
    )
    if len(config.diagrams) > 1:
        diagram = config.diagrams[0]
        echo(f"the fit takes {diagram.survey}'s {diagram.y.label} against {diagram.x.label} alone")
    if left_out := options_left_out(config.profiles):
        echo(f"the prior of the fit is not that of the profiles: it leaves out {', '.join(left_out)}")
    fit = DirectFit(config, n_iterations)
    seconds = {"tables": 0.0, "fits": 0.0}
    parts, batches, n_tables = [], [], 0
    for place in np.unique(places, axis=0):
        l_deg, b_deg = map(float, place)
        here = (places == place).all(axis=1)
        losses = np.unique(losses_mag[here])
        n_tables += len(losses)
        echo(f"{sightline_name(l_deg, b_deg)}: {here.sum()} to fit, {len(losses)} tables")
        start = time.monotonic()
        tables = expected_cmds(config, l_deg, b_deg, losses.tolist(), n_fields)
        seconds["tables"] += time.monotonic() - start
        while tables:
            start = time.monotonic()
            table = tables.pop(0)
            same = here & (losses_mag == table.loss_mag)
            seconds["tables"] += time.monotonic() - start
            for share in np.unique(covered[same]):
                chosen = np.flatnonzero(same & (covered == share))
                start = time.monotonic()
                sightline = fit.prepare(replace(table, counts=np.float32(share) * table.counts))
                seconds["tables"] += time.monotonic() - start
                start = time.monotonic()
                for first in range(0, len(chosen), BATCH_SIZE):
                    batch = chosen[first : first + BATCH_SIZE]
                    parts.append(fit.fit(parsed["counts"][batch], sightline))
                    batches.append(batch)
                seconds["fits"] += time.monotonic() - start
    order = np.argsort(np.concatenate(batches))
    estimate = None
    if asked:
        start = time.monotonic()
        names = dict.fromkeys((*config.input_names, "coverage"))
        estimate = asked.score_counts(**{name: parsed[name] for name in names})
        seconds["model"] = time.monotonic() - start
    return Fits(
        config,
        _names(parsed, kind),
        parsed["l_deg"],
        parsed["b_deg"],
        parsed["counts"],
        parsed.get("density"),
        FittedCmds.concatenate(parts)[order],
        losses_mag,
        estimate,
        seconds,
        n_tables,
    )


def _covered_shares(coverage):
    """Covered shares of fields in steps that are small beside the uncertainty of the number of stars."""
    return np.maximum(np.round(coverage.astype(float) / _COVERED_STEP), 1.0) * _COVERED_STEP


def _names(parsed, kind):
    names = [name.decode() for name in parsed["sightline"]]
    return [f"{name}/{i:04d}" for i, name in enumerate(names)] if kind == "mocks" else names


def _mock_pairs(records, split, n_pairs):
    examples = serialized_examples(records.shard_paths(split)).take(n_pairs).batch(n_pairs)
    with corruption_named(records.path, records):
        (serialized,) = examples
        config = records.manifest.config
        parsed = parse_examples(serialized, config.views, "mocks", config.distance.n_distances)
    return {name: value.numpy() for name, value in parsed.items()}


def _distinct_fields(records, sightlines):
    """As `survey_fields`, but a field that is nearest to several places once."""
    parsed = survey_fields(records, sightlines)
    first = np.sort(np.unique(parsed["sightline"], return_index=True)[1])
    return {name: value[first] for name, value in parsed.items()}


def _load_model(path, records, trust_model):
    folder, card = find_saved_model(path)
    require_fit(card, str(folder), records.manifest, records.path)
    target = records.manifest.config.target
    require_same("profile target", card.config.target, f"model {folder}", target, f"records {records.path}")
    return Scorer(folder, trust_model)
