"""Gaia's tables: names of columns, units, cuts, and tables that are of another survey."""

import io

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from extmap_tf.catalogs.survey_tables import Reading, describe_table, read_survey_table
from extmap_tf.errors import DataError
from extmap_tf.settings.config import Config

CARINA = Config.named("carina")
GAIA = CARINA.replace(surveys=["2mass", "gaia_dr3"]).other_surveys[0]

ARCHIVE = {
    "l": [284.0, 284.1, 284.2],
    "b": [-1.0, -1.1, -1.2],
    "phot_g_mean_mag": [15.0, 17.0, 18.0],
    "phot_bp_mean_mag": [15.6, 18.0, 19.2],
    "phot_rp_mean_mag": [14.2, 16.0, 16.9],
    "parallax": [0.4, -0.1, 1.2],
    "parallax_error": [0.03, 0.08, 0.13],
    "ruwe": [1.0, 1.1, 3.0],
    "duplicated_source": ["false", "true", "False"],
}
VIZIER = dict(
    zip(ARCHIVE, ("GLON", "GLAT", "Gmag", "BPmag", "RPmag", "Plx", "e_Plx", "RUWE", "Dup"), strict=True)
)


def text_of(columns):
    rows = zip(*columns.values(), strict=True)
    return "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows), ""]).encode()


def read(content, survey=GAIA, **reading):
    """The only batch of a table, and what was left out."""
    (batch,) = read_survey_table(io.BytesIO(content), "stars.csv", survey, Reading(**reading))
    return batch, batch.rejected


def with_cuts(**cuts):
    changed = {"max_ruwe": 0.0, "keep_duplicates": True} | cuts
    others = [CARINA.replace(surveys=["2mass", "gaia_dr3"]).to_dict()["other_surveys"][0]]
    others[0]["cuts"] |= changed
    return CARINA.replace(other_surveys=others).other_surveys[0]


@pytest.mark.parametrize("names", [{}, VIZIER, {"phot_g_mean_mag": "Gmag", "parallax": "Plx"}])
def test_columns_are_known_by_the_names_of_the_archives(names):
    batch, rejected = read(text_of({names.get(name, name): values for name, values in ARCHIVE.items()}))
    assert rejected == {}
    assert batch.parallax_mas.tolist() == ARCHIVE["parallax"]
    assert batch.magnitudes["BP"].tolist() == ARCHIVE["phot_bp_mean_mag"]
    assert set(batch.magnitudes) == {"G", "BP", "RP"}


def test_masked_values_of_a_votable_are_missing():
    table = Table({name: values for name, values in ARCHIVE.items() if name != "duplicated_source"})
    table["parallax"] = MaskedColumn(table["parallax"], mask=[True, False, False], unit="mas")
    table["phot_bp_mean_mag"] = MaskedColumn(table["phot_bp_mean_mag"], mask=[False, True, False])
    stream = io.BytesIO()
    table.write(stream, format="votable")
    batch, rejected = read(stream.getvalue())
    assert rejected == {"no parallax": 1, "no BP magnitude": 1}
    assert batch.parallax_mas.tolist() == [1.2]


def test_negative_parallaxes_count_and_faint_stars_do_not():
    columns = ARCHIVE | {"phot_g_mean_mag": [15.0, 18.5, 18.501]}
    batch, rejected = read(text_of(columns))
    assert rejected == {"G fainter than faint_mag": 1}
    assert batch.parallax_mas.tolist() == [0.4, -0.1]


def test_ruwe_and_duplicates_are_cuts_that_are_asked_for():
    batch, rejected = read(text_of(ARCHIVE), with_cuts(max_ruwe=1.4, keep_duplicates=False))
    assert rejected == {"ruwe above max_ruwe": 1, "duplicated source": 1}
    assert batch.n_stars == 1
    no_ruwe = {name: values for name, values in ARCHIVE.items() if name != "ruwe"}
    with pytest.raises(DataError, match="no column for the RUWE that max_ruwe asks for"):
        read(text_of(no_ruwe), with_cuts(max_ruwe=1.4))


