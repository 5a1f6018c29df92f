"""Names of columns: those of archives, of joined tables, ambiguous ones, and what is suggested."""

import numpy as np
import pytest
from star_tables import N_STARS, SURVEY, assert_all_read, read, stars, text_of

from extmap_tf.catalogs.survey_tables import Reading
from extmap_tf.errors import DataError
from extmap_tf.surveys.observing import photometric_error

PLAIN = ("ra", "dec", "j_m", "j_msigcom", "k_m", "k_msigcom", "ph_qual")


@pytest.mark.parametrize(
    "names",
    [
        ("ra", "dec", "j_m", "j_msigcom", "ks_m", "ks_msigcom", "ph_qual"),
        ("RA", "DEC", "J", "J_ERR", "K", "K_ERR", "flag"),
        ("tmass_ra", "tmass_dec", "tmass_j", "tmass_j_err", "tmass_k", "tmass_k_err", "ph_qual_tmass"),
        (
            "tmass.ra",
            "tmass.dec",
            "tmass.j_m",
            "tmass.j_msigcom",
            "tmass.ks_m",
            "tmass.ks_msigcom",
            "tmass.ph_qual",
        ),
        ("ra", "dec", "j_m_2mass", "j_msig_2mass", "k_m_2mass", "k_msig_2mass", "ph_qual"),
        ("RAJ2000", "DEJ2000", "2MASS_Jmag", "2mass_e_Jmag", "2MASS_Kmag", "2mass_e_Kmag", "Qflg"),
        ("RA_ICRS", "DE_ICRS", "Jmag", "e_Jmag", "Ksmag", "e_Ksmag", "Qfl"),
        ("ra", "dec", "mag_J", "err_J", "mag_Ks", "err_Ks", "q"),
    ],
)
def test_names_of_archives_are_known(names):
    assert_all_read(text_of(stars(), ",", names))


def with_columns(**more):
    return text_of(stars() | {name: np.full(N_STARS, value) for name, value in more.items()})


def test_the_positions_of_2mass_are_taken_where_others_are_named_otherwise():
    columns = stars()
    gaia = {"gaia_ra": columns["ra"] + 1.0, "gaia_dec": columns["dec"]}
    names = [*gaia, *(f"tmass_{name}" for name in PLAIN[:2]), *PLAIN[2:]]
    assert_all_read(text_of(gaia | columns, ",", names))


@pytest.mark.parametrize("other", ["Jmag", "J", "2mass_j"])
def test_two_columns_that_may_be_one_magnitude_are_told(other):
    content = with_columns(**{other: 11.0})
    if other == "2mass_j":
        assert_all_read(content)
        return
    with pytest.raises(
        DataError, match=f"more than one column may be the blue: .*{other}.*--column blue=NAME"
    ):
        read(content)
    assert_all_read(content, reading=Reading({"blue": "j_m"}))


def test_the_closest_names_of_all_columns_are_suggested():
    columns = {f"filler{i}": np.zeros(N_STARS) for i in range(60)} | stars()
    names = [*[*columns][:-7], "gaia_ra", "gaia_dec", "jmag_best", "e_jmag", "k_m", "k_msigcom", "q"]
    with pytest.raises(
        DataError, match=r"position \(ra\).* and 55 more; closest: gaia_ra; name it with --column ra"
    ):
        read(text_of(columns, ",", names))
    given = {"ra": "gaia_ra", "dec": "gaia_dec"}
    with pytest.raises(DataError, match=r"no column for the J magnitude .*closest: .*jmag_best"):
        read(text_of(columns, ",", names), reading=Reading(given))
    assert_all_read(text_of(columns, ",", names), reading=Reading(given | {"blue": "jmag_best"}))
    with pytest.raises(DataError, match=r"no column 'jmagbest' for blue; .*closest: jmag_best"):
        read(text_of(columns, ",", names), reading=Reading({"blue": "jmagbest"}))


@pytest.mark.parametrize("mark", ["<", ">", "y", "1"])
def test_limit_flags_are_honoured(mark):
    columns = stars() | {"l_Jmag": np.array([mark] * 3 + [""] * (N_STARS - 3))}
    columns |= {"l_Kmag": np.array([""] * (N_STARS - 1) + [mark])}
    assert read(text_of(columns))[2] == {"J upper limit": 3, "Ks upper limit": 1}


def test_tables_without_errors_are_refused_or_take_those_of_the_survey():
    columns = stars()
    columns["k_m"][:5] = columns["j_m"][:5] = 15.9
    del columns["j_msigcom"], columns["k_msigcom"], columns["ph_qual"]
    with pytest.raises(
        DataError, match=r"no column for the J error .*or take the survey's own with --errors-from-survey"
    ):
        read(text_of(columns))
    (_, _, _, ks), n_rows, rejected = read(text_of(columns), reading=Reading(errors_from_survey=True))
    assert (n_rows, len(ks) + sum(rejected.values())) == (N_STARS, N_STARS)
    kept = photometric_error(columns["k_m"], SURVEY.red) <= SURVEY.cuts.max_error_mag
    kept &= photometric_error(columns["j_m"], SURVEY.blue) <= SURVEY.cuts.max_error_mag
    np.testing.assert_array_equal(ks, columns["k_m"][kept])
    assert not kept[:5].any()
