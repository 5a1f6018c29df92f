"""What it costs to read and count a survey's stars.

    python tests/benchmarks/ingest.py

A 2MASS PSC file of synthetic stars (gzip, all 60 columns) and a Parquet table of the same stars are made in a
temporary folder and counted on the `carina` grid, each time in a new process, in turn with
``gzip -dc FILE | wc -l``. Then the whole job runs, on the file and on its two halves by two workers. Last,
tables of stars strewn over ever larger grids are counted: how the cost of a row grows with the number of
sightlines. All stars lie in the grid, in strips of declination as in the PSC. Processor time is what a
busy machine changes least.
"""

import argparse
import contextlib
import gzip
import json
import multiprocessing
import os
import re
import resource
import subprocess
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from astropy.coordinates import SkyCoord

from beam_jobs.graphs.twomass_to_records import make_records, table_to_partial_counts
from extmap_tf.catalogs.formats.delimited import PSC_COLUMNS
from extmap_tf.catalogs.survey_tables import AS_IT_IS, Reading
from extmap_tf.settings.config import Config

BLOCK_ROWS = 100_000
EQUATORIAL = Reading({"ra": "ra", "dec": "decl"})
ALL_SKY = {"sightlines.l_min_deg": 0.0, "sightlines.l_max_deg": 359.75}


def grids():
    """Configurations of 100 to 660,960 sightlines with fields of 30 arcmin every 15 arcmin."""
    carina = Config.named("carina")
    for low, high, more in [
        (-1.0, 1.25, {"sightlines.l_min_deg": 280.0, "sightlines.l_max_deg": 282.25}),
        (-5.0, 5.0, {}),
        (-8.75, 8.75, ALL_SKY),
        (-57.25, 57.25, ALL_SKY),
    ]:
        yield carina.replace(**more, **{"sightlines.b_min_deg": low, "sightlines.b_max_deg": high})


def draw_stars(n, grid, rng):
    """Columns that are read, of stars strewn evenly over a grid: dict of ndarray [n]."""
    low, high = (np.sin(np.radians(b)) for b in (grid.b_min_deg, grid.b_max_deg))
    l_deg = rng.uniform(grid.l_min_deg, grid.l_max_deg, n)
    b_deg = np.degrees(np.arcsin(rng.uniform(low, high, n)))
    equatorial = SkyCoord(l_deg, b_deg, unit="deg", frame="galactic").icrs
    ra_deg, dec_deg = equatorial.ra.deg, equatorial.dec.deg
    order = np.lexsort((ra_deg, np.floor(10 * dec_deg)))
    ks = np.minimum(16.5 - rng.exponential(2.0, n), 16.4)
    stars = {"ra": ra_deg[order], "decl": dec_deg[order], "glon": l_deg[order], "glat": b_deg[order]}
    quality = rng.choice(5, n, p=[0.55, 0.2, 0.1, 0.1, 0.05])
    for band, excess, limit in (("j", 0.9 + rng.exponential(0.3, n), 4), ("k", 0.0, 3)):
        stars[f"{band}_m"] = np.round(ks + excess, 3)
        error = np.round(0.02 + 0.1 * 10 ** (0.4 * (ks - 15.5)), 3)
        stars[f"{band}_msigcom"] = np.where(quality == limit, np.nan, error)
    stars["ph_qual"] = np.array(["AAA", "AAB", "BCD", "AAU", "UAA"])[quality]
    return stars


def draw_others(n, rng):
    """Text of the columns that are not read: dict of arrays [n]."""
    decimals = {"err_maj": 2, "err_min": 2, "x_scan": 1, "jdate": 4, "prox": 1}
    flags = {"rd_flg": "222", "bl_flg": "111", "cc_flg": "000", "ndet": "666666", "date": "1998-10-24"}
    flags |= {"gal_contam": "0", "mp_flg": "0", "hemis": "s", "dist_edge_flg": "ne", "dup_src": "0"}
    flags |= {"use_src": "1", "a": "0", "nopt_mchs": "0", "ext_key": r"\N"}
    numbers = {"err_ang": 180, "pxpa": 360, "scan": 300, "coadd": 300, "dist_edge_ew": 500, "phi_opt": 360}
    numbers |= {"dist_edge_ns": 21000, "scan_key": 65000, "coadd_key": 1500000}
    digits = rng.integers(10**15, 10**16, n)
    others = {"designation": pc.cast(pa.array(digits), pa.string())}
    for name in PSC_COLUMNS:
        if name in flags:
            others[name] = pa.array([flags[name]] * n)
        elif name in numbers or name in ("pxcntr", "pts_key"):
            others[name] = pc.cast(pa.array(rng.integers(numbers.get(name, 1300000000), size=n)), pa.string())
        elif name not in others:
            value = np.round(rng.uniform(0.01, 20.0, n), decimals.get(name, 3))
            others[name] = pc.cast(pa.array(value), pa.string())
    return others


