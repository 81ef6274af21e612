// One function a section; each fills its part of the page for the sweep that is picked.
function facts(sweep) {
  const count = (state) => sweep.trials.filter((trial) => trial.state === state).length;
  const stopped = count("STOPPED");
  const best = sweep.directions.length === 1 ? ranked(sweep)[0] : null;
  const ran = sweep.trials.filter((trial) => trial.seconds), seconds = ran.reduce((sum, trial) => sum + trial.worker_seconds, 0);
  const known = ran.every((trial) => isNumber(trial.worker_seconds));
  const pairs = [
    ...(sweep.directions.length > 1 ? sweep.labels.map((name, i) => [`best ${name}`, bestIn(sweep, i)]) : [[`best ${sweep.metric}`, best ? short(scoreOf(best)) : "none"]]),
    ...(best ? worthOf(sweep, best.number) : []),
    ...defaultOf(sweep),
    sweep.directions.length > 1 ? ["on the Pareto front", frontOf(sweep).length] : ["best trial", best ? `${best.number}${best.edits.length ? " (edited)" : ""}` : "none"],
    ["complete", count("COMPLETE")], ["pruned", count("PRUNED")], ["failed", count("FAIL")], ["running", count("RUNNING")],
    ...(stopped ? [["stopped", stopped]] : []),
    ["wall time", duration(sweep.wall_seconds)], ["of workers, summed", known ? duration(seconds) : "unknown"], ["sampler", (sweep.sampler || "unknown").replace(/Sampler$/, "")],
  ];
  const node = body("facts");
  node.append(el("div", { class: "facts" }, ...pairs.map(([name, value]) => el("div", {}, el("strong", {}, String(value)), name))));
  const planned = sweep.n_trials ? `${sweep.trials.length - stopped} of ${sweep.n_trials} trials; ` : "";
  node.append(el("p", { class: "soft" }, `${planned}${sweep.folder}; commit ${(sweep.git_commit || "unknown").slice(0, 10)}; ` +
    `${Object.entries(sweep.versions).map(([k, v]) => `${k} ${v}`).join(", ")}; written ${sweep.written}`));
  if (best) node.append(el("p", { class: "controls" }, el("button", { type: "button", on: { click: () => openTrial(best.number) } }, `Open trial ${best.number}`)));
  for (const problem of sweep.problems) node.append(el("p", { class: "soft" }, `skipped: ${problem}`));
}
function bestIn(sweep, i) {
  const values = complete(sweep).map((t) => t.values[i]).filter(isNumber);
  return values.length ? short(sweep.directions[i] === "maximize" ? Math.max(...values) : Math.min(...values)) : "none";
}
// What a trial is worth on a fresh seed: as foretold by the sweep, and as fresh seeds have said.
function interval(held) { return held ? `${short(held.mean)} [${short(held.low)}, ${short(held.high)}]` : ""; }
function worthOf(sweep, trial) {
  const one = sweep.worth.find((w) => w.trial === trial) || {};
  return [...(one.expected ? [["expected on a fresh seed (90 %)", interval(one.expected)]] : []),
    ...(one.confirmed ? [[`confirmed by ${one.confirmed.n} fresh seeds (95 %)`, interval(one.confirmed)]] : [])];
}
function defaultOf(sweep) {
  const base = sweep.trials.find((t) => t.baseline && t.state === "COMPLETE"), one = sweep.worth.find((w) => w.trial === "default");
  return [...(base ? [[`the default (trial ${base.number})`, short(scoreOf(base))]] : []),
    ...(one ? [["the default, confirmed", interval(one.confirmed)]] : [])];
}
function soFar(sweep) {
  let best = null, spent = 0;
  const found = { trials: [], seconds: [], values: [] };
  for (const trial of sweep.trials) {
    spent += isNumber(trial.worker_seconds) ? trial.worker_seconds : 0;
    if (trial.state === "COMPLETE" && isNumber(scoreOf(trial)) && (best === null || sign(sweep) * (scoreOf(trial) - best) < 0)) best = scoreOf(trial);
    if (best === null) continue;
    found.trials.push(trial.number + 1); found.seconds.push(spent); found.values.push(best);
  }
  return found;
}
// Sweeps that are scored alike, on the same axes.
function compare() {
  if (DATA.length < 2) return;
  const alike = DATA.filter((sweep) => sweep.metric === current.metric && String(sweep.directions) === String(current.directions) && sweep.directions.length === 1);
  const node = body("compare"), lines = new Map(alike.map((sweep) => [sweep, soFar(sweep)]));
  for (const sweep of DATA) if (!alike.includes(sweep)) node.append(el("p", { class: "soft" }, `${sweep.name} is not compared: it is scored by ${sweep.metric}, ${sweep.directions.join(" and ")}.`));
  if (!alike.length) return node.append(el("p", { class: "empty" }, "Sweeps of several objectives have no one best value."));
  const grid = el("div", { class: "grid" });
  node.append(grid);
  for (const [by, title] of [["trials", "trials"], ["seconds", "worker-seconds"]]) {
    figure(grid, `best value against ${title}`, 340, () => {
      const traces = alike.map((sweep) => ({ x: lines.get(sweep)[by], y: lines.get(sweep).values, name: plain(sweep.name), mode: lines.get(sweep)[by].length > 1 ? "lines" : "markers", line: { shape: "hv", width: 2 } }));
      return { traces, layout: { showlegend: true, xaxis: { title: { text: title }, rangemode: "tozero" }, yaxis: { title: { text: plain(`best ${current.metric}`) } } } };
    });
  }
  const rows = alike.map((sweep) => {
    const { values, seconds, trials } = lines.get(sweep), first = values.indexOf(values.at(-1));
    return [sweep.name, sweep.trials.length, short(values.at(-1)), short(trials[first]), first < 0 ? "" : duration(seconds[first])];
  });
  const heads = ["sweep", "trials", `best ${current.metric}`, "found at trial", "after worker time of"];
  node.append(el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Sweeps compared" }, el("table", {},
    el("thead", {}, el("tr", {}, ...heads.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...rows.map((cells) => el("tr", {}, ...cells.map((cell) => el("td", {}, String(cell)))))))));
}
// Points of some trials, all with what they say when pointed at.
function points(trials, x, y, more) {
  return { x: trials.map(x), y: trials.map(y), mode: "markers", customdata: trials.map((t) => t.number), hoverinfo: "text",
    text: trials.map((t) => t.state === "FAIL" ? plain(`trial ${t.number} failed: ${t.error || ""}`.slice(0, 200)) : named(t)), ...more };
}
function symbols(trials) { return trials.some((t) => t.edits.length) ? trials.map((t) => t.edits.length ? "diamond" : "circle") : "circle"; }
// The axis of the scores, and where on it a trial stands: one that failed has no score, and stands at the worse end.
function scoreAxis(sweep) {
  const scored = sweep.trials.filter((t) => ["COMPLETE", "PRUNED"].includes(t.state)).map(scoreOf).filter(isNumber), log = wantsLog(scored);
  const on = log ? Math.log10 : (v) => v, off = log ? (v) => 10 ** v : (v) => v;
  const { range, cut } = robustSpan(scored.map(on), complete(sweep).length ? [on(scoreOf(ranked(sweep)[0]))] : []);
  const [low, high] = range, pad = (high - low) * 0.04, worse = off(sign(sweep) > 0 ? high - pad : low + pad);
  return { y: (t) => t.state === "FAIL" ? worse : scoreOf(t), axis: { title: { text: plain(scoreName(sweep)) }, range, zeroline: false, type: log ? "log" : "linear" }, notes: cutNote(cut) };
}
// A pruned trial has the score of its last epoch.
function prunedOf(sweep) { return sweep.trials.filter((t) => t.state === "PRUNED" && isNumber(scoreOf(t))); }
function history_(sweep) {
  const done = complete(sweep);
  if (!done.length) return nothing("history", "No trial is complete.");
  figure(body("history"), "values by trial", 340, () => {
    const theme = themed(), line = soFar(sweep), of = (state) => sweep.trials.filter((t) => t.state === state), { y, axis, notes } = scoreAxis(sweep);
    const pruned = prunedOf(sweep), failed = of("FAIL"), x = (t) => t.number;
    const traces = [points(done, x, y, { name: "complete", marker: { size: 7, color: theme.accent, opacity: 0.75, symbol: symbols(done) } })];
    if (pruned.length) traces.push(points(pruned, x, y, { name: "pruned", marker: { size: 6, color: theme.muted, symbol: "circle-open" } }));
    if (failed.length) traces.push(points(failed, x, y, { name: "failed", marker: { size: 9, color: theme.fail, symbol: "x" } }));
    if (sweep.directions.length) traces.push({ x: line.trials.map((n) => n - 1), y: line.values, mode: "lines", name: "best so far", line: { shape: "hv", color: theme.warn, width: 2 }, hoverinfo: "skip" });
    const base = sweep.trials.find((t) => t.baseline && isNumber(scoreOf(t)));
    if (base && line.trials.length) traces.push({ x: [0, sweep.trials.at(-1).number], y: [scoreOf(base), scoreOf(base)], mode: "lines", name: "the default", line: { dash: "dot", color: theme.muted, width: 2 }, hoverinfo: "skip" });
    return { traces, outline: (t) => ["RUNNING", "STOPPED"].includes(t.state) ? [] : ringAt(t.number, y(t)),
      layout: { showlegend: true, xaxis: { title: { text: "trial" }, range: spanOf(sweep.trials.map(x), 0.03), zeroline: false }, yaxis: axis, annotations: notes } };
  });
}
function slices(sweep) {
  if (!sweep.space.length || !sweep.trials.length) return nothing("slices", "No trial, or no space on record.");
  const node = el("div", { class: "grid" }), done = complete(sweep);
  body("slices").append(el("p", { class: "soft" }, "Dark to bright: from the first trial to the last. A ring: it was pruned. A red cross: it failed."), node);
  for (const h of sweep.space) {
    figure(node, `slice of ${h.name}`, 300, () => {
      const failed = sweep.trials.filter((t) => t.state === "FAIL" && h.name in t.params), { y, axis, notes } = scoreAxis(sweep);
      const pruned = prunedOf(sweep).filter((t) => h.name in t.params);
      const jitter = (t) => h.scale === "choice" || h.values ? ((t.number * 0.618) % 1 - 0.5) * 0.4 * stepOf(h) : 0;
      const at = (t) => { const x = onScale(h, t.params[h.name]); return x === null ? null : x + jitter(t); };
      return {
        traces: [points(done, at, y, { name: "complete", marker: { size: 7, opacity: 0.8, symbol: symbols(done), color: done.map((t) => t.number), colorscale: "Viridis", line: { color: themed().soft, width: 0.5 } } }),
          points(pruned, at, y, { name: "pruned", marker: { size: 6, color: themed().muted, symbol: "circle-open" } }),
          points(failed, at, y, { name: "failed", marker: { size: 9, symbol: "x", color: themed().fail } })],
        layout: { xaxis: axisOf(h), yaxis: axis, annotations: notes },
        outline: (t) => ["COMPLETE", "PRUNED", "FAIL"].includes(t.state) ? ringAt(at(t), y(t)) : [],
      };
    });
  }
}
function importance(sweep) {
  const found = [...(sweep.importance[objective] || [])].reverse();
  if (!found.length) return nothing("importance", "Too few complete trials to tell: 8 are needed.");
  const node = body("importance");
  node.append(el("p", { class: "soft" }, "PED-ANOVA: how far the best quarter's values lie from those of all trials, less what chance gives. p: the share of shuffled scores that give as much; grey where p > 0.1." + (sweep.directions.length > 1 ? ` For ${scoreName(sweep)}.` : "")));
  figure(node, "importance of the hyperparameters", 80 + 30 * found.length, () => ({
    traces: [{ type: "bar", orientation: "h", x: found.map((i) => i.share), y: found.map((i) => plain(i.name)), marker: { color: found.map((i) => i.p > 0.1 ? themed().muted : themed().accent) },
      text: found.map((i) => `${Math.round(i.share * 100)} %, p = ${short(i.p)}`), textposition: "outside", cliponaxis: false, hovertext: found.map((i) => `${i.trials} trials`), hoverinfo: "text" }],
    layout: { xaxis: { title: { text: "share" }, range: [0, 1.25], tickformat: ".0%", tickvals: [0, 0.25, 0.5, 0.75, 1] }, dragmode: false },
  }));
}
function contour(sweep) {
  const two = (sweep.importance[objective] || []).map((i) => sweep.space.find((h) => h.name === i.name)).filter((h) => h && h.scale !== "choice").slice(0, 2);
  if (two.length < 2) return nothing("contour", "It takes two numeric hyperparameters and 8 complete trials.");
  const [a, b] = two, node = body("contour");
  node.append(el("p", { class: "soft" }, "The two most important numbers; a weighted mean of the trials about each place."));
  figure(node, `contour of ${a.name} and ${b.name}`, 420, () => {
    const at = (t) => [onScale(a, t.params[a.name]), onScale(b, t.params[b.name])];
    const done = [...complete(sweep), ...prunedOf(sweep)].filter((t) => !at(t).includes(null)), places = done.map((t) => [...at(t), scoreOf(t)]);
    const [al, ah] = ends(a), [bl, bh] = ends(b), n = 30, steps = [...Array(n).keys()].map((i) => i / (n - 1));
    const z = steps.map((v) => steps.map((u) => {
      let sum = 0, weight = 0;
      for (const [x, y, value] of places) {
        const w = Math.exp(-(((x - al) / (ah - al) - u) ** 2 + ((y - bl) / (bh - bl) - v) ** 2) / (2 * 0.08 ** 2)) + 1e-12;
        sum += w * value; weight += w;
      }
      return sum / weight;
    }));
    return {
      traces: [{ type: "contour", x: steps.map((u) => al + u * (ah - al)), y: steps.map((v) => bl + v * (bh - bl)), z, colorscale: "Viridis", reversescale: sign(sweep) > 0, hoverinfo: "skip",
        contours: { coloring: "heatmap" }, line: { width: 0.5 }, colorbar: { thickness: 12, title: { text: plain(scoreName(sweep)), side: "right" } } },
      points(done, (t) => at(t)[0], (t) => at(t)[1], { marker: { size: 6, color: "#fff", line: { color: "#000", width: 1 } } })],
      layout: { xaxis: { ...axisOf(a), range: [al, ah] }, yaxis: { ...axisOf(b), range: [bl, bh] } },
      outline: (t) => ["COMPLETE", "PRUNED"].includes(t.state) ? ringAt(...at(t)) : [],
    };
  });
}
function failures(sweep) {
  const groups = grouped(sweep.trials.filter((t) => t.state === "FAIL"), (t) => (t.error || "no error recorded").replace(/\d+(\.\d+)?/g, "N"));
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
  const free = [], began = known[0][1], by = {}, place = new Map();
  for (const [trial, at, seconds] of known) {
    let lane = free.findIndex((end) => end <= at + 50);
    if (lane < 0) lane = free.length;
    free[lane] = at + seconds * 1000;
    const line = by[trial.state] = by[trial.state] || { x: [], y: [], customdata: [] }, start = (at - began) / 1000;
    place.set(trial.number, [[start, start + seconds], [lane, lane]]);
    line.x.push(start, start + seconds, null); line.y.push(lane, lane, null); line.customdata.push(trial.number, trial.number, null);
  }
  figure(body("timeline"), "when each trial ran", Math.min(700, 170 + 22 * free.length), () => {
    const theme = themed(), colours = { COMPLETE: theme.accent, PRUNED: theme.muted, FAIL: theme.fail, RUNNING: theme.warn, STOPPED: theme.soft };
    const traces = Object.entries(by).map(([state, line]) => ({ ...line, mode: "lines+markers", name: state === "FAIL" ? "failed" : state.toLowerCase(), marker: { size: 4 }, line: { width: 8, color: colours[state] }, hovertemplate: "trial %{customdata}: %{x:.1f} s<extra></extra>" }));
    return { traces, outline: (t) => place.has(t.number) ? lineAlong(...place.get(t.number)) : [], layout: { showlegend: true,
      xaxis: { title: { text: "seconds since the first trial began" }, range: spanOf(Object.values(by).flatMap((line) => line.x), 0.02), zeroline: false },
      yaxis: { title: { text: "trials at once" }, dtick: Math.ceil(free.length / 20), range: [-0.7, free.length - 0.3], zeroline: false } } };
  });
}
function duplicates(sweep) {
  const groups = grouped(sweep.trials, (t) => JSON.stringify(Object.entries(t.params).sort()));
  const twice = [...groups.values()].filter((trials) => trials.length > 1);
  if (!twice.length) return nothing("duplicates", "No two trials have the same values.");
  body("duplicates").append(el("ul", {}, ...twice.slice(0, 100).map((trials) => el("li", {},
    `trials ${trials.map((t) => t.number).join(", ")}: values ${trials.map((t) => short(scoreOf(t)) || t.state).join(", ")}`))));
}
// Several objectives: the trials that no other beats in all, and how the front has grown.
const PAIRS_SHOWN = 6;

