"""The experiment of Cornu et al. 2022, sec. 5: train on a few sightlines, map a whole sector.

    python tests/benchmarks/sightlines.py OUT [--pairs N] [--epochs N] [--sky] [--figure FILE]

The configuration `narrow.toml` (the sector of `carina`, with the prior of 0.3.0) on 1, 9 and 25 training
sightlines, with equally many pairs and stars. Errors are those on pairs of 55 sightlines over the whole
sector, from stars that no training saw: all over, and by the angle to the nearest training sightline. What is
in OUT already is kept, so a run that was stopped goes on. With --sky, a mock sky of the sector behind known
dust is mapped by each model, and figures are drawn.
"""

import argparse
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np

from extmap_tf import ExtinctionMap
from extmap_tf.demo import make_sky
from extmap_tf.evaluation import metrics
from extmap_tf.extinction.profiles import profiles_at
from extmap_tf.figures.style import COLORS, save
from extmap_tf.quiet import start_tensorflow
from extmap_tf.records.manifest import Records
from extmap_tf.settings.config import Config

NARROW = Path(__file__).with_name("narrow.toml")
TRAINING = {
    1: ([280.0], [0.0]),
    9: ([260.0, 280.0, 300.0], [-3.5, 0.0, 3.5]),
    25: ([260.0, 270.0, 280.0, 290.0, 300.0], [-3.5, -1.75, 0.0, 1.75, 3.5]),
}
SECTOR = (np.linspace(257.0, 303.0, 11).round(3).tolist(), [-5.0, -2.5, 0.0, 2.5, 5.0])
SECTOR_PAIRS = 8800
SEPARATIONS_DEG = (0.0, 2.0, 5.0, 10.0, 25.0)
DISTANCES_KPC = (1.0, 3.0, 5.0, 8.0)
# Sightline by sightline the pools of stars differ in size, so that all trainings know equally many stars.
POOL_FIELDS = 288
# Fields side by side.
SKY = {"sightlines.step_deg": 0.5}
WORKERS = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")


def run(out, *arguments, sets=None):
    """A command of ours, unless what it makes is there."""
    if not Path(out).exists():
        options = [f"--set={name}={value}" for name, value in (sets or {}).items()]
        command = ["extmap-tf", *map(str, arguments), f"--out={out}", *options]
        print("$", *command, flush=True)
        subprocess.run([sys.executable, "-m", "extmap_tf", *command[1:]], check=True)


def make_models(out, n_pairs, epochs):
    """Records, training and SavedModel for each set of sightlines; their folders by number of sightlines."""
    for n, (l_deg, b_deg) in TRAINING.items():
        sets = {
            "mocks.l_deg": l_deg,
            "mocks.b_deg": b_deg,
            "mocks.n_pairs": n_pairs,
            "mocks.pool_fields": POOL_FIELDS / n,
            "training.epochs": epochs,
        }
        run(out / f"mocks-{n}", "records", "mocks", "--config", NARROW, *WORKERS, sets=sets)
        if not (out / f"model-{n}").exists():
            # Goes on with a training that was stopped, so it is asked for whatever there is.
            command = ["train", f"--records={out}/mocks-{n}", f"--out={out}/training-{n}"]
            if not (out / f"training-{n}" / "model.json").exists():
                print("$ extmap-tf", *command, flush=True)
                subprocess.run([sys.executable, "-m", "extmap_tf", *command], check=True)
            run(out / f"model-{n}", "export", f"--model={out}/training-{n}")
    l_deg, b_deg = SECTOR
    sets = {
        "mocks.l_deg": l_deg,
        "mocks.b_deg": b_deg,
        "mocks.n_pairs": SECTOR_PAIRS,
        "mocks.test_fraction": 0.49,
    }
    run(out / "sector", "records", "mocks", "--config", NARROW, *WORKERS, sets=sets)
    return {n: out / f"model-{n}" for n in TRAINING}


def separation_deg(l_deg, b_deg, training):
    """Angle [n] from positions [n] to the nearest of the training sightlines (l, b)."""

    def unit(l, b):
        l, b = np.radians(l), np.radians(b)
        return np.stack([np.cos(b) * np.cos(l), np.cos(b) * np.sin(l), np.sin(b)], axis=-1)

    nodes = unit(*np.meshgrid(*training)).reshape(-1, 3)
    return np.degrees(np.arccos(np.clip(unit(l_deg, b_deg) @ nodes.T, -1.0, 1.0))).min(axis=1)


def errors_on_sector(models, sector):
    """l_deg, b_deg [n] and, by model, the cumulative extinction's error [n, n_distances_kpc], in mag."""
    from extmap_tf.model.scoring import Scorer
    from extmap_tf.model.versions import find_saved_model
    from extmap_tf.records.dataset import evaluation_dataset

    scorers = {n: Scorer(find_saved_model(path)[0]) for n, path in models.items()}
    distance = sector.manifest.config.distance
    l_deg, b_deg, errors = [], [], {n: [] for n in models}
    for inputs, density in evaluation_dataset(sector, "test"):
        arrays = [inputs[name].numpy() for name in ("counts", "l_deg", "b_deg")]
        truth = np.cumsum(density.numpy(), axis=1) * distance.step_kpc
        l_deg.append(arrays[1])
        b_deg.append(arrays[2])
        for n, scorer in scorers.items():
            off = scorer.score_counts(*arrays).extinction_median - truth
            errors[n].append(profiles_at(off, distance, DISTANCES_KPC))
    join = np.concatenate
    return join(l_deg), join(b_deg), {n: join(parts) for n, parts in errors.items()}


