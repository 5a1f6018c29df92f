import bz2
import dataclasses
import gzip
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import ascii as astropy_ascii
from astropy.io import fits
from astropy.table import Table
from star_tables import SURVEY, read

from extmap_tf.catalogs.formats.delimited import PSC_COLUMNS
from extmap_tf.catalogs.survey_tables import Reading, describe_table, read_survey_table
from extmap_tf.errors import DataError
from extmap_tf.settings.survey import Cuts

# Six rows: three stars, an upper limit in Ks, an upper limit in J without error, a faint star.
ROWS = {
    "ra": [160.0, 160.1, 161.0, 160.2, 160.3, 160.4],
    "dec": [-59.0, -59.1, -59.2, -59.3, -59.4, -59.5],
    "j_m": [12.5, 13.25, 9.0, 14.0, 16.5, 15.0],
    "j_msigcom": [0.02, 0.03, 0.02, 0.05, np.nan, 0.2],
    "h_m": [12.0, 12.5, 8.5, 13.6, 15.0, 14.5],
    "h_msigcom": [0.02, 0.03, 0.02, 0.05, 0.08, 0.1],
    "k_m": [11.5, 12.0, 8.25, 13.5, 14.5, 14.0],
    "k_msigcom": [0.02, 0.03, 0.02, np.nan, 0.09, 0.1],
    "ph_qual": ["AAA", "AAB", "CAA", "AAU", "UAA", "CBB"],
    "cc_flg": ["000", "c00", "000", "000", "000", "000"],
}
REJECTED = {"Ks upper limit": 1, "J upper limit": 1, "J error above max_error_mag": 1}
VIZIER = {
    "ra": "RAJ2000",
    "dec": "DEJ2000",
    "j_m": "Jmag",
    "j_msigcom": "e_Jmag",
    "h_m": "Hmag",
    "h_msigcom": "e_Hmag",
    "k_m": "Kmag",
    "k_msigcom": "e_Kmag",
    "ph_qual": "Qflg",
    "cc_flg": "Cflg",
}
GALACTIC = SkyCoord(ROWS["ra"], ROWS["dec"], unit="deg").galactic


def cell(value, missing=""):
    return missing if value != value else str(value)


def psc(n_repeats=1):
    lines = []
    for i in range(len(ROWS["ra"])):
        values = dict.fromkeys(PSC_COLUMNS, r"\N") | {"designation": "10400000-5900000", "rd_flg": "022"}
        values |= {"glon": f"{GALACTIC.l.deg[i]:.3f}", "glat": f"{GALACTIC.b.deg[i]:.3f}"}
        values |= {("decl" if k == "dec" else k): cell(v[i], r"\N") for k, v in ROWS.items()}
        lines.append("|".join(values.values()) + "\n")
    return "".join(lines * n_repeats).encode()


def delimited(delimiter, names=VIZIER, before="", rules=False, after=""):
    lines = [delimiter.join(names.get(k, k) for k in ROWS)]
    if rules:
        lines += [delimiter.join(["deg", "deg", *["mag"] * 6, "", ""]), delimiter.join(["-----"] * 10)]
    lines += [delimiter.join(cell(v[i], "      ") for v in ROWS.values()) for i in range(6)]
    return (before + "\n".join(lines) + "\n" + after).encode()


def vizier_tsv():
    before = "#\n#   VizieR Astronomical Server\n#Name: II/246\n#Column\tJmag\t(F6.3)\tJ magnitude\n\n"
    return delimited("\t", before=before, rules=True, after="\n#END# 6 rows\n")


def astropy_table():
    return Table(
        {k: np.ma.masked_invalid(v) if k[0] != "p" and k[1:3] != "c_" else v for k, v in ROWS.items()}
    )


def votable():
    table = astropy_table()
    out = io.BytesIO()
    table.write(out, format="votable")
    return out.getvalue()


def ipac():
    out = io.StringIO()
    astropy_ascii.write(astropy_table(), out, format="ipac")
    return out.getvalue().encode()


def fits_table(n_repeats=1):
    columns = [
        fits.Column(
            VIZIER[k], "3A" if k in ("ph_qual", "cc_flg") else "E" if "sig" in k else "D", array=v * n_repeats
        )
        for k, v in ROWS.items()
    ]
    out = io.BytesIO()
    image = fits.PrimaryHDU(np.zeros(2000, np.uint8))
    fits.HDUList([image, fits.ImageHDU(np.zeros((9, 99))), fits.BinTableHDU.from_columns(columns)]).writeto(
        out
    )
    return out.getvalue()


def parquet(n_repeats=1):
    nulls = {k: [None if x != x else x for x in v] * n_repeats for k, v in ROWS.items()}
    out = io.BytesIO()
    pa.parquet.write_table(pa.table(nulls), out)
    return out.getvalue()


