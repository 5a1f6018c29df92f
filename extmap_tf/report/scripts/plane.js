/* The view from above the plane. */
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
