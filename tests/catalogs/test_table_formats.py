"""Tables as other people write them: delimiters, missing values, several tables, units, base 60."""

import gzip
import io
import re

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import Angle, SkyCoord
from astropy.io import fits, votable
from astropy.table import MaskedColumn, Table
from star_tables import N_STARS, assert_all_read, lines_of, read, stars, text_of

from extmap_tf.errors import DataError

VIZIER = ("RAJ2000", "DEJ2000", "Jmag", "e_Jmag", "Kmag", "e_Kmag", "Qflg")


def written(table, form, **how):
    out = io.StringIO()
    table.write(out, format=form, **how)
    return out.getvalue().encode()


def ascii_fits(columns):
    hdu = fits.TableHDU.from_columns(
        [
            fits.Column(name, "A3" if name == "ph_qual" else "F12.6", array=values, ascii=True)
            for name, values in columns.items()
        ]
    )
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(out)
    return out.getvalue()


def mysql(columns):
    head, *rows = lines_of(columns, " | ")
    rule = "+" + "+".join(["-" * 9] * len(columns)) + "+"
    body = [rule, f"| {head} |", rule, *(f"| {row} |" for row in rows), rule]
    return ("\n".join(body) + "\n").encode()


def psql(columns, n_rows=N_STARS):
    head, *rows = lines_of(columns, " | ")
    rule = "+".join(["-" * 9] * len(columns))
    return ("\n".join([f" {head}", rule, *(f" {row}" for row in rows)]) + f"\n({n_rows} rows)\n").encode()


def remarked_fits(columns):
    table = Table(columns)
    table.meta["comments"] = ["as astropy writes them"]
    out = io.BytesIO()
    table.write(out, format="fits")
    return out.getvalue()


def machine_readable(columns):
    table = Table(columns)
    table["j_m"].unit = "mag"
    return written(table, "ascii.mrt")


def machine_readable_base_60(columns):
    table = Table({name: values for name, values in columns.items() if name not in ("ra", "dec")})
    table["place"] = SkyCoord(columns["ra"], columns["dec"], unit="deg")
    return written(table, "ascii.mrt")


def sextractor(columns):
    head = [
        f"# {i:3} {name:20} Its meaning [{'deg' if name in ('ra', 'dec') else 'mag'}]"
        for i, name in enumerate(columns, 1)
    ]
    return ("\n".join([*head, *lines_of(columns, " ")[1:]]) + "\n").encode()


def rdb(columns):
    head, *rows = lines_of(columns, "\t")
    return "\n".join([head, "\t".join(["8N"] * (len(columns) - 1) + ["3S"]), *rows]).encode()


def excel(columns):
    return b"\xef\xbb\xbfsep=;\r\n" + text_of(columns, ";").replace(b".", b",").replace(b"\n", b"\r\n")


