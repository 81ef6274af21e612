"use strict";
// Elements, numbers, colours and plots: what the sections are made with. Text from a run goes in as text, never as HTML.
const DATA = JSON.parse(document.getElementById("data").textContent);
const PAIRS = [["&", "&amp;"], ["<", "&lt;"], [">", "&gt;"]];
const BLUES = ["#c9762b", "#b0a13c", "#5f9e6e", "#2f7fb8", "#3b4cc0"];
let current = DATA[0];

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
// Plotly reads <b> and the like in its texts: what comes from a run is escaped for it.
function plain(text) {
  return PAIRS.reduce((held, [from, to]) => held.replaceAll(from, to), String(text));
}
function isNumber(value) { return typeof value === "number" && Number.isFinite(value); }
function short(value) {
  if (!isNumber(value)) return value === null || value === undefined ? "" : String(value);
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
}
function scoreOf(trial) { return trial.values[0]; }
function sign(sweep) { return sweep.directions[0] === "maximize" ? -1 : 1; }
function complete(sweep) {
  return sweep.trials.filter((trial) => trial.state === "COMPLETE" && isNumber(scoreOf(trial)));
}
function ranked(sweep) {
  return complete(sweep).sort((a, b) => sign(sweep) * (scoreOf(a) - scoreOf(b)) || a.number - b.number);
}
function named(trial, sweep) {
  return plain(`trial ${trial.number}: ${short(scoreOf(trial))}`) + "<br>" +
    Object.entries(trial.params).map(([k, v]) => plain(`${k} = ${short(v)}`)).join("<br>");
}
function body(id) {
  const node = document.querySelector(`#${id} .body`);
  node.querySelectorAll(".plot").forEach((plot) => { seen.unobserve(plot); waiting.delete(plot); Plotly.purge(plot); });
  node.replaceChildren();
  return node;
}
function nothing(id, why) { body(id).append(el("p", { class: "empty" }, why)); }

// Where a value lies on its own scale, and the ticks with the true values.
function onScale(h, value) {
  if (h.scale === "choice") return h.options.indexOf(String(value)) < 0 ? null : h.options.indexOf(String(value));
  if (!isNumber(value)) return null;
  if (h.scale === "log") return value > 0 ? Math.log10(value) : null;
  if (h.scale === "reverse_log") return value < 1 ? -Math.log10(1 - value) : null;
  return value;
}
function ends(h) { return h.scale === "choice" ? [-0.5, h.options.length - 0.5] : [onScale(h, h.low), onScale(h, h.high)]; }
function ticks(h) {
  if (h.scale === "choice") return h.options.map((option, i) => [i, option]);
  const [low, high] = ends(h);
  if (h.scale === "linear") return null;
  const found = [];
  const fine = high - low < 1.2 ? [1, 2, 3, 5, 7] : high - low < 3 ? [1, 3] : [1];
  for (let decade = Math.floor(low) - 1; decade <= Math.ceil(high) + 1; decade++) {
    for (const digit of fine) {
      const size = digit * 10 ** (h.scale === "log" ? decade : -decade);
      const value = h.scale === "log" ? Number(size.toPrecision(4)) : Number((1 - size).toPrecision(12));
      const at = onScale(h, value);
      if (at !== null && at >= low - 1e-9 && at <= high + 1e-9) found.push([at, String(value)]);
    }
  }
  return found.length > 1 ? found : [[low, short(h.low)], [high, short(h.high)]];
}
function axisOf(h) {
  const [low, high] = ends(h);
  const pad = (high - low) * 0.04;
  const axis = { title: { text: plain(h.name) }, range: [low - pad, high + pad], zeroline: false };
  const marks = ticks(h);
  if (marks) { axis.tickvals = marks.map((m) => m[0]); axis.ticktext = marks.map((m) => plain(m[1])); }
  return axis;
}

function themed() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { gridcolor: colour("--line"), linecolor: colour("--line"), zerolinecolor: colour("--line") };
  return { ink: colour("--ink"), soft: colour("--soft"), line: colour("--line"), accent: colour("--accent"), fail: colour("--fail"), axis };
}
function draw(parent, label, traces, layout, click) {
  const node = el("div", { class: "plot", role: "group", "aria-label": label });
  parent.append(node);
  const theme = themed();
  const full = {
    margin: { l: 60, r: 16, t: 28, b: 48 }, height: 360, hovermode: "closest", showlegend: false,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: theme.ink, size: 12 },
    legend: { orientation: "h", y: 1.12 }, ...layout,
    xaxis: { ...theme.axis, automargin: true, ...(layout.xaxis || {}) },
    yaxis: { ...theme.axis, automargin: true, ...(layout.yaxis || {}) },
  };
  node.style.height = `${full.height}px`;
  waiting.set(node, () => {
    Plotly.newPlot(node, traces, full, { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
    if (click) node.on("plotly_click", (event) => {
      const at = event.points[0];
      if (at.customdata !== undefined && at.customdata !== null) openTrial(at.customdata);
    });
  });
  seen.observe(node);
  return node;
}
// A figure is drawn when it comes near to the view, or when the page is printed.
const waiting = new Map();
const seen = new IntersectionObserver((entries) => entries.filter((e) => e.isIntersecting).forEach((e) => drawNow(e.target)), { rootMargin: "300px" });
function drawNow(node) {
  seen.unobserve(node);
  const act = waiting.get(node);
  waiting.delete(node);
  if (act && node.isConnected) act();
}
function drawAll() { [...waiting.keys()].forEach(drawNow); }
window.addEventListener("beforeprint", drawAll);
