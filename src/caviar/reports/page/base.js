"use strict"; // of the whole page: its files are one script
// Elements, numbers and scales: what the sections are made with. Text from a run goes in as text, never as HTML.
let DATA = JSON.parse(document.getElementById("data").textContent);
const PAIRS = [["&", "&amp;"], ["<", "&lt;"], [">", "&gt;"]];
// From the best fifth of the trials to the worst.
const RANKS = ["#d9822b", "#b0a13c", "#5f9e6e", "#2f7fb8", "#5a64c4"];
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
// Strict JSON has no number that is not finite: it stands as a word.
function numberIn(value) {
  return typeof value === "string" && /^-?(nan|inf)$/.test(value) ? { nan: NaN, inf: Infinity, "-inf": -Infinity }[value] : value;
}
function short(value) {
  if (!isNumber(value)) return value === null || value === undefined ? "" : String(value);
  if (value !== 0 && Math.abs(value) < 1e-3) return value.toExponential(3).replace(/\.?0+e/, "e");
  if (Number.isInteger(value)) return String(value);
  // Just below 1, where a momentum lies: at least two digits of 1 - value.
  const places = 1 - Math.floor(Math.log10(Math.abs(1 - Math.abs(value))));
  return String(Number(Math.abs(value) < 1 && places > 4 ? value.toFixed(places) : value.toPrecision(4)));
}
// Of several objectives, the one by which figures and the order of trials go.
let objective = 0;
function scoreOf(trial) { return trial.values[objective]; }
function scoreName(sweep) { return sweep.labels[objective] || sweep.metric || "value"; }
function sign(sweep) { return sweep.directions[objective] === "maximize" ? -1 : 1; }
function complete(sweep) {
  return sweep.trials.filter((trial) => trial.state === "COMPLETE" && isNumber(scoreOf(trial)));
}
function ranked(sweep) {
  const way = sweep.directions.length ? sign(sweep) : 0; // by number where it is not known whether more or less is better
  return complete(sweep).sort((a, b) => way * (scoreOf(a) - scoreOf(b)) || a.number - b.number);
}
// What a point says of its trial. What was edited while it trained is never shown as if its config alone had made it.
function named(trial) {
  const edited = trial.edits.length ? `<br><b>edited while it trained: ${trial.edits.length}</b>` : "";
  return plain(`trial ${trial.number}: ${short(scoreOf(trial))}`) + edited + "<br>" +
    Object.entries(trial.params).map(([k, v]) => plain(`${k} = ${short(v)}`)).join("<br>");
}
// Of several objectives: the complete trials that no other beats in all, by the one that is picked.
function frontOf(sweep) {
  const losses = (t) => t.values.map((v, i) => sweep.directions[i] === "maximize" ? -v : v);
  const beats = (a, b) => a.every((v, i) => v <= b[i]) && a.some((v, i) => v < b[i]);
  let kept = [];
  for (const trial of complete(sweep).filter((t) => t.values.length === sweep.directions.length && t.values.every(isNumber))) {
    const mine = losses(trial);
    if (kept.some((other) => beats(losses(other), mine))) continue;
    kept = [...kept.filter((other) => !beats(mine, losses(other))), trial];
  }
  return kept.sort((a, b) => losses(a)[objective] - losses(b)[objective] || a.number - b.number);
}
// By key, the items that have it, in their order.
function grouped(items, keyOf) {
  const found = new Map();
  for (const item of items) {
    const key = keyOf(item);
    found.set(key, [...(found.get(key) || []), item]);
  }
  return found;
}
function trialOf(sweep, number) { return sweep.trials.find((trial) => trial.number === number); }
// Each name's last part, or all of it where another one ends alike.
function shortNames(names) {
  const ends = names.map((name) => name.split(".").at(-1));
  return names.map((name, i) => ends.indexOf(ends[i]) === ends.lastIndexOf(ends[i]) ? ends[i] : name);
}
function duration(seconds) {
  const minutes = Math.round(seconds / 60);
  if (seconds < 90) return `${Number(seconds.toPrecision(2))} s`;
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
function body(id) {
  const node = document.querySelector(`#${id} .body`);
  node.querySelectorAll(".plot").forEach(forget);
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
  if (h.values) return h.values.map((value) => [value, String(value)]);
  if (h.scale === "linear") return null;
  const found = [];
  const fine = high - low < 1.2 ? [1, 2, 3, 5, 7] : high - low < 3 ? [1, 3] : [1];
  for (let decade = Math.floor(low) - 1; decade <= Math.ceil(high) + 1; decade++) {
    for (const digit of fine) {
      const size = digit * 10 ** (h.scale === "log" ? decade : -decade);
      const value = h.scale === "log" ? Number(size.toPrecision(4)) : Number((1 - size).toPrecision(12));
      const at = onScale(h, value);
      if (at !== null && at >= low - 1e-9 && at <= high + 1e-9) found.push([at, value < 1e-3 ? short(value) : String(value)]);
    }
  }
  return found.length > 1 ? found : [[low, short(h.low)], [high, short(h.high)]];
}
function stepOf(h) { return h.values && h.values.length > 1 ? h.values[1] - h.values[0] : 1; }
function axisOf(h) {
  const [low, high] = ends(h);
  const pad = h.values ? stepOf(h) / 2 : (high - low) * 0.04;
  const axis = { title: { text: plain(h.name) }, range: [low - pad, high + pad], zeroline: false };
  const marks = ticks(h);
  if (marks) { axis.tickvals = marks.map((m) => m[0]); axis.ticktext = marks.map((m) => plain(m[1])); }
  return axis;
}
// Commands that can be copied, wherever one stands.
function copyButton(text) {
  return el("button", { type: "button", class: "copy", on: { click: async ({ target }) => {
    target.textContent = (await copied(text)) ? "Copied" : "Select it";
    setTimeout(() => { target.textContent = "Copy"; }, 1500);
  } } }, "Copy");
}
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { // some browsers have no clipboard for a file that was opened from disk
    const held = el("textarea", { "aria-hidden": "true" }, text);
    (document.querySelector("dialog[open]") || document.body).append(held);
    held.select();
    const done = document.execCommand("copy");
    held.remove();
    return done;
  }
}
function addCopyButtons() { document.querySelectorAll("code.next").forEach((code) => code.after(copyButton(code.textContent))); }
addCopyButtons();
