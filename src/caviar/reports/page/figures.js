// Figures, drawn when they come near to the view: plotly is not even parsed before the page can be read and used.
const figures = new Map();
const queue = new Set();
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) queue.add(entry.target); else queue.delete(entry.target);
  drawSoon();
}, { rootMargin: "300px" });
let due = false;

// `build` gives traces and layout, and may give outline(trial): the plotly shapes that make one trial stand out.
function figure(parent, label, height, build) {
  const node = el("div", { class: "plot", role: "group", "aria-label": label });
  node.style.height = `${height}px`;
  parent.append(node);
  figures.set(node, { build, height, drawn: null });
  near.observe(node);
  return node;
}
function forget(node) {
  if (figures.get(node)?.drawn) purge(node);
  near.unobserve(node);
  queue.delete(node);
  figures.delete(node);
}
function purge(node) {
  Plotly.purge(node);
  node.emit = () => {}; // plotly puts off what it does on a move of the pointer, and may do it after this
}
function drawSoon() {
  if (due || !queue.size || !document.body.dataset.ready) return;
  due = true;
  // One thing a task, so that the page stays usable between two.
  setTimeout(() => {
    due = false;
    const [node] = queue;
    if (window.Plotly && node) drawNow(node); else loadPlotly();
    if (!queue.size) performance.mark("drawn");
    drawSoon();
  }, 0);
}
function drawAll() { [...figures.keys()].forEach(drawNow); }
function loadPlotly() {
  const held = document.getElementById("plotly");
  if (held) document.head.append(el("script", {}, held.textContent));
  held?.remove();
}
function drawNow(node) {
  loadPlotly();
  near.unobserve(node);
  queue.delete(node);
  const held = figures.get(node);
  if (!held || held.drawn || !node.isConnected) return;
  const { traces, layout, outline } = held.build(), theme = themed();
  const axis = { gridcolor: theme.grid, linecolor: theme.line, zerolinecolor: theme.line, automargin: true };
  const full = {
    margin: { l: 56, r: 12, t: 12, b: 44 }, height: held.height, hovermode: "closest", showlegend: false, dragmode: touch ? false : "zoom",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: theme.ink, size: 12, family: "system-ui, sans-serif" },
    hoverlabel: { bgcolor: theme.card, bordercolor: theme.line, font: { color: theme.ink, size: 12 }, align: "left" },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, ...layout,
    xaxis: { ...axis, ...(layout.xaxis || {}) }, yaxis: { ...axis, ...(layout.yaxis || {}) },
  };
  // Nothing leads out of the page: plotly has a button that uploads a figure's data, unless told not to.
  const offline = { showSendToCloud: false, showEditInChartStudio: false, showLink: false, plotlyServerURL: "" };
  Plotly.newPlot(node, traces, full, { ...offline, displaylogo: false, responsive: true, displayModeBar: touch ? false : "hover", modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] });
  held.drawn = { outline, shapes: layout.shapes || [] };
  node.on("plotly_click", (event) => { const number = trialAt(event); if (number !== null) pin(number); });
  node.on("plotly_hover", (event) => outlineIn(node, trialAt(event)));
  node.on("plotly_unhover", () => outlineIn(node, null));
  if (pinned !== null) outlineIn(node, null);
}
const touch = matchMedia("(hover: none)").matches;
function trialAt(event) { return event.points[0].customdata ?? null; }

// The pinned trial, and the one under the pointer, stand out as shapes: the traces, which may be large, stay as they are.
function outlineIn(node, hovered) {
  const drawn = figures.get(node)?.drawn;
  if (!drawn || !drawn.outline) return;
  const theme = themed(), found = [...drawn.shapes];
  for (const [number, color, width] of [[hovered === pinned ? null : hovered, theme.ink, 1.5], [pinned, theme.pin, 3]]) {
    const trial = number === null ? null : trialOf(current, number);
    if (trial) found.push(...drawn.outline(trial).map((shape) => ({ ...shape, name: `trial ${number}`, line: { color, width } })));
  }
  Plotly.relayout(node, { shapes: found });
}
function ringAt(x, y) {
  if (x === null || x === undefined || !isNumber(y)) return [];
  return [{ type: "circle", xsizemode: "pixel", ysizemode: "pixel", xanchor: x, yanchor: y, x0: -7, x1: 7, y0: -7, y1: 7 }];
}
function lineAlong(xs, ys) {
  const points = xs.map((x, i) => [x, ys[i]]).filter(([, y]) => isNumber(y));
  if (points.length < 2) return points.flatMap(([x, y]) => ringAt(x, y));
  return [{ type: "path", path: "M" + points.map(([x, y]) => `${x},${y}`).join(" L") }];
}
// Both ends of an axis: given, so that an outline does not make plotly look through all points for them.
function spanOf(values, share = 0.05) {
  let low = Infinity, high = -Infinity;
  for (const value of values) if (isNumber(value)) { low = Math.min(low, value); high = Math.max(high, value); }
  if (low > high) return [0, 1];
  const pad = (high - low) * share || Math.abs(high) * share || 1;
  return [low - pad, high + pad];
}
// Whether values, such as losses, are read better by their size: all above 0, the bulk of them over two decades.
function wantsLog(values) {
  const sorted = values.filter(isNumber).sort((a, b) => a - b), at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  return sorted.length > 7 && sorted[0] > 0 && at(0.9) / at(0.05) > 100;
}
// Where a few values lie far off, the axis shows the bulk and whatever is named in `must`; a double click shows all.
function robustSpan(values, must = []) {
  const sorted = values.filter(isNumber).sort((a, b) => a - b), at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  if (sorted.length < 20) return { range: spanOf(values), cut: 0 };
  const low = Math.min(at(0.02), ...must), high = Math.max(at(0.9), ...must), room = 3 * (high - low);
  const range = spanOf([sorted[0] < low - room ? low : sorted[0], sorted.at(-1) > high + room ? high : sorted.at(-1)]);
  return { range, cut: sorted.filter((value) => value < range[0] || value > range[1]).length };
}
function cutNote(cut) {
  return cut ? [{ text: `${cut} points lie beyond the axis: a double click shows all`, x: 1, y: 1, xref: "paper", yref: "paper", xanchor: "right", yanchor: "top", showarrow: false, font: { size: 11, color: themed().soft }, bgcolor: themed().veil }] : [];
}
function themed() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ink", "soft", "line", "grid", "card", "veil", "accent", "fail", "warn", "muted", "pin", "edit"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}
function redraw(nodes = figures.keys()) {
  for (const node of [...nodes]) {
    const held = figures.get(node);
    if (held.drawn) purge(node);
    held.drawn = null;
    near.unobserve(node);
    near.observe(node);
  }
}
