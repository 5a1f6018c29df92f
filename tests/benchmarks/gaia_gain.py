"""What Gaia's diagram adds to that of 2MASS: errors of two networks on the same test pairs.

    python tests/benchmarks/gaia_gain.py FOLDER [--pairs N] [--epochs N] [--network NAME] [--json FILE]

Pairs with both surveys and pairs with 2MASS alone are made of one configuration, so that a number has the
same profile in both, and a network is trained on each. Printed is the mean absolute error of A(Ks) on the
test pairs, for all and for those whose total is below 1 mag: of the network that knows 2MASS alone, and of
the one that knows both when it is given both, 2MASS or Gaia, with the change in % against the first. Records
and models stay in FOLDER, and a second run takes what is there.
"""

import argparse
from pathlib import Path

import numpy as np

from extmap_tf.evaluation.metrics import write_json
from extmap_tf.extinction.profiles import profiles_at
from extmap_tf.quiet import start_tensorflow
from extmap_tf.settings.config import Config
from extmap_tf.text_tables import aligned

SURVEYS = ("2mass", "gaia_dr3")
DISTANCES_KPC = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0)
THIN_MAG = 1.0


def model_of(config, folder):
    """The scorer and the records of a configuration, made or as they are in `folder`."""
    from beam_jobs.graphs.mocks_to_records import make_records
    from extmap_tf.model.export import export
    from extmap_tf.model.scoring import Scorer
    from extmap_tf.model.training import train
    from extmap_tf.records.manifest import Records

    if not (folder / "mocks").exists():
        make_records(config, str(folder / "mocks"))
    records = Records.open(folder / "mocks")
    if not (folder / "model").exists():
        train(records, config, folder / "training")
        export(folder / "training", folder / "model")
    return Scorer(folder / "model" / "1"), records


def test_pairs(records):
    """Inputs of a network by name, and true profiles, of the test split in the order of the records."""
    from extmap_tf.records.dataset import evaluation_dataset

    inputs, density = [], []
    for batch, truth in evaluation_dataset(records, "test"):
        inputs.append({name: value.numpy() for name, value in batch.items()})
        density.append(truth.numpy())
    whole = {name: np.concatenate([batch[name] for batch in inputs]) for name in inputs[0]}
    return whole, np.concatenate(density)


def errors_mag(scorer, inputs, density, config):
    """Mean absolute errors [2, n_distances]: of all pairs, and of those with a thin total."""
    found = np.concatenate(
        [
            scorer.score_counts(
                **{name: part[start : start + 512] for name, part in inputs.items()}
            ).extinction_median
            for start in range(0, len(density), 512)
        ]
    )
    true = np.cumsum(density, axis=-1) * config.distance.step_kpc
    off = np.abs(profiles_at(found - true, config.distance, DISTANCES_KPC))
    return np.array([off.mean(axis=0), off[true[:, -1] < THIN_MAG].mean(axis=0)])


def without(inputs, config, which):
    """Inputs in which a survey has seen nothing."""
    view = config.views[which]
    gone = {view.named("coverage"), *(diagram.name for diagram in view.diagrams)}
    return {name: 0 * value if name in gone else value for name, value in inputs.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--config", default="carina")
    parser.add_argument("--pairs", type=int, default=30_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--network", default="dense", help="preset, default dense")
    parser.add_argument("--json")
    args = parser.parse_args()
    start_tensorflow()
    base = Config.load(args.config).replace(
        **{
            "mocks.n_pairs": args.pairs,
            "mocks.pool_fields": 16.0,
            "training.epochs": args.epochs,
            "network.preset": args.network,
        }
    )
    errors = {}
    for surveys in (SURVEYS[:1], SURVEYS):
        config = base.replace(surveys=list(surveys))
        scorer, records = model_of(config, args.folder / "_".join(surveys))
        inputs, density = test_pairs(records)
        if len(surveys) == 1:
            alone = {name: inputs[name] for name in ("counts", "l_deg", "b_deg")}
            errors["2MASS, its own network"] = errors_mag(scorer, alone, density, config)
            continue
        for name, given in (
            ("both", inputs),
            ("2MASS, network of both", without(inputs, config, 1)),
            ("Gaia, network of both", without(inputs, config, 0)),
        ):
            errors[name] = errors_mag(scorer, given, density, config)
    first = next(iter(errors.values()))
    header = [("mean |error| of A(Ks), mag", ""), *((f"{d:g} kpc", "") for d in DISTANCES_KPC)]
    for i, group in enumerate(("all pairs", f"total below {THIN_MAG:g} mag")):
        lines = [
            [name, *(f"{x:.4f} {100 * (x / y - 1):+4.0f} %" for x, y in zip(row[i], first[i], strict=True))]
            for name, row in errors.items()
        ]
        print(f"{group}\n{aligned(header, lines)}")
    if args.json:
        tables = {name: row.tolist() for name, row in errors.items()}
        write_json({"distances_kpc": DISTANCES_KPC, "errors_mag": tables}, args.json, overwrite=True)


if __name__ == "__main__":
    main()
