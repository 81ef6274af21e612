// The table of trials: the best first, sorted otherwise by a click, searched, its columns chosen, taken along as CSV.
const LIMIT = 2000;
let order = { column: null, down: false };
let chosen = new Map(); // by name, where it is not as a column is shown at first

// Every column: its name, as `caviar runs list` has it, its heading, the value of a trial, and whether it is shown at first.
function columnsOf(sweep) {
  const found = [], add = (name, of, { head = name, shown = true } = {}) => { if (!found.some((c) => c.name === name)) found.push({ name, of, head, shown }); };
  const several = sweep.directions.length > 1;
  add("trial", (t) => t.number);
  add("state", (t) => t.state);
  (sweep.directions.length ? sweep.directions : [null]).forEach((_, i) => add(several ? `value_${i}` : "value", (t) => numberIn(t.values[i]), { head: several ? sweep.labels[i] : sweep.metric || "value" }));
  for (const kind of ["expected", "confirmed"]) {
    const known = new Map(sweep.worth.filter((w) => w[kind]).map((w) => [w.trial, w[kind].mean]));
    if (sweep.trials.some((t) => known.has(t.number))) add(kind, (t) => known.get(t.number));
  }
  const names = [...new Set([...sweep.space.map((h) => h.name), ...sweep.trials.flatMap((t) => Object.keys(t.params))])];
  const facts = ["trial", "state", "value", "best_epoch", "seconds", "worker_seconds", "started", "seed", "edits", "error"];
  for (const name of names) {
    const plain = new Map((sweep.space.find((h) => h.name === name)?.options || []).map((option, i) => [option, sweep.space.find((h) => h.name === name).plain[i]]));
    const value = (v) => Array.isArray(v) || (v && typeof v === "object") ? JSON.stringify(v) : plain.has(v) ? plain.get(v) : v;
    add(facts.includes(name) ? `params.${name}` : name, (t) => value(t.params[name]));
  }
  add("best_epoch", (t) => t.best_epoch, { head: sweep.scored === "best epoch" ? "best epoch" : "epoch" });
  add("seconds", (t) => t.seconds);
  if (sweep.trials.some((t) => isNumber(t.worker_seconds) && t.worker_seconds !== t.seconds)) add("worker_seconds", (t) => t.worker_seconds, { head: "worker seconds" });
  if (sweep.trials.some((t) => t.edits.length)) add("edits", (t) => t.edits.length || null);
  if (sweep.trials.some((t) => t.error)) add("error", (t) => t.error);
  for (const name of new Set(sweep.trials.flatMap((t) => Object.keys(t.metrics)))) add(name, (t) => numberIn(t.metrics[name]), { shown: false });
  add("seed", (t) => t.seed, { shown: false });
  add("started", (t) => t.started, { shown: false });
  return found;
}
// What a search can name: every column, and what else it is called in a terminal or by its heading.
function searchable(sweep, columns) {
  const found = new Map([["number", (t) => t.number], ["run", (t) => `${sweep.name}/${t.number}`]]);
  for (const { name, head, of } of [...columns].reverse()) found.set(head, of).set(name, of);
  return found;
}
// Words alone are looked for anywhere in a row; all else is a condition.
function matcher(text, columns, sweep) {
  if (!text.trim()) return { keeps: () => true, told: () => "" };
  const known = searchable(sweep, columns), words = text.toLowerCase().trim().split(/\s+/);
  const isColumn = [...known.keys()].some((name) => name === text.trim() || name.endsWith(`.${text.trim()}`));
  if (/^[\p{L}\p{N}\s_-]+$/u.test(text) && !/\b(and|or|not|in|is)\b/.test(text) && !isColumn) {
    return { keeps: (t) => words.every((word) => columns.some(({ of }) => String(of(t) ?? "").toLowerCase().includes(word))), told: () => "" };
  }
  const found = condition(text, [...known.keys()]);
  return { keeps: (t) => found.test((name) => known.get(name)(t) ?? null), told: () => found.clash };
}
function bestFirst(sweep) {
  const best = sweep.directions.length > 1 ? frontOf(sweep) : [], done = ranked(sweep), first = new Set([...best, ...done]);
  const others = sweep.trials.filter((t) => !first.has(t)), place = ["COMPLETE", "PRUNED", "RUNNING", "STOPPED", "FAIL"];
  return [...first, ...others.sort((a, b) => place.indexOf(a.state) - place.indexOf(b.state) || a.number - b.number)];
}
function sortedBy(shown, { of }, down) {
  const blank = (v) => v === null || v === undefined || Number.isNaN(v), way = down ? -1 : 1;
  return [...shown].sort((x, y) => {
    const a = of(x), b = of(y);
    if (blank(a) || blank(b)) return blank(a) - blank(b);
    return way * (isNumber(a) && isNumber(b) ? a - b : String(a).localeCompare(String(b)));
  });
}
function trials(sweep) {
  const typed = document.getElementById("search")?.value || "", open = document.querySelector("#trials details")?.open;
  const columns = columnsOf(sweep), node = body("trials"), inOrder = bestFirst(sweep);
  if (!sweep.trials.length) return nothing("trials", "The sweep has no trial.");
  const search = el("input", { type: "search", id: "search", placeholder: "lr < 1e-3 and state == 'COMPLETE'", size: 34, "aria-describedby": "searched", value: typed });
  const told = el("span", { class: "soft", role: "status", id: "searched" });
  const rows = el("tbody", {}), head = el("tr", {});
  let found = inOrder, visible = columns;
  const fill = () => {
    let said = "";
    search.removeAttribute("aria-invalid");
    try {
      const { keeps, told: clash } = matcher(search.value, columns, sweep);
      found = inOrder.filter(keeps);
      said = clash();
    } catch (error) {
      if (!(error instanceof NotUnderstood)) throw error;
      search.setAttribute("aria-invalid", "true");
      [found, said] = [inOrder, `not understood: ${error.message}`];
    }
    visible = columns.filter(({ name, shown }) => chosen.get(name) ?? shown);
    const by = columns.find(({ name }) => name === order.column), called = shortNames(visible.map((c) => c.head));
    if (by) found = sortedBy(found, by, order.down);
    head.replaceChildren(...visible.map(({ name }, i) => el("th", { scope: "col", "aria-sort": name !== order.column ? "none" : order.down ? "descending" : "ascending" },
      el("button", { type: "button", title: name, on: { click: () => sort(name) } }, called[i]))));
    told.textContent = `${found.length} of ${sweep.trials.length} trials` + (by ? "" : ", the best first") + (found.length > LIMIT ? `, the first ${LIMIT} shown` : "") + (said ? `; ${said}` : "");
    rows.replaceChildren(...found.slice(0, LIMIT).map((trial) => el("tr", { class: `${trial.state}${trial.baseline ? " baseline" : ""}`, title: trial.baseline ? "the default: the config as it stands" : "", "data-trial": trial.number }, ...visible.map(({ name, of }) => name !== "trial"
      ? el("td", {}, short(of(trial)))
      : el("td", {}, el("button", { type: "button", "aria-label": `open trial ${trial.number}`, on: { click: () => openTrial(trial.number) } }, String(trial.number)))))));
    showPinnedRow();
  };
  const sort = (name) => {
    order = { column: name, down: order.column === name && !order.down };
    fill();
    [...head.children].find((cell) => cell.firstChild.title === name)?.firstChild.focus();
  };
  rows.addEventListener("click", (event) => { if (!event.target.closest("button")) pin(Number(event.target.closest("tr").dataset.trial)); });
  search.addEventListener("input", fill);
  const called = shortNames(columns.map((c) => c.head));
  const boxes = columns.slice(1).map(({ name, shown }, i) => el("label", { title: name }, el("input", { type: "checkbox", checked: chosen.get(name) ?? shown ? "" : null, on: { change: (event) => { chosen.set(name, event.target.checked); fill(); } } }), ` ${called[i + 1]}`));
  node.append(el("div", { class: "controls" }, el("label", {}, "Search ", search),
    el("button", { type: "button", on: { click: () => { order = { column: null, down: false }; fill(); } } }, "Best first"),
    el("button", { type: "button", on: { click: () => download(`${sweep.name}.csv`, csvOf(visible, found)) } }, "CSV"), told),
    el("details", { class: "columns", open: open ? "" : null }, el("summary", {}, "Columns"), el("div", { class: "controls" }, ...boxes)),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Trials" }, el("table", {}, el("thead", {}, head), rows)));
  fill();
}
// Every digit; text that a spreadsheet would take for a formula has an apostrophe in front, as in `caviar runs list --csv`.
function csvOf(columns, trials) {
  const cell = (value) => {
    let text = value === null || value === undefined ? "" : String(value);
    if (!isNumber(value) && /^\s*[=+\-@\t\r]/.test(text) && !isNumber(Number(text))) text = `'${text}`;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns.map((c) => cell(c.head === c.name ? c.name : c.head)), ...trials.map((t) => columns.map(({ of }) => cell(of(t))))].map((line) => line.join(",") + "\n").join("");
}
function download(name, text) {
  const link = el("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
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
