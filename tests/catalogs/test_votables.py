"""VOTables are read some rows at a time, and each cell means what astropy takes it for."""

import gzip
import io

import numpy as np
import pytest
from astropy.io import votable
from astropy.table import MaskedColumn, Table
from star_tables import assert_all_read, stars

from extmap_tf.catalogs.formats import votable_rows
from extmap_tf.catalogs.formats.votable import open_votable
from extmap_tf.catalogs.tables import open_tables
from extmap_tf.errors import DataError

FORMATS = ("tabledata", "binary", "binary2")
N_ROWS = 300


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(votable_rows, "READ_BYTES", 700)


def odd_table():
    """Numbers of all types, some missing, arrays and texts of fixed and of any length."""
    rng = np.random.default_rng(3)
    missing = rng.random(N_ROWS) < 0.2
    table = Table()
    for kind in ("u1", "i2", "i4", "i8", "f4", "f8"):
        table[kind] = MaskedColumn(rng.integers(1, 99, N_ROWS).astype(kind), mask=missing)
    table["flag"] = rng.random(N_ROWS) < 0.5
    table["vector"] = rng.normal(size=(N_ROWS, 3))
    table["lists"] = np.array([rng.normal(size=rng.integers(0, 5)) for _ in range(N_ROWS)] + [None], object)[
        :-1
    ]
    table["words"] = np.array(["abcdefgh"[: rng.integers(0, 8)] for _ in range(N_ROWS)], object)
    table["marked"] = np.array(["a<b>&c", "]]", '"', "</TR", "&lt;"] * (N_ROWS // 5))
    table["last"] = rng.normal(size=N_ROWS)
    return table


def document(table, form):
    out = io.BytesIO()
    tree = votable.from_table(table)
    for field in tree.get_first_table().fields:
        if field.datatype in ("unsignedByte", "short", "int", "long"):
            field.values.null = 0
    if "lists" in table.colnames:
        # astropy writes masked arrays of any length alone.
        cells = tree.get_first_table().array["lists"].data
        for i, cell in enumerate(cells):
            cells[i] = np.ma.array(cell, mask=np.zeros(len(cell), bool))
    tree.set_all_tables_format(form)
    tree.to_xml(out)
    return out.getvalue()


def parts(content, numbers, texts=(), **options):
    (table,) = open_votable(io.BytesIO(content), "a.vot")
    batches = list(table.batches(numbers, texts, **options))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}, len(batches)


@pytest.mark.parametrize("form", FORMATS)
def test_cells_of_every_type_mean_what_they_mean_to_astropy(form):
    content = document(odd_table(), form)
    whole = votable.parse_single_table(io.BytesIO(content)).array
    numbers = ("u1", "i2", "i4", "i8", "f4", "f8", "last")
    found, n_batches = parts(content, numbers, ("words", "marked"), batch_rows=40)
    assert n_batches > 3
    for name in numbers:
        expected = np.ma.filled(whole[name].astype(float), np.nan)
        np.testing.assert_array_equal(found[name], expected)
    assert found["words"].tolist() == [str(word).strip()[:3].encode() for word in whole["words"]]
    assert found["marked"].tolist() == [str(word).strip()[:3].encode() for word in whole["marked"]]


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("block", [90, 701, 5000])
def test_where_a_document_is_cut_for_reading_does_not_matter(form, zipped, block, monkeypatch):
    monkeypatch.setattr(votable_rows, "READ_BYTES", block)
    content = document(Table(stars()), form)
    assert_all_read(gzip.compress(content) if zipped else content)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: (
            text.replace(b"<", b"<v:")
            .replace(b"<v:/", b"</v:")
            .replace(b"<v:?", b"<?")
            .replace(b"<v:!", b"<!")
            .replace(b"xmlns=", b"xmlns:v=")
        ),
        lambda text: text.replace(b"</TR>", b"</TR >").replace(b"<TR>", b"<TR\n>"),
        lambda text: text.replace(b"<TABLE>", b"<!-- <TABLE><DATA><TABLEDATA> --><TABLE>"),
        lambda text: text.replace(
            b"<TABLE>", b"<DESCRIPTION><![CDATA[ <STREAM> </TABLEDATA> ]]></DESCRIPTION><TABLE>"
        ),
        lambda text: text.replace(b"<TABLE>", b'<TABLE name="one" />\n<TABLE>'),
        lambda text: text.replace(
            b"<RESOURCE",
            b"<RESOURCE><RESOURCE><TABLE><DATA><TABLEDATA/></DATA></TABLE></RESOURCE><TABLE/>"
            b"</RESOURCE><RESOURCE",
            1,
        ),
    ],
    ids=["prefixes", "spaces in tags", "a remark", "character data", "an empty table", "nested resources"],
)
def test_documents_as_others_write_them(change):
    assert_all_read(change(document(Table(stars()), "tabledata")))


