/* The chosen sightline: its profile, its diagram, and what is said of it in words. */
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

function drawCmds() {
  for (const [i, { survey, x, y, counts }] of data.cmds.entries()) {
    const nX = x.edges.length - 1, nY = y.edges.length - 1, rows = [];
    for (let m = 0; m < nY; m++) {
      const start = (state.at * nY + m) * nX;
      rows.push(Array.from(counts.subarray(start, start + nX), (count) => count || null));
    }
    Plotly.react(element(`cmd${i || ""}`), [
      { type: "heatmap", x: x.edges, y: y.edges, z: rows, colorscale: "Viridis", colorbar: { thickness: 14 }, hovertemplate: "%{z} stars<extra></extra>" },
    ], {
      ...theme().layout, title: heading(`stars per pixel, ${survey}`),
      xaxis: axis(x.label), yaxis: axis(y.label, y.down ? { autorange: "reversed" } : {}),
    }, style);
  }
}

// The sightline in words, then what the map says of it at the distance of the slider.
function tell() {
  const at = state.at, k = state.bin;
  element("l").value = wrapped(data.l[at]);
  element("b").value = data.b[at];
  const flags = Object.keys(data.meanings).filter((bit) => data.flag[at] & Number(bit)).map((bit) => data.meanings[bit]);
  const lines = [`l = ${wrapped(data.l[at])}, b = ${data.b[at]} deg`, `${data.n_stars[at]} stars, ${Math.round(100 * data.coverage[at])} % covered`];
  const odd = Object.keys(data.odd).filter((survey) => data.odd[survey].includes(at));
  if (odd.length) { flags.push(`by the stars of ${odd.join(" and ")}`); }
  lines.push(flags.length ? `flags: ${flags.join(", ")}` : "no flag");
  element("told").textContent = lines.join("; ");
  const here = [];
  if (known(at)) {
    const interval = sure ? ` (68 %: ${column("p16", at, k).toFixed(3)} to ${column("p84", at, k).toFixed(3)})` : "";
    here.push(`${A} to ${short(data.edges[k + 1], 4)} kpc: ${column("median", at, k).toFixed(3)} mag${interval}`);
    if (reliable) { here.push(reliable[at * nD + k] ? "reliable there" : "not reliable there"); }
    here.push(`rise in its last ${short(data.edges[k + 1] - data.edges[k])} kpc: ${density("median", at, k).toFixed(3)} mag/kpc`);
    if (walls) { here.push(wall(at, k) ? `smallest wall found there: ${wall(at, k).toFixed(2)} mag` : "no wall would be found there"); }
  } else { here.push("no profile"); }
  if (state.truth && profiles.truth && data.has_truth[at]) { here.push(`truth: ${column("truth", at, k).toFixed(3)} mag`); }
  element("here").textContent = here.join("; ");
}
