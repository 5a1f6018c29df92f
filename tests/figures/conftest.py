import pytest

from extmap_tf.grids.squares import SightlineGrid


@pytest.fixture(scope="session")
def narrow():
    return SightlineGrid(206.0, 216.0, -20.5, -18.5, 1.0, 1.0)


@pytest.fixture(scope="session")
def wide():
    return SightlineGrid(257.0, 303.0, -5.0, 5.0, 2.0, 1.0)
