// The keyboard: / search, j k rows, Enter opens, x chooses, g + letter goes somewhere, ? help. Can be switched off (WCAG 2.1.4).
const OFF = "keys-off";
const help = document.querySelector("#keys-help");
const off = document.querySelector("#keys-off");
let pending = "";
let timer = 0;

const rows = () => [...document.querySelectorAll("table.keys tbody tr")].filter((row) => row.querySelector("a"));
const at = () => rows().findIndex((row) => row.classList.contains("at"));

function walk(step) {
  const all = rows();
  if (!all.length) return;
  const next = Math.max(0, Math.min(all.length - 1, at() < 0 ? (step > 0 ? 0 : all.length - 1) : at() + step));
  all.forEach((row, place) => row.classList.toggle("at", place === next));
  const link = all[next].querySelector("a");
  link.focus({ preventScroll: true });
  all[next].scrollIntoView({ block: "nearest", behavior: "instant" });
}

function go(letter) {
  const link = document.querySelector(`nav.side a[data-go="${CSS.escape(letter)}"]`);
  if (link) location.assign(link.href);
}

const typing = (node) => node.closest("input:not([type=checkbox]):not([type=radio]):not([type=range]), textarea, select, [contenteditable], [data-own-keys]");

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || localStorage.getItem(OFF)) return;
  if (event.target instanceof Element && typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (pending === "g") {
    pending = "";
    go(event.key);
    return;
  }
  const action = {
    "/": () => document.querySelector("#search")?.focus(),
    j: () => walk(1),
    k: () => walk(-1),
    x: () => rows()[at()]?.querySelector("input[type=checkbox]")?.click(),
    g: () => { pending = "g"; clearTimeout(timer); timer = setTimeout(() => { pending = ""; }, 1500); },
    "?": () => (help?.open ? help.close() : help?.showModal()),
  }[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

document.querySelector("#keys")?.addEventListener("click", () => help?.showModal());
if (off) {
  off.checked = Boolean(localStorage.getItem(OFF));
  off.addEventListener("change", () => (off.checked ? localStorage.setItem(OFF, "1") : localStorage.removeItem(OFF)));
}
const fold = document.querySelector("#fold");
const folded = (yes) => { document.body.classList.toggle("folded", yes); fold?.setAttribute("aria-expanded", String(!yes)); };
folded(Boolean(localStorage.getItem("folded")));
fold?.addEventListener("click", () => {
  const yes = !document.body.classList.contains("folded");
  folded(yes);
  if (yes) localStorage.setItem("folded", "1"); else localStorage.removeItem("folded");
});
// A link to a closed fold opens it.
const unfold = () => { const there = document.getElementById(location.hash.slice(1)); if (there instanceof HTMLDetailsElement) { there.open = true; there.scrollIntoView({ behavior: "instant" }); } };
addEventListener("load", unfold);
addEventListener("hashchange", unfold);
// A table in a closed fold belongs on paper too.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((fold_) => { fold_.open = true; }));
// What scrolls must be reachable by the keyboard (WCAG 2.1.1).
const reach = () => document.querySelectorAll(".scroll").forEach((box) => {
  const scrolls = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
  if (scrolls && !box.hasAttribute("tabindex") && !box.querySelector("a[href], button, input, select, summary, [tabindex]")) box.tabIndex = 0;
});
addEventListener("load", reach);
addEventListener("resize", reach);
document.body.addEventListener("htmx:afterSwap", reach);