FORMS = {
    "AAS": machine_readable,
    "AAS in base 60": machine_readable_base_60,
    "AAS of other systems": lambda c: machine_readable(c).replace(b"\n", b"\r\n"),
    "SExtractor": sextractor,
    "RDB": rdb,
    "Excel": excel,
    "an index without a name": lambda c: text_of({"": np.arange(N_STARS)} | c),
    "a delimiter behind each row": lambda c: text_of(c).replace(b"\n", b",\n").replace(b",\n", b"\n", 1),
    "SQL*Plus": lambda c: text_of(c) + f"{N_STARS} rows selected.\n".encode(),
    "DOS": lambda c: text_of(c) + b"\x1a",
    "FITS with remarks": remarked_fits,
    "quoted tabs": lambda c: written(Table(c), "ascii.tab", quotechar='"').replace(b"AAA", b'"AAA"'),
    "all quoted tabs": lambda c: "\n".join('"' + line + '"' for line in lines_of(c, '"\t"')).encode(),
    "semicolons": lambda c: text_of(c, ";"),
    "decimal commas": lambda c: text_of(c, ";").replace(b".", b","),
    "spaces": lambda c: written(Table(c), "ascii.basic"),
    "runs of spaces": lambda c: text_of(c, "   ").replace(b"\n", b"  \n  "),
    "commented header": lambda c: written(Table(c), "ascii.commented_header"),
    "fixed width with bars": lambda c: written(Table(c), "ascii.fixed_width"),
    "MySQL": mysql,
    "PostgreSQL": psql,
    "ECSV": lambda c: written(Table(c), "ascii.ecsv"),
    "IPAC": lambda c: written(Table(c), "ascii.ipac"),
    "ASCII FITS": ascii_fits,
    "carriage returns": lambda c: text_of(c).replace(b"\n", b"\r\n"),
    "old Macintosh": lambda c: text_of(c).replace(b"\n", b"\r"),
    "byte order mark": lambda c: b"\xef\xbb\xbf" + text_of(c),
    "units behind the names": lambda c: text_of(c, ",", ["ra [deg]", "dec [deg]", "j_m [mag]", *list(c)[3:]]),
}


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_text_is_read(form, zipped):
    content = FORMS[form](stars())
    assert_all_read(gzip.compress(content) if zipped else content)


@pytest.mark.parametrize(
    "missing",
    [
        *("NA", "N/A", "None", "---", "-", "INDEF", "null", r"\N", "", ".", ".....", " -- ", "  null", "n/a"),
        *("<NA>", "#N/A", "#VALUE!", "-1.#IND", "(null)", "missing", "******", "n.d.", ">16.2", "NaN()"),
    ],
)
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_every_spelling_of_a_missing_value_is_one(missing, delimiter):
    columns = stars() | {"j_msigcom": np.array([missing] * 5 + ["0.03"] * (N_STARS - 5))}
    _, n_rows, rejected = read(text_of(columns, delimiter))
    assert (n_rows, rejected) == (N_STARS, {"J error missing": 5})


def test_a_spelling_that_comes_late_is_read_from_there_on():
    columns = {name: np.tile(values, 500) for name, values in stars().items()}
    columns["j_msigcom"] = np.array(["0.03"] * (500 * N_STARS - 3) + ["  n/a  "] * 3)
    (_, _, j, _), n_rows, rejected = read(text_of(columns), batch_rows=1000)
    assert (n_rows, rejected) == (500 * N_STARS, {"J error missing": 3})
    np.testing.assert_array_equal(j, columns["j_m"][:-3])


def vizier(*tables):
    parts = ["#\n#   VizieR Astronomical Server\n#INFO\t-out.max=1000\n"]
    for number, (columns, names) in enumerate(tables, 1):
        head, *rows = lines_of(columns, "\t", names)
        units = "\t".join(["deg", "deg", *["mag"] * (len(columns) - 2)])
        rule = "\t".join(["-----"] * len(columns))
        parts.append(
            "\n".join([f"#RESOURCE=yCat_{number}", f"#Name: II/{number}", "", head, units, rule, *rows, "\n"])
        )
    return "\n".join(parts).encode()


def other_columns():
    columns = stars()
    return {"ra": columns["ra"], "dec": columns["dec"], "g": columns["j_m"]}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
def test_of_two_tables_of_vizier_the_one_with_the_columns_is_read(order, zipped):
    content = vizier(*[(stars(), VIZIER), (other_columns(), ("RA_ICRS", "DE_ICRS", "Gmag"))][::order])
    assert_all_read(gzip.compress(content) if zipped else content)


def test_two_tables_that_both_serve_are_told_and_not_added():
    content = vizier((stars(), VIZIER), (stars(), VIZIER))
    with pytest.raises(DataError, match=r"2 of its 2 tables have the columns .* holds 1: II/1 .*; 2: II/2"):
        read(content)
    with pytest.raises(DataError, match="a second header line, so give its tables in files of their own"):
        read(text_of(stars()) * 2)


