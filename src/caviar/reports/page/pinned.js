// One trial that stands out in every figure and in the table, until Escape or a second click.
let pinned = null;

function pin(number) {
  pinned = number === pinned ? null : number;
  figures.forEach((_, node) => outlineIn(node, null));
  showPinnedRow();
  const bar = document.getElementById("pinned"), trial = pinned === null ? null : trialOf(current, pinned);
  bar.hidden = !trial;
  bar.replaceChildren();
  if (!trial) return;
  const values = Object.entries(trial.params), names = shortNames(values.map(([name]) => name));
  const told = [`${current.metric} ${trial.values.map((v) => short(v) || "none").join(", ")}`, ...editsOf(trial), ...values.map(([, v], i) => `${names[i]} ${short(v)}`)];
  bar.append(el("strong", {}, `Trial ${trial.number}`), el("span", { class: `state ${trial.state}` }, trial.state), el("span", { class: "told" }, told.join("  ·  ")),
    el("button", { type: "button", on: { click: () => openTrial(pinned) } }, "Details"),
    el("button", { type: "button", title: "Escape", on: { click: () => pin(pinned) } }, "Unpin"));
}
function editsOf(trial) { return trial.edits.length ? [`edited while it trained: ${trial.edits.length}`] : []; }
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && pinned !== null && !document.getElementById("trial").open) pin(pinned);
});
