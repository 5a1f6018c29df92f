/* What is shown, the layers that can be, and the ranges of their colours. */
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
// null where even a large one would not be found.
const wall = (i, k) => (walls[i * nD + k] ? walls[i * nD + k] * data.walls.unit : null);
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
  wall: { name: "smallest wall", there: Boolean(walls), of: (i, k) => wall(i, k), has: known, unit: "mag", colors: "unsure",
    title: (k) => `smallest wall found at ${short(data.edges[k + 1])} kpc, ${A}; empty: none` },
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