MADE = {
    "2MASS PSC": psc,
    "CSV": lambda: delimited(","),
    "TSV": vizier_tsv,
    "text with ';'": lambda: delimited(";", before="#comment\n", rules=True),
    "VOTable": votable,
    "IPAC table": ipac,
    "FITS": fits_table,
    "Parquet": parquet,
}


def with_cuts(**cuts):
    return dataclasses.replace(SURVEY, cuts=Cuts(**cuts))


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("kind", MADE)
def test_every_format_gives_the_same_stars_and_reasons(kind, zipped):
    content = MADE[kind]()
    if zipped and kind == "Parquet":
        pytest.skip("Parquet is compressed inside")
    if zipped:
        content = gzip.compress(content)
    assert describe_table(io.BytesIO(content), "x", SURVEY)[0] == kind
    (l_deg, b_deg, j, ks), n_rows, rejected = read(content)
    assert n_rows == 6
    assert rejected == REJECTED
    assert j.tolist() == [12.5, 13.25, 9.0]
    assert ks.tolist() == [11.5, 12.0, 8.25]
    tolerance = 6e-4 if kind == "2MASS PSC" else 1e-9
    np.testing.assert_allclose(l_deg, GALACTIC.l.deg[:3], atol=tolerance, rtol=0)
    np.testing.assert_allclose(b_deg, GALACTIC.b.deg[:3], atol=tolerance, rtol=0)


@pytest.mark.parametrize("kind", ["2MASS PSC", "FITS", "Parquet", "IPAC table", "VOTable"])
def test_batches_together_hold_the_rows_in_order(kind):
    stars, n_rows, rejected = read(MADE[kind](), batch_rows=2)
    assert (n_rows, rejected) == (6, REJECTED)
    assert stars[2].tolist() == [12.5, 13.25, 9.0]


@pytest.mark.parametrize("make", [psc, fits_table, parquet])
def test_no_batch_is_much_larger_than_asked(make):
    n_rows = [b.n_rows for b in read_survey_table(io.BytesIO(make(2000)), "x", SURVEY, batch_rows=500)]
    assert sum(n_rows) == 12000
    assert max(n_rows) <= 1000


def csv(n_repeats):
    header, rows = delimited(",").split(b"\n", 1)
    return header + b"\n" + rows * n_repeats


@pytest.mark.parametrize("make", [psc, csv])
def test_blocks_of_text_are_gathered_into_batches(make):
    n_rows = [b.n_rows for b in read_survey_table(io.BytesIO(make(20000)), "x", SURVEY, batch_rows=30000)]
    assert len(n_rows) <= 5
    assert min(n_rows[:-1]) >= 30000


def test_rows_before_an_error_come_before_it():
    content = psc(2000) + b"no row\n"
    found = read_survey_table(io.BytesIO(gzip.compress(content)), "x", SURVEY)
    assert next(found).n_rows > 0
    with pytest.raises(DataError, match=r"x: corrupted after data row \d"):
        list(found)


def test_the_stream_stays_open_and_an_abandoned_reader_is_harmless():
    stream = io.BytesIO(gzip.compress(psc(5000)))
    next(read_survey_table(stream, "x", SURVEY, batch_rows=100))
    assert sum(b.n_rows for b in read_survey_table(stream, "x", SURVEY)) == 30000


@pytest.mark.parametrize("kind", ["CSV", "TSV", "VOTable", "IPAC table", "FITS", "Parquet"])
def test_a_table_without_rows_has_no_stars(kind):
    content = MADE[kind]()
    if kind == "CSV":
        content = content.splitlines(keepends=True)[0]
    elif kind == "TSV":
        content = b"".join(
            line for line in content.splitlines(keepends=True) if line[:2] not in (b"16", b"#E")
        )
    elif kind == "IPAC table":
        content = b"".join(line for line in content.splitlines(keepends=True) if line.startswith(b"|"))
    elif kind == "VOTable":
        head, rest = content.split(b"<TABLEDATA>")
        content = head + b"<TABLEDATA>" + rest[rest.index(b"</TABLEDATA>") :]
    elif kind == "FITS":
        content = content.replace(b"NAXIS2  =                    6", b"NAXIS2  =                    0")
    else:
        out = io.BytesIO()
        pa.parquet.write_table(pa.table(ROWS).slice(0, 0), out)
        content = out.getvalue()
    batches = list(read_survey_table(io.BytesIO(content), "x", SURVEY))
    assert sum(batch.n_rows for batch in batches) == 0


def test_several_gzip_members_are_one_table():
    assert read(gzip.compress(psc()) + gzip.compress(psc()))[1] == 12


