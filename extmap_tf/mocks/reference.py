"""What fields hold without extinction: the reference that a network sees beside each field."""

import numpy as np

from extmap_tf.grids.sky import SkyGrid
from extmap_tf.mocks.fields import dim_and_count
from extmap_tf.mocks.pools import catalog_of_file, draw_catalog
from extmap_tf.mocks.seeds import REFERENCE, position_words
from extmap_tf.settings.config import Config
from extmap_tf.settings.mocks import MocksConfig

REFERENCE_FIELDS = 8.0
"""Size of the draw behind a reference CMD: its noise is a third of a field's."""


def reference_nodes(mocks: MocksConfig, sightlines: SkyGrid) -> tuple[tuple[float, float], ...]:
    """Where reference CMDs are tabulated.

    Returns
    -------
    tuple of (float, float)
        (l, b) in degrees: the training sightlines and, with the built-in Galaxy, a grid over the map's
        region, its borders included.
    """
    if mocks.catalogs:
        return mocks.sightlines_deg()
    nodes = set(sightlines.nodes_deg(mocks.reference_step_deg))
    return tuple(sorted(nodes | set(mocks.sightlines_deg())))


def reference_diagrams(config: Config, l_deg: float, b_deg: float) -> dict[str, np.ndarray]:
    """What to expect without extinction: the mean over `REFERENCE_FIELDS` fields, or a file's stars.

    Returns
    -------
    dict of str to ndarray of float32 [n_y, n_x]
        Stars per pixel and field, by the names of the diagrams.
    """
    catalog = catalog_of_file(config, l_deg, b_deg)
    if catalog is None:
        catalog = draw_catalog(config, l_deg, b_deg, REFERENCE_FIELDS, [REFERENCE])
    rng = np.random.default_rng([config.seed, REFERENCE, *position_words(l_deg, b_deg), 1])
    no_dust = np.zeros(config.distance.n_distances, np.float32)
    per_field = config.sightlines.area_deg2 / catalog.area_deg2
    counts = dim_and_count(catalog, no_dust, config, rng)
    return {name: (stars * per_field).astype(np.float32) for name, stars in counts.items()}