def write_psc(stars, whole, halves, rng):
    """Write a PSC file, and its halves, as gzip members; all levels from 4 on are decompressed as fast."""
    n = len(stars["ra"])
    block_rows = min(BLOCK_ROWS, n // 2 + 1)
    others = draw_others(block_rows, rng)
    decimals = {"ra": 6, "decl": 6}

    def block(start):
        part = {name: values[start : start + block_rows] for name, values in stars.items()}
        n_rows = len(part["ra"])
        # The texts that are not read repeat in each block, far outside what gzip looks back to.
        columns = {name: others[name].slice(0, n_rows) for name in PSC_COLUMNS if name in others}
        for name, values in part.items():
            if name != "ph_qual":
                values = np.round(values, decimals.get(name, 3))
                text = pc.cast(pa.array(values, from_pandas=True), pa.string())
                columns[name] = pc.fill_null(text, r"\N")
            else:
                columns[name] = pa.array(values)
        out = pa.BufferOutputStream()
        form = pa.csv.WriteOptions(include_header=False, delimiter="|", quoting_style="none")
        pa.csv.write_csv(pa.table({name: columns[name] for name in PSC_COLUMNS}), out, form)
        return gzip.compress(out.getvalue(), 4)

    starts = range(0, n, block_rows)
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(os.cpu_count()))
        streams = [stack.enter_context(open(path, "wb")) for path in (whole, *halves)]
        for start, member in zip(starts, pool.map(block, starts), strict=True):
            streams[0].write(member)
            streams[1 + (2 * start >= n)].write(member)


def write_parquet(stars, path):
    """The columns that are read, errors of upper limits as null."""
    pa.parquet.write_table(pa.table({k: pa.array(v, from_pandas=True) for k, v in stars.items()}), path)


def count(path, config, reading=AS_IT_IS, warm=None):
    """Count a table's stars: seconds, processor seconds, peak MB, and what was counted."""
    how = config.views, 0, config.sightlines, reading
    if warm:
        list(table_to_partial_counts(warm, *how))
    wall, cpu = time.perf_counter(), time.process_time()
    n_pairs = 0
    for tag, value in table_to_partial_counts(path, *how):
        # Each star of a field is there twice: in a pixel, and in a cell.
        n_pairs += value[1][1].sum(dtype=int) // 2 if tag == "block" else 0
    return figures(wall, cpu) | {"rows": value["rows"], "counted": value["counted"], "pairs": int(n_pairs)}


def job(paths, config, out, argv=()):
    """Run the job: as `count`, processor seconds of its workers included."""
    wall, cpu = time.perf_counter(), time.process_time()
    report = make_records(config, paths, out, overwrite=True, beam_argv=argv).report
    return figures(wall, cpu) | {"rows": report["rows"], "counted": report["counted"]}


def figures(wall, cpu):
    """Seconds since then; the peak is that of the largest process."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    # ru_maxrss of this process would include what its parent held when it started.
    own_kb = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
    return {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu + children.ru_utime + children.ru_stime,
        "peak_mb": max(own_kb, children.ru_maxrss) / 1024,
    }


def in_new_process(function, *args):
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def gunzip(path):
    """``gzip -dc | wc -l``: seconds, and processor seconds of both."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(["sh", "-c", 'gzip -dc "$0" | wc -l', path], check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall_s": wall, "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def median(runs):
    """Of each number of several runs."""
    return {name: float(np.median([run[name] for run in runs])) for name in runs[0]}


