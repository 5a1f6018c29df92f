"""Stars from a TAP service: each once, all of them, whatever the service does; or one line says why not."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pyarrow.parquet as pq
import pytest
import tap_double as tap
from astropy.coordinates import SkyCoord

from extmap_tf.catalogs.survey_tables import read_survey_table
from extmap_tf.cli import main
from extmap_tf.errors import ConfigError, DataError, ServiceError
from extmap_tf.fetch.asking import Manners, TapClient
from extmap_tf.fetch.boxes import boxes_over
from extmap_tf.fetch.services import Service, choose_service
from extmap_tf.fetch.stars import fetch_stars, quoted
from extmap_tf.files import unfinished_folder
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.regions import SkyRegion
from extmap_tf.grids.squares import SightlineGrid
from extmap_tf.settings.config import builtin_survey

QUICK = Manners(retries=3, timeout_s=60.0, first_pause_s=0.01)


def stars(n=2000, seed=1):
    """Columns as IRSA names them, of stars around the fields of the tiny configuration and beyond."""
    rng = np.random.default_rng(seed)
    l, b = 284.1 + rng.uniform(-0.6, 0.6, n), -0.95 + rng.uniform(-0.6, 0.6, n)
    icrs = SkyCoord(l, b, unit="deg", frame="galactic").icrs
    red = rng.uniform(8, 14, n).round(3)
    error = rng.uniform(0.02, 0.1, n).round(3)
    red[::50] = np.nan
    return {
        "ra": icrs.ra.deg.tolist(),
        "dec": icrs.dec.deg.tolist(),
        "designation": [f"star {i}" for i in range(n)],
        "j_m": (red + 0.8).tolist(),
        "j_msigcom": error.tolist(),
        "h_m": red.tolist(),
        "k_m": red.tolist(),
        "k_msigcom": error.tolist(),
        "ph_qual": ["AAA"] * n,
    }


UNITS = {"ra": "deg", "dec": "deg", "j_m": "mag", "k_m": "mag"}


@pytest.fixture(autouse=True)
def collected():
    """Connections that a service broke off are collected here, without a word, and not in a later test."""
    yield
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


@pytest.fixture
def double():
    with tap.TapDouble(stars(), units=UNITS) as service:
        yield service


@pytest.fixture
def get(double, tiny_config, tmp_path):
    """Fetches from the double; returns the folder."""

    def fetch(out="stars", manners=QUICK, mode="sync", notes=None, config=tiny_config, **how):
        service = Service("double", double.url, double.table, mode)
        client = TapClient(double.url, mode, manners, [].append if notes is None else notes.append)
        fetch_stars(config, config.survey, client, service, tmp_path / out, **how)
        return tmp_path / out

    return fetch


def rows_in(folder):
    return sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))


def inside(double, grid):
    """How many of the stars lie in a field."""
    galactic = SkyCoord(double.columns["ra"], double.columns["dec"], unit="deg").galactic
    return len(np.unique(grid.fields_of(galactic.l.deg, galactic.b.deg)[0]))


def test_every_star_of_the_fields_comes_once_and_can_be_counted(get, double, tiny_config):
    folder = get(box_deg=0.2)
    positions = []
    for path in sorted(folder.glob("*.parquet")):
        table = pq.read_table(path)
        assert table.column_names == ["ra", "dec", "j_m", "k_m", "j_msigcom", "k_msigcom", "ph_qual"]
        assert table.schema.field("j_m").metadata == {b"unit": b"mag"}
        positions += zip(table["ra"].to_pylist(), table["dec"].to_pylist(), strict=True)
    assert len(set(positions)) == len(positions) < len(double.columns["ra"])
    galactic = SkyCoord(*np.transpose(positions), unit="deg").galactic
    fields, _ = tiny_config.sightlines.fields_of(galactic.l.deg, galactic.b.deg)
    assert len(np.unique(fields)) == inside(double, tiny_config.sightlines) > 20
    # The reader takes the files as they are.
    n_rows = 0
    for path in folder.glob("*.parquet"):
        with open(path, "rb") as stream:
            for batch in read_survey_table(stream, str(path), tiny_config.survey):
                n_rows += batch.n_rows
                assert batch.rejected.keys() <= {"no J magnitude"}
    assert n_rows == len(positions)
    assert double.most_at_once == 1


def test_several_requests_at_once_bring_the_same(get, double):
    one = get("one", box_deg=0.2)
    assert double.most_at_once == 1
    several = get("several", box_deg=0.2, max_rows=40, n_requests=4)
    assert 1 < double.most_at_once <= 4
    assert rows_in(one) == rows_in(several)
    positions = [
        list(zip(*(pq.read_table(path)[name].to_pylist() for name in ("ra", "dec")), strict=True))
        for path in several.glob("*.parquet")
    ]
    together = [place for of_file in positions for place in of_file]
    assert len(set(together)) == len(together)


def test_what_a_file_says_of_itself(get, double, tiny_config, capsys):
    folder = get()
    path = next(folder.glob("*.parquet"))
    said = pq.read_schema(path).metadata
    assert said[b"service"].decode() == double.url
    assert said[b"query"].decode() in double.queries
    assert said[b"date"].startswith(b"20")
    about = json.loads((folder / "fetch.json").read_text())
    assert about["rows"] == rows_in(folder) == sum(file["rows"] for file in about["files"])
    assert about["config_digest"] == tiny_config.digest
    assert main(["info", str(folder)]) == 0
    told = capsys.readouterr().out
    assert f"{about['rows']:,} of 2MASS" in told
    assert double.url in told


def test_a_box_with_too_many_rows_is_asked_for_in_quarters(get, double):
    whole = get("whole", box_deg=1.0)
    parts = get("parts", box_deg=1.0, max_rows=120)
    assert rows_in(parts) == rows_in(whole)
    sizes = [pq.read_metadata(path).num_rows for path in parts.glob("*.parquet")]
    assert max(sizes) <= 120
    assert len(sizes) > len(list(whole.glob("*.parquet")))
    assert {path.suffix for path in parts.iterdir()} == {".parquet", ".json"}


def test_the_limit_that_a_service_states_is_kept_from_then_on(get, double):
    double.limit = 120
    folder = get()
    assert max(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet")) <= 120
    double.limit = 10**9
    assert rows_in(folder) == rows_in(get("whole"))


def test_more_stars_at_one_place_than_may_be_asked_for(tiny_config, tmp_path):
    columns = {name: values[:1] * 50 for name, values in stars(1).items()}
    center = SkyCoord(284.1, -0.95, unit="deg", frame="galactic").icrs
    columns |= {"ra": [center.ra.deg] * 50, "dec": [center.dec.deg] * 50}
    with tap.TapDouble(columns) as double:
        client = TapClient(double.url, "sync", QUICK)
        service = Service("double", double.url, "fp_psc")
        with pytest.raises(ServiceError, match=r"50 rows in a box of .* give larger --max-rows"):
            fetch_stars(tiny_config, tiny_config.survey, client, service, tmp_path / "x", max_rows=10)


PASSING = {
    "500": tap.http(500),
    "503": tap.http(503),
    "429": tap.http(429),
    "html": tap.html,
    "cut short": tap.cut_short,
    "breaks off": tap.breaks_off,
    "no answer": tap.no_answer(10),
}


def manners_for(name, retries):
    return Manners(retries, 2.0 if name == "no answer" else 60.0, 0.01)


@pytest.mark.parametrize(("name", "mode"), [*((name, "sync") for name in PASSING), ("503", "async")])
def test_what_may_pass_is_asked_again(get, double, name, mode):
    notes = []
    # The columns, the first count, the first rows.
    double.faults.extend([PASSING[name], None, PASSING[name], None, PASSING[name]])
    folder = get(mode=mode, manners=manners_for(name, 3), notes=notes)
    assert len(notes) == 3
    assert rows_in(folder) > 20
    if mode == "async":
        assert set(double.deleted) == set(double.jobs)


@pytest.mark.parametrize("name", ["500", "breaks off", "no answer"])
def test_what_does_not_pass_is_told_and_what_came_is_kept(get, double, name, tmp_path):
    notes = []
    double.faults.extend([None] * 3 + [PASSING[name]] * 20)
    with pytest.raises(ServiceError, match=r"\(3 times\): run the command again later"):
        get(manners=manners_for(name, 2), notes=notes, box_deg=0.2)
    assert [path.name for path in tmp_path.iterdir()] == ["stars.unfinished"]
    assert rows_in(tmp_path / "stars.unfinished") > 0
    assert "is kept in" in notes[-1]
    double.faults.clear()
    n_before = len(double.queries)
    folder = get(box_deg=0.2)
    # The columns again, and what had not come: a count and rows each.
    assert len(double.queries) - n_before == 1 + 2 * (len(list(folder.glob("*.parquet"))) - 1)
    assert rows_in(folder) == rows_in(get("afresh", box_deg=0.2))


def test_a_service_is_given_the_time_that_it_asks_for(get, double):
    double.faults.append(tap.http(503, retry_after=1))
    get()
    assert double.times[1] - double.times[0] > 0.99
    double.faults.append(tap.http(429, retry_after=86400))
    with pytest.raises(
        ServiceError, match=r"HTTP 429 .* it asks to wait 86,400 s: run the command again later"
    ):
        get("another")
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 5000))
    double.faults.append(tap.http(503, retry_after=date))
    with pytest.raises(ServiceError, match=r"it asks to wait [45],\d+ s"):
        get("another")


def test_pauses_grow_and_are_not_all_alike(get, double, monkeypatch):
    pauses = []
    monkeypatch.setattr("extmap_tf.fetch.asking.time.sleep", pauses.append)
    double.faults.extend([tap.http(500)] * 6)
    get(manners=Manners(6, 5.0, 2.0))
    assert all(2.0**n <= pause <= 3 * 2.0**n for n, pause in enumerate(pauses))
    assert len(pauses) == 6


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (tap.refuses, "the service refuses the query: no such column: k_m"),
        (tap.refuses_with_500, "the service refuses the query: no such column: k_m"),
        (tap.error_with_200, "the service refuses the query: query timed out"),
        (tap.error_at_the_end, "the service refuses the query: out of memory"),
        (tap.http(404), "HTTP 404 Not Found: busy"),
        (tap.drops_a_row, "rows came of a box that has"),
    ],
)
def test_an_error_is_told_at_once(get, double, fault, line, tmp_path):
    double.faults.extend([None, None, fault])
    with pytest.raises(ServiceError, match=line):
        get()
    assert len(double.queries) == 3
    assert list(tmp_path.iterdir()) == []


def test_counts_that_do_not_agree_are_told(get, double):
    double.counts_too_many = 1
    with pytest.raises(ServiceError, match=r"(\S+) rows came of a box that has .* by COUNT"):
        get()


def test_a_job_that_never_ends_is_given_up_and_deleted(get, double):
    double.polls_before_done = 10**9
    with pytest.raises(ServiceError, match="a job was not done after 20 s"):
        get(mode="async", manners=Manners(2, 2.0, 0.01))
    assert set(double.deleted) == set(double.jobs)


def test_an_unfinished_fetch_is_of_one_region_service_and_folder(get, double, tiny_config, tmp_path):
    double.faults.extend([None] * 3 + [tap.refuses])
    with pytest.raises(ServiceError):
        get(box_deg=0.2)
    with pytest.raises(DataError, match="holds an unfinished fetch of other fields"):
        get(box_deg=0.3)
    with (
        pytest.raises(DataError, match="another run is at work there"),
        unfinished_folder(tmp_path / "stars", False, "fetch.json"),
    ):
        get(box_deg=0.2)
    path = next((tmp_path / "stars.unfinished").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match="remove it and run the command again"):
        get(box_deg=0.2)


def test_no_star_is_in_two_files_when_the_limit_was_another_before(get, double, tmp_path):
    whole = rows_in(get("whole"))
    double.faults.extend([None] * 12 + [tap.refuses])
    with pytest.raises(ServiceError):
        get(max_rows=40)
    assert rows_in(get(max_rows=10**6)) == whole


def test_a_region_without_a_star(get, tiny_config, tmp_path):
    far = tiny_config.replace(**{"sightlines.l_min_deg": 10.0, "sightlines.l_max_deg": 10.2})
    with pytest.raises(DataError, match="has no star in these fields"):
        get(config=far)


def test_a_table_that_is_not_there_or_lacks_a_column(double, tiny_config, tmp_path):
    client = TapClient(double.url, "sync", QUICK)
    with pytest.raises(ServiceError, match="no table other: name another with --table"):
        fetch_stars(
            tiny_config, tiny_config.survey, client, Service("x", double.url, "other"), tmp_path / "x"
        )
    del double.columns["k_msigcom"]
    with pytest.raises(DataError, match=r"table fp_psc: no column for the Ks error"):
        fetch_stars(
            tiny_config, tiny_config.survey, client, Service("x", double.url, "fp_psc"), tmp_path / "x"
        )


def test_names_of_vizier_are_quoted_where_they_need_it(tiny_config, tmp_path):
    renamed = {"ra": "RAJ2000", "dec": "DEJ2000", "j_m": "Jmag", "j_msigcom": "e_Jmag", "ph_qual": "Qflg"}
    renamed |= {"k_m": "Kmag", "k_msigcom": "e_Kmag", "designation": "2MASS"}
    columns = {renamed.get(name, name): values for name, values in stars().items() if name != "h_m"}
    with tap.TapDouble(columns, ("RAJ2000", "DEJ2000"), table="II/246/out") as double:
        client = TapClient(double.url, "sync", QUICK)
        service = Service("double", double.url, "II/246/out")
        assert fetch_stars(tiny_config, tiny_config.survey, client, service, tmp_path / "stars") > 20
        assert 'FROM "II/246/out" WHERE' in double.queries[-1]
    assert quoted("BP-RP") == '"BP-RP"'
    assert quoted("gaiadr3.gaia_source") == "gaiadr3.gaia_source"


def gaia(n=1500, seed=2):
    """Columns as the Gaia archive names them."""
    rng = np.random.default_rng(seed)
    l, b = 284.1 + rng.uniform(-0.5, 0.5, n), -0.95 + rng.uniform(-0.5, 0.5, n)
    icrs = SkyCoord(l, b, unit="deg", frame="galactic").icrs
    g, parallax = rng.uniform(12, 20, n).round(3), rng.normal(0.4, 0.4, n)
    parallax[::40] = np.nan
    columns = {"ra": icrs.ra.deg, "dec": icrs.dec.deg, "l": l, "b": b, "phot_g_mean_mag": g}
    columns |= {"phot_bp_mean_mag": g + 0.6, "phot_rp_mean_mag": g - 0.7}
    columns |= {"parallax": parallax, "parallax_error": np.full(n, 0.1), "ruwe": np.ones(n)}
    return {"source_id": list(range(n))} | {name: values.tolist() for name, values in columns.items()}


def test_gaia_comes_by_jobs_and_without_the_stars_that_are_too_faint_to_count(tiny_config, tmp_path):
    tiny_config.write(tmp_path / "tiny.toml")
    out, table = tmp_path / "stars", "gaiadr3.gaia_source"
    with tap.TapDouble(gaia(), units={"parallax": "mas"}, table=table) as double:
        given = ["fetch", "gaia_dr3", "--config", str(tmp_path / "tiny.toml"), "--out", str(out)]
        assert main([*given, "--service", double.url, "--table", table, "--mode", "async"]) == 0
        assert double.queries[-1].endswith(" AND phot_g_mean_mag <= 18.5")
        assert set(double.jobs) == set(double.deleted) != set()
    survey = builtin_survey("gaia_dr3")
    path = max(out.glob("*.parquet"), key=lambda path: pq.read_metadata(path).num_rows)
    assert max(pq.read_table(path)["phot_g_mean_mag"].to_pylist()) <= 18.5
    assert "source_id" not in pq.read_schema(path).names
    with open(path, "rb") as stream:
        (batch,) = read_survey_table(stream, str(path), survey)
    assert batch.n_stars > 100
    assert set(batch.rejected) == {"no parallax"}


@pytest.mark.parametrize(
    "grid",
    [
        SightlineGrid(122.0, 124.0, 26.0, 28.0, 0.5, 0.5),  # around the equatorial pole
        SightlineGrid(359.0, 361.0, -1.0, 1.0, 0.25, 0.6),
        SightlineGrid(96.0, 98.0, -61.0, -59.0, 0.5, 0.3),  # across ra 0
        HealpixGrid(128, (SkyRegion(b_deg=90.0, radius_deg=3.0),)),
    ],
    ids=["pole", "centre", "ra 0", "healpix"],
)
@pytest.mark.parametrize("size_deg", [0.3, 1.0, 5.0])
def test_boxes_hold_every_point_of_the_fields_once(grid, size_deg):
    rng = np.random.default_rng(1)
    l0, b0 = grid.centers_deg()
    n = 40
    reach = 1.6 * grid.field_deg
    b = (np.repeat(b0, n) + reach * rng.uniform(-1, 1, n * l0.size)).clip(-90, 90)
    l = np.repeat(l0, n) + reach * rng.uniform(-1, 1, n * l0.size) / np.maximum(np.cos(np.radians(b)), 1e-3)
    position, _ = grid.fields_of(l % 360.0, b)
    position = np.unique(position)
    icrs = SkyCoord(l[position], b[position], unit="deg", frame="galactic").icrs
    ra, dec = icrs.ra.deg, icrs.dec.deg
    double = tap.TapDouble({"ra": ra, "dec": dec})
    n_boxes = np.zeros(len(ra), int)
    boxes = boxes_over(grid, size_deg)
    for box in boxes:
        n_boxes += double._inside(box.where("ra", "dec"))
        quarters = sum(double._inside(quarter.where("ra", "dec")).astype(int) for quarter in box.quarters())
        assert np.array_equal(quarters, double._inside(box.where("ra", "dec")))
    assert (n_boxes == 1).all()
    assert len({box.name for box in boxes}) == len(boxes)


def test_which_service_is_asked():
    assert choose_service("2mass").name == "irsa"
    assert choose_service("gaia_dr3").mode == "async"
    assert choose_service("gaia_dr3", "vizier", mode="async").table == "I/355/gaiadr3"
    for end in ("", "/", "/sync", "/async/", "?"):
        assert choose_service("2mass", f"https://tap.org/x{end}", "t").url == "https://tap.org/x"
    with pytest.raises(ConfigError, match="must be irsa, vizier or an address"):
        choose_service("2mass", "simbad")
    with pytest.raises(ConfigError, match="name its table of 2mass, too: --table NAME"):
        choose_service("2mass", "https://tap.org/x")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--box", "0"], "--box must be 0.05 to 10, got: 0"),
        (["--max-rows", "0"], "--max-rows must be 1 or more"),
        (["--timeout", "-1"], "--timeout must be above 0"),
        (["--retries", "1000"], "--retries must be 0 to 100"),
        (["--service", "http://127.0.0.1:9/tap", "--table", "t", "--retries", "0"], "Connection refused"),
        (["--config", "nowhere.toml"], "no such file"),
    ],
)
def test_wrong_options_are_one_line(options, line, tmp_path, capsys):
    given = ["fetch", "2mass", "--config", "demo", "--out", str(tmp_path / "x"), *options]
    assert main(given) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert line in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_fetch_that_is_stopped_goes_on_with_the_same_command(number, tiny_config, tmp_path):
    tiny_config.write(tmp_path / "tiny.toml")
    with tap.TapDouble(stars()) as double:
        double.faults.extend([None] * 3 + [tap.no_answer(60)])
        command = [sys.executable, "-m", "extmap_tf", "fetch", "2mass", "--config", "tiny.toml", "--out", "s"]
        command += ["--service", double.url, "--table", "fp_psc", "--box", "0.2"]
        running = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=os.environ)
        while len(double.queries) < 4:
            time.sleep(0.02)
        running.send_signal(number)
        _, told = running.communicate(timeout=30)
        assert running.returncode == 128 + number
        assert "Traceback" not in told
        assert told.splitlines()[-1].startswith("extmap-tf: error: ")
        assert "run the same command again to go on" in told
        assert sorted(path.name for path in tmp_path.iterdir()) == ["s.unfinished", "tiny.toml"]
        double.faults.clear()
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env=os.environ, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert f"{rows_in(tmp_path / 's'):,} stars: s/*.parquet" in done.stdout
