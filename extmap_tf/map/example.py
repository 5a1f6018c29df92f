"""The small map that comes with the package; `extmap_tf.map.make_example` makes it anew."""

import gzip
import tempfile
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np

from extmap_tf.map.formats import read_layers
from extmap_tf.map.header import MapHeader
from extmap_tf.map.layers import Layers

EXAMPLE_FILE = "example.fits.gz"


@lru_cache(maxsize=1)
def example_layers() -> tuple[Layers, MapHeader]:
    """Layers and header of the map, in memory."""
    packed = (resources.files("extmap_tf.map") / EXAMPLE_FILE).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "example.fits"
        path.write_bytes(gzip.decompress(packed))
        layers, header = read_layers(path)
        # Whole, for the file goes.
        return {name: np.array(layer) for name, layer in layers.items()}, header
