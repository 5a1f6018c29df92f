"""Positions per second of a map's queries, on one core.

    python tests/benchmarks/query_speed.py

A map of the `carina` sector is written to a temporary file and read back. Besides seconds of processor time,
which depend on the machine, each line has the ratio to numpy picking as many elements of an array of the
map's size by index.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from extmap_tf import Config, ExtinctionMap
from extmap_tf.estimate import ProfileEstimate
from extmap_tf.map.header import MapHeader
from extmap_tf.map.provenance import Provenance


def fastest(function, repeats):
    """The least processor time of several calls, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--positions", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", help="write figures and ratios to this file")
    args = parser.parse_args()
    n, rng = args.positions, np.random.default_rng(0)
    config = Config.named("carina")
    grid = config.sightlines
    density = rng.gamma(0.5, 0.4, (*grid.shape, config.distance.n_distances))
    made = ExtinctionMap(
        MapHeader(grid, config.distance, Provenance.of(config, "estimate")),
        ProfileEstimate.of_density(density, config.distance.step_kpc),
        np.ones(grid.shape),
        np.full(grid.shape, 3000),
    )
    l_deg, b_deg = rng.uniform(257.0, 303.0, n), rng.uniform(-5.0, 5.0, n)
    d_kpc = rng.uniform(0.0, 10.0, n)
    coords = SkyCoord(l_deg * u.deg, b_deg * u.deg, d_kpc * u.kpc, frame="galactic")
    equatorial = coords.icrs
    index = tuple(rng.integers(size, size=n) for size in density.shape)
    cube = made.extinction
    with tempfile.TemporaryDirectory() as folder:
        made.write(Path(folder) / "map.fits")
        volume = ExtinctionMap.read(Path(folder) / "map.fits")
        rows = {
            "numpy: cube[i_b, i_l, k]": lambda: cube[index],
            "query_gal, nearest field": lambda: volume.query_gal(l_deg, b_deg, d_kpc),
            "query of a SkyCoord, nearest field": lambda: volume.query(coords),
            "the same, equatorial": lambda: volume.query(equatorial),
            "query_gal, linear on the sky": lambda: volume.query_gal(l_deg, b_deg, d_kpc, sky="linear"),
        }
        seconds = {name: fastest(function, args.repeats) for name, function in rows.items()}
    reference = next(iter(seconds.values()))
    print(f"{n:,} positions, one core, least of {args.repeats}")
    for name, second in seconds.items():
        print(f"{name:<36} {second:7.3f} s {n / second / 1e6:8.1f} million/s {second / reference:7.1f} x")
    if args.json:
        ratios = {f"{name}, over numpy": reference / second for name, second in seconds.items()}
        figures = {f"{name}, positions/s": n / second for name, second in seconds.items()}
        Path(args.json).write_text(json.dumps({"figures": figures, "ratios": ratios}, indent=1) + "\n")


if __name__ == "__main__":
    main()
