"""Small star tables that the tests of the readers make."""

import io
from collections import Counter

import numpy as np
from astropy.coordinates import SkyCoord

from extmap_tf.catalogs.survey_tables import AS_IT_IS, read_survey_table
from extmap_tf.settings.config import Config

SURVEY = Config.named("carina").survey
N_STARS = 40


def stars() -> dict[str, np.ndarray]:
    """Columns of stars of the sector, all of which pass the cuts."""
    rng = np.random.default_rng(7)
    place = SkyCoord(
        rng.uniform(284.5, 285.5, N_STARS), rng.uniform(-0.5, 0.5, N_STARS), unit="deg", frame="galactic"
    )
    ks = np.round(rng.uniform(9.0, 14.0, N_STARS), 3)
    columns = {"ra": place.icrs.ra.deg, "dec": place.icrs.dec.deg}
    columns |= {"j_m": np.round(ks + 0.8, 3), "j_msigcom": np.full(N_STARS, 0.03)}
    columns |= {"k_m": ks, "k_msigcom": np.full(N_STARS, 0.03)}
    return columns | {"ph_qual": np.array(["AAA"] * N_STARS)}


def lines_of(columns, delimiter=",", names=None) -> list[str]:
    """A header line and rows."""
    header = delimiter.join(names or columns)
    return [header, *(delimiter.join(map(str, row)) for row in zip(*columns.values(), strict=True))]


def text_of(columns, delimiter=",", names=None) -> bytes:
    return ("\n".join(lines_of(columns, delimiter, names)) + "\n").encode()


def read(content, survey=SURVEY, name="stars.tbl", reading=AS_IT_IS, **options):
    """Positions and magnitudes of the stars, the number of rows, and how many were left out, by reason."""
    batches = list(read_survey_table(io.BytesIO(content), name, survey, reading, **options))
    rejected = Counter()
    for batch in batches:
        assert batch.n_rows == batch.n_stars + sum(batch.rejected.values())
        rejected.update(batch.rejected)
    parts = [
        (batch.l_deg, batch.b_deg, *(batch.magnitudes[band.name] for band in (survey.blue, survey.red)))
        for batch in batches
    ]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return columns, sum(batch.n_rows for batch in batches), dict(rejected)


def assert_all_read(content, **options) -> None:
    """Every star of `stars` is read, at its place and with its magnitudes."""
    (l_deg, b_deg, j, ks), n_rows, rejected = read(content, **options)
    columns = stars()
    place = SkyCoord(columns["ra"], columns["dec"], unit="deg").galactic
    assert (n_rows, rejected) == (N_STARS, {})
    np.testing.assert_allclose(j, columns["j_m"], atol=1e-6)
    np.testing.assert_allclose(ks, columns["k_m"], atol=1e-6)
    np.testing.assert_allclose(l_deg, place.l.deg, atol=2e-5)
    np.testing.assert_allclose(b_deg, place.b.deg, atol=2e-5)
