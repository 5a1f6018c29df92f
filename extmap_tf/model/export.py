"""A trained model as a SavedModel that runs with nothing of ours imported."""

import functools
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.fingerprint_pb2 import FingerprintDef

from extmap_tf.estimate import PERCENTILES, Flag, is_reliable, reliable_distance_kpc
from extmap_tf.files import PathLike, local_path, whole_path, write_checksums
from extmap_tf.model.binning import clean_counts, flat_stars_to_counts, padded_stars_to_counts, same_rows
from extmap_tf.model.build import build_network, expected_diagrams
from extmap_tf.model.card import CARD_NAME, ModelCard
from extmap_tf.model.domain import DOMAIN_NAME, Domains, bit, near_largest
from extmap_tf.model.heads import head_of
from extmap_tf.model.known_answer import KNOWN_ANSWER_NAME, KnownAnswer
from extmap_tf.model.trained import load_trained
from extmap_tf.model.versions import EXTRA, versions
from extmap_tf.model.warmup import SERVER_FOLDER, WARMUP_NAME, write_server_configs, write_warmup
from extmap_tf.records.example import parse_readable_examples

N_SAMPLES = 32


class Served(tf.Module):
    """The signatures of the SavedModel, computed in float32 whatever the model was trained in.

    ``serving_default``
        counts [batch, n_mag, n_color], l_deg [batch], b_deg [batch], all float32, to distance_kpc [batch,
        n_distances] (outer edges), for density (mag / kpc in each bin) and extinction (from the Sun, mag, at
        the outer edges) ``_median``, ``_mean``, ``_std`` [batch, n_distances] and ``_percentiles`` [batch,
        n_percentiles, n_distances], reliable [batch, n_distances] int32 (1 where the extinction is, see
        `extmap_tf.estimate.is_reliable`) and reliable_distance_kpc [batch] (see the function of this name
        there), flag [batch] int32 (bits of `extmap_tf.estimate.Flag`) and n_ignored [batch] int32: pixels
        whose counts were NaN, infinite or negative and were taken as 0. A network that gives one profile has
        of these statistics the medians, which are that profile.
    ``examples``
        examples [batch] string, serialized records, to the same. A record that cannot be read (truncated or
        empty, no tf.train.Example, a feature missing, of another type or length) is answered as one whose
        counts and position are NaN: n_ignored is the number of pixels.
    ``magnitudes``
        blue_mag, red_mag [n_stars] float32, all sightlines' stars one after another, row_splits [batch + 1]
        int64, l_deg, b_deg [batch], to the same and, [batch] int32, n_stars counted in the CMD and n_outside
        of it; n_ignored is the number of stars that do not count, see `extmap_tf.model.binning`.
    ``magnitudes_padded``
        blue_mag, red_mag [batch, n_max], n_stars [batch] int64, of which each row is the length, l_deg, b_deg
        [batch], to the outputs of ``magnitudes``.
    ``samples``
        The inputs of ``serving_default`` and seed (scalar int32), to density_samples [batch, 32,
        n_distances]: whole profiles, each as likely as another. Of a network that gives one profile, that
        profile.
    ``counts_and_coverage``, ``magnitudes_and_coverage``, ``samples_and_coverage``
        Of a model trained on fields that are covered in part: ``serving_default``, ``magnitudes`` and
        ``samples`` with one more input, coverage [batch] float32, the share of each field that the survey
        covers, 0 to 1. The other signatures take fields as covered; ``examples`` has the share from a record
        that states one. What is no number counts as 1.
    ``surveys``, ``surveys_samples``, ``surveys_magnitudes_padded``
        Of a model of several surveys: ``serving_default``, ``samples`` and ``magnitudes_padded`` with the
        diagrams or the stars of every survey, those of the further ones under names that end in its key, and
        the share of each field that each survey covers, coverage and so on. A survey that is not there has
        no stars and covers 0. The other signatures take the first survey alone; ``examples`` has what a
        record states. All but the samples also give odd_surveys [batch] int32: bit i is set where the stars
        of survey i are unlike those of the training pairs. A first survey of several diagrams has counts_2
        and so on beside counts, and one of more bands their magnitudes.
    ``metadata``
        rows [batch] int32, of any value, to card [batch] string, the model's card as JSON, and known_answer
        [batch] string, see `extmap_tf.model.known_answer`, the same in each row. TensorFlow Serving refuses
        a request without inputs over REST and where it batches.

    Longitudes may be in any turn. A position that is not finite gives NaN and a flag, in its row alone; rows
    that differ in number, stars that differ in number and splits that fall are errors of the whole request.
    """

    def __init__(self, model: keras.Model, card: ModelCard, domains: Domains, half: bool = False) -> None:
        super().__init__()
        config, (first, *others) = card.config, card.config.views
        network = _float32_copy(model, config)
        # The variables are tracked, not the Keras model: it would be saved a second time.
        self.fixed = [variable.value for variable in network.non_trainable_variables]
        self.weights = [
            tf.Variable(tf.cast(variable.value, tf.float16), trainable=False) if half else variable.value
            for variable in network.trainable_variables
        ]
        outer_kpc = config.distance.outer_kpc.astype(np.float32)
        head = head_of(config.network, config.distance)
        text = card.to_json()
        expected = expected_diagrams(network, config)

        def floats(shape, *names):
            return [tf.TensorSpec(shape, tf.float32, name) for name in names]

        def images(views):
            return [floats([None, *d.shape], d.name)[0] for view in views for d in view.diagrams]

        degrees, a_seed = floats([None], "l_deg", "b_deg"), tf.TensorSpec([], tf.int32, "seed")
        shares = floats([None], *(view.named("coverage") for view in config.views))
        of_network = [*images(config.views), *degrees, *floats([None], *config.coverage_names)]

        # Functions of their own stand in the file once, with their tables, not once in each signature.
        @tf.function(input_signature=[{spec.name: spec for spec in of_network}])
        def run(inputs):
            weights = [tf.cast(weight, tf.float32) for weight in self.weights]
            return network.stateless_call(weights, self.fixed, inputs, training=False)[0]

        @tf.function(input_signature=floats(run.get_concrete_function().output_shapes, "output"))
        def summarize(found):
            return head.summarize(found)

        def output(**given):
            inputs, n_ignored = _whole_inputs(config, given)
            return inputs, n_ignored, run(inputs)

        def answer(**given):
            inputs, n_ignored, found = output(**given)
            l_deg, b_deg = inputs["l_deg"], inputs["b_deg"]
            summary = summarize(found)
            placed = _is_placed(l_deg, b_deg)
            told = {name: _only(placed, value, np.nan) for name, value in summary.items()}
            high = summary["extinction_median"]
            if head.percentiles:
                percentiles = summary["extinction_percentiles"]
                p16, p50, p84 = (percentiles[:, PERCENTILES.index(percent)] for percent in (16.0, 50.0, 84.0))
                high = p84
                reliable = is_reliable(p16, p50, p84) & placed[:, None]
                reach_kpc = reliable_distance_kpc(reliable, outer_kpc, tf.experimental.numpy)
                told |= {"reliable": tf.cast(reliable, tf.int32), "reliable_distance_kpc": reach_kpc}
            flag, odd_surveys = domains.flags(config.views, inputs, expected(inputs))
            told |= {"odd_surveys": odd_surveys} if others else {}
            return told | {
                "distance_kpc": tf.broadcast_to(outer_kpc, tf.shape(told["extinction_median"])),
                "flag": flag
                + bit(Flag.ODD_PLACE, config.outside_region(l_deg, b_deg))
                + bit(Flag.LARGE_EXTINCTION, near_largest(high[:, -1], config.profiles) & placed),
                "n_ignored": n_ignored,
            }

        def answer_to_stars(views, count, **given):
            found: dict[str, tf.Tensor] = {}
            for view in views:
                stars = {band: given.pop(name) for name, band in view.star_inputs.items()}
                found |= count(
                    stars, given.pop(view.named("row_splits" if count is flat else "n_stars")), view
                )
            diagrams = {d.name: found.pop(d.name) for view in views for d in view.diagrams}
            return answer(**diagrams, **given) | found

        def draw(seed, **given):
            inputs, _, found = output(**given)
            l_deg, b_deg = inputs["l_deg"], inputs["b_deg"]
            drawn = head.sample(found, N_SAMPLES, seed, l_deg, b_deg)
            return {"density_samples": _only(_is_placed(l_deg, b_deg), drawn, np.nan)}

        def stars(views, shape, rows):
            whole = [floats(shape, *view.star_inputs) for view in views]
            lengths = [tf.TensorSpec([None], tf.int64, view.named(rows)) for view in views]
            return [*(spec for specs in whole for spec in specs), *lengths]

        flat, padded = flat_stars_to_counts, padded_stars_to_counts

        def examples(examples):
            return answer(**parse_readable_examples(examples, config.views, config.input_names))

        def of_stars(views, count):
            return functools.partial(answer_to_stars, views, count)

        own, all_views = (first,), config.views
        serving_default = _signature(answer, *images(own), *degrees)
        self.known = KnownAnswer.of(serving_default, expected, own, config.region_deg(), card.digest)

        def metadata(rows):
            told = {"card": text, "known_answer": self.known.to_json()}
            return {name: tf.fill(tf.shape(rows), value) for name, value in told.items()}

        splits = stars(own, [None], "row_splits")
        rectangle = stars(own, [None, None], "n_stars")
        signatures = {
            "serving_default": serving_default,
            "examples": _signature(examples, tf.TensorSpec([None], tf.string, "examples")),
            "magnitudes": _signature(of_stars(own, flat), *splits, *degrees),
            "magnitudes_padded": _signature(of_stars(own, padded), *rectangle, *degrees),
            "samples": _signature(draw, *images(own), *degrees, a_seed),
            "metadata": _signature(metadata, tf.TensorSpec([None], tf.int32, "rows")),
        }
        if config.mocks.partial_share:
            share = shares[:1]
            signatures |= {
                "counts_and_coverage": _signature(answer, *images(own), *share, *degrees),
                "magnitudes_and_coverage": _signature(of_stars(own, flat), *splits, *share, *degrees),
                "samples_and_coverage": _signature(draw, *images(own), *share, *degrees, a_seed),
            }
        if others:
            everything = (*images(all_views), *shares, *degrees)
            rectangles = stars(all_views, [None, None], "n_stars")
            signatures |= {
                "surveys": _signature(answer, *everything),
                "surveys_magnitudes_padded": _signature(
                    of_stars(all_views, padded), *rectangles, *shares, *degrees
                ),
                "surveys_samples": _signature(draw, *everything, a_seed),
            }
        # Only once: what is changed later cannot be saved.
        self.signatures_to_save = signatures


