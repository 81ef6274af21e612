"use strict";
// Learning curves of every trial that logged the metric, running ones included.
const BEST_COLOURS = ["#1f77b4", "#2ca02c", "#e8871e", "#17a2b8", "#9467bd"];
const BEST = BEST_COLOURS.length;

function curves(sweep, metric) {
  const metrics = Object.keys(sweep.curves);
  if (!metrics.length) return nothing("curves", "No trial logged a metric.");
  metric = metric || metrics[0];
  const node = body("curves");
  const select = el("select", { id: "metric", on: { change: (event) => curves(sweep, event.target.value) } },
    ...metrics.map((name) => el("option", { value: name, selected: name === metric ? "" : null }, name)));
  const log = el("button", { type: "button", "aria-pressed": "false" }, "Log axis");
  const edited = sweep.trials.some((t) => t.edits.length) ? " A diamond: edited there while it trained." : "";
  node.append(el("div", { class: "controls" }, el("label", {}, "Metric ", select), log),
    el("p", { class: "soft" }, `The ${BEST} best in colour. A star, a dot: the best epoch.${edited} Click a curve to pin its trial.`));
  const plot = figure(node, `learning curves of ${metric}`, 440, () => curvesFigure(sweep, metric, log.getAttribute("aria-pressed") === "true"));
  log.addEventListener("click", () => {
    log.setAttribute("aria-pressed", String(log.getAttribute("aria-pressed") === "false"));
    redraw([plot]);
  });
}
function curvesFigure(sweep, metric, log) {
  const theme = themed(), held = sweep.curves[metric], best = ranked(sweep).slice(0, BEST).map((t) => t.number);
  const xOf = (curve) => curve.x || curve.y.map((_, i) => i);
  const group = (name, dash, color) => ({ x: [], y: [], customdata: [], name, mode: "lines", line: { color, width: 1, dash }, opacity: name === "running" ? 0.9 : 0.5,
    hovertemplate: `trial %{customdata} (${name}), epoch %{x}: %{y:.4g}<extra></extra>` });
  const groups = { COMPLETE: group("complete", "solid", theme.muted), PRUNED: group("pruned", "dot", theme.muted), FAIL: group("failed", "solid", theme.fail), STOPPED: group("stopped", "dot", theme.soft), RUNNING: group("running", "dash", theme.warn) };
  const marks = (name, marker) => ({ x: [], y: [], customdata: [], text: [], name, mode: "markers", showlegend: false, marker, hovertemplate: "trial %{customdata}: %{text}<extra></extra>" });
  const star = marks("best epoch", { size: 11, symbol: "star", color: theme.warn, line: { color: theme.card, width: 1 } });
  const dot = marks("best epochs", { size: 4, color: theme.muted });
  const diamond = marks("edits", { size: 10, symbol: "diamond", color: theme.edit, line: { color: theme.card, width: 1 } });
  const put = (trace, x, y, number, text) => { trace.x.push(x); trace.y.push(y); trace.customdata.push(number); trace.text.push(text); };
  const top = [];
  for (const trial of sweep.trials) {
    const curve = held[trial.number];
    if (!curve) continue;
    const x = xOf(curve), place = best.indexOf(trial.number), at = x.indexOf(trial.best_epoch);
    if (place >= 0) {
      top[place] = { x, y: curve.y, customdata: x.map(() => trial.number), name: `trial ${trial.number}`, mode: x.length > 1 ? "lines" : "markers", line: { width: place ? 1.6 : 3, color: BEST_COLOURS[place] },
        hovertemplate: "trial %{customdata}, epoch %{x}: %{y:.4g}<extra></extra>" };
    } else {
      const rest = groups[trial.state] || groups.COMPLETE;
      // A lone point has no line to be seen by.
      if (x.length === 1) rest.mode = "lines+markers", rest.marker = { size: 3 };
      rest.x.push(...x, null); rest.y.push(...curve.y, null); rest.customdata.push(...x.map(() => trial.number), null);
    }
    if (at >= 0) put(place >= 0 ? star : dot, x[at], curve.y[at], trial.number, `best epoch ${x[at]}: ${short(curve.y[at])}`);
    for (const edit of trial.edits) {
      const first = x.findIndex((epoch) => epoch >= edit.epoch), shown = first < 0 ? x.length - 1 : first;
      put(diamond, x[shown], curve.y[shown], trial.number, plain(edit.text));
    }
  }
  const all = [...Object.values(groups), dot, ...top.filter(Boolean), star, diamond].filter((trace) => trace.x.length);
  const ys = all.flatMap((t) => t.y), kept = top.filter(Boolean).flatMap((t) => [Math.min(...t.y), Math.max(...t.y)]);
  const { range, cut } = log ? { range: spanOf(ys.filter((y) => y > 0).map(Math.log10)), cut: 0 } : robustSpan(ys, kept);
  return {
    traces: all,
    layout: { showlegend: true, xaxis: { title: { text: "epoch" }, range: spanOf(all.flatMap((t) => t.x), 0.02), zeroline: false },
      yaxis: { title: { text: plain(metric) }, type: log ? "log" : "linear", range, zeroline: false }, annotations: cutNote(cut) },
    outline: (trial) => held[trial.number] ? lineAlong(xOf(held[trial.number]), held[trial.number].y) : [],
  };
}
