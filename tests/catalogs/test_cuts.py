import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extmap_tf.catalogs.cuts import apply_cuts
from extmap_tf.settings.config import Config
from extmap_tf.settings.survey import Cuts

SURVEY = Config.named("carina").survey


def survey_with(**cuts):
    return dataclasses.replace(SURVEY, cuts=Cuts(**cuts))


def cut(survey, j, ks, j_error, ks_error, *flags, **more):
    bands = tuple(band.name for band in survey.bands)
    magnitudes, errors = (dict(zip(bands, pair, strict=True)) for pair in ((j, ks), (j_error, ks_error)))
    return apply_cuts(survey.cuts, bands, magnitudes, errors, *flags, **more)


def one_star(survey=SURVEY, j=12.0, ks=11.0, j_error=0.03, ks_error=0.03, **more):
    more = {k: np.atleast_1d(v) for k, v in more.items()}
    kept, rejected = cut(survey, [j], [ks], [j_error], [ks_error], **more)
    return "kept" if kept[0] else next(iter(rejected))


@pytest.mark.parametrize(
    ("star", "outcome"),
    [
        ({}, "kept"),
        ({"j": np.nan}, "no J magnitude"),
        ({"ks": 99.999}, "no Ks magnitude"),
        ({"ks": -999.0}, "no Ks magnitude"),
        ({"j_error": 9.99}, "J upper limit"),
        ({"ks_error": np.nan}, "Ks error missing"),
        ({"ks_error": -1.0}, "Ks error missing"),
        ({"j_error": 0.151}, "J error above max_error_mag"),
        ({"j_error": np.float32(0.15)}, "kept"),
        ({"ks": 3.99}, "brighter than bright_mag"),
        ({"ks": 4.0}, "kept"),
        ({"longitude_deg": np.nan, "latitude_deg": 0.0}, "no position"),
        ({"longitude_deg": 10.0, "latitude_deg": -999.0}, "no position"),
        ({"longitude_deg": -10.0, "latitude_deg": 0.0}, "kept"),
        ({"ph_qual": "AUA"}, "kept"),
        ({"ph_qual": "UAA"}, "J upper limit"),
        ({"ph_qual": b"AAU"}, "Ks upper limit"),
        ({"ph_qual": "XAA"}, "J ph_qual"),
        ({"ph_qual": "AAE"}, "Ks ph_qual"),
        ({"ph_qual": ""}, "J ph_qual"),
        ({"cc_flg": "ccc"}, "kept"),
    ],
)
def test_a_star_is_kept_or_left_out_for_its_reason(star, outcome):
    assert one_star(**star) == outcome


def test_an_upper_limit_that_looks_like_a_good_star_is_never_kept():
    survey = survey_with(max_error_mag=1.0, bright_mag=-5.0, ph_qual_keep="ABCD")
    assert one_star(survey, ph_qual="AAU") == "Ks upper limit"
    assert one_star(survey, ks_error=9.999) == "Ks upper limit"


def test_quality_letters_are_kept_as_configured_in_each_band_of_the_survey():
    survey = survey_with(ph_qual_keep="A")
    assert one_star(survey, ph_qual="ADA") == "kept"
    assert one_star(survey, ph_qual="ABD") == "Ks ph_qual"
    blue = dataclasses.replace(SURVEY.blue, name="H")
    assert one_star(dataclasses.replace(survey, blue=blue), ph_qual="DAA") == "kept"


def test_contamination_letters_are_kept_as_configured():
    survey = survey_with(cc_flg_keep="0")
    assert one_star(survey, cc_flg="0c0") == "kept"
    assert one_star(survey, cc_flg="00d") == "Ks cc_flg"


def test_the_first_reason_counts_once():
    kept, rejected = cut(SURVEY, [np.nan], [1.0], [0.5], [np.nan], np.array(["UUU"]))
    assert not kept.any()
    assert rejected == {"no J magnitude": 1}


magnitude = st.one_of(st.floats(-30, 50), st.just(np.nan))
flag = st.text("ABCDEFUX", min_size=0, max_size=3)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(magnitude, magnitude, magnitude, magnitude, flag), max_size=20))
def test_every_row_is_a_star_or_counted_once_and_stars_satisfy_all_cuts(rows):
    j, ks, j_error, ks_error = np.array([row[:4] for row in rows], float).reshape(-1, 4).T
    ph_qual = np.array([row[4] for row in rows], "U3")
    kept, rejected = cut(SURVEY, j, ks, j_error, ks_error, ph_qual)
    assert kept.sum() + sum(rejected.values()) == len(rows)
    brute = [
        np.isfinite(row[:4]).all()
        and min(row[0], row[1]) >= 4.0
        and max(row[0], row[1]) < 40.0
        and min(row[2], row[3]) >= 0.0
        and max(row[2], row[3]) <= 0.15 + 1e-6
        and len(row[4]) == 3
        and row[4][0] in "ABCD"
        and row[4][2] in "ABCD"
        for row in rows
    ]
    assert kept.tolist() == brute