@pytest.mark.parametrize("kind", ["2MASS PSC", "CSV", "VOTable", "IPAC table", "FITS", "Parquet"])
def test_the_h_band_serves_as_blue_band_with_its_own_flag(kind):
    survey = dataclasses.replace(SURVEY, blue=dataclasses.replace(SURVEY.blue, name="H", wavelength_um=1.66))
    stars, _, rejected = read(MADE[kind](), survey)
    assert stars[2].tolist() == [12.0, 12.5, 8.5, 15.0, 14.5]
    assert rejected == {"Ks upper limit": 1}


def test_quality_and_contamination_cuts_reach_the_flags():
    assert read(parquet(), with_cuts(ph_qual_keep="AB"))[2]["J ph_qual"] == 2
    assert read(psc(), with_cuts(cc_flg_keep="0"))[2]["J cc_flg"] == 1


def test_galactic_columns_go_before_equatorial_ones_unless_the_user_names_these():
    table = pa.table({k: [v[0]] for k, v in ROWS.items()} | {"GLON": [-75.0], "GLAT": [1.5], "B": [14.0]})
    out = io.BytesIO()
    pa.parquet.write_table(table, out)
    (l_deg, b_deg, *_), *_ = read(out.getvalue())
    assert (l_deg[0], b_deg[0]) == (285.0, 1.5)
    (l_deg, *_), *_ = read(out.getvalue(), reading=Reading({"ra": "ra", "dec": "dec"}))
    assert l_deg[0] == pytest.approx(GALACTIC.l.deg[0])


def test_columns_by_other_names_are_read_when_given():
    text = b"x,y,mag1,mag2,s1,s2\n280.0,1.0,12.0,11.0,0.02,0.03\n"
    columns = {"l": "x", "b": "y", "blue": "mag1", "red": "mag2", "blue_error": "s1", "red_error": "s2"}
    stars, n_rows, rejected = read(text, reading=Reading(columns))
    assert [float(c[0]) for c in stars] == [280.0, 1.0, 12.0, 11.0]
    assert (n_rows, rejected) == (1, {})
    with pytest.raises(DataError, match="no column 'nope' for blue; the table has x, y"):
        read(text, reading=Reading(columns | {"blue": "nope"}))
    with pytest.raises(DataError, match="no column role 'colour'"):
        read(text, reading=Reading(columns | {"colour": "x"}))


def test_a_row_without_position_is_counted():
    content = delimited(",").replace(b"160.1,-59.1", b",-59.1")
    assert read(content)[2] == REJECTED | {"no position": 1}


def test_scaled_and_null_integers_of_fits_are_magnitudes():
    values = {"GLON": [280, 281], "GLAT": [0, 1], "Jmag": [11000, -999], "Kmag": [10000, 10000]}
    values |= {"e_Jmag": [30, 30], "e_Kmag": [30, 30]}
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, "J", array=np.array(v), null=-999) for name, v in values.items()]
    )
    header = table.header.copy()
    header["TSCAL3"] = header["TSCAL4"] = header["TSCAL5"] = header["TSCAL6"] = 0.001
    header["TZERO3"] = 2.0
    data = np.array(list(values.values()), ">i4").T.tobytes().ljust(2880, b"\0")
    content = fits.PrimaryHDU().header.tostring() + header.tostring()
    stars, n_rows, rejected = read(content.encode() + data)
    assert (n_rows, rejected) == (2, {"no J magnitude": 1})
    np.testing.assert_allclose([c[0] for c in stars], [280.0, 0.0, 13.0, 10.0], rtol=1e-12)


def refused(content, message, **options):
    with pytest.raises(DataError, match=message) as error:
        read(content, **options)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("stars.tbl: ")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99, 0.9999])
@pytest.mark.parametrize("make", [psc, votable, ipac, fits_table])
def test_a_truncated_gzip_file_is_refused(make, share):
    content = gzip.compress(make() if make in (votable, ipac) else make(3000), mtime=0)
    refused(content[: int(len(content) * share)], "truncated.*fetch it again", batch_rows=200)