def _signature(function, *specs):
    """A function of tensors by name, traced."""
    return tf.function(function, autograph=False).get_concrete_function(**{s.name: s for s in specs})


def _whole_inputs(config, given):
    """All inputs of the network, of those that a signature has, and how many pixels were ignored.

    A survey of which nothing is given, or whose coverage is 0, has no stars and covers nothing.
    """
    diagrams = {diagram.name: given[diagram.name] for diagram in config.diagrams if diagram.name in given}
    with tf.control_dependencies([same_rows(**(diagrams | given))]):
        # What follows waits for the check, too: its error is the one that is told.
        given = {name: tf.identity(value) for name, value in given.items()}
        rows, inputs = given["l_deg"], {name: given[name] for name in ("l_deg", "b_deg")}
        n_ignored = tf.zeros_like(rows, tf.int32)
        for view in config.views:
            share, there = view.named("coverage"), view.diagrams[0].name in given
            if share in config.coverage_names:
                inputs[share] = given.get(share, tf.ones_like(rows) if there else tf.zeros_like(rows))
            for diagram in view.diagrams:
                if not there:
                    inputs[diagram.name] = tf.zeros([tf.size(rows), *diagram.shape])
                    continue
                counts, n_bad = clean_counts(given[diagram.name])
                if len(config.views) > 1:
                    counts = tf.where(inputs[share][:, None, None] <= 0.0, 0.0, counts)
                inputs[diagram.name], n_ignored = counts, n_ignored + n_bad
    return inputs, n_ignored


