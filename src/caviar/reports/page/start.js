// Fills the page section by section, so that the first ones can be read while the others are filled; figures come after that.
const SECTIONS = [["facts", facts], ["compare", compare], ["pareto", pareto], ["history", history_], ["trials", trials], ["failures", failures], ["curves", curves], ["judged", judged],
  ["slices", slices], ["parallel", parallel], ["importance", importance], ["contour", contour], ["timeline", timeline], ["duplicates", duplicates]];
// What says something of many trials alone.
const OF_MANY = ["verdicts", "history", "slices", "parallel", "importance", "contour", "timeline", "duplicates"];
let filling = 0;
function fillOne([id, section]) {
  try { section(current); } catch (error) { console.error(error); nothing(id, `not drawn: ${error.message}`); }
}
function fill(then) {
  const mine = ++filling, left = [...SECTIONS];
  delete document.body.dataset.ready;
  for (const id of ["summary", "verdicts"]) document.querySelectorAll(`#${id} .of`).forEach((part, i) => { part.hidden = DATA[i] !== current; });
  for (const id of OF_MANY) document.getElementById(id).hidden = current.single_run;
  document.getElementById("pareto").hidden = current.directions.length < 2;
  document.getElementById("by").hidden = current.directions.length < 2;
  document.getElementById("objective").replaceChildren(...current.labels.map((name, i) => el("option", { value: i, selected: i === objective ? "" : null }, name)));
  document.querySelector("#facts h2").textContent = current.single_run ? "Run" : "Sweep";
  document.querySelectorAll("nav a").forEach((link) => {
    const section = document.querySelector(link.hash);
    link.hidden = section.hidden;
    link.textContent = section.querySelector("h2").textContent;
  });
  const next = () => {
    if (mine !== filling) return;
    const section = left.shift();
    if (section) { fillOne(section); return setTimeout(next, 0); }
    document.body.dataset.ready = "true";
    performance.mark("ready");
    if (then) then();
    drawSoon();
  };
  next();
}
function setTheme(name) {
  document.documentElement.dataset.theme = name;
  document.getElementById("theme").setAttribute("aria-pressed", String(name === "dark"));
  redraw();
}
document.getElementById("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
document.getElementById("objective").addEventListener("change", (event) => { objective = Number(event.target.value); fill(); });
document.getElementById("compare").hidden = DATA.length < 2;
document.querySelector("nav").append(...[...document.querySelectorAll("main section")].map((s) => el("a", { href: `#${s.id}` })));
if (DATA.length > 1) {
  const select = document.getElementById("sweep");
  document.getElementById("pick").hidden = false;
  select.append(...DATA.map((sweep, i) => el("option", { value: i }, sweep.name)));
  select.addEventListener("change", () => {
    if (pinned !== null) pin(pinned);
    current = DATA[Number(select.value)];
    objective = 0;
    order = { column: null, down: false };
    fill();
  });
}
// On paper: light, with every figure drawn.
let shown = null;
window.addEventListener("beforeprint", () => {
  shown = document.documentElement.dataset.theme;
  if (shown === "dark") setTheme("light");
  drawAll();
});
window.addEventListener("afterprint", () => { if (shown === "dark") setTheme("dark"); });
setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
fill();
if (document.body.dataset.followed) askForMore();
