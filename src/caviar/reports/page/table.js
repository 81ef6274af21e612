"use strict";
// The table of trials: sorted, searched, filtered.
const LIMIT = 2000;
let order = { column: null, down: false };

function columnsOf(sweep) {
  const found = [["trial", (t) => t.number], ["state", (t) => t.state]];
  (sweep.directions.length ? sweep.directions : [null]).forEach((_, i) => found.push([sweep.directions.length > 1 ? sweep.labels[i] : sweep.metric, (t) => t.values[i]]));
  for (const kind of ["expected", "confirmed"]) {
    const known = new Map(sweep.worth.filter((w) => w[kind]).map((w) => [w.trial, w[kind].mean]));
    if (sweep.trials.some((t) => known.has(t.number))) found.push([kind, (t) => known.get(t.number)]);
  }
  found.push(["best epoch", (t) => t.best_epoch], ["seconds", (t) => t.seconds]);
  if (sweep.trials.some((t) => t.edits.length)) found.push(["edits", (t) => t.edits.length || null]);
  const names = [...sweep.space.map((h) => h.name), ...new Set(sweep.trials.flatMap((t) => Object.keys(t.params)))];
  for (const name of new Set(names)) found.push([name, (t) => Array.isArray(t.params[name]) ? JSON.stringify(t.params[name]) : t.params[name]]);
  if (sweep.trials.some((t) => t.error)) found.push(["error", (t) => t.error]);
  return found;
}
// Words are searched for anywhere; NAME<NUMBER (also > <= >= = !=) compares a column, which its last part may name.
function matcher(text, columns) {
  const tests = text.trim().split(/\s+/).filter(Boolean).map((word) => {
    const parts = word.match(/^(.+?)(<=|>=|!=|<|>|=)(.+)$/);
    const column = parts && columns.find(([name]) => name === parts[1] || name.split(/[./]/).at(-1) === parts[1]);
    if (!column) return (t) => columns.some(([, of]) => String(of(t) ?? "").toLowerCase().includes(word.toLowerCase()));
    const wanted = Number(parts[3]), asText = Number.isNaN(wanted);
    return (t) => {
      const value = column[1](t), [a, b] = asText ? [String(value), parts[3]] : [value, wanted];
      if (!asText && !isNumber(value)) return false;
      return { "<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b, "=": a === b, "!=": a !== b }[parts[2]];
    };
  });
  return (t) => tests.every((test) => test(t));
}
function trials(sweep) {
  const columns = columnsOf(sweep), node = body("trials");
  if (!sweep.trials.length) return nothing("trials", "The sweep has no trial.");
  const search = el("input", { type: "search", id: "search", placeholder: "relu lr<1e-3 state=FAIL", size: 30 });
  const told = el("span", { class: "soft", role: "status" });
  const rows = el("tbody", {}), called = shortNames(columns.map(([name]) => name));
  const heads = columns.map(([name], i) => el("th", { scope: "col", "aria-sort": "none" }, el("button", { type: "button", title: name }, called[i])));
  const fill = () => {
    const keeps = matcher(search.value, columns);
    let shown = sweep.trials.filter(keeps);
    if (order.column !== null && columns[order.column]) {
      const of = columns[order.column][1], way = order.down ? -1 : 1;
      const blank = (v) => v === null || v === undefined || v === "nan";
      shown = [...shown].sort((x, y) => {
        const a = of(x), b = of(y);
        if (blank(a) || blank(b)) return blank(a) - blank(b);
        return way * (isNumber(a) && isNumber(b) ? a - b : String(a).localeCompare(String(b)));
      });
    }
    heads.forEach((head, i) => head.setAttribute("aria-sort", order.column !== i ? "none" : order.down ? "descending" : "ascending"));
    told.textContent = `${shown.length} of ${sweep.trials.length} trials` + (shown.length > LIMIT ? `, the first ${LIMIT} shown` : "");
    rows.replaceChildren(...shown.slice(0, LIMIT).map((trial) => el("tr", { class: `${trial.state}${trial.baseline ? " baseline" : ""}`, title: trial.baseline ? "the default: the config as it stands" : "", "data-trial": trial.number }, ...columns.map(([, of], i) => i
      ? el("td", {}, short(of(trial)))
      : el("td", {}, el("button", { type: "button", "aria-label": `open trial ${trial.number}`, on: { click: () => openTrial(trial.number) } }, String(trial.number)))))));
    showPinnedRow();
  };
  rows.addEventListener("click", (event) => { if (!event.target.closest("button")) pin(Number(event.target.closest("tr").dataset.trial)); });
  heads.forEach((head, i) => head.firstChild.addEventListener("click", () => { order = { column: i, down: order.column === i && !order.down }; fill(); }));
  search.addEventListener("input", fill);
  node.append(el("div", { class: "controls" }, el("label", {}, "Search ", search), told),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Trials" }, el("table", {}, el("thead", {}, el("tr", {}, ...heads)), rows)));
  fill();
}
// The pinned trial's row; brought into view within the table, not the page.
function showPinnedRow() {
  for (const row of document.querySelectorAll("#trials tr[aria-current]")) row.removeAttribute("aria-current");
  const row = pinned === null ? null : document.querySelector(`#trials tr[data-trial="${pinned}"]`);
  if (!row) return;
  row.setAttribute("aria-current", "true");
  const box = row.closest(".scroll"), head = box.querySelector("thead").offsetHeight;
  if (row.offsetTop < box.scrollTop + head || row.offsetTop + row.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = row.offsetTop - box.clientHeight / 2;
}
