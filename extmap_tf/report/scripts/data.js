/* What the page holds: the map's numbers, unpacked once, and short names for them. */
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
const walls = data.walls ? new Uint8Array(await unpack(data.walls.steps)) : null;
for (const cmd of data.cmds) { cmd.counts = new Uint16Array(await unpack(cmd.counts)); }
const sure = Boolean(profiles.p16 && profiles.p84);
const wrapped = (l) => Math.round((((l % 360) + 360) % 360) * 1e4) / 1e4;

function apart(l1, b1, l2, b2) {
  const r = Math.PI / 180, u = Math.sin(((b2 - b1) * r) / 2) ** 2 + Math.cos(b1 * r) * Math.cos(b2 * r) * Math.sin(((l2 - l1) * r) / 2) ** 2;
  return (2 * Math.asin(Math.min(1, Math.sqrt(u)))) / r;
}