def test_the_second_table_of_a_votable_or_fits_file_is_read():
    document = votable.from_table(Table(other_columns()))
    document.resources[0].tables.append(votable.from_table(Table(stars())).get_first_table())
    out = io.BytesIO()
    document.to_xml(out)
    assert_all_read(out.getvalue())
    out = io.BytesIO()
    parts = [fits.BinTableHDU(Table(other_columns())), fits.BinTableHDU(Table(stars()))]
    fits.HDUList([fits.PrimaryHDU(), *parts]).writeto(out)
    assert_all_read(out.getvalue())
    assert_all_read(gzip.compress(out.getvalue()))


def in_units(form, **units):
    table = Table(stars())
    for name, unit in units.items():
        table[name] = (np.asarray(table[name]) * (u.mag if name[0] in "jk" else u.deg)).to(unit)
    if form in ("fits", "votable"):
        out = io.BytesIO()
        table.write(out, format=form)
        return out.getvalue()
    if form == "parquet":
        import pyarrow as pa
        import pyarrow.parquet

        fields = [(name, table[name].tolist(), table[name].unit) for name in table.colnames]
        arrow = pa.table(
            [pa.array(values) for _, values, _ in fields],
            schema=pa.schema(
                [
                    pa.field(name, pa.array(values).type, metadata={"unit": str(unit)} if unit else None)
                    for name, values, unit in fields
                ]
            ),
        )
        out = io.BytesIO()
        pa.parquet.write_table(arrow, out)
        return out.getvalue()
    return written(table, form)


@pytest.mark.parametrize("form", ["ascii.ecsv", "ascii.ipac", "fits", "votable", "parquet"])
@pytest.mark.parametrize("units", [{"ra": "rad", "dec": "rad"}, {"j_m": "mmag", "k_msigcom": "mmag"}])
def test_units_that_are_stated_are_converted(form, units):
    assert_all_read(in_units(form, **units))


def test_right_ascension_in_hours_is_converted_and_a_foreign_unit_refused():
    assert_all_read(in_units("ascii.ecsv", ra="hourangle"))
    for wrong, words in (
        ("pc", "'pc', which is not a unit of an angle"),
        ("blah", "'blah', which is not a unit"),
    ):
        with pytest.raises(DataError, match=f"column ra is in {words}"):
            read(in_units("ascii.ecsv", ra="rad").replace(b"unit: rad", f"unit: {wrong}".encode()))
    with pytest.raises(DataError, match="column j_m is in 'Jy', which is not a unit of a Vega magnitude"):
        read(in_units("ascii.ecsv", j_m="mmag").replace(b"unit: mmag", b"unit: Jy"))


@pytest.mark.parametrize("style", [(":", ":"), ("hms", "dms"), (" ", " ")])
@pytest.mark.parametrize("form", ["csv", "fits", "votable", "ascii.ipac"])
def test_coordinates_in_base_60_are_read(style, form):
    table = Table(stars())
    for name, sep, unit in (("ra", style[0], u.hourangle), ("dec", style[1], u.deg)):
        table[name] = Angle(np.asarray(table[name]), u.deg).to_string(unit, sep=sep, precision=4, pad=True)
    if form == "csv":
        content = text_of({name: np.asarray(table[name]) for name in table.colnames})
    elif form == "ascii.ipac":
        content = written(table, form)
    else:
        out = io.BytesIO()
        table.write(out, format=form)
        content = out.getvalue()
    assert_all_read(content)


def test_masked_values_are_missing_ones():
    table = Table(stars())
    table["j_m"] = MaskedColumn(table["j_m"], mask=[True] + [False] * (N_STARS - 1))
    for form in ("votable", "fits"):
        out = io.BytesIO()
        table.write(out, format=form)
        assert read(out.getvalue())[2] == {"no J magnitude": 1}
    assert read(written(table, "ascii.ecsv"))[2] == {"no J magnitude": 1}


