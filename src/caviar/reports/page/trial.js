"use strict";
// One trial's details.
function openTrial(number) {
  const trial = trialOf(current, number), dialog = document.getElementById("trial");
  if (!trial) return;
  const part = (title, text) => text ? [el("h3", {}, title), el("pre", { tabindex: "0" }, text)] : [];
  const held = pinned === number;
  dialog.setAttribute("aria-label", `Trial ${number}`);
  dialog.replaceChildren(
    el("form", { method: "dialog", class: "controls" }, el("h2", {}, `Trial ${number}`), el("span", { class: `state ${trial.state}` }, trial.state), el("span", { class: "space" }),
      el("button", { on: { click: () => pin(number) }, title: "Make it stand out in every figure and in the table" }, held ? "Unpin" : "Pin"), el("button", { autofocus: "" }, "Close")),
    el("p", {}, `${current.metric} ${trial.values.map((v) => short(v) || "none").join(", ")}; best epoch ${short(trial.best_epoch) || "none"}; ${isNumber(trial.seconds) ? duration(trial.seconds) : "time unknown"}; seed ${short(trial.seed) || "unknown"}`),
    ...worthOf(current, number).map(([name, told]) => el("p", {}, `${name}: ${told}`)),
    ...part("Error", trial.error),
    ...part("Edited while it trained: its config alone does not give it", trial.edits.map((edit) => edit.text).join("\n")),
    ...part("Values", Object.entries(trial.params).map(([k, v]) => `${k} = ${typeof v === "object" ? JSON.stringify(v) : v}`).join("\n")),
    ...part(trial.edits.length ? "Run it again, with its edits" : "Run it again", trial.rerun), ...part("Best checkpoint", trial.checkpoint), ...part("Folder", trial.folder),
    ...part("End of its log", trial.log), ...part("Config", trial.config.map((i) => current.lines[i]).join("\n")));
  if (!dialog.open) dialog.showModal();
}
