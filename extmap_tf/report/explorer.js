/* The sky with a slider of distance, the plane from above, and the profile of the sightline one clicks. */
"use strict";
(async () => {
  const data = JSON.parse(document.getElementById("explorer-data").textContent);
  const element = (name) => document.getElementById(name);
  const nL = data.l.length, nB = data.b.length, nD = data.edges.length - 1;
  const style = { responsive: true, displayModeBar: false };
  const font = { family: "system-ui, sans-serif", size: 13, color: "#222" };
  const margin = { l: 60, r: 20, t: 36, b: 50 };

  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }

  const profiles = {};
  for (const [name, text] of Object.entries(data.profiles)) {
    const steps = new Uint16Array(await unpack(text));
    const values = new Float32Array(steps.length);
    for (let i = 0; i < nL * nB; i++) {
      for (let k = 0, sum = 0; k < nD; k++) {
        sum = (sum + steps[i * nD + k]) & 65535;
        values[i * nD + k] = sum * data.unit;
      }
    }
    profiles[name] = values;
  }
  const counts = data.cmd ? new Uint16Array(await unpack(data.cmd.counts)) : null;

  // Longitudes rise along the grid, past 360 too, so that the sector stays in one piece.
  const longitudes = data.l.map((_, i) => data.l[0] + i * data.step);
  const wrapped = (l) => Math.round((((l % 360) + 360) % 360) * 1e4) / 1e4;
  let chosen = 0, bin = nD - 1;

  function skyLayer() {
    const density = element("explorer-what").value === "density";
    const cube = profiles.median, rows = [];
    for (let j = 0; j < nB; j++) {
      const row = [];
      for (let i = 0; i < nL; i++) {
        const at = j * nL + i;
        if (!data.has_profile[at]) { row.push(null); continue; }
        const outer = cube[at * nD + bin];
        const inner = bin > 0 ? cube[at * nD + bin - 1] : 0;
        row.push(density ? (outer - inner) / (data.edges[bin + 1] - data.edges[bin]) : outer);
      }
      rows.push(row);
    }
    return rows;
  }

  const largest = (rows) => rows.reduce((top, row) => row.reduce((a, v) => Math.max(a, v || 0), top), 0);

  // Extinction keeps one scale, so that one sees it grow; the density has its own at each distance.
  const total = profiles.median.reduce((top, v, i) => (data.has_profile[Math.floor(i / nD)] ? Math.max(top, v) : top), 0);
  const skyTop = (rows) => (element("explorer-what").value === "density" ? largest(rows) : total) || 1;

  function skyTitle() {
    const far = data.edges[bin + 1].toPrecision(3), near = data.edges[bin].toPrecision(3);
    return element("explorer-what").value === "density"
      ? `rise of A(${data.band}) from ${Number(near)} to ${Number(far)} kpc (mag/kpc)`
      : `A(${data.band}) from the Sun to ${Number(far)} kpc (mag)`;
  }

  // Marks of the chosen sightline are shapes: to move them, no image is drawn again.
  const mark = { type: "rect", line: { color: "#0072B2", width: 3 } };

  function skyMark() {
    const x = longitudes[chosen % nL], y = data.b[Math.floor(chosen / nL)], half = data.step / 2;
    return [{ ...mark, x0: x - half, x1: x + half, y0: y - half, y1: y + half }];
  }

  function planeMark() {
    const l = (longitudes[chosen % nL] * Math.PI) / 180, far = data.edges[nD];
    return [{ ...mark, type: "line", x0: 0, y0: 0, x1: far * Math.cos(l), y1: far * Math.sin(l) }];
  }

  function drawSky() {
    const stretch = 1 / Math.cos((data.b[Math.floor(nB / 2)] * Math.PI) / 180);
    const z = skyLayer();
    Plotly.react("explorer-sky", [
      { type: "heatmap", x: longitudes, y: data.b, z, colorscale: data.colors,
        zmin: 0, zmax: skyTop(z), hovertemplate: "l %{x:.2f}, b %{y:.2f}: %{z:.3f}<extra></extra>", colorbar: { thickness: 14 } },
    ], {
      title: { text: skyTitle(), font: { size: 14 } }, font, margin, shapes: skyMark(), showlegend: false, plot_bgcolor: "#CFCFCF",
      xaxis: { title: { text: "Galactic longitude l (deg)" }, autorange: "reversed", constrain: "domain", showgrid: false,
        tickvals: ticks(longitudes), ticktext: ticks(longitudes).map((l) => `${wrapped(l)}`) },
      yaxis: { title: { text: "b (deg)" }, scaleanchor: "x", scaleratio: stretch, constrain: "domain", showgrid: false },
    }, style);
    element("explorer-distance-text").textContent = `${Number(data.edges[bin + 1].toPrecision(4))} kpc`;
  }

  function ticks(values) {
    const first = values[0], last = values[values.length - 1];
    const step = [0.25, 0.5, 1, 2, 5, 10, 20, 30, 60].find((s) => (last - first) / s <= 7) || 90;
    const found = [];
    for (let t = Math.ceil(first / step) * step; t <= last + 1e-9; t += step) { found.push(t); }
    return found;
  }

  function drawPlane() {
    Plotly.react("explorer-plane", [
      { type: "heatmap", x: data.plane.x, y: data.plane.y, z: data.plane.z, colorscale: data.colors,
        zmin: 0, zmax: largest(data.plane.z) || 1, hovertemplate: "x %{x:.2f}, y %{y:.2f} kpc: %{z:.3f}<extra></extra>", colorbar: { thickness: 14 } },
      { type: "scatter", mode: "markers+text", x: [0], y: [0], text: ["Sun"], textposition: "top center",
        hoverinfo: "skip", marker: { size: 9, color: "#E69F00", line: { color: "#000", width: 1 } } },
    ], {
      title: { text: `rise of A(${data.band}) seen from above (mag/kpc)`, font: { size: 14 } },
      font, margin, shapes: planeMark(), showlegend: false,
      xaxis: { title: { text: "x (kpc), towards the Galactic centre" }, constrain: "domain", showgrid: false, zeroline: false },
      yaxis: { title: { text: "y (kpc), towards l = 90°" }, scaleanchor: "x", constrain: "domain", showgrid: false, zeroline: false },
    }, style);
  }

  const profile = (name) => [0, ...profiles[name].subarray(chosen * nD, (chosen + 1) * nD)];

  function drawProfile() {
    const traces = [];
    const good = data.has_profile[chosen];
    const band = (low, high, name, opacity) => {
      if (!profiles[low] || !profiles[high]) { return; }
      traces.push({ x: data.edges, y: profile(low), mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false });
      traces.push({ x: data.edges, y: profile(high), mode: "lines", line: { width: 0 }, fill: "tonexty", name,
        fillcolor: `rgba(0,114,178,${opacity})`, hoverinfo: "skip" });
    };
    if (good) {
      band("p5", "p95", "90 %", 0.18);
      band("p16", "p84", "68 %", 0.3);
      traces.push({ x: data.edges, y: profile("median"), mode: "lines", name: data.kind, line: { color: "#0072B2", width: 2 } });
    }
    if (profiles.truth && data.has_truth[chosen]) {
      traces.push({ x: data.edges, y: profile("truth"), mode: "lines", name: "truth", line: { color: "#555", width: 3 } });
    }
    const limit = good && data.reliable ? data.reliable[chosen] : null;
    Plotly.react("explorer-profile", traces, {
      title: { text: good ? "" : "no profile", font: { size: 14 } }, font, margin,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 1, xanchor: "right" },
      xaxis: { title: { text: "distance (kpc)" }, range: [0, data.edges[nD]] },
      yaxis: { title: { text: `A(${data.band}) (mag)` }, rangemode: "tozero" },
      shapes: limit === null ? [] : [{ type: "line", x0: limit, x1: limit, yref: "paper", y0: 0, y1: 1,
        line: { color: "#000", width: 1, dash: "dot" } }],
    }, style);
  }

  function drawCmd() {
    if (!counts) { return; }
    const { colors, mags } = data.cmd, nC = colors.length - 1, nM = mags.length - 1, rows = [];
    for (let m = 0; m < nM; m++) {
      const start = (chosen * nM + m) * nC;
      rows.push(Array.from(counts.subarray(start, start + nC), (n) => n || null));
    }
    Plotly.react("explorer-cmd", [
      { type: "heatmap", x: colors, y: mags, z: rows, colorscale: "Viridis", colorbar: { thickness: 14 },
        hovertemplate: "%{z} stars<extra></extra>" },
    ], {
      title: { text: "stars per pixel of its CMD", font: { size: 14 } }, font, margin,
      xaxis: { title: { text: `${data.blue} − ${data.band} (mag)` } },
      yaxis: { title: { text: `${data.band} (mag)` }, autorange: "reversed" },
    }, style);
  }

  function tell() {
    const at = chosen, l = wrapped(longitudes[at % nL]), b = data.b[Math.floor(at / nL)];
    element("explorer-l").value = l;
    element("explorer-b").value = b;
    const flags = Object.keys(data.meanings).filter((bit) => data.flag[at] & Number(bit)).map((bit) => data.meanings[bit]);
    const lines = [`l = ${l}, b = ${b} deg`, `${data.n_stars[at]} stars, ${Math.round(100 * data.coverage[at])} % covered`];
    if (data.has_profile[at]) {
      const end = profiles.median[(at + 1) * nD - 1];
      lines.push(`A(${data.band}) = ${end.toFixed(3)} mag to ${Number(data.edges[nD].toPrecision(4))} kpc`);
      if (data.reliable) { lines.push(`reliable to ${data.reliable[at].toFixed(2)} kpc`); }
    }
    lines.push(flags.length ? `flags: ${flags.join(", ")}` : "no flag");
    element("explorer-told").textContent = lines.join("; ");
  }

  function choose(at) {
    chosen = at;
    tell();
    drawProfile();
    // The profile first; the rest follows when it is on the screen.
    setTimeout(() => {
      Plotly.relayout("explorer-sky", { shapes: skyMark() });
      Plotly.relayout("explorer-plane", { shapes: planeMark() });
      drawCmd();
    });
  }

  // The sightline of a place; outside the map none is chosen, and the page says so.
  function chooseAt(l, b) {
    const turn = ((l - longitudes[0] + data.step / 2) % 360 + 360) % 360 - data.step / 2;
    const i = Math.round(turn / data.step), j = Math.round((b - data.b[0]) / data.step);
    if (i >= 0 && i < nL && j >= 0 && j < nB) { choose(j * nL + i); return; }
    element("explorer-told").textContent = `l = ${wrapped(l)}, b = ${b} deg is outside the map`;
  }

  let start = 0;
  for (let at = 0; at < nL * nB; at++) {
    if (data.has_profile[at] && profiles.median[(at + 1) * nD - 1] >= profiles.median[(start + 1) * nD - 1]) { start = at; }
  }
  chosen = start;
  const slider = element("explorer-distance");
  slider.max = nD - 1;
  slider.value = bin;
  drawSky();
  drawPlane();
  choose(start);
  slider.addEventListener("input", () => { bin = Number(slider.value); drawSky(); });
  element("explorer-what").addEventListener("change", drawSky);
  for (const name of ["explorer-l", "explorer-b"]) {
    element(name).addEventListener("change", () => {
      const l = Number(element("explorer-l").value), b = Number(element("explorer-b").value);
      if (Number.isFinite(l) && Number.isFinite(b)) { chooseAt(l, b); }
    });
  }
  element("explorer-sky").on("plotly_click", (event) => {
    const point = event.points[0];
    chooseAt(point.x, point.y);
  });
  element("explorer-plane").on("plotly_click", (event) => {
    const point = event.points[0];
    const l = (Math.atan2(point.y, point.x) * 180) / Math.PI;
    chooseAt(l, data.b[Math.floor(chosen / nL)]);
  });
  document.documentElement.dataset.explorer = "ready";
})();
