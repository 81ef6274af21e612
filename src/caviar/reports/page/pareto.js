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
