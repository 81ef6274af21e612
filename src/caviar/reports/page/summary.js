// Commands that can be copied, wherever one stands.
function copyButton(text) {
  return el("button", { type: "button", class: "copy", on: { click: async ({ target }) => {
    target.textContent = (await copied(text)) ? "Copied" : "Select it";
    setTimeout(() => { target.textContent = "Copy"; }, 1500);
  } } }, "Copy");
}
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { // some browsers have no clipboard for a file that was opened from disk
    const held = el("textarea", { "aria-hidden": "true" }, text);
    (document.querySelector("dialog[open]") || document.body).append(held);
    held.select();
    const done = document.execCommand("copy");
    held.remove();
    return done;
  }
}
function addCopyButtons() { document.querySelectorAll("code.next").forEach((code) => code.after(copyButton(code.textContent))); }
addCopyButtons();
