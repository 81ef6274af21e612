"use strict";
// Fills the page section by section, so that the first ones can be read while the others are drawn.
const SECTIONS = [["facts", facts], ["compare", compare], ["history", history_], ["trials", trials], ["failures", failures], ["curves", curves],
  ["slices", slices], ["parallel", parallel], ["importance", importance], ["contour", contour], ["timeline", timeline], ["duplicates", duplicates]];
let filling = 0;
function fill() {
  const mine = ++filling, left = [...SECTIONS];
  delete document.body.dataset.ready;
  document.querySelectorAll("#verdicts .of").forEach((list, i) => { list.hidden = DATA[i] !== current; });
  const next = () => {
    if (mine !== filling) return;
    const section = left.shift();
    if (!section) { document.body.dataset.ready = "true"; return; }
    try { section[1](current); } catch (error) { console.error(error); nothing(section[0], `not drawn: ${error.message}`); }
    setTimeout(next, 0);
  };
  next();
}
function setTheme(name, redraw) {
  const button = document.getElementById("theme");
  document.documentElement.dataset.theme = name;
  button.textContent = name === "dark" ? "Light" : "Dark";
  button.setAttribute("aria-pressed", String(name === "dark"));
  if (redraw) fill();
}
document.getElementById("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark", true));
document.querySelector("nav").append(...[...document.querySelectorAll("main section")].filter((s) => s.id !== "compare" || DATA.length > 1)
  .map((s) => el("a", { href: `#${s.id}` }, s.querySelector("h2").textContent)));
if (DATA.length > 1) {
  const select = document.getElementById("sweep");
  document.getElementById("pick").hidden = false;
  select.append(...DATA.map((sweep, i) => el("option", { value: i }, sweep.name)));
  select.addEventListener("change", () => { current = DATA[Number(select.value)]; order = { column: null, down: false }; fill(); });
}
setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light", false);
fill();
