// One trial's details.
function openTrial(number) {
  const trial = trialOf(current, number), dialog = document.getElementById("trial");
  if (!trial) return;
  const part = (title, text, command) => text ? [el("h3", {}, title), ...(command ? [el("div", { class: "command" }, el("pre", { tabindex: "0" }, text), copyButton(text))] : [el("pre", { tabindex: "0" }, text)])] : [];
  const held = pinned === number, values = trial.values.map((v, i) => `${current.labels[i] || current.metric} ${short(numberIn(v)) || "none"}`).join(", ");
  dialog.setAttribute("aria-label", `Trial ${number}`);
  dialog.querySelectorAll(".plot").forEach(forget);
  const drawn = el("div", {});
  dialog.replaceChildren(
    el("form", { method: "dialog", class: "controls" }, el("h2", {}, `Trial ${number}`), el("span", { class: `state ${trial.state}` }, trial.state), el("span", { class: "space" }),
      el("button", { on: { click: () => pin(number) }, title: "Make it stand out in every figure and in the table" }, held ? "Unpin" : "Pin"), el("button", { autofocus: "" }, "Close")),
    el("p", {}, `${values}; ${current.scored === "best epoch" ? "best epoch" : `${current.scored}, to`} ${short(trial.best_epoch) || "none"}; ${isNumber(trial.seconds) ? duration(trial.seconds) : "time unknown"}${onLanes(trial)}; seed ${short(trial.seed) || "unknown"}`),
    ...worthOf(current, number).map(([name, told]) => el("p", {}, `${name}: ${told}`)),
    ...part("Error", trial.error),
    ...part("Edited while it trained: its config alone does not give it", trial.edits.map((edit) => edit.text).join("\n")),
    ...part("Values", Object.entries(trial.params).map(([k, v]) => `${k} = ${typeof v === "object" ? JSON.stringify(v) : v}`).join("\n")),
    ...metricsOf(trial), drawn,
    ...part(trial.edits.length ? "Run it again, with its edits" : "Run it again", trial.rerun, true), ...part("Best checkpoint", trial.checkpoint, true), ...part("Folder", trial.folder, true),
    ...part("End of its log", trial.log), ...part("Config", trial.config.map((i) => current.lines[i]).join("\n")));
  if (!dialog.open) dialog.showModal();
  curveOf(trial, drawn);
}
function onLanes(trial) {
  return isNumber(trial.worker_seconds) && trial.worker_seconds < 0.99 * trial.seconds ? ` beside others on lanes, ${duration(trial.worker_seconds)} of its worker` : "";
}
function metricsOf(trial) {
  const found = Object.entries(trial.metrics);
  if (!found.length) return [];
  return [el("h3", {}, `Metrics of its ${current.scored}`), el("div", { class: "facts" }, ...found.map(([name, value]) => el("div", {}, el("strong", {}, short(numberIn(value))), name)))];
}
// Its own learning curves: one metric at a time.
function curveOf(trial, node) {
  const metrics = Object.keys(current.curves).filter((name) => current.curves[name][trial.number]);
  if (!metrics.length) return;
  const select = el("select", {}, ...metrics.map((name) => el("option", { value: name }, name)));
  node.append(el("h3", {}, "Learning curve"), el("div", { class: "controls" }, el("label", {}, "Metric ", select)));
  const plot = figure(node, `learning curve of trial ${trial.number}`, 240, () => {
    const name = select.value, held = current.curves[name][trial.number], theme = themed(), x = epochsOf(held);
    const at = x.indexOf(trial.best_epoch), star = at < 0 ? [] : [{ x: [x[at]], y: [held.y[at]], mode: "markers", marker: { size: 11, symbol: "star", color: theme.warn }, hoverinfo: "skip" }];
    return { traces: [...bandOf(x, held, theme.accent), { x, y: held.y, mode: x.length > 1 ? "lines" : "markers", line: { color: theme.accent, width: 2 }, hovertemplate: "epoch %{x}: %{y:.4g}<extra></extra>" }, ...star],
      layout: { xaxis: { title: { text: "epoch" }, zeroline: false }, yaxis: { title: { text: plain(name) }, zeroline: false } } };
  });
  select.addEventListener("change", () => { redraw([plot]); drawNow(plot); });
  drawNow(plot);
}
