"""The small inputs in ../shared/data/cases that an earlier version did not take, with their right answers."""

import numpy as np
import pytest
from star_tables import SURVEY, read

from extmap_tf.catalogs.model_tables import read_model_catalog
from extmap_tf.compare.other_maps import read_marshall
from extmap_tf.errors import DataError
from extmap_tf.map.table_query import query_table


def law(wavelength_um):
    return 0.4 * wavelength_um**-1.6


@pytest.fixture
def case(shared_data):
    def path(name):
        if not (shared_data / "cases").is_dir():
            pytest.skip(f"{shared_data / 'cases'} is absent")
        return shared_data / "cases" / name

    return path


@pytest.mark.parametrize(
    "name",
    [
        *("gaia_archive_names.csv", "prefixed_names.csv", "apogee_names.csv", "tab_quoted_flag.tsv"),
        *("tab_all_quoted.tsv", "unit_rad.ecsv", "unit_hourangle.ecsv", "space_commented.dat"),
        *("space_header.txt", "vizier_two_tables.tsv", "votable_second_table.vot", "fixed_width_bars.ascii"),
    ],
)
def test_all_stars_are_read_at_their_places(case, name):
    (l_deg, b_deg, j, ks), n_rows, rejected = read(case(name).read_bytes())
    assert (n_rows, len(ks), rejected) == (1000, 1000, {})
    assert 284.4 < l_deg.min() < l_deg.max() < 285.6
    assert -0.6 < b_deg.min() < b_deg.max() < 0.6
    assert 0.39 < (j - ks).min() < (j - ks).max() < 1.21


@pytest.mark.parametrize("name", ["null_NA.csv", "null_dashes.csv"])
def test_missing_errors_are_counted(case, name):
    assert read(case(name).read_bytes())[1:] == (1000, {"J error missing": 20})


def test_a_table_that_was_cut_off_is_refused(case):
    with pytest.raises(DataError, match=r"not whole .QUERY_STATUS OVERFLOW"):
        read(case("tap_overflow.xml").read_bytes())


@pytest.mark.parametrize(
    ("name", "rejected"),
    [("trilegal_comment_lines.dat", {}), ("trilegal_trailer_row.csv", {"a remark, no row": 1})],
)
def test_trilegal_is_read_with_its_extinction_undone(case, name, rejected):
    with pytest.raises(DataError, match="carry extinction"):
        read_model_catalog(case(name), SURVEY, 4.0, 285.0, 0.0)
    catalog, found = read_model_catalog(case(name), SURVEY, 4.0, 285.0, 0.0, a_over_av=law)
    assert (catalog.n_stars, found) == (3000, rejected)
    assert "A_V up to 0.400 mag removed" in catalog.source


@pytest.mark.parametrize("a_over_av", [None, law])
def test_synthpop_with_extinction_in_another_band_is_refused(case, a_over_av):
    with pytest.raises(DataError, match="column e-foldings_GaiaG says that the magnitudes carry extinction"):
        read_model_catalog(case("synthpop_reddened.csv"), SURVEY, 4.0, a_over_av=a_over_av)


def test_marshalls_layout_is_read(case):
    table = read_marshall(case("marshall_layout.tsv"))
    assert table.extinction[0].tolist() == [0.1, 0.4, 0.8]
    assert table.distance_kpc[0].tolist() == [1.0, 3.0, 6.0]


def test_queries_answer_what_can_be_answered(case, make_map, tmp_path, caplog):
    from astropy.table import Table

    from extmap_tf.grids.distance import DistanceGrid
    from extmap_tf.grids.squares import SightlineGrid

    volume = make_map(SightlineGrid(284.0, 286.0, -1.0, 1.0, 0.5, 0.5), DistanceGrid(), holes=False)
    assert query_table(volume, case("query_negative_distance.csv"), tmp_path / "a.csv") == (3, 1)
    values = np.asarray(Table.read(tmp_path / "a.csv")["A_Ks_median"], float)
    assert np.isfinite(values).tolist() == [True, False, True]
    query_table(volume, case("query_pc_without_unit.csv"), tmp_path / "b.csv")
    assert "all distances of column distance lie beyond the map's" in caplog.text
