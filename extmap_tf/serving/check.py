"""Check a model server."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from extmap_tf.errors import DataError, MismatchError, ServingError
from extmap_tf.files import PathLike
from extmap_tf.json_files import read_bounded
from extmap_tf.model.known_answer import KNOWN_ANSWER_NAME, KnownAnswer
from extmap_tf.model.versions import EXTRA, find_saved_model
from extmap_tf.settings.config import Config

if TYPE_CHECKING:
    from extmap_tf.serving.client import ModelClient


def signature_inputs(config: Config) -> dict[str, set[str]]:
    """Names of the inputs of every signature that a model must have, as `extmap_tf.model.export` has them."""
    (first, *others), place = config.views, {"l_deg", "b_deg"}
    images, stars = {diagram.name for diagram in first.diagrams}, {*first.star_inputs}
    found = {
        "serving_default": images | place,
        "examples": {"examples"},
        "magnitudes": stars | {"row_splits"} | place,
        "magnitudes_padded": stars | {"n_stars"} | place,
        "samples": images | {"seed"} | place,
        "metadata": {"rows"},
    }
    if config.mocks.partial_share:
        found |= {
            f"{name}_and_coverage": found[of] | {"coverage"}
            for name, of in (("counts", "serving_default"), ("magnitudes",) * 2, ("samples",) * 2)
        }
    if others:
        found |= {
            "surveys": {*config.input_names},
            "surveys_samples": {*config.input_names, "seed"},
            "surveys_magnitudes_padded": place.union(
                config.coverage_names,
                *(view.star_inputs for view in config.views),
                (view.named("n_stars") for view in config.views),
            ),
        }
    return found


def check_server(client: "ModelClient", model: PathLike | None = None) -> Iterator[str]:
    """Ask a server for its health, its signatures, and the CMD whose answer is known.

    Parameters
    ----------
    client : extmap_tf.serving.client.ModelClient
    model : path-like, optional
        The exported model that should be served. Without it the server's own known answer is taken.

    Yields
    ------
    str
        A line on each thing that is right.

    Raises
    ------
    ServingError, MismatchError
        The first thing that is wrong.
    """
    status = client.status()
    available = [item.version for item in status if item.state == "AVAILABLE"]
    if not available:
        states = ", ".join(f"{item.version} {item.state} {item.message}".strip() for item in status)
        raise ServingError(f"{client.address}: no version is available ({states or 'none known'})")
    yield _line("server", f"{client.address}, available: {', '.join(map(str, sorted(available)))}")

    found = client.signatures()
    if "metadata" not in found:
        raise ServingError(f"{client.address}: no signature metadata: export the model again")
    card, known = _told(client, model)
    signatures = signature_inputs(card.config)
    for name, inputs in signatures.items():
        if name not in found:
            raise ServingError(f"{client.address}: no signature {name}: export the model again")
        if found[name][0] != inputs:
            raise ServingError(
                f"{client.address}: signature {name} takes {sorted(found[name][0])}, not {sorted(inputs)}"
            )
    yield _line("signatures", ", ".join(signatures))
    yield _line("model", f"configuration {card.config.name} ({card.config.digest}), model {card.digest}")

    def compare(signature, inputs):
        outputs = client.predict(signature, inputs)
        ratio, name = known.largest_difference(outputs)
        if not ratio <= 1:
            raise ServingError(
                f"{client.address}: {signature}: wrong response to the known CMD: {name} is off by "
                f"{ratio:.3g} times the tolerance"
            )
        yield _line(signature, f"right; {name} is off by {ratio:.2g} of the tolerance")

    yield from compare("serving_default", known.inputs)
    # Not ``magnitudes``, which a batching server refuses.
    place = {name: known.inputs[name] for name in ("l_deg", "b_deg")}
    stars = {name: values[None] for name, values in known.stars(card.config.views[0]).items()}
    n_stars = np.array([stars["red_mag"].size])
    first, *others = card.config.views
    if len(first.star_inputs) == 2:
        yield from compare("magnitudes_padded", {**stars, "n_stars": n_stars, **place})
    if others:
        # Of the others there is nothing: the response is that of the first alone.
        absent = {name: value for view in others for name, value in view.no_counts(1).items()}
        yield from compare("surveys", {**known.inputs, "coverage": np.ones(1, np.float32), **absent})


def _told(client, model):
    """Card and known answer that the server gives, or those of the folder, if it is the same model."""
    card, known = client.metadata()
    if model is None:
        return card, known
    folder, expected = find_saved_model(model)
    if card.digest != expected.digest:
        raise MismatchError(
            f"{client.address} serves model {card.digest}, {folder} is model {expected.digest}: give the "
            "model that is served"
        )
    path = folder / EXTRA / KNOWN_ANSWER_NAME
    if not path.is_file():
        raise DataError(f"{path}: missing: export the model again")
    return expected, KnownAnswer.from_json(read_bounded(path), str(path))


def _line(name, text):
    return f"{name:<18} {text}"
