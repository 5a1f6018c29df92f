"""A CMD and a model's answer to it, for whoever runs the model elsewhere to compare; needs no TensorFlow."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from extmap_tf.errors import DataError
from extmap_tf.json_files import JsonForm
from extmap_tf.settings.identity import SCHEMA, require_readable
from extmap_tf.settings.survey import SurveyView

KNOWN_ANSWER_NAME = "known_answer.json"
FORMAT = "extmap_tf known answer"
_TYPES = ("float32", "int32", "int64")
_ARRAYS = {str: {"dtype": str, "value": list}}
_FORM = JsonForm(
    "known answer",
    {"inputs": _ARRAYS, "outputs": _ARRAYS, "model_digest": str},
    "export the model again",
    FORMAT,
    require_readable,
)

RELATIVE_TOLERANCE = 1e-3
ABSOLUTE_TOLERANCE = 1e-3
"""Other processors round otherwise, by some 1e-5."""


@dataclass(frozen=True, eq=False)
class KnownAnswer:
    """What ``serving_default`` answered when the model was exported.

    The CMD is the one to expect without extinction in the middle of the model's region, in whole stars.

    Parameters
    ----------
    inputs : dict of str to ndarray
        counts [1, n_mag, n_color], l_deg [1], b_deg [1].
    outputs : dict of str to ndarray
        All outputs, of one row.
    model_digest : str
        That of the model's card.
    """

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    model_digest: str

    @classmethod
    def of(
        cls,
        serving_default: Callable[..., Mapping[str, Any]],
        expected: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        views: Sequence[SurveyView],
        region_deg: tuple[float, float, float, float],
        model_digest: str,
    ) -> Self:
        """Ask a model.

        Parameters
        ----------
        serving_default : callable
            counts, l_deg, b_deg to a dict of tensors.
        expected : callable
            l_deg, b_deg to ln(1 + counts) of the diagrams to expect.
        views : sequence of extmap_tf.settings.survey.SurveyView
            The surveys whose diagrams are inputs.
        region_deg : (float, float, float, float)
            Of `extmap_tf.settings.config.Config.region_deg`: its middle is asked about.
        model_digest : str
        """
        l_low, l_high, b_low, b_high = region_deg
        place = [
            np.array([0.5 * (low + high)], np.float32) for low, high in ((l_low, l_high), (b_low, b_high))
        ]
        place[0] %= np.float32(360.0)
        at = {"l_deg": place[0], "b_deg": place[1]}
        reference = expected(at)
        diagrams = [diagram.name for view in views for diagram in view.diagrams]
        inputs = {name: _whole_stars(np.asarray(reference[name], float)) for name in diagrams} | at
        outputs = {name: np.asarray(value) for name, value in serving_default(**inputs).items()}
        return cls(inputs, outputs, model_digest)

    def stars(self, view: SurveyView) -> dict[str, np.ndarray]:
        """Stars that count to the first of these diagrams, at the centres of pixels.

        Parameters
        ----------
        view : extmap_tf.settings.survey.SurveyView
            The first survey.

        Returns
        -------
        dict of str to ndarray of float32 [n_stars]
            By the names of the inputs of signatures that take stars: blue_mag and red_mag. Other bands,
            which the diagram says nothing of, are as bright as the red one.
        """
        diagram = view.diagrams[0]
        counts = self.inputs[diagram.name][0].astype(int)
        i_mag, i_color = (np.repeat(i.ravel(), counts.ravel()) for i in np.indices(counts.shape))
        red, color = diagram.y.centers[i_mag], diagram.x.centers[i_color]
        others = dict.fromkeys(view.star_inputs, red.astype(np.float32))
        return others | {"blue_mag": (red + color).astype(np.float32)}

    def largest_difference(self, outputs: Mapping[str, np.ndarray]) -> tuple[float, str]:
        """How far an answer is from this one, in units of what is allowed: right up to 1.

        Parameters
        ----------
        outputs : dict of str to ndarray [1, ...]

        Returns
        -------
        ratio : float
            Infinite where an output is missing, has another shape or is NaN in other places.
        name : str
            The output that differs most.
        """
        ratios = {}
        for name, expected in self.outputs.items():
            found = np.asarray(outputs.get(name, ()))
            if found.shape != expected.shape or (np.isnan(found) != np.isnan(expected)).any():
                return np.inf, name
            allowed = ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * np.abs(expected)
            ratio = np.abs(found - expected) / allowed
            ratios[name] = float(np.nanmax(np.where(np.isnan(expected), 0.0, ratio)))
        name = max(ratios, key=ratios.__getitem__)
        return ratios[name], name

    def to_json(self) -> str:
        data = {"format": FORMAT, "schema": SCHEMA, "model_digest": self.model_digest}
        for part in ("inputs", "outputs"):
            data[part] = {
                name: {"dtype": value.dtype.name, "value": value.tolist()}
                for name, value in getattr(self, part).items()
            }
        return json.dumps(data)

    @classmethod
    def from_json(cls, text: str | bytes, place: str) -> Self:
        data = _FORM.parse(text, place)
        try:
            inputs, outputs = (
                {name: _array(item["dtype"], item["value"]) for name, item in data[part].items()}
                for part in ("inputs", "outputs")
            )
            counts, l_deg, b_deg = (inputs[name] for name in ("counts", "l_deg", "b_deg"))
            if counts.ndim != 3 or not len(counts) == len(l_deg) == len(b_deg) == 1 or not outputs:
                raise ValueError("not of one row")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{place}: damaged known answer ({error}); {_FORM.advice}") from None
        return cls(inputs, outputs, data["model_digest"])


def _whole_stars(reference):
    """Counts that are near those of ln(1 + counts)."""
    expected = np.expm1(reference)
    # Whole stars, as many as expected up to each pixel, so that sparse ones are not all rounded away.
    up_to = np.floor(np.cumsum(expected) + 0.5)
    return np.diff(up_to, prepend=0.0).reshape(expected.shape).astype(np.float32)


def _array(dtype: str, value: list) -> np.ndarray:
    if dtype not in _TYPES:
        raise ValueError(f"numbers of type {dtype!r}")
    return np.array(value, dtype)
