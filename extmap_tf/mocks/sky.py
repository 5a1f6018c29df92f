"""A mock observed sky: a survey's table of a region behind known dust, as a file like the real ones."""

from dataclasses import dataclass

import numpy as np

from extmap_tf import __version__
from extmap_tf.extinction.dust import MARGIN_DEG
from extmap_tf.extinction.law import blue_over_red
from extmap_tf.files import whole_path
from extmap_tf.galaxy import Galaxy
from extmap_tf.grids.healpix import HealpixGrid, smallest_nside
from extmap_tf.mocks.seeds import SKY
from extmap_tf.settings.identity import SCHEMA
from extmap_tf.surveys.observing import faint_limit_mag, observe

# Tiles begin at the outermost fields' edges, and so end inside the margin of the dust.
TILE_DEG = MARGIN_DEG


def write_sky(config, dust, path, progress=lambda tiles: tiles, overwrite=False):
    """Draw every star of the region, dim it by the dust in front of it, observe it, and write the table.

    Parameters
    ----------
    config : extmap_tf.settings.config.Config
    dust : extmap_tf.extinction.dust.DustCube or HealpixDust
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
            "schema": str(SCHEMA),
            "content": "mock observed sky behind known dust",
            "config": f"{config.name} ({config.digest})",
            "software": f"extmap_tf {__version__}",
        },
    )
    n_rows = 0
    with whole_path(path, overwrite) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for number, tile in enumerate(progress(_tiles(config.sightlines))):
            columns = _observe_tile(config, dust, number, tile)
            n_rows += len(columns[0])
            quality = np.full(len(columns[0]), "A" * 3)
            writer.write_table(pa.table([*columns, quality], schema=schema))
    return n_rows


@dataclass(frozen=True)
class _Square:
    """A tile TILE_DEG on a side in l and b, so that its area shrinks with cos b."""

    l_deg: float
    b_deg: float

    @property
    def area_deg2(self):
        return TILE_DEG**2 * np.cos(np.radians(self.b_deg))

    def draw(self, n, rng):
        """Positions (l, b) of `n` stars."""
        l = self.l_deg + TILE_DEG * rng.uniform(-0.5, 0.5, n)
        return l, self.b_deg + TILE_DEG * rng.uniform(-0.5, 0.5, n)


@dataclass(frozen=True)
class _Pixel:
    """A tile that is a HEALPix pixel: part `part` of a grid whose fields are cut `factor` times."""

    l_deg: float
    b_deg: float
    grid: HealpixGrid
    part: int
    factor: int

    @property
    def area_deg2(self):
        return self.grid.area_deg2 / self.factor**2

    def draw(self, n, rng):
        return self.grid.draw_in_part(self.part, self.factor, n, rng)


def _observe_tile(config, dust, number, tile):
    """Columns of the stars of one tile."""
    rng = np.random.default_rng([config.seed, SKY, number])
    survey = config.survey
    bands = (survey.blue.name, survey.red.name)
    limit_mag = faint_limit_mag(survey.red, survey.cuts)
    stars = Galaxy.of(config.galaxy).draw(tile.l_deg, tile.b_deg, tile.area_deg2, limit_mag, rng, bands=bands)
    l, b = tile.draw(stars.n_stars, rng)
    a_red = dust.cumulative_at(l, b, stars.distance_kpc)
    ratio = np.float32(blue_over_red(config.law, survey))
    blue, red = bands
    magnitudes = {blue: stars.magnitudes[blue] + ratio * a_red, red: stars.magnitudes[red] + a_red}
    seen = observe(magnitudes, survey, tile.area_deg2, rng)
    errors = seen.errors
    # Magnitudes as catalogs print them.
    magnitudes = [column[band] for band in bands for column in (seen.magnitudes, errors)]
    return (
        np.mod(l[seen.index], 360.0),
        b[seen.index],
        *(np.round(column.astype(float), 3) for column in magnitudes),
    )


def _tiles(sightlines):
    """The tiles that cover every field."""
    if isinstance(sightlines, HealpixGrid):
        factor = max(1, smallest_nside(TILE_DEG) // sightlines.nside)
        centers = zip(*sightlines.parts_deg(factor), strict=True)
        return [_Pixel(float(l), float(b), sightlines, part, factor) for part, (l, b) in enumerate(centers)]
    reach = 0.5 * sightlines.field_deg
    cos_b = np.cos(np.radians(max(abs(sightlines.b_min_deg), abs(sightlines.b_max_deg))))
    l = _steps(sightlines.l_min_deg - reach / cos_b, sightlines.l_max_deg + reach / cos_b)
    b = _steps(sightlines.b_min_deg - reach, sightlines.b_max_deg + reach)
    return [_Square(float(x), float(y)) for y in b for x in l]


def _steps(low, high):
    return low + TILE_DEG * (np.arange(int(np.ceil((high - low) / TILE_DEG - 1e-9))) + 0.5)
