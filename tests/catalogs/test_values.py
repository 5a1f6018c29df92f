import numpy as np
import pytest

from extmap_tf.catalogs.values import column_to_flags


@pytest.mark.parametrize(
    "values",
    [
        np.array([22, 0]),
        np.array([22.0, 0.0]),
        np.array(["22.0", "0.0"]),
        np.array([b"22.0", b"0.0"]),
        np.array(["022", "000"]),
        np.array([b"022 ", b"000 "]),
    ],
)
def test_flags_that_a_writer_took_for_numbers_have_their_letters_back(values):
    assert column_to_flags(values).tolist() == [b"022", b"000"]


def test_a_flag_that_is_missing_among_numbers_is_empty():
    assert column_to_flags(np.array([22.0, np.nan])).tolist() == [b"022", b""]
    assert column_to_flags(np.ma.array([22.0, 1.0], mask=[False, True])).tolist() == [b"022", b""]
