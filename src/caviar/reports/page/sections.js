"use strict";
// One function a section; each fills its part of the page for the sweep that is picked.
function facts(sweep) {
  const count = (state) => sweep.trials.filter((trial) => trial.state === state).length;
  const best = sweep.directions.length === 1 ? ranked(sweep)[0] : null;
  const seconds = sweep.trials.reduce((sum, trial) => sum + (isNumber(trial.seconds) ? trial.seconds : 0), 0);
  const pairs = [
    [`best ${sweep.metric}`, best ? short(scoreOf(best)) : "none"], ["best trial", best ? String(best.number) : "none"],
    ["complete", count("COMPLETE")], ["pruned", count("PRUNED")], ["failed", count("FAIL")], ["running", count("RUNNING")],
    ["seconds of training", short(Math.round(seconds))], ["sampler", sweep.sampler || "unknown"],
  ];
  const node = body("facts");
  node.append(el("div", { class: "facts" }, ...pairs.map(([name, value]) => el("div", {}, el("strong", {}, String(value)), name))));
  node.append(el("p", { class: "soft" }, `${sweep.folder}; commit ${sweep.git_commit || "unknown"}; ` +
    Object.entries(sweep.versions).map(([k, v]) => `${k} ${v}`).join(", ")));
  if (best) node.append(el("p", {}, el("button", { type: "button", on: { click: () => openTrial(best.number) } }, `Open trial ${best.number}`)));
  for (const problem of sweep.problems) node.append(el("p", { class: "soft" }, `skipped: ${problem}`));
}
function soFar(sweep) {
  let best = null, spent = 0;
  const found = { trials: [], seconds: [], values: [] };
  for (const trial of sweep.trials) {
    spent += isNumber(trial.seconds) ? trial.seconds : 0;
    if (trial.state === "COMPLETE" && isNumber(scoreOf(trial)) && (best === null || sign(sweep) * (scoreOf(trial) - best) < 0)) best = scoreOf(trial);
    if (best === null) continue;
    found.trials.push(trial.number + 1); found.seconds.push(spent); found.values.push(best);
  }
  return found;
}
function compare() {
  document.getElementById("compare").hidden = DATA.length < 2;
  if (DATA.length < 2) return;
  const grid = el("div", { class: "grid" });
  body("compare").append(grid);
  for (const [by, title] of [["trials", "trials"], ["seconds", "seconds of training, summed"]]) {
    const traces = DATA.map((sweep) => { const line = soFar(sweep); return { x: line[by], y: line.values, name: plain(sweep.name), mode: "lines", line: { shape: "hv" } }; });
    draw(grid, `best value against ${title}`, traces, { showlegend: true, xaxis: { title: { text: title } }, yaxis: { title: { text: plain(`best ${DATA[0].metric}`) } } });
  }
}
function history_(sweep) {
  const done = complete(sweep), theme = themed();
  if (!done.length) return nothing("history", "No trial is complete.");
  const line = soFar(sweep);
  const traces = [{ x: done.map((t) => t.number), y: done.map(scoreOf), mode: "markers", name: "complete", marker: { size: 6, color: theme.accent, opacity: 0.7 },
    text: done.map((t) => named(t, sweep)), hoverinfo: "text", customdata: done.map((t) => t.number) }];
  const pruned = sweep.trials.filter((t) => t.state === "PRUNED" && isNumber(scoreOf(t)));
  if (pruned.length) traces.push({ x: pruned.map((t) => t.number), y: pruned.map(scoreOf), mode: "markers", name: "pruned", marker: { size: 5, color: "#8a949e", symbol: "circle-open" },
    text: pruned.map((t) => named(t, sweep)), hoverinfo: "text", customdata: pruned.map((t) => t.number) });
  const failed = sweep.trials.filter((t) => t.state === "FAIL");
  if (failed.length) traces.push({ x: failed.map((t) => t.number), y: failed.map(() => scoreOf(ranked(sweep).at(-1))), mode: "markers", name: "failed", marker: { size: 8, color: theme.fail, symbol: "x" },
    text: failed.map((t) => plain(`trial ${t.number}: ${t.error || "failed"}`.slice(0, 200))), hoverinfo: "text", customdata: failed.map((t) => t.number) });
  if (sweep.directions.length === 1) traces.push({ x: line.trials.map((n) => n - 1), y: line.values, mode: "lines", name: "best so far", line: { shape: "hv", color: "#c9762b" }, hoverinfo: "skip" });
  draw(body("history"), "values by trial", traces, { showlegend: true, xaxis: { title: { text: "trial" } }, yaxis: { title: { text: plain(sweep.metric) } } }, true);
}
function curves(sweep, metric) {
  const metrics = Object.keys(sweep.curves);
  if (!metrics.length) return nothing("curves", "No trial logged a metric.");
  metric = metric || metrics[0];
  const node = body("curves");
  const select = el("select", { id: "metric", on: { change: (event) => curves(sweep, event.target.value) } },
    ...metrics.map((name) => el("option", { value: name, selected: name === metric ? "" : null }, name)));
  const log = el("button", { type: "button", "aria-pressed": "false" }, "Log axis");
  node.append(el("div", { class: "controls" }, el("label", {}, "Metric ", select), log, el("span", { class: "soft" }, "Best trials in colour, best epochs marked; click a point to open its trial.")));
  const best = ranked(sweep).slice(0, 8).map((t) => t.number), by = new Map(sweep.trials.map((t) => [t.number, t]));
  const rest = { x: [], y: [], mode: "lines", line: { color: "#8a949e", width: 1 }, opacity: 0.45, customdata: [], hovertemplate: "trial %{customdata}, epoch %{x}: %{y:.4g}<extra></extra>" };
  const marks = { x: [], y: [], mode: "markers", marker: { size: 8, symbol: "star", color: "#c9762b" }, customdata: [], hovertemplate: "trial %{customdata}: best epoch %{x}: %{y:.4g}<extra></extra>" };
  const top = [];
  for (const [number, curve] of Object.entries(sweep.curves[metric])) {
    const trial = by.get(Number(number)), x = curve.x || curve.y.map((_, i) => i), place = best.indexOf(Number(number));
    if (place >= 0) {
      top.push({ x, y: curve.y, mode: x.length > 1 ? "lines" : "markers", name: plain(`trial ${number}`), line: { width: place ? 1.6 : 3 }, customdata: x.map(() => Number(number)), hovertemplate: rest.hovertemplate });
      const at = trial ? x.indexOf(trial.best_epoch) : -1;
      if (at >= 0) { marks.x.push(x[at]); marks.y.push(curve.y[at]); marks.customdata.push(Number(number)); }
    } else {
      rest.x.push(...x, null); rest.y.push(...curve.y, null); rest.customdata.push(...x.map(() => Number(number)), null);
    }
  }
  const plot = draw(node, `learning curves of ${metric}`, [rest, ...top, marks], { height: 420, xaxis: { title: { text: "epoch" } }, yaxis: { title: { text: plain(metric) } } }, true);
  log.addEventListener("click", () => { const on = log.getAttribute("aria-pressed") === "false"; log.setAttribute("aria-pressed", String(on)); drawNow(plot); Plotly.relayout(plot, { "yaxis.type": on ? "log" : "linear" }); });
}
function parallel(sweep) {
  const done = ranked(sweep), dims = sweep.space;
  if (!done.length || !dims.length) return nothing("parallel", "No trial is complete.");
  const scores = done.map(scoreOf), low = Math.min(...scores), high = Math.max(...scores);
  const place = (h, value) => { const at = onScale(h, value), [a, b] = ends(h); return at === null || b === a ? null : (at - a) / (b - a); };
  const groups = BLUES.map((color) => ({ x: [], y: [], mode: "lines", line: { color, width: 1 }, opacity: 0.6, customdata: [], text: [], hoverinfo: "text" }));
  done.slice(0, 1000).forEach((trial, rank) => {
    const group = groups[Math.min(BLUES.length - 1, Math.floor(rank / done.length * BLUES.length))], text = named(trial, sweep);
    dims.forEach((h, i) => { group.x.push(i); group.y.push(place(h, trial.params[h.name])); group.customdata.push(trial.number); group.text.push(text); });
    group.x.push(dims.length, null); group.y.push(high > low ? (scoreOf(trial) - low) / (high - low) : 0.5, null); group.customdata.push(trial.number, null); group.text.push(text, "");
  });
  groups[0].opacity = 1; groups[0].line.width = 2;
  const notes = [], lines = [];
  const note = (x, y, text) => notes.push({ x, y, text: plain(text), showarrow: false, xanchor: "left", xshift: 3, font: { size: 10 } });
  dims.forEach((h, i) => {
    const [a, b] = ends(h), marks = ticks(h) || [[a, short(h.low)], [(a + b) / 2, short((h.low + h.high) / 2)], [b, short(h.high)]];
    for (const [at, text] of marks) note(i, (at - a) / (b - a), text);
  });
  note(dims.length, 0, short(low)); note(dims.length, 1, short(high));
  for (let i = 0; i <= dims.length; i++) lines.push({ type: "line", x0: i, x1: i, y0: 0, y1: 1, line: { color: themed().soft, width: 1 } });
  const names = [...dims.map((h) => h.name), sweep.metric];
  draw(body("parallel"), "parallel coordinates", groups.reverse(), { height: 420, annotations: notes, shapes: lines, yaxis: { visible: false, range: [-0.05, 1.05] },
    xaxis: { tickvals: names.map((_, i) => i), ticktext: names.map(plain), showgrid: false, zeroline: false, range: [-0.1, dims.length + 0.35] } }, true);
}
function slices(sweep) {
  if (!sweep.space.length || !sweep.trials.length) return nothing("slices", "No trial, or no space on record.");
  const node = el("div", { class: "grid" }), done = complete(sweep), theme = themed();
  body("slices").append(node);
  const worst = done.length ? scoreOf(ranked(sweep).at(-1)) : 0;
  for (const h of sweep.space) {
    const failed = sweep.trials.filter((t) => t.state === "FAIL" && h.name in t.params);
    const jitter = (t) => h.scale === "choice" ? ((t.number * 0.618) % 1 - 0.5) * 0.4 : 0;
    const at = (t) => { const x = onScale(h, t.params[h.name]); return x === null ? null : x + jitter(t); };
    const traces = [
      { x: done.map(at), y: done.map(scoreOf), mode: "markers", marker: { size: 6, opacity: 0.75, color: done.map((t) => t.number), colorscale: "Viridis" }, text: done.map((t) => named(t, sweep)), hoverinfo: "text", customdata: done.map((t) => t.number) },
      { x: failed.map(at), y: failed.map(() => worst), mode: "markers", name: "failed", marker: { size: 9, symbol: "x", color: theme.fail }, text: failed.map((t) => plain(`trial ${t.number} failed: ${t.error || ""}`.slice(0, 200))), hoverinfo: "text", customdata: failed.map((t) => t.number) },
    ];
    draw(node, `slice of ${h.name}`, traces, { xaxis: axisOf(h), yaxis: { title: { text: plain(sweep.metric) } } }, true);
  }
}
function importance(sweep) {
  const found = [...sweep.importance].reverse();
  if (!found.length) return nothing("importance", "Too few complete trials to tell (8 are needed), or several objectives.");
  const node = body("importance");
  node.append(el("p", { class: "soft" }, "PED-ANOVA: how far the best quarter's values lie from those of all trials, less what chance gives. p: the share of shuffled scores that give as much; grey where p > 0.1."));
  draw(node, "importance of the hyperparameters", [{ type: "bar", orientation: "h", x: found.map((i) => i.share), y: found.map((i) => plain(i.name)),
    marker: { color: found.map((i) => i.p > 0.1 ? "#8a949e" : themed().accent) }, text: found.map((i) => `${Math.round(i.share * 100)} %, p=${short(i.p)}, ${i.trials} trials`), hoverinfo: "text" }],
    { height: 120 + 34 * found.length, xaxis: { title: { text: "share" }, range: [0, 1.05] } });
}
function contour(sweep) {
  const order = sweep.importance.map((i) => i.name);
  const two = order.map((name) => sweep.space.find((h) => h.name === name)).filter((h) => h && h.scale !== "choice").slice(0, 2);
  if (two.length < 2) return nothing("contour", "It takes two numeric hyperparameters and 8 complete trials.");
  const [a, b] = two;
  const points = complete(sweep).map((t) => [onScale(a, t.params[a.name]), onScale(b, t.params[b.name]), scoreOf(t), t]).filter((p) => p[0] !== null && p[1] !== null);
  const [al, ah] = ends(a), [bl, bh] = ends(b), n = 30, steps = [...Array(n).keys()].map((i) => i / (n - 1));
  const z = steps.map((v) => steps.map((u) => {
    let sum = 0, weight = 0;
    for (const [x, y, value] of points) {
      const w = Math.exp(-(((x - al) / (ah - al) - u) ** 2 + ((y - bl) / (bh - bl) - v) ** 2) / (2 * 0.08 ** 2)) + 1e-12;
      sum += w * value; weight += w;
    }
    return sum / weight;
  }));
  draw(body("contour"), `contour of ${a.name} and ${b.name}`, [
    { type: "contour", x: steps.map((u) => al + u * (ah - al)), y: steps.map((v) => bl + v * (bh - bl)), z, colorscale: "Viridis", hoverinfo: "skip", contours: { coloring: "heatmap" } },
    { x: points.map((p) => p[0]), y: points.map((p) => p[1]), mode: "markers", marker: { size: 5, color: "#fff", line: { color: "#000", width: 1 } }, text: points.map((p) => named(p[3], sweep)), hoverinfo: "text", customdata: points.map((p) => p[3].number) },
  ], { height: 420, xaxis: axisOf(a), yaxis: axisOf(b) }, true);
}
function failures(sweep) {
  const groups = new Map();
  for (const trial of sweep.trials) if (trial.state === "FAIL") {
    const key = (trial.error || "no error recorded").replace(/\d+(\.\d+)?/g, "N");
    groups.set(key, [...(groups.get(key) || []), trial]);
  }
  if (!groups.size) return nothing("failures", "No trial failed.");
  const node = body("failures");
  for (const [, trials] of [...groups].sort((x, y) => y[1].length - x[1].length)) {
    node.append(el("details", {}, el("summary", {}, `${trials.length} × ${trials[0].error || "no error recorded"}`),
      el("p", { class: "controls" }, ...trials.slice(0, 200).map((t) => el("button", { type: "button", on: { click: () => openTrial(t.number) } }, `trial ${t.number}`)))));
  }
}
function timeline(sweep) {
  const known = sweep.trials.map((t) => [t, Date.parse(t.started), isNumber(t.seconds) ? t.seconds : 0]).filter(([, at]) => Number.isFinite(at)).sort((x, y) => x[1] - y[1]);
  if (!known.length) return nothing("timeline", "No trial has started.");
  const free = [], began = known[0][1], by = {};
  for (const [trial, at, seconds] of known) {
    let lane = free.findIndex((end) => end <= at + 50);
    if (lane < 0) lane = free.length;
    free[lane] = at + seconds * 1000;
    const line = by[trial.state] = by[trial.state] || { x: [], y: [], customdata: [] };
    const start = (at - began) / 1000;
    line.x.push(start, start + seconds, null); line.y.push(lane, lane, null); line.customdata.push(trial.number, trial.number, null);
  }
  const colours = { COMPLETE: themed().accent, PRUNED: "#8a949e", FAIL: themed().fail, RUNNING: "#c9762b" };
  draw(body("timeline"), "when each trial ran", Object.entries(by).map(([state, line]) => ({ ...line, mode: "lines+markers", name: state, marker: { size: 4 }, line: { width: 7, color: colours[state] }, hovertemplate: "trial %{customdata}: %{x:.1f} s<extra></extra>" })),
    { showlegend: true, height: Math.min(700, 160 + 22 * free.length), xaxis: { title: { text: "seconds since the first trial began" } }, yaxis: { title: { text: "trials at once" }, dtick: Math.ceil(free.length / 20) } }, true);
}
function duplicates(sweep) {
  const groups = new Map();
  for (const trial of sweep.trials) {
    const key = JSON.stringify(Object.entries(trial.params).sort());
    groups.set(key, [...(groups.get(key) || []), trial]);
  }
  const twice = [...groups.values()].filter((trials) => trials.length > 1);
  if (!twice.length) return nothing("duplicates", "No two trials have the same values.");
  body("duplicates").append(el("ul", {}, ...twice.slice(0, 100).map((trials) => el("li", {},
    `trials ${trials.map((t) => t.number).join(", ")}: values ${trials.map((t) => short(scoreOf(t)) || t.state).join(", ")}`))));
}
