"""The report of a map: one file, whole, escaped, and with the numbers of the map."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from extmap_tf.cli import main
from extmap_tf.errors import DataError, MismatchError
from extmap_tf.evaluation.metrics import compare_maps
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.report.report import write_report

VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Tags in balance, and what the page would load."""

    def __init__(self, text):
        super().__init__()
        self.open, self.sources, self.cells, self.headings = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href", "data", "srcset")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


@pytest.fixture(scope="module")
def truth(make_map):
    return make_map(kind="truth", model_name="", model_digest="", records_digest="", holes=False, seed=3)


def test_the_report_needs_nothing_else(sure, truth, tmp_path):
    path = write_report(sure, tmp_path / "new" / "report.html", truth, interactive=False)
    text = path.read_text()
    page = Page(text)
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in page.sources)
    assert "@import" not in text
    assert "url(" not in text
    images = re.findall(r'base64,([^"]+)" width="(\d+)" height="(\d+)" alt="([^"]+)"', text)
    assert len(images) >= 6
    for data, width, height, caption in images:
        png = base64.b64decode(data, validate=True)
        assert png.startswith(b"\x89PNG")
        assert (int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")) == (
            int(width),
            int(height),
        )
        assert len(caption) > 20
    assert len(text) < 5e6
    assert write_report(sure, path, truth, interactive=False, overwrite=True).read_text() == text


def test_the_report_has_the_numbers_of_the_map(sure, truth, tmp_path):
    how = {"model": [("weights", "many")], "interactive": False}
    page = Page(write_report(sure, tmp_path / "r.html", truth, **how).read_text())
    assert page.headings == [
        "What it is",
        "The model",
        "The map",
        "How far to trust it",
        "Flags",
        "Errors against the truth",
    ]
    for row in compare_maps(sure, truth).overall:
        assert f"{row.mean_absolute_error_mag:.4f}" in page.cells
    n = np.count_nonzero(sure.flag == 0)
    assert page.cells[page.cells.index("good: no flag") + 1] == str(n)
    at = np.percentile(sure.reliable_distance_kpc[sure.has_profile], 50)
    assert f"{at:.2f}" in page.cells
    assert "many" in page.cells


def test_text_from_the_map_is_escaped(make_sure_map, tmp_path):
    volume = make_sure_map(config_name="<script>alert(1)</script>", model_name="a & b")
    text = write_report(volume, tmp_path / "i.html").read_text()
    assert "<script>alert" not in text
    text = write_report(volume, tmp_path / "r.html", interactive=False).read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "a &amp; b" in text


def test_a_map_without_uncertainty_has_a_report_without_it(make_map, tmp_path):
    page = Page(write_report(make_map(), tmp_path / "r.html", interactive=False).read_text())
    assert page.headings == ["What it is", "The map", "Flags"]


def test_a_report_that_cannot_be_written_leaves_nothing(sure, make_map, tmp_path):
    with pytest.raises(MismatchError):
        write_report(sure, tmp_path / "a" / "r.html", make_map(distance=DistanceGrid(0.1, 11)))
    with pytest.raises(DataError, match="outside the map"):
        write_report(sure, tmp_path / "r.html", sightlines=[(10.0, 0.0)])
    with pytest.raises(DataError, match=r"r\.pdf: a report is HTML: give it a name in \.html"):
        write_report(sure, tmp_path / "r.pdf")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        write_report(sure, tmp_path)
    assert (tmp_path / "report.html").read_text() == "mine"


def test_report_from_the_command_line(sure, tmp_path, capsys):
    sure.write(tmp_path / "map.fits")
    assert (
        main(["report", str(tmp_path / "map.fits"), "-o", str(tmp_path / "r"), "--sightline", "258,0"]) == 0
    )
    assert capsys.readouterr().out.strip() == str(tmp_path / "r" / "report.html")
    argv = ["report", str(tmp_path / "map.fits"), "-o", str(tmp_path / "other.html")]
    assert main([*argv, "--model", "carina"]) == 1
    assert "is not the model of the map" in capsys.readouterr().err
    assert not (tmp_path / "other.html").exists()
