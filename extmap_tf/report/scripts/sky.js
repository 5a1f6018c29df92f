/* The map on the sky. */
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
