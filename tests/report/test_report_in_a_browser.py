"""The part of a report to explore, in a browser: what one sees is what the map says."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from extmap_tf.compare.published_clouds import TableCloud
from extmap_tf.estimate import Flag, ProfileEstimate
from extmap_tf.grids.cmd import CmdGrid
from extmap_tf.grids.healpix import HealpixGrid
from extmap_tf.grids.regions import SkyRegion
from extmap_tf.map.header import MapHeader
from extmap_tf.map.volume import ExtinctionMap
from extmap_tf.report.report import write_report
from extmap_tf.settings.config import Config

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=20000",
    "--dump-dom",
]

# Waits for the page, does what a user would, and leaves what it saw in the document.
PROBE = """
<script>
const errors = [];
window.addEventListener("error", (event) => errors.push(String(event.message)));
window.addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
for (const name of ["error", "warn"]) { console[name] = (...words) => errors.push(words.join(" ")); }
</script>
"""
USE = """
<script>
const rest = (ms) => new Promise((go) => setTimeout(go, ms));
(async () => {
  while (document.documentElement.dataset.explorer !== "ready" && !errors.length) { await rest(50); }
  const of = (name) => document.getElementById("explorer-" + name);
  const seen = { errors, steps: [] };
  const look = async () => {
    await rest(500);
    seen.steps.push({
      told: of("told").textContent,
      here: of("here").textContent,
      hash: location.hash,
      theme: document.documentElement.dataset.theme,
      range: [of("sky").data[0].zmin, of("sky").data[0].zmax],
      marks: of("profile").layout.shapes.filter((shape) => shape.type === "line").map((shape) => shape.x0),
      clouds: of("plane")
        ? of("plane").data.filter((t) => t.marker && t.marker.symbol === "diamond").map((t) => t.text) : null,
      profile: of("profile").data.map((t) => ({ name: t.name, y: Array.from(t.y) })),
      sky: of("sky").data[0].z,
      title: of("sky").layout.title.text,
      mark: of("sky").layout.shapes[0],
      cmd: of("cmd") ? of("cmd").data[0].z : null,
      near: of("cmd1") ? of("cmd1").data[0].z : null,
      axes: ["cmd", "cmd1"].filter(of).map((name) => of(name).layout)
        .map((layout) => layout.yaxis.title.text + layout.title.text),
    });
  };
  const set = (name, value, kind) => { of(name).value = value; of(name).dispatchEvent(new Event(kind)); };
  await look();
  of("sky").emit("plotly_click", { points: [{ x: CLICK_L, y: CLICK_B }] });
  await look();
  set("distance", 3, "input");
  await look();
  set("layer", "density", "change");
  await look();
  of("b").value = "0";
  set("l", "258", "change");
  await look();
  set("l", "10", "change");
  await look();
  const turn = (name, on) => { of(name).checked = on; of(name).dispatchEvent(new Event("change")); };
  const press = (key) => of("sky").dispatchEvent(new KeyboardEvent("keydown", { key, cancelable: true }));
  press("ArrowLeft");
  press("ArrowUp");
  press("PageUp");
  await look();
  for (const layer of ["uncertainty", "reliability", "difference"]) {
    if (![...of("layer").options].some((option) => option.value === layer)) { continue; }
    set("layer", layer, "change");
    await look();
  }
  set("layer", "column", "change");
  set("range", "typed", "change");
  of("low").value = "0.1";
  of("low").dispatchEvent(new Event("change"));
  set("high", "0.4", "change");
  turn("log", true);
  turn("dark", true);
  turn("truth", false);
  turn("clouds", true);
  await look();
  location.hash = "#l=258.5&b=0&d=0.8&layer=density&range=own&log=0&dark=0&truth=1&clouds=0&unknown=1";
  await look();
  const told = document.createElement("pre");
  told.id = "seen";
  told.textContent = JSON.stringify(seen);
  document.body.append(told);
})();
</script>
"""


def used(path, tmp_path, l_deg, b_deg):
    """What a browser shows of a report while it is used."""
    text = path.read_text()
    probe = USE.replace("CLICK_L", str(l_deg)).replace("CLICK_B", str(b_deg))
    page = tmp_path / "probed.html"
    page.write_text(text.replace("<body>", "<body>" + PROBE).replace("</body>", probe + "</body>"))
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the report with")
def test_a_click_a_slider_and_a_place_show_the_numbers_of_the_map(sure, make_map, tmp_path):
    truth = make_map(kind="truth", model_name="", model_digest="", records_digest="", holes=False, seed=3)
    grid, rng = CmdGrid().diagram("2MASS", "J", "Ks"), np.random.default_rng(0)
    counts = rng.poisson(0.1, (sure.grid.n_sightlines, *grid.shape))
    counts[2 * sure.grid.n_l + 3, 10, 20:22] = 300, 65535
    gaia = Config.named("carina_gaia").diagrams[1]
    near = rng.poisson(0.1, (sure.grid.n_sightlines, *gaia.shape))
    clouds = {"A": TableCloud(0.7, 0.1, 258.5, 0.0)}
    how = {"truth": truth, "all_cmds": [(grid, counts), (gaia, near)], "clouds": clouds, "arms": True}
    path = write_report(sure, tmp_path / "r.html", **how)
    assert path.stat().st_size < 10e6
    seen = used(path, tmp_path, 258.5, 0.0)
    assert seen["errors"] == []
    first, clicked, slid, density, typed, outside, stepped, *others, shown, recalled = seen["steps"]
    i_b, i_l = np.nonzero(sure.extinction[..., -1] == np.nanmax(sure.extinction[..., -1]))
    assert f"l = {sure.grid.l_deg[i_l[0]]:g}, b = {sure.grid.b_deg[i_b[0]]:g} deg" in first["told"]

    # Sightline (b 2, l 3), whose colours are odd.
    assert clicked["told"].startswith(f"l = 258.5, b = 0 deg; {sure.n_stars[2, 3]} stars")
    assert Flag.ODD_COLORS.meaning in clicked["told"]
    curves = {trace["name"]: trace["y"] for trace in clicked["profile"] if trace.get("name")}
    top = float(np.nanmax(sure.extinction_percentiles))
    np.testing.assert_allclose(curves["estimate"], [0, *sure.extinction[2, 3]], atol=1e-4 * top)
    np.testing.assert_allclose(curves["truth"], [0, *truth.extinction[2, 3]], atol=1e-4 * top)
    low, high = (sure.extinction_percentiles[2, 3, sure.percentiles.index(p)] for p in (16.0, 84.0))
    np.testing.assert_allclose(curves["68 %"], [0, *high], atol=1e-4 * top)
    index = 2 * sure.grid.n_l + 3
    np.testing.assert_array_equal(
        np.array(clicked["cmd"], float), np.where(counts[index], counts[index], np.nan)
    )

    np.testing.assert_array_equal(
        np.array(clicked["near"], float), np.where(near[index], near[index], np.nan)
    )
    assert clicked["axes"] == [
        "Ks (mag)stars per pixel, 2MASS",
        "parallax (mas)stars per pixel, Gaia DR3",
    ]

    # Text, marker and line follow the slider.
    np.testing.assert_allclose(np.array(first["sky"], float), sure.extinction[..., -1], atol=1e-4 * top)
    np.testing.assert_allclose(np.array(slid["sky"], float), sure.extinction[..., 3], atol=1e-4 * top)
    assert "to 0.4 kpc" in slid["title"]
    value = r"A\(Ks\) to 0\.4 kpc: ([\d.]+) mag \(68 %: ([\d.]+) to ([\d.]+)\); (not )?reliable there"
    told = re.search(value, slid["here"])
    expected = [sure.extinction[2, 3, 3], low[3], high[3]]
    np.testing.assert_allclose([float(x) for x in told.groups()[:3]], expected, atol=1e-3 * top)
    assert (told[4] is None) == (0.5 * (high[3] - low[3]) <= max(0.05, 0.2 * sure.extinction[2, 3, 3]))
    assert f"truth: {truth.extinction[2, 3, 3]:.2f}"[:10] in slid["here"]
    assert slid["marks"] == [0.4]
    marker = next(trace for trace in slid["profile"] if trace.get("name") == "at 0.4 kpc")
    np.testing.assert_allclose(marker["y"], [sure.extinction[2, 3, 3]], atol=1e-4 * top)
    rise = np.diff(sure.extinction, axis=-1)[..., 2] / sure.distance.step_kpc
    np.testing.assert_allclose(np.array(density["sky"], float), rise, atol=2e-3 * top)

    assert typed["told"].startswith("l = 258, b = 0 deg")
    # A place outside the map is told, and moves nothing.
    assert outside["told"] == "l = 10, b = 0 deg is outside the map"
    assert outside["mark"] == typed["mark"]
    assert outside["profile"] == typed["profile"]
    assert [typed["mark"][name] for name in ("x0", "x1", "y0", "y1")] == [257.75, 258.25, -0.25, 0.25]
    # Keys: l grows to the left, and one bin farther.
    assert stepped["told"].startswith("l = 258.5, b = 0.5 deg")
    assert stepped["marks"] == [0.5]

    half = 0.5 * (
        sure.extinction_percentiles[..., sure.percentiles.index(84.0), 4]
        - sure.extinction_percentiles[..., sure.percentiles.index(16.0), 4]
    )
    uncertainty, reliability, difference = (np.array(step["sky"], float) for step in others)
    np.testing.assert_allclose(uncertainty, half, atol=2e-4 * top)
    limit = np.maximum(0.05, 0.2 * sure.extinction[..., 4])
    np.testing.assert_allclose(reliability, half / limit, rtol=0.02, atol=0.01)
    apart = sure.extinction[..., 4] - truth.extinction[..., 4]
    np.testing.assert_allclose(difference, apart, atol=2e-4 * top)

    np.testing.assert_allclose(shown["range"], np.log10([0.1, 0.4]))
    assert shown["theme"] == "dark"
    assert shown["clouds"] == [["A, 0.7 kpc"]]
    assert "truth" not in [trace.get("name") for trace in shown["profile"]]
    words = "#l=258.5&b=0.5&d=0.5&layer=column&range=typed&low=0.1&high=0.4&log=1&truth=0&clouds=1&dark=1"
    assert shown["hash"] == words
    # A link shows what it says.
    assert recalled["told"].startswith("l = 258.5, b = 0 deg")
    assert recalled["marks"] == [0.8]
    assert (recalled["theme"], recalled["clouds"]) == ("light", [])
    rise = np.diff(sure.extinction, axis=-1)[..., 6] / sure.distance.step_kpc
    np.testing.assert_allclose(np.array(recalled["sky"], float), rise, atol=2e-3 * top)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the report with")
def test_pixels_are_where_they_are_on_the_sky(make_sure_map, tmp_path):
    grid = HealpixGrid(16, (SkyRegion(b_min_deg=80.0),))
    volume = make_sure_map()
    n = grid.n_sightlines
    profiles = volume.profiles.reshaped(-1)[np.resize([20, 21, 22, 23, 24], n)]
    header = MapHeader(grid, volume.distance, volume.provenance)
    pixels = ExtinctionMap(header, profiles, np.ones(n), np.arange(1000, 1000 + n))
    path = write_report(pixels, tmp_path / "r.html")
    data = json.loads(re.search(r'<script id="explorer-data"[^>]*>(.*?)</script>', path.read_text())[1])
    assert data["plane"] is None
    i = n // 2
    seen = used(path, tmp_path, data["sky"]["px"][i], data["sky"]["py"][i])
    assert seen["errors"] == []
    l_deg, _ = grid.center_deg(i)
    assert f"{1000 + i} stars" in seen["steps"][1]["told"]
    assert float(re.match(r"l = ([\d.]+)", seen["steps"][1]["told"])[1]) == pytest.approx(l_deg, abs=1e-3)
    # The cell at a pixel's centre shows its value.
    rows, sky = np.array(seen["steps"][0]["sky"], float), data["sky"]
    row, column = (
        np.abs(np.subtract.outer(sky[at], sky[cells])).argmin(axis=1)
        for at, cells in (("py", "y"), ("px", "x"))
    )
    np.testing.assert_allclose(rows[row, column], pixels.extinction[:, -1], atol=1e-3)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the report with")
def test_a_true_profile_that_is_missing_is_not_drawn(sure, make_map, tmp_path):
    truth = make_map(kind="truth", model_name="", model_digest="", records_digest="", holes=False, seed=3)
    density = np.array(truth.density)
    density[2, 3] = np.nan
    profiles = ProfileEstimate.of_density(density, truth.distance.step_kpc)
    truth = ExtinctionMap(truth.header, profiles, truth.coverage, truth.n_stars)
    seen = used(write_report(sure, tmp_path / "r.html", truth=truth), tmp_path, 258.5, 0.0)
    assert seen["errors"] == []
    first, clicked = (
        [trace["name"] for trace in step["profile"] if "name" in trace] for step in seen["steps"][:2]
    )
    assert "truth" in first
    assert "estimate" in clicked
    assert "truth" not in clicked


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the report with")
def test_a_sightline_without_a_profile_says_why(sure, tmp_path):
    seen = used(write_report(sure, tmp_path / "r.html"), tmp_path, 258.0, -0.5)
    assert seen["errors"] == []
    clicked = seen["steps"][1]
    assert Flag.NO_STARS.meaning in clicked["told"]
    assert clicked["profile"] == []
    assert seen["steps"][0]["sky"][1][2] is None