def table(l_deg, b_deg, errors):
    """Markdown, and the same rows for JSON: mean absolute error in mag by training and separation."""
    lines = [
        "| training sightlines | separation, deg | pairs | " + " | ".join(map(_kpc, DISTANCES_KPC)) + " |"
    ]
    lines.append("|---|---|---|" + "---|" * len(DISTANCES_KPC))
    rows = []
    for n, off in errors.items():
        away = separation_deg(l_deg, b_deg, TRAINING[n])
        for low, high in ((0.0, 90.0), *itertools.pairwise(SEPARATIONS_DEG)):
            inside = (away >= low) & (away < high)
            if inside.any():
                mean = np.abs(off[inside]).mean(axis=0)
                rows.append({"training_sightlines": n, "from_deg": low, "to_deg": high})
                rows[-1] |= {"pairs": int(inside.sum()), "mean_absolute_error_mag": mean.tolist()}
                where = "all" if high == 90.0 else f"{low:g} to {high:g}"
                cells = " | ".join(f"{x:.3f}" for x in mean)
                lines.append(f"| {n} | {where} | {inside.sum()} | {cells} |")
    return "\n".join(lines), rows


def draw(path, l_deg, b_deg, errors):
    """Error against separation, and the sector's sightlines coloured by their error at 3 kpc."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.5), layout="constrained")
    grid = figure.add_gridspec(len(errors), 2, width_ratios=[1, 1.25])
    axis = figure.add_subplot(grid[:, 0])
    places = np.unique(np.column_stack([l_deg, b_deg]), axis=0)
    here = [(l_deg == l) & (b_deg == b) for l, b in places]
    at = DISTANCES_KPC.index(3.0)
    by_place = {n: np.array([np.abs(off[mask, at]).mean() for mask in here]) for n, off in errors.items()}
    top = max(values.max() for values in by_place.values())
    for row, (n, values) in enumerate(by_place.items()):
        away = separation_deg(*places.T, TRAINING[n])
        axis.plot(away, values, "os^"[row], color=COLORS[row], label=f"trained on {n}", ms=5)
        sky = figure.add_subplot(grid[row, 1])
        dots = sky.scatter(*places.T, c=values, s=60, vmin=0, vmax=top, cmap="viridis", edgecolor="none")
        sky.plot(*np.stack(np.meshgrid(*TRAINING[n])).reshape(2, -1), "k+", ms=9)
        sky.set(xlim=(305, 255), ylim=(-6.5, 6.5), ylabel="b / deg", title=f"trained on {n} (crosses)")
        if row < len(errors) - 1:
            sky.tick_params(labelbottom=False)
    sky.set_xlabel("l / deg")
    figure.colorbar(dots, ax=figure.axes[1:], label="mean |error| of A(Ks) to 3 kpc / mag")
    axis.set(
        xlabel="angle to the nearest training sightline / deg",
        ylabel="mean |error| of A(Ks) to 3 kpc / mag",
        ylim=(0, None),
    )
    axis.legend()
    save(figure, path, overwrite=True, dpi=110)


def map_sky(out, models):
    """A mock sky of the sector, a field every half degree, mapped by each model."""
    folder = out / "sky"
    config = Config.load(NARROW).replace(**SKY)
    if not folder.exists():
        making = out / "sky.incomplete"
        making.mkdir(exist_ok=True)
        make_sky(config, making)
        making.rename(folder)
    truth = ExtinctionMap.read(folder / "truth.fits")
    run(
        out / "survey",
        *("records", "survey", folder / "sky.parquet", "--config", NARROW),
        sets=SKY,
    )
    for n, model in models.items():
        run(out / f"map-{n}.fits", "score", f"--records={out}/survey", f"--model={model}")
        found = metrics.compare_maps(ExtinctionMap.read(out / f"map-{n}.fits"), truth)
        print(f"\n{n} training sightlines, mock sky:", metrics.format_table(found.overall), sep="\n")
        figures = ("plot", out / f"map-{n}.fits", f"--truth={folder}/truth.fits", f"--records={out}/survey")
        run(out / f"figures-{n}", *figures)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", type=int, default=60000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--sky", action="store_true")
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    args.out.mkdir(exist_ok=True)
    models = make_models(args.out, args.pairs, args.epochs)
    start_tensorflow()
    l_deg, b_deg, errors = errors_on_sector(models, Records.open(args.out / "sector"))
    text, rows = table(l_deg, b_deg, errors)
    print(text, flush=True)
    metrics.write_json(
        {"distances_kpc": DISTANCES_KPC, "rows": rows}, args.out / "errors.json", overwrite=True
    )
    if args.figure:
        draw(args.figure, l_deg, b_deg, errors)
    if args.sky:
        map_sky(args.out, models)


def _kpc(distance_kpc):
    return f"{distance_kpc:g} kpc"


if __name__ == "__main__":
    main()
