/* The sky with a slider of distance, the plane from above, and the profile of the sightline one chooses. */
"use strict";
(async () => {
  const data = JSON.parse(document.getElementById("explorer-data").textContent);
  const element = (name) => document.getElementById(`explorer-${name}`);
  const n = data.l.length, nD = data.edges.length - 1, sky = data.sky, nX = sky.x.length, nY = sky.y.length;
  const style = { responsive: true, displayModeBar: false };
  const margin = { l: 60, r: 20, t: 36, b: 50 };
  const green = "#009E73", vermilion = "#D55E00", yellow = "#E69F00";
  const short = (x, digits = 3) => Number(x.toPrecision(digits));

  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }

  const profiles = {};
  for (const [name, text] of Object.entries(data.profiles)) {
    const steps = new Uint16Array(await unpack(text));
    const values = new Float32Array(steps.length);
    for (let i = 0; i < n; i++) {
      for (let k = 0, sum = 0; k < nD; k++) {
        sum = (sum + steps[i * nD + k]) & 65535;
        values[i * nD + k] = sum * data.unit;
      }
    }
    profiles[name] = values;
  }
  const cells = new Int32Array(await unpack(sky.index));
  const reliable = data.reliable ? new Uint8Array(await unpack(data.reliable)) : null;
  const counts = data.cmd ? new Uint16Array(await unpack(data.cmd.counts)) : null;
  const sure = Boolean(profiles.p16 && profiles.p84);
  const wrapped = (l) => Math.round((((l % 360) + 360) % 360) * 1e4) / 1e4;

  // What is shown. All of it stands in the fragment of the address, so that a link shows the same.
  const state = {
    at: 0, bin: nD - 1, layer: "column", range: "all", low: null, high: null, log: false,
    truth: true, clouds: false, dark: window.matchMedia("(prefers-color-scheme: dark)").matches,
  };

  // Value of a layer for a sightline in a bin; null where there is none.
  const known = (i) => data.has_profile[i], both = (i) => known(i) && data.has_truth[i];
  const column = (name, i, k) => (k < 0 ? 0 : profiles[name][i * nD + k]);
  const density = (name, i, k) => (column(name, i, k) - column(name, i, k - 1)) / (data.edges[k + 1] - data.edges[k]);
  const half = (i, k) => 0.5 * (column("p84", i, k) - column("p16", i, k));
  const allowed = (i, k) => Math.max(data.limits.mag, data.limits.share * column("median", i, k));
  const A = data.quantity;
  const to = (k) => `from the Sun to ${short(data.edges[k + 1])} kpc`;
  const between = (k) => `from ${short(data.edges[k])} to ${short(data.edges[k + 1])} kpc`;
  const layers = {
    column: { name: "column", there: true, of: (i, k) => column("median", i, k), has: known, unit: "mag",
      title: (k) => `${A} ${to(k)}` },
    density: { name: "density", there: true, of: (i, k) => density("median", i, k), has: known, unit: "mag/kpc",
      title: (k) => `rise of ${A} ${between(k)}` },
    uncertainty: { name: "uncertainty", there: sure, of: half, has: known, unit: "mag", colors: "unsure",
      title: (k) => `half of the 68 % interval of ${A} ${to(k)}` },
    reliability: { name: "reliability", there: sure, of: (i, k) => half(i, k) / allowed(i, k), has: known, colors: "both",
      unit: "1: the limit", fixed: [0, 2], title: (k) => `uncertainty at ${short(data.edges[k + 1])} kpc over its limit: up to 1 reliable` },
    truth: { name: "true column", there: Boolean(profiles.truth), of: (i, k) => column("truth", i, k), has: (i) => data.has_truth[i],
      unit: "mag", title: (k) => `true ${A} ${to(k)}` },
    truth_density: { name: "true density", there: Boolean(profiles.truth), of: (i, k) => density("truth", i, k),
      has: (i) => data.has_truth[i], unit: "mag/kpc", title: (k) => `true rise of ${A} ${between(k)}` },
    difference: { name: "map − truth", there: Boolean(profiles.truth), has: both, unit: "mag", colors: "both", signed: true,
      of: (i, k) => column("median", i, k) - column("truth", i, k), title: (k) => `map − truth of ${A} ${to(k)}` },
  };
  for (const [key, layer] of Object.entries(layers)) {
    if (layer.there) { element("layer").add(new Option(layer.name, key)); }
  }
  element("truth").closest("label").hidden = !profiles.truth;
  element("clouds").closest("label").hidden = !data.clouds.length;

  const theme = () => {
    const [ink, paper, line, none] = state.dark ? ["#ddd", "#16181c", "#444", "#3a3d42"] : ["#222", "#fff", "#ddd", "#CFCFCF"];
    const [blue, shade] = state.dark ? ["#56B4E9", "86,180,233"] : ["#0072B2", "0,114,178"];
    return { ink, none, line, blue, shade, layout: { font: { family: "system-ui, sans-serif", size: 13, color: ink }, margin,
      paper_bgcolor: paper, plot_bgcolor: paper, hoverlabel: { font: { color: "#222" }, bgcolor: "#fff" } } };
  };
  const axis = (text, more = {}) => ({ title: { text }, gridcolor: theme().line, zerolinecolor: theme().line, ...more });
  const heading = (text) => ({ text, font: { size: 14 } });

  // The largest of a layer in a bin, less the topmost half percent; over all distances of some of them, once.
  const tops = {};
  function topOf(layer, bins) {
    const found = [];
    for (const k of bins) { for (let i = 0; i < n; i++) { if (layer.has(i)) { found.push(Math.abs(layer.of(i, k))); } } }
    found.sort((a, b) => a - b);
    return found[Math.floor(0.995 * (found.length - 1))] || 1;
  }
  function rangeOf(key) {
    const layer = layers[key];
    if (layer.fixed) { return layer.fixed; }
    if (state.range === "typed" && Number.isFinite(state.low) && Number.isFinite(state.high) && state.low < state.high) {
      return [state.low, state.high];
    }
    let top;
    if (state.range === "own") { top = topOf(layer, [state.bin]); } else {
      const some = [...new Set([0, 0.1, 0.2, 0.35, 0.5, 0.75, 1].map((share) => Math.round(share * (nD - 1))))];
      top = tops[key] ??= topOf(layer, some);
    }
    return [layer.signed ? -top : 0, top];
  }

  // Values, colours and their bar on a linear scale, or the logarithm of what is above 0.
  function colored(rows, [low, high], scale, unit, signed) {
    const bar = { thickness: 14, title: { text: unit, side: "right" }, tickfont: { color: theme().ink } };
    const plain = { type: "heatmap", colorscale: scale, customdata: rows, hoverongaps: false, colorbar: bar };
    if (!state.log || signed) { return { ...plain, z: rows, zmin: low, zmax: high }; }
    const floor = low > 0 ? low : high / 100, ticks = [];
    for (let p = Math.floor(Math.log10(floor)); p <= Math.log10(high); p++) {
      for (const m of [1, 2, 5]) { const t = m * 10 ** p; if (t >= floor && t <= high) { ticks.push(t); } }
    }
    return { ...plain, z: rows.map((row) => row.map((v) => (v === null ? null : Math.log10(Math.max(v, floor))))),
      zmin: Math.log10(floor), zmax: Math.log10(high),
      colorbar: { ...bar, tickvals: ticks.map(Math.log10), ticktext: ticks.map((t) => `${short(t, 2)}`) } };
  }

  function skyRows() {
    const layer = layers[state.layer], values = new Array(n);
    for (let i = 0; i < n; i++) { values[i] = layer.has(i) ? layer.of(i, state.bin) : null; }
    const rows = [];
    for (let j = 0; j < nY; j++) {
      rows.push(Array.from(cells.subarray(j * nX, (j + 1) * nX), (i) => (i < 0 ? null : values[i])));
    }
    return rows;
  }

  // Marks of the chosen sightline are shapes: to move them, no image is drawn again.
  function skyMark() {
    const x = sky.px[state.at], y = sky.py[state.at], r = sky.step / 2;
    return [{ type: sky.lines ? "circle" : "rect", line: { color: theme().blue, width: 3 }, x0: x - r, x1: x + r, y0: y - r, y1: y + r }];
  }
  // A place in the view from above, along and across the direction to its right.
  const fromAbove = (l, d) => {
    const turn = ((l - data.plane.right) * Math.PI) / 180;
    return [d * Math.cos(turn), d * Math.sin(turn)];
  };
  function planeMark() {
    const far = data.edges[nD], r = far / 60, up = r / data.plane.stretch, line = { color: theme().blue, width: 3 };
    const [x1, y1] = fromAbove(data.l[state.at], far), [x, y] = fromAbove(data.l[state.at], data.edges[state.bin + 1]);
    return [{ type: "line", line, x0: 0, y0: 0, x1, y1 },
      { type: "circle", line, fillcolor: "#fff", x0: x - r, x1: x + r, y0: y - up, y1: y + up }];
  }

  const clouds = () => (state.clouds ? data.clouds : []);
  const diamonds = (places) => ({ type: "scatter", mode: "markers", x: places.map((at) => at[0]), y: places.map((at) => at[1]),
    hoverinfo: "text", text: data.clouds.map((cloud) => `${cloud.name}, ${cloud.d} kpc`),
    marker: { symbol: "diamond", size: 9, color: "#fff", line: { color: "#000", width: 1.5 } } });
  // Names over an image, on a ground of their own.
  const names = (texts, places, color = "#000") => texts.map((text, i) => ({ text, x: places[i][0], y: places[i][1], showarrow: false,
    yshift: 13, font: { size: 11, color }, bgcolor: "rgba(255,255,255,0.75)", borderpad: 1 }));
  const ofClouds = (places) => names(clouds().map((cloud) => cloud.name), places);
  const onSky = () => data.clouds.map((cloud) => [cloud.x, cloud.y]);

  function skyTraces() {
    const layer = layers[state.layer], where = sky.lines ? "" : "l %{x:.2f}, b %{y:.2f}: ";
    const image = colored(skyRows(), rangeOf(state.layer), data.colors[layer.colors || "dust"], layer.unit, layer.signed);
    const traces = [{ ...image, x: sky.x, y: sky.y, hovertemplate: `${where}%{customdata:.3f} ${layer.unit}<extra></extra>` }];
    if (sky.lines) {
      traces.push({ type: "scatter", mode: "lines", x: sky.lines.x, y: sky.lines.y, hoverinfo: "skip", line: { color: theme().ink, width: 0.6 } });
    }
    if (state.clouds) { traces.push(diamonds(onSky())); }
    return traces;
  }

  function drawSky() {
    const square = { constrain: "domain", showgrid: false, zeroline: false };
    const stretch = sky.lines ? 1 : 1 / Math.cos((sky.y[Math.floor(nY / 2)] * Math.PI) / 180);
    const own = sky.lines ? { visible: false } : { tickvals: ticks(sky.x), ticktext: ticks(sky.x).map((l) => `${wrapped(l)}`) };
    const lineNames = (sky.lines ? sky.lines.labels : []).map(([x, y, text]) => {
      const far = Math.hypot(x, y) || 1;
      return { x, y, text, showarrow: false, xshift: (14 * x) / far, yshift: (12 * y) / far, font: { size: 11, color: theme().ink } };
    });
    Plotly.react(element("sky"), skyTraces(), {
      ...theme().layout, annotations: [...lineNames, ...ofClouds(onSky())], title: heading(layers[state.layer].title(state.bin)), shapes: skyMark(), showlegend: false,
      plot_bgcolor: sky.lines ? theme().layout.paper_bgcolor : theme().none,
      xaxis: axis("Galactic longitude l (deg)", { ...square, ...own, autorange: sky.lines ? true : "reversed" }),
      yaxis: axis("b (deg)", { ...square, ...(sky.lines ? { visible: false } : {}), scaleanchor: "x", scaleratio: stretch }),
    }, style);
    element("distance-text").textContent = `${short(data.edges[state.bin + 1], 4)} kpc`;
    element("distance").setAttribute("aria-valuetext", `${short(data.edges[state.bin + 1], 4)} kiloparsec`);
  }

  function ticks(values) {
    const first = values[0], last = values[values.length - 1];
    const step = [0.25, 0.5, 1, 2, 5, 10, 20, 30, 60].find((s) => (last - first) / s <= 7) || 90;
    const found = [];
    for (let t = Math.ceil(first / step) * step; t <= last + 1e-9; t += step) { found.push(t); }
    return found;
  }

  function drawPlane() {
    if (!data.plane) { return; }
    const kind = state.layer.startsWith("truth") ? "truth" : state.layer === "uncertainty" ? "unsure" : "dust";
    const title = { dust: `rise of ${A} seen from above`, truth: `true rise of ${A} seen from above`,
      unsure: "half of the 68 % interval of the density, from above" }[kind];
    const rows = data.plane.layers[kind], flat = rows.flat().filter((v) => v !== null).sort((a, b) => a - b);
    const top = flat[Math.floor(0.995 * (flat.length - 1))] || 1;
    const traces = [{ ...colored(rows, [0, top], data.colors[kind === "unsure" ? "unsure" : "dust"], "mag/kpc"), x: data.plane.x, y: data.plane.y,
      hovertemplate: "x %{x:.2f}, y %{y:.2f} kpc: %{customdata:.3f}<extra></extra>" }];
    const annotations = [];
    for (const arm of data.plane.arms) {
      traces.push({ type: "scatter", mode: "lines", x: arm.x, y: arm.y, name: arm.name, hoverinfo: "name", line: { color: green, width: 1.5, dash: "dash" } });
      const seen = arm.x.map((v, i) => (v === null ? -1 : i)).filter((i) => i >= 0), at = seen[Math.floor(seen.length / 2)];
      annotations.push(...names([arm.name], [[arm.x[at], arm.y[at]]], "#00664b"));
    }
    if (state.clouds) {
      const places = data.clouds.map((cloud) => fromAbove(cloud.l, cloud.d));
      traces.push(diamonds(places));
      annotations.push(...ofClouds(places));
    }
    traces.push({ type: "scatter", mode: "markers+text", x: [0], y: [0], text: ["Sun"], textposition: "top center",
      hoverinfo: "skip", textfont: { color: theme().ink }, marker: { size: 9, color: yellow, line: { color: "#000", width: 1 } } });
    const flatAxis = { constrain: "domain", showgrid: false, zeroline: false };
    Plotly.react(element("plane"), traces, {
      ...theme().layout, title: heading(title), shapes: planeMark(), annotations, showlegend: false,
      xaxis: axis(data.plane.turned ? `distance along l = ${short(wrapped(data.plane.right), 4)}° (kpc)` : "x (kpc), towards the Galactic centre", flatAxis),
      yaxis: axis(data.plane.turned ? `across (kpc), stretched ${short(data.plane.stretch, 2)} times` : "y (kpc), towards l = 90°",
        { ...flatAxis, scaleanchor: "x", scaleratio: data.plane.stretch }),
    }, style);
  }

  const profile = (name) => [0, ...profiles[name].subarray(state.at * nD, (state.at + 1) * nD)];

  function drawProfile() {
    const traces = [], good = known(state.at), k = state.bin, d = data.edges[k + 1];
    const band = (low, high, name, opacity) => {
      if (!profiles[low] || !profiles[high]) { return; }
      traces.push({ x: data.edges, y: profile(low), mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false });
      traces.push({ x: data.edges, y: profile(high), mode: "lines", line: { width: 0 }, fill: "tonexty", name,
        fillcolor: `rgba(${theme().shade},${opacity})`, hoverinfo: "skip" });
    };
    if (good) {
      band("p5", "p95", "90 %", 0.18);
      band("p16", "p84", "68 %", 0.3);
      traces.push({ x: data.edges, y: profile("median"), mode: "lines", name: data.kind, line: { color: theme().blue, width: 2 } });
    }
    if (state.truth && profiles.truth && data.has_truth[state.at]) {
      traces.push({ x: data.edges, y: profile("truth"), mode: "lines", name: "truth", line: { color: state.dark ? "#bbb" : "#555", width: 3 } });
    }
    const shapes = [{ type: "line", x0: d, x1: d, yref: "paper", y0: 0, y1: 1, line: { color: vermilion, width: 1, dash: "dot" } }];
    if (good) {
      const value = column("median", state.at, k), bars = sure ? { error_y: { type: "data", symmetric: false, color: vermilion, thickness: 2,
        array: [column("p84", state.at, k) - value], arrayminus: [value - column("p16", state.at, k)] } } : {};
      traces.push({ x: [d], y: [value], mode: "markers", name: `at ${short(d)} kpc`, marker: { color: vermilion, size: 8 }, ...bars });
      // A grey bar at the bottom where the extinction is not reliable.
      for (let j = 0; reliable && j < nD; j++) {
        if (reliable[state.at * nD + j]) { continue; }
        const last = shapes[shapes.length - 1];
        if (last.type === "rect" && last.x1 === data.edges[j]) { last.x1 = data.edges[j + 1]; continue; }
        shapes.push({ type: "rect", x0: data.edges[j], x1: data.edges[j + 1], yref: "paper", y0: 0, y1: 0.03, fillcolor: "#888", line: { width: 0 } });
      }
    }
    const annotations = [];
    for (const cloud of clouds()) {
      const near = apart(data.l[state.at], data.b[state.at], cloud.l, cloud.b) <= Math.max(1, sky.step), std = cloud.std || 0;
      if (!near) { continue; }
      shapes.push({ type: "rect", x0: cloud.d - std, x1: cloud.d + std, yref: "paper", y0: 0, y1: 1, fillcolor: "rgba(0,158,115,0.3)", line: { color: green, width: 1 } });
      annotations.push({ x: cloud.d, yref: "paper", y: 0.98, text: cloud.name, showarrow: false, xanchor: "left", yanchor: "top" });
    }
    Plotly.react(element("profile"), traces, {
      ...theme().layout, title: heading(good ? "" : "no profile"), shapes, annotations,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 1, xanchor: "right" },
      xaxis: axis("distance (kpc)", { range: [0, data.edges[nD]] }),
      yaxis: axis(`${A} from the Sun (mag)`, { rangemode: "tozero" }),
    }, style);
  }

  function drawCmd() {
    if (!counts) { return; }
    const { colors, mags } = data.cmd, nC = colors.length - 1, nM = mags.length - 1, rows = [];
    for (let m = 0; m < nM; m++) {
      const start = (state.at * nM + m) * nC;
      rows.push(Array.from(counts.subarray(start, start + nC), (count) => count || null));
    }
    Plotly.react(element("cmd"), [
      { type: "heatmap", x: colors, y: mags, z: rows, colorscale: "Viridis", colorbar: { thickness: 14 }, hovertemplate: "%{z} stars<extra></extra>" },
    ], {
      ...theme().layout, title: heading("stars per pixel of its CMD"),
      xaxis: axis(`${data.blue} − ${data.band} (mag)`), yaxis: axis(`${data.band} (mag)`, { autorange: "reversed" }),
    }, style);
  }

  // The sightline in words, then what the map says of it at the distance of the slider.
  function tell() {
    const at = state.at, k = state.bin;
    element("l").value = wrapped(data.l[at]);
    element("b").value = data.b[at];
    const flags = Object.keys(data.meanings).filter((bit) => data.flag[at] & Number(bit)).map((bit) => data.meanings[bit]);
    const lines = [`l = ${wrapped(data.l[at])}, b = ${data.b[at]} deg`, `${data.n_stars[at]} stars, ${Math.round(100 * data.coverage[at])} % covered`];
    lines.push(flags.length ? `flags: ${flags.join(", ")}` : "no flag");
    element("told").textContent = lines.join("; ");
    const here = [];
    if (known(at)) {
      const interval = sure ? ` (68 %: ${column("p16", at, k).toFixed(3)} to ${column("p84", at, k).toFixed(3)})` : "";
      here.push(`${A} to ${short(data.edges[k + 1], 4)} kpc: ${column("median", at, k).toFixed(3)} mag${interval}`);
      if (reliable) { here.push(reliable[at * nD + k] ? "reliable there" : "not reliable there"); }
      here.push(`rise in its last ${short(data.edges[k + 1] - data.edges[k])} kpc: ${density("median", at, k).toFixed(3)} mag/kpc`);
    } else { here.push("no profile"); }
    if (state.truth && profiles.truth && data.has_truth[at]) { here.push(`truth: ${column("truth", at, k).toFixed(3)} mag`); }
    element("here").textContent = here.join("; ");
  }

  function apart(l1, b1, l2, b2) {
    const r = Math.PI / 180, u = Math.sin(((b2 - b1) * r) / 2) ** 2 + Math.cos(b1 * r) * Math.cos(b2 * r) * Math.sin(((l2 - l1) * r) / 2) ** 2;
    return (2 * Math.asin(Math.min(1, Math.sqrt(u)))) / r;
  }

  // The sightline of a place; outside the map none is chosen, and the page says so.
  function chooseAt(l, b) {
    let best = -1, least = Infinity;
    for (let i = 0; i < n; i++) { const far = apart(l, b, data.l[i], data.b[i]); if (far < least) { [best, least] = [i, far]; } }
    const turn = Math.abs(((l - data.l[best] + 540) % 360) - 180), rise = Math.abs(b - data.b[best]), reach = sky.step / 2 + 1e-9;
    // A field of rows and columns has edges in l and b; a pixel reaches at most so far from its centre.
    const inside = sky.lines ? least <= 0.8 * sky.step : turn <= reach && rise <= reach;
    if (inside) { choose(best); return; }
    element("told").textContent = `l = ${wrapped(l)}, b = ${b} deg is outside the map`;
    element("here").textContent = "";
  }

  const latest = {};
  function soon(name, work, ms = 0) {
    clearTimeout(latest[name]);
    latest[name] = setTimeout(work, ms);
  }

  function choose(at) {
    state.at = at;
    tell();
    drawProfile();
    // The profile first; the rest follows when it is on the screen.
    soon("marks", () => {
      Plotly.relayout(element("sky"), { shapes: skyMark() });
      if (data.plane) { Plotly.relayout(element("plane"), { shapes: planeMark() }); }
      drawCmd();
    });
    remember();
  }

  function setBin(bin) {
    state.bin = Math.min(Math.max(bin, 0), nD - 1);
    element("distance").value = state.bin;
    tell();
    drawProfile();
    // Where the slider moves faster than the sky is drawn, only its last place is.
    soon("sky", () => {
      drawSky();
      if (data.plane) { Plotly.relayout(element("plane"), { shapes: planeMark() }); }
    });
    remember();
  }

  // To the next sightline in a direction on the picture: near along it, and little aside.
  function step(dx, dy) {
    let best = -1, least = Infinity;
    for (let i = 0; i < n; i++) {
      const x = sky.px[i] - sky.px[state.at], y = sky.py[i] - sky.py[state.at], along = x * dx + y * dy, aside = Math.abs(x * dy - y * dx);
      if (along > 0.1 * sky.step && along + 3 * aside < least) { [best, least] = [i, along + 3 * aside]; }
    }
    if (best >= 0 && least < 4 * sky.step) { choose(best); }
  }

  function drawAll() {
    document.documentElement.dataset.theme = state.dark ? "dark" : "light";
    drawSky(); drawPlane(); drawProfile(); drawCmd(); tell();
  }

  function remember() {
    soon("address", () => {
      const words = new URLSearchParams({ l: wrapped(data.l[state.at]), b: data.b[state.at], d: short(data.edges[state.bin + 1], 6), layer: state.layer, range: state.range });
      if (state.range === "typed") { words.set("low", state.low); words.set("high", state.high); }
      for (const name of ["log", "truth", "clouds", "dark"]) { words.set(name, Number(state[name])); }
      history.replaceState(null, "", `#${words}`);
    }, 400);
  }

  // From the address; what is missing or makes no sense stays as it is.
  function recall() {
    const words = new URLSearchParams(location.hash.slice(1));
    const number = (name) => (words.has(name) && words.get(name).trim() !== "" ? Number(words.get(name)) : NaN);
    if (layers[words.get("layer")]?.there) { state.layer = words.get("layer"); }
    if (["all", "own", "typed"].includes(words.get("range"))) { state.range = words.get("range"); }
    for (const name of ["low", "high"]) { if (Number.isFinite(number(name))) { state[name] = number(name); } }
    for (const name of ["log", "truth", "clouds", "dark"]) { if (words.has(name)) { state[name] = words.get(name) === "1"; } }
    if (number("d") >= 0) {
      const far = data.edges.findIndex((edge) => edge >= number("d") - 1e-6);
      state.bin = far < 0 ? nD - 1 : Math.max(far - 1, 0);
    }
    show();
    drawAll();
    if (Number.isFinite(number("l")) && Number.isFinite(number("b"))) { chooseAt(number("l"), number("b")); }
  }

  // The controls as the state is.
  function show() {
    element("distance").value = state.bin;
    element("layer").value = state.layer;
    element("range").value = state.range;
    for (const name of ["log", "truth", "clouds", "dark"]) { element(name).checked = state[name]; }
    for (const name of ["low", "high"]) {
      element(name).value = state[name] ?? "";
      element(name).closest("label").hidden = state.range !== "typed";
    }
  }

  let start = 0;
  for (let at = 0; at < n; at++) {
    if (known(at) && (!known(start) || column("median", at, nD - 1) >= column("median", start, nD - 1))) { start = at; }
  }
  state.at = start;
  element("distance").max = nD - 1;
  if (!data.plane) { element("plane").remove(); }
  const wide = (sky.x[nX - 1] - sky.x[0] + sky.step) / (sky.y[nY - 1] - sky.y[0] + sky.step) > 2.5;
  element("sky").classList.toggle("wide", wide);
  const marked = location.hash.includes("=");
  if (marked) { recall(); } else { show(); drawAll(); }

  element("distance").addEventListener("input", () => setBin(Number(element("distance").value)));
  for (const name of ["layer", "range", "low", "high", "log", "truth", "clouds", "dark"]) {
    element(name).addEventListener("change", () => {
      const own = element(name);
      if (state.range !== "typed" && own.value === "typed") { [state.low, state.high] = rangeOf(state.layer).map((v) => short(v)); }
      state[name] = own.type === "checkbox" ? own.checked : own.type === "number" ? (own.value === "" ? null : Number(own.value)) : own.value;
      show();
      drawAll();
      remember();
    });
  }
  for (const name of ["l", "b"]) {
    element(name).addEventListener("change", () => {
      const [l, b] = ["l", "b"].map((part) => Number(element(part).value));
      if (Number.isFinite(l) && Number.isFinite(b)) { chooseAt(l, b); }
    });
  }
  element("sky").on("plotly_click", (event) => {
    const point = event.points[0], nearest = (axis, v) => axis.reduce((a, x, i) => (Math.abs(x - v) < Math.abs(axis[a] - v) ? i : a), 0);
    const at = cells[nearest(sky.y, point.y) * nX + nearest(sky.x, point.x)];
    if (at >= 0) { choose(at); }
  });
  if (data.plane) {
    element("plane").on("plotly_click", (event) => {
      const point = event.points[0];
      chooseAt((Math.atan2(point.y, point.x) * 180) / Math.PI + data.plane.right, data.b[state.at]);
    });
  }
  // l grows to the left: of rows and columns the picture is turned, a projection has x to the right.
  const right = sky.lines ? 1 : -1;
  const keys = { ArrowLeft: [-right, 0], ArrowRight: [right, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  element("sky").addEventListener("keydown", (event) => {
    if (keys[event.key]) { step(...keys[event.key]); } else if (event.key === "PageUp") { setBin(state.bin + 1); } else if (event.key === "PageDown") { setBin(state.bin - 1); } else { return; }
    event.preventDefault();
  });
  window.addEventListener("hashchange", () => { if (location.hash.includes("=")) { recall(); } });
  document.documentElement.dataset.explorer = "ready";
})();