@pytest.mark.parametrize("mark", ["\x0c", "\u2028", "\x85", "\x0b"])
def test_no_row_is_lost_behind_a_comment_with_an_odd_line_end(mark):
    assert_all_read(f"# a{mark}b\n".encode() + text_of(stars()))
    head, rest = text_of(stars()).split(b"\n", 1)
    assert_all_read(head + f"\n# a{mark}b\n".encode() + rest)
    assert_all_read(b"#" + head + f"\n# a{mark}b\n".encode() + rest)


def test_a_row_behind_a_comment_sign_is_no_star():
    content = text_of(stars())
    assert_all_read(content + b"#" + content.splitlines()[-1] + b"\n")


@pytest.mark.parametrize("cell", ["#N/A", "#DIV/0!", "#NAME?"])
def test_an_error_of_a_spreadsheet_in_the_first_cell_is_no_remark(cell):
    head, *rows = text_of(stars()).splitlines()
    assert_all_read(b"\n".join([b"note," + head, *(cell.encode() + b"," + row for row in rows)]) + b"\n")


def test_rows_that_are_remarks_are_counted():
    assert read(text_of(stars()) + b"x,#finished,normally\n")[2] == {"a remark, no row": 1}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (psql(stars(), 41), "it promises 41 rows and has 40"),
        (b"\\RowsRetrieved = 55\n" + written(Table(stars()), "ascii.ipac"), "it promises 55 rows and has 40"),
        (b"#INFO\tQUERY_STATUS=OVERFLOW\n" + text_of(stars()), "QUERY_STATUS=OVERFLOW"),
        (text_of(stars()) + b"# result truncated at 40 rows\n", "result truncated at 40 rows"),
    ],
)
def test_a_table_that_says_it_is_not_whole_is_refused_unless_accepted(content, words, caplog):
    from extmap_tf.catalogs.survey_tables import Reading

    with pytest.raises(DataError, match=f"not whole .*{words}.*--accept-partial"):
        read(content)
    assert read(content, reading=Reading(accept_partial=True))[1] == N_STARS
    assert words in caplog.text


@pytest.mark.parametrize("status", ["OVERFLOW", "ERROR"])
def test_a_votable_whose_service_cut_it_off_is_refused(status):
    out = io.BytesIO()
    Table(stars()).write(out, format="votable")
    info = f'</TABLE><INFO name="QUERY_STATUS" value="{status}">limit</INFO>'.encode()
    with pytest.raises(DataError, match=f"not whole .QUERY_STATUS {status}"):
        read(out.getvalue().replace(b"</TABLE>", info))
    with pytest.raises(DataError, match="it promises 99999999999 rows and has 40"):
        read(out.getvalue().replace(b"<TABLE>", b'<TABLE nrows="99999999999">'))


def test_a_cell_that_is_no_number_is_named_though_python_would_take_it():
    columns = stars() | {"j_m": np.array(["12.5"] * (N_STARS - 1) + ["1_2"])}
    with pytest.raises(DataError, match="column j_m must hold numbers, '1_2' is not a number"):
        read(text_of(columns))


@pytest.mark.parametrize("no", ["0", "F", "False", "no", ""])
def test_a_limit_flag_may_say_no(no):
    columns = stars() | {"l_Jmag": np.array(["1"] * 3 + [no] * (N_STARS - 3))}
    assert read(text_of(columns))[2] == {"J upper limit": 3}


def test_logical_columns_of_fits_are_flags():
    table = Table(stars() | {"l_Jmag": np.arange(N_STARS) < 3})
    out = io.BytesIO()
    table.write(out, format="fits")
    assert read(out.getvalue())[2] == {"J upper limit": 3}


def repeated(form):
    table = Table(stars() | {"xx_m": stars()["j_m"] + 1.0})
    if form == "csv":
        return text_of({name: np.asarray(table[name]) for name in table.colnames}).replace(b"xx_m", b"j_m")
    if form == "ascii.ipac":
        return written(table, form).replace(b"xx_m", b" j_m")
    out = io.BytesIO()
    table.write(out, format=form)
    return out.getvalue().replace(b"'xx_m", b"'j_m ").replace(b'name="xx_m"', b'name="j_m"')


