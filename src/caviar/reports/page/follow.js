// A page that is served while a sweep runs asks each two seconds whether there is more, and shows it where it is.
const ASK_EVERY = 2000;
let mark = document.body.dataset.followed;

async function askForMore() {
  const told = document.getElementById("followed");
  told.hidden = false;
  told.textContent ||= "under way";
  try {
    const answer = await fetch("parts", { headers: { "If-None-Match": mark } });
    if (answer.status === 200) {
      const held = await answer.json();
      mark = answer.headers.get("ETag");
      renew(held);
      told.textContent = held.followed ? "under way" : "ended";
      told.classList.toggle("RUNNING", held.followed);
      if (!held.followed) return;
    }
  } catch {
    told.textContent = "no longer followed";
    told.classList.remove("RUNNING");
    return;
  }
  setTimeout(askForMore, ASK_EVERY);
}
function renew(held) {
  const main = document.querySelector("main"), at = scrollY;
  main.style.minHeight = `${main.offsetHeight}px`; // the page stays where it is while its parts are made anew
  DATA = held.sweeps;
  current = DATA.find((sweep) => sweep.folder === current.folder) || DATA[0];
  for (const id of ["summary", "verdicts"]) document.querySelector(`#${id} .told`).innerHTML = held[id]; // escaped where it was made
  addCopyButtons();
  fill(() => { main.style.minHeight = ""; scrollTo(0, at); });
}
