/* Choosing a sightline or a distance, and the address that keeps what is shown. */
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
    drawCmds();
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
  drawSky(); drawPlane(); drawProfile(); drawCmds(); tell();
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
