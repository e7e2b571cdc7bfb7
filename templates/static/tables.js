// Tables: a click on a heading sorts (class "sortable"), one box chooses all, and a view of a list is kept by its name.
const worth = (cell) => {
  const text = cell.innerText.trim();
  const number = Number(text.replaceAll(",", "").replace(/^[$+]/, "").split(/\s/)[0]);
  return text !== "" && Number.isFinite(number) ? number : text.toLowerCase();
};
const less = (one, two) => {
  if (typeof one === typeof two) return one < two ? -1 : one > two ? 1 : 0;
  return typeof one === "number" ? -1 : 1;
};

function sort(table, place, heading) {
  const down = heading.getAttribute("aria-sort") === "ascending";
  const body = table.tBodies[0];
  const rows = [...body.rows].filter((row) => row.cells.length > place);
  rows.sort((a, b) => less(worth(a.cells[place]), worth(b.cells[place])) * (down ? -1 : 1));
  body.append(...rows);
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((heading, place) => {
    if (!heading.innerText.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(table, place, heading));
    heading.append(button);
  });
}

for (const box of document.querySelectorAll("[data-all]")) {
  box.addEventListener("change", () => {
    for (const one of document.querySelectorAll(`input[type=checkbox][name="${CSS.escape(box.dataset.all)}"]`)) one.checked = box.checked;
  });
}

for (const bar of document.querySelectorAll("[data-saved]")) {
  const key = `saved-${bar.dataset.saved}`;
  const list = bar.querySelector("[data-saved-list]");
  const name = bar.querySelector("[data-saved-name]");
  const read = () => { try { return JSON.parse(localStorage.getItem(key)) ?? {}; } catch { return {}; } };
  const write = (views) => { localStorage.setItem(key, JSON.stringify(views)); draw(); };
  const draw = () => {
    list.replaceChildren(...Object.entries(read()).map(([words, query]) => {
      const item = document.createElement("span");
      const link = Object.assign(document.createElement("a"), { href: `${location.pathname}${query}`, textContent: words });
      const drop = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: "\u00d7" });
      drop.setAttribute("aria-label", `Forget the view ${words}`);
      drop.addEventListener("click", () => { const views = read(); delete views[words]; write(views); });
      item.append(link, drop);
      return item;
    }));
  };
  bar.querySelector("[data-saved-keep]").addEventListener("click", () => {
    const words = name.value.trim();
    if (!words) { name.focus(); return; }
    const query = new URLSearchParams(location.search);
    query.delete("page");
    write({ ...read(), [words]: `?${query}` });
    name.value = "";
  });
  bar.hidden = false;
  draw();
}
