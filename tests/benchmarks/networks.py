"""How fast the networks are beside the machine's own matrix product, and scoring beside the bare SavedModel.

    python tests/benchmarks/networks.py [--json FILE]

In one process: the product of two large matrices, then inference and training of the published network and
of the default one, with their share of the product's operations a second. Then survey records of the `carina`
grid (7,585 fields, Poisson draws of a reference CMD) are scored by the bare SavedModel, by the scoring job,
and by the whole command ``extmap-tf score --model carina`` in a new process, start-up and map file included.
The job also scores an eighth of the fields: what the others add to it is its rate without the start, in which
the model is loaded and traced.
"""

import argparse
import contextlib
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from extmap_tf import Config
from extmap_tf.quiet import start_tensorflow

MATRIX = 4096


def median_seconds(function, repeats):
    """Median wall time of several calls after a first one."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def operations(model):
    """Additions and multiplications of one image in the layers with weights."""
    import keras

    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            total += 2 * np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:3])
        elif isinstance(layer, keras.layers.Dense):
            total += 2 * np.prod(layer.kernel.shape)
    return float(total)


def network_and_inputs(preset, rows):
    """A configuration, its network with random weights, and diagrams for it."""
    import tensorflow as tf

    from extmap_tf.model.build import build_network, fill_tables
    from extmap_tf.model.facts import PairFacts

    config = Config.named("carina").replace(**{"network.preset": preset})
    model, rng = build_network(config, 9, seed=1), np.random.default_rng(1)
    n_distances = config.distance.n_distances
    means = {diagram.name: np.ones(diagram.shape) for diagram in config.diagrams}
    reference = {name: rng.poisson(1.0, (9, *mean.shape)) for name, mean in means.items()}
    place = np.array(config.mocks.sightlines_deg()).T
    fill_tables(model, PairFacts((*place, reference), np.full(n_distances, 0.1), means))
    given = {name: rng.poisson(mean, (rows, *mean.shape)) for name, mean in means.items()}
    given |= {"l_deg": np.full(rows, 280.0), "b_deg": np.zeros(rows)}
    given |= {name: np.ones(rows) for name in config.coverage_names}
    return config, model, {name: tf.constant(given[name], tf.float32) for name in model.input}


def network_rates(preset, precision, batch, repeats, matrix_rate, figures):
    """Print and keep images/s of one network in inference and training."""
    import keras
    import tensorflow as tf

    from extmap_tf.model.build import n_weights
    from extmap_tf.model.heads import head_of
    from extmap_tf.model.training import compile_network

    keras.config.set_dtype_policy(precision)
    config, model, inputs = network_and_inputs(preset, batch)
    infer = tf.function(lambda x: model(x, training=False), jit_compile=False)
    compile_network(model, head_of(config.network, config.distance), config.training, repeats + 1)
    n_few = min(batch, 256)
    n_distances = config.distance.n_distances
    truth = tf.random.stateless_gamma([n_few, n_distances], [1, 2], alpha=0.5, beta=5.0)
    few = {name: value[:n_few] for name, value in inputs.items()}
    inference = batch / median_seconds(lambda: infer(inputs), repeats)
    training = n_few / median_seconds(lambda: model.train_on_batch(few, truth), repeats)
    share = inference * operations(model) / matrix_rate
    name = f"{preset} {precision}"
    figures |= {f"{name} inference images/s": inference, f"{name} training images/s": training}
    print(
        f"{name:24s} {n_weights(model):>12,} {inference:>12,.0f} {100 * share:>8.0f} {training:>12,.0f}",
        flush=True,
    )
    keras.config.set_dtype_policy("float32")
    return share


def matrix_product(dtype, repeats):
    """Operations a second of a large matrix product."""
    import tensorflow as tf

    a = tf.cast(tf.random.normal([MATRIX, MATRIX]), dtype)
    return 2.0 * MATRIX**3 / median_seconds(lambda: tf.matmul(a, a).numpy()[0, 0], repeats)


def network_ratios(args, figures):
    """Print and keep the rates of the networks; returns their shares of the matrix product's operations."""
    ratios = {}
    print(f"{'':24s} {'weights':>12s} {'images/s':>12s} {'% peak':>8s} {'training/s':>12s}")
    policies = {"float32": "float32"} | ({"mixed_bfloat16": "bfloat16"} if args.bfloat16 else {})
    for policy, dtype in policies.items():
        rate = matrix_product(dtype, args.repeats)
        figures[f"matrix product {dtype} Gop/s"] = rate / 1e9
        print(f"matrix product {dtype}: {rate / 1e9:,.0f} Gop/s")
        for preset in ("cornu2022", "dense"):
            share = network_rates(preset, policy, args.batch, args.repeats, rate, figures)
            ratios[f"{preset} {policy} share of the matrix product"] = share
    ratios["dense over cornu2022, inference"] = (
        figures["dense float32 inference images/s"] / figures["cornu2022 float32 inference images/s"]
    )
    return ratios


