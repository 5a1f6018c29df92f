"""The card of a model: all that a user, a server or a map must know of it, as JSON beside the weights."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from extmap_tf import __version__
from extmap_tf.errors import DataError
from extmap_tf.extinction.law import mean_blue_over_red, red_over_v, stated_rv
from extmap_tf.files import local_path, whole_file
from extmap_tf.json_files import JsonForm, read_bounded
from extmap_tf.settings.config import Config
from extmap_tf.settings.identity import SCHEMA, digest_of, identifying, require_readable

CARD_NAME = "model.json"
FORMAT = "extmap_tf model"
_FORM = JsonForm(
    "model card",
    {
        "config": dict,
        "config_digest": str,
        "records_digest": str,
        "model_digest": str,
        "n_weights": int,
        "training": {str: (float, str, None, {str: [float]})},
        "software_version": str,
    },
    "fetch or make the model again",
    FORMAT,
    require_readable,
)


@dataclass(frozen=True)
class ModelCard:
    """What a trained model is.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
        Of the records that the model was trained on, with the network and training as they were.
    records_digest : str
        Digest of those records: configuration and content.
    n_weights : int
        Trainable weights.
    training : dict
        Epochs, best epoch, final losses, pairs, seconds.
    software_version : str
    """

    config: Config
    records_digest: str
    n_weights: int
    training: dict[str, Any] = field(default_factory=dict)
    software_version: str = __version__

    @property
    def digest(self) -> str:
        """Identifies this training: configuration and outcome."""
        return digest_of({"config": identifying(self.config), "training": self.training})

    def to_json(self) -> str:
        survey, law, nuisances = self.config.survey, self.config.law, self.config.nuisances
        ratio = f"A({survey.blue.name})/A({survey.red.name})"
        header = {
            "format": FORMAT,
            "schema": SCHEMA,
            "software_version": self.software_version,
            "model_digest": self.digest,
            "config_name": self.config.name,
            "config_digest": self.config.digest,
            "records_digest": self.records_digest,
            "observation_digest": digest_of(self.config.observation),
            "target_digest": digest_of(self.config.target),
            "quantity": f"A({survey.red.name}): density in mag / kpc, cumulative in mag at outer edges",
            "law": {
                "model": law.model,
                "rv": stated_rv(law),
                ratio: mean_blue_over_red(law, survey, nuisances),
                f"scatter of {ratio}": nuisances.law_ratio_sigma,
                f"A({survey.red.name})/A(V)": _none_if_nan(red_over_v(law, survey)),
            },
            "preset": self.config.network.preset,
            "n_weights": self.n_weights,
            "training": self.training,
        }
        return json.dumps(header | {"config": self.config.to_dict()}, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, place: str) -> Self:
        data = _FORM.parse(text, place)
        card = cls(
            config=Config.from_stated(data, place),
            records_digest=data["records_digest"],
            n_weights=data["n_weights"],
            training=data["training"],
            software_version=data["software_version"],
        )
        if data["model_digest"] != card.digest:
            raise DataError(
                f"{place}: states model digest {data['model_digest']}, its contents have {card.digest}: "
                "the card was changed, fetch or make the model again"
            )
        return card

    def write(self, folder: str | os.PathLike, overwrite: bool = False) -> None:
        with whole_file(Path(folder) / CARD_NAME, overwrite=overwrite) as stream:
            stream.write(self.to_json())

    @classmethod
    def read(cls, folder: str | os.PathLike) -> Self:
        """The card in a training folder.

        Raises
        ------
        DataError
            There is none: not a model, or a training that has not finished.
        """
        path = local_path(folder) / CARD_NAME
        if not path.is_file():
            raise DataError(
                f"{folder}: no {CARD_NAME}: not a trained model, or its training has not finished "
                "('extmap-tf train' goes on with it)"
            )
        return cls.from_json(read_bounded(path), str(path))


def _none_if_nan(value: float) -> float | None:
    return None if value != value else value
