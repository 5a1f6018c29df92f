"""Make the map that comes with the package anew, from the demo's::

python -m extmap_tf.map.make_example demo/map.fits
"""

import argparse
import dataclasses
import gzip
import tempfile
from importlib import resources
from pathlib import Path

import numpy as np

from extmap_tf.errors import DataError
from extmap_tf.estimate import ProfileEstimate
from extmap_tf.files import PathLike, whole_file
from extmap_tf.map.example import EXAMPLE_FILE
from extmap_tf.map.volume import ExtinctionMap

N_SAMPLES = 16
PERCENTILES = (2.5, 16.0, 50.0, 84.0, 97.5)


def pack(source: PathLike, out: PathLike) -> int:
    """Write a map smaller: fewer samples and percentiles, numbers rounded to 0.2 %, compressed.

    Parameters
    ----------
    source : path-like
        A map with samples and the percentiles of a model.
    out : path-like
        Replaced if it is there.

    Returns
    -------
    int
        Bytes of the file.
    """
    volume = ExtinctionMap.read(source)
    if volume.n_samples < N_SAMPLES:
        raise DataError(f"{source}: {volume.n_samples} samples, {N_SAMPLES} are needed: score with --samples")
    kept = [volume.percentiles.index(percent) for percent in PERCENTILES]
    arrays = {name: np.array(array) for name, array in volume.profiles.arrays().items()}
    arrays["samples"] = arrays["samples"][..., :N_SAMPLES, :]
    for name in ("extinction_percentiles", "density_percentiles"):
        arrays[name] = arrays[name][..., kept, :]
    rounded = {name: _short(array) if array.dtype.kind == "f" else array for name, array in arrays.items()}
    profiles = ProfileEstimate(**rounded, percentiles=PERCENTILES)
    header = dataclasses.replace(volume.header, percentiles=PERCENTILES, n_samples=N_SAMPLES)
    surveys = volume.surveys if header.tells_surveys else None
    small = ExtinctionMap(header, profiles, volume.coverage, volume.n_stars, surveys)
    with tempfile.TemporaryDirectory() as folder:
        small.write(Path(folder) / "example.fits")
        packed = gzip.compress((Path(folder) / "example.fits").read_bytes(), mtime=0)
    with whole_file(out, "wb", overwrite=True) as stream:
        stream.write(packed)
    return len(packed)


def _short(values):
    """float32 with 8 bits of mantissa."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x4000) & np.uint32(0xFFFF8000)).view(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("map", help="map of the demo")
    out = Path(str(resources.files("extmap_tf.map"))) / EXAMPLE_FILE
    print(f"{out}: {pack(parser.parse_args().map, out):,} bytes")


if __name__ == "__main__":
    main()