@pytest.mark.parametrize("kind", ["FITS", "Parquet", "VOTable"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_file_is_refused(kind, share):
    content = MADE[kind]()
    refused(content[: int(len(content.rstrip(b"\0")) * share)], "truncated.*fetch it again")


def test_a_damaged_gzip_file_is_refused():
    content = bytearray(gzip.compress(psc(3000)))
    content[len(content) // 2] ^= 0x55
    content[len(content) // 2 + 7] ^= 0xAA
    refused(bytes(content), "corrupted|truncated|cannot be read")


def test_a_row_of_another_length_is_refused_with_its_place():
    lines = psc(3000).splitlines(keepends=True)
    lines[15000] = b"|".join(lines[15000].split(b"|")[:20]) + b"\n"
    refused(b"".join(lines), "after data row 1[0-9]{4}: .*Expected 60 columns, got 20", batch_rows=1000)


def test_a_table_cut_within_a_line_is_refused():
    refused(psc()[:-60], "Expected 60 columns")
    refused(ipac().rstrip()[:-20], "data row 6 does not fit the header")


@pytest.mark.parametrize("kind", ["2MASS PSC", "CSV", "TSV", "IPAC table"])
def test_text_where_a_number_is_expected_is_refused(kind):
    refused(MADE[kind]().replace(b"13.25", b"13.x5"), "13.x5")


def test_text_where_a_number_is_expected_is_refused_in_parquet():
    out = io.BytesIO()
    pa.parquet.write_table(pa.table(ROWS | {"k_m": ["a"] * 6}), out)
    refused(out.getvalue(), "column k_m must hold numbers")


@pytest.mark.parametrize(
    ("dropped", "message"),
    [
        ("k_msigcom", r"no column for the Ks error \(looked for k_msigcom or .*red_error=NAME"),
        ("j_m", r"no column for the J magnitude .*the table has RAJ2000, DEJ2000, .*blue=NAME"),
        ("dec", r"no column for the position \(dec\)"),
    ],
)
def test_a_missing_column_is_named_with_what_there_is(dropped, message):
    refused(delimited(",", VIZIER | {dropped: "other"}), message)


def test_a_contamination_cut_needs_its_column():
    refused(
        delimited(",", VIZIER | {"cc_flg": "other"}), "contamination flag", survey=with_cuts(cc_flg_keep="0")
    )


def test_a_unit_of_base_60_over_plain_numbers_is_refused():
    refused(vizier_tsv().replace(b"deg\tdeg", b'"h:m:s"\t"d:m:s"'), "holds plain numbers")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (gzip.compress(b""), "no table"),
        (b"# only\n# comments\n", "only comments"),
        (bz2.compress(b"a,b\n"), "compressed with bzip2, only gzip"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "not a table in a known format"),
        (b"hello world\n", "not a table in a known format"),
        (b"1.5|2.5|3.5\n", "no header line and not a 2MASS PSC file: 3 columns"),
        (b"<html><body>502 Bad Gateway</body></html>", "VOTable"),
        (b"<?xml version='1.0'?><VOTABLE version='1.3'></VOTABLE>", "VOTable"),
        (b"|ra|dec|\n 1 2\n", "IPAC table needs"),
        (gzip.compress(parquet()), "decompress it"),
    ],
)
def test_what_is_not_a_table_is_refused(content, message):
    refused(content, message)


def test_real_vizier_rows_agree_with_a_plain_reading(shared_data):
    import csv

    path = shared_data / "twomass" / "ngc1333_vizier.csv"
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [
        (float(r["Jmag"]), float(r["Kmag"]))
        for r in rows
        if r["Qflg"][0] in "ABCD"
        and r["Qflg"][2] in "ABCD"
        and r["e_Jmag"]
        and r["e_Kmag"]
        and float(r["e_Jmag"]) <= 0.15
        and float(r["e_Kmag"]) <= 0.15
        and min(float(r["Jmag"]), float(r["Kmag"])) >= 4.0
    ]
    (l_deg, b_deg, j, ks), n_rows, _ = read(path.read_bytes())
    assert n_rows == 11904
    assert list(zip(j.tolist(), ks.tolist(), strict=True)) == expected
    assert np.hypot((l_deg.mean() - 158.35) * np.cos(np.radians(20.5)), b_deg.mean() + 20.55) < 0.5


def test_real_fits_of_orion_has_no_upper_limits_among_its_stars(shared_data):
    content = (shared_data / "twomass" / "orion_a.fits").read_bytes()
    (l_deg, b_deg, _, ks), n_rows, rejected = read(content)
    table = fits.getdata(io.BytesIO(content), 1)
    good = (table["e_Jmag"] <= 0.15 + 1e-6) & (table["e_Kmag"] <= 0.15 + 1e-6)
    good &= (table["Jmag"] >= 4) & (table["Kmag"] >= 4)
    assert n_rows == 86460
    np.testing.assert_array_equal(ks, table["Kmag"][good].astype(float))
    assert rejected["Ks error missing"] > 5000
    assert 206.5 < l_deg.min() < l_deg.max() < 216.5
    assert -20.6 < b_deg.min() < b_deg.max() < -18.1


@pytest.mark.parametrize(("file", "n_rows", "n_stars"), [("irsa_cone.xml", 1, 0), ("irsa_polygon.xml", 7, 4)])
def test_real_votables_of_irsa_are_read(shared_data, file, n_rows, n_stars):
    stars, n, _ = read((shared_data / "twomass" / file).read_bytes())
    assert (n, len(stars[0])) == (n_rows, n_stars)
