"""A mock observed sky: a survey's table of a region behind known dust, as a file like the real ones."""

import numpy as np

from extmap_tf import __version__
from extmap_tf.extinction.dust import MARGIN_DEG
from extmap_tf.extinction.law import blue_over_red
from extmap_tf.files import whole_path
from extmap_tf.galaxy import Galaxy
from extmap_tf.survey import faint_limit_mag, observe

_SKY = 5
# Tiles begin at the outermost fields' edges, and so end inside the margin of the dust.
TILE_DEG = MARGIN_DEG


def write_sky(config, dust, path, progress=lambda tiles: tiles, overwrite=False):
    """Draw every star of the region, dim it by the dust in front of it, observe it, and write the table.

    Parameters
    ----------
    config : extmap_tf.config.Config
    dust : extmap_tf.extinction.dust.DustCube
    path : path-like
        A Parquet file with the columns of the 2MASS point source catalog: glon, glat (deg), j_m, j_msigcom,
        k_m, k_msigcom (mag), ph_qual. Stars fainter than the survey's limits are not in it.
    progress : callable
        Wraps the list of tiles that is worked through.
    overwrite : bool

    Returns
    -------
    int
        Number of rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.float64()
    schema = pa.schema(
        [(name, kind) for name in ("glon", "glat", "j_m", "j_msigcom", "k_m", "k_msigcom")]
        + [("ph_qual", pa.string())],
        metadata={
            "content": "mock observed sky behind known dust",
            "config": f"{config.name} ({config.digest})",
            "software": f"extmap_tf {__version__}",
        },
    )
    n_rows = 0
    with whole_path(path, overwrite) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for number, (l_deg, b_deg) in enumerate(progress(_tiles(config.sightlines))):
            columns = _observe_tile(config, dust, number, l_deg, b_deg)
            n_rows += len(columns[0])
            quality = np.full(len(columns[0]), "A" * 3)
            writer.write_table(pa.table([*columns, quality], schema=schema))
    return n_rows


def _observe_tile(config, dust, number, l_deg, b_deg):
    """Columns of the stars of one tile, TILE_DEG on a side, around (l, b)."""
    rng = np.random.default_rng([config.seed, _SKY, number])
    survey = config.survey
    # A tile is a square in l and b, so its area shrinks with cos b.
    area_deg2 = TILE_DEG**2 * np.cos(np.radians(b_deg))
    bands = (survey.blue.name, survey.red.name)
    limit_mag = faint_limit_mag(survey.red, survey.cuts)
    stars = Galaxy.of(config.galaxy).draw(l_deg, b_deg, area_deg2, limit_mag, rng, bands=bands)
    l = l_deg + TILE_DEG * rng.uniform(-0.5, 0.5, stars.n_stars)
    b = b_deg + TILE_DEG * rng.uniform(-0.5, 0.5, stars.n_stars)
    a_red = dust.cumulative_at(l, b, stars.distance_kpc)
    ratio = np.float32(blue_over_red(config.law, survey))
    seen = observe(stars.blue_mag + ratio * a_red, stars.red_mag + a_red, survey, area_deg2, rng)
    # Magnitudes as catalogs print them.
    magnitudes = (seen.blue_mag, seen.blue_error_mag, seen.red_mag, seen.red_error_mag)
    return (
        np.mod(l[seen.index], 360.0),
        b[seen.index],
        *(np.round(column.astype(float), 3) for column in magnitudes),
    )


def _tiles(sightlines):
    """Centres of the tiles that cover every field."""
    reach = 0.5 * sightlines.field_deg
    cos_b = np.cos(np.radians(max(abs(sightlines.b_min_deg), abs(sightlines.b_max_deg))))
    l = _steps(sightlines.l_min_deg - reach / cos_b, sightlines.l_max_deg + reach / cos_b)
    b = _steps(sightlines.b_min_deg - reach, sightlines.b_max_deg + reach)
    return [(float(x), float(y)) for y in b for x in l]


def _steps(low, high):
    return low + TILE_DEG * (np.arange(int(np.ceil((high - low) / TILE_DEG - 1e-9))) + 0.5)