def test_a_table_keeps_its_rows_among_others():
    tree = votable.from_table(Table({"x": np.arange(30.0)}))
    for values in (np.arange(100.0, 140.0), np.arange(3.0)):
        tree.resources[0].tables.append(votable.from_table(Table({"x": values})).get_first_table())
    for form in FORMATS:
        tree.set_all_tables_format(form)
        out = io.BytesIO()
        tree.to_xml(out)
        tables = open_tables(io.BytesIO(out.getvalue()), "a.vot")
        # In any order, and more than once.
        for i, expected in ((1, np.arange(100.0, 140.0)), (0, np.arange(30.0)), (1, np.arange(100.0, 140.0))):
            found = np.concatenate([batch["x"] for batch in tables[i].batches(["x"])])
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("form", FORMATS)
def test_the_columns_of_a_table_can_be_had_as_a_whole(form):
    content = document(odd_table(), form)
    (table,) = open_votable(io.BytesIO(content), "a.vot")
    whole = table.whole()
    assert len(whole) == N_ROWS
    assert whole["marked"][0] == "a<b>&c"


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_document_that_breaks_off_is_refused(form, share):
    content = document(odd_table(), form)
    with pytest.raises(DataError, match="not a VOTable, or truncated"):
        parts(content[: int(share * len(content))], ["f8"])


def test_rows_that_end_too_early_are_told():
    content = document(odd_table(), "binary2")
    at = content.index(b"</STREAM>")
    end = content[:at].rstrip()
    for cut in (4, 8, 40):
        with pytest.raises(DataError, match=r"truncated|corrupted"):
            parts(end[:-cut] + content[at:], ["f8"])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (b"<TR>" + b"<TD>1</TD>" * 2_000_000, "a row of more than 16 MB"),
        (b"<TD", "truncated"),
    ],
)
def test_rows_without_an_end_are_refused(rows, words, monkeypatch):
    monkeypatch.setattr(votable_rows, "READ_BYTES", 1 << 22)
    content = document(Table({"x": np.arange(3.0)}), "tabledata")
    with pytest.raises(DataError, match=words):
        parts(content.replace(b"</TABLEDATA>", rows + b"</TABLEDATA>"), ["x"])


@pytest.mark.parametrize("filling", [b"<", b"<TABLE ", b"<!--", b"<a ", b"</", b" ", b"<TABLE/>"])
def test_a_document_of_marks_alone_is_refused_soon(filling, monkeypatch):
    monkeypatch.setattr(votable_rows, "READ_BYTES", 1 << 22)
    content = b"<VOTABLE>" + filling * ((9 << 20) // len(filling))
    with pytest.raises(DataError, match="more than 4 MB beside its rows"):
        open_votable(io.BytesIO(content), "a.vot")


def test_rows_that_are_hidden_are_not_lost_in_silence():
    content = document(Table(stars()), "tabledata")
    hidden = content.replace(b"<DATA>", b"<?a <!-- ?><DATA>").replace(b"</DATA>", b"</DATA><?b --> ?>")
    with pytest.raises(DataError, match="not where they should be"):
        open_votable(io.BytesIO(hidden), "a.vot")
