"""A mock observed sky: a survey's table of a region behind known dust, as a file like the real ones."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from extmap_tf import __version__
from extmap_tf.catalogs.columns import names_to_write
from extmap_tf.extinction.dust import MARGIN_DEG
from extmap_tf.files import PathLike, whole_path
from extmap_tf.galaxy import Galaxy
from extmap_tf.grids.sky import SkyTile
from extmap_tf.mocks.fields import dimmed_magnitudes
from extmap_tf.mocks.nuisances import nothing_off
from extmap_tf.mocks.pools import bands_of, faint_limit_of, further_limits_of
from extmap_tf.mocks.seeds import SKY
from extmap_tf.settings.config import Config
from extmap_tf.settings.identity import SCHEMA
from extmap_tf.surveys.observing import observe
from extmap_tf.surveys.parallaxes import parallax_error

if TYPE_CHECKING:
    from extmap_tf.extinction.dust import DustCube, HealpixDust

# Tiles begin at the outermost fields' edges, and so end inside the margin of the dust.
TILE_DEG = MARGIN_DEG


def write_sky(
    config: Config,
    dust: "DustCube | HealpixDust",
    path: PathLike,
    progress: Callable[[Sequence[SkyTile]], Iterable[SkyTile]] = lambda tiles: tiles,
    overwrite: bool = False,
    which: int = 0,
) -> int:
    """Draw every star of the region, dim it by the dust in front of it, observe it, and write the table.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
    dust : extmap_tf.extinction.dust.DustCube or HealpixDust
    path : path-like
        A Parquet file with columns named as in the 2MASS point source catalog: glon, glat (deg), magnitude
        and error of each band (of J and Ks: j_m, j_msigcom, k_m, k_msigcom; mag), ph_qual; those of Gaia's
        bands as in its archive, with parallax and parallax_error (mas). Stars fainter than the survey's
        limits are not in it.
    progress : callable
        Wraps the list of tiles that is worked through.
    overwrite : bool
    which : int
        Of several surveys the one whose table it is; the stars are the same for all.

    Returns
    -------
    int
        Number of rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    survey = config.surveys[which]
    names = [name for band in survey.bands for name in names_to_write(band.name)]
    has_parallaxes = bool(survey.parallax.band)
    names += ["parallax", "parallax_error"] if has_parallaxes else []
    flags = [] if has_parallaxes else ["ph_qual"]
    schema = pa.schema(
        [(name, pa.float64()) for name in ("glon", "glat", *names)] + [(name, pa.string()) for name in flags],
        metadata={
            "schema": str(SCHEMA),
            "content": "mock observed sky behind known dust",
            "config": f"{config.name} ({config.digest})",
            "software": f"extmap_tf {__version__}",
        },
    )
    n_rows = 0
    with whole_path(path, overwrite) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for number, tile in enumerate(progress(config.sightlines.tiles(TILE_DEG))):
            columns = _observe_tile(config, survey, dust, number, tile)
            n_rows += len(columns[0])
            quality = [np.full(len(columns[0]), "A" * 3)] * len(flags)
            writer.write_table(pa.table([*columns, *quality], schema=schema))
    return n_rows


def _observe_tile(config, survey, dust, number, tile):
    """Columns of the stars of one tile."""
    rng = np.random.default_rng([config.seed, SKY, number])
    stars = Galaxy.of(config.galaxy).draw(
        tile.l_deg,
        tile.b_deg,
        tile.area_deg2,
        faint_limit_of(config.surveys),
        rng,
        bands=bands_of(config.surveys),
        limits_mag=further_limits_of(config.surveys),
    )
    l, b = tile.draw(stars.n_stars, rng)
    a_red = dust.cumulative_at(l, b, stars.distance_kpc)
    magnitudes = dimmed_magnitudes(stars, a_red, config, survey, nothing_off(config.nuisances))
    seen = observe(magnitudes, survey, tile.area_deg2, rng, distance_kpc=stars.distance_kpc)
    errors = seen.errors
    # Magnitudes as catalogs print them.
    printed = [column[band.name] for band in survey.bands for column in (seen.magnitudes, errors)]
    parallaxes = []
    if seen.parallax_mas is not None:
        parallaxes = [
            seen.parallax_mas,
            parallax_error(seen.magnitudes[survey.parallax.band], survey.parallax),
        ]
    return (
        np.mod(l[seen.index], 360.0),
        b[seen.index],
        *(np.round(column.astype(float), 3) for column in printed),
        *(np.round(column.astype(float), 4) for column in parallaxes),
    )
