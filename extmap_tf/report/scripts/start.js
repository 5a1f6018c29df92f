/* The first picture, and what the reader does. */
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