def write_survey(config, folder):
    """Survey records of the configuration's grid: Poisson draws of the sector's mean CMD."""
    from beam_jobs import shards
    from beam_jobs.graphs.twomass_to_records import FIELDS_PER_SHARD, SPLIT
    from extmap_tf.diagrams import FieldCounts
    from extmap_tf.grids.squares import sightline_name
    from extmap_tf.mocks.reference import reference_diagrams
    from extmap_tf.records.example import field_to_example

    rng = np.random.default_rng(1)
    mean = reference_diagrams(config, 280.0, 0.0)["counts"].ravel()
    coverage = np.full(FieldCounts.n_slots(config.views[0]) - mean.size - 1, 80)
    n = config.sightlines.n_sightlines
    n_shards = shards.n_shards_for(n, FIELDS_PER_SHARD)

    def example(index):
        slots = np.concatenate([rng.poisson(mean), [0], coverage])
        place = config.sightlines.center_deg(index)
        return field_to_example([FieldCounts(config.views[0], slots)], sightline_name(*place), *place)

    entries = []
    for shard in range(n_shards):
        fields = range(shard * FIELDS_PER_SHARD, min((shard + 1) * FIELDS_PER_SHARD, n))
        name = shards.shard_name(SPLIT, shard, n_shards)
        entries.append((SPLIT, shards.write_shard(str(folder), name, map(example, fields))))
    shards.write_manifest(entries, str(folder), "survey", config, report={"counted": 1, "tables": 1})


def scoring_rates(repeats, figures):
    """Print and keep images/s of the bare SavedModel and of the job, and seconds of the whole command.

    Returns
    -------
    dict of str to float
        Ratios of the job's rate to the SavedModel's: with the start, and without it also by processor time.
    """
    from beam_jobs.graphs.score_to_map import make_map
    from extmap_tf.model.scoring import BATCH_SIZE, Scorer
    from extmap_tf.model.versions import find_saved_model
    from extmap_tf.records.dataset import serialized_examples
    from extmap_tf.records.manifest import Records

    folder, card = find_saved_model("carina")
    config = card.config
    few = config.replace(**{"sightlines.b_min_deg": -0.5, "sightlines.b_max_deg": 0.5})
    n, n_few = config.sightlines.n_sightlines, few.sightlines.n_sightlines
    with tempfile.TemporaryDirectory() as scratch:
        survey, part, out = (Path(scratch, name) for name in ("survey", "part", "map.fits"))
        for records, made_for in ((survey, config), (part, few)):
            records.mkdir()
            write_survey(made_for, records)
        scorer = Scorer(folder)
        batches = list(serialized_examples(Records.open(survey).shard_paths("all")).batch(BATCH_SIZE))
        scorer.score_examples(batches[0].numpy())
        command = [sys.executable, "-m", "extmap_tf", "score", "--model", "carina", "--overwrite"]
        command += ["--records", str(survey), "--out", str(out)]
        rows = {
            "bare": lambda: [scorer.score_examples(batch.numpy()) for batch in batches],
            "job": lambda: make_map(survey, folder, out, overwrite=True),
            "job of few": lambda: make_map(part, folder, out, overwrite=True),
            "command": lambda: subprocess.run(command, check=True, capture_output=True),
        }
        walls, spent = ({name: [] for name in rows} for _ in range(2))
        for _ in range(repeats):
            for name, function in rows.items():
                start, cpu_start = time.perf_counter(), time.process_time()
                with contextlib.redirect_stderr(io.StringIO()):
                    function()
                walls[name].append(time.perf_counter() - start)
                spent[name].append(time.process_time() - cpu_start)

    def medians(times):
        return {name: statistics.median(several) for name, several in times.items()}

    def steady(times):
        return (times["job"] - times["job of few"]) / (n - n_few)

    wall, cpu = medians(walls), medians(spent)
    per_image = {
        "bare SavedModel": (wall["bare"] / n, cpu["bare"] / n),
        "scoring job": (wall["job"] / n, cpu["job"] / n),
        "scoring job without start": (steady(wall), steady(cpu)),
    }
    print(f"\n{n:,} fields               images/s   processor ms an image")
    for name, (seconds, processor) in per_image.items():
        figures |= {f"{name} images/s": 1 / seconds, f"{name} processor ms an image": 1000 * processor}
        print(f"{name:25s} {1 / seconds:10,.0f} {1000 * processor:12.2f}")
    figures["score command s"] = wall["command"]
    print(f"records to map by 'extmap-tf score', start-up included: {wall['command']:.1f} s")
    return {
        "scoring job over bare SavedModel": wall["bare"] / wall["job"],
        "scoring job without start over bare SavedModel": wall["bare"] / n / steady(wall),
        "scoring job without start over bare SavedModel, processor time": cpu["bare"] / n / steady(cpu),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scoring-only", action="store_true", help="leave the networks by themselves out")
    parser.add_argument("--bfloat16", action="store_true", help="also in mixed_bfloat16 (matrix units)")
    parser.add_argument("--json", help="write figures and ratios to this file")
    args = parser.parse_args()
    start_tensorflow()
    figures = {}
    ratios = {} if args.scoring_only else network_ratios(args, figures)
    ratios |= scoring_rates(args.repeats, figures)
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f}")
    if args.json:
        Path(args.json).write_text(json.dumps({"figures": figures, "ratios": ratios}, indent=1) + "\n")


if __name__ == "__main__":
    main()
