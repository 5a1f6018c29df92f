"""Commands that need a map and nothing else: what they print, what they write, what they refuse."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.table import Table

from extmap_tf.cli import main
from extmap_tf.compare.clouds import find_clouds
from extmap_tf.compare.maps import compare
from extmap_tf.estimate import ProfileEstimate
from extmap_tf.grids.distance import DistanceGrid
from extmap_tf.map.volume import ExtinctionMap


@pytest.fixture(scope="module")
def map_file(sure, tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "map.fits"
    sure.write(path)
    return path


@pytest.fixture(scope="module")
def other_file(make_sure_map, tmp_path_factory):
    path = tmp_path_factory.mktemp("other") / "other.fits"
    make_sure_map(seed=2).write(path)
    return path


def runs(capsys, *argv):
    assert main([str(word) for word in argv]) == 0
    return capsys.readouterr().out


def fails(capsys, *argv):
    assert main([str(word) for word in argv]) == 1
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1
    return err[0]


def marshall_file(tmp_path):
    table = Table({"GLON": [257.5, 258.0, 259.0, 20.0], "GLAT": [0.0, 0.5, -1.0, 0.0]})
    for i, (r, a) in enumerate(((0.4, 0.1), (0.9, 0.3)), 1):
        table[f"r{i}"], table[f"ext{i}"], table[f"e_ext{i}"] = [r] * 4, [a, 2 * a, 3 * a, a], [0.02] * 4
    table.write(tmp_path / "marshall.fits")
    return tmp_path / "marshall.fits"


def test_compare_with_a_map_prints_writes_and_draws(map_file, other_file, tmp_path, capsys):
    argv = ["compare", map_file, "--with", other_file, "--distance", 0.5, 1.0]
    argv += ["--out", tmp_path / "c.json", "--figures", tmp_path / "figures", "--format", "pdf"]
    out = runs(capsys, *argv)
    assert "map against other, A(Ks)" in out
    found = json.loads((tmp_path / "c.json").read_text())
    expected = compare(
        ExtinctionMap.read(map_file), ExtinctionMap.read(other_file), distances_kpc=(0.5, 1.0), name="other"
    )
    assert found["rows"] == expected.to_dict()["rows"]
    assert found["of"] == [str(map_file), str(other_file)]
    names = {"difference.pdf", "against.pdf", "agreement.pdf", "side_by_side.pdf"}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == names
    assert "exists already" in fails(capsys, *argv)


def test_compare_and_report_refuse_what_is_there_before_any_work(map_file, tmp_path, capsys):
    # Work would find that there is no such map.
    (tmp_path / "agreement.png").write_text("mine")
    (tmp_path / "report.html").write_text("mine")
    argv = ["compare", map_file, "--with", tmp_path / "nothing", "--figures", tmp_path]
    assert "agreement.png exists already" in fails(capsys, *argv)
    argv = ["report", tmp_path / "nothing", "--records", tmp_path / "nothing", "--out", tmp_path]
    assert "report.html exists already" in fails(capsys, *argv)


def test_plot_finds_figures_of_before_before_it_reads_records(map_file, tmp_path, capsys):
    (tmp_path / "sky.pdf").touch()
    argv = ["plot", map_file, "--out", tmp_path, "--format", "pdf", "--records", tmp_path / "none"]
    assert "sky.pdf exists already" in fails(capsys, *argv)
    assert "none: no such records folder" in fails(capsys, *argv, "--overwrite")


def test_compare_knows_what_the_numbers_of_marshall_are(map_file, tmp_path, capsys):
    argv = ["compare", map_file, "--with", marshall_file(tmp_path), "--distance", 0.9]
    last = runs(capsys, *argv).splitlines()[-1].split()
    assert last[1] == "3"
    assert float(last[5]) == pytest.approx(np.mean([0.3, 0.6, 0.9]), abs=1e-4)
    doubled = runs(capsys, *argv, "--per-unit", 2).splitlines()[-1].split()
    assert float(doubled[5]) == pytest.approx(1.2, abs=1e-4)
    runs(capsys, *argv, "--figures", tmp_path / "f", "--sightline", "258,0.5")


def test_compare_converts_a_map_of_dustmaps_by_what_the_user_says(map_file, monkeypatch, capsys):
    class MarshallQuery:
        def query(self, coords, mode="median"):
            return 3.0 * coords.distance.kpc * coords.l.deg / 258.0

    monkeypatch.setitem(sys.modules, "dustmaps.marshall", SimpleNamespace(MarshallQuery=MarshallQuery))
    argv = ["compare", map_file, "--with", "dustmaps.marshall:MarshallQuery", "--distance", 1.0]
    assert "the band of its numbers is unknown" in fails(capsys, *argv)
    assert "map against Marshall" in runs(capsys, *argv, "--band", "V", "--law", "F19")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("nowhere.fits", "nowhere.fits: no such file"),
        ("dustmaps.nothing:Query", "cannot be imported"),
        ("dustmaps.sfd:Nothing", "has no class Nothing"),
        ("dustmaps.sfd:SFDQuery", "are its data fetched?"),
        (".", "a folder"),
    ],
)
def test_compare_with_nothing_to_compare_with_is_one_line(other, message, map_file, tmp_path, capsys):
    argv = ["compare", map_file, "--with", other, "--out", tmp_path / "c.json"]
    assert message in fails(capsys, *argv)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "no table\n"])
@pytest.mark.parametrize("name", ["other", "other.csv", "other.fits"])
def test_compare_with_a_file_that_is_no_table_is_one_short_line(name, text, map_file, tmp_path, capsys):
    (tmp_path / name).write_text(text)
    line = fails(capsys, "compare", map_file, "--with", tmp_path / name)
    assert f"{tmp_path / name}: " in line
    assert "Read Write" not in line
    assert len(line) < 300 + len(str(tmp_path))


@pytest.fixture(scope="module")
def cloudy(make_map):
    """A map of one profile a sightline, with a cloud on six of them at 0.6 kpc."""
    plain = make_map(distance=DistanceGrid(0.1, 20), holes=False)
    density = np.full((*plain.grid.shape, 20), 0.05)
    density[1:3, 1:4, 5:7] = 2.0
    profiles = ProfileEstimate.of_density(density, 0.1)
    return ExtinctionMap(plain.header, profiles, plain.coverage, plain.n_stars)


@pytest.fixture(scope="module")
def cloudy_file(cloudy, tmp_path_factory):
    path = tmp_path_factory.mktemp("cloudy") / "map.fits"
    cloudy.write(path)
    return path


@pytest.mark.parametrize("suffix", ["ecsv", "csv", "fits", "vot"])
def test_clouds_are_written_as_found(suffix, cloudy_file, cloudy, tmp_path, capsys):
    path = tmp_path / f"clouds.{suffix}"
    runs(capsys, "clouds", cloudy_file, "--out", path)
    table = Table.read(path, format="ascii.csv" if suffix == "csv" else None)
    (cloud,) = find_clouds(cloudy)
    assert list(table["distance_kpc"]) == pytest.approx([cloud.distance_kpc])
    assert list(table["mass_msun"]) == pytest.approx([cloud.mass_msun])
    assert list(table["n_sightlines"]) == [6]
    assert "exists already" in fails(capsys, "clouds", cloudy_file, "--out", path)


def test_clouds_of_a_sightline_are_printed(cloudy_file, cloudy, capsys):
    (cloud,) = find_clouds(cloudy)
    argv = ["clouds", cloudy_file, "--min-step", 0.01, "--sightline"]
    (row,) = (line.split() for line in runs(capsys, *argv, "258,-0.5").splitlines()[2:])
    assert int(row[2]) == 6
    assert float(row[3]) == pytest.approx(cloud.distance_kpc, abs=6e-3)
    assert runs(capsys, *argv, "260,1").strip() == "no clouds found"
    assert "is outside the map" in fails(capsys, *argv, "10,0")
    assert runs(capsys, "clouds", cloudy_file, "--min-step", 3).strip() == "no clouds found"
    assert "min_share" in fails(capsys, "clouds", cloudy_file, "--min-share", 2)


def test_clouds_are_drawn(cloudy_file, tmp_path, capsys):
    argv = ["clouds", cloudy_file, "--figure", tmp_path / "clouds.png"]
    runs(capsys, *argv)
    assert (tmp_path / "clouds.png").read_bytes().startswith(b"\x89PNG")
    assert "exists already" in fails(capsys, *argv)
    assert "must end in .png" in fails(capsys, "clouds", cloudy_file, "--figure", tmp_path / "clouds.gif")
    with pytest.raises(SystemExit):
        main(["clouds", str(cloudy_file), "--model", "carina"])


def test_clouds_of_a_map_with_intervals_and_no_samples_are_refused(make_sure_map, tmp_path, capsys):
    make_sure_map(samples=False).write(tmp_path / "map.fits")
    line = fails(capsys, "clouds", tmp_path / "map.fits")
    assert "map.fits: clouds need whole profiles, and it has none: score with --samples" in line


def test_clouds_of_a_table_are_compared_in_units_of_both_errors(cloudy_file, tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text(
        "region,distance_pc,err_pc,l_deg,b_deg\none,500,50,258,0\nelse,500,50,10,0\nbare,400,,,\n"
    )
    argv = ["clouds", cloudy_file, "--table", table, "--radius", 0.6]
    (row,) = (line.split() for line in runs(capsys, *argv).splitlines()[2:])
    assert row[0] == "one"
    # The map's one profile has no error, which counts as none.
    assert float(row[7]) == pytest.approx(float(row[6]) / float(row[2]), abs=0.02)
    assert runs(capsys, *argv, "--place", "bare=258,0").splitlines()[-1].startswith("bare")
    assert "no region 'x'" in fails(capsys, *argv, "--place", "x=258,0")
    assert "needs L,B in degrees" in fails(capsys, *argv, "--place", "one=258")
    assert "needs REGION=L,B" in fails(capsys, *argv, "--place", "258,0")


def test_clouds_without_a_place_or_a_known_format_are_refused(map_file, tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("region,distance_pc,err_pc\none,500,50\n")
    assert "give --place REGION=L,B" in fails(capsys, "clouds", map_file, "--table", table)
    assert "must end in .ecsv" in fails(capsys, "clouds", map_file, "--out", tmp_path / "clouds.txt")
    with pytest.raises(SystemExit):
        main(["clouds", str(map_file), "--place", "one=258,0"])


@pytest.mark.parametrize(
    "words",
    [
        ["query", "MAP", "--l", "258", "--b", "0"],
        ["query", "MAP", "--l", "258", "--b", "0", "--band", "Ks"],
        ["convert", "MAP", "OUT.h5"],
        ["compare", "MAP", "--with", "MAP", "--out", "OUT.json"],
    ],
)
def test_a_law_is_checked_though_it_changes_nothing(words, map_file, tmp_path, capsys):
    places = {"MAP": str(map_file), "OUT.h5": str(tmp_path / "o.h5"), "OUT.json": str(tmp_path / "o.json")}
    argv = [places.get(word, word) for word in words]
    assert "no extinction law 'NoSuch'" in fails(capsys, *argv, "--law", "NoSuch")
    assert "G23 cannot have rv = 99" in fails(capsys, *argv, "--law", "G23", "--rv", 99)
    with pytest.raises(SystemExit):
        main([*argv, "--rv", "3.1"])
    assert "--rv goes with --law" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_options_of_query_that_exclude_each_other_are_refused(map_file, capsys):
    argv = ["query", str(map_file), "--l", "258", "--b", "0", "--distance", "0.5"]
    for words, message in (
        (["--percentile", "50", "--mode", "std"], "give either --percentile or --mode std"),
        (["--percentile", "50", "--mode", "median"], "give either --percentile or --mode median"),
        (["--seed", "3"], "--seed goes with --mode random_sample"),
    ):
        with pytest.raises(SystemExit):
            main([*argv, *words])
        assert message in capsys.readouterr().err
    both = runs(capsys, *argv, "--percentile", "50", "--mode", "percentile")
    assert both == runs(capsys, *argv, "--percentile", "50")


def test_a_position_off_the_sky_is_refused(map_file, sure, capsys):
    argv = ["query", map_file, "--l", 258]
    assert "latitude must be -90 to 90 deg" in fails(capsys, *argv, "--b", 100)
    assert "no such position" in fails(capsys, *argv, "--b", -90.5)
    assert np.isnan(sure.query_gal(258.0, [90.0, np.nan, np.inf], 0.5).value).all()


def test_a_copy_in_a_band_of_no_law_leaves_nothing(map_file, tmp_path, capsys):
    argv = ["convert", map_file, tmp_path / "copy.fits", "--law", "F1"]
    assert "no extinction law 'F1'" in fails(capsys, *argv)
    assert list(tmp_path.iterdir()) == []


def test_figures_show_the_reddening_if_asked(map_file, tmp_path, capsys):
    runs(capsys, "plot", map_file, "--out", tmp_path / "figures", "--band", "E(J-Ks)")
    assert (tmp_path / "figures" / "profiles.png").exists()
    runs(capsys, "report", map_file, "-o", tmp_path / "r.html", "--band", "E(J-Ks)")
    page = (tmp_path / "r.html").read_text()
    assert '"quantity":"E(J-Ks)"' in page
    assert "median E(J-Ks)" in page
    assert "no band 'X'" in fails(capsys, "plot", map_file, "--out", tmp_path / "none", "--band", "X")
