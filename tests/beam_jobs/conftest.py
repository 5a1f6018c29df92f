import shutil

import pytest
import tensorflow as tf

from extmap_tf.estimate import PERCENTILES
from extmap_tf.files import write_checksums
from extmap_tf.model.card import ModelCard
from extmap_tf.records.example import parse_examples


@pytest.fixture(scope="session")
def saved_model(saved_model, tmp_path_factory):
    """A SavedModel whose profiles follow from the star counts by a rule, with the card of a trained one."""
    extra = saved_model / "1" / "assets.extra"
    config = ModelCard.from_json((extra / "model.json").read_text(), "card").config
    n, step_kpc = config.distance.n_distances, config.distance.step_kpc

    def outputs(counts, l_deg):
        n_stars = tf.reduce_sum(counts, axis=[1, 2])
        density = n_stars[:, None] * tf.constant([0.001 + 0.0001 * i for i in range(n)])
        extinction = step_kpc * tf.cumsum(density, axis=1)
        steps = tf.constant([0.5 + 0.01 * p for p in PERCENTILES])[None, :, None]
        answer = {"flag": 8 * (tf.cast(n_stars, tf.int32) % 16)}
        for name, median in (("density", density), ("extinction", extinction)):
            answer[f"{name}_median"], answer[f"{name}_mean"] = median, 1.1 * median
            answer[f"{name}_std"], answer[f"{name}_percentiles"] = 0.2 * median, steps * median[:, None]
        return answer

    def of_examples(examples):
        parsed = parse_examples(examples, config.views)
        return outputs(parsed["counts"], parsed["l_deg"])

    module = tf.Module()
    module.examples = tf.function(
        of_examples,
        input_signature=[tf.TensorSpec([None], tf.string, "examples")],
    )
    module.serving_default = tf.function(
        lambda counts, l_deg, b_deg: outputs(counts, l_deg),
        input_signature=[
            tf.TensorSpec([None, *config.diagrams[0].shape], tf.float32, "counts"),
            tf.TensorSpec([None], tf.float32, "l_deg"),
            tf.TensorSpec([None], tf.float32, "b_deg"),
        ],
    )
    counts_spec, l_spec, b_spec = module.serving_default.input_signature
    module.samples = tf.function(
        lambda counts, l_deg, b_deg, seed: {
            "density_samples": outputs(counts, l_deg)["density_median"][:, None]
            * tf.reshape(tf.range(32.0) + tf.cast(seed, tf.float32), [1, 32, 1])
        },
        input_signature=[counts_spec, l_spec, b_spec, tf.TensorSpec([], tf.int32, "seed")],
    )
    folder = tmp_path_factory.mktemp("fixed") / "saved"
    names = ("examples", "serving_default", "samples")
    signatures = {name: getattr(module, name) for name in names}
    tf.saved_model.save(module, str(folder / "1"), signatures=signatures)
    version = folder / "1"
    shutil.copytree(extra, version / extra.name, ignore=shutil.ignore_patterns("SHA256SUMS"))
    files = [path.relative_to(version) for path in version.rglob("*") if path.is_file()]
    write_checksums(version, files, within=extra.name)
    return folder