def export(
    folder: PathLike,
    out: PathLike,
    half: bool = False,
    echo: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> Path:
    """Export a trained model into the next version folder, ``OUT/1``, ``OUT/2``, ...

    The same model exported in a new process by the same software gives the same bytes.

    ``OUT/serving`` gets configuration files of TensorFlow Serving, unless it is there.

    Parameters
    ----------
    folder : path-like
        From `extmap_tf.model.training.train`.
    out : path-like
        Parent of the version folders. An existing version is never touched.
    half : bool
        Store the trained weights as 16-bit floats: half the size. They are computed with as 32-bit floats.
    echo : callable
        Gets a line if there are no warm-up requests, for want of tensorflow-serving-api.

    Returns
    -------
    pathlib.Path
        The version folder.
    """
    out = local_path(out)
    model, card = load_trained(folder)
    names = [diagram.name for diagram in card.config.diagrams]
    served = Served(model, card, Domains.read(Path(folder) / DOMAIN_NAME, names), half)
    version = out / str(1 + max(versions(out), default=0))
    with whole_path(version) as temporary:
        tf.saved_model.save(served, str(temporary), signatures=served.signatures_to_save)
        _without_chance(temporary / "fingerprint.pb")
        extra = temporary / EXTRA
        extra.mkdir()
        (extra / CARD_NAME).write_text(card.to_json())
        (extra / KNOWN_ANSWER_NAME).write_text(served.known.to_json())
        if not write_warmup(extra / WARMUP_NAME, served.known, card.config):
            echo("no warm-up requests: install 'extmap_tf[serving]' to write them")
        files = [path.relative_to(temporary) for path in temporary.rglob("*") if path.is_file()]
        write_checksums(temporary, files, within=EXTRA)
    if not (out / SERVER_FOLDER).exists():
        with whole_path(out / SERVER_FOLDER) as temporary:
            write_server_configs(temporary)
    return version


def _without_chance(path: Path) -> None:
    """Give a fingerprint, in place of a random number, one that follows from what it is of."""
    fingerprint = FingerprintDef()
    fingerprint.ParseFromString(path.read_bytes())
    fingerprint.uuid = ""
    fingerprint.uuid = str(uuid.uuid5(uuid.NAMESPACE_OID, str(fingerprint)))
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))


def _is_placed(l_deg, b_deg):
    """Whether a row has a position [batch]; a record that cannot be read has none."""
    return tf.math.is_finite(l_deg) & tf.math.is_finite(b_deg)


def _only(rows, values, other):
    """Values [batch, ...] in the rows that count, `other` in the rest.

    It comes after the network, since a fused layer may turn NaN into 0: oneDNN does, where there is AVX512.
    """
    shape = tf.concat([tf.shape(rows), tf.ones(values.shape.rank - 1, tf.int32)], 0)
    return tf.where(tf.reshape(rows, shape), values, tf.constant(other, values.dtype))


def _float32_copy(model, config):
    previous_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        copy = build_network(config, model.get_layer("reference").n_nodes, config.seed)
    finally:
        keras.config.set_dtype_policy(previous_policy)
    copy.set_weights(model.get_weights())
    return copy
