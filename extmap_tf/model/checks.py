"""What can be refused before TensorFlow is loaded."""

from pathlib import Path

import numpy as np

from extmap_tf.errors import DataError, MismatchError
from extmap_tf.files import PathLike, local_path
from extmap_tf.model.card import CARD_NAME, ModelCard
from extmap_tf.model.versions import find_saved_model, path_or_shipped, shipped_models
from extmap_tf.records.manifest import Manifest, Records
from extmap_tf.settings.config import Config
from extmap_tf.settings.identity import require_same


def check_training(records: Records, config: Config, out: PathLike, overwrite: bool = False) -> None:
    """Raise DataError or MismatchError unless a network can be trained on records into the folder `out`."""
    manifest = records.manifest
    if manifest.kind != "mocks":
        raise DataError(f"{records.path}: survey records carry no profiles; train on 'records mocks'")
    names = ("the configuration", f"records {records.path}")
    require_same("observation", config.observation, names[0], manifest.config.observation, names[1])
    require_same("profile target", config.target, names[0], manifest.config.target, names[1])
    if (local_path(out) / CARD_NAME).exists() and not overwrite:
        raise DataError(f"{out} holds a finished model: choose another name or give --overwrite")


def find_start(path: PathLike, config: Config) -> tuple[Path, ModelCard]:
    """The model that a training starts from: its folder and card.

    Parameters
    ----------
    path : path-like
        A training folder, an exported model or the name of a shipped one.
    config : extmap_tf.settings.config.Config
        Of the training. Its further surveys may be unknown to the model, if that knows but one.

    Raises
    ------
    DataError
        There is no model.
    MismatchError
        Its network, diagrams or profiles are others than those of `config`.
    """
    folder = path_or_shipped(path)
    if (folder / CARD_NAME).is_file():
        card = ModelCard.read(folder)
    else:
        folder, card = find_saved_model(path)
    own, other = (_decides_weights(each, card.config) for each in (card.config, config))
    for part in own:
        require_same(part, own[part], f"model {path}", other[part], f"configuration {config.name}")
    return folder, card


def starting_model(config: Config) -> str | None:
    """The shipped model that a training may start from, of several the one that knows most surveys."""
    found = []
    for name in sorted(shipped_models()):
        try:
            found.append((len(find_start(name, config)[1].config.surveys), name))
        except MismatchError:
            continue
    return max(found)[1] if found else None


def _decides_weights(config, start):
    """What must be the same in both for a network to start from the weights of `start`."""
    observation = config.observation
    if len(start.surveys) == 1:
        observation = {part: value for part, value in observation.items() if part in start.observation}
    return {
        "network": config.to_dict()["network"],
        "observation": observation,
        "profile target": config.target,
        # The planes of distance and extinction depend on them.
        "prior": {
            "profiles.total_max_mag": config.profiles.total_max_mag,
            "nuisances.law_ratio_mean": config.nuisances.law_ratio_mean,
        },
    }


def require_fit(card: ModelCard, model_name: str, manifest: Manifest, place: PathLike) -> None:
    """Raise MismatchError unless a model was trained for CMDs like those of the records, of the same region.

    Records that are only in part of the model's region pass: the fields outside are flagged.

    Parameters
    ----------
    card : extmap_tf.model.card.ModelCard
    model_name : str
        For messages.
    manifest : extmap_tf.records.manifest.Manifest
    place : path-like
        Where the records are, for messages.
    """
    mocks = manifest.config.mocks.sightlines_deg() if manifest.kind == "mocks" else None
    _require_fit(card, model_name, manifest.config, f"records {place}", mocks)


def require_fit_of_map(card: ModelCard, model_name: str, config: Config) -> None:
    """As `require_fit`, of survey records that will be made of a configuration."""
    _require_fit(card, model_name, config, f"configuration {config.name}")


def _require_fit(card, model_name, config, other, places_deg=None):
    own, counted = card.config, config.observation
    known = [survey.key for survey in own.surveys]
    if unknown := [survey.key for survey in config.surveys if survey.key not in known]:
        raise MismatchError(
            f"{other}: the model {model_name} does not know stars of {', '.join(unknown)}, only of "
            f"{', '.join(known)}: leave them out, or take another model"
        )
    # A survey that the model knows and the other lacks is taken as not there.
    asked = {part: value for part, value in own.observation.items() if part in counted}
    require_same("observation", asked, f"model {model_name}", counted, other)
    l, b = config.sightlines.centers_deg() if places_deg is None else np.array(places_deg).T
    if own.outside_region(l, b).all():
        l_low, l_high, b_low, b_high = own.region_deg()
        raise MismatchError(
            f"model {model_name} was made for l {l_low:g} to {l_high:g}, b {b_low:g} to {b_high:g}; all "
            f"fields of {other} are elsewhere: l {l.min():g} to {l.max():g}, b {b.min():g} to {b.max():g}"
        )
