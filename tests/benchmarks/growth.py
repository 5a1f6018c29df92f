"""How the cost of each step grows: with stars, sightlines, training pairs, and workers.

    python tests/benchmarks/growth.py [STEP ...]

Each step runs the command line in new processes for ever larger inputs, up to three decades, and keeps the
processor seconds, workers included, which a busy machine changes least. They go to ``growth.json`` and into
``figures/growth.png``; a step that is not named keeps what was measured before, and without a measurement
(``--draw``) all is drawn anew. The table that is printed is the one of ``growth.md``.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ingest import ALL_SKY, draw_stars, in_new_process, write_parquet, write_psc
from networks import write_survey

from beam_jobs.graphs.score_to_map import put_tiles, write_tile
from extmap_tf import Config
from extmap_tf.estimate import PERCENTILES
from extmap_tf.map.formats import new_map_file
from extmap_tf.map.header import MapHeader
from extmap_tf.map.provenance import Provenance
from extmap_tf.quiet import start_tensorflow

HERE = Path(__file__).parent
KEPT = HERE / "growth.json"
FIGURE = HERE / "figures" / "growth.png"

# All sky but the poles, fields of 30 arcmin every 15 arcmin; the Point Source Catalog.
ALL_FIELDS = 660_960
ALL_STARS = 471_000_000
CARINA_PAIRS = 240_000

STARS = (10_000, 100_000, 1_000_000)
PAIRS = (100, 1000, 10_000)
WORKERS = (1, 2, 4)
FIELDS_AT_ONCE = 512

# What grows in a step: its unit and where the extrapolation goes.
AXES = {
    "stars": ("stars", ALL_STARS),
    "survey records": ("sightlines", ALL_FIELDS),
    "score": ("sightlines", ALL_FIELDS),
    "map file": ("sightlines", ALL_FIELDS),
    "pairs": ("pairs", CARINA_PAIRS),
}


def grids():
    """Configurations of 76, 780, 7,585 and 59,040 sightlines around the plane."""
    carina = Config.named("carina")
    for l_deg, b_deg in (
        ((280.0, 284.5), 0.375),
        ((280.0, 289.5), 2.375),
        ((257.0, 303.0), 5.0),
        ((0.0, 359.75), 5.0),
    ):
        ends = dict(
            zip(("l_min_deg", "l_max_deg", "b_min_deg", "b_max_deg"), (*l_deg, -b_deg, b_deg), strict=True)
        )
        yield carina.replace(**{f"sightlines.{name}": value for name, value in ends.items()})


def all_sky():
    b = {"sightlines.b_min_deg": -57.25, "sightlines.b_max_deg": 57.25}
    return Config.named("carina").replace(**b, **ALL_SKY)


def cost_of(*words, workers=1):
    """Run a command of extmap-tf: seconds, and processor seconds of all its processes."""
    argv = [sys.executable, "-m", "extmap_tf", *map(str, words)]
    if workers > 1:
        argv += ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
    start = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(argv, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(said.read().decode())
    return {"s": time.perf_counter() - start, "processor s": used.ru_utime + used.ru_stime}


def stars(folder):
    """Survey records of ever more stars of a PSC file, on the grid of carina."""
    carina, rng = Config.named("carina"), np.random.default_rng(0)
    for n in STARS:
        psc = folder / "psc.gz"
        write_psc(draw_stars(n, carina.sightlines, rng), psc, [folder / "a.gz", folder / "b.gz"], rng)
        yield "stars", n, survey_records(folder, carina, psc)


def survey_records(folder, config, *tables, workers=1):
    config.write(folder / "config.toml", overwrite=True)
    where = ("--config", folder / "config.toml", "--out", folder / "survey", "--overwrite")
    return cost_of("records", "survey", *tables, *where, workers=workers)


def sightlines(folder):
    """Survey records of as many stars and scoring, both for ever more sightlines."""
    rng = np.random.default_rng(0)
    for config in grids():
        n = config.sightlines.n_sightlines
        write_parquet(draw_stars(STARS[1], config.sightlines, rng), folder / "sky.parquet")
        yield "survey records", n, survey_records(folder, config, folder / "sky.parquet")
        (folder / f"of-{n}").mkdir()
        write_survey(config, folder / f"of-{n}")
        yield "score", n, score(folder / f"of-{n}", folder / "map.fits")


def score(records, out, workers=1):
    where = ("--records", records, "--model", "carina", "--out", out, "--overwrite")
    return cost_of("score", *where, workers=workers)


def map_file(folder):
    """The file of a map, filled with tiles of ever more sightlines by one process."""
    for config in (*grids(), all_sky()):
        yield "map file", config.sightlines.n_sightlines, in_new_process(fill_map, config, str(folder))


def fill_map(config, folder):
    """Fill a map's file from tiles, which are written as well; the memory is what belongs to no file."""
    grid, n_bins = config.sightlines, config.distance.n_distances
    header = MapHeader(grid, config.distance, Provenance.of(config, "estimate"), percentiles=PERCENTILES)
    rng, n = np.random.default_rng(0), FIELDS_AT_ONCE
    values = {
        "flag": np.zeros(n, np.uint8),
        "n_stars": np.ones(n, np.int32),
        "coverage": np.ones(n, np.float32),
    }
    values |= {"reliable": np.ones((n, n_bins), bool), "reliable_distance_kpc": np.ones(n, np.float32)}
    for name in ("extinction", "density"):
        values |= {f"{name}{of}": rng.random((n, n_bins), np.float32) for of in ("_median", "_mean", "_std")}
        values[f"{name}_percentiles"] = rng.random((n, len(PERCENTILES), n_bins), np.float32)
    peak = [0.0]

    def tiles():
        for first in range(0, grid.n_sightlines, n):
            layers = {name: layer[: grid.n_sightlines - first] for name, layer in values.items()}
            path = f"{folder}/{write_tile((first, layers), folder)}"
            yield path
            peak.append(int(re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024)
            os.unlink(path)

    start, spent = time.perf_counter(), time.process_time()
    with new_map_file(f"{folder}/filled.fits", header, overwrite=True) as put:
        put_tiles(put, tiles(), grid.n_sightlines)
    found = {
        "s": time.perf_counter() - start,
        "processor s": time.process_time() - spent,
        "peak MB": max(peak),
    }
    return found | {"GB": os.path.getsize(f"{folder}/filled.fits") / 1e9}


def pairs(folder):
    """Ever more training pairs, with fields of 20 arcmin, in which about 3,000 stars survive."""
    for n in PAIRS:
        yield "pairs", n, mock_records(folder, n)


def mock_records(folder, n, workers=1):
    where = ("--config", "carina", "--out", folder / "mocks", "--overwrite")
    fractions = {"mocks.validation_fraction": 0.1, "mocks.test_fraction": 0.1}
    chosen = {"mocks.n_pairs": n, "sightlines.field_deg": 0.3333} | fractions
    sets = [word for name, value in chosen.items() for word in ("--set", f"{name}={value}")]
    return cost_of("records", "mocks", *where, *sets, workers=workers)


def workers(folder):
    """The same work by one, two and four processes, which must give the same bytes."""
    (_, some, carina, _), rng = grids(), np.random.default_rng(0)
    tables = [folder / f"{i}.parquet" for i in range(4)]
    for table in tables:
        write_parquet(draw_stars(STARS[-1] // 4, carina.sightlines, rng), table)
    (folder / "records").mkdir()
    write_survey(some, folder / "records")
    jobs = {
        "survey records": ("survey", lambda n: survey_records(folder, carina, *tables, workers=n)),
        "score": ("map.fits", lambda n: score(folder / "records", folder / "map.fits", n)),
        "pairs": ("mocks", lambda n: mock_records(folder, PAIRS[0], n)),
    }
    for what, (made, run) in jobs.items():
        digests = set()
        for n in WORKERS:
            yield f"workers, {what}", n, run(n)
            path = folder / made
            digests.add(sha256(path if path.is_file() else path / "manifest.json"))
        if len(digests) != 1:
            raise SystemExit(f"{what}: the bytes depend on the number of processes")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def all_sky_records(folder):
    """Survey records of 660,960 sightlines, from four tables of a million stars."""
    config, rng = all_sky(), np.random.default_rng(0)
    tables = [folder / f"{i}.parquet" for i in range(4)]
    for table in tables:
        write_parquet(draw_stars(STARS[-1], config.sightlines, rng), table)
    yield "all-sky records", config.sightlines.n_sightlines, survey_records(folder, config, *tables)


STEPS = {
    "stars": stars,
    "sightlines": sightlines,
    "map": map_file,
    "pairs": pairs,
    "workers": workers,
    "all-sky": all_sky_records,
}


def line_of(costs):
    """Start and cost of one more, of costs {n: processor s}; all points count by their relative error."""
    n, cost = np.array(sorted(costs.items())).T
    slope, start = np.polyfit(n, cost, 1, w=1 / cost)
    return start, slope


def last_over_first_slope(costs):
    """How much dearer one more is in the last decade than in those before; 1 if the cost is linear."""
    n, cost = np.array(sorted(costs.items())).T
    return (cost[-1] - cost[-2]) / (n[-1] - n[-2]) / ((cost[-2] - cost[0]) / (n[-2] - n[0]))


def spent(kept, what):
    return {int(n): cost["processor s"] for n, cost in kept.get(what, {}).items()}


def table(kept):
    """Lines of Markdown."""
    yield "| step | measured, processor s | one more, ms | last decade over first | all sky, core-hours |"
    yield "|---|---|---|---|---|"
    for what, (unit, goal) in AXES.items():
        if costs := spent(kept, what):
            measured = ", ".join(f"{cost:.3g} of {n:,}" for n, cost in sorted(costs.items()))
            start, slope = line_of(costs)
            bend, hours = last_over_first_slope(costs), (start + slope * goal) / 3600
            more = f"{1000 * slope:.3g}" if slope > 1e-5 else f"{1e6 * slope:.2g} µs"
            yield f"| {what}, by {unit} | {measured} | {more} | {bend:.2f} | {hours:.2g} for {goal:,} |"
    for what in kept:
        if what.startswith("workers"):
            costs = sorted((int(n), cost) for n, cost in kept[what].items())
            said = ", ".join(f"{cost['processor s']:.1f} ({cost['s']:.0f} s) by {n}" for n, cost in costs)
            yield f"| {what} | {said} | | | |"


def draw(kept, path):
    from matplotlib.figure import Figure

    from extmap_tf.figures.style import save

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    panels = figure.subplots(1, 4, sharey=True)
    for panel, unit in zip(panels, ("stars", "sightlines", "pairs", "workers"), strict=True):
        shown = [what for what, (of, _) in AXES.items() if of == unit and what in kept]
        shown += [what for what in kept if what.startswith(unit + ",")]
        for number, what in enumerate(shown):
            costs = spent(kept, what)
            n = np.array(sorted(costs))
            name = what.removeprefix("workers, ")
            panel.plot(n, [costs[k] for k in n], "os^"[number], color=f"C{number}", label=name)
            if what in AXES:
                goal = AXES[what][1]
                start, slope = line_of(costs)
                x = np.geomspace(n[0], goal, 200)
                panel.plot(x[x <= n[-1]], start + slope * x[x <= n[-1]], color=f"C{number}", lw=1)
                panel.plot(x[x >= n[-1]], start + slope * x[x >= n[-1]], ":", color=f"C{number}", lw=1)
                panel.plot(goal, start + slope * goal, "os^"[number], color=f"C{number}", mfc="none")
            else:
                panel.plot(n, [costs[k] for k in n], color=f"C{number}", lw=1)
        panel.set(xscale="log", yscale="log", xlabel=unit)
        panel.grid(alpha=0.3)
        if shown:
            panel.legend(fontsize=8, loc="upper left")
    panels[-1].set_xticks(WORKERS, WORKERS)
    panels[-1].minorticks_off()
    panels[0].set_ylabel("processor seconds, start included")
    save(figure, path, overwrite=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(STEPS)} (default: all)")
    parser.add_argument("--draw", action="store_true", help="measure nothing, draw what was measured before")
    args = parser.parse_args()
    if unknown := set(args.steps) - STEPS.keys():
        parser.error(f"no step {unknown.pop()}")
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    chosen = [] if args.draw else [STEPS[name] for name in args.steps or STEPS]
    start_tensorflow()
    for measure in chosen:
        with tempfile.TemporaryDirectory(prefix="growth-") as folder:
            found = {}
            for what, n, cost in measure(Path(folder)):
                found.setdefault(what, {})[str(n)] = cost
                print(
                    f"{what:20s} {n:>10,}",
                    *(f"{name} {value:.2f}" for name, value in cost.items()),
                    flush=True,
                )
            kept |= found
            KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    print(*table(kept), sep="\n")
    draw(kept, FIGURE)


if __name__ == "__main__":
    main()
