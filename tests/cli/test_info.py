"""What `info` says of the files that other commands write, beside maps, records and models."""

import json
import os

import pytest
from astropy.table import Table

from extmap_tf.cli import main
from extmap_tf.errors import DataError
from extmap_tf.info import describe
from extmap_tf.report.report import write_report
from extmap_tf.settings.config import Config


@pytest.fixture(scope="module")
def files(sure, make_map, tmp_path_factory):
    """A folder with a map, a truth, and what the commands make of them."""
    folder = tmp_path_factory.mktemp("files")
    truth = make_map(kind="truth", model_name="", model_digest="", records_digest="", holes=False, seed=3)
    sure.write(folder / "map.fits")
    truth.write(folder / "truth.fits")
    Config.named("carina").write(folder / "config.toml")
    maps = [str(folder / name) for name in ("map.fits", "truth.fits")]
    compared = ["compare", maps[0], "--with", maps[1], "--distance", "0.5", "1", "--out"]
    assert main([*compared, str(folder / "compare.json")]) == 0
    evaluated = ["evaluate", "--map", maps[0], "--truth", maps[1], "--out"]
    assert main([*evaluated, str(folder / "evaluation.json")]) == 0
    for suffix in ("ecsv", "csv", "fits", "vot"):
        assert main(["clouds", maps[0], "--out", str(folder / f"clouds.{suffix}")]) == 0
    write_report(sure, folder / "report.html", interactive=False)
    return folder


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("config.toml", ["configuration", Config.named("carina").digest, "fields of 0.5 deg"]),
        ("evaluation.json", ["of an estimate against the truth", "at 1 kpc mean absolute error", "map.fits"]),
        ("compare.json", ["comparison", "A(Ks) in mag with truth", "positions at 0.5 kpc", "truth.fits"]),
        ("clouds.ecsv", ["by 'clouds'", "distance_kpc (kpc)", "carina-small", "software"]),
        ("clouds.fits", ["by 'clouds'", "distance_kpc (kpc)", "carina-small"]),
        ("clouds.vot", ["by 'clouds'", "distance_kpc (kpc)"]),
        ("clouds.csv", ["by 'clouds'", "mass_low_msun"]),
        ("report.html", ["3D extinction map: carina; without a part to explore"]),
    ],
)
def test_info_says_what_it_is(name, words, files):
    first, *lines = describe(files / name)
    assert first == str(files / name)
    for word in words:
        assert word in "\n".join(lines)
    assert all("\n" not in line for line in lines)


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("evaluation.json", 300, "damaged JSON file"),
        ("report.html", 5000, "cut short"),
        ("config.toml", 5, "config.toml"),
        ("clouds.vot", 3500, "truncated: fetch it again"),
    ],
)
def test_a_file_cut_short_is_one_line(name, size, words, files, tmp_path, capsys):
    path = tmp_path / name
    path.write_bytes((files / name).read_bytes()[:size])
    assert main(["info", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line
    assert words in line


def test_json_of_somebody_else_or_edited_is_one_line(tmp_path, files):
    path = tmp_path / "x.json"
    for text in ("[1]", "3", "{}", '{"rows": 3}'):
        path.write_text(text)
        with pytest.raises(DataError, match="not a file that info knows"):
            describe(path)
    found = json.loads((files / "compare.json").read_text())
    path.write_text(json.dumps(found | {"rows": [{}]}))
    with pytest.raises(DataError, match="damaged comparison"):
        describe(path)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="a device of Linux")
def test_info_of_a_device_says_so():
    with pytest.raises(DataError, match=r"^/dev/zero: neither a file nor a folder$"):
        describe("/dev/zero")


def test_info_goes_on_after_what_it_does_not_know(files, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (tmp_path / "b.txt").write_text("hello")
    paths = [
        tmp_path / "a.png",
        files / "map.fits",
        tmp_path / "b.txt",
        tmp_path / "c",
        files / "report.html",
    ]
    assert main(["info", *map(str, paths)]) == 1
    captured = capsys.readouterr()
    assert str(files / "map.fits") in captured.out
    assert str(files / "report.html") in captured.out
    png, text, nothing = captured.err.splitlines()
    assert f"{tmp_path / 'a.png'}: not a file that info knows" in png
    assert f"{tmp_path / 'b.txt'}: not a file that info knows" in text
    assert f"{tmp_path / 'c'}: no such file" in nothing


def test_a_table_of_clouds_of_a_newer_schema_is_refused(files, tmp_path):
    table = Table.read(files / "clouds.ecsv")
    table.meta["schema"] = 99
    table.write(tmp_path / "clouds.ecsv")
    with pytest.raises(DataError, match="its schema is 99, this extmap_tf knows those up to"):
        describe(tmp_path / "clouds.ecsv")
