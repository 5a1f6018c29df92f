import numpy as np
import pytest

from extmap_tf.diagrams import count_stars, pixel_of
from extmap_tf.errors import ConfigError
from extmap_tf.grids.cmd import CmdGrid
from extmap_tf.grids.diagram import Axis, Diagram

MAGNITUDE = Axis("magnitude", ("G",), 6.0, 18.5, 50)
COLOR = Axis("color", ("BP", "RP"), -0.5, 5.5, 60)
PARALLAX = Axis("parallax", (), -0.5, 4.5, 40)


def stars(n=5000, seed=1):
    rng = np.random.default_rng(seed)
    return {band: rng.uniform(5, 20, n) for band in ("G", "BP", "RP")}, rng.uniform(-1, 5, n)


def test_a_section_makes_the_diagram_of_a_survey():
    diagram = CmdGrid(n_mag=32).diagram("2MASS", "J", "Ks")
    assert diagram == Diagram(
        "2MASS",
        Axis("magnitude", ("Ks",), 5.6, 15.2, 32),
        Axis("color", ("J", "Ks"), -0.5, 5.9, 64),
    )
    assert (diagram.shape, diagram.n_pixels, diagram.bands) == ((32, 64), 2048, ("Ks", "J"))
    assert [axis.label for axis in (diagram.y, diagram.x, PARALLAX)] == ["Ks", "J-Ks", "parallax"]


@pytest.mark.parametrize(
    ("y", "x"), [(MAGNITUDE, COLOR), (PARALLAX, COLOR), (COLOR, PARALLAX), (PARALLAX, MAGNITUDE)]
)
def test_any_two_axes_are_counted_as_a_histogram_does(y, x):
    magnitudes, parallax_mas = stars()
    values = {
        "magnitude": magnitudes["G"],
        "color": magnitudes["BP"] - magnitudes["RP"],
        "parallax": parallax_mas,
    }
    found = count_stars(magnitudes, Diagram("Gaia", y, x), parallax_mas)
    # No number drawn lies within the tolerance of an edge.
    expected, *_ = np.histogram2d(values[y.quantity], values[x.quantity], [y.edges, x.edges])
    np.testing.assert_array_equal(found, expected)
    assert 100 < found.sum() < 5000


def test_a_star_without_a_parallax_is_in_no_pixel_of_one():
    diagram = Diagram("Gaia", PARALLAX, COLOR)
    magnitudes = {"BP": [15.0, 15.0], "RP": [14.0, 14.0]}
    assert pixel_of(magnitudes, diagram, np.array([np.nan, 0.2])).tolist() == [-1, 5 * 60 + 15]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantity": "size"}, "quantity must be one of magnitude, color, parallax, got: 'size'"),
        ({"bands": ("J", "H")}, r"bands must be 1 for a magnitude, got: \('J', 'H'\)"),
        ({"maximum": 6.0}, "maximum must be above minimum"),
        ({"n_pixels": 0}, "n_pixels must be 1 or more"),
    ],
)
def test_an_axis_that_cannot_be_is_refused(change, message):
    values = {"quantity": "magnitude", "bands": ("G",), "minimum": 6.0, "maximum": 18.0, "n_pixels": 10}
    with pytest.raises(ConfigError, match=message):
        Axis(**values | change)


def test_a_diagram_has_no_more_pixels_than_32_bit_floats_count():
    fine = Axis("magnitude", ("G",), 0.0, 20.0, 5000)
    with pytest.raises(ConfigError, match="n_pixels must be at most 2\\^24"):
        Diagram("Gaia", fine, fine)
