"""Maps that the likelihood refined: what they say of errors that fields have in common."""

import dataclasses

import numpy as np
import pytest

from extmap_tf.errors import DataError, MismatchError
from extmap_tf.estimate import Flag
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.map.merge import merge_maps
from extmap_tf.map.volume import ExtinctionMap

OFFSETS = "colour +0.020 +- 0.005 mag; given"
NORTH = SightlineGrid(257.0, 260.0, 1.5, 2.5, 0.5, 0.5)


@pytest.fixture(scope="module")
def refined_of():
    """The same map as if refined, with a tenth of its errors in common; the first field was not refined."""

    def make(volume, offsets=OFFSETS):
        common = 0.1 * np.nan_to_num(volume.extinction_std)
        common[0, 0] = 0.0
        origin = dataclasses.replace(volume.provenance, offsets=offsets, law_ratio_sigma=0.05)
        header = dataclasses.replace(volume.header, provenance=origin)
        profiles = dataclasses.replace(volume.profiles, extinction_common_std=common)
        return ExtinctionMap(header, profiles, volume.coverage, volume.n_stars)

    return make


def test_errors_in_common_are_a_layer_of_the_file(sure, refined_of, tmp_path):
    volume = refined_of(sure)
    volume.write(tmp_path / "map.fits")
    again = ExtinctionMap.read(tmp_path / "map.fits", verify=True)
    np.testing.assert_array_equal(again.extinction_common_std, volume.extinction_common_std)
    assert not again.extinction_common_std[0, 0].any()
    assert np.isnan(again.extinction_common_std[1, 2]).all()
    assert again.flag[1, 2] & Flag.NO_STARS
    assert again.provenance == volume.provenance
    rows = dict(again.summary())
    assert rows["refined by"] == f"the likelihood; {OFFSETS}"
    assert any("= 2.6100 +- 0.050, as its stars" in text for _, text in again.summary())


def test_errors_in_common_are_in_the_band_of_the_map(sure, refined_of):
    volume = refined_of(sure)
    in_j = volume.in_band("J")
    np.testing.assert_allclose(
        in_j.extinction_common_std[2, 2], 2.61 * volume.extinction_common_std[2, 2], rtol=1e-6
    )


def test_merged_maps_keep_the_larger_errors_in_common(make_sure_map, refined_of):
    south, north = refined_of(make_sure_map()), refined_of(make_sure_map(NORTH, seed=2), "others; given")
    both = merge_maps([south, north], ["south", "north"])
    assert both.provenance.offsets == f"{OFFSETS} + others; given"
    n_south = south.grid.shape[0]
    np.testing.assert_array_equal(
        both.extinction_common_std[2, :n_south][2], south.extinction_common_std[2, 2]
    )
    with pytest.raises(MismatchError, match="refined"):
        merge_maps([south, make_sure_map(NORTH, seed=2, law_ratio_sigma=0.05)], ["south", "north"])


def test_a_refined_map_without_errors_in_common_is_refused(sure, refined_of):
    header = refined_of(sure).header
    with pytest.raises(DataError, match="extinction_common_std must be given of a refined map alone"):
        ExtinctionMap(header, sure.profiles, sure.coverage, sure.n_stars)
