// Learning curves of every trial that logged the metric, running ones included.
const BEST_COLOURS = ["#1f77b4", "#2ca02c", "#e8871e", "#17a2b8", "#9467bd"];
const BEST = BEST_COLOURS.length;

const SMOOTHINGS = [["none", 0], ["some", 0.6], ["much", 0.9]];
let drawn = { smoothing: 0, means: true }; // how curves are shown, whichever the metric

function epochsOf(curve) { return curve.x || curve.y.map((_, i) => i); }
// An exponential moving average without the pull of its start (as in Adam: Kingma and Ba 2015, section 3).
function smoothed(values, share) {
  let sum = 0, weight = 0;
  return values.map((value) => { sum = share * sum + (1 - share) * value; weight = share * weight + (1 - share); return sum / weight; });
}
// Trials of the same values and other seeds, as one: their mean, and the band from the least to the greatest.
function overSeeds(sweep, held) {
  const whole = sweep.trials.filter((t) => held[t.number] && ["COMPLETE", "RUNNING"].includes(t.state) && !t.edits.length);
  const groups = grouped(whole, (t) => JSON.stringify(Object.entries(t.params).filter(([name]) => !/(^|[._])seed$/.test(name)).sort()));
  return [...groups.values()].filter((trials) => trials.length > 1 && new Set(trials.map((t) => t.seed)).size > 1).map((trials) => {
    const at = new Map();
    for (const { number } of trials) epochsOf(held[number]).forEach((x, i) => at.set(x, [...(at.get(x) || []), held[number].y[i]]));
    // Where only some of them have come, a mean would be of others than before.
    const x = [...at.keys()].filter((epoch) => at.get(epoch).length === trials.length).sort((a, b) => a - b), of = (f) => x.map((epoch) => f(at.get(epoch)));
    return { trials, x, y: of((ys) => ys.reduce((a, b) => a + b) / ys.length), low: of((ys) => Math.min(...ys)), high: of((ys) => Math.max(...ys)) };
  }).filter(({ x }) => x.length);
}
function bandOf(x, { low, high }, color) {
  if (!low || !high) return [];
  return [{ x: [...x, ...[...x].reverse()], y: [...high, ...[...low].reverse()], fill: "toself", fillcolor: color, opacity: 0.18, line: { width: 0 }, mode: "lines", hoverinfo: "skip", showlegend: false, name: "band" }];
}
function curves(sweep, metric) {
  const metrics = Object.keys(sweep.curves);
  if (!metrics.length) return nothing("curves", "No trial logged a metric.");
  metric = metric || (metrics.includes(drawn.metric) ? drawn.metric : metrics[0]);
  drawn.metric = metric;
  const node = body("curves");
  const select = el("select", { id: "metric", on: { change: (event) => curves(sweep, event.target.value) } },
    ...metrics.map((name) => el("option", { value: name, selected: name === metric ? "" : null }, name)));
  const smoothing = el("select", { id: "smoothing", on: { change: (event) => { drawn.smoothing = Number(event.target.value); redraw([plot]); } } },
    ...SMOOTHINGS.map(([name, share]) => el("option", { value: share, selected: share === drawn.smoothing ? "" : null }, name)));
  const means = el("button", { type: "button", "aria-pressed": String(drawn.means), on: { click: () => { drawn.means = !drawn.means; means.setAttribute("aria-pressed", String(drawn.means)); redraw([plot]); } } }, "Mean over seeds");
  const repeated = overSeeds(sweep, sweep.curves[metric]).length, folded = Object.values(sweep.curves[metric]).some((curve) => curve.low);
  const log = el("button", { type: "button", "aria-pressed": String(wantsLog(Object.values(sweep.curves[metric]).flatMap((curve) => curve.y))) }, "Log axis");
  const edited = sweep.trials.some((t) => t.edits.length) ? " A diamond: edited there while it trained." : "";
  node.append(el("div", { class: "controls" }, el("label", {}, "Metric ", select), el("label", {}, "Smoothing ", smoothing), ...(repeated ? [means] : []), log),
    el("p", { class: "soft" }, `The ${BEST} best in colour. A star, a dot: the ${sweep.scored === "best epoch" ? "best" : "last"} epoch.${edited} ${repeated ? " A band: from the least to the greatest of the same values' seeds, about their mean." : ""}${folded ? " A band: from the least to the greatest fold, about their mean." : ""} Click a curve to pin its trial.`));
  const plot = figure(node, `learning curves of ${metric}`, 440, () => curvesFigure(sweep, metric, log.getAttribute("aria-pressed") === "true"));
  log.addEventListener("click", () => {
    log.setAttribute("aria-pressed", String(log.getAttribute("aria-pressed") === "false"));
    redraw([plot]);
  });
}
function curvesFigure(sweep, metric, log) {
  const theme = themed(), held = sweep.curves[metric], best = ranked(sweep).slice(0, BEST).map((t) => t.number);
  const xOf = epochsOf, seeds = drawn.means ? overSeeds(sweep, held) : [], within = new Set(seeds.flatMap((group) => group.trials.map((t) => t.number)));
  const soft = (ys) => drawn.smoothing ? smoothed(ys, drawn.smoothing) : ys;
  const group = (name, dash, color) => ({ x: [], y: [], customdata: [], name, mode: "lines", line: { color, width: 1, dash }, opacity: name === "running" ? 0.9 : 0.5,
    hovertemplate: `trial %{customdata} (${name}), epoch %{x}: %{y:.4g}<extra></extra>` });
  const groups = { COMPLETE: group("complete", "solid", theme.muted), PRUNED: group("pruned", "dot", theme.muted), FAIL: group("failed", "solid", theme.fail), STOPPED: group("stopped", "dot", theme.soft), RUNNING: group("running", "dash", theme.warn) };
  const marks = (name, marker) => ({ x: [], y: [], customdata: [], text: [], name, mode: "markers", showlegend: false, marker, hovertemplate: "trial %{customdata}: %{text}<extra></extra>" });
  const star = marks(sweep.scored, { size: 11, symbol: "star", color: theme.warn, line: { color: theme.card, width: 1 } });
  const dot = marks(`${sweep.scored}, others`, { size: 4, color: theme.muted });
  const diamond = marks("edits", { size: 10, symbol: "diamond", color: theme.edit, line: { color: theme.card, width: 1 } });
  const put = (trace, x, y, number, text) => { trace.x.push(x); trace.y.push(y); trace.customdata.push(number); trace.text.push(text); };
  const top = [], bands = [];
  for (const trial of sweep.trials) {
    const curve = held[trial.number];
    if (!curve) continue;
    if (within.has(trial.number)) continue; // it is in a band
    const x = xOf(curve), y = soft(curve.y), place = best.indexOf(trial.number), at = x.indexOf(trial.best_epoch);
    if (place >= 0) {
      bands.push(...bandOf(x, curve, BEST_COLOURS[place]));
      top[place] = { x, y, customdata: x.map(() => trial.number), name: `trial ${trial.number}`, mode: x.length > 1 ? "lines" : "markers", line: { width: place ? 1.6 : 3, color: BEST_COLOURS[place] },
        hovertemplate: "trial %{customdata}, epoch %{x}: %{y:.4g}<extra></extra>" };
    } else {
      const rest = groups[trial.state] || groups.COMPLETE;
      // A lone point has no line to be seen by.
      if (x.length === 1) rest.mode = "lines+markers", rest.marker = { size: 3 };
      rest.x.push(...x, null); rest.y.push(...y, null); rest.customdata.push(...x.map(() => trial.number), null);
    }
    if (at >= 0) put(place >= 0 ? star : dot, x[at], y[at], trial.number, `epoch ${x[at]}: ${short(curve.y[at])}`);
    for (const edit of trial.edits) {
      const first = x.findIndex((epoch) => epoch >= edit.epoch), shown = first < 0 ? x.length - 1 : first;
      put(diamond, x[shown], y[shown], trial.number, plain(edit.text));
    }
  }
  seeds.forEach((group, i) => {
    const color = BEST_COLOURS[i % BEST], numbers = group.trials.map((t) => t.number);
    bands.push(...bandOf(group.x, group, color));
    top.push({ x: group.x, y: soft(group.y), customdata: group.x.map(() => numbers[0]), name: `trials ${numbers.length > 4 ? `${numbers.slice(0, 3).join(", ")}, … (${numbers.length})` : numbers.join(", ")}`, mode: group.x.length > 1 ? "lines" : "markers",
      line: { width: 2.5, color }, hovertemplate: `mean over ${numbers.length} seeds, epoch %{x}: %{y:.4g}<extra></extra>` });
  });
  const all = [...bands, ...Object.values(groups), dot, ...top.filter(Boolean), star, diamond].filter((trace) => trace.x.length);
  const ys = all.flatMap((t) => t.y), kept = top.filter(Boolean).flatMap((t) => [Math.min(...t.y), Math.max(...t.y)]);
  const { range, cut } = log ? { range: spanOf(ys.filter((y) => y > 0).map(Math.log10)), cut: 0 } : robustSpan(ys, kept);
  return {
    traces: all,
    layout: { showlegend: true, xaxis: { title: { text: "epoch" }, range: spanOf(all.flatMap((t) => t.x), 0.02), zeroline: false },
      yaxis: { title: { text: plain(metric) }, type: log ? "log" : "linear", range, zeroline: false }, annotations: cutNote(cut) },
    outline: (trial) => held[trial.number] ? lineAlong(xOf(held[trial.number]), soft(held[trial.number].y)) : [],
  };
}
