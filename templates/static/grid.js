// The 12 × 24 grid: a view of two text areas, which are what the form sends. Drag, keyboard, copy and paste, undo; each change
// asks the server at once what it means.
const form = document.querySelector("#offer");
const table = document.querySelector("#grid");
const study = JSON.parse(document.querySelector("#grid-study").textContent);
const rows = [...table.tBodies[0].rows].map((row) => [...row.querySelectorAll("td")]);
const areas = { import: form.elements.schedule_import, export: form.elements.schedule_export };
const say = document.querySelector("#grid-say");
const value = document.querySelector("#grid-value");
let side = "import";
let anchor = [0, 0];
let head = [0, 0];
let typed = "";
let dragging = false;
const past = [];

const read = (text) => text.trim().split(/\r?\n/).map((line) => line.trim().split(/[\t,; ]+/).map(Number));
let grid = { import: read(areas.import.value), export: read(areas.export.value) };
const format = (rows_) => rows_.map((row) => row.map((kw) => String(Math.floor(kw * 10 + 1e-9) / 10)).join("\t")).join("\n");

const box = () => [Math.min(anchor[0], head[0]), Math.min(anchor[1], head[1]), Math.max(anchor[0], head[0]), Math.max(anchor[1], head[1])];

function draw() {
  const [top, left, bottom, right] = box();
  const asked = study[side].asked / 1000 || 1;
  rows.forEach((cells, month) => cells.forEach((cell, hour) => {
    const kw = grid[side][month]?.[hour];
    const least = study[side].least[month][hour];
    const above = least !== null && kw * 1000 > least + 0.5;
    const selected = month >= top && month <= bottom && hour >= left && hour <= right;
    cell.textContent = Number.isFinite(kw) ? String(Math.round(kw)) : "?";
    cell.title = `${Number.isFinite(kw) ? kw : "no number"} kW${above ? ", above the study" : ""}${least === null ? "" : `, the study's least ${(Math.floor(least / 100) / 10).toLocaleString("en")} kW`}`;
    cell.className = `number${above ? " above" : ""} shade-${Math.max(0, Math.min(10, Math.floor((kw / asked) * 10)))}`;
    cell.setAttribute("aria-selected", String(selected));
    cell.tabIndex = month === head[0] && hour === head[1] ? 0 : -1;
  }));
  const count = (bottom - top + 1) * (right - left + 1);
  say.textContent = typed ? `${typed} kW, Enter sets` : `${count} cell${count > 1 ? "s" : ""}`;
}

function changed() {
  for (const name of ["import", "export"]) areas[name].value = format(grid[name]);
  draw();
  form.dispatchEvent(new Event("recheck"));
}

function remember() {
  past.push(JSON.stringify(grid));
  if (past.length > 50) past.shift();
}

function fill(of) {
  remember();
  const [top, left, bottom, right] = box();
  for (let month = top; month <= bottom; month += 1) for (let hour = left; hour <= right; hour += 1) {
    const kw = of(month, hour);
    if (Number.isFinite(kw) && kw >= 0) grid[side][month][hour] = kw;
  }
  changed();
}

function paste(text) {
  const lines = text.replace(/\r/g, "").split("\n").filter((line) => line.trim());
  const numbers = lines.map((line) => line.split("\t").map((part) => Number(part.replace(/,/g, "").trim())));
  if (!numbers.length || numbers.flat().some((kw) => !Number.isFinite(kw) || kw < 0)) { say.textContent = "that is not a block of numbers: nothing pasted"; return; }
  remember();
  const [top, left, bottom, right] = box();
  const single = numbers.length === 1 && numbers[0].length === 1;
  const height = single ? bottom - top + 1 : numbers.length;
  const width = single ? right - left + 1 : Math.max(...numbers.map((line) => line.length));
  for (let i = 0; i < height; i += 1) for (let j = 0; j < width; j += 1) {
    const kw = single ? numbers[0][0] : numbers[i][j];
    if (kw !== undefined && top + i < 12 && left + j < 24) grid[side][top + i][left + j] = kw;
  }
  changed();
}

const place = (target) => { const cell = target.closest?.("td"); return cell ? [cell.parentElement.rowIndex - 1, cell.cellIndex - 1] : null; };

table.addEventListener("pointerdown", (event) => {
  const at = place(event.target);
  if (!at) return;
  event.preventDefault();
  if (!event.shiftKey) anchor = at;
  head = at;
  dragging = true;
  typed = "";
  rows[head[0]][head[1]].focus({ preventScroll: true });
  draw();
});
table.addEventListener("pointerover", (event) => { const at = dragging && place(event.target); if (at) { head = at; draw(); } });
addEventListener("pointerup", () => { dragging = false; });

table.addEventListener("keydown", (event) => {
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (step) {
    head = [Math.max(0, Math.min(11, head[0] + step[0])), Math.max(0, Math.min(23, head[1] + step[1]))];
    if (!event.shiftKey) anchor = head;
    typed = "";
    draw();
    rows[head[0]][head[1]].focus();
  } else if ((event.ctrlKey || event.metaKey) && event.key === "a") { anchor = [0, 0]; head = [11, 23]; draw(); }
  else if ((event.ctrlKey || event.metaKey) && event.key === "z") undo();
  else if (event.ctrlKey || event.metaKey || event.altKey) return;
  else if (/^[0-9.]$/.test(event.key)) { typed += event.key; draw(); }
  else if (event.key === "Backspace") { typed = typed.slice(0, -1); draw(); }
  else if (event.key === "Escape") { typed = ""; draw(); }
  else if (event.key === "Enter") { const kw = Number(typed); if (typed && Number.isFinite(kw)) { typed = ""; fill(() => kw); } }
  else return;
  event.preventDefault();
});
table.addEventListener("copy", (event) => {
  const [top, left, bottom, right] = box();
  event.clipboardData.setData("text/plain", format(grid[side].slice(top, bottom + 1).map((row) => row.slice(left, right + 1))));
  event.preventDefault();
});
table.addEventListener("paste", (event) => { event.preventDefault(); paste(event.clipboardData.getData("text/plain")); });

function undo() {
  const before = past.pop();
  if (!before) { say.textContent = "nothing to undo"; return; }
  grid = JSON.parse(before);
  changed();
}
document.querySelector("#grid-set").addEventListener("click", () => { const kw = Number(value.value); if (value.value !== "" && Number.isFinite(kw)) fill(() => kw); });
document.querySelector("#grid-least").addEventListener("click", () => fill((month, hour) => { const least = study[side].least[month][hour]; return least === null ? NaN : Math.floor(least / 100) / 10; }));
document.querySelector("#grid-asked").addEventListener("click", () => fill(() => study[side].asked / 1000));
document.querySelector("#grid-undo").addEventListener("click", undo);
for (const button of form.querySelectorAll("button[data-side]")) button.addEventListener("click", () => {
  side = button.dataset.side;
  form.querySelectorAll("button[data-side]").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
  draw();
});
for (const [name, area] of Object.entries(areas)) area.addEventListener("change", () => { remember(); grid[name] = read(area.value); draw(); });
value.addEventListener("change", (event) => event.stopPropagation());
draw();