@pytest.mark.parametrize("form", ["csv", "ascii.ipac", "fits", "votable"])
def test_of_two_columns_with_one_name_the_user_chooses(form):
    from extmap_tf.catalogs.survey_tables import Reading

    content = repeated(form)
    with pytest.raises(DataError, match=r"2 columns are called j_m: say which .*blue=j_m or .*blue=j_m_2"):
        read(content)
    assert_all_read(content, reading=Reading({"blue": "j_m"}))
    (_, _, j, _), _, _ = read(content, reading=Reading({"blue": "j_m_2"}))
    np.testing.assert_allclose(j, stars()["j_m"] + 1.0)
    if form == "fits":
        # FITS asks for no names at all.
        with pytest.raises(DataError, match=r"no column for the J magnitude .* column_3"):
            read(content.replace(b"TTYPE3", b"XTYPE3").replace(b"'j_m ", b"'x_m "))


def test_a_machine_readable_table_without_its_rows_or_its_end_is_told():
    content = machine_readable(stars())
    rows = content.rindex(b"-----\n") + 6
    for wrong, words in (
        (content[:rows], "whose rows are in another file"),
        (content[:400], "description has no end: truncated"),
        (content + content, "it describes 2 files, as a ReadMe"),
        (content.rstrip().removesuffix(b"AAA").rstrip()[:-1], "data row 40 does not fit"),
    ):
        with pytest.raises(DataError, match=words):
            read(wrong)


def test_the_value_for_none_in_a_machine_readable_table_is_none():
    columns = stars()
    columns["j_m"][:3] = 99.0
    content = machine_readable(columns)
    start = content.index(b"Description of j_m")
    begin = content.rindex(b"[", 0, start)
    content = content[:begin] + b"?=99.0 " + content[start:]
    assert read(content)[2] == {"no J magnitude": 3}


def test_a_votable_around_a_fits_file_is_named():
    out = io.BytesIO()
    Table(stars()).write(out, format="votable")
    inside = b"<FITS><STREAM>U0lNUExF</STREAM></FITS>"
    content = re.sub(b"<TABLEDATA>.*</TABLEDATA>", inside, out.getvalue(), flags=re.DOTALL)
    with pytest.raises(DataError, match="a VOTable whose rows are a FITS file inside it: save it as FITS"):
        read(content)


def test_what_is_no_table_is_named():
    for content, words in (
        (b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml", "an Excel workbook .save the sheet as CSV"),
        (b"PK\x03\x04" + bytes(26) + b"arr_0.npy", "numpy's .npz"),
        (b"PK\x03\x04" + bytes(26) + b"stars.csv", "compressed with zip"),
        (b"ARROW1\0\0", "Arrow or Feather"),
        (b"\x93NUMPY\x01\0", "numpy's .npy"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b'[{"ra": 1.0, "dec": 2.0}]', "JSON"),
        (b"\\begin{table}\n", "LaTeX"),
        ("ra,dec\n".encode("utf-16"), "UTF-16 text"),
        (b"<html><body>no</body></html>", "a web page"),
        (b"ra dec j k\n10 32 12.3 -57 36 26 12.0 11.0\n", "base 60 written with spaces"),
    ):
        with pytest.raises(DataError, match=words):
            read(content)


def test_text_of_parquet_that_is_no_utf_8_is_one_line(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet

    from extmap_tf.map.table_query import read_table

    cells = pa.array([b"\xff\xfe", b"x"], pa.binary())
    texts = pa.StringArray.from_buffers(2, cells.buffers()[1], cells.buffers()[2])
    pa.parquet.write_table(pa.table({"l": [1.0, 2.0], "name": texts}), tmp_path / "stars.parquet")
    with pytest.raises(DataError, match=r"stars\.parquet: corrupted"):
        read_table(tmp_path / "stars.parquet")
