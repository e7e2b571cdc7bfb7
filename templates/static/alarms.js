// Keys of the alarm list, beside those of keys.js: a acknowledges, A everything shown, s shelves, i explains.
const form = () => document.querySelector("#acknowledge");
const row = () => document.querySelector("table.alarms tr.at");
const box = (at) => at?.querySelector("input[name=alarm]");

function send(boxes) {
  if (!boxes.length || !form()) return;
  document.querySelectorAll("table.alarms input[name=alarm]").forEach((node) => { node.checked = boxes.includes(node); });
  form().requestSubmit();
}

function shelve(at) {
  const dialog = document.querySelector("#d-shelve");
  if (!dialog || !at?.dataset.shelve) return;
  dialog.querySelector("[data-what]").textContent = at.dataset.title;
  dialog.querySelector("form").action = at.dataset.shelve;
  dialog.querySelector("[data-remove]").formAction = at.dataset.remove;
  dialog.querySelectorAll("option").forEach((node) => { node.disabled = Number(node.value) * 60 > Number(at.dataset.longest); });
  dialog.showModal();
}

addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-shelves]");
  if (button) shelve(button.closest("tr"));
});

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || localStorage.getItem("keys-off")) return;
  if (event.target.closest?.("input:not([type=checkbox]), textarea, select, dialog[open]")) return;
  const action = {
    a: () => {
      const marked = [...document.querySelectorAll("table.alarms input[name=alarm]:checked")];
      send(marked.length ? marked : [box(row())].filter(Boolean));
    },
    A: () => send([...document.querySelectorAll("table.alarms input[name=alarm]")]),
    s: () => shelve(row()),
    i: () => row()?.querySelector("summary")?.click(),
  }[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});
