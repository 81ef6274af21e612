// Parallel coordinates: a line a trial, each hyperparameter on its own scale.
const MOST_LINES = 1000;

function parallel(sweep) {
  if (!complete(sweep).length || !sweep.space.length) return nothing("parallel", "No trial is complete, or no space on record.");
  const node = body("parallel"), wide = el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Parallel coordinates" });
  node.append(el("p", { class: "soft" }, "Orange: the best fifth; then yellow, green, blue. Click a line to pin its trial."), wide);
  figure(wide, "parallel coordinates", 420, () => parallelFigure(sweep)).style.minWidth = `${95 * (sweep.space.length + 1)}px`;
}
function parallelFigure(sweep) {
  const theme = themed(), done = ranked(sweep).slice(0, MOST_LINES), dims = sweep.space;
  const scores = done.map(scoreOf), low = Math.min(...scores), high = Math.max(...scores);
  const place = (h, value) => { const at = onScale(h, value), [a, b] = ends(h); return at === null || b === a ? null : (at - a) / (b - a); };
  const height = (trial) => high > low ? (scoreOf(trial) - low) / (high - low) : 0.5;
  const along = (trial) => [...dims.map((h) => place(h, trial.params[h.name])), height(trial)];
  const across = [...dims.keys(), dims.length];
  const groups = RANKS.map((color) => ({ x: [], y: [], mode: "lines", line: { color, width: 1 }, opacity: 0.55, customdata: [], text: [], hoverinfo: "text" }));
  done.forEach((trial, rank) => {
    const group = groups[Math.min(RANKS.length - 1, Math.floor(rank / done.length * RANKS.length))], text = named(trial);
    group.x.push(...across, null); group.y.push(...along(trial), null);
    for (const _ of across) { group.customdata.push(trial.number); group.text.push(text); }
    group.customdata.push(null); group.text.push("");
  });
  groups[0].opacity = 0.9; groups[0].line.width = 1.8;
  const notes = [], shapes = across.map((i) => ({ type: "line", x0: i, x1: i, y0: 0, y1: 1, line: { color: theme.soft, width: 1 } }));
  const note = (x, y, text) => notes.push({ x, y, text: plain(text), showarrow: false, xanchor: "left", xshift: 3, font: { size: 11 }, bgcolor: theme.veil });
  dims.forEach((h, i) => {
    const [a, b] = ends(h), marks = ticks(h) || [[a, short(h.low)], [(a + b) / 2, short((h.low + h.high) / 2)], [b, short(h.high)]];
    for (const [at, text] of marks) note(i, (at - a) / (b - a), text);
  });
  note(dims.length, 0, short(low));
  if (high > low) note(dims.length, 1, short(high));
  const names = [...shortNames(dims.map((h) => h.name)), scoreName(sweep)];
  return {
    traces: groups.reverse(),
    layout: { annotations: notes, shapes, margin: { l: 44, r: 12, t: 12, b: 44 }, dragmode: false, yaxis: { visible: false, range: [-0.05, 1.05], fixedrange: true },
      xaxis: { tickvals: across, ticktext: names.map(plain), showgrid: false, zeroline: false, showline: false, tickangle: 0, range: [-0.15, dims.length + 0.45], fixedrange: true } },
    outline: (trial) => trial.state === "COMPLETE" && isNumber(scoreOf(trial)) ? lineAlong(across, along(trial)) : [],
  };
}
