// What the best trial makes of its validation part: classes confused and how far its confidence holds, or residuals.
function judged(sweep) {
  const held = sweep.judged;
  if (held.why) return nothing("judged", held.why);
  const node = body("judged"), grid = el("div", { class: "grid" });
  node.append(el("p", { class: "soft" }, `${held.number === null ? "The run" : `Trial ${held.number}`} as its checkpoint has it (${sweep.scored}), on the ${held.samples} samples of its validation part: it was chosen by them, so new data will look a little worse.`), grid);
  if (held.residuals) return residuals(grid, held);
  confusion(grid, held);
  reliability(grid, held);
}
function confusion(node, { classes, confusion }) {
  const names = classes.map(plain), rows = confusion.map((row) => row.reduce((a, b) => a + b, 0));
  figure(node, "confusion matrix", 420, () => ({
    // By the share of its row, so that a rare class is seen too; the text is how many.
    traces: [{ type: "heatmap", x: names, y: names, z: confusion.map((row, i) => row.map((n) => rows[i] ? n / rows[i] : 0)), text: confusion.map((row) => row.map((n) => n || "")), zmin: 0, zmax: 1, colorscale: "Blues", reversescale: true,
      ...(classes.length <= 20 ? { texttemplate: "%{text}" } : {}), hovertemplate: "truth %{y}, predicted %{x}: %{text} (%{z:.1%} of the class)<extra></extra>", colorbar: { thickness: 12, tickformat: ".0%" } }],
    layout: { xaxis: { title: { text: "predicted" }, type: "category", showgrid: false }, yaxis: { title: { text: "truth" }, type: "category", autorange: "reversed", showgrid: false } },
  }));
}
function reliability(node, { reliability }) {
  const samples = reliability.reduce((sum, [, , count]) => sum + count, 0);
  const off = reliability.reduce((sum, [confidence, right, count]) => sum + count * Math.abs(confidence - right), 0) / samples;
  figure(node, "reliability diagram", 420, () => {
    const theme = themed();
    return { traces: [{ x: [0, 1], y: [0, 1], mode: "lines", line: { dash: "dot", color: theme.muted }, hoverinfo: "skip" },
      { x: reliability.map((b) => b[0]), y: reliability.map((b) => b[1]), mode: "lines+markers", line: { color: theme.accent }, marker: { color: theme.accent, size: reliability.map((b) => 6 + 22 * Math.sqrt(b[2] / samples)) },
        text: reliability.map((b) => `${b[2]} samples`), hovertemplate: "confidence %{x:.2f}: right in %{y:.1%} of %{text}<extra></extra>" }],
    layout: { xaxis: { title: { text: "confidence" }, range: [-0.03, 1.03] }, yaxis: { title: { text: "share that is right" }, range: [-0.03, 1.06] },
      annotations: [{ text: `on average ${short(off)} apart (ECE, tenths)`, x: 0.02, y: 1, xref: "paper", yref: "paper", xanchor: "left", showarrow: false, font: { size: 11, color: theme.soft } }] } };
  });
}
function residuals(node, { residuals, samples }) {
  const sorted = residuals.map((r) => r[1]).sort((a, b) => a - b), half = sorted.length ? sorted[Math.floor(sorted.length / 2)] : 0;
  const mark = (name, x, y, more) => ({ name, x, y, marker: { color: themed().accent, opacity: 0.6, size: 5 }, ...more });
  const told = residuals.length < samples ? ` (${residuals.length} of them shown)` : "";
  figure(node, "residuals against predictions", 380, () => ({
    traces: [mark("residuals", residuals.map((r) => r[0]), sorted.length ? residuals.map((r) => r[1]) : [], { type: "scatter", mode: "markers", hovertemplate: "predicted %{x:.4g}, off by %{y:.4g}<extra></extra>" })],
    layout: { xaxis: { title: { text: `predicted${told}` }, zeroline: false }, yaxis: { title: { text: "truth less predicted" }, zeroline: true } },
  }));
  figure(node, "distribution of residuals", 380, () => ({
    traces: [mark("residuals", sorted, undefined, { type: "histogram", hovertemplate: "%{x}: %{y}<extra></extra>" })],
    layout: { xaxis: { title: { text: `truth less predicted; the median is ${short(half)}` } }, yaxis: { title: { text: "samples" } }, bargap: 0.03 },
  }));
}