function pareto(sweep) {
  if (sweep.directions.length < 2) return nothing("pareto", "There is one objective.");
  const best = frontOf(sweep), on = new Set(best);
  if (!best.length) return nothing("pareto", "No trial is complete.");
  const node = body("pareto"), grid = el("div", { class: "grid" }), pairs = sweep.labels.flatMap((_, i) => sweep.labels.slice(i + 1).map((_, j) => [i, i + 1 + j])).slice(0, PAIRS_SHOWN);
  node.append(el("p", { class: "soft" }, `${best.length} of ${complete(sweep).length} complete trials are on the front: no other is as good in all objectives and better in one. Covered: the share of the box between the best and the worst of all scores that the front leaves behind.`), grid);
  for (const [a, b] of pairs) {
    figure(grid, `Pareto front of ${sweep.labels[a]} and ${sweep.labels[b]}`, 360, () => {
      const theme = themed(), others = complete(sweep).filter((t) => !on.has(t)), at = (i) => (t) => t.values[i], line = [...best].sort((x, y) => x.values[a] - y.values[a]);
      const axis = (i) => { const { range, cut } = robustSpan(complete(sweep).map(at(i)), best.map(at(i))); return { cut, axis: { title: { text: plain(`${sweep.labels[i]} (${sweep.directions[i]})`) }, range, zeroline: false } }; };
      const [x, y] = [axis(a), axis(b)];
      return { traces: [points(others, at(a), at(b), { name: "beaten", marker: { size: 6, color: theme.muted, opacity: 0.7 } }),
        // Of more than two objectives a line through the front would go back and forth.
        points(line, at(a), at(b), { name: "on the front", mode: sweep.directions.length > 2 ? "markers" : "lines+markers", line: { shape: sweep.directions[a] === "maximize" ? "vh" : "hv", width: 1.5, color: theme.warn }, marker: { size: 9, color: theme.warn } })],
      layout: { showlegend: true, xaxis: x.axis, yaxis: y.axis, annotations: cutNote(x.cut + y.cut) }, outline: (t) => t.state === "COMPLETE" ? ringAt(t.values[a], t.values[b]) : [] };
    });
  }
  figure(grid, "hypervolume by trial", 360, () => ({
    traces: [{ x: sweep.hypervolume.trials, y: sweep.hypervolume.shares, mode: sweep.hypervolume.trials.length > 1 ? "lines" : "markers", line: { shape: "hv", width: 2, color: themed().accent }, hovertemplate: "up to trial %{x}: %{y:.1%}<extra></extra>" }],
    layout: { xaxis: { title: { text: "trial" }, zeroline: false }, yaxis: { title: { text: "hypervolume covered" }, tickformat: ".0%", rangemode: "tozero" } },
  }));
}
