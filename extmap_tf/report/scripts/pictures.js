/* What the pictures have in common: style, colours, marks of clouds and their names. */
const theme = () => {
  const [ink, paper, line, none] = state.dark ? ["#ddd", "#16181c", "#444", "#3a3d42"] : ["#222", "#fff", "#ddd", "#CFCFCF"];
  const [blue, shade] = state.dark ? ["#56B4E9", "86,180,233"] : ["#0072B2", "0,114,178"];
  return { ink, none, line, blue, shade, layout: { font: { family: "system-ui, sans-serif", size: 13, color: ink }, margin,
    paper_bgcolor: paper, plot_bgcolor: paper, hoverlabel: { font: { color: "#222" }, bgcolor: "#fff" } } };
};
const axis = (text, more = {}) => ({ title: { text }, gridcolor: theme().line, zerolinecolor: theme().line, ...more });
const heading = (text) => ({ text, font: { size: 14 } });

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

const clouds = () => (state.clouds ? data.clouds : []);
const diamonds = (places) => ({ type: "scatter", mode: "markers", x: places.map((at) => at[0]), y: places.map((at) => at[1]),
  hoverinfo: "text", text: data.clouds.map((cloud) => `${cloud.name}, ${cloud.d} kpc`),
  marker: { symbol: "diamond", size: 9, color: "#fff", line: { color: "#000", width: 1.5 } } });
// Names over an image, on a ground of their own.
const names = (texts, places, color = "#000") => texts.map((text, i) => ({ text, x: places[i][0], y: places[i][1], showarrow: false,
  yshift: 13, font: { size: 11, color }, bgcolor: "rgba(255,255,255,0.75)", borderpad: 1 }));
const ofClouds = (places) => names(clouds().map((cloud) => cloud.name), places);

function ticks(values) {
  const first = values[0], last = values[values.length - 1];
  const step = [0.25, 0.5, 1, 2, 5, 10, 20, 30, 60].find((s) => (last - first) / s <= 7) || 90;
  const found = [];
  for (let t = Math.ceil(first / step) * step; t <= last + 1e-9; t += step) { found.push(t); }
  return found;
}
