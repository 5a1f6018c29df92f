import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table

from extmap_tf.cli import main
from extmap_tf.errors import DataError
from extmap_tf.estimate import Flag
from extmap_tf.map.table_query import query_table

FLAGS = ("extinction_flag", "extinction_reasons")
SUFFIXES = {
    "fits": ".fits",
    "votable": ".vot",
    "parquet": ".parquet",
    "ascii.ecsv": ".ecsv",
    "ascii.csv": ".csv",
}


def write(table, path, kind):
    if kind == "parquet":
        pq.write_table(pa.table({name: table[name].tolist() for name in table.colnames}), path)
    else:
        table.write(path, format=kind)


def read(path, kind):
    if kind == "parquet":
        arrow = pq.read_table(path)
        return Table({name: arrow[name].to_numpy() for name in arrow.column_names})
    return Table.read(path, format=kind)


@pytest.fixture
def table():
    return Table(
        {
            "name": ["one", "two", "three", "far off"],
            "glon": [258.5, 258.1, 259.0, 20.0],
            "glat": [0.5, -0.5, 0.0, 0.0],
            "distance": [0.35, 0.7, 1.1, 1.0],
        }
    )


@pytest.mark.parametrize("kind", SUFFIXES)
@pytest.mark.filterwarnings("ignore")
def test_every_format_comes_back_with_the_values_of_the_query(sure, table, kind, tmp_path):
    path, out = tmp_path / f"in{SUFFIXES[kind]}", tmp_path / f"out{SUFFIXES[kind]}"
    write(table, path, kind)
    how = {"mode": "percentile", "percentile": [16, 84], "band": "E(B-V)"}
    assert query_table(sure, path, out, **how) == (4, 2)
    found = read(out, kind)
    assert found.colnames == [
        *table.colnames,
        "E_B_V_p16",
        "E_B_V_p84",
        "extinction_flag",
        "extinction_reasons",
    ]
    assert [str(name) for name in found["name"]] == list(table["name"])
    place = (table["glon"], table["glat"], table["distance"])
    expected, flags = sure.query_gal(*place, return_flags=True, **how)
    for i, name in enumerate(("E_B_V_p16", "E_B_V_p84")):
        values = np.ma.filled(np.ma.asarray(found[name], float), np.nan)
        np.testing.assert_allclose(values, expected[:, i].value, rtol=1e-6)
    np.testing.assert_array_equal(found["extinction_flag"], flags)
    assert found["extinction_flag"][1] & Flag.NO_STARS
    assert found["extinction_flag"][3] == Flag.OUTSIDE_SKY
    assert "NO_STARS" in str(found["extinction_reasons"][1]).split("|")
    assert str(found["extinction_reasons"][3]) == "OUTSIDE_SKY"


@pytest.mark.parametrize("kind", SUFFIXES)
@pytest.mark.filterwarnings("ignore")
def test_a_table_without_rows_gives_one_without_rows(sure, table, kind, tmp_path):
    path, out = tmp_path / f"in{SUFFIXES[kind]}", tmp_path / f"out{SUFFIXES[kind]}"
    write(table[:0], path, kind)
    assert query_table(sure, path, out, mode="percentile", percentile=[16, 84]) == (0, 0)
    found = read(out, kind)
    assert len(found) == 0
    assert found.colnames == [
        *table.colnames,
        "A_Ks_p16",
        "A_Ks_p84",
        "extinction_flag",
        "extinction_reasons",
    ]


def test_positions_may_be_equatorial_and_distances_in_any_unit(sure, table, tmp_path):
    icrs = SkyCoord(table["glon"] * u.deg, table["glat"] * u.deg, frame="galactic").icrs
    other = Table({"RAJ2000": icrs.ra, "DEJ2000": icrs.dec, "rgeo": 1000 * table["distance"]})
    other.write(tmp_path / "in.ecsv")
    query_table(sure, tmp_path / "in.ecsv", tmp_path / "out.ecsv", quantity="density", mode="std")
    found = Table.read(tmp_path / "out.ecsv")
    expected = sure.query_gal(table["glon"], table["glat"], table["distance"], quantity="density", mode="std")
    np.testing.assert_allclose(found["dA_Ks_std"].value, expected.value, rtol=1e-5)
    assert found["dA_Ks_std"].unit == u.mag / u.kpc