def line(what, run):
    rows = run["rows"]
    peak = f"{run['peak_mb']:8.0f}" if "peak_mb" in run else " " * 8
    print(
        f"{what:<34} {rows:10,.0f} {run['wall_s']:8.2f} {run['cpu_s']:8.2f} {rows / run['wall_s']:11,.0f}"
        f" {rows / run['cpu_s']:12,.0f} {peak}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000, help="of the PSC file (default: %(default)s)")
    parser.add_argument("--grid-rows", type=int, default=1_000_000, help="of each grid's table")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write ratios (higher is better) and figures to this file")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    found = {}
    with tempfile.TemporaryDirectory(prefix="ingest-") as folder:
        names = ("psc.gz", "psc.parquet", "warm.parquet", "grid.parquet")
        psc, parquet, warm, table = (f"{folder}/{name}" for name in names)
        halves = [f"{folder}/half{i}.gz" for i in range(2)]
        carina = Config.named("carina")
        start = time.perf_counter()
        stars = draw_stars(args.rows, carina.sightlines, rng)
        write_psc(stars, psc, halves, rng)
        write_parquet(stars, parquet)
        write_parquet({name: values[:1000] for name, values in stars.items()}, warm)
        del stars
        n_bytes = os.path.getsize(psc) / args.rows
        print(f"tables made in {time.perf_counter() - start:.0f} s; PSC: {n_bytes:.0f} bytes a row in gzip")

        head = f"medians of {args.repeats}"
        print(f"{head:<34}       rows   wall s    cpu s rows/wall s   rows/cpu s  peak MB")
        kinds = ("gzip -dc | wc -l", "count PSC", "count Parquet, l b", "count Parquet, ra dec")
        runs = {kind: [] for kind in kinds}
        for _ in range(args.repeats):
            runs["gzip -dc | wc -l"].append(gunzip(psc) | {"rows": args.rows})
            runs["count PSC"].append(in_new_process(count, psc, carina))
            for what, reading in (("l b", AS_IT_IS), ("ra dec", EQUATORIAL)):
                run = in_new_process(count, parquet, carina, reading, warm)
                runs[f"count Parquet, {what}"].append(run)
        for what, several in runs.items():
            found[what] = median(several)
            line(what, found[what])

        two = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
        for what, paths, argv in (
            ("job, 1 process", [psc], []),
            ("job, halves in 2 processes", halves, two),
        ):
            found[what] = in_new_process(job, paths, carina, f"{folder}/out", argv)
            line(f"{what} (once)", found[what])

        for config in grids():
            n_sightlines = config.sightlines.n_sightlines
            write_parquet(draw_stars(args.grid_rows, config.sightlines, rng), table)
            several = [in_new_process(count, table, config, AS_IT_IS, warm) for _ in range(args.repeats)]
            what = f"{n_sightlines} sightlines"
            found[what] = run = median(several)
            line(f"{what}, {run['pairs'] / run['counted']:.2f} fields/star", run)

    def rate(what, seconds="cpu_s", of="rows"):
        return found[what][of] / found[what][seconds]

    grid = list(grids())
    small, large = (f"{config.sightlines.n_sightlines} sightlines" for config in (grid[0], grid[-1]))
    ratios = {
        "ingest_psc_over_gunzip_wall": rate("count PSC", "wall_s") / rate("gzip -dc | wc -l", "wall_s"),
        "ingest_psc_over_gunzip_cpu": rate("count PSC") / rate("gzip -dc | wc -l"),
        "ingest_parquet_over_gunzip_cpu": rate("count Parquet, l b") / rate("gzip -dc | wc -l"),
        "ingest_parquet_equatorial_over_gunzip_cpu": rate("count Parquet, ra dec") / rate("gzip -dc | wc -l"),
        "ingest_job_over_count_cpu": rate("job, 1 process") / rate("count PSC"),
        "ingest_2_processes_over_1_wall": rate("job, halves in 2 processes", "wall_s")
        / rate("job, 1 process", "wall_s"),
        "ingest_all_sky_over_100_sightlines_cpu": rate(large, of="pairs") / rate(small, of="pairs"),
    }
    for name, ratio in ratios.items():
        print(f"{name:<45} {ratio:6.2f}")
    if args.json:
        args.json.write_text(json.dumps({"ratios": ratios, "figures": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