@pytest.mark.parametrize(
    "dup",
    [
        [0, 1, 0],
        ["0", "1", "0"],
        ["false", "true", "false"],
        ["F", "T", "F"],
        # As pandas makes of a column in which one value is missing.
        ["0.0", "1.0", ""],
    ],
)
def test_the_flag_of_duplicates_is_known_in_its_spellings(dup):
    _, rejected = read(text_of(ARCHIVE | {"duplicated_source": dup}), with_cuts(keep_duplicates=False))
    assert rejected == {"duplicated source": 1}


def test_a_unit_of_arcsec_is_converted():
    table = Table({name: values for name, values in ARCHIVE.items() if name != "duplicated_source"})
    for name in ("parallax", "parallax_error"):
        table[name] = np.array(ARCHIVE[name]) * 1e-3
        table[name].unit = "arcsec"
    stream = io.BytesIO()
    table.write(stream, format="votable")
    batch, _ = read(stream.getvalue())
    np.testing.assert_allclose(batch.parallax_mas, ARCHIVE["parallax"])


def test_parallaxes_in_arcsec_without_a_unit_are_refused():
    small = {name: (np.array(ARCHIVE[name]) * 1e-3).tolist() for name in ("parallax", "parallax_error")}
    with pytest.raises(DataError, match=r"column parallax: errors of 8e-05 mas .* arcsec: state the unit"):
        read(text_of(ARCHIVE | small))


def test_parallaxes_in_arcsec_without_unit_or_errors_are_refused():
    columns = {name: values for name, values in ARCHIVE.items() if name != "parallax_error"}
    batch, _ = read(text_of(columns))
    assert batch.n_stars == 3
    columns["parallax"] = (np.array(ARCHIVE["parallax"]) * 1e-3).tolist()
    with pytest.raises(DataError, match=r"column parallax: parallaxes of 0.0004 mas .* arcsec"):
        read(text_of(columns))


def test_a_parallax_in_kpc_is_refused():
    table = Table({name: values for name, values in ARCHIVE.items() if name != "duplicated_source"})
    table["parallax"].unit = "kpc"
    stream = io.BytesIO()
    table.write(stream, format="votable")
    with pytest.raises(DataError, match="column parallax is in 'kpc', which is not a unit of a parallax"):
        read(stream.getvalue())


def test_a_table_without_parallaxes_is_refused():
    columns = {name: values for name, values in ARCHIVE.items() if not name.startswith("parallax")}
    with pytest.raises(DataError, match=r"no column for the parallax, .*--column parallax=NAME"):
        read(text_of(columns))


def test_a_table_of_2mass_is_told_from_one_of_gaia_and_the_reverse():
    twomass = {
        **{name: ARCHIVE[name] for name in ("l", "b")},
        **{name: [11.0, 12.0, 13.0] for name in ("j_m", "h_m", "k_m")},
        **{name: [0.03] * 3 for name in ("j_msigcom", "h_msigcom", "k_msigcom")},
    }
    with pytest.raises(DataError, match="these are columns of 2MASS, not of Gaia DR3; name"):
        read(text_of(twomass))
    with pytest.raises(DataError, match="these are columns of Gaia, not of 2MASS; name"):
        read(text_of(ARCHIVE), CARINA.survey)


def test_a_table_of_both_surveys_serves_either():
    both = ARCHIVE | {
        **{name: [11.0, 12.0, 13.0] for name in ("j_m", "k_m")},
        **{name: [0.03] * 3 for name in ("j_msigcom", "k_msigcom")},
    }
    assert read(text_of(both))[0].n_stars == 3
    assert read(text_of(both), CARINA.survey)[0].n_stars == 3


def test_the_columns_that_would_be_read_are_told():
    kind, columns = describe_table(io.BytesIO(text_of(ARCHIVE)), "stars.csv", GAIA)
    assert kind
    assert columns["parallax"] == "parallax"
    assert columns["g"] == "phot_g_mean_mag"
    assert "ruwe" not in columns