def test_unknown_names_are_given_and_one_distance_may_serve_all(sure, table, tmp_path):
    table.rename_columns(["glon", "distance"], ["x", "how_far"])
    table.write(tmp_path / "in.csv")
    columns = {"l": "x", "distance": "how_far"}
    query_table(sure, tmp_path / "in.csv", tmp_path / "out.csv", columns)
    query_table(sure, tmp_path / "in.csv", tmp_path / "one.csv", {"l": "x"}, distance_kpc=0.7)
    one = Table.read(tmp_path / "one.csv")["A_Ks_median"]
    assert one[1] is np.ma.masked or np.isnan(one[1])
    assert one[0] == pytest.approx(float(sure.query_gal(258.5, 0.5, 0.7).value), rel=1e-5)
    for how, words in (
        ({}, "no columns for the position; the table has name, x, glat, how_far"),
        ({"columns": {"l": "x"}}, "no column of distances"),
        ({"columns": {"l": "y"}}, "no column 'y' for l"),
        ({"columns": {"z": "x"}}, "no column role 'z'"),
        ({"columns": {"l": "x", "distance": "name"}}, "column name must hold numbers, 'one'"),
        ({"columns": columns, "distance_kpc": 1.0}, "either one distance"),
        ({"columns": columns, "mode": "samples"}, "one value a row"),
    ):
        with pytest.raises(DataError, match=words):
            query_table(sure, tmp_path / "in.csv", tmp_path / "new.csv", **how)
    assert not (tmp_path / "new.csv").exists()


