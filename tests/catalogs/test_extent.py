"""Which part of the sky a table's stars fill."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from extmap_tf.cli import main
from extmap_tf.settings.config import Config


def write(path, l, b, equatorial=False):
    first, second, names = l % 360.0, b, "glon,glat"
    if equatorial:
        icrs = SkyCoord(l, b, unit="deg", frame="galactic").icrs
        first, second, names = icrs.ra.deg, icrs.dec.deg, "ra,dec"
    rows = (f"{x:.6f},{y:.6f},10" for x, y in zip(first, second, strict=True))
    path.write_text("\n".join([f"{names},j_m", *rows]) + "\n")


@pytest.fixture
def stars():
    """Of l -1 to 2, b 3 to 5; and one far away."""
    rng = np.random.default_rng(1)
    return np.append(rng.uniform(-1, 2, 6000), 100.0), np.append(rng.uniform(3, 5, 6000), -40.0)


@pytest.mark.parametrize("equatorial", [False, True])
def test_a_start_has_the_fields_that_lie_within_the_stars(stars, equatorial, tmp_path, capsys):
    write(tmp_path / "stars.csv", *stars, equatorial)
    assert main(["config", "--from", str(tmp_path / "stars.csv")]) == 0
    out, err = capsys.readouterr()
    assert "bulge" in err
    grid = Config.from_toml(out).sightlines
    assert (grid.l_min_deg, grid.l_max_deg, grid.b_min_deg, grid.b_max_deg) == (359.5, 361.5, 3.25, 4.75)


def test_stars_around_a_pole(tmp_path, capsys):
    rng = np.random.default_rng(1)
    write(
        tmp_path / "stars.csv",
        rng.uniform(0, 360, 20000),
        np.degrees(np.arcsin(rng.uniform(0.995, 1, 20000))),
    )
    assert main(["config", "--from", str(tmp_path / "stars.csv")]) == 0
    grid = Config.from_toml(capsys.readouterr().out).sightlines
    assert not grid.rectangular
    assert grid.b_min_deg > 84.2
    assert grid.b_max_deg > 89.5


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("glon,glat,j_m\n10.01,1.01,9\n", "less than a field of 0.5 deg"),
        ("glon,glat,j_m\n,,9\n", "no star with a position"),
        ("x,y,j_m\n1,1,9\n", "no column for the position"),
    ],
)
def test_a_table_that_tells_no_region(text, line, tmp_path, capsys):
    (tmp_path / "stars.csv").write_text(text)
    assert main(["config", "--from", str(tmp_path / "stars.csv")]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert line in said