def test_what_cannot_be_written_or_read_is_one_line(sure, table, tmp_path):
    table.write(tmp_path / "in.csv")
    (tmp_path / "cut.fits").write_bytes(b"SIMPLE  =")
    (tmp_path / "text").write_text("no table here\n")
    (tmp_path / "taken.csv").write_text("mine")
    table["A_Ks_median"] = 1.0
    table.write(tmp_path / "has.csv")
    for name, out, words in (
        ("in.csv", "out.fits", "must end in .csv"),
        ("in.csv", "taken.csv", "exists already"),
        ("has.csv", "out.csv", "has a column A_Ks_median already"),
        ("cut.fits", "out.fits", "truncated: fetch it again"),
        ("text", "out.csv", "not a table in a known format"),
        ("nothing.csv", "out.csv", "no such file"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            query_table(sure, tmp_path / name, tmp_path / out)
        assert "\n" not in str(caught.value)
    assert (tmp_path / "taken.csv").read_text() == "mine"


def test_the_command_takes_a_table_or_a_position(sure, table, tmp_path, capsys):
    sure.write(tmp_path / "map.fits")
    table.write(tmp_path / "in.csv")
    maps = str(tmp_path / "map.fits")
    paths = ["--table", str(tmp_path / "in.csv"), "--out", str(tmp_path / "out.csv")]
    assert main(["query", maps, *paths, "--percentile", "16", "84", "--band", "V"]) == 0
    assert "4 rows, 2 without a value" in capsys.readouterr().out
    assert "A_V_p84" in Table.read(tmp_path / "out.csv").colnames
    assert main(["query", maps, *paths, "--column", "lGLON"]) == 1
    assert "--column needs ROLE=NAME" in capsys.readouterr().err
    for words in ([*paths, "--l", "3", "--b", "1"], paths[:2], ["--l", "3", "--ra", "1"]):
        with pytest.raises(SystemExit):
            main(["query", maps, *words])
    capsys.readouterr()
    at = ["--l", "258.5", "--b", "0.5", "--distance", "0.7"]
    assert main(["query", maps, *at, "--percentile", "16", "84", "--band", "V", "--law", "F19"]) == 0
    found = [float(word) for word in capsys.readouterr().out.split()[:2]]
    how = {"mode": "percentile", "percentile": [16, 84], "band": "V", "law": "F19"}
    np.testing.assert_allclose(found, sure.query_gal(258.5, 0.5, 0.7, **how).value, atol=1e-4)
    assert main(["query", maps, *at[:4], "--mode", "std"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 13
    assert main(["query", maps, *at, "--percentile", "1"]) == 1
    assert "percentile must be 2.5 to 97.5" in capsys.readouterr().err


def test_a_row_that_cannot_be_gets_nan_and_a_flag(sure, table, tmp_path):
    table["distance"][0] = -0.61
    table["glat"][2] = 99.0
    table.write(tmp_path / "in.csv")
    assert query_table(sure, tmp_path / "in.csv", tmp_path / "out.csv") == (4, 4)
    found = Table.read(tmp_path / "out.csv")
    assert [int(flag) & Flag.NO_PLACE for flag in found["extinction_flag"]] == [1024, 0, 1024, 0]
    assert list(found["distance"]) == list(table["distance"])


def test_masked_distances_are_missing_and_units_are_those_of_the_column(sure, table, tmp_path):
    icrs = SkyCoord(table["glon"] * u.deg, table["glat"] * u.deg, frame="galactic").icrs
    other = Table({"ra": icrs.ra, "dec": icrs.dec.to(u.rad)})
    other["distance"] = MaskedColumn(1000.0 * table["distance"], mask=[True, False, False, False], unit="pc")
    for suffix, form in (("ecsv", "ascii.ecsv"), ("vot", "votable"), ("fits", "fits")):
        other["ra"] = icrs.ra.to(u.hourangle if suffix == "ecsv" else u.rad)
        other.write(tmp_path / f"in.{suffix}", format=form)
        query_table(sure, tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}")
        found = Table.read(tmp_path / f"out.{suffix}", format=form)
        values = np.ma.filled(np.ma.asarray(found["A_Ks_median"], float), np.nan)
        assert found["extinction_flag"][0] == Flag.NO_PLACE
        assert values[2] == pytest.approx(float(sure.query_gal(259.0, 0.0, 1.1).value), rel=1e-5)
    other["distance"].unit = "mas"
    other.write(tmp_path / "mas.ecsv")
    with pytest.raises(DataError, match="column distance is in 'mas', which is not a unit of a distance"):
        query_table(sure, tmp_path / "mas.ecsv", tmp_path / "no.ecsv")


def test_distances_that_all_lie_beyond_the_map_are_told(sure, table, tmp_path, caplog):
    table["distance"] = 1000.0 * table["distance"]
    table.write(tmp_path / "in.csv")
    query_table(sure, tmp_path / "in.csv", tmp_path / "out.csv")
    assert "all distances of column distance lie beyond the map's" in caplog.text
    caplog.clear()
    query_table(sure, tmp_path / "in.csv", tmp_path / "pc.csv", {"distance_pc": "distance"})
    assert not caplog.text
    assert Table.read(tmp_path / "pc.csv")["A_Ks_median"][2] > 0


def test_tables_of_excel_and_in_latin_1_are_read(sure, table, tmp_path):
    table["name"][0] = "Andr\xe9"
    lines = [";".join(table.colnames), *(";".join(map(str, row)).replace(".", ",") for row in table)]
    lines[1] = lines[1].replace("0,35", "3,5e-1")
    path = tmp_path / "in.csv"
    for encoding in ("utf-8-sig", "latin-1"):
        path.write_bytes("\r\n".join(["sep=;", *lines]).encode(encoding))
        assert query_table(sure, path, tmp_path / "out.csv", overwrite=True) == (4, 2)
        out = Table.read(tmp_path / "out.csv")
        assert out["name"][0] == "Andr\xe9"
        expected = sure.query_gal(table["glon"], table["glat"], table["distance"]).value
        np.testing.assert_allclose(out["A_Ks_median"], expected, rtol=1e-6)


def test_of_two_columns_of_distances_with_one_name_the_user_chooses(sure, tmp_path):
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_text("l,b,distance,distance\n258.5,0.5,0.35,0.7\n")
    with pytest.raises(DataError, match=r"2 columns are called distance: say which .*distance=distance_2"):
        query_table(sure, path, out)
    query_table(sure, path, out, {"distance": "distance_2"})
    assert Table.read(out)["A_Ks_median"][0] == pytest.approx(sure.query_gal(258.5, 0.5, 0.7).value)


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("form", ["tab", "basic", "commented_header", "fixed_width", "ipac", "csv;"])
def test_text_of_every_kind_comes_back_as_it_was_written(sure, table, form, zipped, tmp_path):
    table["code"] = ["0022", "NA", "-", "x"]
    path = tmp_path / "in.txt"
    how = {"delimiter": ";"} if form.endswith(";") else {}
    table[:3].write(path, format=f"ascii.{form.removesuffix(';')}", **how)
    if zipped:
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert query_table(sure, path, tmp_path / "out.tsv") == (3, 1)
    lines = (tmp_path / "out.tsv").read_text().splitlines()
    assert lines[0].split("\t") == [*table.colnames, "A_Ks_median", *FLAGS]
    assert [line.split("\t")[4] for line in lines[1:]] == ["0022", "NA", "-"]
